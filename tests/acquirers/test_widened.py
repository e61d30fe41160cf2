"""Answers with both bitmaps, for programs that always read 128 bits."""

import pytest

from acquirers.mac_place import mac_in_128
from acquirers.registry import DIALECTS
from acquirers.widened import widened
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac
from messages.wire import WIRES
from vending.response_code import ResponseCode

REQUESTS = {
    "datafono": IsoMessage(mti="0200", fields={3: "500000", 7: "1123163200", 11: "000005", 41: "TERM0001"}),
    "recargas": IsoMessage(mti="0200", fields={3: "500000", 7: "1123163200", 11: "000005", 41: "TERM0001"}),
    "loteria": IsoMessage(mti="1200", fields={3: "500000", 7: "1123163200", 11: "000005", 41: "TERM0001"}),
}
BITMAP_PLACES = {"datafono": (2, 16), "recargas": (4, 32), "loteria": (4, 32)}


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_only_the_bitmap_differs(name: str) -> None:
    """With and without a MAC the same elements are read, the first bit is set, and the rest of the octets is as it was."""
    plain = DIALECTS[name]()
    wide = widened(plain)
    answer = plain.decline(REQUESTS[name], ResponseCode.FLOAT_SHORT)
    assert answer is not None
    start, octets = BITMAP_PLACES[name]
    for before, after in (
        (plain.encode(answer), wide.encode(answer)),
        (plain.encode_for_mac(answer), wide.encode_for_mac(answer)),
    ):
        assert WIRES[name].codec.decode(after) == WIRES[name].codec.decode(before)
        assert after[:start] == before[:start]
        assert after[start + octets :] == before[start + octets // 2 :]
        assert len(after) == len(before) + octets // 2


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_mac_may_stand_in_128_always(name: str) -> None:
    """Its place is the end, both bitmaps are there, and whoever verifies finds what was signed; a request may have it there unasked."""
    plain = DIALECTS[name]()
    dialect = mac_in_128(plain)
    answer = plain.decline(REQUESTS[name], ResponseCode.FLOAT_SHORT)
    assert answer is not None
    encoded = dialect.encode_for_mac(answer)
    read = WIRES[name].codec.decode(encoded)
    assert {64, 128} & read.fields.keys() == {128}
    assert read.without_fields(128) == answer
    signed = splice_mac(encoded, bytes(range(8)), dialect.mac_form)
    sealed = plain.sealed_answer(signed)
    assert sealed is not None
    assert (sealed.covered, sealed.mac) == (covered(encoded, dialect.mac_form), bytes(range(8)))
    request = WIRES[name].codec.encode(REQUESTS[name].with_fields({128: "00" * 8}))
    assert plain.sealed(WIRES[name].codec.decode(request), request).mac == bytes(8)
    assert widened(dialect).encode_for_mac(answer) == encoded


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_message_that_has_both_stays_as_it_is(name: str) -> None:
    """Elements above 64 bring their bitmap along."""
    plain = DIALECTS[name]()
    answer = IsoMessage(
        mti=REQUESTS[name].answer_mti, fields={11: "000005", 39: "000"[: 3 if name == "loteria" else 2], 70: "301"}
    )
    assert widened(plain).encode(answer) == plain.encode(answer)
