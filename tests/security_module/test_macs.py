"""MACs against published vectors, an independent library and each other."""

import os
import warnings

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import CMAC
from hypothesis import given
from hypothesis import strategies as st

from messages.security_module import MacKey, MacScheme, Status
from pos.mac import signer
from security_module.macs import AesCmac, MacBook, MacRefused, RetailMac, derive_terminal_key, single_des
from security_module.registers import MacRegister, ModuleKeys, has_odd_parity, with_odd_parity
from vending.secret import Secret

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from psec.mac import generate_retail_mac

NIST_KEY = Secret(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
NIST_TEXT = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(0, "bb1d6929e9593728"), (16, "070a16b46b4d4144"), (40, "dfa66747de9ae630"), (64, "51f0bebf7e3b9d92")],
)
def test_aes_cmac_gives_the_published_values(octets: int, expected: str) -> None:
    """RFC 4493 section 4, cut to eight octets; the same object in any order of messages."""
    mac = AesCmac(NIST_KEY)
    for _ in range(2):
        assert mac.compute(NIST_TEXT[:octets]).hex() == expected


def test_retail_mac_gives_a_published_value() -> None:
    """ISO/IEC 9797-1:1999 annex: algorithm 3, padding method 1, "Now is the time for all "."""
    mac = RetailMac(Secret(bytes.fromhex("0123456789abcdeffedcba9876543210")))
    assert mac.compute(b"Now is the time for all ").hex() == "a1c72e74ea3fa9b6"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"7654321 Now is the time for ", "f1d30f6849312ca4"), (b"Now is the time for all ", "70a30640cc76dd8b")],
)
def test_x9_9_gives_published_values(text: bytes, expected: str) -> None:
    """FIPS 113 appendix 2, and ISO/IEC 9797-1:1999 annex: algorithm 1, padding method 1. The second half of the key plays no part."""
    first = bytes.fromhex("0123456789abcdef")
    for second in (bytes(8), bytes.fromhex("fedcba9876543210")):
        assert RetailMac(single_des(Secret(first + second))).compute(text).hex() == expected
        assert signer(MacScheme.X9_9, Secret(first + second)).sign(text).hex() == expected


def test_a_terminal_and_the_module_make_the_same_mac_of_single_des() -> None:
    """Scheme X9.9 with a key for each terminal: the terminal has the derived key, both use its first half."""
    register = MacRegister(
        register_id=5, scheme=MacScheme.X9_9, is_diversified=True, is_test=True, key=Secret(bytes(range(16)))
    )
    key = MacKey(register_id=5, scheme=MacScheme.X9_9, diversifier="V0000001")
    ours = MacBook({5: register}).generate(key, b"data")
    assert ours == signer(MacScheme.X9_9, derive_terminal_key(register, "V0000001")).sign(b"data")
    with pytest.raises(ValueError, match="zone"):
        MacRegister(
            register_id=5,
            scheme=MacScheme.X9_9,
            is_diversified=False,
            is_test=True,
            key=Secret(bytes(range(16))),
            is_zone=True,
        )


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6), st.binary(min_size=16, max_size=16))
def test_kept_ciphers_equal_fresh_ones(messages: list[bytes], key: bytes) -> None:
    """A MAC does not depend on the messages that the same key signed before, and equals other implementations."""
    key = with_odd_parity(key)
    retail, cmac = RetailMac(Secret(key)), AesCmac(Secret(key))
    for message in messages:
        assert cmac.compute(message) == CMAC.new(key, message, ciphermod=AES).digest()[:8]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert retail.compute(message) == generate_retail_mac(key[:8], key[8:], message or bytes(8), 1)


@pytest.mark.parametrize("scheme", ["X9.19", "AES-CMAC"])
def test_each_terminal_has_its_own_key(scheme: str) -> None:
    """Derived keys differ by terminal and by register, are stable, and DES keys have odd parity."""
    first, second = (
        MacRegister(register_id=each, scheme=scheme, is_diversified=True, is_test=True, key=Secret(os.urandom(16)))
        for each in (10, 12)
    )
    derived = [
        derive_terminal_key(register, terminal).reveal() for register in (first, second) for terminal in ("A", "B")
    ]
    assert len(set(derived)) == 4
    assert derived[0] == derive_terminal_key(first, "A").reveal()
    assert scheme != "X9.19" or all(has_odd_parity(key) for key in derived)


def test_the_cache_is_bounded_and_changes_nothing(keys: ModuleKeys) -> None:
    """More terminals than fit: the oldest is derived again and gives the same MAC."""
    book, big = MacBook(keys.mac, keys_max=2), MacBook(keys.mac)
    names = [MacKey(register_id=10, scheme="X9.19", diversifier=f"T{index}") for index in range(5)] * 2
    assert [book.generate(name, b"data") for name in names] == [big.generate(name, b"data") for name in names]
    assert len(book._ready) == 2


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (MacKey(register_id=99, scheme="X9.19", diversifier="T"), Status.UNKNOWN_REGISTER),
        (MacKey(register_id=1, scheme="X9.19", diversifier="T"), Status.UNKNOWN_REGISTER),
        (MacKey(register_id=10, scheme="AES-CMAC", diversifier="T"), Status.REGISTER_CONTRADICTION),
        (MacKey(register_id=10, scheme="X9.19", diversifier=""), Status.REGISTER_CONTRADICTION),
    ],
)
def test_a_mac_register_refuses_what_it_is_not_for(keys: ModuleKeys, key: MacKey, status: Status) -> None:
    """The scheme belongs to the key; a key that is diversified never signs undiversified."""
    with pytest.raises(MacRefused) as caught:
        MacBook(keys.mac).generate(key, b"data")
    assert caught.value.status is status
