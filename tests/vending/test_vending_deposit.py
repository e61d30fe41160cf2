"""The rules of deposits: what may be registered, and by whom it may be decided."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.deposit import (
    DEPOSIT_CENTAVOS_MAX,
    DepositRefusal,
    DepositRefused,
    DepositState,
    Registration,
    is_decided,
)
from vending.money import Centavos
from vending.two_people import EVIDENCE_CHARACTERS_MAX


def registration(**changes: Any) -> Registration:
    """A deposit that may be."""
    values: dict[str, Any] = {
        "acquirer_id": "banco",
        "amount_centavos": Centavos(1_000_000),
        "bank_reference": "TRX-1",
        "evidence": "extracto del 14 de agosto",
        "registered_by": "ana",
    }
    return Registration(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"registered_by": "Ana Rojas"}, DepositRefusal.USER_INVALID),
        ({"evidence": "  "}, DepositRefusal.EVIDENCE_MISSING),
        ({"evidence": "x" * (EVIDENCE_CHARACTERS_MAX + 1)}, DepositRefusal.EVIDENCE_TOO_LONG),
        ({"bank_reference": " "}, DepositRefusal.REFERENCE_INVALID),
        ({"bank_reference": "A,B"}, DepositRefusal.REFERENCE_INVALID),
        ({"amount_centavos": Centavos(0)}, DepositRefusal.AMOUNT_INVALID),
        ({"amount_centavos": Centavos(-1)}, DepositRefusal.AMOUNT_INVALID),
        ({"amount_centavos": Centavos(0), "corrects_deposit_id": 1}, DepositRefusal.AMOUNT_INVALID),
        ({"amount_centavos": Centavos(DEPOSIT_CENTAVOS_MAX + 1)}, DepositRefusal.AMOUNT_INVALID),
    ],
)
def test_what_could_never_be_confirmed_cannot_be_registered(changes: dict[str, Any], reason: DepositRefusal) -> None:
    """Each reason by a value just outside."""
    with pytest.raises(DepositRefused) as refused:
        registration(**changes)
    assert refused.value.reason is reason


def test_names_and_references_have_one_spelling() -> None:
    """So that neither a person nor a payment is two."""
    found = registration(
        registered_by=" Ana ", bank_reference=" trx-1 ", amount_centavos=Centavos(-5), corrects_deposit_id=3
    )
    assert (found.registered_by, found.bank_reference) == ("ana", "TRX-1")


@given(
    state=st.sampled_from(DepositState),
    wanted=st.sampled_from([DepositState.CONFIRMED, DepositState.REJECTED]),
    user=st.sampled_from(["ana", "luz", "eva"]),
)
def test_another_person_decides_once(state: DepositState, wanted: DepositState, user: str) -> None:
    """Registered by ana, decided, if it is, by luz."""
    decided_by = None if state is DepositState.REGISTERED else "luz"
    expected: object
    if user == "ana":
        expected = DepositRefusal.SAME_PERSON
    elif decided_by is None:
        expected = False
    else:
        expected = True if user == "luz" and state is wanted else DepositRefusal.ALREADY_DECIDED
    found: object
    try:
        found = is_decided(state, registered_by="ana", decided_by=decided_by, user=user, wanted=wanted)
    except DepositRefused as refused:
        found = refused.reason
    assert found is expected
