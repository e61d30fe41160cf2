"""What engineers were given: management, test and key-change tokens on one day, as an auditor asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWork:
    """Which tokens that are no credit were given on one local day? Asked again with the last sequence until the reply is empty."""

    day: date
    after_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRecord:
    """One request for tokens that are no credit, which was done, as the module recorded it.

    Attributes:
        sequence: of the record in the audit chain.
        request_id: the mint id of the adjustment, or of the key change of a sale.
        register_id: the key register; of a key change the new one.
        from_register_id: of a key change the old one; else the same.
        token_class: 1 or 2 of the standard.
        subclass: its sub-class there; of a key change 3.
        value: what it sets; of a key change its number of tokens.
        approvals: how many people's signatures it carried.
    """

    sequence: int
    request_id: int
    register_id: int
    from_register_id: int
    token_class: int
    subclass: int
    value: int
    approvals: int

    @property
    def is_key_change(self) -> bool:
        """Whether it moves a meter to another key."""
        return (self.token_class, self.subclass) == (2, KEY_CHANGE_SUBCLASS)


KEY_CHANGE_SUBCLASS = 3
"""Class 2, the first section of a new key: stands for the whole key change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWorkReply:
    """Work in ascending order of its sequence; none: there is no more."""

    work: Sequence[WorkRecord]
