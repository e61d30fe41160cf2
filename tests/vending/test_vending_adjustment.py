"""The rules of adjustments: what may be proposed, by whom it may be decided, and how much a sale allows."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.adjustment import (
    ADJUSTMENT_CENTAVOS_MAX,
    AdjustmentKind,
    AdjustmentRefusal,
    AdjustmentRefused,
    AdjustmentState,
    MeterFacts,
    Proposal,
    SaleFacts,
    check_meter,
    check_sale,
    is_decided,
    user_named,
)
from vending.money import Centavos, Tenths
from vending.quote import TOKEN_TENTHS_MAX
from vending.service import Service
from vending.two_people import EVIDENCE_CHARACTERS_MAX

KINDS = st.sampled_from(AdjustmentKind)
MONEY_KINDS = st.sampled_from([AdjustmentKind.REFUND, AdjustmentKind.CREDIT])
TOKEN_KINDS = st.sampled_from([AdjustmentKind.FREE_TOKEN, AdjustmentKind.REPLACEMENT_TOKEN])
USERS = st.from_regex(r"[a-z0-9][a-z0-9._@-]{0,20}", fullmatch=True)

SALE = SaleFacts(
    is_posted=True,
    is_parked=False,
    is_claimed=False,
    meter_id=1,
    holder_id=7,
    service=Service.ENERGY,
    paid_centavos=Centavos(2_000_000),
    units_tenths=Tenths(500),
    returned_centavos=Centavos(0),
    replaced_tenths=Tenths(0),
)
METER = MeterFacts(
    meter_id=1, holder_id=7, service=Service.ENERGY, is_blocked=False, is_held=False, free_tokens_in_month=0
)


def refusal_of(kind: AdjustmentKind, amount: int, units: int, sale: SaleFacts, meter: MeterFacts) -> object:
    """Why the sale does not allow it, or None."""
    try:
        check_sale(kind, Centavos(amount), Tenths(units), sale, meter)
    except AdjustmentRefused as refused:
        return refused.reason
    return None


def make(kind: AdjustmentKind, **changes: object) -> Proposal:
    """A proposal that may be, but for the changes."""
    values: dict[str, object] = {
        "kind": kind,
        "proposed_by": "ana",
        "evidence": "caso 1",
        "sale_id": 5,
        "amount_centavos": 100 if kind.gives_money else 0,
        "units_tenths": 0 if kind.gives_money or kind.engineering is not None else 10,
    }
    return Proposal(**{**values, **changes})  # type: ignore[arg-type]


@given(kind=KINDS, evidence=st.text(alphabet=" \t\n\r\u00a0", max_size=5))
def test_blank_evidence_is_no_evidence(kind: AdjustmentKind, evidence: str) -> None:
    """Whatever white space is typed."""
    with pytest.raises(AdjustmentRefused) as raised:
        make(kind, evidence=evidence)
    assert raised.value.reason is AdjustmentRefusal.EVIDENCE_MISSING


def test_evidence_has_a_limit() -> None:
    """It is a reference, not the file itself."""
    make(AdjustmentKind.REFUND, evidence="x" * EVIDENCE_CHARACTERS_MAX)
    with pytest.raises(AdjustmentRefused, match="evidence_too_long"):
        make(AdjustmentKind.REFUND, evidence="x" * (EVIDENCE_CHARACTERS_MAX + 1))


@given(kind=MONEY_KINDS, amount=st.integers(), units=st.integers(min_value=-1, max_value=1))
def test_money_is_more_than_zero_and_has_no_units(kind: AdjustmentKind, amount: int, units: int) -> None:
    """Every amount that is refused is named as amount, and units beside it as units."""
    is_amount_right = 1 <= amount <= ADJUSTMENT_CENTAVOS_MAX
    if is_amount_right and units == 0:
        assert make(kind, amount_centavos=amount).amount_centavos == amount
        return
    with pytest.raises(AdjustmentRefused) as raised:
        make(kind, amount_centavos=amount, units_tenths=units)
    expected = AdjustmentRefusal.UNITS_INVALID if is_amount_right else AdjustmentRefusal.AMOUNT_INVALID
    assert raised.value.reason is expected


@given(kind=TOKEN_KINDS, units=st.integers(min_value=-10, max_value=2 * TOKEN_TENTHS_MAX))
def test_units_are_what_one_token_holds_exactly(kind: AdjustmentKind, units: int) -> None:
    """One adjustment is one token, and nothing is rounded in it."""
    if 1 <= units <= TOKEN_TENTHS_MAX:
        assert make(kind, units_tenths=units).units_tenths == units
        return
    with pytest.raises(AdjustmentRefused, match="units_invalid"):
        make(kind, units_tenths=units)


@given(kind=TOKEN_KINDS, amount=st.integers().filter(bool))
def test_a_token_moves_no_money(kind: AdjustmentKind, amount: int) -> None:
    """An amount beside units is a mistake."""
    with pytest.raises(AdjustmentRefused, match="amount_invalid"):
        make(kind, amount_centavos=amount)


def test_a_refund_and_a_replacement_name_their_sale_and_the_others_at_least_a_meter() -> None:
    """Nothing is given back that nobody can find."""
    for kind in AdjustmentKind:
        if kind.needs_sale:
            with pytest.raises(AdjustmentRefused, match="sale_missing"):
                make(kind, sale_id=None, meter_number="1")
        else:
            make(kind, sale_id=None, meter_number="1")
            with pytest.raises(AdjustmentRefused, match="meter_missing"):
                make(kind, sale_id=None)


@given(user=USERS, spaces=st.sampled_from(["", " ", "\t"]))
def test_capitals_and_spaces_do_not_make_another_person(user: str, spaces: str) -> None:
    """Ana, ana and ' ANA ' are one: otherwise one person could sign twice."""
    assert user_named(spaces + user.upper() + spaces) == user
    with pytest.raises(AdjustmentRefused, match="same_person"):
        is_decided(
            AdjustmentState.PROPOSED,
            proposed_by=make(AdjustmentKind.CREDIT, proposed_by=user.title()).proposed_by,
            decided_by=None,
            user=user_named(user.upper()),
            wanted=AdjustmentState.APPROVED,
        )


@given(name=st.sampled_from(["", "  ", "ana rojas", "аna", "ana\u200b", ".ana", "a" * 65, "ana/eve", "ñ"]))
def test_names_that_only_look_alike_are_refused(name: str) -> None:
    """Letters of other alphabets and invisible ones too."""
    with pytest.raises(AdjustmentRefused, match="user_invalid"):
        user_named(name)


@given(
    state=st.sampled_from(AdjustmentState),
    wanted=st.sampled_from([AdjustmentState.APPROVED, AdjustmentState.REJECTED]),
    user=st.sampled_from(["ana", "luz", "eva"]),
)
def test_a_decision_stands_and_only_its_author_may_repeat_it(
    state: AdjustmentState, wanted: AdjustmentState, user: str
) -> None:
    """Proposed by ana, decided, if it is, by luz."""
    decided_by = None if state is AdjustmentState.PROPOSED else "luz"
    expected: object
    if user == "ana":
        expected = AdjustmentRefusal.SAME_PERSON
    elif state is AdjustmentState.PROPOSED:
        expected = False
    else:
        expected = True if user == "luz" and state is wanted else AdjustmentRefusal.ALREADY_DECIDED
    found: object
    try:
        found = is_decided(state, proposed_by="ana", decided_by=decided_by, user=user, wanted=wanted)
    except AdjustmentRefused as refused:
        found = refused.reason
    assert found is expected


@given(
    kind=MONEY_KINDS,
    parts=st.lists(st.integers(min_value=1, max_value=2_500_000), max_size=8),
)
def test_parts_given_back_never_exceed_what_was_paid(kind: AdjustmentKind, parts: list[int]) -> None:
    """Whatever parts are asked for, those that pass sum to at most the payment, and one centavo more is refused."""
    returned = 0
    for part in parts:
        sale = replace(SALE, returned_centavos=Centavos(returned))
        reason = refusal_of(kind, part, 0, sale, METER)
        assert (reason is None) == (returned + part <= SALE.paid_centavos)
        if reason is None:
            returned += part
        else:
            assert reason is AdjustmentRefusal.ABOVE_PAID
    assert returned <= SALE.paid_centavos
    rest = SALE.paid_centavos - returned
    sale = replace(SALE, returned_centavos=Centavos(returned))
    assert refusal_of(kind, rest + 1, 0, sale, METER) is AdjustmentRefusal.ABOVE_PAID


@given(units=st.integers(min_value=1, max_value=1000), replaced=st.integers(min_value=0, max_value=500))
def test_a_replacement_is_not_more_than_was_sold(units: int, replaced: int) -> None:
    """Less what was replaced before."""
    sale = replace(SALE, replaced_tenths=Tenths(replaced))
    reason = refusal_of(AdjustmentKind.REPLACEMENT_TOKEN, 0, units, sale, METER)
    assert reason is (None if units + replaced <= 500 else AdjustmentRefusal.ABOVE_SOLD)


def test_only_a_replacement_may_go_to_another_meter_and_only_to_its_successor() -> None:
    """The successor has the same holder and service; money stays with the sale's own meter."""
    successor = replace(METER, meter_id=2)
    strangers = [replace(successor, holder_id=8), replace(successor, service=Service.WATER)]
    assert refusal_of(AdjustmentKind.REPLACEMENT_TOKEN, 0, 10, SALE, successor) is None
    for stranger in strangers:
        assert (
            refusal_of(AdjustmentKind.REPLACEMENT_TOKEN, 0, 10, SALE, stranger) is AdjustmentRefusal.METER_NOT_OF_SALE
        )
    for kind in (AdjustmentKind.REFUND, AdjustmentKind.CREDIT):
        assert refusal_of(kind, 1, 0, SALE, successor) is AdjustmentRefusal.METER_NOT_OF_SALE


