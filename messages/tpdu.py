"""The five octets in front of a datáfono's message: where it goes and where it comes from.

Network concentrators put any value into an address, so the two addresses are kept as four hex digits and not held to be decimal.
"""

from dataclasses import dataclass

TPDU_OCTETS = 5
TPDU_ID = 0x60
"""The only identifier carried here: a transaction."""


class TpduError(ValueError):
    """A frame too short for a TPDU, or one with another identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tpdu:
    """Destination and source network international identifiers (NII), four upper-case hex digits each."""

    destination: str
    source: str

    def __post_init__(self) -> None:
        for address in (self.destination, self.source):
            if len(address) != 4 or address != address.upper() or len(_octets_or_empty(address)) != 2:
                raise TpduError("a TPDU address is 4 upper-case hex digits")

    @property
    def octets(self) -> bytes:
        """The five octets on the wire."""
        return bytes((TPDU_ID,)) + bytes.fromhex(self.destination + self.source)

    def swapped(self) -> "Tpdu":
        """Return the TPDU of the answer: back to where the request came from."""
        return Tpdu(destination=self.source, source=self.destination)


def split_tpdu(frame: bytes) -> tuple[Tpdu, bytes]:
    """Take the TPDU off a frame.

    Args:
        frame: one whole frame without its length.

    Returns:
        The TPDU, and the message behind it (which may be empty).

    Raises:
        TpduError: fewer than 5 octets, or the first one is not 0x60.
    """
    _check(frame)
    addresses = frame[1:TPDU_OCTETS].hex().upper()
    return Tpdu(destination=addresses[:4], source=addresses[4:]), frame[TPDU_OCTETS:]


def turn_tpdu(frame: bytes) -> tuple[bytes, bytes]:
    """Take the TPDU off a frame, already as octets for the answer: what `split_tpdu` and `Tpdu.swapped` do, at once.

    Raises:
        TpduError: as `split_tpdu`.

    >>> turn_tpdu(bytes.fromhex("60 0003 0123 0800"))[0].hex(" ", 2)
    '60 0123 0003'
    """
    _check(frame)
    return frame[:1] + frame[3:TPDU_OCTETS] + frame[1:3], frame[TPDU_OCTETS:]


def _check(frame: bytes) -> None:
    if len(frame) < TPDU_OCTETS:
        raise TpduError(f"a frame of {len(frame)} octets has no room for a TPDU")
    if frame[0] != TPDU_ID:
        raise TpduError(f"TPDU identifier {frame[0]:02X} is not {TPDU_ID:02X}")


def _octets_or_empty(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
