"""Section ``sale``: between which amounts the utility sells, and how much of a payment may go to debts."""

from typing import Self

from pydantic import Field, model_validator

from config.section import Section

CENTAVOS_MAX = 99_999_999_999
"""Nine hundred and ninety-nine million pesos: more than any meter buys, and it fits the twelve digits of data element 4."""


class SaleSection(Section):
    """The commercial rules that are not a tariff.

    Attributes:
        minimum_paid_centavos: least amount of one recharge.
        maximum_paid_centavos: greatest amount of one recharge.
        cap_basis_points: greatest share of a payment that obligations may take, 1000 is 10 %; None: no cap.
    """

    minimum_paid_centavos: int = Field(default=100_000, ge=1, le=CENTAVOS_MAX)
    maximum_paid_centavos: int = Field(default=100_000_000, ge=1, le=CENTAVOS_MAX)
    cap_basis_points: int | None = Field(default=None, ge=0, le=10_000)

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.minimum_paid_centavos > self.maximum_paid_centavos:
            raise ValueError("minimum_paid_centavos is above maximum_paid_centavos: nothing could be sold")
        return self
