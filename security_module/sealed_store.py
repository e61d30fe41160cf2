"""The sealed file: keys under a data key, the data key under a key encryption key (KEK) that is not in it.

Layout, version 2, numbers big-endian: magic (8) | version (1) | length of the header (2) | header (JSON, public: how the KEK is rebuilt,
its check value) | nonce (12) | data key (32) under AES-256-GCM | tag (16) | nonce (12) | document under AES-256-GCM | tag (16). Each of the two
ciphertexts authenticates everything that stands before its nonce, so no part can be exchanged for that of another file.
"""

import hmac
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from security_module.shares import SECRET_OCTETS, SET_ID_OCTETS, Share, ShareError, combine, split
from vending.secret import Secret

MAGIC = b"EUDORAKS"
STORE_VERSION = 2
STORE_OCTETS_MAX = 4 * 1024 * 1024
"""A thousand registers take less than one megabyte; anything larger is not ours."""
SCRYPT_LOG2_N = 15
"""About 0.1 s and 32 MB per guess."""
SCRYPT_LOG2_N_MAX = 20
"""A forged header must not make us take all the memory there is."""
SCRYPT_R = 8
SCRYPT_P = 1
TAG_OCTETS = 16
NONCE_OCTETS = 12
FROM_PASSPHRASE = "passphrase"  # noqa: S105
FROM_SHARES = "shares"
FROM_TOKEN = "pkcs11"  # noqa: S105

_KEY_OCTETS = 32
_SALT_OCTETS = 16
_START = struct.Struct(">8sBH")
_WRAP_OCTETS = NONCE_OCTETS + _KEY_OCTETS + TAG_OCTETS

RandomOctets = Callable[[int], bytes]


class StoreError(Exception):
    """The store cannot be used: it is missing, readable by others, damaged, or the key to it is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kek:
    """A key encryption key, with what the header says of it.

    Attributes:
        key: 32 octets.
        origin: ``source``, and what is needed to rebuild the key from it; JSON, public.
    """

    key: Secret[bytes]
    origin: Mapping[str, Any]

    @property
    def kcv(self) -> str:
        """Key check value, 6 hexadecimal digits: HMAC-SHA256 over a fixed text, cut."""
        return hmac.digest(self.key.reveal(), b"eudora key encryption key", "sha256")[:3].hex()


def kek_from_passphrase(passphrase: Secret[bytes], random_octets: RandomOctets) -> Kek:
    """Make a new KEK out of a passphrase and a fresh salt."""
    origin = {"source": FROM_PASSPHRASE, "log2_n": SCRYPT_LOG2_N, "salt": random_octets(_SALT_OCTETS).hex()}
    return _stretch(origin, passphrase)


def _stretch(origin: Mapping[str, Any], passphrase: Secret[bytes]) -> Kek:
    log2_n = origin["log2_n"]
    if not 1 <= log2_n <= SCRYPT_LOG2_N_MAX:
        raise StoreError("the cost in the header of the key store is not one that this program uses")
    salt = bytes.fromhex(origin["salt"])
    key = scrypt(passphrase.reveal(), salt, key_len=_KEY_OCTETS, N=1 << log2_n, r=SCRYPT_R, p=SCRYPT_P)
    assert isinstance(key, bytes)
    return Kek(key=Secret(key), origin=origin)


def kek_for_custodians(
    names: Sequence[str], *, threshold: int, random_octets: RandomOctets
) -> tuple[Kek, tuple[Share, ...]]:
    """Make a new KEK and the share of each custodian, in the order of *names*."""
    secret = Secret(random_octets(SECRET_OCTETS))
    shares = split(secret, threshold=threshold, custodians=len(names), random_octets=random_octets)
    origin = {
        "source": FROM_SHARES,
        "set": shares[0].set_id,
        "threshold": threshold,
        "custodians": [
            {"index": share.index, "name": name, "digest": share.digest()}
            for share, name in zip(shares, names, strict=True)
        ],
    }
    return Kek(key=_expand(secret, shares[0].set_id), origin=origin), shares


def _expand(secret: Secret[bytes], set_id: str) -> Secret[bytes]:
    derivation = HKDF(
        algorithm=hashes.SHA256(),
        length=_KEY_OCTETS,
        salt=bytes.fromhex(set_id),
        info=b"eudora key encryption key",
    )
    return Secret(derivation.derive(secret.reveal()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a sealed file says of itself; proved only when the file was opened.

    Attributes:
        origin: how the KEK is rebuilt.
        kcv: its check value.
    """

    origin: Mapping[str, Any]
    kcv: str

    def __post_init__(self) -> None:
        origin = self.origin
        if self.source == FROM_PASSPHRASE:
            is_whole = isinstance(origin["log2_n"], int) and len(bytes.fromhex(origin["salt"])) == _SALT_OCTETS
        elif self.source == FROM_TOKEN:
            is_whole = isinstance(origin["token"], str) and all(
                bytes.fromhex(origin[each]) for each in ("key_id", "iv", "wrapped")
            )
        else:
            is_whole = (
                self.source == FROM_SHARES
                and isinstance(origin["threshold"], int)
                and len(bytes.fromhex(origin["set"])) == SET_ID_OCTETS
                and all({"index", "name", "digest"} <= each.keys() for each in origin["custodians"])
            )
        if not is_whole or not self.kcv.isascii():
            raise ValueError("header")

    @property
    def source(self) -> str:
        """`FROM_PASSPHRASE`, `FROM_SHARES` or `FROM_TOKEN`."""
        return str(self.origin["source"])

    @property
    def threshold(self) -> int:
        """How many shares are needed."""
        return int(self.origin["threshold"])

    def custodian(self, share: Share) -> str:
        """Return whose *share* this is.

        Raises:
            ShareError: of another set (an old one, or another module's), or not the one that was handed out.
        """
        if share.set_id != self.origin["set"]:
            raise ShareError(f"this share is of set {share.set_id}, the store needs set {self.origin['set']}")
        for custodian in self.origin["custodians"]:
            if custodian["index"] == share.index and custodian["digest"] == share.digest():
                return str(custodian["name"])
        raise ShareError("this share is not one that was handed out for this store")

    def kek_from_shares(self, shares: Sequence[Share]) -> Kek:
        """Rebuild the KEK and prove it.

        Raises:
            ShareError: too few, twice the same, or not of this store.
            StoreError: the key has another check value.
        """
        for share in shares:
            self.custodian(share)
        return self.proved(Kek(key=_expand(combine(shares), self.origin["set"]), origin=self.origin))

    def kek_from_passphrase(self, passphrase: Secret[bytes]) -> Kek:
        """Rebuild the KEK and prove it; `StoreError` if the passphrase is wrong."""
        return self.proved(_stretch(self.origin, passphrase))

    def proved(self, kek: Kek) -> Kek:
        """Return *kek* if it has the check value that stands in the header; `StoreError` otherwise."""
        if not hmac.compare_digest(kek.kcv, self.kcv):
            what = "passphrase" if self.source == FROM_PASSPHRASE else "key to it"
            raise StoreError(f"the key store is damaged or the {what} is wrong (key check value)")
        return kek