def test_a_sale_that_is_not_posted_or_was_reversed_gives_nothing_back() -> None:
    """A parked sale gave its money back once; its units are replaced only for who bought them since."""
    for kind in AdjustmentKind:
        money, units = (1, 0) if kind.gives_money else (0, 1)
        reserved, parked = replace(SALE, is_posted=False), replace(SALE, is_parked=True)
        claimed = replace(parked, is_claimed=True)
        assert refusal_of(kind, money, units, reserved, METER) is AdjustmentRefusal.SALE_NOT_POSTED
        assert refusal_of(kind, money, units, parked, METER) is AdjustmentRefusal.SALE_PARKED
        expected = AdjustmentRefusal.SALE_PARKED if kind.gives_money else None
        assert refusal_of(kind, money, units, claimed, METER) is expected


@given(kind=KINDS, is_blocked=st.booleans(), is_held=st.booleans(), free=st.integers(min_value=0, max_value=3))
def test_a_meter_is_touched_only_when_it_is_free(
    kind: AdjustmentKind, is_blocked: bool, is_held: bool, free: int
) -> None:
    """A refund leaves it alone; a blocked meter gets no units, but it is worked on; one free token a month; never while a sale holds it."""
    meter = replace(METER, is_blocked=is_blocked, is_held=is_held, free_tokens_in_month=free)
    may = (
        kind is AdjustmentKind.REFUND
        or (kind is AdjustmentKind.CREDIT and not is_held)
        or (kind is AdjustmentKind.REPLACEMENT_TOKEN and not is_held and not is_blocked)
        or (kind is AdjustmentKind.FREE_TOKEN and not is_held and not is_blocked and free == 0)
        or (kind.engineering is not None and not is_held)
    )
    if may:
        check_meter(kind, meter)
    else:
        with pytest.raises(AdjustmentRefused):
            check_meter(kind, meter)
