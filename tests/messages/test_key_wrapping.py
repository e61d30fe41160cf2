"""Wrapped session keys, against another implementation of the same standards."""

import warnings

import pytest
from Crypto.Cipher import DES3
from hypothesis import given
from hypothesis import strategies as st

from messages.key_wrapping import CannotUnwrap, check_value, unwrap, wrap
from vending.ports import MacScheme
from vending.secret import Secret

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import psec

KEYS = st.binary(min_size=16, max_size=16).filter(lambda key: key[:8] != key[8:])
SCHEMES = st.sampled_from([MacScheme.X9_19, MacScheme.AES_CMAC])


def _is_tdes_key(key: bytes) -> bool:
    try:
        DES3.new(key, DES3.MODE_ECB)
    except ValueError:
        return False
    return True


@given(scheme=SCHEMES, zone=KEYS.filter(_is_tdes_key), key=KEYS.filter(_is_tdes_key))
def test_what_is_wrapped_comes_out_again(scheme: str, zone: bytes, key: bytes) -> None:
    """Both forms, and the same key always gives the same octets."""
    wrapped = wrap(scheme, Secret(zone), Secret(key))
    assert wrapped == wrap(scheme, Secret(zone), Secret(key))
    header = 16 if scheme == MacScheme.AES_CMAC else 0  # public, so a key may by chance be spelled like it
    assert key not in wrapped[header:]
    assert unwrap(scheme, Secret(zone), wrapped, check_value(scheme, key).upper()).reveal() == key


@given(zone=KEYS, key=KEYS)
def test_key_blocks_are_those_of_psec(zone: bytes, key: bytes) -> None:
    """The other library opens our block and we open its own, with the length of the key hidden and not."""
    header, opened = psec.tr31.unwrap(zone, wrap(MacScheme.AES_CMAC, Secret(zone), Secret(key)).decode())
    assert (opened, header.key_usage, header.algorithm, header.mode_of_use) == (key, "M6", "A", "C")
    for masked_octets in (16, 24, 32):
        theirs = psec.tr31.wrap(zone, psec.tr31.Header("D", "M6", "A", "C", "00", "N"), key, masked_octets)
        kcv = check_value(MacScheme.AES_CMAC, key)
        assert unwrap(MacScheme.AES_CMAC, Secret(zone), theirs.encode(), kcv).reveal() == key


def test_published_check_values() -> None:
    """TDES over zeros of the key that books print; AES-CMAC over zeros: RFC 4493's key by its own algorithm."""
    tdes = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    assert check_value(MacScheme.X9_19, tdes) == "08d7b4"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert check_value(MacScheme.X9_19, tdes) == psec.des.generate_kcv(tdes, 3).hex()


@given(zone=KEYS, key=KEYS, at=st.integers(0, 111), digit=st.sampled_from("0123456789ABCDEF"))
def test_a_changed_key_block_is_not_taken(zone: bytes, key: bytes, at: int, digit: str) -> None:
    """Any other character at any place."""
    block = wrap(MacScheme.AES_CMAC, Secret(zone), Secret(key)).decode()
    changed = block[:at] + digit + block[at + 1 :]
    if changed == block:
        return
    with pytest.raises(CannotUnwrap):
        unwrap(MacScheme.AES_CMAC, Secret(zone), changed.encode(), check_value(MacScheme.AES_CMAC, key))


def test_another_check_value_length_or_equal_halves_is_not_taken() -> None:
    """The partner's word must fit the octets; equal halves would be single DES."""
    zone = Secret(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
    key = bytes(range(16))
    wrapped = wrap(MacScheme.X9_19, zone, Secret(key))
    kcv = check_value(MacScheme.X9_19, key)
    halves = DES3.new(zone.reveal(), DES3.MODE_ECB).encrypt(key[:8] * 2)
    for octets, said in ((wrapped, "000000"), (wrapped[:8], kcv), (b"", kcv), (halves, kcv), (wrapped, "ñ")):
        with pytest.raises(CannotUnwrap):
            unwrap(MacScheme.X9_19, zone, octets, said)


@given(octets=st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(octets: bytes) -> None:
    """Whatever comes, in either form."""
    zone = Secret(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
    for scheme in (MacScheme.X9_19, MacScheme.AES_CMAC):
        with pytest.raises(CannotUnwrap):
            unwrap(scheme, zone, octets, "zzzzzz")
