"""How long each step of one request took: for the histogram of its network and for its line in the log."""

from collections.abc import Callable

from switch.metrics import AcquirerMetrics

_MICROSECONDS = 1_000_000


class Stages:
    """The stop-watch of one request.

    Args:
        metrics: of the network.
        monotonic: a clock in seconds.
    """

    __slots__ = ("_histograms", "_monotonic", "_started", "microseconds", "received")

    def __init__(self, metrics: AcquirerMetrics, monotonic: Callable[[], float]) -> None:
        self._histograms = metrics.stage_seconds
        self._monotonic = monotonic
        self.received = self._started = monotonic()
        self.microseconds: dict[str, int] = {}

    def start(self) -> None:
        """A stage begins."""
        self._started = self._monotonic()

    def end(self, stage: str) -> None:
        """The stage that began last has ended; the next one begins."""
        now = self._monotonic()
        self._record(stage, now - self._started)
        self._started = now

    def end_whole(self) -> None:
        """The answer is ready; only the first call counts."""
        if "whole" not in self.microseconds:
            self._record("whole", self._monotonic() - self.received)

    def _record(self, stage: str, seconds: float) -> None:
        self._histograms[stage].observe(seconds)
        self.microseconds[stage] = int(seconds * _MICROSECONDS)
