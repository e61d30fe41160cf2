"""A dialect whose answers carry their MAC in data element 128 always, for networks that look for it nowhere else."""

from typing import Any, Final, cast

from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from messages.mac import MAC_FIELDS, MAC_OCTETS

_LAST: Final = max(MAC_FIELDS)
_PLACEHOLDER: Final = "00" * MAC_OCTETS


class _MacInLast:
    """A dialect that differs in one way out only. What comes in may have its MAC in 128 in any case."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write an answer with a MAC of zeros in 128, which is its end."""
        return self._dialect.encode(answer.without_fields(*MAC_FIELDS).with_fields({_LAST: _PLACEHOLDER}))


def mac_in_128(dialect: Dialect) -> Dialect:
    """Return *dialect* with the MACs of all its answers in data element 128."""
    return cast(Dialect, _MacInLast(dialect))
