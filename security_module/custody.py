"""Changing a module that exists: its store is sealed anew, whole, under a key that people or a passphrase hold."""

import fcntl
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from config.state_files import replace_durably
from security_module.audit_chain import AUDIT_KEY_OCTETS
from security_module.ceremony import KEY_LOAD_KEY_OCTETS
from security_module.key_store import (
    read_store,
    seal,
    unseal,
    unseal_with_passphrase,
    write_private,
)
from security_module.layout import Layout
from security_module.registers import MacRegister, ModuleKeys, VendingRegister
from security_module.sealed_store import Kek, RandomOctets, StoreError, kek_from_passphrase, read_header, version_of
from vending.secret import Secret


class ChangeUnderWay(Exception):
    """Somebody else is changing the store of this module."""


class CannotReplace(Exception):
    """A register cannot be added: its number is taken, or it does not follow the one that it replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A store that was opened, and the key it is sealed under."""

    keys: ModuleKeys
    kek: Kek


@contextmanager
def changing(layout: Layout) -> Iterator[None]:
    """Be the only one who changes the store; `ChangeUnderWay` otherwise. The process that runs is not disturbed."""
    with layout.change_lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ChangeUnderWay(layout.directory) from error
        yield


def open_with_passphrase(sealed: bytes, passphrase: Secret[bytes]) -> Opened:
    """Open a store of version 2 that a passphrase opens; `StoreError` if it cannot be."""
    if version_of(sealed) == 1:
        raise StoreError("a key store of version 1: move it with `eudora security-module upgrade` first")
    kek = read_header(sealed).kek_from_passphrase(passphrase)
    return Opened(keys=unseal(sealed, kek), kek=kek)


def write_record(layout: Layout, at: datetime, protocol: str) -> Path:
    """Write the printed record of what was done to the store at *at* and return where; two changes of one second have two records."""
    path, number = layout.protocol(at), 1
    while path.exists():
        number += 1
        path = layout.protocol(at).with_stem(f"{layout.protocol(at).stem}-{number}")
    write_private(path, protocol.encode("utf-8"))
    return path


def replace_store(layout: Layout, opened: Opened, random_octets: RandomOctets = secrets.token_bytes) -> None:
    """Seal *opened* under a fresh data key and put it in the place of the store, after it was seen to open again.

    A module that runs goes on with what it read when it started; the new store counts from its next start.
    """
    sealed = seal(opened.keys, opened.kek, random_octets)
    if unseal(sealed, opened.kek) != opened.keys:
        raise StoreError("what was sealed does not open to what it was made of; nothing was written")
    replace_durably(layout.store, sealed)


def upgrade(layout: Layout, passphrase: Secret[bytes], random_octets: RandomOctets = secrets.token_bytes) -> ModuleKeys:
    """Move a store of version 1 to the present format, under the same passphrase; the old file is kept as ``keys.sealed.v1``.

    Raises:
        StoreError: it cannot be opened, or is not of version 1.
    """
    sealed = read_store(layout.store)
    if version_of(sealed) != 1:
        raise StoreError("the key store is of the present version already")
    old = unseal_with_passphrase(sealed, passphrase)
    load_key, audit_key = Secret(random_octets(KEY_LOAD_KEY_OCTETS)), Secret(random_octets(AUDIT_KEY_OCTETS))
    keys = replace(old, key_load_key=load_key, audit_key=audit_key)
    replace_durably(layout.store.with_name(layout.store.name + ".v1"), sealed)
    replace_store(layout, Opened(keys=keys, kek=kek_from_passphrase(passphrase, random_octets)), random_octets)
    return keys


def add_vending(
    keys: ModuleKeys, register: VendingRegister, replaces: int | None, until: datetime | None
) -> ModuleKeys:
    """Add a vending register; the one that it replaces mints until *until* and stays, so that meters can be moved away from it.

    Args:
        keys: as they are.
        register: the new one.
        replaces: number of the old register of the same supply group; its key revision is one lower. None: none.
        until: aware; the ``issued_until`` of the old register, unless that is earlier. None: stays as it is.

    Raises:
        CannotReplace: the number is taken, or the two do not follow each other.
    """
    if register.register_id in keys.vending or register.register_id in keys.mac:
        raise CannotReplace(f"register {register.register_id} is taken")
    vending = dict(keys.vending)
    if replaces is not None:
        old = vending.get(replaces)
        if old is None or old.supply_group_code != register.supply_group_code:
            raise CannotReplace(f"register {replaces} is not of supply group {register.supply_group_code:06d}")
        if register.key_revision_number != old.key_revision_number % 9 + 1:
            raise CannotReplace(
                f"key revision {register.key_revision_number} does not follow {old.key_revision_number}"
            )
        ends = [each for each in (old.issued_until, until) if each is not None]
        vending[replaces] = replace(old, issued_until=min(ends, default=None))
        # A meter that nobody bought for since the revision before comes along too.
        register = replace(register, replaces=register.replaces | old.replaces | {replaces})
    vending[register.register_id] = register
    return replace(keys, vending=vending)


def add_mac(keys: ModuleKeys, register: MacRegister) -> ModuleKeys:
    """Add a MAC register; `CannotReplace` if its number is taken."""
    if register.register_id in keys.vending or register.register_id in keys.mac:
        raise CannotReplace(f"register {register.register_id} is taken")
    return replace(keys, mac={**keys.mac, register.register_id: register})


def back_up(layout: Layout, target: Path) -> str:
    """Copy the sealed store to the new file *target*; it opens with the shares or the passphrase only.

    Returns:
        The SHA-256 of the file, hexadecimal.

    Raises:
        StoreError: the store is damaged, or of version 1.
        FileExistsError: *target* is there already.
    """
    sealed = read_store(layout.store)
    read_header(sealed)
    write_private(target, sealed)
    return hashlib.sha256(sealed).hexdigest()
