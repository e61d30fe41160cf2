"""A datáfono's octets in plain words: framing, data element by data element, what the MAC covers, and where a message is broken.

Values that the field table masks (PINs, tracks, chip data) never appear, and there is no way to ask for them. The meter's number in
data element 2 is no card number and is shown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from messages.codec import DATAFONO
from messages.iso8583_codec import BITMAP_OCTETS, MTI_OCTETS
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MAC_FIELDS, MAC_OCTETS, MacAbsent, split_mac
from messages.specs.datafono import SPEC
from messages.subfields import SubElement, SubElementError, parse_sub_elements
from messages.tpdu import TPDU_ID, TPDU_OCTETS, Tpdu, split_tpdu

PIN_DIGITS = 20
_LENGTH_OCTETS = 2
_PIN_LIKE: Final = re.compile(f"[0-9]{{{PIN_DIGITS},}}", re.ASCII)
_TEXT_KINDS: Final = frozenset({"ans", "raw"})

_MTI_WORDS = {
    "0100": "inquiry",
    "0110": "answer to an inquiry",
    "0200": "sale",
    "0201": "sale, repeated",
    "0210": "answer to a sale",
    "0220": "delivery advice",
    "0221": "delivery advice, repeated",
    "0230": "answer to a delivery advice",
    "0400": "reversal",
    "0401": "reversal, repeated",
    "0410": "answer to a reversal",
    "0420": "reversal advice",
    "0421": "reversal advice, repeated",
    "0430": "answer to a reversal advice",
    "0800": "network management",
    "0810": "answer to network management",
}
_PROCESSING_WORDS = {"31": "inquiry", "38": "last answer", "50": "recharge", "53": "payment to obligations"}
_SERVICE_WORDS = {"00": "any service", "01": "energy", "02": "water", "03": "gas"}
_NETWORK_WORDS = {"001": "sign-on", "002": "sign-off", "301": "echo"}
_TAG_WORDS = {
    "VO": "voluntary obligation",
    "VA": "voluntary amount, centavos",
    "OB": "obligation to pay",
    "HN": "holder",
    "AD": "address",
    "AC": "account",
    "MT": "meter",
    "SV": "service",
    "CL": "class",
    "ST": "stratum",
    "OW": "owed, centavos",
    "OV": "overdue, centavos",
    "MN": "minimum, centavos",
    "MX": "maximum, centavos",
    "MD": "month to date, tenths",
    "OS": "STAN of the original",
    "OT": "element 7 of the original",
    "OR": "RRN of the original",
    "OC": "response code of the original",
    "RP": "how many times it was handed out again",
    "RC": "receipt",
    "PK": "claimed of parked tokens: centavos, tenths, PINs",
    "PD": "paid, centavos",
    "CI": "carried in, centavos",
    "CO": "carried out, centavos",
    "UN": "units, tenths",
    "CH": "charged, centavos",
    "FC": "full cost, centavos",
    "SB": "subsidy, centavos",
    "CN": "contribution, centavos",
    "BK": "block: units;rate;full rate",
    "TK": "taken: kind;id;amount;interest;capital;left;subsidy",
}
_SUB_ELEMENT_FIELDS = (48, 63)
_VOLUNTARY_LINE = "voluntary: kind;id;amount;interest;capital;left;subsidy"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedField:
    """One data element, fit to be seen.

    Attributes:
        number: the data element.
        name: from the field table.
        notation: as the standard writes it: "n..19".
        position_octets: where it begins (its length, if it has one), from the first octet of the MTI.
        value: the value, or a mask.
        notes: what else is known: words for a code, one line for each sub-element.
    """

    number: int
    name: str
    notation: str
    position_octets: int
    value: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What some octets say.

    Attributes:
        length_octets: what the 2-byte length in front says, None if there is none.
        tpdu: None if there is none.
        message_octets: how long the message is, from the MTI on.
        mti: None if it cannot be read.
        fields: the data elements, up to the first fault.
        mac: what the MAC covers, one sentence; None for a broken message.
        error: the fault, None for a whole message.
    """

    length_octets: int | None
    tpdu: Tpdu | None
    message_octets: int
    mti: str | None
    fields: tuple[DescribedField, ...]
    mac: str | None
    error: DecodeError | None

    def lines(self) -> Iterator[str]:
        """Yield the description as lines of text."""
        if self.length_octets is not None:
            yield f"length  {self.length_octets} octets"
        if self.tpdu is not None:
            yield f"TPDU    {TPDU_ID:02X} destination {self.tpdu.destination} source {self.tpdu.source}"
        if self.mti is not None:
            words = _MTI_WORDS.get(self.mti)
            yield f"MTI     {self.mti}" + (f"  {words}" if words else "")
        for described in self.fields:
            yield f"{described.number:>3}  {described.notation:<9} @{described.position_octets:<5}{described.value}  [{described.name}]"
            for note in described.notes:
                yield f"{'':21}{note}"
        if self.mac is not None:
            yield f"MAC     {self.mac}"
        if self.error is not None:
            yield f"ERROR   {self.error}"


