"""Answers that did not leave, written and listed."""

from dataclasses import replace
from datetime import timedelta

from ledger.undelivered import read_undelivered, write_undelivered
from tests.ledger.books import NOW, Books
from vending.order import SaleOrder, UndeliveredAnswer


def _lost(order: SaleOrder, minutes: int, reason: str = "peer_lost") -> UndeliveredAnswer:
    return UndeliveredAnswer(key=order.key, reason=reason, noticed_at=NOW + timedelta(minutes=minutes))


def test_a_batch_is_written_and_listed_with_what_the_journal_knows(books: Books) -> None:
    """The newest first; a request without an outcome has no code."""
    sold, still_open = books.order(6), books.order(7)
    sale = books.sell(sold)
    reserved = books.reserve_one(still_open)
    stranger = books.order(8)
    results = write_undelivered(
        books.engine, [_lost(sold, 1), _lost(still_open, 2, "send_stalled"), _lost(stranger, 3), _lost(sold, 4)]
    )
    assert results == [None] * 4
    rows = read_undelivered(books.engine, since=NOW)
    assert [(row.stan, row.reason, row.code, row.sale_id) for row in rows] == [
        (sold.key.stan, "peer_lost", "approved", sale.sale_id),
        (stranger.key.stan, "peer_lost", None, None),
        (still_open.key.stan, "send_stalled", None, reserved.sale_id),
        (sold.key.stan, "peer_lost", "approved", sale.sale_id),
    ]
    assert rows[0].transmitted_at == sold.key.transmitted_at
    assert books.check().agree


def test_a_listing_is_of_a_time_a_terminal_and_a_number(books: Books) -> None:
    """What is older, of others, or too many is left out."""
    order = books.order()
    other = replace(order, key=replace(order.key, terminal_id="T0000002"))
    write_undelivered(books.engine, [_lost(order, minutes) for minutes in range(5)] + [_lost(other, 9)])
    assert len(read_undelivered(books.engine, since=NOW + timedelta(minutes=3))) == 3
    assert len(read_undelivered(books.engine, since=NOW, terminal_id="T0000001")) == 5
    newest = read_undelivered(books.engine, since=NOW, limit=2)
    assert [row.noticed_at for row in newest] == [NOW + timedelta(minutes=9), NOW + timedelta(minutes=4)]


def test_nobody_notices_an_empty_batch(books: Books) -> None:
    """Nothing in, nothing out."""
    assert write_undelivered(books.engine, []) == []
    assert read_undelivered(books.engine, since=NOW) == []
