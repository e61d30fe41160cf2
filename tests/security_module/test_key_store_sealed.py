"""The sealed store opens with its passphrase, unchanged, and not otherwise."""

import json
import os
import shutil
import stat
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security_module import key_store
from security_module.ceremony import AlreadyInitialised, init
from security_module.custody import upgrade
from security_module.key_store import load, read_passphrase, seal, unseal, unseal_with_passphrase, write_private
from security_module.layout import Layout
from security_module.open_store import open_keys, passphrase_file
from security_module.registers import ModuleKeys, Sender, VendingRegister
from security_module.roles import Role
from security_module.sealed_store import StoreError, kek_from_passphrase
from vending.secret import Secret

PASSPHRASE = Secret(b"correct horse battery")
KEK = kek_from_passphrase(PASSPHRASE, os.urandom)


def test_what_was_sealed_comes_back(keys: ModuleKeys) -> None:
    """Every attribute of every register and client survives, also the optional ones."""
    changed = replace(
        keys.vending[1], expires_at=datetime(2030, 1, 1, tzinfo=UTC), units_limit_tenths=5, tid_window_minutes=None
    )
    sender = Sender(name="KMC", public_key="ab" * 32, last_serial=7)
    keys = replace(keys, vending={**keys.vending, 1: changed}, senders={sender.public_key: sender})
    sealed = seal(keys, KEK, os.urandom)
    assert unseal(sealed, KEK) == keys
    assert unseal_with_passphrase(sealed, PASSPHRASE) == keys


def test_every_attribute_of_a_register_is_sealed(keys: ModuleKeys) -> None:
    """An attribute that is added later must be sealed too, or a limit would be lost at the next ceremony."""
    register = keys.vending[1]
    for each in fields(VendingRegister):
        value = getattr(register, each.name)
        other: Any = None
        if each.name in ("issued_until", "expires_at"):
            other = datetime(2031, 1, 1, tzinfo=UTC)
        elif isinstance(value, bool):
            other = not value
        elif each.name.endswith(("_tenths", "_centavos", "_per_unit")):
            other = 12_345
        else:
            continue
        changed = replace(keys, vending={1: replace(register, **{each.name: other})})
        assert unseal(seal(changed, KEK, os.urandom), KEK) == changed, each.name


def test_a_wrong_passphrase_opens_nothing(keys: ModuleKeys) -> None:
    """Nothing is read, and the error does not tell damage from a wrong passphrase."""
    sealed = seal(keys, KEK, os.urandom)
    with pytest.raises(StoreError, match="damaged or the passphrase"):
        unseal_with_passphrase(sealed, Secret(b"correct horse batterz"))
    with pytest.raises(StoreError, match="damaged or the key"):
        unseal(sealed, replace(KEK, key=Secret(bytes(32))))


def test_two_seals_share_no_key(keys: ModuleKeys) -> None:
    """Each seal has a data key of its own: what is wrapped in one file opens nothing of another."""
    first, second = seal(keys, KEK, os.urandom), seal(keys, KEK, os.urandom)
    length = len(first)
    behind_header = 11 + int.from_bytes(first[9:11], "big")
    assert length == len(second)
    assert first[:behind_header] == second[:behind_header]
    wrapped = slice(behind_header, behind_header + 60)
    with pytest.raises(StoreError):
        unseal(first[:behind_header] + second[wrapped] + first[behind_header + 60 :], KEK)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.integers(0, 10_000))
def test_a_changed_octet_is_found(at: int, flip: int, cut: int) -> None:
    """Magic, version, header, wrapped key, ciphertext or tag: whatever is changed or cut off, the store is refused in words."""
    empty = ModuleKeys(module_id="eudora-0", vending={}, mac={}, clients={})
    sealed = seal(empty, KEK, os.urandom)
    damaged = bytearray(sealed)
    damaged[at % len(sealed)] ^= flip
    for broken in (bytes(damaged), sealed[: cut % len(sealed)]):
        with pytest.raises(StoreError):
            unseal(broken, KEK)


def test_a_forged_cost_is_not_paid(keys: ModuleKeys) -> None:
    """A header that asks for 2^40 rounds is refused before memory is taken."""
    sealed = seal(keys, replace(KEK, origin={**KEK.origin, "log2_n": 40}), os.urandom)
    with pytest.raises(StoreError, match="cost"):
        unseal_with_passphrase(sealed, PASSPHRASE)


