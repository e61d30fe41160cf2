"""A sale on a meter whose key is behind: reserved under the new key, posted with its key change, and only then is the meter's row new."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from ledger import reserve, schema
from ledger.key_changes import RegisterRefused, add_register, set_next_tariff_index, set_successor
from ledger.last_answer import find_last_answers
from ledger.reserve import Reserver
from ledger.resolve import look
from ledger.reversal import find_originals
from ledger.tariffs import load_tariffs
from sts.codes import BaseDate
from tests.ledger.books import NOW, PLAIN, POLICY, Books, number_of, post_of, reserved_of, void_of
from vending.key_change import KeyChange, KeyChangePolicy
from vending.money import Centavos
from vending.order import Declined, LastAnswerInquiry, OriginalFound, ReservedSale, SalePost, UnresolvedLook
from vending.parked import Parking, ParkingLimits
from vending.response_code import ResponseCode
from vending.secret import Secret

KEY = "SELECT register_id, tariff_index, next_tariff_index, last_tid FROM meter WHERE id = :id"


@pytest.fixture
def books(new_database: Callable[[], Engine]) -> Books:
    """A ledger whose register 1 is followed by 5, and 5 by 6; 8 has another base date."""
    made = Books(new_database())
    for register in (5, 6):
        add_register(made.engine, register, BaseDate.Y2014, "newer")
    add_register(made.engine, 8, BaseDate.Y1993, "older")
    set_successor(made.engine, 1, 5)
    set_successor(made.engine, 5, 6)
    return made


def with_tokens(sale: ReservedSale) -> SalePost:
    """What posts a sale whose key change was minted."""
    assert sale.key_change is not None
    tokens = tuple(Secret(f"{sale.sale_id:018}{90 + section:02}") for section in range(sale.key_change.sections))
    return post_of(replace(sale, key_change=replace(sale.key_change, tokens=tokens)))


def test_a_sale_moves_its_meter_to_the_newest_register_when_it_is_posted(books: Books) -> None:
    """Over two revisions at once; the next sale is an ordinary one, and so is a sale on a meter that is not behind."""
    before = books.row(KEY, id=PLAIN)
    sale = books.reserve_one(books.order(PLAIN))
    assert (sale.meter.register_id, sale.meter.tariff_index) == (6, 1)
    change = sale.key_change
    assert change == KeyChange(
        mint_id=change.mint_id if change else 0, from_register_id=1, from_tariff_index=1, sections=2, is_rollover=False
    )
    assert books.row(KEY, id=PLAIN)[:3] == before[:3]
    (found,) = look(books.engine, [UnresolvedLook(sale_id=sale.sale_id)])[0]
    assert found == sale
    books.post(with_tokens(sale))
    assert books.row(KEY, id=PLAIN) == (6, 1, None, sale.token_orders[-1].tid)
    after = books.reserve_one(books.order(PLAIN))
    assert (after.meter.register_id, after.key_change) == (6, None)
    assert after.token_orders[0].tid > sale.token_orders[-1].tid
    books.post(post_of(after))
    assert books.check().differences == ()


def test_a_reprint_and_a_reversal_have_the_same_codes(books: Books) -> None:
    """Stored with the sale; and such a sale is never parked, because its codes would be lost with it."""
    order = books.order(PLAIN)
    post = with_tokens(books.reserve_one(order))
    books.post(post)
    asked = LastAnswerInquiry(acquirer_id="banco", terminal_id="T0000001", original=order.key, asked_at=NOW)
    (told,) = find_last_answers(books.engine, [asked])
    assert told.sale is not None
    assert told.sale.key_change == post.sale.key_change
    limits = ParkingLimits(sale_centavos_max=Centavos(10**9), terminal_day_centavos_max=Centavos(10**9))
    (reversed_,) = find_originals(books.engine, [books.reversal(order, parking=limits)])
    assert isinstance(reversed_, OriginalFound)
    assert reversed_.parking is Parking.NOT_PARKABLE
    assert reversed_.sale is not None
    assert reversed_.sale.key_change == post.sale.key_change


def test_a_void_leaves_the_meter_as_it_was(books: Books) -> None:
    """The next sale changes the key under an id of its own."""
    first = books.reserve_one(books.order(PLAIN))
    books.post(void_of(first))
    assert books.row(KEY, id=PLAIN)[0] == 1
    second = books.reserve_one(books.order(PLAIN))
    assert first.key_change is not None
    assert second.key_change is not None
    assert second.key_change.mint_id != first.key_change.mint_id
    books.post(with_tokens(second))
    assert books.check().differences == ()


def test_a_new_tariff_index_is_a_new_key(books: Books) -> None:
    """Under the same register; the index that it has already is none."""
    set_successor(books.engine, 1, None)
    assert set_next_tariff_index(books.engine, number_of(PLAIN), 7)
    sale = books.reserve_one(books.order(PLAIN))
    assert (sale.meter.register_id, sale.meter.tariff_index) == (1, 7)
    books.post(with_tokens(sale))
    assert books.row(KEY, id=PLAIN)[:3] == (1, 7, None)
    assert set_next_tariff_index(books.engine, number_of(PLAIN), 7)
    assert books.row(KEY, id=PLAIN)[2] is None
    assert not set_next_tariff_index(books.engine, "99999999999", 7)


def test_a_new_base_date_begins_its_identifiers_anew(books: Books) -> None:
    """They are smaller than the old ones; a void one stays used under the new base, and the old ones count until the post."""
    books.execute("UPDATE meter SET register_id = 8, last_tid = 16000000 WHERE id = :id", id=PLAIN)
    set_successor(books.engine, 8, 5)
    void = books.reserve_one(books.order(PLAIN))
    assert void.key_change is not None
    assert void.key_change.is_rollover
    assert void.token_orders[0].tid < 16_000_000
    assert books.row(KEY, id=PLAIN).last_tid == 16_000_000
    books.post(void_of(void))
    sale = books.reserve_one(books.order(PLAIN))
    assert sale.token_orders[0].tid == void.token_orders[-1].tid + 1
    books.post(with_tokens(sale))
    assert books.row(KEY, id=PLAIN) == (6, 1, None, sale.token_orders[-1].tid)
    later = books.reserve_one(books.order(PLAIN, received_at=NOW + timedelta(minutes=5)))
    assert later.token_orders[0].tid > sale.token_orders[-1].tid
    books.post(post_of(later))
    assert books.check().differences == ()


def test_the_policy_refuse_sells_nothing_to_a_meter_that_is_behind(books: Books) -> None:
    """A recharge is declined; a payment to debts needs no token and goes on."""
    policy = replace(POLICY, key_change=KeyChangePolicy.REFUSE)
    books.reserver = Reserver(books.engine, load_tariffs(books.engine), policy)
    (declined,) = books.reserver.reserve([books.order(PLAIN)])
    assert isinstance(declined, Declined)
    assert declined.code is ResponseCode.KEY_CHANGE_DUE
    paid = books.reserve_one(books.payment(2, 100_000))
    assert (paid.meter.register_id, paid.key_change) == (1, None)


def test_registers_do_not_follow_each_other_in_a_circle(books: Books) -> None:
    """Nor one that nobody knows."""
    with pytest.raises(RegisterRefused, match="circle"):
        set_successor(books.engine, 6, 1)
    with pytest.raises(RegisterRefused, match="knows no register 77"):
        set_successor(books.engine, 6, 77)
    with books.engine.connect() as connection:
        rows = connection.execute(schema.key_register.select().order_by(schema.key_register.c.id)).all()
    assert [(row.id, row.successor_id) for row in rows] == [(1, 5), (5, 6), (6, None), (8, None)]


def test_an_ordinary_sale_asks_nothing_more(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a row of the batch says that its meter is behind; and then the others of the batch are as ever."""
    set_successor(books.engine, 1, None)
    with monkeypatch.context() as patch:
        patch.setattr(reserve, "read_targets", lambda *_: pytest.fail("nothing is behind"))
        books.sell(books.order(6))
    assert set_next_tariff_index(books.engine, number_of(7), 9)
    sales = reserved_of(books.reserver.reserve([books.order(meter) for meter in (6, 7, 8)]))
    assert [sale.key_change is None for sale in sales] == [True, False, True]
    assert [sale.meter.tariff_index for sale in sales] == [1, 9, 1]
