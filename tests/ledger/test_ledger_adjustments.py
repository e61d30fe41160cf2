"""Adjustments against a real database: what an approval writes, what is refused, and who comes second."""

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from ledger import adjustments
from ledger.adjustment_rules import adjustment_lines
from ledger.adjustments import Adjustment
from ledger.chart import Account
from ledger.database import open_engine
from ledger.reversal import find_originals
from tests.ledger.books import BLOCKED, INDEBTED, NOW, PLAIN, WATER, Books, number_of, post_of, reserved_of, void_of
from tests.ledger.test_ledger_check import Count
from tests.ledger.test_ledger_parking import reversal_of, reverse
from vending.adjustment import AdjustmentKind, AdjustmentRefusal, AdjustmentRefused, AdjustmentState, Proposal
from vending.engineering import EngineeringKind, EngineeringRequest
from vending.money import Centavos
from vending.order import Busy
from vending.parked import Parking
from vending.ports import MintRequest
from vending.secret import Secret

REFUND, CREDIT = AdjustmentKind.REFUND, AdjustmentKind.CREDIT
FREE, REPLACEMENT = AdjustmentKind.FREE_TOKEN, AdjustmentKind.REPLACEMENT_TOKEN
DIGITS = Secret("12345678901234567890")


def propose(books: Books, kind: AdjustmentKind, **values: Any) -> Adjustment:
    """A proposal of ana; ``meter`` is one of the test town."""
    meter = values.pop("meter", None)
    number = None if meter is None else number_of(meter)
    proposal = Proposal(kind=kind, proposed_by="ana", evidence="caso 17, acta firmada", meter_number=number, **values)
    return adjustments.propose(books.engine, proposal, NOW)


def approve(books: Books, adjustment: Adjustment, user: str = "luz", **later: int) -> Adjustment:
    """An approval, by luz if nobody else is named."""
    return adjustments.approve(books.engine, adjustment.adjustment_id, user, NOW + timedelta(**later))


def refused(books: Books, kind: AdjustmentKind, **values: Any) -> AdjustmentRefusal:
    """Why a proposal is refused."""
    with pytest.raises(AdjustmentRefused) as raised:
        propose(books, kind, **values)
    assert books.value("SELECT count(*) FROM adjustment") == 0
    return raised.value.reason


def not_approved(books: Books, adjustment: Adjustment, user: str = "luz") -> AdjustmentRefusal:
    """Why an approval is refused; it must have changed nothing."""
    before = state_of(books)
    with pytest.raises(AdjustmentRefused) as raised:
        approve(books, adjustment, user)
    assert state_of(books) == before
    return raised.value.reason


def state_of(books: Books) -> Any:
    """Everything that an approval may change."""
    return [
        books.value(f"SELECT coalesce(json_agg(t ORDER BY t::text)::text, '') FROM {table} AS t")
        for table in ("adjustment", "adjustment_token", "entry", "posting", "account", "meter")
    ]


def lines_of(books: Books, entry_id: int | None) -> list[tuple[int, int, int | None]]:
    """The postings of an entry."""
    rows = books.value(
        "SELECT json_agg(json_build_array(account_id, amount_centavos, meter_id) ORDER BY line) FROM posting WHERE entry_id = :id",
        id=entry_id,
    )
    return [tuple(row) for row in rows]


@given(kind=st.sampled_from([REFUND, CREDIT]), amount=st.integers(min_value=1, max_value=10**12))
def test_lines_sum_to_zero_and_cost_what_was_given(kind: AdjustmentKind, amount: int) -> None:
    """The account of adjustments carries the whole amount, and only a credit is a line of the meter."""
    lines = adjustment_lines(kind, Centavos(amount))
    assert sum(line.amount_centavos for line in lines) == 0
    assert {line.account_id: line.amount_centavos for line in lines}[Account.ADJUSTMENTS] == amount
    assert [line.is_remainder for line in lines if line.amount_centavos < 0] == [kind is CREDIT]


