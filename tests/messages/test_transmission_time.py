"""Data element 7 and the year that it does not carry."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.transmission_time import TransmissionTimeError, read_transmission_time, write_transmission_time

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CLOCKS = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants naive bounds


@settings(deadline=None)
@given(CLOCKS, st.integers(-180 * 86_400, 180 * 86_400))
def test_a_moment_within_half_a_year_comes_back(now: datetime, offset_seconds: int) -> None:
    """Whatever our clock says, a time sent within half a year of it is read as that moment, 29 February included."""
    sent = now.replace(microsecond=0) + timedelta(seconds=offset_seconds)
    assert read_transmission_time(write_transmission_time(sent), now) == sent


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("1231235959", datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0101000001", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("0229120000", datetime(2028, 3, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("0229120000", datetime(2027, 3, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("0229120000", datetime(2025, 3, 1, tzinfo=UTC), datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("0229000000", datetime(2100, 2, 28, tzinfo=UTC), datetime(2096, 2, 29, tzinfo=UTC)),
        ("0701000000", datetime(2026, 12, 30, 12, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)),
        ("1123120000", NOW.astimezone(timezone(timedelta(hours=-5))), NOW),
    ],
)
def test_the_nearest_year_is_taken(text: str, now: datetime, expected: datetime) -> None:
    """The turn of the year and leap days go to the nearest year in which they exist."""
    assert read_transmission_time(text, now) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "112312000", "11231200000", "1323120000", "0023120000", "1100120000", "0230120000", "1123240000"),
        *("1123006000", "1123000060", "+123120000", "11 3120000", "١١٢٣١٢٠٠٠٠"),
    ],
)
def test_no_such_moment_is_refused(text: str) -> None:
    """A day, an hour or a form that does not exist is refused, not guessed."""
    with pytest.raises(TransmissionTimeError):
        read_transmission_time(text, NOW)


def test_a_clock_without_a_zone_is_our_fault() -> None:
    """Times are aware everywhere."""
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="aware"):
        read_transmission_time("1123120000", naive)
    with pytest.raises(ValueError, match="aware"):
        write_transmission_time(naive)


def test_a_moment_is_written_in_utc() -> None:
    """A local time in Bogotá is sent in UTC, without its fraction of a second."""
    local = datetime(2026, 11, 23, 22, 30, 5, 999_999, tzinfo=timezone(timedelta(hours=-5)))
    assert write_transmission_time(local) == "1124033005"
