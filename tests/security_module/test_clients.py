"""Client certificates after the ceremony: one more, one revoked, over real TLS; and the proof of equality that names them."""

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.security_module import security_module
from messages.security_module import Command, Identify, IdentifyReply, ReadCounters, Refused, Status
from security_module.clients import (
    CLIENTS_MAX,
    CannotIssue,
    Revocation,
    add_revocation,
    find,
    issue,
    read_revocations,
    to_document,
    without,
)
from security_module.custody import Opened, open_with_passphrase, replace_store
from security_module.fingerprints import fingerprints
from security_module.key_store import read_passphrase, read_store
from security_module.layout import Layout
from security_module.mint_log import MintLog
from security_module.mint_store import open_readonly
from security_module.open_store import open_keys
from security_module.registers import Approver, ModuleKeys, Sender
from security_module.roles import Role
from security_module.sealed_store import StoreError
from tests.security_module.conftest import NOW, ModuleProcess
from tests.security_module.lease_bench import a_vendor, head_keys
from tests.security_module.people import Screen, lead
from tests.security_module.test_security_module_process import a_mint

Start = Callable[[Path], ModuleProcess]
TWO_CONFIRM = ("Olga", "Ana", "Beto", "s", "s", "SELLAR", "SELLAR")


@pytest.fixture(autouse=True)
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands forbid their process to be dumped; not that of the tests."""
    monkeypatch.setattr("cli.custody.harden", lambda: None)
    monkeypatch.setattr("cli.clients.harden", lambda: None)


def call(directory: Path, *arguments: object) -> Result:
    return CliRunner().invoke(security_module, ["clients", *map(str, arguments), "--directory", str(directory)])


def listed(directory: Path) -> dict[str, Any]:
    done = call(directory, "list")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def acts(directory: Path) -> list[dict[str, Any]]:
    """What the audit says beside mints, in order."""
    with closing(open_readonly(Layout(directory).mint_log)) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM record ORDER BY sequence")]
    return [{"act": each["act"], **each["details"]} for each in lines if each["kind"] == "act"]


def pin_of(keys: ModuleKeys, name: str) -> str:
    return next(pin for pin, client in keys.clients.items() if client.name == name)


def is_served(module: ModuleProcess, certificate: Path) -> bool:
    """Whether somebody with *certificate* gets an answer on a new link."""
    try:
        with ExitStack() as stack:
            return isinstance(module.connect(stack, certificate).ask(Identify()), IdentifyReply)
    except OSError:
        return False


def test_a_certificate_is_replaced_and_the_old_one_is_worth_nothing(
    directory: Path, keys: ModuleKeys, start_module: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The new one works beside the old; the old one's open link ends, no new one is let in, and no deleted file brings it back."""
    monkeypatch.setattr("cli.clients.hold", lambda dialogue: lead(dialogue, TWO_CONFIRM))
    layout, fresh = Layout(directory), tmp_path / "fresh.pem"
    old = pin_of(keys, "switch")
    done = call(directory, "issue", "switch", "switch", "--days", 30, "--output", fresh)
    assert done.exit_code == 0, done.output
    new = done.output.splitlines()[1]
    assert fresh.stat().st_mode & 0o077 == 0
    module = start_module(directory)
    with ExitStack() as stack:
        before = module.connect(stack, layout.client("switch"))
        after = module.connect(stack, fresh)
        minted = before.ask(a_mint(7))
        assert after.ask(a_mint(7)) == minted
        # The replaced certificate has one role, as every one.
        assert after.ask(ReadCounters()) == Refused(command=Command.COUNTERS, status=Status.PERMISSION)
        assert old in (two := call(directory, "revoke", "switch", "--reason", "robado").output)
        assert new in two
        done = call(directory, "revoke", old[:12], "--reason", "portátil robado", "--conducted-by", "Olga")
        assert (done.exit_code, "it is in the audit" in done.output) == (0, True), done.output
        with pytest.raises(OSError):  # noqa: PT011 - reset or end, as the race goes
            before.ask(Identify())
        assert after.ask(a_mint(7)) == minted
    assert not is_served(module, layout.client("switch"))
    assert is_served(module, fresh)
    assert module.end() == 0
    layout.revocations.unlink()
    module = start_module(directory)
    assert not is_served(module, layout.client("switch"))
    assert "certificate revoked" in module.log.read_text()
    assert is_served(module, fresh)
    assert {each["spki_sha256"] for each in listed(directory)["clients"] if each["is_revoked"]} == {old}
    (revoked,) = (each for each in acts(directory) if each["act"] == "client_revoked")
    assert (revoked["spki_sha256"], revoked["by"], revoked["reason"]) == (old, "Olga", "portátil robado")
    assert new in [each["spki_sha256"] for each in acts(directory) if each["act"] == "client_added"]


