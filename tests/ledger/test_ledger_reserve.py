"""Commit 1: what is reserved, what is declined and in which order, repeats, and what a reservation leaves behind."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sts.codes import BaseDate
from sts.tid import tid_at
from tests.ledger.books import (
    BLOCKED,
    INDEBTED,
    NOW,
    PLAIN,
    TARIFFLESS,
    WATER,
    Books,
    number_of,
    post_of,
    reserved_of,
    void_of,
    watch_statements,
)
from vending.money import Centavos
from vending.order import AnswerRecord, Busy, Conflict, Declined, Repeated, Reserved, Unresolved
from vending.response_code import ResponseCode
from vending.service import Service


def test_a_reservation_moves_only_the_float_and_the_meters_hold(books: Books) -> None:
    """Between the commits the books show the money as pending, and neither month, debts nor remainder have moved."""
    before = books.row("SELECT month, month_to_date_tenths, remainder_centavos FROM meter WHERE id = :id", id=INDEBTED)
    sale = books.reserve_one(books.order(INDEBTED))
    after = books.row("SELECT month, month_to_date_tenths, remainder_centavos FROM meter WHERE id = :id", id=INDEBTED)
    assert tuple(before) == tuple(after)
    assert books.value("SELECT held_by FROM meter WHERE id = :id", id=INDEBTED) == sale.sale_id
    assert books.float_row().pending_centavos == sale.paid_centavos
    assert books.value("SELECT capital_centavos FROM obligation WHERE code = 'mora'") == 6_000_000
    assert books.value("SELECT digits FROM token WHERE sale_id = :id", id=sale.sale_id) is None
    assert books.check().agree


def test_a_reservation_quotes_the_account_as_it_is(books: Books) -> None:
    """Charge, emergency, obligation and remainder all enter the quote."""
    sale = books.reserve_one(books.order(INDEBTED))
    assert [taken.id for taken in sale.quote.taken] == ["aseo", "precarga", "mora"]
    assert sale.quote.taken[0].subsidy_centavos == 150_000
    assert sale.quote.carried_in_centavos == 123
    assert sale.meter.holder == "María Ñúñez 2"
    assert sale.meter.address == 'Calle "2" \\ 3'


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"terminal_id": "T0000777"}, ResponseCode.TERMINAL_UNKNOWN),
        ({"acquirer_id": "nadie"}, ResponseCode.TERMINAL_UNKNOWN),
        ({"terminal_id": "T0000009"}, ResponseCode.TERMINAL_BLOCKED),
        ({"acquirer_id": "parado", "terminal_id": "T0000009"}, ResponseCode.TERMINAL_BLOCKED),
        ({"acquirer_id": "parado"}, ResponseCode.ACQUIRER_STOPPED),
        ({"meter": "99999999999"}, ResponseCode.METER_UNKNOWN),
        ({"meter": "99999999999", "terminal_id": "T0000777"}, ResponseCode.TERMINAL_UNKNOWN),
        ({"meter": BLOCKED}, ResponseCode.METER_BLOCKED),
        ({"meter": BLOCKED, "service": Service.GAS}, ResponseCode.METER_BLOCKED),
        ({"meter": WATER, "service": Service.ENERGY}, ResponseCode.WRONG_SERVICE),
        ({"service": Service.WATER, "paid": 1}, ResponseCode.WRONG_SERVICE),
        ({"paid": 0}, ResponseCode.AMOUNT_INVALID),
        ({"voluntary": "otra", "paid": 50_000}, ResponseCode.UNKNOWN_OBLIGATION),
        ({"paid": 99_999}, ResponseCode.AMOUNT_BELOW_MINIMUM),
        ({"paid": 50_000_001}, ResponseCode.AMOUNT_ABOVE_MAXIMUM),
        ({"meter": TARIFFLESS, "paid": 50_000_001}, ResponseCode.AMOUNT_ABOVE_MAXIMUM),
        ({"meter": TARIFFLESS}, ResponseCode.TARIFF_MISSING),
    ],
)
def test_the_first_refusal_in_precedence_is_answered_and_journaled(
    books: Books, changes: dict[str, Any], code: ResponseCode
) -> None:
    """A declined order takes nothing, is in the journal with its code, and is declined alike when it is repeated."""
    order = books.order(changes.get("meter", PLAIN), changes.get("paid", 2_000_000))
    order = replace(order, service=changes.get("service"))
    if "voluntary" in changes:
        order = replace(order, voluntary_obligation=changes["voluntary"], voluntary_centavos=Centavos(10_000))
    keys = {name: changes[name] for name in ("acquirer_id", "terminal_id") if name in changes}
    order = replace(order, key=replace(order.key, **keys))
    for _ in range(2):
        (result,) = books.reserve(order)
        assert isinstance(result, Declined)
        assert result.code is code
    assert books.value("SELECT code FROM journal") == code.value
    assert books.float_row().pending_centavos == 0
    assert books.value("SELECT count(*) FROM sale") == 0
    assert books.check().agree


@pytest.mark.parametrize(
    ("meter", "paid", "obligation", "code"),
    [
        (PLAIN, 10_000, None, ResponseCode.NOTHING_OWED),
        (INDEBTED, 10_000, "otra", ResponseCode.UNKNOWN_OBLIGATION),
        (INDEBTED, 6_250_001, None, ResponseCode.OVERPAID),
    ],
)
def test_payments_to_obligations_are_refused_by_their_own_rules(
    books: Books, meter: int, paid: int, obligation: str | None, code: ResponseCode
) -> None:
    """A payment buys no units, so nothing owed, an unknown debt or too much money is refused."""
    (result,) = books.reserve(books.payment(meter, paid, obligation))
    assert isinstance(result, Declined)
    assert result.code is code


def test_three_answers_to_one_key(books: Books) -> None:
    """New, the same again before and after the outcome, and the same key with other content."""
    order = books.order()
    sale = books.reserve_one(order)
    assert books.reserve(order) == [Unresolved(sale_id=sale.sale_id)]
    assert books.reserve(replace(order, digest=b"x" * 32)) == [Conflict()]
    books.post(post_of(sale, b"the answer"))
    assert books.reserve(order) == [Repeated(answer=b"the answer", code=ResponseCode.APPROVED)]
    assert books.reserve(replace(order, digest=b"x" * 32)) == [Conflict()]
    assert books.value("SELECT count(*) FROM sale") == 1


def test_a_declined_order_is_repeated_with_its_stored_answer(books: Books) -> None:
    """Once the answer of a decline is stored, a repeat gets those octets even though the meter was unblocked meanwhile."""
    order = books.order(BLOCKED)
    books.reserve(order)
    books.post(AnswerRecord(key=order.key, code=ResponseCode.METER_BLOCKED, answer=b"no"))
    books.execute("UPDATE meter SET status = 'active'")
    assert books.reserve(order) == [Repeated(answer=b"no", code=ResponseCode.METER_BLOCKED)]


def test_repeats_within_one_batch(books: Books) -> None:
    """The same key twice in a batch is one sale; with other content it is a conflict."""
    order = books.order()
    declined = books.order(BLOCKED)
    results = books.reserve(order, order, replace(order, digest=b"x" * 32), declined, declined)
    assert isinstance(results[0], Reserved)
    assert results[1:3] == [Unresolved(sale_id=results[0].sale.sale_id), Conflict()]
    assert isinstance(results[3], Declined)
    assert results[4] == results[3]
    assert books.check().agree


def test_the_second_sale_on_a_meter_is_busy_and_leaves_no_trace(books: Books) -> None:
    """Within a batch and between batches the first wins; the loser may come again under the same key and then succeeds."""
    first, second, third = books.order(), books.order(), books.order()
    results = books.reserve(first, second)
    assert isinstance(results[0], Reserved)
    assert results[1] == Busy(meter_id=PLAIN)
    assert books.reserve(third) == [Busy(meter_id=PLAIN)]
    assert books.value("SELECT count(*) FROM journal") == 1
    books.post(post_of(results[0].sale))
    assert len(reserved_of(books.reserve(second))) == 1
    assert books.check().agree


def test_token_identifiers_never_repeat_and_skip_the_reserved_minute(books: Books) -> None:
    """Two sales in one minute get two identifiers, a void one stays used, and 00:01 is stepped over."""
    midnight = NOW.replace(hour=0, minute=0)
    tids = []
    for ends in (post_of, void_of, post_of):
        sale = books.reserve_one(replace(books.order(), received_at=midnight))
        books.post(ends(sale))
        tids.append(sale.token_orders[0].tid)
    first = tid_at(midnight, BaseDate.Y2014)
    assert tids == [first, first + 2, first + 3]
    assert books.check().agree


def test_a_large_sale_gets_several_tokens_with_identifiers_of_their_own(books: Books) -> None:
    """What does not fit into one token is split, and all the tokens are reserved and posted together."""
    books.execute('UPDATE tariff_version SET blocks = \'[{"up_to": null, "rate": 20000, "full_rate": 20000}]\'')
    books.load_tariffs()
    large = books.sell(books.order(PLAIN, 1_000_000))
    assert [token.units_tenths for token in large.token_orders] == [16_383, 16_383, 16_383, 851]
    assert books.value("SELECT count(DISTINCT tid) FROM token WHERE meter_id = :id", id=PLAIN) == 4
    assert books.check().agree


def test_the_month_is_local_and_starts_anew(books: Books) -> None:
    """At 23:00 on the last day in Bogotá the old month's block still fills; an hour later a new one begins."""
    last_evening = NOW.replace(month=9, day=1, hour=4, minute=0)
    books.sell(books.order())
    august = books.reserve_one(replace(books.order(), received_at=last_evening))
    assert august.local_date.month == 8
    assert august.quote.month_to_date_tenths == 555 + august.quote.units_tenths
    books.post(post_of(august))
    september = books.sell(replace(books.order(), received_at=last_evening + timedelta(hours=1)))
    assert september.quote.month_to_date_tenths == september.quote.units_tenths
    row = books.row("SELECT month, month_to_date_tenths FROM meter WHERE id = :id", id=PLAIN)
    assert tuple(row) == (202609, september.quote.units_tenths)
    assert books.check().agree


