"""A network's octets in plain words: framing, data element by data element, what the MAC covers, and where a message is broken.

Values that the field table masks (PINs, tracks, chip data) never appear, and there is no way to ask for them. The meter's number in
data element 2 is no card number and is shown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from messages.framing import FrameStyle
from messages.iso8583_codec import head_of
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MAC_FIELDS, MacAbsent, split_mac
from messages.record_list import RECORDS_ELEMENT, RecordListError, read_records
from messages.subfields import SubElement, SubElementError, parse_sub_elements
from messages.tpdu import TPDU_ID, TPDU_OCTETS, Tpdu, split_tpdu
from messages.wire import DATAFONO_WIRE, Wire

PIN_DIGITS = 20
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
    "0320": "batch upload",
    "0321": "batch upload, repeated",
    "0330": "answer to a batch upload",
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
_FUNCTION_WORDS = {
    "108": "inquiry",
    "200": "original request",
    "201": "of what was approved",
    "400": "full reversal",
    "500": "final reconciliation",
    "650": "unable to parse",
    "801": "sign-on",
    "802": "sign-off",
    "821": "cut-over",
    "831": "echo",
}
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
    "RS": "record: class;STAN;element 7;code;settlement day;receipt",
    "RP": "how many times it was handed out again",
    "RC": "receipt",
    "KC": "PINs in front that change the key",
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
        length_octets: what the length in front says, None if there is none.
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
            words = _mti_words(self.mti)
            yield f"MTI     {self.mti}" + (f"  {words}" if words else "")
        for described in self.fields:
            yield f"{described.number:>3}  {described.notation:<9} @{described.position_octets:<5}{described.value}  [{described.name}]"
            for note in described.notes:
                yield f"{'':21}{note}"
        if self.mac is not None:
            yield f"MAC     {self.mac}"
        if self.error is not None:
            yield f"ERROR   {self.error}"


def _mti_words(mti: str) -> str | None:
    """Say what a message is; a version digit of 1 is 1993, whose messages do the same."""
    if mti[0] == "1":
        mti = "0" + mti[1:3] + ("0" if mti[1] == "8" and mti[3] == "4" else mti[3])
    return _MTI_WORDS.get(mti)


def describe(data: bytes, wire: Wire = DATAFONO_WIRE) -> Description:
    """Describe one message of a dialect.

    The length in front and the TPDU are found by themselves: a reading that is a whole message wins over one that is not, and among
    those that are not, the one with most framing.

    Args:
        data: one message, with or without its length, with or without its TPDU.
        wire: its dialect.
    """
    readings = [_read(data, wire, *shape) for shape in _shapes(data, wire.frame_style)]
    return next((reading for reading in readings if reading.error is None), readings[0])


def _shapes(data: bytes, style: FrameStyle) -> Iterator[tuple[bool, bool]]:
    """Yield (has a length, has a TPDU) as *data* could be read, most framing first."""
    octets = style.prefix_octets
    for has_length in (True, False):
        if has_length and _length(data[:octets], style) != len(data) - octets:
            continue
        body = data[octets:] if has_length else data
        # No MTI begins with 6 in BCD (that version of the standard does not exist), nor with this character.
        if len(body) >= TPDU_OCTETS and body[0] == TPDU_ID:
            yield has_length, True
        else:
            yield has_length, False


def _length(prefix: bytes, style: FrameStyle) -> int | None:
    if len(prefix) < style.prefix_octets:
        return None
    if style is FrameStyle.BINARY_2:
        return int.from_bytes(prefix, "big")
    return int(prefix) if prefix.isdigit() else None


def _read(data: bytes, wire: Wire, has_length: bool, has_tpdu: bool) -> Description:
    body = data[wire.frame_style.prefix_octets :] if has_length else data
    tpdu, octets = split_tpdu(body) if has_tpdu else (None, body)
    fields: Mapping[int, str]
    error, mac, mti = None, None, None
    try:
        message = wire.codec.decode(octets)
    except DecodeError as fault:
        error, mti, fields = fault, fault.mti, fault.partial
    else:
        mac, mti, fields = _mac_words(message, octets, wire), message.mti, message.fields
    return Description(
        length_octets=len(body) if has_length else None,
        tpdu=tpdu,
        message_octets=len(octets),
        mti=mti,
        fields=tuple(_described(fields, head_of(wire.spec).first_octet(octets), wire, mti)),
        mac=mac,
        error=error,
    )


def _described(fields: Mapping[int, str], first: int, wire: Wire, mti: str | None) -> Iterator[DescribedField]:
    position = first
    for number, value in fields.items():
        row = wire.spec[str(number)]
        yield DescribedField(
            number=number,
            name=row["desc"],
            notation=row["notation"],
            position_octets=position,
            value=_value(number, value, row),
            notes=tuple(_without_pins(note) for note in _notes(number, value, mti, wire)),
        )
        position += encoded_octets(row, value)


def encoded_octets(row: Mapping[str, Any], value: str) -> int:
    """Return how many octets a decoded value takes in a message, its length in front included."""
    if not row["len_type"] and row.get("len_count") != "nibbles":
        return int(row["max_len"])
    size = (len(value) + 1) // 2 if row.get("len_count") == "nibbles" else len(value)
    return int(row["len_type"]) + size


def _value(number: int, value: str, row: Mapping[str, Any]) -> str:
    if row["is_masked"]:
        return _masked(number, value)
    records = _records(value) if number == RECORDS_ELEMENT else ()
    return f"{len(records)} records" if records else _visible(value, row["kind"])


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


def _notes(number: int, value: str, mti: str | None, wire: Wire) -> Iterator[str]:
    if number == 3:
        yield f"{_PROCESSING_WORDS.get(value[:2], 'unknown')}, {_SERVICE_WORDS.get(value[2:4], 'unknown service')}"
    elif number == 24 and mti is not None and mti[0] == "1":
        yield _FUNCTION_WORDS.get(value, "unknown")
    elif number == 70 and mti is not None and mti[0] == "0":
        yield _NETWORK_WORDS.get(value, "unknown")
    elif number == 90 and mti is not None and mti[0] == "0":
        yield f"original {value[:4]}, STAN {value[4:10]}, element 7 {value[10:20]}"
    elif number == RECORDS_ELEMENT:
        yield from _record_notes(value, wire)
    elif number in _SUB_ELEMENT_FIELDS:
        try:
            yield from (_sub_element_words(number, element) for element in parse_sub_elements(value))
        except SubElementError as error:
            yield f"not sub-elements: {error}"


def _records(value: str) -> tuple[bytes, ...]:
    """Return the records of a batch; none where the element holds something else, as it may."""
    try:
        return read_records(value)
    except RecordListError:
        return ()


def _record_notes(value: str, wire: Wire) -> Iterator[str]:
    """Describe each record as the message that it is, masked like it."""
    for place, record in enumerate(_records(value), start=1):
        inner = _read(record, wire, has_length=False, has_tpdu=False)
        yield from (f"{place:>3}. {line}" for line in inner.lines())


def _sub_element_words(number: int, element: SubElement) -> str:
    words = _VOLUNTARY_LINE if (number, element.tag) == (63, "VO") else _TAG_WORDS.get(element.tag, "unknown tag")
    return f"{element.tag}  {element.value}  [{words}]"


def _mac_words(message: IsoMessage, octets: bytes, wire: Wire) -> str:
    try:
        sealed = split_mac(message, octets, wire.mac_form)
    except MacAbsent:
        if any(number in message for number in MAC_FIELDS):
            return "not in the last data element: worth nothing"
        return "none"
    return f"{sealed.mac.hex().upper()} in the last {wire.mac_form.value} octets, over octets 0 to {len(sealed.covered) - 1}"
