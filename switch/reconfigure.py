"""A changed configuration is read and applied: what can change does, what cannot is told, and a bad file changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from OpenSSL import SSL
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from config.errors import Complaint, ConfigError
from config.settings import Settings
from switch.log import Event, log
from switch.networks import CannotApply, Networks, tls_contexts

NEEDS_RESTART = ("database", "security_module", "switch", "sale", "log")
"""Sections that other parts of the process were built from; ``utility`` is read by whoever prints tickets."""

Read = tuple[Settings, Mapping[str, SSL.Context]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        attempt: counts up from 1 in this process; 0: none was made.
        is_applied: whether what can change has changed.
        complaints: why not; empty otherwise.
        kept: keys that keep the value they had, because they need a restart.
    """

    attempt: int
    at: datetime
    is_applied: bool
    complaints: tuple[Complaint, ...] = ()
    kept: tuple[Complaint, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return it as the health page shows it."""
        return {
            "attempt": self.attempt,
            "at": self.at.isoformat(),
            "is_applied": self.is_applied,
            "complaints": [str(each) for each in self.complaints],
            "needs_restart": [str(each) for each in self.kept],
        }


class Reconfigurer:
    """Applies the configuration anew when it is asked to; one attempt at a time.

    Args:
        running: what the process was started with.
        read: reads the configuration; may block, so it is run by ``in_thread``.
        in_thread: runs a function elsewhere and fires.
        now: our clock, aware UTC.
        count: told of each attempt, by whether it was applied.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        running: Settings,
        read: Callable[[], Settings],
        in_thread: Callable[[Callable[[], Read]], Deferred[Read]],
        now: Callable[[], datetime],
        count: Callable[[bool], None],
    ) -> None:
        self._networks = networks
        self._running = running
        self._read = read
        self._in_thread = in_thread
        self._now = now
        self._count = count
        self._is_at_work = False
        self._is_asked_again = False
        self.last = Outcome(attempt=0, at=now(), is_applied=True)

    def ask(self) -> None:
        """Read and apply soon. Asked during an attempt, another one follows: the file may have been read before its last change."""
        if self._is_at_work:
            self._is_asked_again = True
            return
        self._is_at_work = True
        ensureDeferred(self.attempt()).addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._is_at_work = False
        if self._is_asked_again:
            self._is_asked_again = False
            self.ask()

    async def attempt(self) -> None:
        """Read and apply now; the outcome is in ``last`` and in the log."""
        complaints: tuple[Complaint, ...] = ()
        kept: list[Complaint] = []
        try:
            settings, contexts = await self._in_thread(self._read_all)
            await self._networks.prepare(settings.acquirers)
            try:
                kept = [*self._changed(settings), *self._networks.apply(settings.acquirers, contexts)]
            finally:
                self._networks.settle()
        except (ConfigError, CannotApply) as error:
            complaints = tuple(error.complaints)
        except Exception:  # noqa: BLE001 - whatever is wrong with a new configuration, the old one goes on
            log.error(Event.CONFIGURATION_REFUSED, failure=Failure().getTraceback())
            complaints = (Complaint(key="", text="a fault of ours; see the log"),)
        number = self.last.attempt + 1
        self.last = Outcome(
            attempt=number, at=self._now(), is_applied=not complaints, complaints=complaints, kept=tuple(kept)
        )
        self._count(not complaints)
        event = Event.CONFIGURATION_REFUSED if complaints else Event.CONFIGURATION_APPLIED
        write = log.warning if complaints else log.info
        write(event, attempt=number, complaints=list(map(str, complaints)), needs_restart=list(map(str, kept)))

    def _read_all(self) -> Read:
        settings = self._read()
        return settings, tls_contexts(settings.acquirers)

    def _changed(self, settings: Settings) -> list[Complaint]:
        """Return the keys that were changed and are not read again before a restart."""
        changed = []
        for name in NEEDS_RESTART:
            running, wanted = getattr(self._running, name), getattr(settings, name)
            changed += [
                Complaint(key=f"{name}.{key}", text="needs a restart")
                for key in type(running).model_fields
                if getattr(running, key) != getattr(wanted, key)
            ]
        return changed
