"""The sealed store: all keys in one file, encrypted under a passphrase that is kept elsewhere.

Layout: magic (8) | version (1) | log2 of scrypt's N (1) | r (1) | p (1) | salt (16) | nonce (12) | AES-256-GCM of a JSON document |
tag (16). Everything before the ciphertext is authenticated with it, so neither version nor cost can be exchanged.
"""

import json
import os
import stat
import struct
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt

from config.state_files import replace_durably
from security_module.registers import Client, MacRegister, ModuleKeys, VendingRegister
from security_module.roles import Role
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from vending.secret import Secret

STORE_VERSION = 1
STORE_OCTETS_MAX = 4 * 1024 * 1024
"""A thousand registers take less than one megabyte; anything larger is not ours."""
SCRYPT_LOG2_N = 15
"""About 0.1 s and 32 MB per guess."""
SCRYPT_LOG2_N_MAX = 20
"""A forged header must not make us take all the memory there is."""
PASSPHRASE_OCTETS_MIN = 12

_MAGIC = b"EUDORAKS"
_HEADER = struct.Struct(">8sBBBB16s12s")
_TAG_OCTETS = 16
_SCRYPT_R = 8
_SCRYPT_P = 1


class StoreError(Exception):
    """The store cannot be used: it is missing, readable by others, damaged, or the passphrase is wrong."""


