"""A dialect whose answers always carry both bitmaps, for networks whose programs read 128 bits whatever the first of them says."""

from typing import Any, Final, cast

from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from messages.mac import MacForm

_MTI_OCTETS: Final = {MacForm.OCTETS: 2, MacForm.HEX: 4}
_BITMAP_OCTETS: Final = {MacForm.OCTETS: 8, MacForm.HEX: 16}


def with_both_bitmaps(encoded: bytes, form: MacForm) -> bytes:
    """Return an encoded message with a second bitmap, which is empty if it had none.

    Args:
        encoded: from the MTI on.
        form: of the dialect: bitmaps are octets, or hex characters.
    """
    start = _MTI_OCTETS[form]
    end = start + _BITMAP_OCTETS[form]
    bitmap = encoded[start:end] if form is MacForm.OCTETS else bytes.fromhex(encoded[start:end].decode("ascii"))
    if bitmap[0] & 0x80:
        return encoded
    both = bytes((bitmap[0] | 0x80,)) + bitmap[1:] + bytes(8)
    written = both if form is MacForm.OCTETS else both.hex().upper().encode("ascii")
    return encoded[:start] + written + encoded[end:]


class _Widened:
    """A dialect that differs in the two ways out only."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def encode(self, answer: IsoMessage) -> bytes:
        """Write an answer with both bitmaps."""
        return with_both_bitmaps(self._dialect.encode(answer), self._dialect.mac_form)

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write an answer with both bitmaps; the MAC covers them."""
        return with_both_bitmaps(self._dialect.encode_for_mac(answer), self._dialect.mac_form)


def widened(dialect: Dialect) -> Dialect:
    """Return *dialect* with both bitmaps in everything that leaves."""
    return cast(Dialect, _Widened(dialect))
