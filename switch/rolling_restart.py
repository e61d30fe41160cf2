"""A rolling restart: one process after the other, each only while all others are ready. Pure: who owns the processes tells what happens.

    WAITING ──others ready──▶ DRAINING ──ended──▶ STARTING ──ready──▶ WAITING, or DONE after the last
       └──────────────────────too late, or dead again──┴──▶ HALTED

A process that does not come back halts it, so that a release or a configuration that cannot run takes one process and not all.
"""

from collections.abc import Sequence, Set
from enum import Enum


class Phase(Enum):
    """Where it stands; the value is what operators read."""

    WAITING = "waiting for the other processes"
    DRAINING = "draining"
    STARTING = "starting"
    DONE = "done"
    HALTED = "halted"


class RollingRestart:
    """One rolling restart.

    Attributes:
        phase: where it stands.
        current: the process that is being replaced, or the next one.
        why: why it was halted.

    Args:
        numbers: of the processes, in the order in which they are replaced.
        now: seconds of a clock that never steps.
        ready_seconds_max: how long a new process may take until it is ready, and the others before one is taken from them.
    """

    def __init__(self, numbers: Sequence[int], *, now: float, ready_seconds_max: float) -> None:
        self.phase = Phase.WAITING
        self.why = ""
        self._numbers = frozenset(numbers)
        self._left = list(numbers)
        self._ready_seconds_max = ready_seconds_max
        self._give_up_at = now + ready_seconds_max

    @property
    def current(self) -> int | None:
        """See the class."""
        return self._left[0] if self._left else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be done."""
        return self.phase in {Phase.DONE, Phase.HALTED}

    def look(self, ready: Set[int], now: float) -> int | None:
        """Take note of who is ready now; return the process that is to be drained at once, if one is."""
        number = self.current
        if number is None or self.is_over or self.phase is Phase.DRAINING:
            return None
        if self.phase is Phase.STARTING and number in ready:
            self._left.pop(0)
            self.phase = Phase.WAITING if self._left else Phase.DONE
            self._give_up_at = now + self._ready_seconds_max
            return self.look(ready, now)
        if self.phase is Phase.WAITING and self._numbers - {number} <= ready:
            self.phase = Phase.DRAINING
            return number
        if now >= self._give_up_at:
            missing = {number} if self.phase is Phase.STARTING else self._numbers - {number} - ready
            self.halt(f"not ready within {self._ready_seconds_max:.0f} seconds: {', '.join(map(str, sorted(missing)))}")
        return None

    def ended(self, number: int, now: float) -> None:
        """A process ended. The others may come and go: while one of them is away no further one is taken."""
        if number != self.current or self.is_over:
            return
        if self.phase is Phase.DRAINING:
            self.phase = Phase.STARTING
            self._give_up_at = now + self._ready_seconds_max
        elif self.phase is Phase.STARTING:
            self.halt(f"process {number} ended before it was ready; see its log")

    def halt(self, why: str) -> None:
        """Leave all processes that were not replaced yet as they are."""
        self.phase, self.why = Phase.HALTED, why