def read_passphrase(path: Path) -> Secret[bytes]:
    """Read the passphrase from *path* (a systemd credential, or a file of mode 0600); a final line break is not part of it.

    Raises:
        StoreError: missing, readable by others, or too short.
    """
    passphrase = _read_private(path).rstrip(b"\r\n")
    if len(passphrase) < PASSPHRASE_OCTETS_MIN:
        raise StoreError(f"{path}: a passphrase has at least {PASSPHRASE_OCTETS_MIN} octets")
    return Secret(passphrase)


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise StoreError(f"{path} may be read or written by others; chmod 600 it")
            if status.st_size > STORE_OCTETS_MAX:
                raise StoreError(f"{path} is too large")
            return file.read()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 durably; it appears whole or not at all.

    Raises:
        FileExistsError: there is one already.
    """
    if path.exists():
        raise FileExistsError(path)
    replace_durably(path, content)


def seal(keys: ModuleKeys, passphrase: Secret[bytes], random_octets: Callable[[int], bytes]) -> bytes:
    """Encrypt *keys* under *passphrase*.

    Args:
        keys: what to keep.
        passphrase: from `read_passphrase`.
        random_octets: returns that many octets from a cryptographic source.
    """
    header = _HEADER.pack(
        _MAGIC, STORE_VERSION, SCRYPT_LOG2_N, _SCRYPT_R, _SCRYPT_P, random_octets(16), random_octets(12)
    )
    cipher = _cipher(header, passphrase)
    ciphertext, tag = cipher.encrypt_and_digest(json.dumps(_to_document(keys)).encode("utf-8"))
    return header + bytes(ciphertext) + bytes(tag)


def unseal(sealed: bytes, passphrase: Secret[bytes]) -> ModuleKeys:
    """Decrypt what `seal` made.

    Raises:
        StoreError: another format or version, a changed bit, or the wrong passphrase.
    """
    if len(sealed) < _HEADER.size + _TAG_OCTETS or not sealed.startswith(_MAGIC):
        raise StoreError("this is not a key store")
    header = sealed[: _HEADER.size]
    _, version, log2_n, r, p, _, _ = _HEADER.unpack(header)
    if version != STORE_VERSION:
        raise StoreError(f"key store version {version}, this program reads {STORE_VERSION}")
    if not 1 <= log2_n <= SCRYPT_LOG2_N_MAX or (r, p) != (_SCRYPT_R, _SCRYPT_P):
        raise StoreError("the cost in the header of the key store is not one that this program uses")
    cipher = _cipher(header, passphrase)
    try:
        plain = cipher.decrypt_and_verify(sealed[_HEADER.size : -_TAG_OCTETS], sealed[-_TAG_OCTETS:])
    except ValueError as error:
        raise StoreError("the key store is damaged or the passphrase is wrong") from error
    return _from_document(json.loads(plain))


def load(path: Path, passphrase: Secret[bytes]) -> ModuleKeys:
    """Read and decrypt the store at *path*; `StoreError` if it cannot be used."""
    return unseal(_read_private(path), passphrase)


def _cipher(header: bytes, passphrase: Secret[bytes]) -> Any:
    _, _, log2_n, r, p, salt, nonce = _HEADER.unpack(header)
    key = scrypt(passphrase.reveal(), salt, key_len=32, N=1 << log2_n, r=r, p=p)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_OCTETS)
    cipher.update(header)
    return cipher


def _to_document(keys: ModuleKeys) -> dict[str, Any]:
    return {
        "module_id": keys.module_id,
        "vending": [_vending_to_document(register) for register in keys.vending.values()],
        "mac": [
            {
                "register_id": register.register_id,
                "scheme": register.scheme,
                "is_diversified": register.is_diversified,
                "is_test": register.is_test,
                "key": register.key.reveal().hex(),
            }
            for register in keys.mac.values()
        ],
        "clients": [
            {"name": client.name, "role": client.role.value, "spki_sha256": client.spki_sha256}
            for client in keys.clients.values()
        ],
    }


def _vending_to_document(register: VendingRegister) -> dict[str, Any]:
    return {
        "register_id": register.register_id,
        "supply_group_code": register.supply_group_code,
        "key_revision_number": register.key_revision_number,
        "key_expiry_number": register.key_expiry_number,
        "base_date": int(register.base_date),
        "key_type": int(register.key_type),
        "key_algorithm": int(register.key_algorithm),
        "encryption_algorithms": sorted(int(each) for each in register.encryption_algorithms),
        "subclasses": sorted(register.subclasses),
        "active_from": register.active_from.isoformat(),
        "expires_at": register.expires_at.isoformat() if register.expires_at else None,
        "tid_window_minutes": register.tid_window_minutes,
        "units_per_token_max_tenths": register.units_per_token_max_tenths,
        "units_limit_tenths": register.units_limit_tenths,
        "is_inhibited": register.is_inhibited,
        "is_test": register.is_test,
        "key": register.key.reveal().hex(),
        "selection_secret": register.selection_secret.reveal().hex(),
    }


def _from_document(document: dict[str, Any]) -> ModuleKeys:
    vending = [_vending_from_document(each) for each in document["vending"]]
    mac = [MacRegister(**{**each, "key": Secret(bytes.fromhex(each["key"]))}) for each in document["mac"]]
    clients = [Client(**{**each, "role": Role(each["role"])}) for each in document["clients"]]
    return ModuleKeys(
        module_id=document["module_id"],
        vending={register.register_id: register for register in vending},
        mac={register.register_id: register for register in mac},
        clients={client.spki_sha256: client for client in clients},
    )


def _vending_from_document(document: dict[str, Any]) -> VendingRegister:
    expires_at = document["expires_at"]
    return VendingRegister(
        **{
            **document,
            "base_date": BaseDate(document["base_date"]),
            "key_type": KeyType(document["key_type"]),
            "key_algorithm": KeyAlgorithm(document["key_algorithm"]),
            "encryption_algorithms": frozenset(map(EncryptionAlgorithm, document["encryption_algorithms"])),
            "subclasses": frozenset(document["subclasses"]),
            "active_from": datetime.fromisoformat(document["active_from"]),
            "expires_at": datetime.fromisoformat(expires_at) if expires_at else None,
            "key": Secret(bytes.fromhex(document["key"])),
            "selection_secret": Secret(bytes.fromhex(document["selection_secret"])),
        }
    )
