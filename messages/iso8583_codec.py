"""The reference codec: pyiso8583, and on top of it the strictness that money needs.

pyiso8583 reads any hex as BCD, takes bits of fields that the specification does not have for a `KeyError`, and changes the dictionary
that it encodes. Here digits are digits, every refusal is a `DecodeError` that names data element and octet, and nothing is changed.

Two kinds of specification are read: MTI in BCD with binary bitmaps, and all of it in characters with bitmaps in hex.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import iso8583

from messages.iso_message import BITMAP_FIELD, MTI_FIELD, DecodeError, EncodeError, IsoMessage
from messages.subfields import is_printable_latin_1

BITMAP_OCTETS = 8
"""A bitmap's own octets; in characters it takes two for each."""

HEX_CHARACTERS: Final = frozenset(b"0123456789ABCDEFabcdef")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How MTI and bitmaps are written.

    Attributes:
        is_characters: four characters and hex; else BCD and binary.
        mti_octets: how many octets the MTI takes.
        bitmap_octets: how many octets one bitmap takes.
    """

    is_characters: bool
    mti_octets: int
    bitmap_octets: int

    def first_octet(self, data: bytes) -> int:
        """Return where the first data element begins; *data* holds at least a whole primary bitmap."""
        return self.mti_octets + self.bitmap_octets * (2 if self.has_secondary(data) else 1)

    def has_secondary(self, data: bytes) -> bool:
        """Whether the first bit of the primary bitmap says that another one follows; False if there is no such bit."""
        first = data[self.mti_octets : self.mti_octets + 1]
        return first in _HIGH_CHARACTERS if self.is_characters else first >= b"\x80"


_HIGH_CHARACTERS: Final = frozenset(bytes([octet]) for octet in b"89ABCDEFabcdef")


def head_of(spec: Spec) -> Head:
    """Return how a specification writes MTI and bitmaps.

    Raises:
        ValueError: in a way that is not read here, or with a header in front.
    """
    encodings = spec["t"]["data_enc"], spec["p"]["data_enc"], spec["1"]["data_enc"]
    if encodings == ("b", "b", "b") and not spec["h"]["max_len"]:
        return Head(is_characters=False, mti_octets=2, bitmap_octets=BITMAP_OCTETS)
    if encodings == ("ascii", "ascii", "ascii") and not spec["h"]["max_len"]:
        return Head(is_characters=True, mti_octets=4, bitmap_octets=2 * BITMAP_OCTETS)
    raise ValueError("this codec reads MTI and bitmaps in BCD and binary or all in characters, and no header")


class ReferenceCodec:
    """Reads and writes messages of one specification dictionary.

    Besides what pyiso8583 refuses, a message is refused if its MTI is not 4 digits, a bit stands for a data element that the
    specification does not have, a length is not digits, a value is not of its row's ``kind``, or the nibble that fills an odd number of
    digits is not 0. Hex characters are read in either case and kept in upper case.
    Whether digits are a date, or an amount is sensible, is not asked here.
    """

    def __init__(self, spec: Spec) -> None:
        self._head = head_of(spec)
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
        position = self._head.first_octet(data)
        for number in (int(key) for key in texts if key.isdigit() and key != "1"):
            parts = octets[str(number)]
            self._check_length(number, parts["len"], position, mti=mti, fields=fields, raw=data)
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
            is_letter_octet = kind == "x+n" and row["data_enc"] == "b"
            document[str(number)] = value[:1].encode("ascii").hex() + value[1:] if is_letter_octet else value
        try:
            encoded, _ = iso8583.encode(document, self._spec)
        except iso8583.EncodeError as error:
            raise EncodeError(field=MTI_FIELD if error.field == "t" else int(error.field), reason=error.msg) from None
        return bytes(encoded)

    def _mti(self, data: bytes) -> str:
        octets = data[: self._head.mti_octets]
        if len(octets) < self._head.mti_octets:
            raise DecodeError(field=MTI_FIELD, position_octets=0, reason="cut short", mti=None, partial={}, raw=data)
        mti = octets.decode("latin-1") if self._head.is_characters else octets.hex()
        if not (mti.isascii() and mti.isdecimal()):
            position = _first_bad(mti) // (1 if self._head.is_characters else 2)
            raise DecodeError(
                field=MTI_FIELD, position_octets=position, reason="not digits", mti=None, partial={}, raw=data
            )
        return mti

    def _check_bitmaps(self, data: bytes, mti: str) -> None:
        """Refuse bitmaps that are cut short or no hex, and bits of unknown data elements, before pyiso8583 meets them."""
        size = self._head.bitmap_octets
        for offset in (0, 64):
            start = self._head.mti_octets + offset * size // 64
            octets = data[start : start + size]
            reason = "cut short" if len(octets) < size else None
            if self._head.is_characters and not HEX_CHARACTERS.issuperset(octets):
                start += next(at for at, octet in enumerate(octets) if octet not in HEX_CHARACTERS)
                reason = "not hex"
            if reason is not None:
                raise DecodeError(
                    field=BITMAP_FIELD, position_octets=start, reason=reason, mti=mti, partial={}, raw=data
                )
            bitmap = bytes.fromhex(octets.decode("ascii")) if self._head.is_characters else octets
            for number in bitmap_fields(bitmap, offset):
                if str(number) not in self._spec:
                    place = start + (number - offset - 1) * size // 64
                    raise DecodeError(
                        field=number, position_octets=place, reason="not in this dialect", mti=mti, partial={}, raw=data
                    )
            if not bitmap[0] & 0x80:
                return

    def _check_length(
        self, number: int, octets: bytes, position: int, *, mti: str, fields: Mapping[int, str], raw: bytes
    ) -> None:
        """Refuse a length in characters that is not digits: pyiso8583 reads "+8", " 8" and "-0" too."""
        row = self._spec[str(number)]
        if row["len_enc"] == "ascii" and len(octets) == row["len_type"] and octets and not octets.isdigit():
            raise DecodeError(
                field=number,
                position_octets=position,
                reason="the length is not digits",
                mti=mti,
                partial=fields,
                raw=raw,
            )

    def _checked(
        self, number: int, text: str, octets: bytes, start: int, *, mti: str, fields: Mapping[int, str], raw: bytes
    ) -> str:
        """Hold a value to its row's kind and return it as `IsoMessage` has it."""
        row = self._spec[str(number)]
        kind, is_packed = row["kind"], row["data_enc"] == "b"
        if kind == "x+n" and is_packed:
            # A letter that is no sign becomes a character that the shape refuses.
            text = chr(octets[0]) + text[2:]
        elif kind == "b":
            text = text.upper()
        if not _is_of_kind(kind, text):
            place = start + (_bad_offset(kind, text, octets) if is_packed else _bad_character(kind, text))
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
        is_nibbles = self._spec[str(number)].get("len_count") == "nibbles"
        if is_nibbles and "expecting" in reason and parts["data"] and not self._is_cut(number, parts):
            reason = "the nibble that fills an odd number of digits is not 0"
        return DecodeError(field=number, position_octets=fault.pos, reason=reason, mti=mti, partial=fields, raw=raw)

    def _is_cut(self, number: int, parts: Mapping[str, bytes]) -> bool:
        row = self._spec[str(number)]
        wanted = int(parts["len"].hex()) if row["len_type"] else row["max_len"]
        return bool(len(parts["data"]) < (wanted + 1) // 2)


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


def _bad_character(kind: str, text: str) -> int:
    """Return which character of a value is the first at fault."""
    if kind == "ans":
        return next(at for at, character in enumerate(text) if not is_printable_latin_1(character))
    if kind == "x+n":
        return 0 if text[:1] not in ("C", "D") else 1 + _first_bad(text[1:])
    return next(at for at, character in enumerate(text) if _SHAPES[kind].fullmatch(character) is None)


def _bad_offset(kind: str, text: str, octets: bytes) -> int:
    """Return how far into its value the first octet at fault stands, where digits are packed two to an octet."""
    if kind == "x+n" and text[0] in "CD":
        return _first_bad_octet(octets[1:].hex(), 1)
    if kind == "x+n":
        return 0
    separators = str.maketrans("d", "0") if kind == "z" else {}
    return _first_bad_octet(octets.hex().translate(separators), 0)


def _first_bad_octet(hex_digits: str, first: int) -> int:
    return first + _first_bad(hex_digits) // 2


def _first_bad(digits: str) -> int:
    return next(at for at, digit in enumerate(digits) if not (digit.isascii() and digit.isdecimal()))
