"""Adjustments, pure: money or units given outside a sale, with evidence, proposed by one person and approved by another.

The rules here look at facts and refuse; `ledger.adjustments` reads the facts under locks and writes what is allowed.
"""

from dataclasses import dataclass
from enum import Enum

from vending.engineering import EngineeringKind
from vending.money import Centavos, Tenths
from vending.quote import TOKEN_TENTHS_MAX
from vending.service import Service
from vending.two_people import EVIDENCE_CHARACTERS_MAX, Verdict, judge_decision, user_name

ADJUSTMENT_CENTAVOS_MAX = 999_999_999_999
"""Ten digits of pesos, as in a sale's message: more is a slip of the keyboard."""

FREE_TOKENS_PER_MONTH = 1
"""Free units are one token per meter and local month."""


class AdjustmentKind(Enum):
    """What is given; the value is what the ledger stores."""

    REFUND = "refund"
    """Money goes back to the customer."""
    CREDIT = "credit"
    """Money is put on the meter's remainder; the next sale carries it in."""
    FREE_TOKEN = "free_token"  # noqa: S105 - not a password
    """Units that nobody paid for."""
    REPLACEMENT_TOKEN = "replacement_token"  # noqa: S105 - not a password
    """Units that a sale paid for and that were lost with a replaced meter."""
    POWER_LIMIT = "power_limit"
    """A limit of watts is set in the meter."""
    PHASE_UNBALANCE = "phase_unbalance"
    """A limit of watts between phases is set in the meter."""
    CLEAR_CREDIT = "clear_credit"
    """The credit in the meter is taken away."""
    CLEAR_TAMPER = "clear_tamper"
    """The meter works again after somebody opened it."""
    METER_TEST = "meter_test"
    """The meter shows or tries something."""

    @property
    def engineering(self) -> EngineeringKind | None:
        """What its token does, where it is an engineer's; None where it gives money or units."""
        return _ENGINEERING.get(self)

    @property
    def gives_money(self) -> bool:
        """Whether the amount counts, and not the units."""
        return self in {AdjustmentKind.REFUND, AdjustmentKind.CREDIT}

    @property
    def needs_sale(self) -> bool:
        """Whether it must name the sale it is about."""
        return self in {AdjustmentKind.REFUND, AdjustmentKind.REPLACEMENT_TOKEN}

    @property
    def moves_meter(self) -> bool:
        """Whether the row of the meter changes: its remainder, or its last token identifier."""
        return self is not AdjustmentKind.REFUND


_ENGINEERING = {
    AdjustmentKind.POWER_LIMIT: EngineeringKind.POWER_LIMIT,
    AdjustmentKind.PHASE_UNBALANCE: EngineeringKind.PHASE_UNBALANCE,
    AdjustmentKind.CLEAR_CREDIT: EngineeringKind.CLEAR_CREDIT,
    AdjustmentKind.CLEAR_TAMPER: EngineeringKind.CLEAR_TAMPER,
    AdjustmentKind.METER_TEST: EngineeringKind.TEST,
}