def version_of(sealed: bytes) -> int:
    """Return the version of a key store; `StoreError` if it is none."""
    if not sealed.startswith(MAGIC) or len(sealed) < _START.size or len(sealed) > STORE_OCTETS_MAX:
        raise StoreError("this is not a key store")
    return sealed[len(MAGIC)]


def read_header(sealed: bytes) -> Header:
    """Read the public part of a version 2 store.

    Raises:
        StoreError: another version, or cut off.
    """
    return _split(sealed)[0]


def _split(sealed: bytes) -> tuple[Header, int]:
    version = version_of(sealed)
    if version != STORE_VERSION:
        raise StoreError(f"key store version {version}, this program reads 1 and {STORE_VERSION}")
    length = _START.unpack_from(sealed)[2]
    end = _START.size + length
    if len(sealed) < end + _WRAP_OCTETS + NONCE_OCTETS + TAG_OCTETS:
        raise StoreError("the key store is cut off")
    try:
        document = json.loads(sealed[_START.size : end])
        return Header(origin=document["origin"], kcv=document["kcv"]), end
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("the header of the key store is damaged") from error


def seal_document(document: bytes, kek: Kek, random_octets: RandomOctets) -> bytes:
    """Encrypt *document* under a data key of its own, and that under *kek*."""
    header = json.dumps({"origin": kek.origin, "kcv": kek.kcv}, sort_keys=True).encode("ascii")
    start = _START.pack(MAGIC, STORE_VERSION, len(header)) + header
    data_key = random_octets(_KEY_OCTETS)
    wrapped = start + _encrypt(kek.key.reveal(), data_key, start, random_octets)
    return wrapped + _encrypt(data_key, document, wrapped, random_octets)


def open_document(sealed: bytes, kek: Kek) -> bytes:
    """Decrypt what `seal_document` made.

    Raises:
        StoreError: another version, a changed bit, or another key.
    """
    _, end = _split(sealed)
    behind = end + _WRAP_OCTETS
    data_key = _decrypt(kek.key.reveal(), sealed[end:behind], sealed[:end])
    return _decrypt(data_key, sealed[behind:], sealed[:behind])


def _encrypt(key: bytes, plain: bytes, context: bytes, random_octets: RandomOctets) -> bytes:
    nonce = random_octets(NONCE_OCTETS)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_OCTETS)
    cipher.update(context)
    ciphertext, tag = cipher.encrypt_and_digest(plain)
    return nonce + bytes(ciphertext) + bytes(tag)


def _decrypt(key: bytes, sealed: bytes, context: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_GCM, nonce=sealed[:NONCE_OCTETS], mac_len=TAG_OCTETS)
    cipher.update(context)
    try:
        return bytes(cipher.decrypt_and_verify(sealed[NONCE_OCTETS:-TAG_OCTETS], sealed[-TAG_OCTETS:]))
    except ValueError as error:
        raise StoreError("the key store is damaged or the key to it is wrong") from error
