"""The reference codec: pyiso8583, and on top of it the strictness that money needs.

pyiso8583 reads any hex as BCD, takes bits of fields that the specification does not have for a `KeyError`, and changes the dictionary
that it encodes. Here digits are digits, every refusal is a `DecodeError` that names data element and octet, and nothing is changed.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import iso8583

from messages.iso_message import BITMAP_FIELD, MTI_FIELD, DecodeError, EncodeError, IsoMessage
from messages.subfields import is_printable_latin_1

MTI_OCTETS = 2
BITMAP_OCTETS = 8

Spec = Mapping[str, Mapping[str, Any]]

_SHAPES: Final = {
    "n": re.compile(r"[0-9]*", re.ASCII),
    "z": re.compile(r"[0-9D]*", re.ASCII),
    "x+n": re.compile(r"[CD][0-9]*", re.ASCII),
    "b": re.compile(r"[0-9A-F]*", re.ASCII),
}
_NAMES: Final = {
    "n": "digits",
    "z": "digits and D",
    "x+n": "C or D and digits",
    "b": "upper-case hex",
    "ans": "printable Latin-1",
    "raw": "Latin-1",
}


class ReferenceCodec:
    """Reads and writes messages of one specification dictionary, whose MTI is BCD and whose bitmaps are binary.

    Besides what pyiso8583 refuses, a message is refused if its MTI is not 4 digits, a bit stands for a data element that the
    specification does not have, a value is not of its row's ``kind``, or the nibble that fills an odd number of digits is not 0.
    Whether digits are a date, or an amount is sensible, is not asked here.
    """

    def __init__(self, spec: Spec) -> None:
        if spec["t"]["data_enc"] != "b" or spec["p"]["data_enc"] != "b" or spec["h"]["max_len"]:
            raise ValueError("the reference codec reads a BCD MTI, binary bitmaps and no header")
        self._spec = spec

    def decode(self, data: bytes) -> IsoMessage:
        """Read one message.

        Args:
            data: MTI, bitmaps and data elements, without frame length and TPDU.

        Raises:
            DecodeError: the first fault, in the order of the octets.
        """
        mti = self._mti(data)
        self._check_bitmaps(data, mti)
        fault: iso8583.DecodeError | None = None
        try:
            texts, octets = iso8583.decode(data, self._spec)
        except iso8583.DecodeError as error:
            fault, texts, octets = error, error.doc_dec, error.doc_enc
        is_trailing = fault is not None and fault.msg.startswith("Extra data")
        fields: dict[int, str] = {}
        position = MTI_OCTETS + BITMAP_OCTETS * (2 if "1" in octets else 1)
        for number in (int(key) for key in texts if key.isdigit() and key != "1"):
            parts = octets[str(number)]
            if fault is not None and not is_trailing and fault.field == str(number):
                raise self._broken(fault, number, parts, mti=mti, fields=fields, raw=data)
            start = position + len(parts["len"])
            value = self._checked(number, texts[str(number)], parts["data"], start, mti=mti, fields=fields, raw=data)
            fields[number] = value
            position = start + len(parts["data"])
        if fault is not None:
            reason = f"{len(data) - fault.pos} octets follow the last data element"
            raise DecodeError(field=None, position_octets=fault.pos, reason=reason, mti=mti, partial=fields, raw=data)
        return IsoMessage(mti=mti, fields=fields)

    def encode(self, message: IsoMessage) -> bytes:
        """Write one message; the message is not changed.

        Raises:
            EncodeError: a data element is not in the specification, not of its kind, or too long or short.
        """
        document = {"t": message.mti}
        for number, value in message.fields.items():
            row = self._spec.get(str(number))
            if row is None:
                raise EncodeError(field=number, reason="not in this dialect")
            kind = row["kind"]
            if not _is_of_kind(kind, value):
                raise EncodeError(field=number, reason=f"not {_NAMES[kind]}")
            document[str(number)] = value[:1].encode("ascii").hex() + value[1:] if kind == "x+n" else value
        try:
            encoded, _ = iso8583.encode(document, self._spec)
        except iso8583.EncodeError as error:
            raise EncodeError(field=MTI_FIELD if error.field == "t" else int(error.field), reason=error.msg) from None
        return bytes(encoded)

    def _mti(self, data: bytes) -> str:
        mti = data[:MTI_OCTETS].hex()
        if len(data) < MTI_OCTETS:
            raise DecodeError(field=MTI_FIELD, position_octets=0, reason="cut short", mti=None, partial={}, raw=data)
        if not mti.isdecimal():
            position = _first_bad_octet(mti, 0)
            raise DecodeError(
                field=MTI_FIELD, position_octets=position, reason="not digits", mti=None, partial={}, raw=data
            )
        return mti

    def _check_bitmaps(self, data: bytes, mti: str) -> None:
        """Refuse bitmaps that are cut short and bits of unknown data elements, before pyiso8583 meets them."""
        for offset in (0, 64):
            start = MTI_OCTETS + offset // 8
            bitmap = data[start : start + BITMAP_OCTETS]
            if len(bitmap) < BITMAP_OCTETS:
                raise DecodeError(
                    field=BITMAP_FIELD, position_octets=start, reason="cut short", mti=mti, partial={}, raw=data
                )
            for number in bitmap_fields(bitmap, offset):
                if str(number) not in self._spec:
                    place = start + (number - offset - 1) // 8
                    raise DecodeError(
                        field=number, position_octets=place, reason="not in this dialect", mti=mti, partial={}, raw=data
                    )
            if not bitmap[0] & 0x80:
                return

    def _checked(
        self, number: int, text: str, octets: bytes, start: int, *, mti: str, fields: Mapping[int, str], raw: bytes
    ) -> str:
        """Hold a value to its row's kind and return it as `IsoMessage` has it."""
        kind = self._spec[str(number)]["kind"]
        if kind == "x+n":
            # A letter that is no sign becomes a character that the shape refuses.
            text = chr(octets[0]) + text[2:]
        if not _is_of_kind(kind, text):
            place = start + _bad_offset(kind, text, octets)
            raise DecodeError(
                field=number, position_octets=place, reason=f"not {_NAMES[kind]}", mti=mti, partial=fields, raw=raw
            )
        return text

    def _broken(
        self,
        fault: iso8583.DecodeError,
        number: int,
        parts: Mapping[str, bytes],
        *,
        mti: str,
        fields: Mapping[int, str],
        raw: bytes,
    ) -> DecodeError:
        """Say what pyiso8583 found, with the odd nibble in plain words."""
        reason = fault.msg
        # A value whose octets are all there can only have failed by the nibble that fills it up.
        if "expecting" in reason and parts["data"] and not self._is_cut(number, parts):
            reason = "the nibble that fills an odd number of digits is not 0"
        return DecodeError(field=number, position_octets=fault.pos, reason=reason, mti=mti, partial=fields, raw=raw)

    def _is_cut(self, number: int, parts: Mapping[str, bytes]) -> bool:
        row = self._spec[str(number)]
        wanted = int(parts["len"].hex()) if row["len_type"] else row["max_len"]
        octets_wanted = (wanted + 1) // 2 if row.get("len_count") == "nibbles" else wanted
        return bool(len(parts["data"]) < octets_wanted)


def bitmap_fields(bitmap: bytes, offset: int) -> list[int]:
    """Return the numbers whose bits are set, ascending. *offset* is 0 for the primary bitmap and 64 for the secondary one."""
    bits = int.from_bytes(bitmap, "big")
    return [offset + number for number in range(1, 65) if bits >> (64 - number) & 1]


def _is_of_kind(kind: str, value: str) -> bool:
    if kind == "ans":
        return is_printable_latin_1(value)
    if kind == "raw":
        return all(character <= "\xff" for character in value)
    return _SHAPES[kind].fullmatch(value) is not None


def _bad_offset(kind: str, text: str, octets: bytes) -> int:
    """Return how far into its value the first octet at fault stands."""
    if kind == "ans":
        return next(at for at, character in enumerate(text) if not is_printable_latin_1(character))
    if kind == "x+n" and text[0] in "CD":
        return _first_bad_octet(octets[1:].hex(), 1)
    if kind == "x+n":
        return 0
    separators = str.maketrans("d", "0") if kind == "z" else {}
    return _first_bad_octet(octets.hex().translate(separators), 0)


def _first_bad_octet(hex_digits: str, first: int) -> int:
    return first + next(at for at, digit in enumerate(hex_digits) if not digit.isdecimal()) // 2