def test_a_refund_is_a_cost_paid_out_of_the_bank(books: Books) -> None:
    """The sale's own entry stays; the new one says what it is about, and who signed is known."""
    sale = books.sell(books.order())
    proposed = propose(books, REFUND, sale_id=sale.sale_id, amount_centavos=2_000_000)
    assert (proposed.state, proposed.entry_id) == (AdjustmentState.PROPOSED, None)
    assert books.value("SELECT count(*) FROM entry WHERE kind = 'adjustment'") == 0
    done = approve(books, proposed)
    assert (done.state, done.proposed_by, done.decided_by) == (AdjustmentState.APPROVED, "ana", "luz")
    assert sorted(lines_of(books, done.entry_id)) == [
        (Account.BANK, -2_000_000, None),
        (Account.ADJUSTMENTS, 2_000_000, None),
    ]
    entry = books.row("SELECT kind, memo FROM entry WHERE id = :id", id=done.entry_id)
    assert tuple(entry) == ("adjustment", f"adjustment {done.adjustment_id}: refund of sale {sale.sale_id}")
    assert (
        books.value("SELECT remainder_centavos FROM meter WHERE id = :id", id=PLAIN) == sale.quote.carried_out_centavos
    )
    assert books.check().agree


def test_the_next_sale_carries_a_credit_in(books: Books) -> None:
    """The remainder grows by it, and the customer gets units for it with his next purchase."""
    done = approve(books, propose(books, CREDIT, meter=PLAIN, amount_centavos=1_000_000))
    assert sorted(lines_of(books, done.entry_id)) == [
        (Account.CUSTOMER_REMAINDERS, -1_000_000, PLAIN),
        (Account.ADJUSTMENTS, 1_000_000, None),
    ]
    assert books.check().agree
    quote = books.sell(books.order(PLAIN, 1_000_000)).quote
    assert quote.carried_in_centavos == 1_000_000
    assert quote.units_tenths == books.sell(books.order(6, 2_000_000)).quote.units_tenths
    assert books.check().agree


def test_a_free_token_spends_an_identifier_and_neither_money_nor_block(books: Books) -> None:
    """Its identifier lies above all others of the meter, the next sale's above it; the month's block is left to purchases."""
    sold = books.sell(books.order())
    accounts = "SELECT json_agg(a ORDER BY id)::text FROM account AS a"
    month = "SELECT month_to_date_tenths FROM meter WHERE id = 1"
    before = books.value(accounts), books.value(month)
    done = approve(books, propose(books, FREE, meter=PLAIN, units_tenths=300))
    assert done.token is not None
    assert done.is_open
    assert isinstance(done.token.request, MintRequest)
    ((tid, units),) = done.token.request.tokens
    assert units == 300
    assert tid > sold.token_orders[-1].tid
    assert books.value("SELECT last_tid FROM meter WHERE id = 1") == tid
    assert books.check().agree
    finished = adjustments.store_token(books.engine, done.adjustment_id, DIGITS, NOW)
    assert not finished.is_open
    assert (books.value(accounts), books.value(month)) == before
    assert books.sell(books.order()).token_orders[0].tid > tid
    assert books.check().agree


def test_the_module_is_asked_by_an_id_that_no_sale_has_and_for_the_meter(books: Books) -> None:
    """Ids of sales and of adjustments' tokens come from one sequence: the module tells requests apart by nothing else."""
    sale = books.sell(books.order(WATER))
    done = approve(books, propose(books, REPLACEMENT, sale_id=sale.sale_id, units_tenths=10))
    assert done.token is not None
    request = done.token.request
    assert isinstance(request, MintRequest)
    later = books.sell(books.order(WATER))
    assert sale.sale_id < request.request_id < later.sale_id
    meter = sale.meter
    asked = (request.pan, request.register_id, request.tariff_index, request.encryption_algorithm, request.subclass)
    assert asked == (meter.pan, meter.register_id, meter.tariff_index, meter.encryption_algorithm, 1)


def test_the_counters_of_the_module_include_these_tokens(books: Books) -> None:
    """An open token may have been minted; a stored one has been."""
    done = approve(books, propose(books, FREE, meter=PLAIN, units_tenths=300))
    none, minted = {1: Count(0, 0)}, {1: Count(1, 300)}
    assert books.check(counters=none).agree
    assert books.check(counters=minted).agree
    assert not books.check(counters={1: Count(2, 600)}).agree
    adjustments.store_token(books.engine, done.adjustment_id, DIGITS, NOW)
    assert not books.check(counters=none).agree
    assert books.check(counters=minted).agree


