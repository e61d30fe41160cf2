"""The codecs of the dialects in characters, ``recargas`` and ``loteria``: compiled and reference agree, both are strict, and pyiso8583 reads the same."""

from collections.abc import Callable, Mapping
from typing import Any

import iso8583
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.compiled_codec import PLANS_MAX, CompiledCodec
from messages.iso8583_codec import ReferenceCodec, Spec
from messages.iso_message import BITMAP_FIELD, MTI_FIELD, DecodeError, EncodeError, IsoMessage
from messages.specs import datafono, loteria, recargas

SPECS: Mapping[str, Spec] = {"recargas": recargas.SPEC, "loteria": loteria.SPEC}
REFERENCES = {name: ReferenceCodec(spec) for name, spec in SPECS.items()}
COMPILED = {name: CompiledCodec(spec) for name, spec in SPECS.items()}
NUMBERS = {name: sorted(int(key) for key in spec if key.isdigit() and key != "1") for name, spec in SPECS.items()}
NAMES = st.sampled_from(sorted(SPECS))
LATIN_1 = st.characters(max_codepoint=0xFF)
PRINTABLE = LATIN_1.filter(str.isprintable)
ECHO = b"0800" + b"8220000000000000" + b"0400000000000000" + b"1123163000" + b"000002" + b"301"


def values(name: str, number: int) -> st.SearchStrategy[str]:
    """Every value that a data element may have (long ones kept short for speed, but for one at its limit)."""
    row = SPECS[name][str(number)]
    kind, size = row["kind"], row["max_len"]
    if kind == "x+n":
        digits = st.text("0123456789", min_size=size - 1, max_size=size - 1)
        return st.builds(str.__add__, st.sampled_from("CD"), digits)
    alphabet: Any = {"n": "0123456789", "b": "0123456789ABCDEF", "ans": PRINTABLE, "raw": LATIN_1}[kind]
    if not row["len_type"]:
        return st.text(alphabet, min_size=size, max_size=size)
    return st.text(alphabet, max_size=min(size, 30)) | st.just(("7" if kind == "n" else "ñ") * size)


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, IsoMessage]:
    """A dialect, and a message with any of its data elements."""
    name = draw(NAMES)
    numbers = draw(st.lists(st.sampled_from(NUMBERS[name]), unique=True, max_size=14))
    mti = draw(st.text("0123456789", min_size=4, max_size=4))
    return name, IsoMessage(mti=mti, fields={number: draw(values(name, number)) for number in numbers})


def outcome(read: Callable[[bytes], IsoMessage], data: bytes) -> object:
    """Return a message, or everything that a refusal says."""
    try:
        return read(data)
    except DecodeError as error:
        is_inside = 0 <= error.position_octets <= len(data)
        return (is_inside, error.field, error.position_octets, error.reason, error.mti, dict(error.partial), error.raw)


def check_alike(name: str, octets: bytes) -> None:
    """Hold the compiled codec to the reference: the same answer, and sure of exactly what is valid."""
    expected = outcome(REFERENCES[name].decode, octets)
    assert isinstance(expected, IsoMessage) or (isinstance(expected, tuple) and expected[0] is True)
    assert outcome(COMPILED[name].decode, octets) == expected
    assert COMPILED[name].decode_sure(octets) == (expected if isinstance(expected, IsoMessage) else None)


@settings(deadline=None)
@given(messages())
def test_a_message_survives_both_codecs_and_pyiso8583_reads_it(drawn: tuple[str, IsoMessage]) -> None:
    """What one codec writes the other reads, octet for octet, and pyiso8583 alone finds the same values."""
    name, message = drawn
    octets = REFERENCES[name].encode(message)
    assert COMPILED[name].encode_sure(message) == octets
    assert REFERENCES[name].decode(octets) == message
    assert COMPILED[name].decode_sure(octets) == message
    plain, _ = iso8583.decode(octets, SPECS[name])
    assert {int(key): value for key, value in plain.items() if key.isdigit() and key != "1"} == message.fields


