"""What is in the sealed store, as a JSON document, and how it is read and written; `sealed_store` encrypts it.

Version 1, which is still read, had the document straight under the passphrase: magic (8) | version (1) | log2 of scrypt's N (1) | r (1) |
p (1) | salt (16) | nonce (12) | AES-256-GCM of the document | tag (16). Everything before the ciphertext is authenticated with it.
"""

import dataclasses
import hmac
import json
import os
import stat
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt

from config.state_files import replace_durably
from security_module.registers import (
    MANAGEMENT_SUBCLASSES,
    Approver,
    Client,
    MacRegister,
    ModuleKeys,
    Sender,
    VendingRegister,
)
from security_module.roles import Role
from security_module.sealed_store import (
    FROM_SHARES,
    FROM_TOKEN,
    SCRYPT_LOG2_N_MAX,
    SCRYPT_P,
    SCRYPT_R,
    STORE_OCTETS_MAX,
    TAG_OCTETS,
    Kek,
    RandomOctets,
    StoreError,
    open_document,
    read_header,
    seal_document,
    version_of,
)
from security_module.vendors import Till, read_vendor
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from vending.secret import Secret

PASSPHRASE_OCTETS_MIN = 12

_VERSION_1_HEADER = struct.Struct(">8sBBBB16s12s")


class NeedsCustodians(StoreError):
    """No passphrase opens this store; its custodians do."""


def read_passphrase(path: Path, *, is_credential: bool = False) -> Secret[bytes]:
    """Read the passphrase from *path*; a final line break is not part of it.

    Args:
        path: a file of mode 0600, or a credential of systemd.
        is_credential: the file was put there by systemd. It lets a service that is not root read it by an access list, which
            `stat` shows as a bit of the group (mode 0440); the directory lets nobody else in.

    Raises:
        StoreError: missing, readable by others, or too short.
    """
    passphrase = read_private(path, 0o037 if is_credential else 0o077).rstrip(b"\r\n")
    if len(passphrase) < PASSPHRASE_OCTETS_MIN:
        raise StoreError(f"{path}: a passphrase has at least {PASSPHRASE_OCTETS_MIN} octets")
    return Secret(passphrase)


