"""What the process does by itself again and again: once at start, then every interval, and a round that fails ends only itself."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from switch.log import Event, log


class Again:
    """Base of what looks again and again; several processes may do the same at once.

    Args:
        work: one round; the next begins when it has ended.
        interval_seconds: between the beginnings of two rounds.
        failed: the event that tells of a round that failed. A ledger that is away or has no room is a warning, anything else a fault.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        interval_seconds: float,
        failed: Event,
        reactor: IReactorTime,
    ) -> None:
        self._work = work
        self._interval_seconds = interval_seconds
        self._failed_event = failed
        self._loop = LoopingCall(self._round)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin now."""
        self._loop.start(self._interval_seconds, now=True)

    def stop(self) -> None:
        """Begin no more rounds."""
        if self._loop.running:
            self._loop.stop()

    def _round(self) -> Deferred[None]:
        return ensureDeferred(self._work()).addErrback(self._round_failed)

    def _round_failed(self, failure: Failure) -> None:
        if failure.check(LedgerUnavailable, LedgerOutcomeUnknown, QueueFull):
            log.warning(self._failed_event, failure=failure.getErrorMessage())
        else:
            log.error(self._failed_event, failure=failure.getTraceback())
