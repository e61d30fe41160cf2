"""What a terminal sold, by settlement day: counted once for each sale that an answer said stands, under the day that the answer names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from messages.codec import DATAFONO
from messages.iso_message import DecodeError, IsoMessage
from vending.settlement import DayTotals, Sum, settlement_day

DAYS_KEPT_MAX = 62
"""Two months: longer nobody waits with closing a day."""

_PAYMENT_PREFIX = "53"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """One sale that stands: its day, and what it adds to it."""

    day: date
    totals: DayTotals


@dataclass(frozen=True, slots=True)
class Tally:
    """The days, in the order in which they began."""

    days: Mapping[date, DayTotals] = field(default_factory=dict)

    def of(self, day: date) -> DayTotals:
        """Return what was sold on a day."""
        return self.days.get(day, DayTotals())

    @property
    def last_day(self) -> date | None:
        """The latest day with a sale."""
        return max(self.days, default=None)

    def with_sold(self, sold: Sold) -> "Tally":
        """Count a sale."""
        before = self.of(sold.day)
        after = replace(
            before,
            recharges=before.recharges + sold.totals.recharges,
            payments=before.payments + sold.totals.payments,
            reversed=before.reversed + sold.totals.reversed,
        )
        days = {**self.days, sold.day: after}
        return Tally(dict(sorted(days.items())[-DAYS_KEPT_MAX:]))

    def as_state(self) -> dict[str, Any]:
        """Return it as the terminal's file holds it."""
        return {day.isoformat(): [_state(totals) for totals in _sums(all_of)] for day, all_of in self.days.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Tally":
        """Read what `as_state` wrote; raises `ValueError` or `TypeError` if it is damaged."""
        days = {}
        for text, sums in state.items():
            recharges, payments, reversals = (Sum(int(count), int(centavos)) for count, centavos in sums)
            days[date.fromisoformat(text)] = DayTotals(recharges=recharges, payments=payments, reversed=reversals)
        return cls(days)


def sold_by(request: bytes, answer: bytes, at: datetime) -> Sold | None:
    """Return what an answer says was sold; None where it says of no sale that it stands.

    Args:
        request: the sale's own request.
        answer: to it, to its reversal, or to a question about it: only a sale that stands has a settlement day (15) and an approval (38).
        at: when it was asked for, aware.
    """
    try:
        message, told = DATAFONO.decode(request), DATAFONO.decode(answer)
    except DecodeError:
        return None
    day = told.get(15)
    if day is None or 38 not in told:
        return None
    return sold_on(message, day, at)


def sold_on(message: IsoMessage, day: str, at: datetime) -> Sold:
    """Return what the sale that *message* asked for adds to the settlement day MMDD; *at* is when it was asked for."""
    one = Sum(1, message.number(4))
    is_payment = message.text(3).startswith(_PAYMENT_PREFIX)
    totals = DayTotals(payments=one) if is_payment else DayTotals(recharges=one)
    return Sold(day=settlement_day(day, at), totals=totals)


def given_back(sold: Sold) -> Sold:
    """Return what the reversal of a sale that was counted adds."""
    return Sold(day=sold.day, totals=DayTotals(reversed=sold.totals.sales))


def _sums(totals: DayTotals) -> tuple[Sum, Sum, Sum]:
    return totals.recharges, totals.payments, totals.reversed


def _state(found: Sum) -> list[int]:
    return [found.count, found.centavos]