def test_a_store_of_version_1_is_read_and_moved(tmp_path: Path) -> None:
    """What the first program wrote opens with its passphrase, moves to the new format once, and the old file is kept."""
    old = json.loads((Path(__file__).parent / "store_version_1.json").read_text())
    layout = Layout(tmp_path)
    write_private(layout.store, bytes.fromhex(old["store"]))
    write_private(layout.passphrase, old["passphrase"].encode())
    keys = open_keys(tmp_path, {})
    assert {str(each.register_id): each.kcv for each in keys.check_values()} == old["check_values"]
    assert keys.module_id == old["module"]
    with pytest.raises(StoreError):
        load(layout.store, Secret(b"not that passphrase"))
    moved = upgrade(layout, read_passphrase(layout.passphrase))
    assert open_keys(tmp_path, {}) == moved
    assert replace(moved, key_load_key=None, audit_key=None) == keys
    assert layout.store.with_name("keys.sealed.v1").read_bytes().hex() == old["store"]
    with pytest.raises(StoreError, match="present version already"):
        upgrade(layout, read_passphrase(layout.passphrase))


def test_the_sealed_file_shows_no_key(directory: Path, keys: ModuleKeys) -> None:
    """Neither raw nor in hexadecimal; and all private files are for their owner alone."""
    layout = Layout(directory)
    sealed = layout.store.read_bytes()
    secrets = [each.key for each in keys.vending.values()] + [each.key for each in keys.mac.values()]
    for key in [each.reveal() for each in secrets]:
        assert key not in sealed
        assert key.hex().encode() not in sealed
    for path in [layout.store, layout.passphrase, layout.server, *layout.client("switch").parent.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (layout.tls, layout.client("switch").parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert open_keys(directory, {}) == keys


def test_a_file_that_others_may_read_is_refused(directory: Path) -> None:
    """A passphrase or store with loose permissions stops the start."""
    layout = Layout(directory)
    passphrase = read_passphrase(layout.passphrase)
    for path, read in ((layout.passphrase, read_passphrase), (layout.store, lambda path: load(path, passphrase))):
        path.chmod(0o640)
        with pytest.raises(StoreError, match="others"):
            read(path)
    with pytest.raises(StoreError, match="No such file"):
        load(directory / "nothing", passphrase)


def test_a_credential_of_systemd_is_read_as_systemd_gives_it(directory: Path, tmp_path: Path) -> None:
    """Its access list for the service shows as a bit of the group; the same mode anywhere else, or more of it, is refused."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    given = credentials / "security-module-passphrase"
    shutil.move(Layout(directory).passphrase, given)
    given.chmod(0o440)
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert open_keys(directory, environment).vending
    with pytest.raises(StoreError, match="others"):
        open_keys(directory, {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": str(given)})
    given.chmod(0o444)
    with pytest.raises(StoreError, match="others"):
        open_keys(directory, environment)


def test_short_passphrases_are_refused(tmp_path: Path) -> None:
    """A passphrase that can be guessed is no passphrase."""
    write_private(tmp_path / "short", b"0123456789\n")
    with pytest.raises(StoreError, match="at least"):
        read_passphrase(tmp_path / "short")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "short", b"another")


def test_where_the_passphrase_comes_from(tmp_path: Path) -> None:
    """The named file, then the service manager's credential, then the one beside the store."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    beside = tmp_path / "passphrase"
    named = {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": "/run/p"}
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert passphrase_file(tmp_path, {}) == beside
    assert passphrase_file(tmp_path, environment) == beside
    (credentials / "security-module-passphrase").touch()
    assert passphrase_file(tmp_path, environment) == credentials / "security-module-passphrase"
    assert passphrase_file(tmp_path, {**environment, **named}) == Path("/run/p")


def test_init_never_overwrites(directory: Path) -> None:
    """A second ceremony in the same place changes nothing, even if only a part is left there."""
    layout = Layout(directory)
    before = layout.store.read_bytes()
    with pytest.raises(AlreadyInitialised):
        init(directory, seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert layout.store.read_bytes() == before
    layout.store.unlink()
    with pytest.raises(AlreadyInitialised):
        init(directory, seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))


def test_init_without_test_keys_holds_no_register(tmp_path: Path) -> None:
    """A production module starts empty; its certificates are there."""
    keys = init(tmp_path / "module", seed_test_keys=False, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert (dict(keys.vending), dict(keys.mac)) == ({}, {})
    assert sorted(client.name for client in keys.clients.values()) == sorted(role.value for role in Role)


def test_broken_registers_cannot_be_made(keys: ModuleKeys) -> None:
    """A key of the wrong length or parity, or one id for two registers, is refused when it is made."""
    des: VendingRegister = keys.vending[3]
    for key in (bytes(8), bytes(20)):
        with pytest.raises(ValueError, match="register 3"):
            replace(des, key=Secret(key))
    with pytest.raises(ValueError, match="register 10"):
        replace(keys.mac[10], key=Secret(b"short"))
    with pytest.raises(ValueError, match="either"):
        replace(keys, vending={10: replace(keys.vending[1], register_id=10)})


def test_one_certificate_under_two_roles_is_refused(keys: ModuleKeys) -> None:
    """A store that somebody wrote so is not opened: several roles never meet on one certificate."""
    document = key_store._to_document(keys)
    document["clients"].append({**document["clients"][0], "role": Role.ENGINEER.value})
    with pytest.raises(StoreError, match="two roles"):
        key_store._from_document(document)
