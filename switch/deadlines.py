"""Many deadlines of one length behind one timer.

Almost every request is answered long before its deadline, so a timer of the reactor for each would be made only to be cancelled.
"""

from collections.abc import Callable
from itertools import count

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadlines:
    """Calls back what has not ended in time. All deadlines are equally long, so the one that began first is the next to be reached.

    Args:
        reactor: the clock.
        seconds: from `begin` to the call.
    """

    def __init__(self, reactor: IReactorTime, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._numbers = count()
        self._running: dict[int, tuple[float, Callable[[], None]]] = {}
        self._timer: IDelayedCall | None = None

    def begin(self, expire: Callable[[], None]) -> int:
        """Call *expire* at the deadline unless `end` is called with the number returned."""
        number = next(self._numbers)
        self._running[number] = (self._reactor.seconds() + self._seconds, expire)
        if self._timer is None:
            self._timer = self._reactor.callLater(self._seconds, self._expire)
        return number

    def end(self, number: int) -> None:
        """Forget one; when none is left the timer goes too."""
        del self._running[number]
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        due = []
        for number, (at, _) in self._running.items():
            if at > now:
                self._timer = self._reactor.callLater(at - now, self._expire)
                break
            due.append(number)
        for number in due:
            # Telling one that its time is over may have ended another.
            _, expire = self._running.pop(number, (now, _nothing))
            expire()


def _nothing() -> None:
    """There is nobody to tell."""
