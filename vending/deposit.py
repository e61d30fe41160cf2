"""Deposits of networks, pure: money paid into a float, registered by one person with the bank's reference, confirmed by another.

A deposit that was confirmed is never changed. A mistake is corrected by another deposit that names it, by the same two steps.
"""

import re
from dataclasses import dataclass
from enum import Enum

from vending.money import Centavos
from vending.two_people import EVIDENCE_CHARACTERS_MAX, Verdict, judge_decision, user_name

DEPOSIT_CENTAVOS_MAX = 99_999_999_999_999
"""A million million pesos less one centavo: more is a slip of the keyboard."""

_REFERENCE = re.compile(r"[0-9A-Z][0-9A-Z./-]{0,63}")


class DepositState(Enum):
    """How far it is; the value is what the ledger stores."""

    REGISTERED = "registered"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class DepositRefusal(Enum):
    """Why a deposit is refused, in order of precedence."""

    USER_INVALID = "user_invalid"
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_TOO_LONG = "evidence_too_long"
    REFERENCE_INVALID = "reference_invalid"
    """A bank's reference is 1 to 64 digits, letters, points, slashes and hyphens; small letters are made capital."""
    AMOUNT_INVALID = "amount_invalid"
    """Zero, too large, or below zero without a deposit that it corrects."""

    NETWORK_UNKNOWN = "network_unknown"
    REFERENCE_USED = "reference_used"
    """Another deposit of this network has it."""
    CORRECTED_UNKNOWN = "corrected_unknown"
    """The deposit to be corrected is none of this network's, not confirmed, or itself a correction."""
    ABOVE_DEPOSIT = "above_deposit"
    """It takes back more than the deposit has left after earlier corrections."""
    DEPOSIT_UNKNOWN = "deposit_unknown"
    SAME_PERSON = "same_person"
    ALREADY_DECIDED = "already_decided"
    FLOAT_SOLD = "float_sold"
    """It takes back what was sold already: the network has to pay in first."""


class DepositRefused(Exception):
    """A deposit that may not be, with the reason."""

    def __init__(self, reason: DepositRefusal, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


def user_named(name: str) -> str:
    """Return the name of a user as it is stored and compared.

    Raises:
        DepositRefused: `DepositRefusal.USER_INVALID`.
    """
    user = user_name(name)
    if user is None:
        raise DepositRefused(DepositRefusal.USER_INVALID, repr(name))
    return user


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A deposit as it is registered; one that could never be confirmed cannot be made.

    Attributes:
        acquirer_id: whose float.
        amount_centavos: what came in; below zero only with ``corrects_deposit_id``.
        bank_reference: of the payment on the bank's statement; stored in capitals without spaces around.
        evidence: what was seen, and where the paper is; not blank.
        registered_by: who registers; stored as `user_named` says.
        corrects_deposit_id: the confirmed deposit that was wrong.

    Raises:
        DepositRefused: with the first reason that applies.
    """

    acquirer_id: str
    amount_centavos: Centavos
    bank_reference: str
    evidence: str
    registered_by: str
    corrects_deposit_id: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be confirmed."""
        object.__setattr__(self, "registered_by", user_named(self.registered_by))
        object.__setattr__(self, "evidence", self.evidence.strip())
        object.__setattr__(self, "bank_reference", self.bank_reference.strip().upper())
        least = 1 if self.corrects_deposit_id is None else -DEPOSIT_CENTAVOS_MAX
        amount = self.amount_centavos
        refusals = (
            (DepositRefusal.EVIDENCE_MISSING, not self.evidence),
            (DepositRefusal.EVIDENCE_TOO_LONG, len(self.evidence) > EVIDENCE_CHARACTERS_MAX),
            (DepositRefusal.REFERENCE_INVALID, not _REFERENCE.fullmatch(self.bank_reference)),
            (DepositRefusal.AMOUNT_INVALID, amount == 0 or not least <= amount <= DEPOSIT_CENTAVOS_MAX),
        )
        for reason, applies in refusals:
            if applies:
                raise DepositRefused(reason)


def is_decided(
    state: DepositState, *, registered_by: str, decided_by: str | None, user: str, wanted: DepositState
) -> bool:
    """Say whether *user* decided so before: then there is nothing left to do, and the answer is the same again.

    Raises:
        DepositRefused: *user* registered it, or it was decided by another or the other way.
    """
    verdict = judge_decision(asked_by=registered_by, decided_by=decided_by, is_as_wanted=state is wanted, user=user)
    if verdict is Verdict.SAME_PERSON:
        raise DepositRefused(DepositRefusal.SAME_PERSON)
    if verdict is Verdict.ALREADY_DECIDED:
        raise DepositRefused(DepositRefusal.ALREADY_DECIDED, f"{state.value} by {decided_by}")
    return verdict is Verdict.DECIDED_SO
