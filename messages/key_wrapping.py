"""How a session key goes over the line: wrapped under a zone key that both ends hold, with a check value. Pure.

Sources: TDES: two blocks of ECB under a double-length key, as networks of ISO 8583:1987 do it after ANSI X9.17; AES: key block of ANSI X9.143
(TR-31) version D; check values: ANSI X9.24-1, annex A. What the first of them does not protect: docs/decisions/0017-session-keys.md.
"""

import hmac
import struct

from Crypto.Cipher import AES, DES3
from Crypto.Hash import CMAC

from vending.ports import MacScheme
from vending.secret import Secret

KEY_OCTETS = 16
KEY_BLOCK_CHARACTERS = 112
"""Of a block of ours."""
KEY_BLOCK_CHARACTERS_MAX = 176
"""Of a partner's: he may hide the length of the key behind more padding, as if it had 256 bits or more."""
CHECK_VALUE_OCTETS = 3

_DES_BLOCK = 8
_BLOCK = 16
_HEADER = b"D0112M6AC00N0000"
"""Version D, length 112, a CMAC key (M6) of AES (A) that makes and verifies (C), no key version, not exportable, no optional blocks."""
_MEANT = slice(5, 9)
"""Usage, algorithm and mode of use in the header; the rest may differ in a partner's block."""
_KEY_BITS = struct.pack(">H", 8 * KEY_OCTETS)
_PADDING_OCTETS = 2 * _BLOCK - 2 - KEY_OCTETS


class CannotUnwrap(Exception):
    """What came is no session key under this zone key, or not the one that its check value names."""


def check_value(scheme: str, key: bytes) -> str:
    """Return the check value of a session key, 6 hexadecimal digits: TDES over eight zero octets, or AES-CMAC over sixteen."""
    if scheme == MacScheme.AES_CMAC:
        return CMAC.new(key, bytes(_BLOCK), ciphermod=AES).digest()[:CHECK_VALUE_OCTETS].hex()
    return DES3.new(key, DES3.MODE_ECB).encrypt(bytes(_DES_BLOCK))[:CHECK_VALUE_OCTETS].hex()


def wrap(scheme: str, zone_key: Secret[bytes], key: Secret[bytes]) -> bytes:
    """Wrap a session key for the wire: 16 octets under a TDES zone key (X9.19), 112 ASCII characters under an AES one.

    The same key gives the same octets, so a repeat is answered alike whoever is asked.
    """
    if scheme == MacScheme.AES_CMAC:
        return _to_key_block(zone_key.reveal(), key.reveal())
    return DES3.new(zone_key.reveal(), DES3.MODE_ECB).encrypt(key.reveal())


def unwrap(scheme: str, zone_key: Secret[bytes], wrapped: bytes, kcv: str) -> Secret[bytes]:
    """Take a session key that the other end wrapped.

    Args:
        scheme: a name of `MacScheme`, of the zone key and so of the session key.
        zone_key: 16 octets.
        wrapped: in the form of `wrap`.
        kcv: its check value as the other end says it, 6 hexadecimal digits.

    Raises:
        CannotUnwrap: see there. What the octets would decrypt to is not told.
    """
    if scheme == MacScheme.AES_CMAC:
        key = _from_key_block(zone_key.reveal(), wrapped)
    elif len(wrapped) == KEY_OCTETS:
        key = DES3.new(zone_key.reveal(), DES3.MODE_ECB).decrypt(wrapped)
    else:
        raise CannotUnwrap("a wrapped key has 16 octets")
    try:
        is_meant = hmac.compare_digest(check_value(scheme, key).encode("ascii"), kcv.lower().encode("utf-8"))
    except ValueError:
        raise CannotUnwrap("the halves of the key are equal") from None
    if not is_meant:
        raise CannotUnwrap("the check value is another")
    return Secret(key)


def _block_keys(zone_key: bytes) -> tuple[bytes, bytes]:
    """Return the keys of a block for encryption and for authentication: CMAC over counter, usage, AES-128 and 128 bits."""
    encryption, authentication = (
        CMAC.new(zone_key, b"\x01" + usage + b"\x00\x00\x02\x00\x80", ciphermod=AES).digest()
        for usage in (b"\x00\x00", b"\x00\x01")
    )
    return encryption, authentication


def _to_key_block(zone_key: bytes, key: bytes) -> bytes:
    encryption, authentication = _block_keys(zone_key)
    # The standard wants padding that nobody can guess; this one follows from the keys, so that the block is always the same.
    padding = hmac.digest(zone_key, b"eudora key block padding\x00" + key, "sha256")[:_PADDING_OCTETS]
    plain = _KEY_BITS + key + padding
    mac = CMAC.new(authentication, _HEADER + plain, ciphermod=AES).digest()
    cipher = AES.new(encryption, AES.MODE_CBC, iv=mac).encrypt(plain)
    return _HEADER + (cipher + mac).hex().upper().encode("ascii")


def _from_key_block(zone_key: bytes, block: bytes) -> bytes:
    encryption, authentication = _block_keys(zone_key)
    header = block[:_BLOCK]
    is_length_right = (
        KEY_BLOCK_CHARACTERS <= len(block) <= KEY_BLOCK_CHARACTERS_MAX and not len(block) % (2 * _BLOCK) - _BLOCK
    )
    if not is_length_right or header[:5] != b"D%04d" % len(block) or header[12:14] != _HEADER[12:14]:
        raise CannotUnwrap("not a key block of version D without optional blocks")
    try:
        body = bytes.fromhex(block[_BLOCK:].decode("ascii"))
    except ValueError:
        raise CannotUnwrap("a key block is hexadecimal behind its header") from None
    cipher, mac = body[:-_BLOCK], body[-_BLOCK:]
    if not cipher or len(cipher) % _BLOCK:
        raise CannotUnwrap("a key block is hexadecimal behind its header")
    plain = AES.new(encryption, AES.MODE_CBC, iv=mac).decrypt(cipher)
    if not hmac.compare_digest(CMAC.new(authentication, header + plain, ciphermod=AES).digest(), mac):
        raise CannotUnwrap("the key block was changed, or is under another zone key")
    if header[_MEANT] != _HEADER[_MEANT] or plain[:2] != _KEY_BITS:
        raise CannotUnwrap("the key in the block is not one of 128 bits that makes and verifies AES-CMAC")
    return plain[2 : 2 + KEY_OCTETS]
