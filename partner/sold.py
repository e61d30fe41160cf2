"""What a terminal counts itself of what it was answered, to be held against the totals of the books."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from acquirers.iso1987_totals import DEBIT_REVERSALS, DEBITS, PAYMENTS_TAG, RECHARGES_TAG, read_sum
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos.answers import read_records_told
from pos.tally import Sold, given_back, sold_on
from vending.settlement import DayTotals, Sum

APPROVED = "00"


def counted(request: IsoMessage, records: Sequence[IsoMessage], answer: IsoMessage, at: datetime) -> list[Sold]:
    """Return what one approved answer adds: a sale, or the payments of a batch. Both in the words of ``datafono``.

    Args:
        request: what was asked.
        records: of a batch: the messages inside.
        answer: whose 39 says approved.
        at: when it was asked for, aware.
    """
    day = answer.get(15)
    if request.message_class == "0200" and day is not None and 38 in answer:
        return [sold_on(request, day, at)]
    if not records:
        return []
    told = read_records_told(answer)
    return [
        sold_on(record, each.day, at)
        for record, each in zip(records, told, strict=False)
        if each.code == APPROVED and each.day and record.message_class == "0200"
    ]


def undone(request: IsoMessage, sold: Mapping[tuple[str, str], Sold]) -> Sold | None:
    """Return what an approved reversal gives back; None where what it names was never sold.

    Args:
        request: the reversal, in the words of ``datafono``.
        sold: what was sold, by STAN and transmission time.
    """
    original = request.get(90) or ""
    found = sold.get((original[4:10], original[10:20]))
    return None if found is None else given_back(found)


def read_totals(answer: IsoMessage) -> DayTotals:
    """Return the totals of the books that an answer to 0500 or 0520 carries; none at all where it has none."""
    if DEBITS[0] not in answer:
        return DayTotals()
    elements = parse_sub_elements(answer.get(48) or "")
    recharges, payments = first_value(elements, RECHARGES_TAG), first_value(elements, PAYMENTS_TAG)
    reversals = Sum(answer.number(DEBIT_REVERSALS[0]), answer.number(DEBIT_REVERSALS[1]))
    if recharges is None or payments is None:
        sales = Sum(answer.number(DEBITS[0]), answer.number(DEBITS[1]))
        return DayTotals(recharges=sales, reversed=reversals)
    return DayTotals(recharges=read_sum(recharges), payments=read_sum(payments), reversed=reversals)


def added(before: DayTotals, more: DayTotals) -> DayTotals:
    """Return the sum of both."""
    return DayTotals(
        recharges=before.recharges + more.recharges,
        payments=before.payments + more.payments,
        reversed=before.reversed + more.reversed,
    )


def settled_day(found: Sequence[Sold], otherwise: date) -> date:
    """Return the latest settlement day among them."""
    return max((each.day for each in found), default=otherwise)
