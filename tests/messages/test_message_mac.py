"""Where a MAC stands, which octets it covers, and how it is put in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import MacAbsent, covered, mac_field, splice_mac, split_mac, with_placeholder


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=8), st.booleans())
def test_a_mac_put_in_is_taken_out_over_the_same_octets(mac: bytes, is_reversal: bool) -> None:
    """What the sender signs is what the receiver checks, in 64 and in 128."""
    fields = {11: "000001", 41: "TERM0001"} | ({90: "0200000001" + "0" * 32} if is_reversal else {})
    encoded = DATAFONO.encode(with_placeholder(IsoMessage(mti="0400", fields=fields)))
    signed = splice_mac(encoded, mac)
    message = DATAFONO.decode(signed)
    sealed = split_mac(message, signed)
    assert (sealed.covered, sealed.mac) == (covered(encoded), mac)
    assert message.octets(128 if is_reversal else 64) == mac
    assert sealed.covered + sealed.mac == signed


def test_the_bit_of_the_mac_is_covered() -> None:
    """The bitmap under the MAC already says that there is a MAC."""
    encoded = DATAFONO.encode(with_placeholder(IsoMessage(mti="0800", fields={11: "000001"})))
    assert covered(encoded).hex() == "0800" + "0020000000000001" + "000001"


@pytest.mark.parametrize(
    "fields",
    [{11: "000001"}, {11: "000001", 64: "00" * 8, 70: "001"}, {64: "00" * 8, 128: "00" * 8}, {}],
    ids=["none", "not last", "two", "empty"],
)
def test_a_mac_elsewhere_is_no_mac(fields: dict[int, str]) -> None:
    """A message whose MAC is not its last element, or is there twice, counts as without a MAC."""
    message = IsoMessage(mti="0200", fields=fields)
    with pytest.raises(MacAbsent):
        split_mac(message, DATAFONO.encode(message))


def test_a_placeholder_replaces_any_mac() -> None:
    """An answer built from a request does not keep the request's MAC, nor a second place for one."""
    message = with_placeholder(IsoMessage(mti="0210", fields={11: "000001", 64: "FF" * 8, 128: "FF" * 8}))
    assert dict(message.fields) == {11: "000001", 64: "00" * 8}
    assert mac_field(IsoMessage(mti="0400", fields={90: "0" * 42})) == 128


@pytest.mark.parametrize("size", [0, 4, 7, 9, 16])
def test_a_mac_of_another_size_is_refused(size: int) -> None:
    """A MAC of the module that is not 8 octets must not shift the message."""
    with pytest.raises(ValueError, match="8 octets"):
        splice_mac(bytes(30), bytes(size))
