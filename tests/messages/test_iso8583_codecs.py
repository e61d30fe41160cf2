"""The two codecs: the compiled one equals the reference in every answer, and both are strict."""

from collections.abc import Callable, Mapping
from typing import Any

import iso8583
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messages.codec import DATAFONO, Codec
from messages.compiled_codec import PLANS_MAX, CompiledCodec
from messages.iso8583_codec import ReferenceCodec
from messages.iso_message import DecodeError, EncodeError, IsoMessage
from messages.specs.datafono import SPEC

REFERENCE = ReferenceCodec(SPEC)
COMPILED = CompiledCodec(SPEC)
NUMBERS = sorted(int(key) for key in SPEC if key.isdigit() and key != "1")
LATIN_1 = st.characters(max_codepoint=0xFF)
PRINTABLE = LATIN_1.filter(str.isprintable)


def values(number: int) -> st.SearchStrategy[str]:
    """Every value that a data element may have (long ones kept short for speed, but for one at its limit)."""
    row = SPEC[str(number)]
    kind, size, is_var = row["kind"], row["max_len"], bool(row["len_type"])
    if kind == "b":
        return st.binary(min_size=size, max_size=size).map(lambda octets: octets.hex().upper())
    if kind == "x+n":
        digits = 2 * (size - 1)
        return st.builds(str.__add__, st.sampled_from("CD"), st.text("0123456789", min_size=digits, max_size=digits))
    alphabet: Any = {"n": "0123456789", "z": "0123456789D", "ans": PRINTABLE, "raw": LATIN_1}[kind]
    if not is_var:
        return st.text(alphabet, min_size=size, max_size=size)
    longest = st.just({"n": "7", "z": "D"}.get(kind, "ñ") * size)
    return st.text(alphabet, max_size=min(size, 30)) | longest


@st.composite
def messages(draw: st.DrawFn) -> IsoMessage:
    """A message with any data elements of the dialect."""
    numbers = draw(st.lists(st.sampled_from(NUMBERS), unique=True, max_size=14))
    mti = draw(st.text("0123456789", min_size=4, max_size=4))
    return IsoMessage(mti=mti, fields={number: draw(values(number)) for number in numbers})


def outcome(read: Callable[[bytes], IsoMessage], data: bytes) -> object:
    """Return a message, or everything that a refusal says."""
    try:
        return read(data)
    except DecodeError as error:
        is_inside = 0 <= error.position_octets <= len(data)
        return (is_inside, error.field, error.position_octets, error.reason, error.mti, dict(error.partial), error.raw)


@settings(deadline=None)
@given(messages())
def test_a_message_survives_both_codecs_in_every_combination(message: IsoMessage) -> None:
    """What one codec writes the other reads, octet for octet, and pyiso8583 itself reads the same."""
    before = dict(message.fields)
    octets = REFERENCE.encode(message)
    assert COMPILED.encode(message) == octets
    assert REFERENCE.decode(octets) == message
    assert COMPILED.decode_sure(octets) == message
    assert dict(message.fields) == before
    plain, _ = iso8583.decode(octets, SPEC)
    assert sorted(int(key) for key in plain if key.isdigit() and key != "1") == list(message.fields)


