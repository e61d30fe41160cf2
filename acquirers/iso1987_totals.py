"""Totals of a settlement day in ISO 8583:1987: which data elements say what. Source: docs/wire/datafono.md.

Every sale takes from the network's float, so every sale is a debit (76, 88) and what was given back a reversal of one (77, 89); the
standard has no element that tells recharges from payments, so data element 48 does.
"""

from acquirers.digest import digest_of
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements, write_sub_elements
from vending.response_code import Refusal, ResponseCode
from vending.settlement import Compared, Sum, TheirTotals, TotalsOrder

TERMINAL_TOTALS_CLASS = "0500"
NETWORK_TOTALS_CLASS = "0520"
TOTALS_CLASSES = frozenset({TERMINAL_TOTALS_CLASS, NETWORK_TOTALS_CLASS})
"""Of one terminal, and of all terminals of its network."""

SETTLEMENT_DATE = 15
DEBITS, DEBIT_REVERSALS = (76, 88), (77, 89)
"""Data elements of a number and of its amount."""

NET = 97

CREDITS = (74, 75, 86, 87)
"""Nothing that we sell is a credit: where they are sent they are zero."""

TOTALS_DIGEST_FIELDS = (15, 41, 42, 48, 74, 75, 76, 77, 86, 87, 88, 89, 97)
"""What makes two requests under one key the same."""

RECHARGES_TAG, PAYMENTS_TAG, OPEN_TAG = "RE", "PA", "OP"
DIFFERENCE_TAG, REVERSALS_DIFFERENCE_TAG = "DF", "DR"


def read_theirs(message: IsoMessage) -> TheirTotals:
    """Return the totals that a request carries.

    Raises:
        FieldMissing, FieldMalformed, SubElementError: a data element is not there or cannot be read.
        Refusal: `FORMAT_ERROR`: the numbers contradict each other.
    """
    if any(message.number(number) for number in CREDITS if number in message):
        raise Refusal(ResponseCode.FORMAT_ERROR, "nothing that is sold here is a credit")
    sales, reversals = _sum_of(message, DEBITS), _sum_of(message, DEBIT_REVERSALS)
    net = message.get(NET)
    if net is not None and _signed(net) != reversals.centavos - sales.centavos:
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 97 is not 88 less 89")
    by_kind = _by_kind(message)
    if by_kind is not None and by_kind[0] + by_kind[1] != sales:
        raise Refusal(ResponseCode.FORMAT_ERROR, "sub-elements RE and PA do not add up to 76 and 88")
    return TheirTotals(sales=sales, reversed=reversals, by_kind=by_kind)


def totals_digest(message: IsoMessage) -> bytes:
    """Return the digest over `TOTALS_DIGEST_FIELDS`."""
    return digest_of(message, TOTALS_DIGEST_FIELDS)


def totals_fields(message: IsoMessage, order: TotalsOrder, compared: Compared) -> dict[int, str]:
    """Data elements of the answer: the day, and our totals beside the difference."""
    return {SETTLEMENT_DATE: message.text(SETTLEMENT_DATE), **totals_details(order, compared)}


def totals_details(order: TotalsOrder, compared: Compared) -> dict[int, str]:
    """The same without the day, as in every version of the standard."""
    ours = compared.ours
    lines = [
        (RECHARGES_TAG, write_sum(ours.totals.recharges)),
        (PAYMENTS_TAG, write_sum(ours.totals.payments)),
        (OPEN_TAG, write_sum(ours.open)),
    ]
    if compared.code is ResponseCode.TOTALS_DIFFER:
        lines.append((DIFFERENCE_TAG, write_sum(ours.totals.sales - order.theirs.sales)))
        lines.append((REVERSALS_DIFFERENCE_TAG, write_sum(ours.totals.reversed - order.theirs.reversed)))
    return {48: write_sub_elements(lines), **sums_as_fields(ours.totals.sales, ours.totals.reversed)}


def sums_as_fields(sales: Sum, reversals: Sum) -> dict[int, str]:
    """Write the sums of a day as data elements 76, 77, 88, 89 and 97; requests and answers have the same."""
    net_centavos = sales.centavos - reversals.centavos
    return {
        DEBITS[0]: f"{sales.count:010}",
        DEBIT_REVERSALS[0]: f"{reversals.count:010}",
        DEBITS[1]: f"{sales.centavos:016}",
        DEBIT_REVERSALS[1]: f"{reversals.centavos:016}",
        NET: f"{'D' if net_centavos >= 0 else 'C'}{abs(net_centavos):016}",
    }


def write_sum(found: Sum) -> str:
    """Write a sub-element: how many, and their centavos.

    >>> write_sum(Sum(-1, -2_000_000))
    '-1;-2000000'
    """
    return f"{found.count};{found.centavos}"


def read_sum(text: str) -> Sum:
    """Read what `write_sum` wrote, without signs.

    Raises:
        Refusal: `FORMAT_ERROR`.
    """
    count, semicolon, centavos = text.partition(";")
    if not (semicolon and text.isascii() and count.isdigit() and centavos.isdigit() and len(text) <= 32):
        raise Refusal(ResponseCode.FORMAT_ERROR, "a sum is a number, a semicolon and centavos")
    return Sum(int(count), int(centavos))


def _sum_of(message: IsoMessage, elements: tuple[int, int]) -> Sum:
    return Sum(message.number(elements[0]), message.number(elements[1]))


def _by_kind(message: IsoMessage) -> tuple[Sum, Sum] | None:
    elements = parse_sub_elements(message.get(48) or "")
    recharges, payments = first_value(elements, RECHARGES_TAG), first_value(elements, PAYMENTS_TAG)
    if (recharges is None) != (payments is None):
        raise Refusal(ResponseCode.FORMAT_ERROR, "sub-elements RE and PA go together")
    return None if recharges is None or payments is None else (read_sum(recharges), read_sum(payments))


def _signed(text: str) -> int:
    """A credit counts up, a debit down."""
    return int(text[1:]) * (1 if text[0] == "C" else -1)