def describe(data: bytes) -> Description:
    """Describe one ``datafono`` message.

    The length in front and the TPDU are found by themselves: a reading that is a whole message wins over one that is not, and among
    those that are not, the one with most framing.

    Args:
        data: one message, with or without its 2-byte length, with or without its TPDU.
    """
    readings = [_read(data, *shape) for shape in _shapes(data)]
    return next((reading for reading in readings if reading.error is None), readings[0])


def _shapes(data: bytes) -> Iterator[tuple[bool, bool]]:
    """Yield (has a length, has a TPDU) as *data* could be read, most framing first."""
    for has_length in (True, False):
        if has_length and (
            len(data) < _LENGTH_OCTETS or int.from_bytes(data[:_LENGTH_OCTETS], "big") != len(data) - _LENGTH_OCTETS
        ):
            continue
        body = data[_LENGTH_OCTETS:] if has_length else data
        # No MTI begins with 6: that version of the standard does not exist.
        if len(body) >= TPDU_OCTETS and body[0] == TPDU_ID:
            yield has_length, True
        else:
            yield has_length, False


def _read(data: bytes, has_length: bool, has_tpdu: bool) -> Description:
    body = data[_LENGTH_OCTETS:] if has_length else data
    tpdu, octets = split_tpdu(body) if has_tpdu else (None, body)
    fields: Mapping[int, str]
    error, mac, mti = None, None, None
    try:
        message = DATAFONO.decode(octets)
    except DecodeError as fault:
        error, mti, fields = fault, fault.mti, fault.partial
    else:
        mac, mti, fields = _mac_words(message, octets), message.mti, message.fields
    first = MTI_OCTETS + BITMAP_OCTETS * (2 if len(octets) > MTI_OCTETS and octets[MTI_OCTETS] & 0x80 else 1)
    return Description(
        length_octets=len(body) if has_length else None,
        tpdu=tpdu,
        message_octets=len(octets),
        mti=mti,
        fields=tuple(_described(fields, first)),
        mac=mac,
        error=error,
    )


def _described(fields: Mapping[int, str], first: int) -> Iterator[DescribedField]:
    position = first
    for number, value in fields.items():
        row = SPEC[str(number)]
        yield DescribedField(
            number=number,
            name=row["desc"],
            notation=row["notation"],
            position_octets=position,
            value=_masked(number, value) if row["is_masked"] else _visible(value, row["kind"]),
            notes=tuple(_without_pins(note) for note in _notes(number, value)),
        )
        position += encoded_octets(row, value)


def encoded_octets(row: Mapping[str, Any], value: str) -> int:
    """Return how many octets a decoded value takes in a message, its length in front included."""
    if not row["len_type"] and row.get("len_count") != "nibbles":
        return int(row["max_len"])
    size = (len(value) + 1) // 2 if row.get("len_count") == "nibbles" else len(value)
    return int(row["len_type"]) + size


def _visible(value: str, kind: str) -> str:
    """Write what cannot be printed as escapes: a reserved element may hold anything, and a terminal obeys what it is shown."""
    text = _without_pins(value) if kind in _TEXT_KINDS else value
    return "".join(character if character.isprintable() else f"\\x{ord(character):02X}" for character in text)


def _without_pins(text: str) -> str:
    """Mask what could be PINs: one wrong bit in a bitmap or a length, and they stand in an element that is not masked."""
    return _PIN_LIKE.sub(lambda found: f"*** ({len(found[0])} digits, masked)", text)


def _masked(number: int, value: str) -> str:
    if number == 62 and value and len(value) % PIN_DIGITS == 0:
        return f"*** ({len(value) // PIN_DIGITS} PIN of {PIN_DIGITS} digits, masked)"
    return f"*** ({len(value)} characters, masked)"


def _notes(number: int, value: str) -> Iterator[str]:
    if number == 3:
        yield f"{_PROCESSING_WORDS.get(value[:2], 'unknown')}, {_SERVICE_WORDS.get(value[2:4], 'unknown service')}"
    elif number == 70:
        yield _NETWORK_WORDS.get(value, "unknown")
    elif number in _SUB_ELEMENT_FIELDS:
        try:
            yield from (_sub_element_words(number, element) for element in parse_sub_elements(value))
        except SubElementError as error:
            yield f"not sub-elements: {error}"


def _sub_element_words(number: int, element: SubElement) -> str:
    words = _VOLUNTARY_LINE if (number, element.tag) == (63, "VO") else _TAG_WORDS.get(element.tag, "unknown tag")
    return f"{element.tag}  {element.value}  [{words}]"


def _mac_words(message: IsoMessage, octets: bytes) -> str:
    try:
        sealed = split_mac(message, octets)
    except MacAbsent:
        if any(number in message for number in MAC_FIELDS):
            return "not in the last data element: worth nothing"
        return "none"
    return f"{sealed.mac.hex().upper()} in the last {MAC_OCTETS} octets, over octets 0 to {len(sealed.covered) - 1}"
