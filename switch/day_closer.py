"""Closes settlement days: once a minute it has the totals of every day that is over written, and tells how late that is."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from twisted.internet.interfaces import IReactorTime

from switch.again import Again
from switch.log import Event, log
from switch.metrics import Metrics
from switch.totals import SettleStep
from vending.calendar import local_midnight
from vending.settlement import CloseDays, DaysClosed


class DayCloser(Again):
    """Looks at start and then again and again; several processes may do so at once.

    Args:
        settle: takes `CloseDays`.
        interval_seconds: between two looks.
        now: our clock, aware UTC.
        cut_overs: says, for each look, which networks' days change before midnight, and when by local time.
    """

    def __init__(
        self,
        *,
        settle: SettleStep,
        interval_seconds: float,
        metrics: Metrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
        cut_overs: Callable[[], tuple[tuple[str, time], ...]] = lambda: (),
    ) -> None:
        self._cut_overs = cut_overs
        self._settle = settle
        self._metrics = metrics
        self._now = now
        super().__init__(self.close, interval_seconds=interval_seconds, failed=Event.DAY_CLOSE_FAILED, reactor=reactor)

    async def close(self) -> None:
        """Close what can be closed now."""
        now = self._now()
        found = await self._settle.submit(CloseDays(at=now, cut_overs=self._cut_overs()))
        assert isinstance(found, DaysClosed), "closing is answered as closing"
        for acquirer_id, day in found.closed:
            log.info(Event.DAY_CLOSED, acquirer_id=acquirer_id, settlement_date=day.isoformat())
        self._metrics.cut_over_lag_seconds.set(lag_seconds([day for _, day in found.left], now))


def lag_seconds(left: list[date], now: datetime) -> int:
    """Return how long ago the oldest of these days ended by the clock; 0 when none has.

    >>> from datetime import UTC
    >>> lag_seconds([date(2026, 8, 14), date(2026, 8, 13)], datetime(2026, 8, 14, 6, tzinfo=UTC))
    3600
    """
    ends = [local_midnight(day + timedelta(days=1)) for day in left]
    return max((int((now - end).total_seconds()) for end in ends if end < now), default=0)