@settings(max_examples=400, deadline=None)
@given(messages(), st.data())
def test_broken_octets_are_refused_alike(message: IsoMessage, data: st.DataObject) -> None:
    """Changed, cut and lengthened messages are taken or refused by both codecs alike, with the same words."""
    octets = bytearray(REFERENCE.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(octets) - 1)) if octets else 0
        match data.draw(st.sampled_from(["set", "flip", "cut", "drop", "add"])):
            case "set":
                octets[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
            case "flip" if octets:
                octets[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del octets[place:]
            case "drop":
                del octets[place : place + 1]
            case _:
                octets[place:place] = bytes([data.draw(st.integers(0, 255))])
    check_alike(bytes(octets))


@settings(deadline=None)
@given(st.binary(max_size=120))
@example(b"")
@example(bytes.fromhex("0200"))
@example(bytes.fromhex("0200 8000000000000000"))
@example(bytes.fromhex("0200 8000000000000000 00000000000000"))
@example(bytes.fromhex("0200 8000000000000000 0000000000000000"))
def test_any_octets_are_refused_alike(octets: bytes) -> None:
    """Any garbage is read alike by both."""
    check_alike(octets)


def check_alike(octets: bytes) -> None:
    """Hold the compiled codec to the reference on *octets*: the same answer, and sure of exactly what is valid."""
    expected = outcome(REFERENCE.decode, octets)
    assert isinstance(expected, IsoMessage) or (isinstance(expected, tuple) and expected[0] is True)
    assert outcome(COMPILED.decode, octets) == expected
    sure = COMPILED.decode_sure(octets)
    assert sure == (expected if isinstance(expected, IsoMessage) else None)
    if sure is not None:
        again = REFERENCE.encode(sure)
        assert COMPILED.encode(sure) == again
        assert REFERENCE.decode(again) == sure


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(NUMBERS), st.text(max_size=20) | st.text("0123456789ABCDabcd ", max_size=20), max_size=4
    )
)
def test_unfit_values_are_refused_alike_when_writing(fields: Mapping[int, str]) -> None:
    """Any text as a value is written by both codecs alike, or refused by both with the same words."""
    message = IsoMessage(mti="0210", fields=fields)
    results: list[object] = []
    for codec in (REFERENCE, COMPILED):
        try:
            results.append(codec.encode(message))
        except EncodeError as error:
            results.append((error.field, error.reason))
    assert results[0] == results[1]
    sure = COMPILED.encode_sure(message)
    assert sure is None or sure == results[0]
    if isinstance(results[0], bytes):
        assert REFERENCE.decode(results[0]) == message


REQUEST = IsoMessage(
    mti="0200",
    fields={
        2: "37000000007",
        3: "500000",
        4: "000002000000",
        11: "000001",
        24: "003",
        28: "C00001234",
        35: "12D4",
        41: "TERM0001",
    }
    | {48: "HN003Añb", 64: "0123456789ABCDEF"},
)
OCTETS = REFERENCE.encode(REQUEST)


def test_the_packing_is_what_the_document_says() -> None:
    """One message by hand: digits filled in front or behind, lengths in digits or octets, letters as they are."""
    assert OCTETS.hex(" ").upper() == (
        "02 00 70 20 01 10 20 81 00 01 "  # MTI, bitmap
        "11 37 00 00 00 00 70 "  # DE2: 11 digits and a filler behind
        "50 00 00 00 00 02 00 00 00 00 00 01 "  # DE3, DE4, DE11
        "00 03 "  # DE24: a filler in front
        "43 00 00 12 34 "  # DE28: the letter C, 8 digits
        "04 12 D4 "  # DE35
        "54 45 52 4D 30 30 30 31 "  # DE41
        "00 08 48 4E 30 30 33 41 F1 62 "  # DE48
        "01 23 45 67 89 AB CD EF"  # DE64
    )


def spoiled(place: int, octet: int, octets: bytes = OCTETS) -> bytes:
    """Return *octets* with one of them replaced."""
    return octets[:place] + bytes([octet]) + octets[place + 1 :]


