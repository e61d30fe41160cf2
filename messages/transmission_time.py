"""Data element 7 carries month, day and time but no year; our clock tells which year is meant."""

from datetime import UTC, datetime, timedelta

_YEARS_AROUND = 8
"""29 February is at most eight years from the next one (1896 to 1904, 2096 to 2104)."""


_CERTAINLY_NEAREST = timedelta(days=182)
"""Less than half of any year: the same date of another year is farther away."""


class TransmissionTimeError(ValueError):
    """Ten digits that are no month, day and time, or not ten digits."""


def read_transmission_time(text: str, now: datetime) -> datetime:
    """Return the moment nearest to *now* that is written as *text*.

    Args:
        text: MMDDhhmmss in UTC, 10 digits.
        now: our clock, aware.

    Returns:
        Aware, in UTC, whole seconds. Of two moments equally near, the past one. 29 February gives the nearest leap year, which may be
        years away: how far from the clock is too far is the caller's decision.

    Raises:
        TransmissionTimeError: not ten digits, or no such day or time in any year.

    >>> read_transmission_time("1231235959", datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC))
    datetime.datetime(2026, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    if len(text) != 10 or not (text.isascii() and text.isdigit()):
        raise TransmissionTimeError("a transmission time is 10 digits")
    now = now.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(f"{now.year:04d}{text[:4]}T{text[4:]}Z")
        if abs(moment - now) <= _CERTAINLY_NEAREST:
            return moment
    except ValueError:
        pass  # 29 February of another year, or no such day or time
    return _nearest(text, now)


def _nearest(text: str, now: datetime) -> datetime:
    """Find the year by trying all that come into question."""
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 10, 2))
    moments = []
    # The same year first: it is nearest unless the turn of the year lies between, and then a neighbour is.
    for year in _years_to_try(now.year, month, day):
        try:
            moments.append(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
        except ValueError:
            continue
    if not moments:
        raise TransmissionTimeError("no such day or time")
    return min(moments, key=lambda moment: (abs(moment - now), moment))


def write_transmission_time(moment: datetime) -> str:
    """Write a moment as data element 7; a fraction of a second is dropped.

    >>> write_transmission_time(datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC))
    '1123160509'
    """
    if moment.tzinfo is None:
        raise ValueError("moment must be aware")
    return moment.astimezone(UTC).strftime("%m%d%H%M%S")


def _years_to_try(year: int, month: int, day: int) -> range:
    around = _YEARS_AROUND if (month, day) == (2, 29) else 1
    return range(max(1, year - around), min(9999, year + around) + 1)
