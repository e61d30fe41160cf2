"""Which octets a message authentication code covers, and how it is put in and taken out. No key comes here.

The MAC is the last data element: 128 if the message has any element above 64, else 64. It covers every octet from the MTI to the one
before its own value, bitmaps with its own bit set included, and neither the frame's length nor the TPDU. A dialect in characters
writes the 8 octets as 16 hex characters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from messages.iso_message import IsoMessage

MAC_OCTETS = 8
MAC_FIELDS = (64, 128)
_PLACEHOLDER = "00" * MAC_OCTETS


class MacForm(Enum):
    """How the MAC stands in a message; the value is how many octets of the message it takes."""

    OCTETS = MAC_OCTETS
    HEX = 2 * MAC_OCTETS


class MacAbsent(Exception):
    """A message has no MAC, or has it in the element that is not the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A received message in two: the octets that the MAC covers, and the 8 octets of the MAC."""

    covered: bytes
    mac: bytes


def mac_field(message: IsoMessage) -> int:
    """Return the data element where this message carries its MAC: 64, or 128 if any element above 64 is there."""
    return _place(message.fields)


def split_mac(message: IsoMessage, encoded: bytes, form: MacForm = MacForm.OCTETS) -> Sealed:
    """Take the MAC off a received message.

    Args:
        message: what *encoded* was decoded to.
        encoded: the octets from the MTI to the end, as received.
        form: how its dialect writes a MAC.

    Raises:
        MacAbsent: there is no MAC where it belongs, or one in both places.
    """
    fields = message.fields
    if _place(fields) not in fields or (64 in fields and 128 in fields):
        raise MacAbsent
    written = encoded[-form.value :]
    mac = written if form is MacForm.OCTETS else bytes.fromhex(written.decode("ascii"))
    return Sealed(covered=covered(encoded, form), mac=mac)


def with_placeholder(message: IsoMessage) -> IsoMessage:
    """Return the message with a MAC of zeros in its place, ready to be encoded and then signed."""
    fields = dict(message.fields)
    for number in MAC_FIELDS:
        fields.pop(number, None)
    # It is the last element, so the order holds without sorting.
    fields[_place(fields)] = _PLACEHOLDER
    return IsoMessage.unchecked(message.mti, fields)


def _place(fields: Mapping[int, str]) -> int:
    numbers = list(fields)  # in ascending order
    return 128 if numbers and numbers[-1] > 64 else 64


def covered(encoded_with_placeholder: bytes, form: MacForm = MacForm.OCTETS) -> bytes:
    """Return the octets that the MAC is computed over, of a message that ends with the MAC or its placeholder."""
    assert len(encoded_with_placeholder) > form.value
    return encoded_with_placeholder[: -form.value]


def splice_mac(encoded_with_placeholder: bytes, mac: bytes, form: MacForm = MacForm.OCTETS) -> bytes:
    """Put a MAC where the placeholder stands.

    Raises:
        ValueError: the MAC is not 8 octets.
    """
    if len(mac) != MAC_OCTETS:
        raise ValueError(f"a MAC is {MAC_OCTETS} octets, not {len(mac)}")
    written = mac if form is MacForm.OCTETS else mac.hex().upper().encode("ascii")
    return covered(encoded_with_placeholder, form) + written
