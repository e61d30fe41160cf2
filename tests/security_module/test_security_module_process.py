"""Real processes over real TLS: who gets in, what survives a kill, how it stops."""

import json
import shutil
import signal
import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.security_module import security_module
from messages.security_module import (
    AcceptClock,
    ClockAccepted,
    Command,
    CountersReply,
    DecoderKey,
    FindMints,
    FindMintsReply,
    Identify,
    IdentifyReply,
    ListMints,
    ListMintsReply,
    MintRecord,
    MintReply,
    MintRequest,
    ReadCounters,
    Refused,
    Reply,
    Status,
    encode_request,
)
from security_module.audit_chain import AuditKey
from security_module.audit_file import Verified, audit, export
from security_module.ceremony import init
from security_module.layout import Layout
from security_module.mint_log import MintLog
from security_module.registers import ModuleKeys
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.security_module.conftest import ModuleProcess, SyncClient
from vending.calendar import local_date
from vending.money import Tenths

Start = Callable[[Path], ModuleProcess]


def a_mint(request_id: int) -> MintRequest:
    tid = tid_at(datetime.now(UTC), BaseDate.Y2014)  # noqa: TID251 - the process runs on the real clock
    return MintRequest(
        request_id=request_id,
        register_id=1,
        pan="600727000000000009",
        tariff_index=1,
        encryption_algorithm=11,
        subclass=0,
        tokens=((tid, Tenths(438)),),
    )


def counts(link: SyncClient) -> tuple[int, int, int]:
    reply = link.ask(ReadCounters())
    assert isinstance(reply, CountersReply)
    return reply.counts[0].requests, reply.counts[0].tokens, reply.counts[0].units_tenths


def test_a_module_is_killed_copied_and_asked_again(directory: Path, start_module: Start, tmp_path: Path) -> None:
    """After kill -9 the same ids give the same digits and count no more; a copy with the same keys gives them too."""
    requests = [a_mint(each) for each in range(1, 41)]
    pristine = tmp_path / "copy"
    shutil.copytree(directory, pristine)
    first = start_module(directory)
    with ExitStack() as stack:
        link = first.connect(stack, Layout(directory).client("switch"))
        link.connection.sendall(b"".join(encode_request(request.request_id, request) for request in requests))
        minted = dict(link.read(len(requests)))
        first.end(signal.SIGKILL)
    assert all(isinstance(reply, MintReply) for reply in minted.values())
    second, copy = start_module(directory), start_module(pristine)
    with ExitStack() as stack:
        for module in (second, copy):
            link = module.connect(stack, Layout(module.directory).client("switch"))
            again: dict[int, Reply] = {request.request_id: link.ask(request) for request in requests}
            assert again == minted
            auditor = module.connect(stack, Layout(module.directory).client("auditor"))
            assert counts(auditor) == (40, 40, 40 * 438)
        changed = link.ask(replace(requests[0], tariff_index=2))
        assert changed == Refused(command=Command.MINT, status=Status.REQUEST_CONFLICT)
    assert second.end() == 0
    assert audit(Layout(directory).mint_log)[0].tokens == 40
    log = second.log.read_text() + first.log.read_text()
    digits = [token.reveal() for reply in minted.values() if isinstance(reply, MintReply) for token in reply.tokens]
    assert not any(each in log for each in digits)
    assert json.loads(second.log.read_text().splitlines()[0])["event"] == "module.listening"
    assert json.loads(second.log.read_text().splitlines()[-1])["event"] == "module.stopped"


