"""The terminal's MACs against other implementations and published values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos.mac import MAC_OCTETS, signer
from tests.pos.fake_switch import KEY, mac_of
from vending.ports import MacMismatch, MacScheme
from vending.secret import Secret

SCHEMES = (MacScheme.X9_19, MacScheme.AES_CMAC)


@given(scheme=st.sampled_from(SCHEMES), data=st.binary(min_size=1, max_size=600))
def test_macs_equal_those_of_other_libraries(scheme: str, data: bytes) -> None:
    """Psec (X9.19) and cryptography (AES-CMAC) come to the same eight octets."""
    assert signer(scheme, Secret(KEY)).sign(data) == mac_of(scheme, data)


def test_aes_cmac_of_rfc_4493() -> None:
    """Example 2 of RFC 4493 section 4, cut to eight octets."""
    key = Secret(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
    assert (
        signer(MacScheme.AES_CMAC, key).sign(bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")).hex()
        == "070a16b46b4d4144"
    )


@given(
    scheme=st.sampled_from(SCHEMES), data=st.binary(min_size=1, max_size=100), bit=st.integers(0, MAC_OCTETS * 8 - 1)
)
def test_one_wrong_bit_is_a_mismatch(scheme: str, data: bytes, bit: int) -> None:
    """Verification takes the right MAC and refuses every neighbour of it."""
    by = signer(scheme, Secret(KEY))
    mac = by.sign(data)
    by.verify(data, mac)
    wrong = (int.from_bytes(mac, "big") ^ (1 << bit)).to_bytes(MAC_OCTETS, "big")
    with pytest.raises(MacMismatch):
        by.verify(data, wrong)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("mac", [b"", b"\x00" * 7, b"\x00" * 9])
def test_a_mac_of_another_length_is_a_mismatch(scheme: str, mac: bytes) -> None:
    """A shortened MAC proves nothing."""
    with pytest.raises(MacMismatch):
        signer(scheme, Secret(KEY)).verify(b"data", mac)


@pytest.mark.parametrize(
    ("scheme", "key"), [("X9.99", KEY), (MacScheme.X9_19, KEY[:8]), (MacScheme.AES_CMAC, KEY + KEY)]
)
def test_an_unknown_scheme_or_key_length_is_refused(scheme: str, key: bytes) -> None:
    """A terminal is never keyed with something that it cannot use, and the error does not show the key."""
    with pytest.raises(ValueError, match=r"MAC") as caught:
        signer(scheme, Secret(key))
    assert key.hex() not in json.dumps(str(caught.value)).lower()
