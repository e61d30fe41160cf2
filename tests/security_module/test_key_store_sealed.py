"""The sealed store opens with its passphrase, unchanged, and not otherwise."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from security_module.ceremony import AlreadyInitialised, init
from security_module.key_store import StoreError, load, read_passphrase, seal, unseal, write_private
from security_module.layout import Layout
from security_module.main import open_keys, passphrase_file
from security_module.registers import ModuleKeys, VendingRegister
from vending.secret import Secret

PASSPHRASE = Secret(b"correct horse battery")


def test_what_was_sealed_comes_back(keys: ModuleKeys) -> None:
    """Every attribute of every register and client survives, also the optional ones."""
    changed = replace(
        keys.vending[1], expires_at=datetime(2030, 1, 1, tzinfo=UTC), units_limit_tenths=5, tid_window_minutes=None
    )
    keys = replace(keys, vending={**keys.vending, 1: changed})
    assert unseal(seal(keys, PASSPHRASE, os.urandom), PASSPHRASE) == keys


def test_a_wrong_passphrase_opens_nothing(keys: ModuleKeys) -> None:
    """Nothing is read, and the error does not tell damage from a wrong passphrase."""
    sealed = seal(keys, PASSPHRASE, os.urandom)
    with pytest.raises(StoreError, match="damaged or the passphrase"):
        unseal(sealed, Secret(b"correct horse batterz"))


def test_a_flipped_bit_is_found(keys: ModuleKeys) -> None:
    """Magic, version, cost, salt, nonce, ciphertext or tag: one bit is enough to be refused."""
    sealed = seal(keys, PASSPHRASE, os.urandom)
    for position in [0, 8, 9, 10, 11, 12, 30, 45, len(sealed) // 2, len(sealed) - 1]:
        damaged = bytearray(sealed)
        damaged[position] ^= 0x01
        with pytest.raises(StoreError):
            unseal(bytes(damaged), PASSPHRASE)
    with pytest.raises(StoreError):
        unseal(sealed[:50], PASSPHRASE)


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
    assert sorted(client.name for client in keys.clients.values()) == ["auditor", "manufacturer", "operator", "switch"]


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
