"""Delivery advices: the first one of a sale is kept, each is journaled, and none of another terminal counts."""

from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import text

from ledger import advice
from ledger.advice import confirm
from ledger.reversal import find_originals
from tests.ledger.books import BLOCKED, NOW, Books, post_of, void_of
from vending.money import Centavos
from vending.order import Advised, AnswerRecord, Conflict, OriginalFound, Repeated, Unresolved
from vending.parked import Parking, ParkingLimits
from vending.response_code import ResponseCode

LIMITS = ParkingLimits(sale_centavos_max=Centavos(5_000_000), terminal_day_centavos_max=Centavos(100_000_000))
APPROVED = Advised(code=ResponseCode.APPROVED)


def _codes(results: object) -> list[ResponseCode]:
    return [result.code for result in results if isinstance(result, Advised)]  # type: ignore[attr-defined]


def test_the_first_advice_confirms_the_sale(books: Books) -> None:
    """A second one of its own STAN is approved and changes nothing; the books agree."""
    order = books.order()
    sale = books.sell(order)
    first = books.advice(order)
    later = books.advice(order, received_at=NOW.replace(hour=20))
    assert confirm(books.engine, [first]) == [APPROVED]
    assert confirm(books.engine, [later]) == [APPROVED]
    assert tuple(books.row("SELECT sale_id, confirmed_at FROM confirmation")) == (sale.sale_id, NOW)
    assert books.value("SELECT count(*) FROM journal WHERE message_class = '0220' AND code = 'approved'") == 2
    assert books.value("SELECT state FROM sale WHERE id = :id", id=sale.sale_id) == "posted"
    assert books.check().agree


def test_a_payment_is_confirmed_too(books: Books) -> None:
    """Its receipt is what the customer has."""
    order = books.payment(2, 50_000)
    books.sell(order)
    assert confirm(books.engine, [books.advice(order)]) == [APPROVED]
    assert books.check().agree


def test_a_repeat_gets_the_stored_answer(books: Books) -> None:
    """Byte for byte; before it was stored the same verdict; with other content a conflict."""
    order = books.order()
    books.sell(order)
    told = books.advice(order)
    confirm(books.engine, [told])
    (again,) = confirm(books.engine, [told])
    assert _codes([again]) == [ResponseCode.APPROVED]
    books.post(AnswerRecord(key=told.key, code=ResponseCode.APPROVED, answer=b"confirmed"))
    assert confirm(books.engine, [told, replace(told, digest=b"other")]) == [
        Repeated(answer=b"confirmed", code=ResponseCode.APPROVED),
        Conflict(),
    ]
    assert books.value("SELECT count(*) FROM confirmation") == 1
    assert books.check().agree


def test_an_open_sale_is_not_judged_and_not_journaled(books: Books) -> None:
    """The same advice later sees what became of it."""
    order = books.order()
    sale = books.reserve_one(order)
    told = books.advice(order)
    assert confirm(books.engine, [told]) == [Unresolved(sale_id=sale.sale_id)]
    assert books.value("SELECT count(*) FROM journal WHERE message_class = '0220'") == 0
    books.post(post_of(sale))
    assert confirm(books.engine, [told]) == [APPROVED]
    assert books.check().agree


def test_what_sold_nothing_is_not_found(books: Books) -> None:
    """Declined, void, unknown, barred: there is nothing that the customer could have."""
    declined, voided, unknown, barred = books.order(BLOCKED), books.order(), books.order(), books.order()
    books.reserve(declined)
    books.post(void_of(books.reserve_one(voided)))
    find_originals(books.engine, [books.reversal(barred)])
    orders = [books.advice(each) for each in (declined, voided, unknown, barred)]
    assert _codes(confirm(books.engine, orders)) == [ResponseCode.ORIGINAL_NOT_FOUND] * 4
    assert books.value("SELECT count(*) FROM confirmation") == 0
    assert books.check().agree


def test_an_advice_that_came_first_bars_nothing(books: Books) -> None:
    """It is not found, for ever; the sale is sold all the same, and a new advice confirms it."""
    order = books.order()
    early = books.advice(order)
    confirm(books.engine, [early])
    books.sell(order)
    assert _codes(confirm(books.engine, [early])) == [ResponseCode.ORIGINAL_NOT_FOUND]
    assert confirm(books.engine, [books.advice(order)]) == [APPROVED]
    assert books.check().agree


def test_another_terminals_or_networks_sale_is_not_found(books: Books) -> None:
    """Element 90 always means the sender's own sale."""
    order = books.order()
    books.sell(order)
    strangers = []
    for change in ({"terminal_id": "T0000002"}, {"acquirer_id": "parado"}):
        mine = books.advice(order)
        strangers.append(
            replace(mine, key=replace(mine.key, **change), original=replace(mine.original, **change))  # type: ignore[arg-type]
        )
    assert _codes(confirm(books.engine, strangers)) == [ResponseCode.ORIGINAL_NOT_FOUND] * 2
    assert books.value("SELECT count(*) FROM confirmation") == 0


def test_twins_within_a_batch(books: Books) -> None:
    """The same advice twice is one row and two equal results; two advices of one sale are one confirmation."""
    order = books.order()
    books.sell(order)
    told, other = books.advice(order), books.advice(order)
    assert confirm(books.engine, [told, told, replace(told, digest=b"other"), other]) == [
        APPROVED,
        APPROVED,
        Conflict(),
        APPROVED,
    ]
    assert books.value("SELECT count(*) FROM journal WHERE message_class = '0220'") == 2
    assert books.value("SELECT count(*) FROM confirmation") == 1


def test_confirmation_and_journal_are_one_transaction(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the confirmation cannot be written the advice is not journaled either."""
    order = books.order()
    books.sell(order)
    monkeypatch.setattr(advice, "_CONFIRM", text("INSERT INTO confirmation (sale_id) VALUES (1)"))
    with pytest.raises(psycopg.Error):
        confirm(books.engine, [books.advice(order)])
    assert books.value("SELECT count(*) FROM journal WHERE message_class = '0220'") == 0


def test_an_empty_batch_is_nothing(books: Books) -> None:
    """No statement at all."""
    assert confirm(books.engine, []) == []


def test_a_parked_sale_is_not_confirmed_and_a_confirmed_one_not_parked(books: Books) -> None:
    """Whichever came first stands: nobody gets his money back and keeps his token by the books."""
    parked, kept = books.order(), books.order(6)
    books.sell(parked)
    books.sell(kept)
    find_originals(books.engine, [books.reversal(parked, parking=LIMITS)])
    assert _codes(confirm(books.engine, [books.advice(parked), books.advice(kept)])) == [
        ResponseCode.ORIGINAL_NOT_FOUND,
        ResponseCode.APPROVED,
    ]
    (found,) = find_originals(books.engine, [books.reversal(kept, parking=LIMITS)])
    assert isinstance(found, OriginalFound)
    assert found.parking is not Parking.PARKED
    assert books.value("SELECT count(*) FROM confirmation") == 1
    assert books.check().agree