def test_digits_are_stored_once(books: Books) -> None:
    """Storing the same again is nothing; other digits for the same token are a bug that is named, and change nothing."""
    done = approve(books, propose(books, FREE, meter=PLAIN, units_tenths=300))
    assert [each.adjustment_id for each in adjustments.find_open(books.engine)] == [done.adjustment_id]
    first = adjustments.store_token(books.engine, done.adjustment_id, DIGITS, NOW)
    assert adjustments.store_token(books.engine, done.adjustment_id, DIGITS, NOW + timedelta(hours=1)) == first
    with pytest.raises(LookupError):
        adjustments.store_token(books.engine, done.adjustment_id, Secret("0" * 20), NOW)
    assert adjustments.read(books.engine, done.adjustment_id) == first
    assert adjustments.find_open(books.engine) == []
    proposed = propose(books, FREE, meter=6, units_tenths=300)
    with pytest.raises(LookupError):
        adjustments.store_token(books.engine, proposed.adjustment_id, DIGITS, NOW)


def test_who_proposed_decides_nothing(books: Books) -> None:
    """Neither approves nor rejects, and the database says so too."""
    proposed = propose(books, CREDIT, meter=PLAIN, amount_centavos=100)
    assert not_approved(books, proposed, " ANA ") is AdjustmentRefusal.SAME_PERSON
    with pytest.raises(AdjustmentRefused, match="same_person"):
        adjustments.reject(books.engine, proposed.adjustment_id, "ana", NOW)
    for name in ("ana", " Ana"):
        with pytest.raises(IntegrityError, match="two_people"):
            books.execute("UPDATE adjustment SET state = 'rejected', decided_by = :name, decided_at = now()", name=name)
    with pytest.raises(IntegrityError, match="ck_adjustment_evidence"):
        books.execute("UPDATE adjustment SET evidence = '  '")


def test_approving_twice_gives_once(books: Books) -> None:
    """The same person gets the same again; anybody else, and a rejection afterwards, are refused."""
    proposed = propose(books, CREDIT, meter=PLAIN, amount_centavos=100)
    first = approve(books, proposed)
    before = state_of(books)
    assert approve(books, proposed, "LUZ", hours=3) == first
    assert state_of(books) == before
    assert not_approved(books, proposed, "eva") is AdjustmentRefusal.ALREADY_DECIDED
    for user in ("luz", "eva"):
        with pytest.raises(AdjustmentRefused, match="already_decided"):
            adjustments.reject(books.engine, proposed.adjustment_id, user, NOW)
    assert books.value("SELECT remainder_centavos FROM meter WHERE id = 1") == 100


def test_a_rejected_proposal_stays_rejected(books: Books) -> None:
    """It gives nothing, whoever tries."""
    proposed = propose(books, CREDIT, meter=PLAIN, amount_centavos=100)
    rejected = adjustments.reject(books.engine, proposed.adjustment_id, "luz", NOW)
    assert rejected.state is AdjustmentState.REJECTED
    assert adjustments.reject(books.engine, proposed.adjustment_id, "luz", NOW + timedelta(hours=1)) == rejected
    assert not_approved(books, proposed, "luz") is AdjustmentRefusal.ALREADY_DECIDED
    assert adjustments.find(books.engine, AdjustmentState.REJECTED) == [rejected]
    assert adjustments.find(books.engine, AdjustmentState.APPROVED) == []
    assert books.check().agree


def test_a_sale_that_sold_nothing_gives_nothing_back(books: Books) -> None:
    """Unknown, void, or not known yet."""
    void = books.reserve_one(books.order())
    books.post(void_of(void))
    reserved = books.reserve_one(books.order())
    assert refused(books, REFUND, sale_id=999_999, amount_centavos=1) is AdjustmentRefusal.SALE_UNKNOWN
    for sale in (void, reserved):
        assert refused(books, REFUND, sale_id=sale.sale_id, amount_centavos=1) is AdjustmentRefusal.SALE_NOT_POSTED
        reason = refused(books, REPLACEMENT, sale_id=sale.sale_id, units_tenths=1)
        assert reason is AdjustmentRefusal.SALE_NOT_POSTED
    assert refused(books, CREDIT, meter=99, amount_centavos=1) is AdjustmentRefusal.METER_UNKNOWN
    with pytest.raises(AdjustmentRefused, match="adjustment_unknown"):
        adjustments.approve(books.engine, 12345, "luz", NOW)