class AdjustmentState(Enum):
    """How far it is; the value is what the ledger stores."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"


class AdjustmentRefusal(Enum):
    """Why an adjustment is refused, in order of precedence."""

    USER_INVALID = "user_invalid"
    """A name is 1 to 64 of a-z, 0-9, point, hyphen, underscore and @; capitals are made small."""
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_TOO_LONG = "evidence_too_long"
    AMOUNT_INVALID = "amount_invalid"
    """Zero, negative, too large, or money where units are given."""
    UNITS_INVALID = "units_invalid"
    """Zero, negative, more than one token holds exactly, or units where money is given."""
    VALUE_INVALID = "value_invalid"
    """No value that such a token of an engineer can say, or one where nothing is said."""
    SALE_MISSING = "sale_missing"
    METER_MISSING = "meter_missing"

    ADJUSTMENT_UNKNOWN = "adjustment_unknown"
    SAME_PERSON = "same_person"
    """Who proposed decides nothing."""
    ALREADY_DECIDED = "already_decided"
    """By somebody else, or the other way."""

    SALE_UNKNOWN = "sale_unknown"
    SALE_NOT_POSTED = "sale_not_posted"
    """It is void, or its outcome is not known yet."""
    SALE_PARKED = "sale_parked"
    """Its money went back by a reversal, and its tokens are the next buyer's."""
    METER_UNKNOWN = "meter_unknown"
    METER_NOT_OF_SALE = "meter_not_of_sale"
    """Another meter than the sale's; for a replacement, one of another holder or service."""
    ABOVE_PAID = "above_paid"
    """More money than the sale was paid, less what came back for it before."""
    ABOVE_SOLD = "above_sold"
    """More units than the sale sold, less what was replaced before."""
    METER_BLOCKED = "meter_blocked"
    NO_FREE_UNITS_DUE = "no_free_units_due"
    """This meter had its free token of this month."""
    METER_BUSY = "meter_busy"
    """A sale holds the meter; try again when it has ended."""
    NO_TOKEN_IDENTIFIER = "no_token_identifier"  # noqa: S105 - not a password
    """The identifiers of the meter's base date are used up."""


