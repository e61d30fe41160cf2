"""Backup, a second module and its proof of equality, another passphrase, and one change at a time; by the commands that people type."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.security_module import security_module
from messages.security_module import MintRequest
from security_module.clients import issue
from security_module.custody import Opened, back_up, changing, open_with_passphrase, replace_store
from security_module.fingerprints import fingerprint, fingerprints
from security_module.key_store import read_passphrase, read_store, write_private
from security_module.layout import Layout
from security_module.minting import Mint
from security_module.open_store import open_keys
from security_module.registers import Approver, ModuleKeys, Sender
from security_module.roles import Role
from security_module.sealed_store import StoreError
from sts.tables import PRODUCTION, load_tables
from tests.security_module.conftest import NOW
from vending.money import Tenths
from vending.secret import Secret


@pytest.fixture(autouse=True)
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands forbid their process to be dumped; not that of the tests."""
    monkeypatch.setattr("cli.custody.harden", lambda: None)


def call(directory: Path, command: str, *arguments: object) -> Result:
    return CliRunner().invoke(security_module, [command, "--directory", str(directory), *map(str, arguments)])


def digits(keys: ModuleKeys) -> list[str]:
    """A token of every algorithm that register 1 serves."""
    mint = Mint(keys.vending, load_tables(PRODUCTION))
    found = []
    for algorithm in (7, 11):
        request = MintRequest(
            request_id=7,
            register_id=1,
            pan="600727000000000009",
            tariff_index=1,
            encryption_algorithm=algorithm,
            subclass=0,
            tokens=((5_000_000, Tenths(438)),),
        )
        found += [each.reveal() for each in mint.tokens(request)]
    return found


def with_people_and_a_client(directory: Path, keys: ModuleKeys) -> ModuleKeys:
    """Seal an approver, a sender and a second switch into the store, as people would have."""
    more, _, _ = issue(keys, "switch-2", Role.SWITCH, now=NOW, days=30, random_octets=bytes)
    sender = Sender(name="KMC", public_key="cd" * 32, last_serial=3)
    more = replace(
        more, approvers={"ab" * 32: Approver(name="Ana", public_key="ab" * 32)}, senders={sender.public_key: sender}
    )
    layout = Layout(directory)
    kek = open_with_passphrase(read_store(layout.store), read_passphrase(layout.passphrase)).kek
    replace_store(layout, Opened(keys=more, kek=kek))
    return more


