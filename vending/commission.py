"""What a network earns with a sale, and the tax on it.

The rule of rounding, here and nowhere else: the share of the sale and the tax are each rounded down to the centavo, so the fraction stays
with the utility. A commission is never more than the sale. Tiers are by the whole amount of a sale: the highest tier that it reaches
says what all of it earns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from vending.deductions import BASIS_POINTS_PER_WHOLE
from vending.money import BasisPoints, Centavos

NO_SHARE = BasisPoints(0)
NO_MONEY = Centavos(0)

FIXED_CENTAVOS_MAX = 100_000_000
"""A million pesos for each sale: more is a slip of the keyboard."""

TIERS_MAX = 20
"""Of one version: more is a table that nobody reads."""


class Commission(NamedTuple):
    """What one sale earns."""

    centavos: Centavos
    tax_centavos: Centavos
    """The tax on it, which the utility owes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionTier:
    """What a sale of at least ``from_paid_centavos`` earns: a share of it and a fixed sum.

    Raises:
        ValueError: a number is out of its range.
    """

    from_paid_centavos: Centavos = NO_MONEY
    share_basis_points: BasisPoints = NO_SHARE
    fixed_centavos: Centavos = NO_MONEY

    def __post_init__(self) -> None:
        """Refuse what no network is paid."""
        if self.from_paid_centavos < 0:
            raise ValueError("a tier begins at zero or above")
        if not 0 <= self.share_basis_points <= BASIS_POINTS_PER_WHOLE:
            raise ValueError("a share is 0 to 10000 basis points")
        if not 0 <= self.fixed_centavos <= FIXED_CENTAVOS_MAX:
            raise ValueError(f"a fixed sum is 0 to {FIXED_CENTAVOS_MAX} centavos")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionTerms:
    """One version of what a network earns: for the sales of the settlement days from ``valid_from`` on, until a later version begins.

    Raises:
        ValueError: no tier from zero, two that begin alike, too many, or a tax out of its range.
    """

    valid_from: date
    tiers: Sequence[CommissionTier]
    tax_basis_points: BasisPoints = NO_SHARE

    def __post_init__(self) -> None:
        """Put the tiers in order, and refuse a version that leaves a sale without a tier."""
        object.__setattr__(self, "tiers", tuple(sorted(self.tiers, key=lambda tier: tier.from_paid_centavos)))
        begins = [tier.from_paid_centavos for tier in self.tiers]
        if not begins or begins[0] != 0:
            raise ValueError("the first tier begins at zero")
        if len(set(begins)) != len(begins):
            raise ValueError("two tiers begin alike")
        if len(begins) > TIERS_MAX:
            raise ValueError(f"more than {TIERS_MAX} tiers")
        if not 0 <= self.tax_basis_points <= BASIS_POINTS_PER_WHOLE:
            raise ValueError("a tax is 0 to 10000 basis points")

    def of(self, paid_centavos: int) -> Commission:
        """Return what a sale earns under this version."""
        tier = next(tier for tier in reversed(self.tiers) if tier.from_paid_centavos <= paid_centavos)
        return commission_of(paid_centavos, tier.share_basis_points, tier.fixed_centavos, self.tax_basis_points)


def commission_of(
    paid_centavos: int, share_basis_points: int, fixed_centavos: int = 0, tax_basis_points: int = 0
) -> Commission:
    """Return what a sale earns in one tier.

    Args:
        paid_centavos: of the whole payment, zero or more.
        share_basis_points: of it.
        fixed_centavos: on top, for each sale.
        tax_basis_points: of the commission.

    >>> commission_of(2_000_000, 150, 20_000, 1900)
    Commission(centavos=50000, tax_centavos=9500)
    >>> commission_of(99, 150, 0, 1900)
    Commission(centavos=1, tax_centavos=0)
    """
    share = paid_centavos * share_basis_points // BASIS_POINTS_PER_WHOLE
    earned = min(paid_centavos, share + fixed_centavos)
    return Commission(Centavos(earned), Centavos(earned * tax_basis_points // BASIS_POINTS_PER_WHOLE))
