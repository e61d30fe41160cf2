"""The local month of a sale."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.calendar import local_date, local_time, month_start, month_start_utc


@given(st.datetimes(datetime(1994, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - made aware there
def test_agrees_with_the_time_zone_data(moment: datetime) -> None:
    """The fixed offset is what the time-zone data base says of Colombia since its last daylight saving time."""
    assert local_date(moment) == moment.astimezone(ZoneInfo("America/Bogota")).date()
    assert local_time(moment) == moment


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 8, 1, 4, 59, 59, tzinfo=UTC), date(2026, 7, 31)),
        (datetime(2026, 8, 1, 5, 0, tzinfo=UTC), date(2026, 8, 1)),
        (datetime(2026, 1, 1, 0, 0, tzinfo=UTC), date(2025, 12, 31)),
    ],
)
def test_the_month_turns_at_local_midnight(moment: datetime, day: date) -> None:
    """A sale at 23:59 in Bogotá is of the old month although UTC is already in the next."""
    assert local_date(moment) == day


def test_month_starts() -> None:
    """The month begins on its first day, at five in the morning UTC."""
    assert month_start(date(2026, 7, 31)) == date(2026, 7, 1)
    assert month_start_utc(date(2026, 7, 31)) == datetime(2026, 7, 1, 5, tzinfo=UTC)


def test_naive_times_are_refused() -> None:
    """A time without a zone would be silently taken as the machine's."""
    naive = datetime(2026, 7, 31)  # noqa: DTZ001 - what is refused
    with pytest.raises(ValueError, match="time zone"):
        local_date(naive)
    with pytest.raises(ValueError, match="time zone"):
        local_time(naive)
