"""Where the key serial number (KSN) of DUKPT stands in a message: element 53 in 1993, sub-element KS of 63 in 1987, whose 53 has 16 digits only.

Neither is under the digest of a request: a repeat has a KSN of its own. Source: ISO 8583:1993, data element 53.
"""

from messages.dukpt import KSN_OCTETS
from messages.iso_message import IsoMessage
from messages.subfields import SubElement, SubElementError, build_sub_elements, first_value, parse_sub_elements
from vending.response_code import Refusal, ResponseCode

_TAG = "KS"
_ELEMENT_1987, _ELEMENT_1993 = 63, 53


def read_ksn(message: IsoMessage) -> bytes:
    """Return its 10 octets, or 12 for AES. Raises `Refusal` (`MAC_MISMATCH`): without them nobody can say that the MAC is right."""
    if message.mti[0] == "1":
        octets = (message.get(_ELEMENT_1993) or "").encode("latin-1")
    else:
        try:
            text = first_value(parse_sub_elements(message.get(_ELEMENT_1987) or ""), _TAG) or ""
            octets = bytes.fromhex(text)
        except (SubElementError, ValueError):
            octets = b""
    if len(octets) not in KSN_OCTETS.values():
        raise Refusal(ResponseCode.MAC_MISMATCH, "no key serial number")
    return octets


def with_ksn(message: IsoMessage, ksn: bytes) -> IsoMessage:
    """Return *message*, a request of either version, with *ksn* in its place."""
    if message.mti[0] == "1":
        return message.with_fields({_ELEMENT_1993: ksn.decode("latin-1")})
    return message.with_fields({_ELEMENT_1987: build_sub_elements([SubElement(_TAG, ksn.hex().upper())])})