def test_what_was_revoked_while_the_module_stood_still_counts_from_its_start(
    directory: Path, keys: ModuleKeys, start_module: Start
) -> None:
    """Nobody gets in between the start and the first look at the file; and the next sealed store has the client no more."""
    start_module(directory).end()
    assert "when it starts" in call(directory, "revoke", "engineer", "--reason", "renuncia").output
    assert "not revoked yet" in call(directory, "revoke", "engineer", "--reason", "again").output
    module = start_module(directory)
    assert not is_served(module, Layout(directory).client("engineer"))
    assert [each["name"] for each in acts(directory) if each["act"] == "client_revoked"] == ["engineer"]
    rotated = CliRunner().invoke(security_module, ["rotate-kek", "--unattended", "--directory", str(directory)])
    assert rotated.exit_code == 0, rotated.output
    assert pin_of(keys, "engineer") not in open_keys(directory, {}).clients


def test_a_file_of_revocations_that_cannot_be_read_stops_the_start(directory: Path) -> None:
    """Going on without it might let in whom somebody wanted out."""
    Layout(directory).revocations.write_text('[{"spki_sha256": "00"}]')
    ended = CliRunner().invoke(
        security_module, ["run", "--directory", str(directory), "--listen", "127.0.0.1:0"], standalone_mode=True
    )
    assert ended.exit_code == 1
    assert "damaged" in ended.output


@pytest.mark.parametrize(
    ("name", "role", "why"),
    [
        ("", Role.SWITCH, "1 to 40"),
        ("../switch", Role.SWITCH, "1 to 40"),
        ("switch\n", Role.SWITCH, "1 to 40"),
        ("a" * 41, Role.SWITCH, "1 to 40"),
        ("switch", Role.AUDITOR, "another role"),
    ],
)
def test_what_cannot_be_issued(name: str, role: Role, why: str, keys: ModuleKeys) -> None:
    """A name becomes a file's, and one name never has two roles."""
    with pytest.raises(CannotIssue, match=why):
        issue(keys, name, role, now=NOW, days=1, random_octets=bytes)


def test_certificates_are_counted(keys: ModuleKeys) -> None:
    """Beyond the limit none is issued, until one is taken out."""
    pin, client = next(iter(keys.clients.items()))
    full = replace(keys, clients={f"{number:064x}": client for number in range(CLIENTS_MAX - 1)} | {pin: client})
    with pytest.raises(CannotIssue, match="already"):
        issue(full, "more", Role.SWITCH, now=NOW, days=1, random_octets=bytes)
    fewer = without(full, [pin])
    assert issue(fewer, "more", Role.SWITCH, now=NOW, days=1, random_octets=bytes)[1].name == "more"


def test_an_issued_client_is_sealed_and_read_back(directory: Path, keys: ModuleKeys) -> None:
    """Its end and its authority too, and a store without any looks as before."""
    more, client, _ = issue(keys, "switch-2", Role.SWITCH, now=NOW, days=3, random_octets=bytes)
    layout = Layout(directory)
    opened = open_with_passphrase(read_store(layout.store), read_passphrase(layout.passphrase))
    replace_store(layout, Opened(keys=more, kek=opened.kek))
    read = open_keys(directory, {}).clients[client.spki_sha256]
    assert (read, (read.expires_at or NOW) - NOW) == (client, timedelta(days=3))


