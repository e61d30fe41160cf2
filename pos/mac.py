"""Message authentication with the terminal's own key: X9.9, X9.19 (ISO 9797-1 algorithms 1 and 3) or AES-CMAC.

A datáfono signs by itself, with a key that is its own and no other terminal's; it never talks to the security module.
"""

import hmac
from typing import Protocol

from Crypto.Cipher import AES, DES
from Crypto.Hash import CMAC

from vending.ports import MacMismatch, MacScheme
from vending.secret import Secret

MAC_OCTETS = 8
KEY_OCTETS = 16

_DES_BLOCK_OCTETS = 8
_NO_IV = bytes(_DES_BLOCK_OCTETS)


class Signer(Protocol):
    """Makes and checks the MAC of one terminal."""

    def sign(self, data: bytes) -> bytes:
        """Return the `MAC_OCTETS` octets over *data*."""

    def verify(self, data: bytes, mac: bytes) -> None:
        """Return if *mac* is right over *data*, else raise `MacMismatch`; the comparison takes constant time."""


class RetailMac:
    """X9.19: DES-CBC over the zero-padded data with the left key, then the last block through right-decrypt, left-encrypt.

    Source: ISO/IEC 9797-1:2011 MAC algorithm 3, padding method 1.
    """

    __slots__ = ("_left", "_left_block", "_right_block")

    def __init__(self, key: Secret[bytes]) -> None:
        octets = _checked(key)
        self._left = octets[:8]
        self._left_block = DES.new(octets[:8], DES.MODE_ECB)  # noqa: S304 - the standard is of this cipher
        self._right_block = DES.new(octets[8:], DES.MODE_ECB)  # noqa: S304

    def sign(self, data: bytes) -> bytes:
        """See `Signer.sign`."""
        padded = data + bytes(-len(data) % _DES_BLOCK_OCTETS) if data else _NO_IV
        cipher = DES.new(self._left, DES.MODE_CBC, _NO_IV)  # noqa: S304
        last = cipher.encrypt(padded)[-_DES_BLOCK_OCTETS:]
        return bytes(self._left_block.encrypt(self._right_block.decrypt(last)))

    def verify(self, data: bytes, mac: bytes) -> None:
        """See `Signer.verify`."""
        _compare(self.sign(data), mac)


class SingleDesMac(RetailMac):
    """X9.9: DES-CBC over the zero-padded data with the first 8 octets of the key; all 8 octets of the last block.

    Source: ISO/IEC 9797-1:2011 MAC algorithm 1, padding method 1.
    """

    __slots__ = ()

    def __init__(self, key: Secret[bytes]) -> None:
        # With equal halves the last two steps of X9.19 undo each other.
        super().__init__(Secret(2 * _checked(key)[:_DES_BLOCK_OCTETS]))


class AesCmac:
    """AES-CMAC cut to its first 8 octets. Source: NIST SP 800-38B, RFC 4493."""

    __slots__ = ("_key",)

    def __init__(self, key: Secret[bytes]) -> None:
        self._key = _checked(key)

    def sign(self, data: bytes) -> bytes:
        """See `Signer.sign`."""
        return bytes(CMAC.new(self._key, data, ciphermod=AES).digest()[:MAC_OCTETS])

    def verify(self, data: bytes, mac: bytes) -> None:
        """See `Signer.verify`."""
        _compare(self.sign(data), mac)


def signer(scheme: str, key: Secret[bytes]) -> Signer:
    """Choose the signer of a terminal.

    Args:
        scheme: a name of `vending.ports.MacScheme`.
        key: 16 octets.

    Raises:
        ValueError: an unknown scheme or a key of another length.
    """
    if scheme == MacScheme.X9_9:
        return SingleDesMac(key)
    if scheme == MacScheme.X9_19:
        return RetailMac(key)
    if scheme == MacScheme.AES_CMAC:
        return AesCmac(key)
    raise ValueError(f"unknown MAC scheme {scheme!r}")


def _compare(right: bytes, given: bytes) -> None:
    if not hmac.compare_digest(right, given):
        raise MacMismatch


def _checked(key: Secret[bytes]) -> bytes:
    octets = key.reveal()
    if len(octets) != KEY_OCTETS:
        raise ValueError(f"a MAC key has {KEY_OCTETS} octets, not {len(octets)}")
    return octets
