"""A change of the session key: the same in every dialect, but for where a wrapped key of 16 octets stands.

Sub-elements of 48: GN generation, CV check value (6 hex characters), KB key block (AES). A key wrapped under a TDES zone key stands in data
element 96: 16 octets in 1987, which the codec shows as hex, and octets behind a length in 1993, which it shows as characters.
"""

from dataclasses import dataclass, field

from messages.iso_message import IsoMessage
from messages.key_wrapping import KEY_BLOCK_CHARACTERS_MAX, KEY_OCTETS
from messages.subfields import SubElement, build_sub_elements, first_value, parse_sub_elements
from vending.response_code import Refusal, ResponseCode
from vending.session_key import GENERATION_MAX

KEY_CHANGE_1987 = "161"
"""Data element 70."""
KEY_CHANGE_1993 = "811"
"""Data element 24: system security, key change."""
NETWORK_MTI_1993 = "1804"
KEY_ELEMENT = 96
DETAILS_ELEMENT = 48

_GENERATION, _CHECK_VALUE, _KEY_BLOCK = "GN", "CV", "KB"
_CHECK_VALUE_CHARACTERS = 6
_GENERATION_DIGITS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOffer:
    """A session key as it stands in a message.

    Attributes:
        generation: which.
        kcv: its check value, small letters.
        wrapped: 16 octets, or a key block in ASCII; empty where only the other two are said.
    """

    generation: int
    kcv: str
    wrapped: bytes = field(default=b"", repr=False)


def read_given_key(message: IsoMessage) -> KeyOffer | None:
    """Return the key that an 0800 (1804) gives us; None: it asks for one.

    Raises:
        Refusal: `FORMAT_ERROR`: 48 or 96 is not as docs/wire says.
        SubElementError: 48 is no list of sub-elements.
    """
    has_key = KEY_ELEMENT in message or first_value(_details(message), _KEY_BLOCK) is not None
    return read_key_offer(message) if has_key else None


def read_key_offer(message: IsoMessage) -> KeyOffer:
    """Return which key a message speaks of, and the key itself where it is there. Raises as `read_given_key`."""
    elements = _details(message)
    block = first_value(elements, _KEY_BLOCK)
    if block is not None and KEY_ELEMENT in message:
        raise Refusal(ResponseCode.FORMAT_ERROR, "a key in 96 and a key block in 48")
    generation, kcv = first_value(elements, _GENERATION), first_value(elements, _CHECK_VALUE)
    if generation is None or kcv is None:
        raise Refusal(ResponseCode.FORMAT_ERROR, "a key has its generation (GN) and check value (CV)")
    if not (generation.isascii() and generation.isdecimal() and len(generation) <= _GENERATION_DIGITS_MAX):
        raise Refusal(ResponseCode.FORMAT_ERROR, "GN is no generation")
    if not 0 < int(generation) <= GENERATION_MAX:
        raise Refusal(ResponseCode.FORMAT_ERROR, "GN is no generation")
    if len(kcv) != _CHECK_VALUE_CHARACTERS or not _is_hex(kcv):
        raise Refusal(ResponseCode.FORMAT_ERROR, "CV is not 6 hexadecimal characters")
    wrapped = _octets_of(message) if block is None else block.encode("latin-1")
    if len(wrapped) > KEY_BLOCK_CHARACTERS_MAX or (block is None and len(wrapped) not in (0, KEY_OCTETS)):
        raise Refusal(ResponseCode.FORMAT_ERROR, "the wrapped key has another length")
    return KeyOffer(generation=int(generation), kcv=kcv.lower(), wrapped=wrapped)


def _details(message: IsoMessage) -> tuple[SubElement, ...]:
    return parse_sub_elements(message.text(DETAILS_ELEMENT)) if DETAILS_ELEMENT in message else ()


def key_offer_fields(message: IsoMessage, offer: KeyOffer) -> dict[int, str]:
    """Return the data elements that say *offer* in a message of the same version as *message*."""
    elements = [SubElement(_GENERATION, str(offer.generation)), SubElement(_CHECK_VALUE, offer.kcv.upper())]
    fields: dict[int, str] = {}
    if len(offer.wrapped) == KEY_OCTETS:
        is_1993 = message.mti[0] == NETWORK_MTI_1993[0]
        fields[KEY_ELEMENT] = offer.wrapped.decode("latin-1") if is_1993 else offer.wrapped.hex().upper()
    elif offer.wrapped:
        elements.append(SubElement(_KEY_BLOCK, offer.wrapped.decode("latin-1")))
    return {DETAILS_ELEMENT: build_sub_elements(elements), **fields}


def _octets_of(message: IsoMessage) -> bytes:
    text = message.get(KEY_ELEMENT) or ""
    return text.encode("latin-1") if message.mti[0] == NETWORK_MTI_1993[0] else bytes.fromhex(text)


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)
