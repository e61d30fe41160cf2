"""Section ``sale``: between which amounts the utility sells, and how much of a payment may go to debts."""

from typing import Literal, Self

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
        key_change: what a recharge does on a meter whose key is behind: "automatic" hands out the key-change tokens in front of the
            credit, "refuse" sells nothing before an engineer has changed the key.
    """

    minimum_paid_centavos: int = Field(default=100_000, ge=1, le=CENTAVOS_MAX)
    maximum_paid_centavos: int = Field(default=100_000_000, ge=1, le=CENTAVOS_MAX)
    cap_basis_points: int | None = Field(default=None, ge=0, le=10_000)
    key_change: Literal["automatic", "refuse"] = "automatic"

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.minimum_paid_centavos > self.maximum_paid_centavos:
            raise ValueError("minimum_paid_centavos is above maximum_paid_centavos: nothing could be sold")
        return self
