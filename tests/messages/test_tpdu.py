"""The five octets in front of a message."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.tpdu import Tpdu, TpduError, split_tpdu, turn_tpdu


def test_the_answer_goes_back_to_where_the_request_came_from() -> None:
    """Destination and source change places in the answer."""
    tpdu, message = split_tpdu(bytes.fromhex("60 0003 0123 0800"))
    assert (tpdu.destination, tpdu.source, message) == ("0003", "0123", b"\x08\x00")
    assert tpdu.swapped().octets == bytes.fromhex("60 0123 0003")


@settings(deadline=None)
@given(st.binary(min_size=4, max_size=4), st.binary(max_size=8))
def test_any_address_comes_back(addresses: bytes, message: bytes) -> None:
    """Concentrators use any address, decimal or not, and it is sent back as it came."""
    frame = b"\x60" + addresses + message
    tpdu, rest = split_tpdu(frame)
    assert tpdu.octets + rest == frame
    assert tpdu.swapped().swapped() == tpdu
    assert turn_tpdu(frame) == (tpdu.swapped().octets, message)


@pytest.mark.parametrize("frame", [b"", b"\x60\x00\x03\x00", bytes.fromhex("6800030000"), bytes.fromhex("0800822000")])
def test_a_frame_without_a_tpdu_is_refused(frame: bytes) -> None:
    """A frame too short, or with another identifier, has no TPDU."""
    for split in (split_tpdu, turn_tpdu):
        with pytest.raises(TpduError):
            split(frame)


@pytest.mark.parametrize("address", ["", "003", "00003", "00g3", "00a3", "0 03", " 0003"])
def test_an_address_is_four_hex_digits(address: str) -> None:
    """An address that is not two octets in upper-case hex cannot be made."""
    with pytest.raises(TpduError):
        Tpdu(destination=address, source="0000")
