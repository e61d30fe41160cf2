"""Looks after the networks' money once in a while: warns of a float that runs low, and has settlement files put where they are fetched.

No sale takes part: a worker of its own reads the floats, so a crossing is seen a look later at most, and a large file holds up nobody.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from twisted.internet.interfaces import IReactorTime

from switch.again import Again
from switch.log import Event, log
from switch.metrics import Metrics
from switch.steps import Step
from vending.settlement import FloatLevel, LookAtNetworks, NetworksSeen

WatchStep = Step[LookAtNetworks, NetworksSeen]
"""One worker for it: the file of a large day takes seconds, and the totals that a terminal asks for must not wait for it."""


class NetworkWatch(Again):
    """Looks at start and then again and again; several processes may do so at once.

    Args:
        watch: takes `LookAtNetworks`.
        directories: by network the directory of its settlement files, as it is configured now.
        told: by network to which terminal it is told of each file; only those that want to be.
        interval_seconds: between two looks.
        now: our clock, aware UTC.
    """

    def __init__(
        self,
        *,
        watch: WatchStep,
        directories: Callable[[], Mapping[str, str]],
        told: Callable[[], Mapping[str, str]] = dict,
        interval_seconds: float,
        metrics: Metrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
    ) -> None:
        self._watch = watch
        self._directories = directories
        self._told = told
        self._metrics = metrics
        self._now = now
        self._low: set[str] = set()
        super().__init__(
            self.look, interval_seconds=interval_seconds, failed=Event.NETWORK_LOOK_FAILED, reactor=reactor
        )

    async def look(self) -> None:
        """Look once, and tell what changed."""
        directories = tuple(sorted(self._directories().items()))
        told = tuple(sorted(self._told().items()))
        seen = await self._watch.submit(LookAtNetworks(at=self._now(), directories=directories, told=told))
        for level in seen.floats:
            self._tell(level)
        for acquirer_id, day in seen.delivered:
            log.info(Event.SETTLEMENT_FILE_DELIVERED, acquirer_id=acquirer_id, settlement_date=day.isoformat())
        for acquirer_id, reason in seen.failed:
            log.error(Event.SETTLEMENT_FILE_FAILED, acquirer_id=acquirer_id, failure=reason)
        self._metrics.settlement_files_failed.set(len(seen.failed))

    def _tell(self, level: FloatLevel) -> None:
        """Set the metrics, and log when the warning level was crossed, either way."""
        name = level.acquirer_id
        self._metrics.float_available_centavos.labels(name).set(level.available_centavos)
        self._metrics.float_is_low.labels(name).set(int(level.is_low))
        if level.is_low == (name in self._low):
            return
        sums = {"available_centavos": level.available_centavos, "warning_centavos": level.warning_centavos}
        if level.is_low:
            self._low.add(name)
            log.warning(Event.FLOAT_LOW, acquirer_id=name, **sums)
        else:
            self._low.discard(name)
            log.info(Event.FLOAT_RECOVERED, acquirer_id=name, **sums)
