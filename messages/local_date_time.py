"""Data elements of ISO 8583:1993 with a year of two digits: the local moment of a transaction (12) and days (28)."""

from datetime import UTC, date, datetime, timedelta

from messages.transmission_time import TransmissionTimeError
from vending.calendar import BOGOTA, local_time

CENTURY = "20"
"""Nothing was sold before 2000."""

DAYS_FROM_NOW_MAX = 366
"""A clock that is farther off is broken. It also bounds the months that a request can belong to."""


def read_local_date_time(text: str, now: datetime) -> datetime:
    """Return the moment that is written as *text*.

    Args:
        text: YYMMDDhhmmss on the clocks of America/Bogota, 12 digits.
        now: our clock, aware.

    Returns:
        Aware, in UTC, whole seconds.

    Raises:
        TransmissionTimeError: not 12 digits, no such day or time, or more than `DAYS_FROM_NOW_MAX` days from *now*.

    >>> read_local_date_time("261123113030", datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)).isoformat()
    '2026-11-23T16:30:30+00:00'
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    if len(text) != 12 or not (text.isascii() and text.isdigit()):
        raise TransmissionTimeError("a local date and time is 12 digits")
    try:
        local = datetime.fromisoformat(f"{CENTURY}{text[:6]}T{text[6:]}").replace(tzinfo=BOGOTA)
    except ValueError:
        raise TransmissionTimeError("no such day or time") from None
    if abs(local - now) > timedelta(days=DAYS_FROM_NOW_MAX):
        raise TransmissionTimeError(f"more than {DAYS_FROM_NOW_MAX} days from the clock of the network")
    return local.astimezone(UTC)


def write_local_date_time(moment: datetime) -> str:
    """Write a moment as data element 12; a fraction of a second is dropped.

    >>> write_local_date_time(datetime(2026, 11, 23, 16, 30, 30, tzinfo=UTC))
    '261123113030'
    """
    return f"{local_time(moment):%y%m%d%H%M%S}"


def read_short_date(text: str) -> date:
    """Return a day that is written as YYMMDD.

    Raises:
        TransmissionTimeError: not 6 digits, or no such day.

    >>> read_short_date("261123")
    datetime.date(2026, 11, 23)
    """
    if len(text) != 6 or not (text.isascii() and text.isdigit()):
        raise TransmissionTimeError("a day is 6 digits")
    try:
        return date.fromisoformat(CENTURY + text)
    except ValueError:
        raise TransmissionTimeError("no such day") from None


def write_short_date(day: date) -> str:
    """Write a day as YYMMDD.

    >>> write_short_date(date(2026, 11, 23))
    '261123'
    """
    return f"{day:%y%m%d}"
