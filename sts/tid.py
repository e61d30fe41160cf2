"""Token identifiers: minutes since a base date, unique per meter over credit and management tokens together."""

from datetime import UTC, datetime, timedelta
from functools import cache

from sts.codes import BaseDate
from sts.errors import FieldRangeError, require_range

TID_MAX = 0xFFFFFF
"""24 bits: the last minute of base date 2014 is 2045-11-24 20:15."""

MINUTES_PER_DAY = 1440

RESERVED_MINUTE_OF_DAY = 1
"""00:01 of every day belongs to special tokens; what is stamped with it takes 00:02."""

TIDS_PER_REQUEST_MAX = 1440
"""One call hands out at most a day of identifiers: more is a mistake of the caller."""


@cache
def base_instant(base_date: BaseDate) -> datetime:
    """Return the midnight, aware and UTC, that identifiers of *base_date* count from."""
    return datetime(base_date.year, 1, 1, tzinfo=UTC)


def is_reserved(tid: int) -> bool:
    """Say whether *tid* falls on the minute 00:01 of its day."""
    return tid % MINUTES_PER_DAY == RESERVED_MINUTE_OF_DAY


def tid_at(instant: datetime, base_date: BaseDate, *, is_special: bool = False) -> int:
    """Return the identifier of the minute that *instant* (aware) falls in.

    Args:
        instant: an aware time; seconds are cut off.
        base_date: what to count from.
        is_special: give the reserved minute 00:01 itself instead of the minute behind it.

    Raises:
        FieldRangeError: before the base date or beyond 24 bits.
    """
    assert instant.tzinfo is not None, "times are aware"
    tid = (instant - base_instant(base_date)) // timedelta(minutes=1)
    if is_reserved(tid) and not is_special:
        tid += 1
    require_range(f"token identifier from base date {base_date.year}", tid, 0, TID_MAX)
    return tid


def instant_of(tid: int, base_date: BaseDate) -> datetime:
    """Return the minute (aware, UTC) that *tid* stands for.

    Raises:
        FieldRangeError: *tid* is not 24 bits.
    """
    require_range("token identifier", tid, 0, TID_MAX)
    return base_instant(base_date) + timedelta(minutes=tid)


def next_tids(now: datetime, last_tid: int | None, base_date: BaseDate, count: int) -> tuple[int, ...]:
    """Allocate *count* identifiers for one meter, ascending, above everything it was given before.

    The first is the current minute, or one above *last_tid* if the meter was served in this minute already; each further
    one is the next minute. The reserved minute is stepped over.

    Args:
        now: aware time.
        last_tid: the highest identifier ever given to the meter under this base date; None for a meter without any.
        base_date: what to count from.
        count: 1 to `TIDS_PER_REQUEST_MAX`.

    Raises:
        FieldRangeError: the 24 bits are used up (the base date must move on), or *count* is out of range.
    """
    require_range("count of token identifiers", count, 1, TIDS_PER_REQUEST_MAX)
    candidate = tid_at(now, base_date)
    if last_tid is not None and candidate <= last_tid:
        candidate = last_tid + 1
    taken: list[int] = []
    while len(taken) < count:
        if is_reserved(candidate):
            candidate += 1
        if candidate > TID_MAX:
            raise FieldRangeError(f"no token identifiers are left under base date {base_date.year}")
        taken.append(candidate)
        candidate += 1
    return tuple(taken)