@pytest.mark.parametrize("codec", [REFERENCE, COMPILED, DATAFONO], ids=["reference", "compiled", "exported"])
@pytest.mark.parametrize(
    ("octets", "field", "position", "reason"),
    [
        (b"", 0, 0, "cut short"),
        (b"\x02", 0, 0, "cut short"),
        (spoiled(1, 0x0A), 0, 1, "not digits"),
        (OCTETS[:9], 1, 2, "cut short"),
        (spoiled(2, 0xF0)[:17], 1, 10, "cut short"),
        (bytes.fromhex("0800 8000000000000000 8000000000000000"), 65, 10, "not in this dialect"),
        (spoiled(10, 0x1A), 2, 10, "Failed to decode field length, invalid BCD data"),
        (spoiled(10, 0x20), 2, 10, "Field data is 20 nibbles, larger than maximum 19"),
        (spoiled(12, 0x0F), 2, 12, "not digits"),
        (spoiled(16, 0x7F), 2, 11, "the nibble that fills an odd number of digits is not 0"),
        (spoiled(16, 0x71), 2, 11, "the nibble that fills an odd number of digits is not 0"),
        (spoiled(20, 0xAB), 4, 20, "not digits"),
        (spoiled(25, 0x0C), 4, 25, "not digits"),
        (spoiled(29, 0x10), 24, 29, "the nibble that fills an odd number of digits is not 0"),
        (spoiled(31, 0x58), 28, 31, "not C or D and digits"),
        (spoiled(33, 0xA0), 28, 33, "not C or D and digits"),
        (spoiled(38, 0x4E), 35, 38, "not digits and D"),
        (spoiled(40, 0x0A), 41, 40, "not printable Latin-1"),
        (spoiled(54, 0x00), 48, 54, "not printable Latin-1"),
        (spoiled(48, 0x0F), 48, 47, "Failed to decode field length, invalid BCD data"),
        (spoiled(47, 0x10), 48, 47, "Field data is 1008 bytes, larger than maximum 999"),
        (spoiled(47, 0x09), 48, 49, "Field data is 16 bytes, expecting 908"),
        (OCTETS[:-1], 64, 57, "Field data is 7 bytes, expecting 8"),
        (OCTETS + b"\0", None, 65, "1 octets follow the last data element"),
    ],
)
def test_a_fault_is_refused_with_its_place(
    codec: Codec, octets: bytes, field: int | None, position: int, reason: str
) -> None:
    """Each kind of fault names its data element and octet, and what stood before it is kept."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(octets)
    error = caught.value
    assert (error.field, error.position_octets, error.reason) == (field, position, reason)
    limit = 129 if field is None else field
    assert dict(error.partial) == {
        number: value for number, value in REQUEST.fields.items() if number < limit and limit not in (65, 1, 0)
    }
    assert error.mti == (None if field == 0 else "0800" if field == 65 else "0200")
    assert error.raw == octets


def test_the_first_of_two_faults_is_named() -> None:
    """Letters in an amount are named even when a later data element is cut short, and are not in what was read."""
    with pytest.raises(DecodeError) as caught:
        COMPILED.decode(spoiled(20, 0xAB)[:-3])
    assert caught.value.field == 4
    assert list(caught.value.partial) == [2, 3]


def test_no_value_is_in_the_words_of_a_refusal() -> None:
    """An error may be logged, so neither its text nor its repr holds a value of the message."""
    message = IsoMessage(mti="0210", fields={62: "98765432109876543210", 64: "00" * 8})
    with pytest.raises(DecodeError) as caught:
        COMPILED.decode(COMPILED.encode(message) + b"98765")
    assert "98765" not in repr(caught.value) + str(caught.value) + repr(message)
    with pytest.raises(EncodeError) as refused:
        COMPILED.encode(message.with_fields({62: "98765\n"}))
    assert "98765" not in repr(refused.value)


def test_an_empty_secondary_bitmap_is_taken() -> None:
    """A sender that always sends two bitmaps is understood; the same message without the second one is the same."""
    long = bytes.fromhex("0800 8020000000000000 0000000000000000 000001")
    short = bytes.fromhex("0800 0020000000000000 000001")
    assert COMPILED.decode(long) == REFERENCE.decode(long) == COMPILED.decode(short)
    assert COMPILED.encode(COMPILED.decode(long)) == short


def test_pyiso8583_alone_would_take_letters_as_an_amount() -> None:
    """The strictness is ours: without it, letters in the amount pass."""
    plain, _ = iso8583.decode(spoiled(20, 0xAB), SPEC)
    assert plain["4"].startswith("AB")


def test_the_peer_cannot_make_the_plans_grow() -> None:
    """However many bitmaps a peer sends, the plans kept stay within their limit, and real messages go on."""
    codec = CompiledCodec(SPEC)
    for bits in range(PLANS_MAX * 3):
        codec.decode_sure(bytes.fromhex("0200") + (bits << 20).to_bytes(8, "big"))
        codec.encode_sure(IsoMessage(mti="0200", fields={2 + bit: "" for bit in range(12) if bits >> bit & 1}))
    read, write = codec.plans_kept()
    assert (read, write) == (PLANS_MAX, PLANS_MAX)
    assert codec.decode_sure(OCTETS) == REQUEST


@pytest.mark.parametrize(
    "change",
    [
        {"t": {**SPEC["t"], "data_enc": "ascii"}},
        {"h": {**SPEC["h"], "max_len": 12}},
        {"2": {**SPEC["2"], "len_enc": "ascii"}},
        {"2": {**SPEC["2"], "right_pad": "F"}},
        {"3": {**SPEC["3"], "data_enc": "ascii"}},
    ],
)
def test_a_packing_that_is_not_compiled_is_refused_at_the_start(change: Mapping[str, Mapping[str, Any]]) -> None:
    """A specification that this codec cannot serve fails when it is made, not at the first message."""
    with pytest.raises(ValueError, match=r"compiled|reads|filled"):
        CompiledCodec({**SPEC, **change})


@pytest.mark.parametrize(
    "number", [number for number in NUMBERS if SPEC[str(number)]["len_type"] and SPEC[str(number)]["max_len"] < 999]
)
def test_a_value_longer_than_its_row_is_refused_though_all_of_it_is_there(number: int) -> None:
    """A length above the row's limit is refused by both codecs even when that many octets follow."""
    row = SPEC[str(number)]
    wide = {**SPEC, str(number): {**row, "max_len": 99 if row["len_type"] == 1 else 999}}
    value = ("7" if row["data_enc"] == "b" else "x") * (row["max_len"] + 1)
    octets, _ = iso8583.encode({"t": "0200", str(number): value}, wide)
    check_alike(bytes(octets))
    with pytest.raises(DecodeError) as caught:
        COMPILED.decode(bytes(octets))
    assert caught.value.field == number


