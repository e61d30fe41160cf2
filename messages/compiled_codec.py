"""A codec compiled from a specification dictionary: one plan per bitmap, and neighbouring fixed fields are read at once.

It takes only what it is sure of. Whatever it does not take goes to the reference codec, which has the last word and makes every error;
so the two cannot differ in what they refuse or in how they say it, and tests hold them to the same answer on what is taken.

A plan is a row of closures over numbers from the specification. Reading goes over the end of a cut message without looking, as
slices allow, and the sum of all lengths is compared with the length of the message once, at the end.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from messages.iso8583_codec import BITMAP_OCTETS, MTI_OCTETS, ReferenceCodec, Spec, bitmap_fields
from messages.iso_message import IsoMessage

PLANS_MAX = 512
"""How many plans are kept, each way. The peer chooses the bitmap, so the number of plans must not be his: the least used one goes.
A dialect's real messages need a few dozen."""

_NOT_BCD = 1_000_000
_BCD: Final = [int(f"{octet:02x}") if f"{octet:02x}".isdecimal() else _NOT_BCD for octet in range(256)]
"""The number in an octet of BCD; above every length limit where it is none."""

Row = Mapping[str, Any]
ReadStep = Callable[[bytes, int, list[str]], int]
WriteStep = Callable[[tuple[str, ...]], bytes]
ReadPlan = tuple[tuple[int, ...], tuple[ReadStep, ...], int]
WritePlan = tuple[bytes, tuple[WriteStep, ...]]


class _NotSureError(Exception):
    """Not for this codec: the reference decides."""


