"""How much of the reactor's thread one network may take for work that leads nowhere.

All networks share that thread. A sale leaves it after a tenth of a millisecond and waits elsewhere, within limits of its own. An echo, a
keep-alive, a frame that cannot be read, a connection that asks nothing are done on it from end to end, so whoever sends them as fast as he
can would have the thread for himself. The time that such work takes is therefore counted for each network. Above its share the connections
that cause it wait, the first first. The network's sales do not.

Whether a request is one of these is known only when its MAC was looked at. On a connection that has not shown a right MAC yet it is charged
before, and given back after if it was right. On any other a wrong one is charged when it is known.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

SHARE: Final = 0.2
"""Of the thread, for each network. Two thousand terminals that come back and sign on together need five seconds of it."""

BURST_SECONDS: Final = 0.02
"""This much at once before the share counts: the echoes of an ordinary second."""

DEBT_SECONDS_MAX: Final = 0.02
"""What took longer was not the network's fault alone (the machine stood still), and nobody waits longer for it than this by the share."""

WAKE_SECONDS_MIN: Final = 0.001
"""Nobody is woken sooner: what is missing may be less than the clock can tell."""

LATE_SECONDS_MAX: Final = 0.002
"""Who waits may be woken so late before it means something: timers are no finer."""

READ_SECONDS: Final = 0.000_03
"""What the reactor takes to read a socket, beside what is done with the octets."""

CONNECTION_SECONDS: Final = 0.000_4
"""What it takes to accept a connection, to make its objects, and to end it."""

HANDSHAKE_SECONDS: Final = 0.003
"""What a handshake of TLS takes besides."""

REFUSAL_SECONDS: Final = 0.000_6
"""What a request takes whose MAC turns out to be wrong: 0.4 ms of the thread and more on a slow machine, and up to 0.2 ms of the security
module's processor, which all networks share as well."""


class FruitlessWork:
    """The account of one network. It fills up with time at its share and is charged with what was used.

    Args:
        clock: tells the time and wakes those who wait.
        count_pause: is told each time that somebody must wait.
        share: of the thread.
    """

    def __init__(
        self, clock: IReactorTime, *, count_pause: Callable[[], None] = lambda: None, share: float = SHARE
    ) -> None:
        self._clock = clock
        self._count_pause = count_pause
        self._share = share
        self._level_seconds = BURST_SECONDS
        self._filled_at = clock.seconds()
        self._waiting: deque[Callable[[], None]] = deque()
        self._timer: IDelayedCall | None = None

    def charge(self, seconds: float) -> bool:
        """Take *seconds* off (below zero: give them back); returns whether the share is used up, so that whoever causes more of it must `wait`."""
        now = self._clock.seconds()
        # Where those who wait should have been woken long ago the thread is short of time, and a fifth of real time may be all that it has:
        # for the time that it is late nobody gets a share, so that what it can do is done for the others.
        until = now if self._timer is None else min(now, self._timer.getTime() + LATE_SECONDS_MAX)
        filled = self._level_seconds + max(0.0, until - self._filled_at) * self._share
        self._filled_at = now
        self._level_seconds = max(min(filled, BURST_SECONDS) - seconds, -DEBT_SECONDS_MAX)
        return self._level_seconds < 0.0 or bool(self._waiting)

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call *go_on* when it is its turn; it charges what it takes, and then it is the next one's."""
        self._count_pause()
        self._waiting.append(go_on)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._clock.callLater(max(WAKE_SECONDS_MIN, -self._level_seconds / self._share), self._wake)

    def _wake(self) -> None:
        self.charge(0.0)
        self._timer = None
        while self._waiting and self._level_seconds >= 0.0:
            self._waiting.popleft()()
        self._set_timer()
