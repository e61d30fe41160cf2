"""A message as data: what it holds, what it refuses, and what its MTI says."""

import pytest

from messages.iso_message import FieldMalformed, FieldMissing, IsoMessage


def test_elements_are_kept_in_order_and_cannot_be_changed() -> None:
    """A message is a value: sorted, equal by content, and out of reach of who made it."""
    given = {41: "TERM0001", 3: "500000"}
    message = IsoMessage(mti="0200", fields=given)
    given[3] = "999999"
    assert list(message.fields.items()) == [(3, "500000"), (41, "TERM0001")]
    assert message == IsoMessage(mti="0200", fields={3: "500000", 41: "TERM0001"})
    with pytest.raises(TypeError):
        message.fields[3] = "1"  # type: ignore[index]


@pytest.mark.parametrize("mti", ["", "020", "02000", "02a0", "+200", "٠٢٠٠"])
def test_an_mti_is_four_digits(mti: str) -> None:
    """Anything else cannot be made into a message."""
    with pytest.raises(ValueError, match="MTI"):
        IsoMessage(mti=mti, fields={})


@pytest.mark.parametrize("number", [-1, 0, 1, 65, 129])
def test_bitmaps_are_no_data_elements(number: int) -> None:
    """1 and 65 are bitmaps, and there is nothing outside 2 to 128."""
    with pytest.raises(ValueError, match="data element"):
        IsoMessage(mti="0200", fields={number: ""})


@pytest.mark.parametrize(
    ("mti", "message_class", "is_repeat", "answer"),
    [
        ("0200", "0200", False, "0210"),
        ("0201", "0200", True, "0210"),
        ("0401", "0400", True, "0410"),
        ("0800", "0800", False, "0810"),
    ],
)
def test_the_mti_tells_class_repeat_and_answer(mti: str, message_class: str, is_repeat: bool, answer: str) -> None:
    """A repeat has the class and the answer of its first sending."""
    message = IsoMessage(mti=mti, fields={})
    assert (message.message_class, message.is_repeat, message.answer_mti, message.is_request) == (
        message_class,
        is_repeat,
        answer,
        True,
    )


def test_an_answer_has_no_answer() -> None:
    """An answer sent to us is not answered."""
    with pytest.raises(ValueError, match="0210"):
        _ = IsoMessage(mti="0210", fields={}).answer_mti


def test_typed_access_tells_missing_from_malformed() -> None:
    """Numbers and octets come typed; what is not there and what is not of that form are different errors, each with its element."""
    message = IsoMessage(mti="0200", fields={2: "", 4: "000000000120", 41: "TERM0001", 64: "00FF"})
    assert (message.number(4), message.octets(64), message.get(39), 41 in message, 39 in message) == (
        120,
        b"\0\xff",
        None,
        True,
        False,
    )
    with pytest.raises(FieldMissing) as missing:
        message.number(39)
    assert missing.value.field == 39
    for read, number in ((message.number, 41), (message.number, 2), (message.octets, 41)):
        with pytest.raises(FieldMalformed) as malformed:
            read(number)
        assert malformed.value.field == number


def test_copies_leave_the_original_as_it_was() -> None:
    """Setting and removing elements makes another message."""
    message = IsoMessage(mti="0200", fields={3: "500000", 64: "00"})
    assert dict(message.with_fields({39: "00", 3: "1"}).fields) == {3: "1", 39: "00", 64: "00"}
    assert dict(message.without_fields(64, 128).fields) == {3: "500000"}
    assert dict(message.fields) == {3: "500000", 64: "00"}