class AdjustmentRefused(Exception):
    """An adjustment that may not be, with the reason."""

    def __init__(self, reason: AdjustmentRefusal, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


def user_named(name: str) -> str:
    """Return the name of a user as it is stored and compared.

    >>> user_named(" Ana.Rojas ")
    'ana.rojas'

    Raises:
        AdjustmentRefused: `AdjustmentRefusal.USER_INVALID`.
    """
    user = user_name(name)
    if user is None:
        raise AdjustmentRefused(AdjustmentRefusal.USER_INVALID, repr(name))
    return user


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An adjustment as it is asked for; one that could never be approved cannot be made.

    Attributes:
        kind: what is given.
        proposed_by: who asks; stored as `user_named` says.
        evidence: why, and where the proof is; not blank.
        meter_number: whose meter; without it, the meter of the sale.
        sale_id: the sale it is about; a refund and a replacement need one, a credit may have one.
        amount_centavos: of a refund or credit; else 0.
        units_tenths: of a token; else 0.
        value: what a token of an engineer says: watts, a register or tests, see `EngineeringKind`; else 0.

    Raises:
        AdjustmentRefused: with the first reason that applies.
    """

    kind: AdjustmentKind
    proposed_by: str
    evidence: str
    meter_number: str | None = None
    sale_id: int | None = None
    amount_centavos: Centavos = Centavos(0)
    units_tenths: Tenths = Tenths(0)
    value: int = 0

    def __post_init__(self) -> None:
        """Refuse what could never be approved."""
        object.__setattr__(self, "proposed_by", user_named(self.proposed_by))
        object.__setattr__(self, "evidence", self.evidence.strip())
        money, units = self.amount_centavos, self.units_tenths
        is_money = self.kind.gives_money
        engineering = self.kind.engineering
        gives_units = not is_money and engineering is None
        refusals = (
            (AdjustmentRefusal.EVIDENCE_MISSING, not self.evidence),
            (AdjustmentRefusal.EVIDENCE_TOO_LONG, len(self.evidence) > EVIDENCE_CHARACTERS_MAX),
            (AdjustmentRefusal.AMOUNT_INVALID, not 1 <= money <= ADJUSTMENT_CENTAVOS_MAX if is_money else money != 0),
            (AdjustmentRefusal.UNITS_INVALID, not 1 <= units <= TOKEN_TENTHS_MAX if gives_units else units != 0),
            (
                AdjustmentRefusal.VALUE_INVALID,
                self.value != 0 if engineering is None else not engineering.allows(self.value),
            ),
            (AdjustmentRefusal.SALE_MISSING, self.kind.needs_sale and self.sale_id is None),
            (AdjustmentRefusal.METER_MISSING, self.sale_id is None and self.meter_number is None),
        )
        for reason, applies in refusals:
            if applies:
                raise AdjustmentRefused(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleFacts:
    """What the rules ask of the sale that an adjustment names; the sums are of other approved adjustments that name it."""

    is_posted: bool
    is_parked: bool
    """A reversal gave its money back; somebody may have bought its tokens since."""
    is_claimed: bool
    """It is parked, and somebody bought its tokens since."""
    meter_id: int
    holder_id: int
    service: Service
    paid_centavos: Centavos
    units_tenths: Tenths
    returned_centavos: Centavos
    replaced_tenths: Tenths


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFacts:
    """What the rules ask of the meter that gets it."""

    meter_id: int
    holder_id: int
    service: Service
    is_blocked: bool
    is_held: bool
    free_tokens_in_month: int


def check_sale(
    kind: AdjustmentKind, amount_centavos: Centavos, units_tenths: Tenths, sale: SaleFacts, meter: MeterFacts
) -> None:
    """Refuse what does not fit the sale that an adjustment names.

    Raises:
        AdjustmentRefused: with the first reason that applies.
    """
    is_same_meter = meter.meter_id == sale.meter_id
    # A replaced meter has a number of its own: what was paid follows its holder, within one service.
    is_successor = meter.holder_id == sale.holder_id and meter.service is sale.service
    if not sale.is_posted:
        raise AdjustmentRefused(AdjustmentRefusal.SALE_NOT_POSTED)
    if sale.is_parked and (kind.gives_money or not sale.is_claimed):
        raise AdjustmentRefused(AdjustmentRefusal.SALE_PARKED)
    if not (is_same_meter or (kind is AdjustmentKind.REPLACEMENT_TOKEN and is_successor)):
        raise AdjustmentRefused(AdjustmentRefusal.METER_NOT_OF_SALE)
    left_centavos = sale.paid_centavos - sale.returned_centavos
    if kind.gives_money and amount_centavos > left_centavos:
        raise AdjustmentRefused(AdjustmentRefusal.ABOVE_PAID, f"{left_centavos} centavos are left")
    left_tenths = sale.units_tenths - sale.replaced_tenths
    if kind is AdjustmentKind.REPLACEMENT_TOKEN and units_tenths > left_tenths:
        raise AdjustmentRefused(AdjustmentRefusal.ABOVE_SOLD, f"{left_tenths} tenths are left")


def check_meter(kind: AdjustmentKind, meter: MeterFacts) -> None:
    """Refuse what the meter cannot take now. A refund does not touch it.

    Raises:
        AdjustmentRefused: with the first reason that applies.
    """
    if not kind.moves_meter:
        return
    # A blocked meter buys nothing, but it is worked on.
    if meter.is_blocked and not kind.gives_money and kind.engineering is None:
        raise AdjustmentRefused(AdjustmentRefusal.METER_BLOCKED)
    if kind is AdjustmentKind.FREE_TOKEN and meter.free_tokens_in_month >= FREE_TOKENS_PER_MONTH:
        raise AdjustmentRefused(AdjustmentRefusal.NO_FREE_UNITS_DUE)
    if meter.is_held:
        raise AdjustmentRefused(AdjustmentRefusal.METER_BUSY)


def is_decided(
    state: AdjustmentState, *, proposed_by: str, decided_by: str | None, user: str, wanted: AdjustmentState
) -> bool:
    """Say whether *user* decided so before: then there is nothing left to do, and the answer is the same again.

    Args:
        state: as it is stored.
        proposed_by: likewise.
        decided_by: likewise; None while it is proposed.
        user: who decides now, from `user_named`.
        wanted: approved or rejected.

    Raises:
        AdjustmentRefused: *user* proposed it, or it was decided by another or the other way.
    """
    verdict = judge_decision(asked_by=proposed_by, decided_by=decided_by, is_as_wanted=state is wanted, user=user)
    if verdict is Verdict.SAME_PERSON:
        raise AdjustmentRefused(AdjustmentRefusal.SAME_PERSON)
    if verdict is Verdict.ALREADY_DECIDED:
        raise AdjustmentRefused(AdjustmentRefusal.ALREADY_DECIDED, f"{state.value} by {decided_by}")
    return verdict is Verdict.DECIDED_SO
