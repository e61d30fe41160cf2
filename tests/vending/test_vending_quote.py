"""The quote: worked cases, a second implementation that counts centavo by centavo, and what must hold for any input."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.deductions import Charge, Deduction, Emergency, Obligation
from vending.money import BasisPoints, Centavos, RateE4, Tenths
from vending.policy import Limits
from vending.quote import TOKEN_TENTHS_MAX, Quote, QuoteInput, Voluntary, assert_identities, quote
from vending.quote_cases import answer_input
from vending.response_code import Refusal, ResponseCode
from vending.tariff import Tariff, TariffBlock

WORKED = json.loads(Path(__file__).with_name("quote_cases.json").read_text(encoding="utf-8"))
TODAY = date(2026, 7, 15)


def flat(rate: int, full_rate: int | None = None) -> Tariff:
    """Return a tariff of one block."""
    block = TariffBlock(up_to_tenths=None, rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate or rate))
    return Tariff(blocks=(block,))


def ask(paid: int, tariff: Tariff | None = None, *deductions: Deduction, cap: int | None = None) -> QuoteInput:
    """Return a question with little in it; 1000 centavos buy a tenth unless a tariff says otherwise."""
    return QuoteInput(
        paid_centavos=Centavos(paid),
        tariff=tariff or flat(1_000_000),
        deductions=deductions,
        cap_basis_points=None if cap is None else BasisPoints(cap),
    )


def debt(identity: str, capital: int, *, interest: int = 0, share: int = 0, priority: int = 30) -> Obligation:
    """Return an obligation due today."""
    return Obligation(
        id=identity,
        priority=priority,
        due=TODAY,
        capital_centavos=Centavos(capital),
        interest_centavos=Centavos(interest),
        share_basis_points=BasisPoints(share),
    )


@pytest.mark.parametrize("case", WORKED, ids=[case["id"] for case in WORKED])
def test_worked_cases(case: dict[str, dict[str, object]]) -> None:
    """Every worked case comes out to the centavo."""
    assert json.loads(json.dumps(answer_input(case["input"]))) == case["output"]  # type: ignore[arg-type]


# A second implementation: it walks money centavo by centavo and units tenth by tenth, and shares no code with the first.


def _wish(deduction: Deduction, paid: int) -> int:
    if not isinstance(deduction, Obligation):
        return deduction.owed_centavos
    if deduction.is_disputed:
        return 0
    share: int = deduction.share_basis_points
    if deduction.is_overdue and deduction.share_overdue_basis_points is not None:
        share = deduction.share_overdue_basis_points
    part = 0
    while (part + 1) * 10_000 <= paid * share:
        part += 1
    wish = deduction.instalment_due_centavos + part
    wish = max(wish, deduction.minimum_centavos)
    return min(wish, deduction.capital_centavos + deduction.interest_centavos)


def _price_at(tariff: Tariff, position: int) -> tuple[int, int]:
    for block in tariff.blocks:
        if block.up_to_tenths is None or position < block.up_to_tenths:
            return block.rate_e4, block.full_rate_e4
    raise AssertionError("a tariff without a last block")


def count_by_hand(question: QuoteInput) -> dict[str, object]:
    """Return what `quote` should say, or its refusal, counted one centavo and one tenth at a time."""
    paid = question.paid_centavos
    if question.limits is not None:
        if paid < question.limits.minimum_paid_centavos:
            return {"declined": "amount_below_minimum"}
        if paid > question.limits.maximum_paid_centavos:
            return {"declined": "amount_above_maximum"}
    purse = paid + question.carried_in_centavos
    room = purse
    if question.cap_basis_points is not None:
        room = min(purse, paid * question.cap_basis_points // 10_000)
    taken: dict[str, int] = {}
    for deduction in sorted(question.deductions, key=lambda item: (item.priority, item.due.isoformat(), item.id)):
        for _ in range(_wish(deduction, paid)):
            if room == 0:
                break
            room -= 1
            purse -= 1
            taken[deduction.id] = taken.get(deduction.id, 0) + 1
    voluntary = 0
    if question.voluntary is not None:
        named = [
            item
            for item in question.deductions
            if isinstance(item, Obligation) and item.id == question.voluntary.obligation
        ]
        if not named:
            return {"declined": "unknown_obligation"}
        owed = named[0].capital_centavos + named[0].interest_centavos - taken.get(named[0].id, 0)
        while voluntary < question.voluntary.amount_centavos and voluntary < owed and purse > 0:
            voluntary += 1
            purse -= 1
    milli = purse * 1000
    position: int = question.month_to_date_tenths
    cost = full = 0
    while _price_at(question.tariff, position)[0] <= milli:
        rate, full_rate = _price_at(question.tariff, position)
        milli -= rate
        cost += rate
        full += full_rate
        position += 1
    units = position - question.month_to_date_tenths
    if units == 0 and voluntary == 0:
        return {"declined": "amount_too_low"}
    return {
        "units": units,
        "charged": cost // 1000,
        "carried_out": purse - cost // 1000,
        "full_cost": full // 1000,
        "voluntary": voluntary,
        "taken": taken,
    }


def summarize(question: QuoteInput) -> dict[str, object]:
    """Return what `quote` says in the form of `count_by_hand`."""
    try:
        answer = quote(question)
    except Refusal as refusal:
        return {"declined": refusal.code.value}
    return {
        "units": answer.units_tenths,
        "charged": answer.charged_centavos,
        "carried_out": answer.carried_out_centavos,
        "full_cost": answer.full_cost_centavos,
        "voluntary": answer.voluntary.amount_centavos if answer.voluntary else 0,
        "taken": {line.id: line.amount_centavos for line in answer.taken},
    }


@st.composite
def tariffs(draw: st.DrawFn, *, rate_max: int) -> Tariff:
    """Return tariffs of one to four blocks, rising or falling in price."""
    limits = sorted(draw(st.sets(st.integers(1, 60), max_size=3)))
    blocks = [
        TariffBlock(
            up_to_tenths=None if limit is None else Tenths(limit),
            rate_e4=RateE4(draw(st.integers(1, rate_max))),
            full_rate_e4=RateE4(draw(st.integers(1, rate_max))),
        )
        for limit in [*limits, None]
    ]
    return Tariff(blocks=tuple(blocks))


@st.composite
def deductions(draw: st.DrawFn, identity: str, money_max: int, share_max: int = 12_000) -> Deduction:
    """Return any deduction of that id."""
    money = st.integers(0, money_max).map(Centavos)
    share = st.integers(0, share_max).map(BasisPoints)
    priority = draw(st.integers(1, 3))
    due = TODAY + timedelta(days=draw(st.integers(-2, 2)))
    kind = draw(st.sampled_from(("charge", "emergency", "obligation")))
    if kind == "charge":
        return Charge(id=identity, priority=priority, due=due, owed_centavos=draw(money), full_centavos=draw(money))
    if kind == "emergency":
        return Emergency(id=identity, priority=priority, due=due, owed_centavos=draw(money))
    return Obligation(
        id=identity,
        priority=priority,
        due=due,
        capital_centavos=draw(money),
        interest_centavos=draw(money),
        instalment_due_centavos=draw(money),
        share_basis_points=draw(share),
        share_overdue_basis_points=draw(st.none() | share),
        is_overdue=draw(st.booleans()),
        minimum_centavos=draw(money),
        is_disputed=draw(st.booleans()),
    )


@st.composite
def questions(draw: st.DrawFn, *, money_max: int, rate_max: int) -> QuoteInput:
    """Return whole questions of that size."""
    money = st.integers(0, money_max).map(Centavos)
    names = ["d", "b", "a", "c"][: draw(st.integers(0, 4))]
    voluntary = st.builds(Voluntary, obligation=st.sampled_from([*names, "nope"]), amount_centavos=money)
    limits = st.builds(Limits, minimum_paid_centavos=st.just(Centavos(money_max // 10)), maximum_paid_centavos=money)
    return QuoteInput(
        paid_centavos=draw(money),
        carried_in_centavos=draw(money),
        month_to_date_tenths=Tenths(draw(st.integers(0, 70))),
        limits=draw(st.none() | limits),
        tariff=draw(tariffs(rate_max=rate_max)),
        deductions=tuple(draw(deductions(name, money_max // 2)) for name in names),
        cap_basis_points=draw(st.none() | st.integers(0, 11_000).map(BasisPoints)),
        voluntary=draw(st.none() | voluntary),
    )


@given(questions(money_max=60, rate_max=3_000))
def test_equals_counting_by_hand(question: QuoteInput) -> None:
    """The quote is what one would count out coin by coin and tenth by tenth."""
    if question.tariff.blocks[-1].rate_e4 < 200:
        question = replace(question, tariff=flat(200))
    assert summarize(question) == count_by_hand(question)


@given(questions(money_max=10**9, rate_max=10**8))
def test_holds_for_any_input(question: QuoteInput) -> None:
    """Money adds up, nothing is negative, the cap is never exceeded, and tokens, blocks and month agree with the units."""
    try:
        answer = quote(question)
    except Refusal:
        return
    assert_identities(answer)
    _assert_nothing_negative(answer)
    if question.cap_basis_points is not None:
        room = question.paid_centavos * question.cap_basis_points // 10_000
        assert sum(line.amount_centavos for line in answer.taken) <= room
    assert sum(answer.token_units_tenths) == answer.units_tenths
    assert all(0 < token <= TOKEN_TENTHS_MAX for token in answer.token_units_tenths)
    assert list(answer.token_units_tenths) == sorted(answer.token_units_tenths, reverse=True)
    assert sum(block.units_tenths for block in answer.blocks) == answer.units_tenths
    assert answer.month_to_date_tenths == question.month_to_date_tenths + answer.units_tenths
    assert answer.subsidy_centavos == 0 or answer.contribution_centavos == 0


def _assert_nothing_negative(answer: Quote) -> None:
    assert answer.carried_out_centavos >= 0
    assert answer.charged_centavos >= 0
    assert answer.subsidy_centavos >= 0
    assert answer.contribution_centavos >= 0
    lines = [*answer.taken, *([answer.voluntary] if answer.voluntary else [])]
    for line in lines:
        assert line.amount_centavos > 0
        assert line.left_centavos >= 0
        assert line.interest_centavos >= 0
        assert line.capital_centavos >= 0
        if line.kind == "obligation":
            assert line.interest_centavos + line.capital_centavos == line.amount_centavos


@given(
    tariff=tariffs(rate_max=10**8),
    fixed=st.lists(st.integers(0, 10**6), max_size=2),
    share=st.integers(0, 10_000),
    cap=st.none() | st.integers(0, 10_000),
    paid=st.integers(0, 10**8),
    more=st.integers(1, 10**6),
)
def test_more_money_never_buys_less(
    tariff: Tariff, fixed: list[int], share: int, cap: int | None, paid: int, more: int
) -> None:
    """With at most one debt by share, whoever pays more gets no fewer units.

    (Two shares may both step up by a centavo at once, so the rule holds for one.)
    """
    owed: list[Deduction] = [
        Charge(id=f"c{index}", priority=1, due=TODAY, owed_centavos=Centavos(amount), full_centavos=Centavos(amount))
        for index, amount in enumerate(fixed)
    ]
    owed.append(debt("mora", 10**7, share=share))

    def units(amount: int) -> int:
        try:
            return quote(ask(amount, tariff, *owed, cap=cap)).units_tenths
        except Refusal as refusal:
            return {ResponseCode.AMOUNT_TOO_LOW: 0, ResponseCode.AMOUNT_ABOVE_MAXIMUM: 2**63}[refusal.code]

    assert units(paid) <= units(paid + more)


@pytest.mark.parametrize(
    ("units", "tokens"),
    [
        (1, (1,)),
        (16_383, (16_383,)),
        (16_384, (16_383, 1)),
        (32_766, (16_383, 16_383)),
        (40_000, (16_383, 16_383, 7_234)),
    ],
)
def test_tokens_hold_16383_tenths(units: int, tokens: tuple[int, ...]) -> None:
    """A token never holds more than its amount field says exactly; the rest goes on in further tokens."""
    assert quote(ask(units * 1000)).token_units_tenths == tokens


def test_too_many_tokens_decline() -> None:
    """A sale that needs more tokens than it may mint is above the maximum, whatever the limits on its money."""
    question = replace(ask(16_383 * 1000 * 2), tokens_max=2)
    assert len(quote(question).token_units_tenths) == 2
    with pytest.raises(Refusal) as caught:
        quote(replace(question, paid_centavos=Centavos(question.paid_centavos + 1000)))
    assert caught.value.code is ResponseCode.AMOUNT_ABOVE_MAXIMUM


def test_absurd_amount_is_declined_at_once() -> None:
    """Even without limits no amount makes the quote list millions of tokens."""
    with pytest.raises(Refusal) as caught:
        quote(ask(10**18, flat(1)))
    assert caught.value.code is ResponseCode.AMOUNT_ABOVE_MAXIMUM


def test_a_cheap_later_block_is_not_reached() -> None:
    """Units stop at the first block that the money cannot fill, even where a later one would be affordable."""
    tariff = Tariff(
        blocks=(
            TariffBlock(up_to_tenths=Tenths(10), rate_e4=RateE4(9_000_000), full_rate_e4=RateE4(9_000_000)),
            TariffBlock(up_to_tenths=None, rate_e4=RateE4(1_000), full_rate_e4=RateE4(1_000)),
        )
    )
    answer = quote(ask(17_000, tariff))
    assert answer.units_tenths == 1
    assert answer.carried_out_centavos == 8_000


def test_a_block_filled_to_the_last_tenth_lets_the_rest_go_on() -> None:
    """Money that fills a block exactly and leaves a little buys from a cheaper next block with it."""
    tariff = Tariff(
        blocks=(
            TariffBlock(up_to_tenths=Tenths(10), rate_e4=RateE4(1_000_000), full_rate_e4=RateE4(1_000_000)),
            TariffBlock(up_to_tenths=None, rate_e4=RateE4(100_000), full_rate_e4=RateE4(100_000)),
        )
    )
    answer = quote(ask(10_550, tariff))
    assert [block.units_tenths for block in answer.blocks] == [10, 5]
    assert answer.carried_out_centavos == 50


def test_unknown_obligation_goes_before_too_little_money() -> None:
    """A voluntary payment to nothing is named as such even when the money would not buy a tenth."""
    question = replace(ask(1), voluntary=Voluntary(obligation="nope", amount_centavos=Centavos(1)))
    with pytest.raises(Refusal) as caught:
        quote(question)
    assert caught.value.code is ResponseCode.UNKNOWN_OBLIGATION


def test_a_charge_is_no_obligation() -> None:
    """A voluntary payment cannot name a charge: it is taken whole anyway."""
    charge = Charge(id="aseo", priority=1, due=TODAY, owed_centavos=Centavos(5), full_centavos=Centavos(5))
    question = replace(ask(10_000, None, charge), voluntary=Voluntary(obligation="aseo", amount_centavos=Centavos(1)))
    with pytest.raises(Refusal) as caught:
        quote(question)
    assert caught.value.code is ResponseCode.UNKNOWN_OBLIGATION


def test_voluntary_continues_where_the_waterfall_ended() -> None:
    """Interest that the sale's own share has paid is not paid again by the voluntary part."""
    question = replace(
        ask(100_000, None, debt("mora", 50_000, interest=12_000, share=1_000)),
        voluntary=Voluntary(obligation="mora", amount_centavos=Centavos(5_000)),
    )
    answer = quote(question)
    assert (answer.taken[0].interest_centavos, answer.taken[0].capital_centavos) == (10_000, 0)
    assert answer.voluntary is not None
    assert (answer.voluntary.interest_centavos, answer.voluntary.capital_centavos) == (2_000, 3_000)
    assert answer.voluntary.left_centavos == 47_000


def test_a_disputed_debt_takes_only_what_is_offered() -> None:
    """A sum in dispute is not collected, but the customer may pay it."""
    disputed = replace(debt("mora", 50_000, share=5_000), is_disputed=True)
    assert quote(ask(100_000, None, disputed)).taken == ()
    offered = replace(ask(100_000, None, disputed), voluntary=Voluntary(obligation="mora", amount_centavos=Centavos(7)))
    answer = quote(offered)
    assert answer.voluntary is not None
    assert answer.voluntary.amount_centavos == 7


def test_broken_identities_stop_the_sale() -> None:
    """A quote whose money does not add up is a bug that must not be sold."""
    answer = quote(ask(100_500))
    for broken in (
        replace(answer, carried_out_centavos=Centavos(1)),
        replace(answer, full_cost_centavos=Centavos(1)),
    ):
        with pytest.raises(AssertionError):
            assert_identities(broken)