def test_a_sale_pays_back_at_most_what_it_was_paid(books: Books) -> None:
    """In parts, by refund or credit; what is only proposed does not count, so the approval looks again."""
    sale = books.sell(books.order())
    assert refused(books, REFUND, sale_id=sale.sale_id, amount_centavos=2_000_001) is AdjustmentRefusal.ABOVE_PAID
    assert (
        refused(books, REFUND, sale_id=sale.sale_id, meter=6, amount_centavos=1) is AdjustmentRefusal.METER_NOT_OF_SALE
    )
    first = propose(books, REFUND, sale_id=sale.sale_id, amount_centavos=1_500_000)
    second = propose(books, CREDIT, sale_id=sale.sale_id, amount_centavos=500_001)
    third = propose(books, CREDIT, sale_id=sale.sale_id, amount_centavos=500_000)
    approve(books, first)
    assert not_approved(books, second) is AdjustmentRefusal.ABOVE_PAID
    approve(books, third)
    with pytest.raises(AdjustmentRefused, match="above_paid"):
        propose(books, REFUND, sale_id=sale.sale_id, amount_centavos=1)
    assert books.check().agree


def test_a_replacement_goes_to_the_meter_that_came_after(books: Books) -> None:
    """Of the same holder; the units of a sale are replaced once."""
    sale = books.sell(books.order())
    units = sale.quote.units_tenths
    stranger = {"sale_id": sale.sale_id, "meter": 6, "units_tenths": units}
    assert refused(books, REPLACEMENT, **stranger) is AdjustmentRefusal.METER_NOT_OF_SALE
    books.execute("UPDATE meter SET holder_id = 1 WHERE id = 6")
    first, second = propose(books, REPLACEMENT, **stranger), propose(books, REPLACEMENT, **stranger)
    books.execute("UPDATE meter SET status = 'blocked' WHERE id = 1")
    done = approve(books, first)
    assert done.token is not None
    assert done.token.request.pan == books.value("SELECT pan FROM meter WHERE id = 6")
    assert not_approved(books, second) is AdjustmentRefusal.ABOVE_SOLD
    assert books.check().agree


def test_a_meter_gets_one_free_token_in_a_local_month(books: Books) -> None:
    """DOMAIN: free units are one token per month. A blocked meter gets none."""
    first = propose(books, FREE, meter=PLAIN, units_tenths=10)
    again = propose(books, FREE, meter=PLAIN, units_tenths=10)
    approve(books, first)
    assert not_approved(books, again) is AdjustmentRefusal.NO_FREE_UNITS_DUE
    approve(books, again, days=31)
    approve(books, propose(books, FREE, meter=6, units_tenths=10))
    assert not_approved(books, propose(books, FREE, meter=BLOCKED, units_tenths=10)) is AdjustmentRefusal.METER_BLOCKED


def test_a_meter_that_a_sale_holds_is_left_alone(books: Books) -> None:
    """Its remainder and identifiers are the sale's until it ends; a refund does not touch the meter."""
    past = books.sell(books.order(INDEBTED))
    held = books.reserve_one(books.order(INDEBTED))
    credit = propose(books, CREDIT, meter=INDEBTED, amount_centavos=100)
    free = propose(books, FREE, meter=INDEBTED, units_tenths=10)
    for proposed in (credit, free):
        assert not_approved(books, proposed) is AdjustmentRefusal.METER_BUSY
    approve(books, propose(books, REFUND, sale_id=past.sale_id, amount_centavos=100))
    books.post(void_of(held))
    approve(books, credit)
    approve(books, free)
    assert books.check().agree


def test_an_open_token_does_not_stop_sales(books: Books) -> None:
    """The module may be away for hours: nothing that a sale reads depends on the digits."""
    approve(books, propose(books, FREE, meter=PLAIN, units_tenths=10))
    (result,) = books.reserve(books.order(PLAIN))
    assert not isinstance(result, Busy)


