"""One request's way through the stages: how long each took, and whether the next may still begin.

The deadline travels here. It is a moment of the same clock that the stages are timed with, so asking whether it has passed costs one
look at the clock and one comparison, and no request has a timer of its own.
"""

from collections.abc import Callable
from math import inf

from switch.metrics import AcquirerMetrics

_MICROSECONDS = 1_000_000


class Stages:
    """The stop-watch of one request.

    Args:
        metrics: of the network.
        monotonic: a clock in seconds.
        answer_seconds: nobody waits for the answer any more after this time from now; endless for work that nobody waits for.

    Attributes:
        deadline: when nobody waits any more, on *monotonic*.
    """

    __slots__ = ("_metrics", "_monotonic", "_started", "deadline", "microseconds", "received")

    def __init__(
        self, metrics: AcquirerMetrics, monotonic: Callable[[], float], *, answer_seconds: float = inf
    ) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self.received = self._started = monotonic()
        self.deadline = self.received + answer_seconds
        self.microseconds: dict[str, int] = {}

    def start(self) -> None:
        """A stage begins."""
        self._started = self._monotonic()

    def end(self, stage: str) -> None:
        """The stage that began last has ended; the next one begins."""
        now = self._monotonic()
        self._record(stage, now - self._started)
        self._started = now

    @property
    def left_seconds(self) -> float | None:
        """How long somebody still waits for the answer, not below zero; None: the work has no deadline."""
        return None if self.deadline == inf else max(0.0, self.deadline - self._monotonic())

    def is_too_late(self, stage: str) -> bool:
        """Whether *stage* must not begin because its answer would come too late; if so it is counted."""
        if self._monotonic() < self.deadline:
            return False
        self._metrics.leave_out(stage)
        return True

    def end_whole(self) -> None:
        """The answer is ready; only the first call counts."""
        if "whole" not in self.microseconds:
            self._record("whole", self._monotonic() - self.received)

    def _record(self, stage: str, seconds: float) -> None:
        self._metrics.stage_seconds[stage].observe(seconds)
        self.microseconds[stage] = int(seconds * _MICROSECONDS)