@settings(max_examples=400, deadline=None)
@given(messages(), st.data())
def test_broken_octets_are_refused_alike(drawn: tuple[str, IsoMessage], data: st.DataObject) -> None:
    """Changed, cut and lengthened messages are taken or refused by both codecs alike, with the same words."""
    name, message = drawn
    octets = bytearray(REFERENCES[name].encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(octets) - 1)) if octets else 0
        match data.draw(st.sampled_from(["set", "sign", "flip", "cut", "drop", "add"])):
            case "set":
                octets[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
            case "sign":
                octets[place : place + 1] = data.draw(st.sampled_from([b"+", b"-", b" ", b"a", b"F"]))
            case "flip" if octets:
                octets[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del octets[place:]
            case "drop":
                del octets[place : place + 1]
            case _:
                octets[place:place] = bytes([data.draw(st.integers(0, 255))])
    check_alike(name, bytes(octets))


@settings(deadline=None)
@given(NAMES, st.binary(max_size=80) | st.text("0123456789ABCDEFabcdef +-", max_size=80).map(str.encode))
def test_any_octets_are_refused_alike(name: str, octets: bytes) -> None:
    """Any garbage is read alike by both."""
    check_alike(name, octets)


@settings(deadline=None)
@given(NAMES, st.data())
def test_unfit_values_are_refused_alike_when_writing(name: str, data: st.DataObject) -> None:
    """Any text as a value is written by both codecs alike, or refused by both with the same words."""
    text = st.text(max_size=20) | st.text("0123456789ABCDabcd ", max_size=20)
    fields = data.draw(st.dictionaries(st.sampled_from(NUMBERS[name]), text, max_size=4))
    message = IsoMessage(mti="0210", fields=fields)
    results: list[object] = []
    for codec in (REFERENCES[name], COMPILED[name]):
        try:
            results.append(codec.encode(message))
        except EncodeError as error:
            results.append((error.field, error.reason))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("length", [b"+8", b" 8", b"8 ", b"-8", b"-0", b"\xb28", b"0x"])
def test_a_length_that_is_not_digits_is_refused(name: str, length: bytes) -> None:
    """Two hops that read a length differently see different messages, so a sign or a space is refused; pyiso8583 alone takes some."""
    octets = b"0200" + b"4000000000000000" + length + b"37000000"
    check_alike(name, octets)
    with pytest.raises(DecodeError) as caught:
        COMPILED[name].decode(octets)
    assert (caught.value.field, caught.value.position_octets) == (2, 20)


def test_pyiso8583_alone_takes_a_sign_as_a_length() -> None:
    """The strictness is ours: without it a signed length passes."""
    plain, _ = iso8583.decode(b"0200" + b"4000000000000000" + b"+8" + b"37000000", recargas.SPEC)
    assert plain["2"] == "37000000"


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize(
    ("octets", "field", "position", "reason"),
    [
        (b"08", MTI_FIELD, 0, "cut short"),
        (b"0A00" + b"0" * 16, MTI_FIELD, 1, "not digits"),
        (b"\x08\x00" + bytes(20), MTI_FIELD, 0, "not digits"),
        (b"0800" + b"0" * 15, BITMAP_FIELD, 4, "cut short"),
        (b"0800" + b"0" * 15 + b" ", BITMAP_FIELD, 19, "not hex"),
        (b"0800" + b"+" + b"0" * 15, BITMAP_FIELD, 4, "not hex"),
        (b"0800" + b"8" + b"0" * 15, BITMAP_FIELD, 20, "cut short"),
        (b"0800" + b"8" + b"0" * 15 + b"8" + b"0" * 15, 65, 20, "not in this dialect"),
        (b"0200" + b"2000000000000000" + b"50000A", 3, 25, "not digits"),
        (b"0200" + b"0000000000000001" + b"0123456789ABCDEG", 64, 35, "not upper-case hex"),
        (b"0200" + b"2000000000000000" + b"5000000", None, 26, "1 octets follow the last data element"),
    ],
)
def test_a_fault_is_refused_with_its_place(
    name: str, octets: bytes, field: int | None, position: int, reason: str
) -> None:
    """Each kind of fault names its data element and octet."""
    check_alike(name, octets)
    with pytest.raises(DecodeError) as caught:
        COMPILED[name].decode(octets)
    assert (caught.value.field, caught.value.position_octets, caught.value.reason) == (field, position, reason)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_hex_is_read_in_either_case_and_written_in_upper_case(name: str) -> None:
    """Some clients write bitmaps and MACs in small letters; the message is the same."""
    small = b"0200" + b"2000000000000001" + b"500000" + b"0123456789abcdef"
    message = COMPILED[name].decode(small)
    assert message == REFERENCES[name].decode(small)
    assert message.fields[64] == "0123456789ABCDEF"
    assert COMPILED[name].encode(message) == small.upper()
    assert list(COMPILED[name].decode(b"0200" + b"400000000000000a" + b"0237" + b"000" * 2).fields) == [2, 61, 63]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_an_empty_secondary_bitmap_is_taken(name: str) -> None:
    """A sender that always sends two bitmaps is understood; the same message without the second one is the same."""
    long = b"0800" + b"8020000000000000" + b"0" * 16 + b"000001"
    short = b"0800" + b"0020000000000000" + b"000001"
    check_alike(name, long)
    assert COMPILED[name].decode(long) == COMPILED[name].decode(short)
    assert COMPILED[name].encode(COMPILED[name].decode(long)) == short


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_peer_cannot_make_the_plans_grow(name: str) -> None:
    """However many bitmaps a peer sends, in whatever letters, the plans kept stay within their limit."""
    codec = CompiledCodec(SPECS[name])
    for bits in range(PLANS_MAX * 2):
        codec.decode_sure(b"0200%016X" % (bits << 20))
        codec.decode_sure(b"0200%016x" % (bits << 20))
    assert codec.plans_kept()[0] == PLANS_MAX
    assert codec.decode_sure(ECHO) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"t": {**recargas.SPEC["t"], "data_enc": "b"}},
        {"2": {**recargas.SPEC["2"], "len_enc": "bcd"}},
        {"2": {**datafono.SPEC["64"], "kind": "n"}},
        {"48": {**recargas.SPEC["48"], "len_enc": "cp500"}},
    ],
)
def test_a_packing_that_is_not_compiled_is_refused_at_the_start(change: Mapping[str, Mapping[str, Any]]) -> None:
    """A specification that this codec cannot serve fails when it is made, not at the first message."""
    with pytest.raises(ValueError, match=r"compiled|reads"):
        CompiledCodec({**recargas.SPEC, **change})
