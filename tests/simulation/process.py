"""A process that can die: its timers and links end with it, and nothing that it still does reaches anybody."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from tests.simulation.faults import CrashPoint
from tests.simulation.setting import Setting

PROMISES_MAX = 500
"""Beyond it those that were kept are sorted out."""


@implementer(IReactorTime)
class ProcessClock:
    """The virtual clock as one process sees it: after its death nothing of it is called any more."""

    def __init__(self, setting: Setting) -> None:
        self._clock = setting.clock
        self._calls: list[IDelayedCall] = []
        self._is_stopped = False

    def seconds(self) -> float:
        """Return the virtual time."""
        return self._clock.seconds()

    def callLater(
        self,
        delay: float,
        callable: Callable[..., Any],
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        """See `IReactorTime`."""
        delayed: IDelayedCall = self._clock.callLater(delay, self._call, callable, args, kwargs)
        self._calls.append(delayed)
        if len(self._calls) > PROMISES_MAX:
            self._calls = self.getDelayedCalls()
        return delayed

    def getDelayedCalls(self) -> list[IDelayedCall]:  # noqa: N802 - the name is Twisted's
        """See `IReactorTime`."""
        return [each for each in self._calls if each.active()]

    def stop(self) -> None:
        """Call nothing any more. What is planned stays planned, because the last step of a dying process may still cancel it."""
        self._is_stopped = True

    def _call(self, call: Callable[..., Any], args: Any, kw: Any) -> None:
        if not self._is_stopped:
            call(*args, **kw)


class Process:
    """The life of one switch process.

    Args:
        name: for the trace.
        died: called once, with the process.
    """

    def __init__(self, name: str, setting: Setting, died: Callable[["Process"], None]) -> None:
        self.name = name
        self.is_alive = True
        self.clock = ProcessClock(setting)
        self._setting = setting
        self._died = died
        self._promised: list[Deferred[Any]] = []

    def promise(self) -> Deferred[Any]:
        """Make a result that the process waits for. It is kept, so that who waits when the process dies waits for ever.

        Otherwise its coroutine would be collected, and its ``finally`` clauses would do what a dead process does not do.
        """
        if len(self._promised) > PROMISES_MAX:
            self._promised = [each for each in self._promised if not each.called]
        result: Deferred[Any] = Deferred()
        self._promised.append(result)
        return result

    def dies_at(self, point: CrashPoint | None) -> bool:
        """Say whether the process is dead here: it was, or it dies now."""
        if (
            self.is_alive
            and point is not None
            and self._setting.happens(self._setting.weather.crash, f"crash: {point.value}")
        ):
            self.die()
        return not self.is_alive

    def die(self) -> None:
        """Die now."""
        if self.is_alive:
            self.is_alive = False
            self.clock.stop()
            self._setting.tell(f"{self.name} died")
            self._died(self)
