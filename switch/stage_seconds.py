"""The histogram of the stages of a sale. Seven observations belong to every sale, so one costs a search and two additions.

`prometheus_client.Histogram` takes two locks and searches from the shortest bucket on, four times as much. No lock is needed here:
only the reactor's thread observes, and a scrape in another thread may miss the request of this moment either way.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""From half a millisecond (a MAC) to the longest answer deadline; each further bucket costs every scrape."""

_LABELS_OF_BUCKETS: Final = (*map(str, BUCKETS_SECONDS), "+Inf")


class StageHistogram:
    """One stage of one network."""

    __slots__ = ("counts", "sum_seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(_LABELS_OF_BUCKETS)
        """How many observations fell into each bucket, those of the smaller ones not included."""
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


class StageSeconds(Collector):
    """The histograms of all stages of all networks, for the registry."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str], StageHistogram] = {}

    def labels(self, acquirer_id: str, stage: str) -> StageHistogram:
        """Return the histogram of one stage, made when first asked for."""
        return self._children.setdefault((acquirer_id, stage), StageHistogram())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family as it stands now."""
        family = HistogramMetricFamily(
            "eudora_stage_seconds", "Time per stage of one sale.", labels=("acquirer", "stage")
        )
        for labels, child in list(self._children.items()):
            counts = accumulate(child.counts)
            family.add_metric(labels, list(zip(_LABELS_OF_BUCKETS, counts, strict=True)), child.sum_seconds)
        yield family
