"""A codec compiled from a specification dictionary: one plan per bitmap, and neighbouring fixed fields are read at once.

It takes only what it is sure of. Whatever it does not take goes to the reference codec, which has the last word and makes every error;
so the two cannot differ in what they refuse or in how they say it, and tests hold them to the same answer on what is taken.

A plan is a row of closures over numbers from the specification. Reading goes over the end of a cut message without looking, as
slices allow, and the sum of all lengths is compared with the length of the message once, at the end.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Final

from messages import character_steps, packed_steps
from messages.codec_steps import NotSureError, ReadStep, Row, WriteStep, read_chars, write_chars
from messages.iso8583_codec import BITMAP_OCTETS, HEX_CHARACTERS, ReferenceCodec, Spec, bitmap_fields, head_of
from messages.iso_message import IsoMessage

PLANS_MAX = 512
"""How many plans are kept, each way. The peer chooses the bitmap, so the number of plans must not be his: the least used one goes.
A dialect's real messages need a few dozen."""

_SEVEN: Final = ord("7")

ReadPlan = tuple[tuple[int, ...], tuple[ReadStep, ...], int]
WritePlan = tuple[bytes, tuple[WriteStep, ...]]


class CompiledCodec:
    """Equals `ReferenceCodec` of the same specification in every answer and every error, several times faster.

    Raises:
        ValueError: (when made) a row is packed in a way that is not compiled.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._reference = ReferenceCodec(spec)
        self._head = head_of(spec)
        self._is_characters = self._head.is_characters
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
        if self._is_characters:
            if not data[:4].isdigit() or len(data) < 20:
                return None
            mti = data[:4].decode("ascii")
            # In characters of any case, 8 to F, the first bit is set; what is no hex fails when the plan is made.
            plan = self._read_plan(data[4:36] if data[4] > _SEVEN else data[4:20])
        else:
            if len(data) < 10:
                return None
            plan = self._read_plan(data[2:18] if data[2] & 0x80 else data[2:10])
            mti = data[:2].hex()
            if not mti.isdecimal():
                return None
        if plan is None:
            return None
        numbers, steps, at = plan
        values: list[str] = []
        try:
            for step in steps:
                at = step(data, at, values)
        except (NotSureError, IndexError):
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
            mti = message.mti.encode("ascii") if self._is_characters else bytes.fromhex(message.mti)
            return mti + bitmap + b"".join([step(values) for step in steps])
        except (NotSureError, ValueError):
            return None

    def plans_kept(self) -> tuple[int, int]:
        """Return how many plans are kept for reading and for writing."""
        return self._read_plan.cache_info().currsize, self._write_plan.cache_info().currsize

    def _make_read_plan(self, written: bytes) -> ReadPlan | None:
        if self._is_characters:
            if not HEX_CHARACTERS.issuperset(written):
                return None
            bitmaps = bytes.fromhex(written[: len(written) & ~1].decode("ascii"))
        else:
            bitmaps = written
        if len(bitmaps) != BITMAP_OCTETS * (2 if bitmaps[0] & 0x80 else 1):
            return None  # the secondary bitmap is cut short
        numbers = bitmap_fields(bitmaps[:BITMAP_OCTETS], 0) + bitmap_fields(bitmaps[BITMAP_OCTETS:], 64)
        elements = tuple(number for number in numbers if number != 1)
        if not all(str(number) in self._spec for number in elements):
            return None
        steps = [_READERS[form]([row for _, row in members]) for form, members in self._runs(elements)]
        return elements, tuple(steps), self._head.mti_octets + len(written)

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
        if 1 not in marked:
            bitmap = bitmap[:BITMAP_OCTETS]
        return bitmap.hex().upper().encode("ascii") if self._is_characters else bitmap, tuple(steps)

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
    if row["data_enc"] == "ascii" or (row["data_enc"] == "latin-1" and row["len_enc"] == "ascii"):
        return _form_in_characters(row)
    if prefix and row["len_enc"] != "bcd":
        raise ValueError("only BCD lengths are compiled beside packed values")
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


def _form_in_characters(row: Row) -> str:
    prefix = row["len_type"]
    if prefix and row["len_enc"] != "ascii":
        raise ValueError("only lengths in ASCII digits are compiled beside characters")
    form = {
        ("n", "ascii", False): "ascii_digits",
        ("n", "ascii", True): "ascii_digits_var",
        ("x+n", "ascii", False): "ascii_signed",
        ("b", "ascii", False): "ascii_hex",
        ("ans", "latin-1", False): "chars",
        ("ans", "latin-1", True): "ascii_chars_var",
        ("raw", "latin-1", True): "ascii_chars_var",
    }.get((row["kind"], row["data_enc"], bool(prefix)))
    if form is None or row.get("len_count", "bytes") != "bytes":
        raise ValueError(f"a row of kind {row['kind']} packed like {row.get('notation')} is not compiled")
    return form


_RUNS: Final = frozenset({"digits", "chars", "ascii_digits"})
_READERS: Final[Mapping[str, Callable[[list[Row]], ReadStep]]] = {
    "chars": read_chars,
    "digits": packed_steps.read_digits,
    "digits_var": packed_steps.read_digits_var,
    "track": packed_steps.read_digits_var,
    "signed": packed_steps.read_signed,
    "binary": packed_steps.read_binary,
    "chars_var": packed_steps.read_chars_var,
    "ascii_digits": character_steps.read_digits,
    "ascii_digits_var": character_steps.read_var,
    "ascii_chars_var": character_steps.read_var,
    "ascii_hex": character_steps.read_hex,
    "ascii_signed": character_steps.read_signed,
}
_WRITERS: Final[Mapping[str, Callable[[list[Row], int, int], WriteStep]]] = {
    "chars": write_chars,
    "digits": packed_steps.write_digits,
    "digits_var": packed_steps.write_digits_var,
    "track": packed_steps.write_digits_var,
    "signed": packed_steps.write_signed,
    "binary": packed_steps.write_binary,
    "chars_var": packed_steps.write_chars_var,
    "ascii_digits": character_steps.write_digits,
    "ascii_digits_var": character_steps.write_var,
    "ascii_chars_var": character_steps.write_var,
    "ascii_hex": character_steps.write_hex,
    "ascii_signed": character_steps.write_signed,
}