def test_only_pinned_certificates_get_in(directory: Path, start_module: Start, tmp_path: Path) -> None:
    """No certificate, one of another authority, TLS 1.2 and plain TCP end only their own link; roles come from certificates."""
    foreign = tmp_path / "foreign"
    init(foreign, seed_test_keys=False, now=datetime(2026, 1, 1, tzinfo=UTC))
    module = start_module(directory)
    layout = Layout(directory)
    with ExitStack() as stack:
        steady = module.connect(stack, layout.client("switch"))
        for certificate in (None, Layout(foreign).client("switch")):
            with pytest.raises(OSError), ExitStack() as inner:  # noqa: PT011 - TLS alert or reset, as the race goes
                module.connect(inner, certificate).ask(Identify())
        old = module.context(layout.client("switch"))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", module.port), timeout=10) as plain, pytest.raises(OSError):  # noqa: PT011
            old.wrap_socket(plain, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", module.port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while plain.recv(4096):
                pass
        with ExitStack() as inner:
            garbage = module.connect(inner, layout.client("operator"))
            garbage.connection.sendall(b"\xff" * 64)
            with pytest.raises(OSError):  # noqa: PT011
                garbage.read(1)
        identity = steady.ask(Identify())
        assert isinstance(identity, IdentifyReply)
        assert identity.role == "switch"
        asked = DecoderKey(register_id=1, pan="600727000000000009", tariff_index=1, encryption_algorithm=7)
        assert steady.ask(asked) == Refused(command=Command.DECODER_KEY, status=Status.PERMISSION)
    assert module.end() == 0


def test_a_certificate_of_the_authority_that_was_not_pinned_is_nobody(
    directory: Path, start_module: Start, tmp_path: Path
) -> None:
    """A signature alone is not enough: the key must be one that the sealed store names."""
    other = tmp_path / "other"
    init(other, seed_test_keys=False, now=datetime(2026, 1, 1, tzinfo=UTC))
    module_layout, other_layout = Layout(directory), Layout(other)
    # The other module's authority becomes trusted by this one's listener, its clients still are not in the store.
    for name in ("authority", "server"):
        getattr(module_layout, name).write_bytes(getattr(other_layout, name).read_bytes())
    module = start_module(directory)
    with pytest.raises(OSError), ExitStack() as stack:  # noqa: PT011
        module.connect(stack, other_layout.client("switch")).ask(Identify())
    assert "certificate not pinned" in module.log.read_text()


def test_one_directory_one_process(directory: Path, start_module: Start) -> None:
    """A second process in the same directory does not start."""
    start_module(directory)
    with pytest.raises(AssertionError, match="another process runs"):
        start_module(directory)


def exported(directory: Path) -> Verified:
    """Export the audit and verify it with the key file that the module wrote, both by the commands."""
    file = directory / f"audit-{len(list(directory.glob('audit-*.jsonl')))}.jsonl"
    runner = CliRunner()
    arguments = ["audit", "export", "--directory", str(directory), "--output", str(file)]
    result = runner.invoke(security_module, arguments)
    assert result.exit_code == 0, result.output
    key = str(Layout(directory).audit_public_key)
    result = runner.invoke(security_module, ["audit", "verify", str(file), "--public-key", key])
    assert result.exit_code == 0, result.output
    (proved,) = json.loads(result.output)
    return Verified(**proved)


def test_after_kill_in_mid_batch_the_chain_verifies_and_names_what_may_have_left(
    directory: Path, start_module: Start
) -> None:
    """Every token that was seen is in the signed chain after the restart, and what is there counts as it was recorded."""
    first = start_module(directory)
    with ExitStack() as stack:
        link = first.connect(stack, Layout(directory).client("switch"))
        asked = [a_mint(each) for each in range(1, 3001)]
        link.connection.sendall(b"".join(encode_request(request.request_id, request) for request in asked[:1000]))
        seen = [correlation_id for correlation_id, _ in link.read(300)]
        link.connection.sendall(b"".join(encode_request(request.request_id, request) for request in asked[1000:]))
        first.end(signal.SIGKILL)
    second = start_module(directory)
    with ExitStack() as stack:
        auditor = second.connect(stack, Layout(directory).client("auditor"))
        found = auditor.ask(FindMints(request_ids=tuple(range(1, 3001))))
        assert isinstance(found, FindMintsReply)
        recorded = {request_id for request_id, status in found.found if status is Status.OK}
        assert set(seen) <= recorded
        assert counts(auditor)[0] == len(recorded)
        listed: list[MintRecord] = []
        while True:
            page = auditor.ask(
                ListMints(day=local_date(datetime.now(UTC)), after_sequence=listed[-1].sequence if listed else 0)  # noqa: TID251
            )
            assert isinstance(page, ListMintsReply)
            if not page.mints:
                break
            listed += page.mints
        assert {each.request_id for each in listed} == recorded
    assert second.end() == 0
    assert exported(directory).mints == len(recorded) == audit(Layout(directory).mint_log)[0].requests


def test_a_line_that_was_deleted_from_the_disk_is_found(directory: Path, start_module: Start) -> None:
    """Whoever owns the disk deletes one mint while the module runs; it signs its end, and the export of it does not verify."""
    module = start_module(directory)
    with ExitStack() as stack:
        link = module.connect(stack, Layout(directory).client("switch"))
        for each in (1, 2, 3):
            assert isinstance(link.ask(a_mint(each)), MintReply)
    with closing(sqlite3.connect(Layout(directory).mint_log, isolation_level=None)) as database:
        assert database.execute("DELETE FROM record WHERE request_id = 2").rowcount == 1
    assert module.end() == 0
    file = directory / "audit.jsonl"
    runner = CliRunner()
    done = runner.invoke(security_module, ["audit", "export", "--directory", str(directory), "--output", str(file)])
    assert done.exit_code == 0, done.output
    key = str(Layout(directory).audit_public_key)
    verified = runner.invoke(security_module, ["audit", "verify", str(file), "--public-key", key])
    assert verified.exit_code == 1
    assert "record" in verified.output


def test_a_module_whose_clock_is_behind_its_records_waits_for_its_operator(
    directory: Path, keys: ModuleKeys, start_module: Start
) -> None:
    """The last record is of tomorrow: nothing is minted until an operator accepts the clock, and all of it is in the audit."""
    assert keys.audit_key is not None
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251
    with closing(
        MintLog(
            Layout(directory).mint_log,
            keys.vending,
            lambda: tomorrow,
            audit_key=AuditKey(keys.module_id, keys.audit_key),
        )
    ) as log:
        log.record("written_tomorrow")
    module = start_module(directory)
    with ExitStack() as stack:
        switch = module.connect(stack, Layout(directory).client("switch"))
        operator = module.connect(stack, Layout(directory).client("operator"))
        assert switch.ask(a_mint(1)) == Refused(command=Command.MINT, status=Status.CLOCK_IN_DOUBT)
        assert switch.ask(AcceptClock()) == Refused(command=Command.ACCEPT_CLOCK, status=Status.PERMISSION)
        assert operator.ask(AcceptClock()) == ClockAccepted()
        assert isinstance(switch.ask(a_mint(1)), MintReply)
    assert module.end() == 0
    lines = list(export(Layout(directory).mint_log, None, None))
    acts = [fields["act"] for fields in map(json.loads, lines[1:]) if fields["kind"] == "act"]
    assert acts[0] == "written_tomorrow"
    assert [each for each in acts if each.startswith("clock")] == ["clock_in_doubt", "clock_accepted"]
    assert acts[-3:] == ["permission_refused", "clock_accepted", "stop"]
