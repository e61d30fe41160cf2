"""The local calendar of a sale: its month decides which part of the tariff's blocks is left.

Colombia is five hours behind UTC all year: it has had no daylight saving time since 1993, so a fixed offset is exact and needs no
time-zone data on the machine.
"""

from datetime import UTC, date, datetime, timedelta, timezone

BOGOTA = timezone(timedelta(hours=-5), "America/Bogota")


def local_date(moment: datetime) -> date:
    """Return the day in America/Bogota at *moment*, which must be aware.

    >>> local_date(datetime(2026, 8, 1, 4, 59, tzinfo=UTC))
    datetime.date(2026, 7, 31)
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(BOGOTA).date()


def local_time(moment: datetime) -> datetime:
    """Return *moment*, which must be aware, on the clocks of America/Bogota."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(BOGOTA)


def month_start(day: date) -> date:
    """Return the first day of the month of *day*.

    >>> month_start(date(2026, 2, 28))
    datetime.date(2026, 2, 1)
    """
    return day.replace(day=1)


def local_midnight(day: date) -> datetime:
    """Return the moment, in UTC, at which the local *day* begins.

    >>> local_midnight(date(2026, 8, 14)).isoformat()
    '2026-08-14T05:00:00+00:00'
    """
    return datetime(day.year, day.month, day.day, tzinfo=BOGOTA).astimezone(UTC)


def month_start_utc(day: date) -> datetime:
    """Return the moment, in UTC, at which the local month of *day* begins.

    >>> month_start_utc(date(2026, 2, 28)).isoformat()
    '2026-02-01T05:00:00+00:00'
    """
    return datetime(day.year, day.month, 1, tzinfo=BOGOTA).astimezone(UTC)
