"""How money becomes units: the one pure function that prices a sale.

Whoever shows or sells an amount calls `quote`; nothing else computes money. All numbers are integers. A rate is in ten-thousandths
of a peso per unit, so *q* tenths of a unit at rate *r* cost exactly ``q * r`` millicentavos (thousandths of a centavo), and the
only rounding of a sale's energy is one division by 1000, downwards, in the customer's favour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vending.deductions import BASIS_POINTS_PER_WHOLE, NO_MONEY, Deduction, Obligation, Taken, collection_order
from vending.money import BasisPoints, Centavos, RateE4, Tenths
from vending.policy import Limits
from vending.response_code import Refusal, ResponseCode
from vending.tariff import Tariff

__all__ = [
    "TOKENS_MAX",
    "TOKEN_TENTHS_MAX",
    "Quote",
    "QuoteInput",
    "QuotedBlock",
    "Taken",
    "Voluntary",
    "assert_identities",
    "quote",
]

MILLICENTAVOS_PER_CENTAVO = 1000

NO_UNITS = Tenths(0)

TOKEN_TENTHS_MAX = 16_383
"""The most tenths of a unit in one token: the exact range of the amount field (above it, a token's amount is rounded)."""

TOKENS_MAX = 65_536
"""No quote lists more tokens than this, so that an absurd amount cannot fill the memory; a sale has a far lower limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voluntary:
    """A payment to one obligation that the customer asked for on top of what is taken anyway."""

    obligation: str
    amount_centavos: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInput:
    """The money, the state of the account and the tariff that one quote is made from.

    Attributes:
        paid_centavos: the money handed over.
        carried_in_centavos: the remainder of the customer's last sale.
        month_to_date_tenths: what was bought this local month.
        limits: on ``paid_centavos``; None: no limits.
        tariff: the version that applies today.
        deductions: in any order.
        cap_basis_points: the share of ``paid_centavos`` that all deductions together may take; None: no cap.
        voluntary: outside the cap.
        tokens_max: more tokens than this decline the sale as above the maximum.
    """

    paid_centavos: Centavos
    carried_in_centavos: Centavos = NO_MONEY
    month_to_date_tenths: Tenths = NO_UNITS
    limits: Limits | None = None
    tariff: Tariff
    deductions: Sequence[Deduction] = ()
    cap_basis_points: BasisPoints | None = None
    voluntary: Voluntary | None = None
    tokens_max: int = TOKENS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedBlock:
    """Units bought in one block of the tariff."""

    units_tenths: Tenths
    rate_e4: RateE4
    full_rate_e4: RateE4


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a sale comes to.

    Attributes:
        paid_centavos: the money handed over.
        carried_in_centavos: the remainder that was brought along.
        units_tenths: units bought, all blocks together.
        charged_centavos: what they cost the customer.
        carried_out_centavos: the remainder for the next sale.
        full_cost_centavos: what they cost in full.
        subsidy_centavos: the full cost over what was charged.
        contribution_centavos: what was charged over the full cost.
        voluntary: what the voluntary payment took; None: none asked for, or nothing to take.
        taken: the deductions that took something, in order.
        blocks: the blocks in which units were bought.
        token_units_tenths: the tokens, largest first.
        month_to_date_tenths: bought this month, this sale included.
    """

    paid_centavos: Centavos
    carried_in_centavos: Centavos
    units_tenths: Tenths
    charged_centavos: Centavos
    carried_out_centavos: Centavos
    full_cost_centavos: Centavos
    subsidy_centavos: Centavos
    contribution_centavos: Centavos
    voluntary: Taken | None
    taken: tuple[Taken, ...]
    blocks: tuple[QuotedBlock, ...]
    token_units_tenths: tuple[Tenths, ...]
    month_to_date_tenths: Tenths


def quote(question: QuoteInput) -> Quote:
    """Price one sale.

    Raises:
        Refusal: ``AMOUNT_BELOW_MINIMUM``, ``AMOUNT_ABOVE_MAXIMUM``, ``UNKNOWN_OBLIGATION`` or ``AMOUNT_TOO_LOW``.
        AssertionError: an identity of money does not hold; a bug.
    """
    _check_limits(question)
    paid = question.paid_centavos
    money = paid + question.carried_in_centavos
    taken, voluntary, energy = _serve_deductions(question, money)
    blocks, units, spent_milli, full_milli = _buy(question.tariff, question.month_to_date_tenths, energy)
    if units == 0 and voluntary is None:
        raise Refusal(ResponseCode.AMOUNT_TOO_LOW)
    charged = spent_milli // MILLICENTAVOS_PER_CENTAVO
    full_cost = full_milli // MILLICENTAVOS_PER_CENTAVO
    answer = Quote(
        paid_centavos=paid,
        carried_in_centavos=question.carried_in_centavos,
        units_tenths=Tenths(units),
        charged_centavos=Centavos(charged),
        carried_out_centavos=Centavos(energy - charged),
        full_cost_centavos=Centavos(full_cost),
        subsidy_centavos=Centavos(full_cost - charged if full_cost > charged else 0),
        contribution_centavos=Centavos(charged - full_cost if charged > full_cost else 0),
        voluntary=voluntary,
        taken=taken,
        blocks=blocks,
        token_units_tenths=_split_into_tokens(units, question.tokens_max),
        month_to_date_tenths=Tenths(question.month_to_date_tenths + units),
    )
    assert_identities(answer)
    return answer


def assert_identities(answer: Quote) -> None:
    """Check that no centavo appeared or vanished.

    They are raised by hand, so that ``python -O`` does not remove them.

    Raises:
        AssertionError: one of the two identities of money is broken.
    """
    taken = sum(line.amount_centavos for line in answer.taken)
    voluntary = answer.voluntary.amount_centavos if answer.voluntary is not None else 0
    money = answer.paid_centavos + answer.carried_in_centavos
    if money != taken + voluntary + answer.charged_centavos + answer.carried_out_centavos:
        raise AssertionError("the money of a quote does not add up")
    if answer.charged_centavos + answer.subsidy_centavos - answer.contribution_centavos != answer.full_cost_centavos:
        raise AssertionError("the full cost of a quote does not add up")


def _check_limits(question: QuoteInput) -> None:
    limits = question.limits
    if limits is None:
        return
    if question.paid_centavos < limits.minimum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_BELOW_MINIMUM)
    if question.paid_centavos > limits.maximum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_ABOVE_MAXIMUM)


