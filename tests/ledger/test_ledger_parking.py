"""Parked tokens in the books: money back once, tokens handed out once, caps kept, and nothing that a customer may hold."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.last_answer import find_last_answers
from ledger.resolve import unresolved
from ledger.reversal import find_originals
from tests.ledger.books import INDEBTED, NOW, PLAIN, WATER, Books, post_of, void_of
from vending.money import Centavos
from vending.order import (
    AnswerRecord,
    Conflict,
    Declined,
    LastAnswerInquiry,
    OriginalFound,
    Repeated,
    ReservedSale,
    ReversalOrder,
    SaleOrder,
)
from vending.parked import Parking, ParkingLimits
from vending.response_code import ResponseCode

LIMITS = ParkingLimits(sale_centavos_max=Centavos(5_000_000), terminal_day_centavos_max=Centavos(6_000_000))
PARKED_ACCOUNT = "SELECT balance_centavos FROM account WHERE id = 312"


def reversal_of(books: Books, order: SaleOrder, stan: str | None = None, **changes: Any) -> ReversalOrder:
    """A reversal of *order* under the policy, with a STAN of its own if one is given."""
    reversal = replace(books.reversal(order), parking=LIMITS, **changes)
    if stan is None:
        return reversal
    return replace(reversal, key=replace(reversal.key, stan=stan), digest=stan.encode())


def reverse(books: Books, *reversals: ReversalOrder) -> list[Parking]:
    """Ask for reversals of posted sales in one batch; return what became of them."""
    outcomes = []
    for found in find_originals(books.engine, reversals):
        assert isinstance(found, OriginalFound), found
        outcomes.append(found.parking)
    return outcomes


def park(books: Books, meter: int = PLAIN, paid: int = 2_000_000, **changes: Any) -> ReservedSale:
    """Sell and park."""
    order = books.order(meter, paid, **changes)
    sale = books.sell(order)
    assert reverse(books, reversal_of(books, order)) == [Parking.PARKED]
    return sale


def meter_row(books: Books, meter: int = PLAIN) -> Any:
    """The running state of a meter."""
    return books.row(
        "SELECT remainder_centavos, month_to_date_tenths, last_tid, parked_tokens FROM meter WHERE id = :id", id=meter
    )


def digits_of(sale: ReservedSale) -> list[str]:
    """The PINs that the sale was posted with."""
    return [token.reveal() for token in post_of(sale).tokens]


def test_parking_gives_the_money_and_the_commission_back_and_leaves_the_sale(books: Books) -> None:
    """Float and commission are as if nothing had been sold; debts, month and revenue are as they were sold."""
    before = books.float_row()
    commission = "SELECT balance_centavos FROM account WHERE code = 'commission:banco'"
    earned = books.value(commission)
    order = books.order(INDEBTED)
    sale = books.sell(order)
    sold = meter_row(books, INDEBTED)
    owed = books.value("SELECT sum(capital_centavos) FROM obligation WHERE meter_id = 2")
    assert books.value(commission) != earned
    assert reverse(books, reversal_of(books, order)) == [Parking.PARKED]
    assert books.float_row() == before
    assert books.value(commission) == earned
    assert books.value(PARKED_ACCOUNT) == sale.paid_centavos
    assert meter_row(books, INDEBTED)[:3] == sold[:3]
    assert meter_row(books, INDEBTED).parked_tokens == 1
    assert books.value("SELECT sum(capital_centavos) FROM obligation WHERE meter_id = 2") == owed
    assert books.check().differences == ()


def test_a_sale_is_parked_once_whoever_asks_again(books: Books) -> None:
    """The same reversal, another STAN, an advice, a network whose policy changed since: approved, and no money moves again."""
    order = books.order()
    books.sell(order)
    reversal = reversal_of(books, order)
    assert reverse(books, reversal) == [Parking.PARKED]
    before = books.float_row()
    advice = replace(reversal, key=replace(reversal.key, message_class="0420"))
    later = reversal_of(books, order, "900001")
    assert reverse(books, reversal, advice, later) == [Parking.PARKED_BEFORE] * 3
    assert reverse(books, replace(reversal_of(books, order, "900002"), parking=None)) == [Parking.PARKED_BEFORE]
    assert books.float_row() == before
    assert books.value("SELECT count(*) FROM entry WHERE kind = 'parking'") == 1
    assert books.check().differences == ()


def test_two_reversals_of_one_sale_in_a_batch_park_it_once(books: Books) -> None:
    """The first parks it and the second finds it parked; a twin of the first has its result, or conflicts with it."""
    order = books.order()
    books.sell(order)
    first, second = reversal_of(books, order), reversal_of(books, order, "900001")
    results = find_originals(books.engine, [first, second, first, replace(first, digest=b"other")])
    parkings = [result.parking for result in results if isinstance(result, OriginalFound)]
    assert parkings == [Parking.PARKED, Parking.PARKED_BEFORE, Parking.PARKED]
    assert results[3] == Conflict()
    assert books.value("SELECT count(*) FROM parked_token") == 1
    assert books.check().differences == ()


def test_the_caps_are_kept_within_a_batch_and_over_the_day(books: Books) -> None:
    """What fits is parked in order of arrival; the rest stands, also later on that day, and the next day has room again."""
    orders = [books.order(meter, 2_500_000) for meter in (1, 6, 7)]
    for order in orders:
        books.sell(order)
    reversals = [reversal_of(books, order) for order in orders]
    assert reverse(books, *reversals) == [Parking.PARKED, Parking.PARKED, Parking.ABOVE_CAP]
    small = books.order(8, 1_000_000)
    books.sell(small)
    assert reverse(books, reversal_of(books, small)) == [Parking.PARKED]
    one = books.order(9, 100_000)
    books.sell(one)
    assert reverse(books, reversal_of(books, one)) == [Parking.ABOVE_CAP]
    tomorrow = books.order(9, 100_000, received_at=NOW + timedelta(days=1))
    books.sell(tomorrow)
    next_day = reversal_of(books, tomorrow, received_at=NOW + timedelta(days=1))
    assert reverse(books, next_day) == [Parking.PARKED]
    assert books.check().differences == ()


def test_one_dear_sale_stands(books: Books) -> None:
    """Above the cap for one sale nothing is parked, and the tokens come along for the till to print."""
    order = books.order(PLAIN, 5_000_001)
    sale = books.sell(order)
    (found,) = find_originals(books.engine, [reversal_of(books, order)])
    assert isinstance(found, OriginalFound)
    assert found.parking is Parking.ABOVE_CAP
    assert [token.reveal() for token in found.tokens] == digits_of(sale)
    assert books.value(PARKED_ACCOUNT) == 0


def _answered_before(books: Books, order: SaleOrder, _sale: ReservedSale) -> None:
    earlier = replace(reversal_of(books, order, "900001"), parking=None)
    find_originals(books.engine, [earlier])
    books.post(AnswerRecord(key=earlier.key, code=ResponseCode.SALE_STANDS, answer=b"with the token"))


def _confirmed(books: Books, _order: SaleOrder, sale: ReservedSale) -> None:
    books.execute("INSERT INTO confirmation (sale_id, confirmed_at) VALUES (:id, now())", id=sale.sale_id)


def _shown_again(books: Books, order: SaleOrder, _sale: ReservedSale) -> None:
    inquiry = LastAnswerInquiry(
        acquirer_id=order.key.acquirer_id, terminal_id=order.key.terminal_id, original=order.key, asked_at=NOW
    )
    (found,) = find_last_answers(books.engine, [inquiry])
    assert found.sale is not None


def _made_good(books: Books, _order: SaleOrder, sale: ReservedSale) -> None:
    books.execute(
        "INSERT INTO adjustment (kind, meter_id, sale_id, amount_centavos, evidence, proposed_by, proposed_at) "
        "VALUES ('refund', 1, :id, 1, 'letter', 'ana', now())",
        id=sale.sale_id,
    )


@pytest.mark.parametrize("what", [_answered_before, _confirmed, _shown_again, _made_good])
def test_a_token_that_a_customer_may_hold_is_not_parked(books: Books, what: Any) -> None:
    """Money back and a token in the hand would be a gift."""
    order = books.order()
    what(books, order, books.sell(order))
    assert reverse(books, reversal_of(books, order)) == [Parking.NOT_PARKABLE]
    assert books.value("SELECT count(*) FROM parked_token") == 0


def test_a_repeat_of_a_parked_sale_is_refused_and_its_reversal_still_approved(books: Books) -> None:
    """Whoever got the money back must not get the stored answer with the PINs by repeating the sale."""
    order = books.order()
    books.sell(order)
    assert isinstance(books.reserve(order)[0], Repeated)
    assert reverse(books, reversal_of(books, order)) == [Parking.PARKED]
    assert books.reserve(order) == [Conflict()]
    assert reverse(books, reversal_of(books, order, stan="777777")) == [Parking.PARKED_BEFORE]
    assert books.check().differences == ()


def test_a_payment_stands(books: Books) -> None:
    """There is no token to keep."""
    order = books.payment(INDEBTED, 500_000)
    books.sell(order)
    assert reverse(books, reversal_of(books, order)) == [Parking.NOT_PARKABLE]
    assert books.check().differences == ()


def test_a_parked_sale_is_not_shown_again(books: Books) -> None:
    """Its digits are for whoever pays for them."""
    sale = park(books)
    inquiry = LastAnswerInquiry(
        acquirer_id=sale.key.acquirer_id, terminal_id=sale.key.terminal_id, original=None, asked_at=NOW
    )
    (found,) = find_last_answers(books.engine, [inquiry])
    assert (found.code, found.sale, tuple(found.tokens)) == (ResponseCode.ORIGINAL_NOT_FOUND, None, ())
    assert books.value("SELECT count(*) FROM reprint") == 0


def test_the_next_recharge_hands_the_parked_token_out_first(books: Books) -> None:
    """Its price is settled, the rest is an ordinary sale with a token of its own, and nothing is minted twice."""
    parked = park(books)
    before = meter_row(books)
    sale = books.reserve_one(books.order(PLAIN, 3_000_000))
    assert [(each.sale_id, each.paid_centavos) for each in sale.claimed] == [(parked.sale_id, 2_000_000)]
    assert [token.reveal() for token in sale.claimed[0].tokens] == digits_of(parked)
    assert (sale.quote.paid_centavos, sale.paid_centavos) == (1_000_000, 3_000_000)
    assert sum(order.units_tenths for order in sale.token_orders) == sale.quote.units_tenths > 0
    assert meter_row(books).parked_tokens == 0
    assert books.value(PARKED_ACCOUNT) == 2_000_000
    assert books.check().differences == ()
    balance = books.float_row().balance_centavos
    books.post(post_of(sale))
    assert books.float_row().balance_centavos - balance == 3_000_000
    assert books.value(PARKED_ACCOUNT) == 0
    assert meter_row(books).month_to_date_tenths == before.month_to_date_tenths + sale.quote.units_tenths
    assert books.value("SELECT count(*) FROM parked_token WHERE claimed_at IS NULL") == 0
    assert books.check().differences == ()
    assert books.reserve_one(books.order(PLAIN, 2_000_000)).claimed == ()


@pytest.mark.parametrize("rest", [0, 1, 99_999])
def test_a_rest_that_buys_nothing_is_kept_for_the_customer(books: Books, rest: int) -> None:
    """No token is minted for it, no debt is taken from it, and the next sale carries it in."""
    park(books, INDEBTED)
    before = meter_row(books, INDEBTED)
    sale = books.sell(books.order(INDEBTED, 2_000_000 + rest))
    assert (len(sale.claimed), tuple(sale.token_orders), sale.quote.taken) == (1, (), ())
    after = meter_row(books, INDEBTED)
    assert after.remainder_centavos == before.remainder_centavos + rest
    assert after[1:3] == before[1:3]
    assert books.check().differences == ()


def test_a_smaller_payment_is_sold_normally_and_the_token_waits(books: Books) -> None:
    """Nobody gets a token for less than it cost."""
    park(books)
    sale = books.sell(books.order(PLAIN, 1_999_900))
    assert sale.claimed == ()
    assert sale.quote.paid_centavos == 1_999_900
    assert meter_row(books).parked_tokens == 1
    assert len(books.sell(books.order(PLAIN, 2_000_000)).claimed) == 1
    assert books.check().differences == ()


def test_the_oldest_are_claimed_first_as_far_as_the_money_goes(books: Books) -> None:
    """Three wait, the payment covers two, and a batch of other meters is not disturbed."""
    orders = [books.order(PLAIN, paid) for paid in (1_000_000, 2_000_000, 1_000_000)]
    first, second, third = [books.sell(order) for order in orders]
    assert reverse(books, *[reversal_of(books, order) for order in orders]) == [Parking.PARKED] * 3
    order, other = books.order(PLAIN, 3_900_000), books.order(7)
    sales = [result.sale for result in books.reserve(order, other)]  # type: ignore[union-attr]
    assert [each.sale_id for each in sales[0].claimed] == [first.sale_id, second.sale_id]
    assert sales[1].claimed == ()
    books.post(*map(post_of, sales))
    assert meter_row(books).parked_tokens == 1
    assert [each.sale_id for each in books.sell(books.order(PLAIN, 1_000_000)).claimed] == [third.sale_id]
    assert books.check().differences == ()


def test_a_voided_claim_gives_the_token_back(books: Books) -> None:
    """The module refused the new token: the parked one waits again, and the next sale gets it."""
    parked = park(books)
    sale = books.reserve_one(books.order(PLAIN, 3_000_000))
    books.post(void_of(sale))
    assert meter_row(books).parked_tokens == 1
    assert books.value(PARKED_ACCOUNT) == 2_000_000
    assert books.check().differences == ()
    assert [each.sale_id for each in books.sell(books.order(PLAIN, 2_000_000)).claimed] == [parked.sale_id]
    assert books.check().differences == ()


def test_a_claim_found_after_a_crash_is_the_same_claim(books: Books) -> None:
    """What commit 1 bound comes back with the sale, digits and all, and posts as if nothing had happened."""
    park(books)
    sale = books.reserve_one(books.order(PLAIN, 3_000_000))
    (found,) = unresolved(books.engine, reserved_before=NOW + timedelta(hours=1), limit=10)
    assert found == sale
    assert [token.reveal() for each in found.claimed for token in each.tokens] == [
        token.reveal() for each in sale.claimed for token in each.tokens
    ]
    books.post(post_of(found))
    books.post(post_of(found))
    assert books.check().differences == ()


def test_a_sale_that_handed_out_a_parked_token_stands(books: Books) -> None:
    """Its own reversal is declined, with the claimed digits too."""
    park(books)
    order = books.order(PLAIN, 3_000_000)
    sale = books.sell(order)
    (found,) = find_originals(books.engine, [reversal_of(books, order)])
    assert isinstance(found, OriginalFound)
    assert found.parking is Parking.NOT_PARKABLE
    assert found.sale == sale
    assert books.check().differences == ()


def test_who_claims_nothing(books: Books) -> None:
    """A payment to obligations, and a recharge whose money is also meant for an obligation."""
    park(books, INDEBTED, 1_000_000)
    assert books.sell(books.payment(INDEBTED, 1_000_000)).claimed == ()
    voluntary = books.order(INDEBTED, 2_000_000, voluntary_obligation="mora", voluntary_centavos=Centavos(100_000))
    assert books.sell(voluntary).claimed == ()
    assert meter_row(books, INDEBTED).parked_tokens == 1
    assert books.check().differences == ()


def test_the_limits_of_a_sale_hold_for_a_claiming_one(books: Books) -> None:
    """The whole payment is looked at, not the rest."""
    park(books)
    (result,) = books.reserve(books.order(PLAIN, 50_000_001))
    assert isinstance(result, Declined)
    assert result.code is ResponseCode.AMOUNT_ABOVE_MAXIMUM
    assert meter_row(books).parked_tokens == 1


def test_an_ordinary_sale_asks_nothing_of_parked_tokens(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one statement more, even while a token waits on another meter."""
    from tests.ledger.books import watch_statements

    park(books, WATER)
    seen: list[str] = []
    watch_statements(monkeypatch, lambda _connection, statement: seen.append(statement))
    books.sell(books.order(PLAIN))
    assert seen
    assert [statement for statement in seen if "parked_token " in statement] == []