def read_private(path: Path, forbidden: int = 0o077) -> bytes:
    """Read a file that nobody else may read; `StoreError` if it is missing, or has one of the mode bits in *forbidden*."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & forbidden:
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


def seal(keys: ModuleKeys, kek: Kek, random_octets: RandomOctets) -> bytes:
    """Encrypt *keys* under *kek*, with a fresh data key.

    Args:
        keys: what to keep.
        kek: of `sealed_store`.
        random_octets: returns that many octets from a cryptographic source.
    """
    return seal_document(json.dumps(_to_document(keys)).encode("utf-8"), kek, random_octets)


def unseal(sealed: bytes, kek: Kek) -> ModuleKeys:
    """Decrypt what `seal` made.

    Raises:
        StoreError: another format or version, a changed bit, or the wrong key.
    """
    return _from_document(json.loads(open_document(sealed, kek)))


def unseal_with_passphrase(sealed: bytes, passphrase: Secret[bytes]) -> ModuleKeys:
    """Decrypt a store of either version that a passphrase opens.

    Raises:
        StoreError: another format or version, a changed bit, the wrong passphrase, or a store that needs its custodians.
    """
    if version_of(sealed) == 1:
        return _unseal_version_1(sealed, passphrase)
    header = read_header(sealed)
    if header.source == FROM_SHARES:
        raise NeedsCustodians(f"the key store opens with {header.threshold} shares of its custodians")
    if header.source == FROM_TOKEN:
        raise StoreError("the key store opens with a PKCS#11 token, not with a passphrase")
    return unseal(sealed, header.kek_from_passphrase(passphrase))


def read_store(path: Path) -> bytes:
    """Read the sealed file; `StoreError` if it is missing, too large, or open to others."""
    return read_private(path)


def load(path: Path, passphrase: Secret[bytes]) -> ModuleKeys:
    """Read and decrypt the store at *path* with a passphrase; `StoreError` if it cannot be used."""
    return unseal_with_passphrase(read_private(path), passphrase)


def _unseal_version_1(sealed: bytes, passphrase: Secret[bytes]) -> ModuleKeys:
    if len(sealed) < _VERSION_1_HEADER.size + TAG_OCTETS:
        raise StoreError("this is not a key store")
    header = sealed[: _VERSION_1_HEADER.size]
    _, _, log2_n, r, p, salt, nonce = _VERSION_1_HEADER.unpack(header)
    if not 1 <= log2_n <= SCRYPT_LOG2_N_MAX or (r, p) != (SCRYPT_R, SCRYPT_P):
        raise StoreError("the cost in the header of the key store is not one that this program uses")
    key = scrypt(passphrase.reveal(), salt, key_len=32, N=1 << log2_n, r=r, p=p)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_OCTETS)
    cipher.update(header)
    try:
        plain = cipher.decrypt_and_verify(sealed[_VERSION_1_HEADER.size : -TAG_OCTETS], sealed[-TAG_OCTETS:])
    except ValueError as error:
        raise StoreError("the key store is damaged or the passphrase is wrong") from error
    return _from_document(json.loads(plain))


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
                "is_zone": register.is_zone,
                # Only where it is: a register from before is not to look changed.
                **({"is_dukpt": True} if register.is_dukpt else {}),
                "key": register.key.reveal().hex(),
            }
            for register in keys.mac.values()
        ],
        "clients": [_client_to_document(client) for client in keys.clients.values()],
        "key_load_key": keys.key_load_key.reveal().hex() if keys.key_load_key else None,
        "audit_key": keys.audit_key.reveal().hex() if keys.audit_key else None,
        "senders": [
            {"name": sender.name, "public_key": sender.public_key, "last_serial": sender.last_serial}
            for sender in keys.senders.values()
        ],
        "approvers": [{"name": each.name, "public_key": each.public_key} for each in keys.approvers.values()],
        "vendors": [each.document() for each in keys.vendors.values()],
        "till": dataclasses.asdict(keys.till) if keys.till is not None else None,
    }


def _client_to_document(client: Client) -> dict[str, Any]:
    document = {"name": client.name, "role": client.role.value, "spki_sha256": client.spki_sha256}
    if client.expires_at is not None:
        document |= {"expires_at": client.expires_at.isoformat(), "authority_pem": client.authority_pem}
    return document


def _vending_to_document(register: VendingRegister) -> dict[str, Any]:
    return {
        **_vending_rules(register),
        "key": register.key.reveal().hex(),
        "selection_secret": register.selection_secret.reveal().hex(),
    }


def _vending_rules(register: VendingRegister) -> dict[str, Any]:
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
        "issued_until": register.issued_until.isoformat() if register.issued_until else None,
        "tid_window_minutes": register.tid_window_minutes,
        "units_per_token_max_tenths": register.units_per_token_max_tenths,
        "units_limit_tenths": register.units_limit_tenths,
        "units_per_day_limit_tenths": register.units_per_day_limit_tenths,
        "money_limit_centavos": register.money_limit_centavos,
        "money_per_day_limit_centavos": register.money_per_day_limit_centavos,
        "floor_centavos_per_unit": register.floor_centavos_per_unit,
        "replaces": sorted(register.replaces),
        "management": sorted(register.management),
        "unapproved_per_day_max": register.unapproved_per_day_max,
        "key_changes_per_day_max": register.key_changes_per_day_max,
        "is_inhibited": register.is_inhibited,
        "is_test": register.is_test,
    }


def to_public_document(keys: ModuleKeys) -> list[dict[str, Any]]:
    """Return every register as it is sealed, in ascending order, with check values in the place of secrets."""
    vending = {
        register_id: {
            **_vending_rules(register),
            "key": register.kcv,
            "selection_secret": hmac.digest(register.selection_secret.reveal(), b"\x00", "sha256")[:3].hex(),
        }
        for register_id, register in keys.vending.items()
    }
    mac = {
        each["register_id"]: {**each, "key": keys.mac[each["register_id"]].kcv} for each in _to_document(keys)["mac"]
    }
    return [register for _, register in sorted({**vending, **mac}.items())]


def _from_document(document: dict[str, Any]) -> ModuleKeys:
    vending = [_vending_from_document(each) for each in document["vending"]]
    mac = [MacRegister(**{**each, "key": Secret(bytes.fromhex(each["key"]))}) for each in document["mac"]]
    clients = [
        Client(**{**each, "role": Role(each["role"]), "expires_at": _moment(each.get("expires_at"))})
        for each in document["clients"]
    ]
    key_load_key = document.get("key_load_key")  # Version 1 had neither this nor senders nor an audit key.
    audit_key = document.get("audit_key")
    pins = [client.spki_sha256 for client in clients]
    if len(set(pins)) != len(pins):
        raise StoreError("one certificate stands under two roles in the key store")
    return ModuleKeys(
        module_id=document["module_id"],
        vending={register.register_id: register for register in vending},
        mac={register.register_id: register for register in mac},
        clients={client.spki_sha256: client for client in clients},
        key_load_key=Secret(bytes.fromhex(key_load_key)) if key_load_key else None,
        audit_key=Secret(bytes.fromhex(audit_key)) if audit_key else None,
        senders={each["public_key"]: Sender(**each) for each in document.get("senders", ())},
        approvers={each["public_key"]: Approver(**each) for each in document.get("approvers", ())},
        vendors={each["terminal_id"]: read_vendor(each) for each in document.get("vendors", ())},
        till=Till(**document["till"]) if document.get("till") else None,
    )


def _vending_from_document(document: dict[str, Any]) -> VendingRegister:
    return VendingRegister(
        **{
            **document,
            "base_date": BaseDate(document["base_date"]),
            "key_type": KeyType(document["key_type"]),
            "key_algorithm": KeyAlgorithm(document["key_algorithm"]),
            "encryption_algorithms": frozenset(map(EncryptionAlgorithm, document["encryption_algorithms"])),
            "subclasses": frozenset(document["subclasses"]),
            "active_from": datetime.fromisoformat(document["active_from"]),
            "expires_at": _moment(document["expires_at"]),
            "issued_until": _moment(document.get("issued_until")),  # Younger than the first stores, as the next two.
            "replaces": frozenset(document.get("replaces", ())),
            "management": frozenset(document.get("management", MANAGEMENT_SUBCLASSES)),
            "key": Secret(bytes.fromhex(document["key"])),
            "selection_secret": Secret(bytes.fromhex(document["selection_secret"])),
        }
    )


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