def _serve_deductions(question: QuoteInput, money: int) -> tuple[tuple[Taken, ...], Taken | None, int]:
    """Return the lines taken, the voluntary line and the money left for units."""
    if not question.deductions and question.voluntary is None:
        return (), None, money
    ordered = sorted(question.deductions, key=collection_order)
    target = _find_voluntary(question.voluntary, ordered)
    cap = question.cap_basis_points
    paid = question.paid_centavos
    room = money if cap is None else min(money, paid * cap // BASIS_POINTS_PER_WHOLE)
    lines: list[Taken] = []
    money_left = money
    already = 0
    for deduction in ordered:
        amount = min(deduction.wanted(paid), room)
        if amount <= 0:
            continue
        lines.append(deduction.take(amount))
        room -= amount
        money_left -= amount
        if deduction is target:
            already = amount
    voluntary = None
    if target is not None and question.voluntary is not None:
        amount = min(question.voluntary.amount_centavos, target.owed_centavos - already, money_left)
        if amount > 0:
            voluntary = target.take(amount, already)
            money_left -= amount
    return tuple(lines), voluntary, money_left


def _find_voluntary(voluntary: Voluntary | None, ordered: Sequence[Deduction]) -> Obligation | None:
    """Return the obligation that a voluntary payment names. Charges and emergency credit are not obligations."""
    if voluntary is None:
        return None
    for deduction in ordered:
        if deduction.id == voluntary.obligation and isinstance(deduction, Obligation):
            return deduction
    raise Refusal(ResponseCode.UNKNOWN_OBLIGATION, voluntary.obligation)


def _buy(
    tariff: Tariff, month_to_date_tenths: int, energy_centavos: int
) -> tuple[tuple[QuotedBlock, ...], int, int, int]:
    """Fill block after block; return the blocks, the units, and what they cost in millicentavos: charged and in full."""
    left_milli = energy_centavos * MILLICENTAVOS_PER_CENTAVO
    spent_milli = full_milli = units = 0
    reached = month_to_date_tenths
    blocks: list[QuotedBlock] = []
    for block in tariff.blocks:
        limit = block.up_to_tenths
        if limit is not None and limit <= reached:
            continue
        rate = block.rate_e4
        bought = left_milli // rate
        is_filled = limit is not None and bought >= limit - reached
        if limit is not None and is_filled:
            bought = limit - reached
        if bought:
            blocks.append(QuotedBlock(units_tenths=Tenths(bought), rate_e4=rate, full_rate_e4=block.full_rate_e4))
            cost = bought * rate
            left_milli -= cost
            spent_milli += cost
            full_milli += bought * block.full_rate_e4
            units += bought
            reached += bought
        if not is_filled:
            break
    return tuple(blocks), units, spent_milli, full_milli


def _split_into_tokens(units_tenths: int, tokens_max: int) -> tuple[Tenths, ...]:
    """Return the tokens that carry *units_tenths*: full ones first, the rest in the last."""
    if 0 < units_tenths <= TOKEN_TENTHS_MAX:
        return (Tenths(units_tenths),)
    full_tokens, rest = divmod(units_tenths, TOKEN_TENTHS_MAX)
    if full_tokens + (rest > 0) > tokens_max:
        raise Refusal(ResponseCode.AMOUNT_ABOVE_MAXIMUM, f"needs more than {tokens_max} tokens")
    return (Tenths(TOKEN_TENTHS_MAX),) * full_tokens + ((Tenths(rest),) if rest else ())