@pytest.mark.parametrize(
    "value", ["0123456789abcdef", "01 23 45 67 89 AB CD EF", "0123456789ABCDE", "0123456789ABCDEF00", ""]
)
@pytest.mark.parametrize("codec", [REFERENCE, COMPILED], ids=["reference", "compiled"])
def test_binary_elements_have_one_spelling(codec: Codec, value: str) -> None:
    """Octets are written from upper-case hex of the right size and from nothing else, so that equal messages are equal."""
    with pytest.raises(EncodeError) as caught:
        codec.encode(IsoMessage(mti="0200", fields={64: value}))
    assert caught.value.field == 64


def test_an_element_outside_the_dialect_is_not_written() -> None:
    """A dialect without an element refuses it by its number, on the way out as on the way in."""
    small = {key: row for key, row in SPEC.items() if key != "3"}
    message = IsoMessage(mti="0200", fields={3: "500000"})
    for codec in (ReferenceCodec(small), CompiledCodec(small)):
        with pytest.raises(EncodeError) as unwritten:
            codec.encode(message)
        with pytest.raises(DecodeError) as unread:
            codec.decode(REFERENCE.encode(message))
        assert (unwritten.value.field, unread.value.field, unread.value.position_octets) == (3, 3, 2)


def test_every_cut_of_a_message_is_refused_alike() -> None:
    """A message cut after any octet is refused by both codecs alike, with one bitmap and with two."""
    for message in (
        REQUEST,
        IsoMessage(mti="0400", fields={90: "0" * 42, 128: "00" * 8}),
        IsoMessage(mti="0800", fields={70: "301"}),
    ):
        octets = REFERENCE.encode(message)
        for size in range(len(octets) + 1):
            check_alike(octets[:size])
            assert (COMPILED.decode_sure(octets[:size]) is None) == (size < len(octets))


@pytest.mark.parametrize("codec", [REFERENCE, COMPILED], ids=["reference", "compiled"])
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({2: "7" * 20}, 2),
        ({44: "x" * 26}, 44),
        ({48: "x" * 1000}, 48),
        ({54: "x" * 121}, 54),
        ({3: "50000000"}, 3),
        ({3: "5000"}, 3),
        ({24: "0003"}, 24),
        ({24: "03"}, 24),
        # Two neighbours whose lengths add up right must not borrow from each other.
        ({3: "50000000", 4: "0000020000"}, 3),
        ({41: "TERM00012", 42: "OMERCIO0000001"}, 41),
        ({41: "TERM001"}, 41),
        ({28: "C0000123"}, 28),
        ({28: "+00001234"}, 28),
        ({3: "٥٠٠٠٠٠"}, 3),
    ],
)
def test_a_fixed_value_of_another_size_is_not_written(codec: Codec, fields: dict[int, str], field: int) -> None:
    """Nothing is filled up or cut in silence: a value of a fixed element has its size or is refused by its number."""
    with pytest.raises(EncodeError) as caught:
        codec.encode(IsoMessage(mti="0200", fields=fields))
    assert caught.value.field == field
