"""Settlement days: on whose totals a sale stands, and how the totals of two sides are compared.

Every sale is stamped once, when it is reserved, with the later of its network's settlement date and the local day of its reception. A
day is therefore only ever compared and closed here, never assigned.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, time

from vending.calendar import local_date
from vending.money import Centavos
from vending.order import Conflict, Declined, Repeated, RequestKey
from vending.response_code import Refusal, ResponseCode

YEARS_AROUND = 8
"""29 February is at most eight years from the next one."""


@dataclass(frozen=True, slots=True)
class Sum:
    """How many, and their money."""

    count: int = 0
    centavos: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.count + other.count, self.centavos + other.centavos)

    def __sub__(self, other: "Sum") -> "Sum":
        return Sum(self.count - other.count, self.centavos - other.centavos)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """What one side says was sold: recharges and payments that took money, and those of them that gave it back."""

    recharges: Sum = Sum()
    payments: Sum = Sum()
    reversed: Sum = Sum()

    @property
    def sales(self) -> Sum:
        """Recharges and payments together."""
        return self.recharges + self.payments

    @property
    def net_centavos(self) -> int:
        """What the network owes for the day."""
        return self.sales.centavos - self.reversed.centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirTotals:
    """What a terminal or a network sent. ``by_kind`` is None where it gave only the sum of all sales."""

    sales: Sum
    reversed: Sum
    by_kind: tuple[Sum, Sum] | None = None
    """Recharges and payments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OurTotals:
    """What the books say. ``open`` are sales of the day whose outcome is not known yet; they are in no other sum."""

    totals: DayTotals
    open: Sum = Sum()
    is_closed: bool = False
    """Whether the day is closed and its totals are final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsOrder:
    """A 0500 or 0520: compare ``theirs`` for a settlement day with the books.

    ``terminal_id`` is None for the whole network; ``key.terminal_id`` is whoever asks.
    """

    key: RequestKey
    digest: bytes
    terminal_id: str | None
    settlement_date: date
    theirs: TheirTotals
    rrn: str
    request: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The ledger's answer to a `TotalsOrder`: journaled and compared; the stored answer is still to be made.

    ``available_centavos`` is what the network may still sell now; None where the terminal is not known.
    """

    code: ResponseCode
    ours: OurTotals
    available_centavos: Centavos | None = field(default=None, compare=False)


TotalsResult = Compared | Declined | Repeated | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOverOrder:
    """An 0800 with code 201: close the settlement day ``closing``; sales that are reserved from now on stand on the next one."""

    acquirer_id: str
    terminal_id: str
    closing: date
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOver:
    """The ledger's answer to a `CutOverOrder`. ``is_moved`` is False for a repeat, or where the clock was first."""

    code: ResponseCode
    is_moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDays:
    """Write the totals of every settlement day that is over at ``at``.

    ``cut_overs`` are networks whose day changes before midnight, and when by local time; from then on their sales stand on the next day.
    """

    at: datetime
    cut_overs: tuple[tuple[str, time], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysClosed:
    """The ledger's answer to `CloseDays`: what was closed now, and what had to stay open, as (acquirer, day)."""

    closed: tuple[tuple[str, date], ...]
    left: tuple[tuple[str, date], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtNetworks:
    """Read every network's float, and write the settlement files that are missing in these (network, directory).

    ``told`` are the networks that get a notice of each file, with the terminal to which it is addressed.
    """

    at: datetime
    directories: tuple[tuple[str, str], ...] = ()
    told: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatLevel:
    """What a network may still sell, and below which somebody is warned (0: never)."""

    acquirer_id: str
    available_centavos: int
    warning_centavos: int

    @property
    def is_low(self) -> bool:
        """Whether somebody should be warned."""
        return self.available_centavos < self.warning_centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworksSeen:
    """The ledger's answer to `LookAtNetworks`: files as (network, day), failures as (network, reason)."""

    floats: tuple[FloatLevel, ...]
    delivered: tuple[tuple[str, date], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def agrees(theirs: TheirTotals, ours: DayTotals) -> bool:
    """Whether both sides say the same, in every number that was sent."""
    if (theirs.sales, theirs.reversed) != (ours.sales, ours.reversed):
        return False
    return theirs.by_kind in (None, (ours.recharges, ours.payments))


def settlement_day(text: str, now: datetime) -> date:
    """Return the day nearest to today that is written as *text*, MMDD; of two equally near the past one.

    Args:
        text: data element 15.
        now: our clock, aware.

    Raises:
        Refusal: `FORMAT_ERROR` when there is no such day.

    >>> from datetime import UTC
    >>> settlement_day("1231", datetime(2027, 1, 1, 12, tzinfo=UTC))
    datetime.date(2026, 12, 31)
    """
    today = local_date(now)
    if len(text) != 4 or not (text.isascii() and text.isdigit()):
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 15 is not 4 digits")
    month, day = int(text[:2]), int(text[2:])
    days = []
    for year in range(max(1, today.year - YEARS_AROUND), today.year + YEARS_AROUND + 1):
        try:
            days.append(date(year, month, day))
        except ValueError:
            continue
    if not days:
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 15 is no day")
    return min(days, key=lambda each: (abs(each - today), each))


def write_settlement_day(day: date) -> str:
    """Write a day as data element 15.

    >>> write_settlement_day(date(2026, 8, 14))
    '0814'
    """
    return f"{day:%m%d}"
