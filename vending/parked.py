"""Parked tokens: sold, reversed, and kept for the next recharge on the same meter. Pure rules.

A reversal under the policy ``parked`` gives the money back and keeps the token; whoever next pays enough on that meter gets the kept
token first, and only what is left of the payment buys new units. So no token is minted twice for the same units, and a terminal that
lies about a reversal cheats at most for the caps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from vending.money import Centavos, Tenths
from vending.quote import Quote, assert_identities
from vending.secret import Secret

CLAIMED_TOKENS_MAX = 32
"""One sale hands out at most so many parked tokens beside its own 16: an answer has room for 49."""


class Parking(Enum):
    """What became of the wish to park a sale."""

    NOT_ASKED = "not_asked"
    """The network's policy is ``stands``."""
    PARKED = "parked"
    """Now: the money went back."""
    PARKED_BEFORE = "parked_before"
    """By an earlier reversal; no money moved."""
    ABOVE_CAP = "above_cap"
    """The terminal's day, or one sale, would go above what is allowed; the sale stands."""
    NOT_PARKABLE = "not_parkable"
    """The customer may have the token, or there is none of its own to keep; the sale stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkingLimits:
    """How much may be parked, both values allowed themselves.

    Attributes:
        sale_centavos_max: by one sale.
        terminal_day_centavos_max: by one terminal on one local day, all its parked sales together, claimed or not.
    """

    sale_centavos_max: Centavos
    terminal_day_centavos_max: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedSale:
    """A sale whose money went back and whose tokens wait on its meter.

    Attributes:
        sale_id: the sale that minted the tokens.
        paid_centavos: what it was paid, and what claiming it costs.
        units_tenths: what the tokens carry together.
        tokens: the PINs, in the order of entry.
    """

    sale_id: int
    paid_centavos: Centavos
    units_tenths: Tenths
    tokens: Sequence[Secret[str]] = field(repr=False)


def judge_parking(paid_centavos: int, parked_today_centavos: int, limits: ParkingLimits) -> Parking:
    """Return ``PARKED`` if the caps allow to park a sale of *paid_centavos*, else ``ABOVE_CAP``.

    Args:
        paid_centavos: of the sale.
        parked_today_centavos: what its terminal parked on this local day so far.
        limits: of the network.
    """
    if paid_centavos > limits.sale_centavos_max:
        return Parking.ABOVE_CAP
    is_within = parked_today_centavos + paid_centavos <= limits.terminal_day_centavos_max
    return Parking.PARKED if is_within else Parking.ABOVE_CAP


def claimable(parked: Sequence[ParkedSale], paid_centavos: int) -> tuple[ParkedSale, ...]:
    """Return the parked sales that a payment claims: the oldest first, as long as it covers them all.

    It stops at the first that does not fit and takes no later one in its place, so that the tokens of a meter are handed out in the
    order in which they were made: a meter refuses a token that is much older than those it has seen.

    Args:
        parked: of one meter, oldest first.
        paid_centavos: the money handed over.
    """
    claimed: list[ParkedSale] = []
    left = paid_centavos
    tokens = 0
    for sale in parked:
        left -= sale.paid_centavos
        tokens += len(sale.tokens)
        if left < 0 or tokens > CLAIMED_TOKENS_MAX:
            break
        claimed.append(sale)
    return tuple(claimed)


def keep_as_remainder(paid_centavos: Centavos, *, carried_in_centavos: Centavos, month_to_date_tenths: Tenths) -> Quote:
    """Return the quote of a payment's rest that buys nothing: all of it is carried to the next sale, and nothing is deducted."""
    answer = Quote(
        paid_centavos=paid_centavos,
        carried_in_centavos=carried_in_centavos,
        units_tenths=Tenths(0),
        charged_centavos=Centavos(0),
        carried_out_centavos=Centavos(carried_in_centavos + paid_centavos),
        full_cost_centavos=Centavos(0),
        subsidy_centavos=Centavos(0),
        contribution_centavos=Centavos(0),
        voluntary=None,
        taken=(),
        blocks=(),
        token_units_tenths=(),
        month_to_date_tenths=month_to_date_tenths,
    )
    assert_identities(answer)
    return answer