def test_a_clock_that_goes_back_a_month_does_not_open_a_second_block(books: Books) -> None:
    """A sale stamped in the month before counts on top of the month that was reached."""
    books.sell(replace(books.order(), received_at=NOW + timedelta(days=31)))
    again = books.sell(books.order())
    assert again.quote.month_to_date_tenths > again.quote.units_tenths
    assert books.value("SELECT month FROM meter WHERE id = :id", id=PLAIN) == 202609
    assert books.check().agree


def test_the_number_of_statements_does_not_grow_with_the_batch(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of twelve sales takes exactly as many statements as a batch of one."""
    statements: list[str] = []
    watch_statements(monkeypatch, lambda _, statement: statements.append(statement))
    counts = []
    for meters in ([INDEBTED], [INDEBTED, 1, 4, 6, 7, 8, 9, 10, 11, 12]):
        statements.clear()
        sales = reserved_of(books.reserve(*[books.order(meter) for meter in meters]))
        books.post(*[post_of(sale) for sale in sales])
        assert len(sales) == len(meters)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_numbers_of_meters_are_texts(books: Books) -> None:
    """Leading zeros count, and a quote in a number is no way into the statement."""
    for number in (number_of(PLAIN).lstrip("0"), "'; DROP TABLE sale; --", '{"\\'):
        (result,) = books.reserve(books.order(number))
        assert isinstance(result, Declined)
        assert result.code is ResponseCode.METER_UNKNOWN