def test_a_backup_becomes_a_second_module_that_is_proved_equal(
    directory: Path, keys: ModuleKeys, tmp_path: Path
) -> None:
    """Same fingerprint, same check values, same digits; its id, its certificates and its key pair are its own."""
    file, second = tmp_path / "backup.sealed", tmp_path / "second"
    keys = with_people_and_a_client(directory, keys)
    made = call(directory, "backup", file)
    assert made.exit_code == 0, made.output
    # The passphrase is not in the backup: it is brought along, as its custodians would be.
    environment = {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": str(Layout(directory).passphrase)}
    refused = CliRunner().invoke(
        security_module, ["restore", "--directory", str(second), "--expect", "00" * 32, str(file)], env=environment
    )
    assert (refused.exit_code, second.exists()) == (1, False)
    assert fingerprint(keys) in refused.output
    expected = [f"--expect={each.upper()}" for each in fingerprints(keys).values()]
    arguments = ["restore", "--directory", str(second), *expected, str(file)]
    done = CliRunner().invoke(security_module, arguments, env=environment)
    assert done.exit_code == 0, done.output
    assert fingerprint(keys) in done.output
    copy = open_keys(second, environment)
    assert copy.check_values() == keys.check_values()
    assert fingerprints(copy) == fingerprints(keys)
    assert (copy.approvers, copy.senders) == (keys.approvers, keys.senders)
    assert {(each.name, each.role) for each in copy.clients.values()} >= {("switch-2", Role.SWITCH)}
    (record,) = second.glob("protocol-*.txt")
    told = record.read_text()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert all(each in told for each in (copy.module_id, keys.module_id, digest, *fingerprints(copy).values()))
    assert digits(copy) == digits(keys)
    assert copy.module_id != keys.module_id
    assert not copy.clients.keys() & keys.clients.keys()
    assert copy.audit_key != keys.audit_key
    assert copy.key_load_key != keys.key_load_key
    again = CliRunner().invoke(security_module, arguments, env=environment)
    assert "holds a security module already" in again.output


def test_one_changed_attribute_shows_in_the_fingerprint(directory: Path, keys: ModuleKeys) -> None:
    """A limit, a key or a register less: the proof of equality fails."""
    register = keys.vending[1]
    for changed in (
        {**keys.vending, 1: replace(register, units_limit_tenths=5)},
        {**keys.vending, 1: replace(register, key=Secret(bytes(19) + b"\x01"))},
        {**keys.vending, 1: replace(register, selection_secret=Secret(bytes(32)))},
        {each: of for each, of in keys.vending.items() if each != 1},
    ):
        assert fingerprint(replace(keys, vending=changed)) != fingerprint(keys)
    assert call(directory, "fingerprint", "--expect", fingerprint(keys)).exit_code == 0
    assert call(directory, "fingerprint", "--expect", "ab" * 32).exit_code == 1


def test_a_backup_overwrites_nothing_and_is_a_whole_store(directory: Path, tmp_path: Path) -> None:
    """A file that is there stays; what is no store is not copied; others may not read the copy."""
    target = tmp_path / "backup.sealed"
    target.write_text("precious")
    assert "is there already" in call(directory, "backup", target).output
    assert target.read_text() == "precious"
    target.unlink()
    back_up(Layout(directory), target)
    assert target.stat().st_mode & 0o077 == 0
    assert target.read_bytes() == read_store(Layout(directory).store)
    broken = tmp_path / "broken"
    broken.mkdir()
    write_private(Layout(broken).store, b"nonsense")
    with pytest.raises(StoreError):
        back_up(Layout(broken), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_another_passphrase(directory: Path, keys: ModuleKeys, tmp_path: Path) -> None:
    """The new one opens the store and the old one an old copy only; the keys stay what they are."""
    old = read_passphrase(Layout(directory).passphrase)
    copy = read_store(Layout(directory).store)
    new = tmp_path / "new"
    write_private(new, b"an altogether other passphrase\n")
    assert call(directory, "rotate-kek", "--new-passphrase-file", new).exit_code == 2
    done = call(directory, "rotate-kek", "--unattended", "--new-passphrase-file", new, "--conducted-by", "Olga")
    assert done.exit_code == 0, done.output
    (record,) = directory.glob("protocol-*.txt")
    told = record.read_text()
    assert "Dirige                          Olga\n" in told
    assert all(each in told for each in (keys.module_id, "sin custodios", *fingerprints(keys).values()))
    assert opened_kcv(directory, new).upper() in told
    with pytest.raises(StoreError):
        open_with_passphrase(read_store(Layout(directory).store), old)
    assert open_with_passphrase(copy, old).keys == keys
    assert open_keys(directory, {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": str(new)}) == keys


def test_two_changes_of_one_second_have_two_records(
    directory: Path, keys: ModuleKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is not refused after the store was changed, and overwrites nothing."""
    monkeypatch.setattr("cli.custody.now", lambda: NOW)
    for person in ("Olga", "Luz"):
        done = call(directory, "rotate-kek", "--unattended", "--conducted-by", person)
        assert done.exit_code == 0, done.output
    told = {each.name: each.read_text() for each in directory.glob("protocol-*.txt")}
    assert sorted(told) == ["protocol-20260301T120000Z-2.txt", "protocol-20260301T120000Z.txt"]
    assert "Luz" in told["protocol-20260301T120000Z-2.txt"]
    assert open_keys(directory, {}) == keys


def opened_kcv(directory: Path, passphrase: Path) -> str:
    """The check value of the key that the store is sealed under now."""
    return open_with_passphrase(read_store(Layout(directory).store), read_passphrase(passphrase)).kek.kcv


def test_one_change_at_a_time(directory: Path) -> None:
    """While somebody changes the store, a second person is told so and changes nothing."""
    layout = Layout(directory)
    before = read_store(layout.store)
    with changing(layout):
        assert "somebody else is changing" in call(directory, "rotate-kek", "--unattended").output
    assert read_store(layout.store) == before


def test_a_change_that_is_cut_off_leaves_the_old_store(
    directory: Path, keys: ModuleKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails while the new store is written: the old one opens as before."""
    layout = Layout(directory)
    opened = open_with_passphrase(read_store(layout.store), read_passphrase(layout.passphrase))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("config.state_files.os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        replace_store(layout, Opened(keys=replace(opened.keys, vending={}), kek=opened.kek))
    monkeypatch.undo()
    assert open_keys(directory, {}) == keys


def test_an_abandoned_draft_is_no_module(directory: Path, keys: ModuleKeys, tmp_path: Path) -> None:
    """What a power cut left of an earlier attempt is thrown away, not mixed with the new module."""
    file, second = tmp_path / "backup.sealed", tmp_path / "second"
    back_up(Layout(directory), file)
    draft = tmp_path / "second.draft"
    draft.mkdir()
    (draft / "keys.sealed").write_bytes(b"half")
    environment = {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": str(Layout(directory).passphrase)}
    arguments = ["restore", "--directory", str(second), str(file)]
    assert CliRunner().invoke(security_module, arguments, env=environment).exit_code == 0
    assert not draft.exists()
    assert open_keys(second, environment).check_values() == keys.check_values()