class CompiledCodec:
    """Equals `ReferenceCodec` of the same specification in every answer and every error, several times faster.

    Raises:
        ValueError: (when made) a row is packed in a way that is not compiled.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._reference = ReferenceCodec(spec)
        for number, row in spec.items():
            if number.isdigit() and number != "1":
                _form(row)
        self._read_plan = lru_cache(maxsize=PLANS_MAX)(self._make_read_plan)
        self._write_plan = lru_cache(maxsize=PLANS_MAX)(self._make_write_plan)

    def decode(self, data: bytes) -> IsoMessage:
        """Read one message.

        Args:
            data: MTI, bitmaps and data elements, without frame length and TPDU.

        Raises:
            DecodeError: as `ReferenceCodec.decode`.
        """
        return self.decode_sure(data) or self._reference.decode(data)

    def encode(self, message: IsoMessage) -> bytes:
        """Write one message; the message is not changed.

        Raises:
            EncodeError: as `ReferenceCodec.encode`.
        """
        return self.encode_sure(message) or self._reference.encode(message)

    def decode_sure(self, data: bytes) -> IsoMessage | None:
        """Read one message, or return None if the reference must decide. For tests and measurements; `decode` is for everyone."""
        if len(data) < MTI_OCTETS + BITMAP_OCTETS:
            return None
        plan = self._read_plan(data[2:18] if data[2] & 0x80 else data[2:10])
        mti = data[:2].hex()
        if plan is None or not mti.isdecimal():
            return None
        numbers, steps, at = plan
        values: list[str] = []
        try:
            for step in steps:
                at = step(data, at, values)
        except (_NotSureError, IndexError):
            return None
        if at != len(data):
            return None
        return IsoMessage.unchecked(mti, dict(zip(numbers, values, strict=True)))

    def encode_sure(self, message: IsoMessage) -> bytes | None:
        """Write one message, or return None if the reference must decide. For tests and measurements; `encode` is for everyone."""
        fields = message.fields
        plan = self._write_plan(tuple(fields))
        if plan is None:
            return None
        bitmap, steps = plan
        values = tuple(fields.values())
        try:
            return bytes.fromhex(message.mti) + bitmap + b"".join([step(values) for step in steps])
        except (_NotSureError, ValueError):
            return None

    def plans_kept(self) -> tuple[int, int]:
        """Return how many plans are kept for reading and for writing."""
        return self._read_plan.cache_info().currsize, self._write_plan.cache_info().currsize

    def _make_read_plan(self, bitmaps: bytes) -> ReadPlan | None:
        if len(bitmaps) != BITMAP_OCTETS * (2 if bitmaps[0] & 0x80 else 1):
            return None  # the secondary bitmap is cut short
        numbers = bitmap_fields(bitmaps[:BITMAP_OCTETS], 0) + bitmap_fields(bitmaps[BITMAP_OCTETS:], 64)
        elements = tuple(number for number in numbers if number != 1)
        if not all(str(number) in self._spec for number in elements):
            return None
        steps = [_READERS[form]([row for _, row in members]) for form, members in self._runs(elements)]
        return elements, tuple(steps), MTI_OCTETS + len(bitmaps)

    def _make_write_plan(self, numbers: tuple[int, ...]) -> WritePlan | None:
        if not all(str(number) in self._spec for number in numbers):
            return None
        marked = (1, *numbers) if any(number > 64 for number in numbers) else numbers
        bits = sum(1 << (128 - number) for number in marked)
        bitmap = bits.to_bytes(16, "big")
        steps = []
        for form, members in self._runs(numbers):
            first = members[0][0]
            steps.append(_WRITERS[form]([row for _, row in members], first, first + len(members)))
        return bitmap if 1 in marked else bitmap[:BITMAP_OCTETS], tuple(steps)

    def _runs(self, numbers: tuple[int, ...]) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        """Put neighbours of fixed length and one form together; every other element stands alone. Members are (index, row)."""
        rows = [(index, self._spec[str(number)]) for index, number in enumerate(numbers)]
        for (form, _), members in groupby(rows, key=lambda member: _run_key(*member)):
            yield form, list(members)


def _run_key(index: int, row: Row) -> tuple[str, int]:
    form = _form(row)
    return form, -1 if form in _RUNS else index


def _form(row: Row) -> str:
    """Name the way a row is packed."""
    prefix = row["len_type"]
    if prefix and row["len_enc"] != "bcd":
        raise ValueError("only BCD lengths are compiled")
    form = {
        ("n", "b", "nibbles", 0): "digits",
        ("n", "b", "nibbles", 1): "digits_var",
        ("z", "b", "nibbles", 1): "track",
        ("x+n", "b", "bytes", 0): "signed",
        ("b", "b", "bytes", 0): "binary",
        ("ans", "latin-1", "bytes", 0): "chars",
        ("ans", "latin-1", "bytes", 1): "chars_var",
        ("ans", "latin-1", "bytes", 2): "chars_var",
        ("raw", "latin-1", "bytes", 2): "chars_var",
    }.get((row["kind"], row["data_enc"], row.get("len_count", "bytes"), prefix))
    if form is None:
        raise ValueError(f"a row of kind {row['kind']} packed like {row.get('notation')} is not compiled")
    pad = {"digits": "left_pad", "digits_var": "right_pad", "track": "right_pad"}.get(form)
    if pad is not None and row.get(pad) != "0":
        raise ValueError("digits are filled up with 0: in front where the length is fixed, behind where it varies")
    return form


def _read_digits(rows: list[Row]) -> ReadStep:
    """Read a run of fixed digits: all their octets become hex at once and are cut by one itemgetter."""
    cuts, fillers, at = [], [], 0
    for row in rows:
        if row["max_len"] & 1:
            fillers.append(at)
            at += 1
        cuts.append(slice(at, at + row["max_len"]))
        at += row["max_len"]
    octets, cut = at // 2, _all_of(cuts)

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        text = data[at:end].hex()
        if not text.isdecimal():
            raise _NotSureError
        for filler in fillers:
            if text[filler] != "0":
                raise _NotSureError
        values += cut(text)
        return end

    return read


def _read_chars(rows: list[Row]) -> ReadStep:
    cuts, octets = [], 0
    for row in rows:
        cuts.append(slice(octets, octets + row["max_len"]))
        octets += row["max_len"]
    cut = _all_of(cuts)

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        text = data[at:end].decode("latin-1")
        if not text.isprintable():
            raise _NotSureError
        values += cut(text)
        return end

    return read


def _read_digits_var(rows: list[Row]) -> ReadStep:
    (row,) = rows
    digits_max, is_track = row["max_len"], row["kind"] == "z"

    def read(data: bytes, at: int, values: list[str]) -> int:
        count = _BCD[data[at]]
        if count > digits_max:
            raise _NotSureError
        end = at + 1 + (count + 1) // 2
        text = data[at + 1 : end].hex()
        if is_track:
            text = text.upper()
        if count and not (text.replace("D", "0") if is_track else text).isdecimal():
            raise _NotSureError
        if count & 1:
            if text[-1] != "0":
                raise _NotSureError
            text = text[:-1]
        values.append(text)
        return end

    return read


def _read_chars_var(rows: list[Row]) -> ReadStep:
    (row,) = rows
    octets_max, is_raw, is_long = row["max_len"], row["kind"] == "raw", row["len_type"] == 2

    def read(data: bytes, at: int, values: list[str]) -> int:
        length = _BCD[data[at]]
        at += 1
        if is_long:
            length = length * 100 + _BCD[data[at]]
            at += 1
        if length > octets_max:
            raise _NotSureError
        text = data[at : at + length].decode("latin-1")
        if not (is_raw or text.isprintable()):
            raise _NotSureError
        values.append(text)
        return at + length

    return read


def _read_binary(rows: list[Row]) -> ReadStep:
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        values.append(data[at:end].hex().upper())
        return end

    return read


def _read_signed(rows: list[Row]) -> ReadStep:
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        digits = data[at + 1 : end].hex()
        if data[at] not in b"CD" or not digits.isdecimal():
            raise _NotSureError
        values.append(chr(data[at]) + digits)
        return end

    return read


def _write_digits(rows: list[Row], first: int, stop: int) -> WriteStep:
    lengths = [row["max_len"] for row in rows]
    template = "".join("0%s" if length & 1 else "%s" for length in lengths)

    def write(values: tuple[str, ...]) -> bytes:
        run = values[first:stop]
        return _octets_of_digits(template % run) if list(map(len, run)) == lengths else _refuse()

    return write


def _write_chars(rows: list[Row], first: int, stop: int) -> WriteStep:
    lengths = [row["max_len"] for row in rows]

    def write(values: tuple[str, ...]) -> bytes:
        run = values[first:stop]
        text = "".join(run)
        if list(map(len, run)) != lengths or not text.isprintable():
            raise _NotSureError
        return text.encode("latin-1")

    return write


def _write_digits_var(rows: list[Row], first: int, stop: int) -> WriteStep:
    (row,) = rows
    digits_max, is_track = row["max_len"], row["kind"] == "z"

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        count = len(value)
        if not 0 < count <= digits_max or is_track:
            raise _NotSureError
        return _BCD_OCTETS[count] + _octets_of_digits(value + "0" if count & 1 else value)

    return write


def _write_chars_var(rows: list[Row], first: int, stop: int) -> WriteStep:
    (row,) = rows
    octets_max, is_raw, is_long = row["max_len"], row["kind"] == "raw", row["len_type"] == 2

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        length = len(value)
        if length > octets_max or not (is_raw or value.isprintable()):
            raise _NotSureError
        hundreds, rest = divmod(length, 100)
        prefix = _BCD_OCTETS[hundreds] + _BCD_OCTETS[rest] if is_long else _BCD_OCTETS[rest]
        return prefix + value.encode("latin-1")

    return write


def _write_binary(rows: list[Row], first: int, stop: int) -> WriteStep:
    (row,) = rows
    octets_wanted = row["max_len"]

    def write(values: tuple[str, ...]) -> bytes:
        octets = bytes.fromhex(values[first])
        # The way back tells lower case and spaces, which fromhex takes.
        return octets if len(octets) == octets_wanted and octets.hex().upper() == values[first] else _refuse()

    return write


def _write_signed(rows: list[Row], first: int, stop: int) -> WriteStep:
    (row,) = rows
    digits = 2 * (row["max_len"] - 1)

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        if len(value) != digits + 1 or value[0] not in "CD":
            raise _NotSureError
        return value[0].encode("ascii") + _octets_of_digits(value[1:])

    return write


def _octets_of_digits(digits: str) -> bytes:
    return bytes.fromhex(digits) if digits.isdecimal() and digits.isascii() else _refuse()


def _refuse() -> bytes:
    raise _NotSureError


def _all_of(cuts: list[slice]) -> Callable[[str], tuple[str, ...]]:
    """Return what cuts a text into all the pieces; an itemgetter of one piece would not give a tuple."""
    if len(cuts) == 1:
        only = cuts[0]
        return lambda text: (text[only],)
    return itemgetter(*cuts)


_RUNS: Final = frozenset({"digits", "chars"})
_READERS: Final[Mapping[str, Callable[[list[Row]], ReadStep]]] = {
    "digits": _read_digits,
    "digits_var": _read_digits_var,
    "track": _read_digits_var,
    "signed": _read_signed,
    "binary": _read_binary,
    "chars": _read_chars,
    "chars_var": _read_chars_var,
}
_WRITERS: Final[Mapping[str, Callable[[list[Row], int, int], WriteStep]]] = {
    "digits": _write_digits,
    "digits_var": _write_digits_var,
    "track": _write_digits_var,
    "signed": _write_signed,
    "binary": _write_binary,
    "chars": _write_chars,
    "chars_var": _write_chars_var,
}
_BCD_OCTETS: Final = [bytes.fromhex(f"{number:02d}") for number in range(100)]
