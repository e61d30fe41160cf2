"""The module's clock, watched: a wall clock that was set by hand or by a bad time server is noticed.

Two questions. Did the wall clock move by as much as the machine's own ticks did? And is it behind what the module itself has already
written down? The first tells of a step while the process runs, the second of one while it did not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

STEP_SECONDS_MIN = 2.0
"""Less is what a time server corrects without a word, or a busy machine between two readings."""
SLEW_PER_SECOND = 0.0005
"""A clock that is corrected smoothly runs at most 500 parts per million fast or slow; what is beyond that was set."""
BEHIND_SECONDS_MAX = 5.0
"""How far the clock may be behind the last record before nothing new is minted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The clock at one moment. ``step_seconds``: by how much it was set since the reading before, 0 if it was not."""

    now: datetime
    step_seconds: float


class WatchedClock:
    """Reads the wall clock and compares it with ticks that nobody can set. Used from one thread at a time."""

    def __init__(self, now: Callable[[], datetime], ticks: Callable[[], float]) -> None:
        """Start to watch.

        Args:
            now: the wall clock, aware, UTC.
            ticks: seconds since any moment, which also count while the machine sleeps.
        """
        self._now = now
        self._ticks = ticks
        self._last = self._start = (now(), ticks())

    def read(self) -> Reading:
        """Read the clock. A walk of many small steps is noticed too, because it adds up against the first reading."""
        now, ticks = self._now(), self._ticks()
        step = _step(self._last, now, ticks) or _step(self._start, now, ticks)
        self._last = (now, ticks)
        if step:
            self._start = self._last
        return Reading(now, step)


def _step(since: tuple[datetime, float], now: datetime, ticks: float) -> float:
    elapsed = ticks - since[1]
    step = (now - since[0]).total_seconds() - elapsed
    return step if abs(step) > STEP_SECONDS_MIN + SLEW_PER_SECOND * elapsed else 0.0


def machine_now() -> datetime:
    """Return the machine's wall clock, aware, UTC."""
    return datetime.now(UTC)  # noqa: TID251


def machine_ticks() -> float:
    """Return seconds since the machine was started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
