"""A meter that changes its key with a sale: whether it may, and the tokens that it takes before its credit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from vending.secret import Secret


class KeyChangePolicy(Enum):
    """What a sale does on a meter whose key is behind; the value is what the configuration says."""

    AUTOMATIC = "automatic"
    """The sale hands out the key-change tokens in front of its credit."""
    REFUSE = "refuse"
    """Nothing is sold before an engineer has changed the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """The key change that goes with a sale; the key it leads to is the one that the sale's own tokens are minted under.

    Attributes:
        mint_id: the security module is asked for its tokens under this id; no sale has it.
        from_register_id: of the key that the meter has.
        from_tariff_index: likewise.
        sections: how many tokens.
        is_rollover: the base date moves on: the meter forgets its identifiers, and they begin anew.
        tokens: 20 digits each, in the order of entry; empty until they were minted.
    """

    mint_id: int
    from_register_id: int
    from_tariff_index: int
    sections: int
    is_rollover: bool
    tokens: Sequence[Secret[str]] = field(default=(), repr=False)