def test_reversals_at_the_same_time_keep_the_cap_and_park_once(books: Books) -> None:
    """Switch processes that park for one terminal wait for each other, whether they mean one sale or several."""
    orders = [books.order(meter, 2_000_000) for meter in (1, 6, 7, 8, 9)]
    for order in orders:
        books.sell(order)
    wanted = [reversal_of(books, order, f"9000{number}0") for number, order in enumerate(orders)]
    wanted += [reversal_of(books, orders[0], f"9000{number}1") for number in range(5)]
    with ThreadPoolExecutor(len(wanted)) as pool:
        outcomes = [each for done in pool.map(lambda reversal: reverse(books, reversal), wanted) for each in done]
    assert outcomes.count(Parking.PARKED) == books.value("SELECT count(*) FROM parked_token") <= 3
    assert books.value(PARKED_ACCOUNT) == 2_000_000 * outcomes.count(Parking.PARKED)
    assert books.check().differences == ()


def test_a_reversal_and_a_recharge_at_the_same_time_agree(books: Books) -> None:
    """Whichever comes first on the meter: the token is claimed or waits, and never both or neither."""
    for _ in range(10):
        order = books.order(PLAIN, 200_000)
        sold = books.sell(order)
        with ThreadPoolExecutor(2) as pool:
            parking = pool.submit(reverse, books, reversal_of(books, order))
            selling = pool.submit(books.sell, books.order(PLAIN, 200_000))
            # A sale that handed out the token of the round before stands.
            assert parking.result() == [Parking.NOT_PARKABLE if sold.claimed else Parking.PARKED]
            selling.result()
        assert books.check().differences == ()