def test_of_approvals_at_once_only_as_many_pass_as_the_sale_allows(books: Books) -> None:
    """Six people approve refunds of a third of the sale at the same moment; two more press approve on the first."""
    sale = books.sell(books.order(PLAIN, 3_000_000))
    proposals = [propose(books, REFUND, sale_id=sale.sale_id, amount_centavos=1_000_000) for _ in range(6)]

    def attempt(number: int) -> Adjustment | AdjustmentRefusal:
        try:
            return approve(books, proposals[number % 6], f"luz{number % 6}")
        except AdjustmentRefused as refusal:
            return refusal.reason

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(8)))
    passed = {each.adjustment_id for each in results if isinstance(each, Adjustment)}
    assert len(passed) == 3
    assert {each for each in results if not isinstance(each, Adjustment)} == {AdjustmentRefusal.ABOVE_PAID}
    assert (
        books.value("SELECT -sum(amount_centavos) FROM posting WHERE account_id = 100 AND amount_centavos < 0")
        == 3_000_000
    )
    assert books.check().agree


def test_tokens_approved_at_once_have_identifiers_of_their_own(books: Books) -> None:
    """Replacements of one sale in parts, while sales go on, on one meter."""
    sale = books.sell(books.order())
    parts = [propose(books, REPLACEMENT, sale_id=sale.sale_id, units_tenths=10) for _ in range(4)]
    orders = [books.order() for _ in range(4)]

    def work(number: int) -> AdjustmentRefusal | None:
        if number % 2:
            books.reserve(orders[number // 2])
            return None
        try:
            approve(books, parts[number // 2])
        except AdjustmentRefused as refusal:
            return refusal.reason
        return None

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(8))) <= {None, AdjustmentRefusal.METER_BUSY}
    assert books.check().agree


def test_money_of_a_sale_goes_back_once_by_reversal_or_by_adjustment(books: Books) -> None:
    """A reversal that would park the sale finds the proposal, and a proposal finds a sale that was parked."""
    order, other = books.order(PLAIN), books.order(6)
    proposed = propose(books, REFUND, sale_id=books.sell(order).sale_id, amount_centavos=100)
    assert reverse(books, reversal_of(books, order)) == [Parking.NOT_PARKABLE]
    approve(books, proposed)
    parked = books.sell(other)
    assert reverse(books, reversal_of(books, other)) == [Parking.PARKED]
    for kind, values in (
        (REFUND, {"amount_centavos": 1}),
        (CREDIT, {"amount_centavos": 1}),
        (REPLACEMENT, {"units_tenths": 1}),
    ):
        with pytest.raises(AdjustmentRefused, match="sale_parked"):
            propose(books, kind, sale_id=parked.sale_id, **values)
    assert books.check().agree


def test_a_sale_parked_between_proposal_and_approval_is_refused(books: Books) -> None:
    """The proposal came while the reversal was being written: the approval looks again."""
    order = books.order()
    sale = books.sell(order)
    assert reverse(books, reversal_of(books, order)) == [Parking.PARKED]
    books.execute(
        "INSERT INTO adjustment (kind, meter_id, sale_id, amount_centavos, evidence, proposed_by, proposed_at)"
        " VALUES ('refund', 1, :sale, 100, 'caso', 'ana', now())",
        sale=sale.sale_id,
    )
    (proposed,) = adjustments.find(books.engine)
    assert not_approved(books, proposed) is AdjustmentRefusal.SALE_PARKED


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["sell", "reserve", "post", "park", "propose", "propose", "approve", "approve", "reject", "mint"]
        ),
        st.integers(min_value=0, max_value=2**32 - 1),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def long_lived(postgres: str) -> Iterator[Books]:
    """Books that all examples share: each begins where the others stopped."""
    engine = open_engine(postgres)
    yield Books(engine)
    engine.dispose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_history_with_adjustments_breaks_the_proof(long_lived: Books, steps: list[tuple[str, int]]) -> None:
    """Whatever order sales, parkings, proposals, decisions and tokens come in, the books and the module's counters agree."""
    books = long_lived
    sold, orders, reserved = [books.sell(books.order(6))], [], []
    for name, seed in steps:
        chance = random.Random(seed)
        meter = chance.choice([PLAIN, INDEBTED, WATER, 6])
        order = books.order(meter, chance.choice([1_000_000, 2_000_000]))
        if name == "sell":
            sales = reserved_of(books.reserve(order))
            books.post(*[post_of(sale) for sale in sales])
            sold += sales
            orders += [order for _sale in sales]
        elif name == "reserve":
            reserved += reserved_of(books.reserve(order))
        elif name == "post" and reserved:
            books.post(post_of(reserved.pop()))
        elif name == "park" and orders:
            find_originals(books.engine, [reversal_of(books, chance.choice(orders))])
        else:
            _adjust(books, name, chance, chance.choice(sold).sale_id, meter)
    report = books.check(counters=_minted(books))
    assert report.agree, report.differences
    books.post(*[post_of(sale) for sale in reserved])
    for each in adjustments.find_open(books.engine):
        _mint(books, each)
    report = books.check(counters=_minted(books))
    assert report.agree, report.differences


def _adjust(books: Books, name: str, chance: random.Random, sale_id: int, meter: int) -> None:
    """One step of somebody at the adjustments; refusals are part of the day."""
    known = adjustments.find(books.engine)
    with contextlib.suppress(AdjustmentRefused):
        if name == "propose":
            kind = chance.choice(list(AdjustmentKind))
            given_value = (
                {"amount_centavos": chance.choice([1, 700_000])}
                if kind.gives_money
                else {"units_tenths": chance.choice([1, 200])}
            )
            about = {"sale_id": sale_id} if kind.needs_sale or chance.random() < 0.3 else {"meter": meter}
            propose(books, kind, **about, **given_value)
        elif name == "approve" and known:
            approve(books, chance.choice(known), chance.choice(["luz", "eva", "ana"]), days=chance.choice([0, 40, 80]))
        elif name == "reject" and known:
            adjustments.reject(books.engine, chance.choice(known).adjustment_id, chance.choice(["luz", "ana"]), NOW)
        elif name == "mint" and adjustments.find_open(books.engine):
            _mint(books, chance.choice(adjustments.find_open(books.engine)))


def _mint(books: Books, adjustment: Adjustment) -> None:
    assert adjustment.token is not None
    digits = Secret(f"{adjustment.token.request.request_id:020}")
    adjustments.store_token(books.engine, adjustment.adjustment_id, digits, NOW)


def _minted(books: Books) -> dict[int, Count]:
    """What the module counted: every token that has digits."""
    row = books.row(
        "SELECT count(*) AS tokens, coalesce(sum(units_tenths), 0)::bigint AS units FROM (SELECT digits, units_tenths FROM token"
        " UNION ALL SELECT digits, units_tenths FROM adjustment_token) AS t WHERE digits IS NOT NULL"
    )
    return {1: Count(row.tokens, row.units)}


def test_an_engineers_token_takes_the_next_identifier_and_gives_nothing(books: Books) -> None:
    """Signed by two as everything else; the sale after it has a later identifier; the module's credit counters do not know it."""
    books.execute("UPDATE meter SET status = 'blocked' WHERE id = :id", id=PLAIN)
    done = approve(books, propose(books, AdjustmentKind.POWER_LIMIT, meter=PLAIN, value=3000))
    books.execute("UPDATE meter SET status = 'active' WHERE id = :id", id=PLAIN)
    assert done.token is not None
    request = done.token.request
    assert isinstance(request, EngineeringRequest)
    assert (request.kind, request.value) == (EngineeringKind.POWER_LIMIT, 3000)
    assert books.value("SELECT last_tid FROM meter WHERE id = :id", id=PLAIN) == request.tid
    stored = adjustments.store_token(books.engine, done.adjustment_id, DIGITS, NOW)
    assert (stored.value, stored.is_open) == (3000, False)
    assert books.sell(books.order()).token_orders[0].tid > request.tid
    assert books.check().agree


def test_a_meter_test_has_no_identifier(books: Books) -> None:
    """Two of them on one meter do not collide."""
    before = books.value("SELECT last_tid FROM meter WHERE id = :id", id=PLAIN)
    for _ in range(2):
        done = approve(books, propose(books, AdjustmentKind.METER_TEST, meter=PLAIN, value=1))
        assert done.token is not None
        assert isinstance(done.token.request, EngineeringRequest)
        assert done.token.request.tid == 0
    assert books.value("SELECT last_tid FROM meter WHERE id = :id", id=PLAIN) == before
    assert books.check().agree
