"""What the utility decided for every sale: the limits on the money paid and how much of it deductions may take."""

from dataclasses import dataclass

from vending.key_change import KeyChangePolicy
from vending.money import BasisPoints, Centavos

TOKENS_PER_SALE_MAX = 16
"""One sale mints at most so many tokens: nobody keys in more, and one request to the security module holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The least and the most that one sale may pay, both allowed themselves."""

    minimum_paid_centavos: Centavos
    maximum_paid_centavos: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class SalePolicy:
    """The utility's parameters of a sale.

    Attributes:
        minimum_paid_centavos: a sale below it is declined.
        maximum_paid_centavos: a sale above it is declined.
        cap_basis_points: the share of the money paid that all deductions together may take; None: no cap.
        tokens_max: a sale that needs more tokens is declined as above the maximum.
        key_change: what a recharge does on a meter whose key is behind.
    """

    minimum_paid_centavos: Centavos
    maximum_paid_centavos: Centavos
    cap_basis_points: BasisPoints | None
    tokens_max: int = TOKENS_PER_SALE_MAX
    key_change: KeyChangePolicy = KeyChangePolicy.AUTOMATIC

    def __post_init__(self) -> None:
        if not 0 < self.minimum_paid_centavos <= self.maximum_paid_centavos:
            raise ValueError("the limits of a sale are not 0 < minimum <= maximum")
        if self.cap_basis_points is not None and not 0 <= self.cap_basis_points <= 10_000:
            raise ValueError("the cap is a share from 0 to 10000 basis points")
        if not 1 <= self.tokens_max <= TOKENS_PER_SALE_MAX:
            raise ValueError(f"a sale mints 1 to {TOKENS_PER_SALE_MAX} tokens")

    @property
    def limits(self) -> Limits:
        """The limits as the quote takes them."""
        return Limits(
            minimum_paid_centavos=self.minimum_paid_centavos, maximum_paid_centavos=self.maximum_paid_centavos
        )