def test_one_who_does_not_confirm_issues_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No certificate, no record, the same store; and a file that is there is not written over."""
    screen = Screen()
    lines = ("Olga", "Ana", "Beto", "s", "n")
    monkeypatch.setattr("cli.clients.hold", lambda dialogue: lead(dialogue, lines, screen))
    before = sorted((each, each.stat().st_mtime_ns) for each in directory.rglob("*.*"))
    done = call(directory, "issue", "switch-2", "switch", "--output", tmp_path / "new.pem")
    assert done.exit_code == 1
    assert "switch-2" in screen.pages[-1] + "".join(each.text for each in screen.questions)
    assert "is there already" in call(directory, "issue", "switch", "switch").output
    after = sorted((each, each.stat().st_mtime_ns) for each in directory.rglob("*.*") if each.name != "change.lock")
    assert (after, (tmp_path / "new.pem").exists()) == (before, False)


def test_revocations_are_added_once_and_found_by_name_or_pin(tmp_path: Path, keys: ModuleKeys) -> None:
    """One line for each pin, whoever asks again; a name, eight digits or a whole pin say whom."""
    path = tmp_path / "revoked.json"
    assert read_revocations(path) == []
    clients = to_document(keys)
    asked = [
        Revocation(**each, by="Olga", reason="x", asked_at="2026-11-28T00:00:00+00:00")
        for each in (clients[0], clients[1], clients[0])
    ]
    for each in asked:
        add_revocation(path, each)
    assert read_revocations(path) == asked[:2]
    assert find(clients, "auditor") == find(clients, pin_of(keys, "auditor")[:8].upper())
    assert find(clients, pin_of(keys, "auditor")[:7]) == []
    assert [each["spki_sha256"] for each in find(clients, "ab" * 32)] == ["ab" * 32]
    path.write_text("[{}]")
    with pytest.raises(StoreError):
        read_revocations(path)


def test_a_revocation_is_recorded_once_and_for_ever(tmp_path: Path, keys: ModuleKeys) -> None:
    """The log keeps the pin; asked again it writes no line more."""
    revoked = {"spki_sha256": "ab" * 32, "name": "switch", "by": "Olga"}
    with closing(MintLog(tmp_path / "mint.sqlite3", keys.vending, lambda: NOW)) as log:
        log.revoke([revoked, revoked])
        end = log.end
        log.revoke([revoked])
        assert log.end == end
    with closing(MintLog(tmp_path / "mint.sqlite3", keys.vending, lambda: NOW)) as log:
        assert log.revoked == {"ab" * 32}


def test_each_fingerprint_tells_one_kind_of_difference(keys: ModuleKeys) -> None:
    """An approver, a sender, its last file, or a client more or less: the proof of equality fails, and says of what."""
    same = fingerprints(keys)
    approver = Approver(name="Ana", public_key="ab" * 32)
    sender = Sender(name="KMC", public_key="cd" * 32, last_serial=3)
    issued, client, _ = issue(keys, "switch-2", Role.SWITCH, now=NOW, days=1, random_octets=bytes)
    with_people = replace(keys, approvers={approver.public_key: approver}, senders={sender.public_key: sender})
    for changed, base, differs in (
        (replace(keys, approvers={approver.public_key: approver}), keys, "people"),
        (replace(keys, senders={sender.public_key: sender}), keys, "people"),
        (
            replace(with_people, senders={sender.public_key: replace(sender, last_serial=4)}),
            with_people,
            "people",
        ),
        (replace(with_people, approvers={approver.public_key: replace(approver, name="Eva")}), with_people, "people"),
        (issued, keys, "clients"),
        (without(keys, [pin_of(keys, "engineer")]), keys, "clients"),
        (replace(keys, vending={}), keys, "registers"),
        (head_keys(keys, a_vendor()), keys, "tills"),
        (head_keys(keys, a_vendor(lease_hours=1)), head_keys(keys, a_vendor()), "tills"),
    ):
        found, before = fingerprints(changed), fingerprints(base)
        assert [what for what in found if found[what] != before[what]] == [differs]
    assert len({*same.values()}) == 4
    # A certificate of the same name and role more is no other client.
    twin = replace(client, name="switch", spki_sha256="ab" * 32)
    assert fingerprints(replace(keys, clients={**keys.clients, twin.spki_sha256: twin})) == same
