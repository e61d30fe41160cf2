"""Key load files: keys from a key management centre, encrypted to one module, signed by a sender whom people pinned.

Layout, numbers big-endian: magic (8) | version (1) | sender's Ed25519 public key (32) | SHA-256 of the module's X25519 public key (32) | ephemeral
X25519 public key (32) | nonce (12) | length (4) | AES-256-GCM of a JSON document and its tag | Ed25519 signature (64) over all before it.
`docs/wire/key-load.md` is the document for those who write such files.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from messages.security_module import MacScheme
from security_module.custody import CannotReplace, add_mac, add_vending
from security_module.dialogue import Refused
from security_module.key_entry import (
    MAC_FIELDS,
    VENDING_FIELDS,
    is_weak,
    make_mac_register,
    make_vending_register,
    read_day,
    values_as_read,
)
from security_module.registers import MacRegister, ModuleKeys, Sender, VendingRegister, mac_key_octets
from security_module.sealed_store import RandomOctets
from sts.codes import KeyAlgorithm
from vending.secret import Secret

MAGIC = b"EUDORAKL"
VERSION = 1
KEY_LOAD_OCTETS_MAX = 1024 * 1024
"""A thousand keys take less than half of it."""
_SIGNATURE_OCTETS = 64
_HEADER = struct.Struct(">8sB32s32s32s12sL")


class KeyLoadError(Exception):
    """The file is not taken: damaged, for another module, of an unknown sender, an old one, or its keys contradict themselves."""


def module_public_key(keys: ModuleKeys) -> bytes:
    """Return the X25519 public key, 32 octets, that files for this module are encrypted to; `KeyLoadError` if it has none."""
    if keys.key_load_key is None:
        raise KeyLoadError("this store has no key for key load files: move it with `eudora security-module upgrade`")
    return X25519PrivateKey.from_private_bytes(keys.key_load_key.reveal()).public_key().public_bytes_raw()


def seal_key_load(
    document: Mapping[str, Any],
    *,
    sender: Secret[bytes],
    recipient: bytes,
    ephemeral: Secret[bytes],
    nonce: bytes,
) -> bytes:
    """Write a file: what the sender's side does.

    Args:
        document: ``serial``, ``vending`` and ``mac`` as the wire document says.
        sender: its Ed25519 private key, 32 octets.
        recipient: the module's X25519 public key.
        ephemeral: an X25519 private key, 32 random octets, used for this file only.
        nonce: 12 random octets.
    """
    signer = Ed25519PrivateKey.from_private_bytes(sender.reveal())
    one_time = X25519PrivateKey.from_private_bytes(ephemeral.reveal())
    shared = one_time.exchange(X25519PublicKey.from_public_bytes(recipient))
    plain = json.dumps(document, sort_keys=True).encode("ascii")
    ephemeral_public = one_time.public_key().public_bytes_raw()
    to = hashlib.sha256(recipient).digest()
    length = len(plain) + 16
    header = _HEADER.pack(MAGIC, VERSION, signer.public_key().public_bytes_raw(), to, ephemeral_public, nonce, length)
    content = header + AESGCM(_derive(shared, ephemeral_public, recipient)).encrypt(nonce, plain, header)
    return content + signer.sign(content)


def open_key_load(
    file: bytes, keys: ModuleKeys, *, now: datetime, random_octets: RandomOctets
) -> tuple[ModuleKeys, Sender]:
    """Verify and decrypt a file, and put its keys beside those of the module.

    Args:
        file: its octets.
        keys: of this module; they say who may send, and which files of his were taken.
        now: aware; the new keys are active from here.
        random_octets: a cryptographic source, for the selection secrets.

    Returns:
        The keys with those of the file, and the sender with the serial number of the file.

    Raises:
        KeyLoadError: as its docstring says; nothing of the file is used.
    """
    if len(file) > KEY_LOAD_OCTETS_MAX or len(file) < _HEADER.size + _SIGNATURE_OCTETS:
        raise KeyLoadError("this is not a key load file")
    magic, version, sender_key, to, ephemeral, nonce, length = _HEADER.unpack_from(file)
    if magic != MAGIC or version != VERSION or len(file) != _HEADER.size + length + _SIGNATURE_OCTETS:
        raise KeyLoadError("this is not a key load file of version 1")
    sender = keys.senders.get(sender_key.hex())
    if sender is None:
        raise KeyLoadError("the sender is not pinned in this module")
    content, signature = file[:-_SIGNATURE_OCTETS], file[-_SIGNATURE_OCTETS:]
    try:
        Ed25519PublicKey.from_public_bytes(sender_key).verify(signature, content)
    except InvalidSignature as error:
        raise KeyLoadError("the signature is wrong: the file was changed") from error
    recipient = module_public_key(keys)
    if hashlib.sha256(recipient).digest() != to or keys.key_load_key is None:
        raise KeyLoadError("the file is for another module")
    private = X25519PrivateKey.from_private_bytes(keys.key_load_key.reveal())
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        header = file[: _HEADER.size]
        plain = AESGCM(_derive(shared, ephemeral, recipient)).decrypt(nonce, content[_HEADER.size :], header)
        document = json.loads(plain)
    except (InvalidTag, ValueError):
        # Not chained: the error of a JSON reader holds what was decrypted.
        raise KeyLoadError("the file cannot be decrypted") from None
    return _take(document, keys, sender, now, random_octets)


def _derive(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=ephemeral + recipient, info=b"eudora key load 1")
    return derivation.derive(shared)


def _take(
    document: Any, keys: ModuleKeys, sender: Sender, now: datetime, random_octets: RandomOctets
) -> tuple[ModuleKeys, Sender]:
    try:
        serial = int(document["serial"])
        if serial <= sender.last_serial:
            raise KeyLoadError(f"file {serial} of {sender.name} is not newer than the last one, {sender.last_serial}")
        for each in document["vending"]:
            keys = _take_vending(each, keys, now, random_octets)
        for each in document["mac"]:
            keys = _take_mac(each, keys)
    except Refused as error:
        raise KeyLoadError(f"a value in the file is out of range ({error})") from error
    except CannotReplace as error:
        raise KeyLoadError(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Not the text of the error: it may hold a piece of what was decrypted.
        raise KeyLoadError(f"the content of the file is not as documented ({type(error).__name__})") from None
    taken = replace(sender, last_serial=serial)
    return replace(keys, senders={**keys.senders, sender.public_key: taken}), taken


def _take_vending(each: Mapping[str, str], keys: ModuleKeys, now: datetime, random_octets: RandomOctets) -> ModuleKeys:
    values = values_as_read(VENDING_FIELDS, each)
    replaces = values.pop("replaces")
    register = make_vending_register(values, Secret(bytes.fromhex(each["key"])), now, random_octets)
    _check(register, each["kcv"], is_des=register.key_algorithm is KeyAlgorithm.DKGA02)
    until = read_day(each["old_issued_until"]) if replaces is not None else None
    return add_vending(keys, register, replaces, until)


def _take_mac(each: Mapping[str, str], keys: ModuleKeys) -> ModuleKeys:
    register = make_mac_register(values_as_read(MAC_FIELDS, each), Secret(bytes.fromhex(each["key"])))
    _check(register, each["kcv"], is_des=register.scheme != MacScheme.AES_CMAC)
    return add_mac(keys, register)


def _check(register: VendingRegister | MacRegister, kcv: str, *, is_des: bool) -> None:
    if register.kcv != kcv.lower():
        raise KeyLoadError(f"register {register.register_id}: its key does not have the check value {kcv}")
    entered = register.key.reveal()
    if isinstance(register, MacRegister):
        entered = entered[: mac_key_octets(register.scheme, is_diversified=register.is_diversified)]
    if is_weak(entered, is_des=is_des):
        raise KeyLoadError(f"register {register.register_id}: the key is empty or weak")
