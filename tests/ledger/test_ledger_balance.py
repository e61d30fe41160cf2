"""What a network may still sell, told with every answer of the ledger that is not a sale made at once."""

from dataclasses import replace
from datetime import timedelta

from ledger.advice import confirm
from ledger.last_answer import find_last_answers
from ledger.resolve import unresolved
from ledger.reversal import find_originals
from ledger.totals import compare_totals
from tests.ledger.books import BLOCKED, NOW, PLAIN, Books
from vending.money import Centavos
from vending.order import Advised, Declined, LastAnswerFound, OriginalFound
from vending.parked import Parking, ParkingLimits
from vending.response_code import ResponseCode
from vending.settlement import Compared, Sum, TheirTotals, TotalsOrder

LIMITS = ParkingLimits(sale_centavos_max=Centavos(5_000_000), terminal_day_centavos_max=Centavos(100_000_000))
PAID = 2_000_000


def left(books: Books) -> int:
    """What the float covers, by the books."""
    return int(
        books.value(
            "SELECT credit_line_centavos - balance_centavos - pending_centavos FROM account WHERE code = 'float:banco'"
        )
    )


def test_each_reversal_of_a_batch_is_told_what_stands_behind_it(books: Books) -> None:
    """Two are parked and one between them finds nothing: the first money, the same still, then both."""
    orders = [books.order(PLAIN, PAID), books.order(6, PAID)]
    for order in orders:
        books.sell(order)
    sold = left(books)
    first, last = (replace(books.reversal(order), parking=LIMITS) for order in orders)
    unknown = books.reversal(books.order(7))
    found = find_originals(books.engine, [first, unknown, last])
    parked, stranger, parked_last = found
    assert isinstance(parked, OriginalFound)
    assert isinstance(stranger, Declined)
    assert isinstance(parked_last, OriginalFound)
    assert (parked.parking, parked_last.parking) == (Parking.PARKED, Parking.PARKED)
    told = [parked.available_centavos, stranger.available_centavos, parked_last.available_centavos]
    assert told == [sold + PAID, sold + PAID, sold + 2 * PAID]
    assert left(books) == sold + 2 * PAID
    (before,) = find_originals(books.engine, [first])
    assert isinstance(before, OriginalFound)
    assert (before.parking, before.available_centavos) == (Parking.PARKED_BEFORE, sold + 2 * PAID)


def test_advices_last_answers_and_totals_are_told_what_they_read(books: Books) -> None:
    """The float as it stands; a terminal that nobody knows is told nothing."""
    order = books.order(PLAIN, PAID)
    books.sell(order)
    stands = left(books)
    (advised,) = confirm(books.engine, [books.advice(order)])
    assert isinstance(advised, Advised)
    shown, stranger = find_last_answers(
        books.engine, [books.last_answer(), replace(books.last_answer(), terminal_id="T9")]
    )
    assert isinstance(shown, LastAnswerFound)
    compared = [
        compare_totals(books.engine, [_totals(books, terminal)])[0] for terminal in (order.key.terminal_id, "T9999999")
    ]
    assert all(isinstance(each, Compared) for each in compared)
    told = [advised, shown, stranger, *compared]
    assert [each.available_centavos for each in told] == [stands, stands, None, stands, None]  # type: ignore[union-attr]


def test_a_sale_found_after_a_crash_is_told_what_stands_then(books: Books) -> None:
    """Its own moment is gone; whoever finishes it tells the float as it is, with the sale taken."""
    sale = books.reserve_one(books.order(PLAIN, PAID))
    books.sell(books.order(6, PAID))
    (found,) = unresolved(books.engine, reserved_before=NOW + timedelta(minutes=1), limit=10)
    assert sale.available_centavos is not None
    assert found.available_centavos == sale.available_centavos - PAID == left(books)


def test_every_refusal_of_an_order_of_a_network_that_sells_tells_it(books: Books) -> None:
    """Also where the float is not the reason; a terminal or network that may not ask is told nothing."""
    blocked, forbidden = books.order(BLOCKED), books.order(PLAIN, refused=ResponseCode.WRONG_SERVICE)
    stranger = books.order(PLAIN)
    stranger = replace(stranger, key=replace(stranger.key, terminal_id="T9999999"))
    refused = books.reserve(blocked, forbidden, stranger)
    assert all(isinstance(each, Declined) for each in refused)
    stands = left(books)
    assert [each.available_centavos for each in refused] == [stands, stands, None]  # type: ignore[union-attr]


def _totals(books: Books, terminal_id: str) -> TotalsOrder:
    order = books.order()
    return TotalsOrder(
        key=replace(order.key, message_class="0500", terminal_id=terminal_id),
        digest=b"totals",
        terminal_id=terminal_id,
        settlement_date=NOW.date(),
        theirs=TheirTotals(sales=Sum(1, PAID), reversed=Sum()),
        rrn="1",
        request=b"0500",
        received_at=NOW,
    )
