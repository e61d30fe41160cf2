"""Message authentication: ANSI X9.9 and X9.19 over DES and AES-CMAC, eight octets each, and the keys of single terminals.

Both are run on cipher contexts that are kept: making one costs as much as the MAC of a short message. A CBC context goes on
chaining from its last ciphertext block, so that block is added to the next message's first, which cancels it: the result is the
one of a fresh context with a zero vector.

Every sale makes two MACs, so they run on OpenSSL, whose calls cost a fifth of those of the other library. It has no single DES, but
triple DES with one key three times is single DES.

Source: ANSI X9.19 = ISO/IEC 9797-1 MAC algorithm 3, ANSI X9.9 = algorithm 1 with all 64 bits, both padding method 1; AES-CMAC: NIST SP 800-38B; key derivation: NIST SP 800-108
in counter mode over CMAC.
"""

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from Crypto.Cipher import AES, DES3
from Crypto.Hash import CMAC
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES128

from messages.security_module import MAC_OCTETS, MacKey, MacScheme, Status
from security_module.registers import MacRegister, with_odd_parity
from vending.secret import Secret

TERMINAL_KEYS_MAX = 20_000
"""Terminal keys kept ready, some 2.5 kB each: more than a national network has active in a day."""
_LABEL = b"eudora terminal MAC"
_DES_OCTETS = 8


class MacRefused(Exception):
    """The register does not exist or does not make this MAC; ``status`` is what is answered."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class _Cbc:
    """CBC encryption that starts every message from a zero vector without making a new cipher context."""

    __slots__ = ("_block", "_encrypt", "_last")

    def __init__(self, algorithm: TripleDES | AES128) -> None:
        self._block = algorithm.block_size // 8
        self._encrypt = Cipher(algorithm, modes.CBC(bytes(self._block))).encryptor().update
        self._last = 0

    def last_block(self, data: bytes) -> int:
        """Return the last ciphertext block of *data*, whose length is a multiple of the block and not zero, as a number."""
        block = self._block
        first = int.from_bytes(data[:block], "big") ^ self._last
        self._last = int.from_bytes(self._encrypt(first.to_bytes(block, "big") + data[block:])[-block:], "big")
        return self._last


class TerminalMac(Protocol):
    """A MAC algorithm with its key set up."""

    def compute(self, data: bytes) -> bytes:
        """Return 8 octets over *data*."""


class RetailMac:
    """ANSI X9.19: DES-CBC with the left half of the key; the last block goes through left, right (decrypting) and left."""

    __slots__ = ("_chain", "_seal")

    def __init__(self, key: Secret[bytes]) -> None:
        left, right = key.reveal()[:_DES_OCTETS], key.reveal()[_DES_OCTETS:]
        self._chain = _Cbc(TripleDES(left + left + left))
        self._seal = Cipher(TripleDES(left + right + left), modes.ECB()).encryptor().update  # noqa: S305

    def compute(self, data: bytes) -> bytes:
        """Return the MAC; *data* is filled with zeros to a whole number of blocks, and is one block if it is empty."""
        octets = len(data)
        if octets % _DES_OCTETS or not octets:
            data += bytes(-octets % _DES_OCTETS or _DES_OCTETS)
        tail = int.from_bytes(data[-_DES_OCTETS:], "big")
        if octets > _DES_OCTETS:
            tail ^= self._chain.last_block(data[:-_DES_OCTETS])
        return self._seal(tail.to_bytes(_DES_OCTETS, "big"))


class AesCmac:
    """AES-CMAC with a 128-bit key, cut to its first eight octets."""

    __slots__ = ("_cbc", "_mask_padded", "_mask_whole")

    def __init__(self, key: Secret[bytes]) -> None:
        start = int.from_bytes(AES.new(key.reveal(), AES.MODE_ECB).encrypt(bytes(16)), "big")
        self._mask_whole = _doubled(start)
        self._mask_padded = _doubled(self._mask_whole)
        self._cbc = _Cbc(AES128(key.reveal()))

    def compute(self, data: bytes) -> bytes:
        """Return the MAC over *data* of any length."""
        mask = self._mask_whole
        if not data or len(data) % 16:
            data += b"\x80" + bytes(-(len(data) + 1) % 16)
            mask = self._mask_padded
        tail = int.from_bytes(data[-16:], "big") ^ mask
        return self._cbc.last_block(data[:-16] + tail.to_bytes(16, "big")).to_bytes(16, "big")[:MAC_OCTETS]


def single_des(key: Secret[bytes]) -> Secret[bytes]:
    """Return the key with which `RetailMac` is ANSI X9.9: its first 8 octets twice, for then the last two steps undo each other."""
    return Secret(2 * key.reveal()[:_DES_OCTETS])


def _doubled(value: int) -> int:
    """Multiply by x in GF(2**128) as CMAC does for its subkeys."""
    shifted = value << 1
    return (shifted & ((1 << 128) - 1)) ^ 0x87 if shifted >> 128 else shifted


def derive_terminal_key(register: MacRegister, diversifier: str) -> Secret[bytes]:
    """Derive the 16-octet key of one terminal from the key of *register*; a DES key has odd parity.

    Shape of the derivation: for block i = 1, 2, ... CMAC(key, i (1 octet) | label | 0 | diversifier | 0080), joined and cut to 16.
    """
    key = register.key.reveal()
    message = _LABEL + b"\x00" + diversifier.encode("ascii") + b"\x00\x80"
    if register.scheme == MacScheme.AES_CMAC:
        return Secret(CMAC.new(key, b"\x01" + message, ciphermod=AES).digest())
    blocks = [CMAC.new(key, bytes((index,)) + message, ciphermod=DES3).digest() for index in (1, 2)]
    return Secret(with_odd_parity(b"".join(blocks)))


class MacBook:
    """Makes and verifies MACs under the keys of the MAC registers; keeps the keys of recent terminals ready."""

    def __init__(self, registers: Mapping[int, MacRegister], keys_max: int = TERMINAL_KEYS_MAX) -> None:
        self._registers = registers
        self._keys_max = keys_max
        self._ready: OrderedDict[MacKey, TerminalMac] = OrderedDict()

    def generate(self, key: MacKey, data: bytes) -> bytes:
        """Return 8 octets over *data*; `MacRefused` if the register does not make such MACs."""
        return self._find(key).compute(data)

    def is_right(self, key: MacKey, data: bytes, mac: bytes) -> bool:
        """Compare in constant time; `MacRefused` if the register does not make such MACs."""
        return hmac.compare_digest(self._find(key).compute(data), mac)

    def _find(self, key: MacKey) -> TerminalMac:
        found = self._ready.get(key)
        if found is not None:
            self._ready.move_to_end(key)
            return found
        made = self._make(key)
        self._ready[key] = made
        if len(self._ready) > self._keys_max:
            self._ready.popitem(last=False)
        return made

    def _make(self, key: MacKey) -> TerminalMac:
        register = self._registers.get(key.register_id)
        if register is None:
            raise MacRefused(Status.UNKNOWN_REGISTER)
        if (
            register.is_zone
            or register.is_dukpt
            or register.scheme != key.scheme
            or register.is_diversified is not bool(key.diversifier)
        ):
            raise MacRefused(Status.REGISTER_CONTRADICTION)
        secret = derive_terminal_key(register, key.diversifier) if register.is_diversified else register.key
        if register.scheme == MacScheme.AES_CMAC:
            return AesCmac(secret)
        return RetailMac(single_des(secret) if register.scheme == MacScheme.X9_9 else secret)
