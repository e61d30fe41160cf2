"""A change of keys in a message: read and written in both versions of the standard, and refused where it is not as docs/wire says."""

import pytest

from acquirers.calls import SessionKeyCall
from acquirers.dialect import Unreadable
from acquirers.registry import DIALECTS
from acquirers.session_key import KeyOffer, key_offer_fields, read_given_key, read_key_offer
from messages.iso_message import IsoMessage
from messages.wire import WIRES
from tests.messages.test_wire_document import EXAMPLES
from tests.messages.test_wire_documents_in_characters import NOW, in_1993
from vending.response_code import Refusal, ResponseCode

WRAPPED = bytes(range(0xF0, 0x100))
BLOCK = b"D0112M6AC00N0000" + 96 * b"A"
V1987, V1993 = IsoMessage(mti="0800", fields={11: "000001"}), IsoMessage(mti="1804", fields={11: "000001"})


@pytest.mark.parametrize("message", [V1987, V1993], ids=["1987", "1993"])
@pytest.mark.parametrize("wrapped", [b"", WRAPPED, BLOCK], ids=["only said", "octets", "block"])
def test_what_is_written_is_read(message: IsoMessage, wrapped: bytes) -> None:
    """Either form of a wrapped key, or none, in either version."""
    offer = KeyOffer(generation=7, kcv="0a1b2c", wrapped=wrapped)
    written = message.with_fields(key_offer_fields(message, offer))
    assert read_key_offer(written) == offer
    assert read_given_key(written) == (offer if wrapped else None)


@pytest.mark.parametrize(
    ("details", "key"),
    [
        ("GN0017", WRAPPED),
        ("CV0060A1B2C", WRAPPED),
        ("GN0010CV0060A1B2C", WRAPPED),
        ("GN001xCV0060A1B2C", WRAPPED),
        ("GN01112345678901CV0060A1B2C", WRAPPED),
        ("GN0102147483648CV0060A1B2C", WRAPPED),
        ("GN0017CV0060A1B2x", WRAPPED),
        ("GN0017CV0040A1B", WRAPPED),
        ("GN0017CV0060A1B2CKB112" + BLOCK.decode(), WRAPPED),
        ("GN0017CV0060A1B2CKB177" + 177 * "A", None),
    ],
    ids=[
        "no check value",
        "no generation",
        "generation 0",
        "no number",
        "eleven digits",
        "beyond 31 bits",
        "no hex",
        "short check value",
        "key and block",
        "long block",
    ],
)
def test_what_is_not_as_the_document_says_is_a_format_error(details: str, key: bytes | None) -> None:
    """Nothing is guessed about a key."""
    fields = {48: details} if key is None else {48: details, 96: key.hex().upper()}
    with pytest.raises(Refusal) as refused:
        read_given_key(V1987.with_fields(fields))
    assert refused.value.code is ResponseCode.FORMAT_ERROR


def test_a_strange_length_in_1993_is_a_format_error() -> None:
    """There element 96 has any length."""
    with pytest.raises(Refusal):
        read_given_key(V1993.with_fields({48: "GN0017CV0060A1B2C", 96: "short"}))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_reads_both_directions(dialect: str) -> None:
    """0800/161 and 1804/811 become a call with or without a key; one that names no terminal is refused."""
    for name in ("key-asked", "key-given"):
        message = in_1993(name) if dialect == "loteria" else EXAMPLES[name]
        codec = WIRES[dialect].codec
        call = DIALECTS[dialect]().read(codec.encode(message), acquirer_id="n", now=NOW)
        assert isinstance(call, SessionKeyCall)
        assert (call.given is not None) is (name == "key-given")
        with pytest.raises(Unreadable):
            DIALECTS[dialect]().read(codec.encode(message.without_fields(41)), acquirer_id="n", now=NOW)
