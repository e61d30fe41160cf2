"""Two security modules, the second restored from the first one's backup: one falls in the middle of a batch, and the proof counts each sale once."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli import context
from cli.module_call import ask
from cli.system import RunningSystem, running_system, start_switch
from ledger.check import ANSWERED_CHECK
from ledger.module_proof import MINTED_CHECK
from messages.codec import DATAFONO
from messages.security_module import FindMints, FindMintsReply, MintReply, Status
from security_module.layout import Layout
from security_module.roles import Role
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from tests.flows.relay import Relay
from town.targets import selling_terminals
from vending.ports import MintRequest

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 30.0
TERMINALS = 30


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own: its second module mints too."""
    with (
        tempfile.TemporaryDirectory(prefix="eudora-two-modules-") as home,
        running_system(Path(home), on_free_ports=True) as running,
    ):
        yield running


@dataclass
class Pair:
    """Both modules: where they listen, where they live, and the settings under which a command knows both."""

    first: tuple[str, int]
    second: tuple[str, int]
    second_directory: Path
    settings: dict[str, str]

    def ask(self, which: int, role: Role, request: Any) -> Any:
        """Ask one of them."""
        directory = (context.module_directory(), self.second_directory)[which]
        return ask(directory, *(self.first, self.second)[which], role, request)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run a command that knows both; return its exit code and what it printed."""
        done = _eudora(*arguments, environment=self.settings)
        return done.returncode, json.loads(done.stdout)


def _eudora(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def _settings(addresses: list[str], second_directory: Path) -> dict[str, str]:
    layout = Layout(second_directory)
    certificates = {
        "ca_file": str(layout.authority),
        "client_pem": str(layout.client("switch")),
        "auditor_pem": str(layout.client("auditor")),
    }
    return {
        "EUDORA_SECURITY_MODULE__ENDPOINTS": json.dumps(addresses),
        "EUDORA_SECURITY_MODULE__CERTIFICATES": json.dumps({addresses[1]: certificates}),
        "EUDORA_DATABASE__DSN": context.database_dsn(),
    }


@pytest.fixture(scope="module")
def pair(system: RunningSystem) -> Iterator[Pair]:
    """The running module, and one that was restored from its backup: the same keys, its own authority and log."""
    with tempfile.TemporaryDirectory(prefix="eudora-second-module-") as scratch:
        backup, second, run_file = (Path(scratch) / name for name in ("backup", "second", "run.json"))
        environment = {"EUDORA_SECURITY_MODULE_PASSPHRASE_FILE": str(Layout(context.module_directory()).passphrase)}
        for arguments in (
            ("backup", "--directory", str(context.module_directory()), str(backup)),
            ("restore", "--directory", str(second), str(backup)),
        ):
            done = _eudora("security-module", *arguments, environment=environment)
            assert done.returncode == 0, done.stderr
        command = [sys.executable, "-m", "cli.main", "security-module", "run", "--directory", str(second)]
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--run-file", str(run_file)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        try:
            _wait(run_file.exists)
            run = json.loads(run_file.read_text())
            addresses = ["{}:{}".format(*system.module_address), f"{run['host']}:{run['port']}"]
            yield Pair(
                first=system.module_address,
                second=(str(run["host"]), int(run["port"])),
                second_directory=second,
                settings=_settings(addresses, second),
            )
        finally:
            process.terminate()
            process.wait(30)


def _wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _decided(directory: Path) -> int:
    """How many requests a module has on its disk."""
    path = Layout(directory).mint_log
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as log:
        return int(log.execute("SELECT count(*) FROM record WHERE request_id IS NOT NULL").fetchone()[0])


def test_a_module_that_falls_in_mid_batch_leaves_each_sale_once(
    system: RunningSystem, pair: Pair, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """The first module has minted some of a batch, and it is killed before any of those answers came: the same digits come from the other."""
    host, number = system.switch_address
    before = _decided(context.module_directory())
    relay = Relay(pair.first, lambda: _decided(context.module_directory()) > before)
    with ExitStack() as stack:
        stack.callback(relay.close)
        through_relay = _settings([relay.address, "{}:{}".format(*pair.second)], pair.second_directory)
        system.switch.stop()
        system.switch = start_switch(pair.first, port=number, metrics_port=0, environment=through_relay)
        stack.callback(system.restart_switch)
        stack.callback(system.switch.stop)
        assert system.switch_address == (host, number)
        _wait(lambda: monitor.sample("eudora_module_link_up") == 2)
        terminals = [open_terminal(each) for each in selling_terminals(context.engine(), TERMINALS)]
        for part, each in enumerate(terminals):
            meter = books.meter(f"m.service = 0 AND m.status = 'active' AND m.id % {TERMINALS} = {part}")
            each.send_body(each.seal(each.recharge(meter, 1_000_000)))
        assert relay.has_lost.wait(START_SECONDS_MAX)
        system.security_module.kill()
        assert {DATAFONO.decode(each.read_body()).text(39) for each in terminals} == {"00"}
    _proof_while_the_first_is_away(pair)
    system.security_module = context.start_security_module("{}:{}".format(*pair.first))
    sold = _sold()
    assert len(sold) == TERMINALS
    minted = [_minted(pair, which, list(sold)) for which in (0, 1)]
    assert minted[0], "the first one minted some"
    assert minted[0] <= minted[1], "and the second one was asked for those again"
    _same_digits(pair, sold)
    _proof_of_both(pair, twice=len(minted[0]))
    _orphan_is_named(pair, next(iter(sold.values()))[0])


def _sold() -> dict[int, tuple[MintRequest, list[str]]]:
    """Each sale of the ledger as it was asked for, with the digits that the customer has."""
    found: dict[int, tuple[MintRequest, list[str]]] = {}
    rows = text(
        "SELECT s.id, s.register_id, m.pan, m.tariff_index, m.encryption_algorithm, m.service,"
        " array_agg(t.tid ORDER BY t.position) AS tids, array_agg(t.units_tenths ORDER BY t.position) AS units,"
        " array_agg(t.digits ORDER BY t.position) AS digits"
        " FROM sale s JOIN meter m ON m.id = s.meter_id JOIN token t ON t.sale_id = s.id WHERE s.state = 'posted'"
        " GROUP BY s.id, m.id"
    )
    with context.engine().connect() as connection:
        for row in connection.execute(rows):
            request = MintRequest(
                request_id=row.id,
                register_id=row.register_id,
                pan=row.pan,
                tariff_index=row.tariff_index,
                encryption_algorithm=row.encryption_algorithm,
                subclass=row.service,
                tokens=tuple(zip(row.tids, row.units, strict=True)),
            )
            found[row.id] = request, list(row.digits)
    return found


def _minted(pair: Pair, which: int, ids: list[int]) -> set[int]:
    reply = pair.ask(which, Role.AUDITOR, FindMints(request_ids=tuple(ids)))
    assert isinstance(reply, FindMintsReply)
    return {request_id for request_id, status in reply.found if status is Status.OK}


def _same_digits(pair: Pair, sold: dict[int, tuple[MintRequest, list[str]]]) -> None:
    """Ask both for what only one of them answered; from here on both have minted everything."""
    for request, digits in list(sold.values())[:5]:
        for which in (1, 0):
            reply = pair.ask(which, Role.SWITCH, request)
            assert isinstance(reply, MintReply)
            assert [each.reveal() for each in reply.tokens] == digits


def _proof_while_the_first_is_away(pair: Pair) -> None:
    away = "{}:{}".format(*pair.first)
    code, report = pair.run("ledger", "check")
    assert (code, report["agree"]) == (1, False)
    assert [(each["check"], each["module"]) for each in report["differences"]] == [(ANSWERED_CHECK, away)]
    code, proof = pair.run("security-module", "proof", "--day", context.last_days(1)[0].isoformat())
    assert (code, list(proof["away"])) == (1, [away])


def _proof_of_both(pair: Pair, twice: int) -> None:
    code, report = pair.run("ledger", "check")
    assert (code, report["agree"]) == (0, True), report["differences"]
    assert all(check["run"] for check in report["checks"])
    code, proof = pair.run("security-module", "proof", "--day", context.last_days(1)[0].isoformat())
    assert (code, proof["away"]) == (0, {})
    assert proof["minted_by_several"] >= twice
    assert sum(each["requests"] for each in proof["registers"]) == TERMINALS


def _orphan_is_named(pair: Pair, like: MintRequest) -> None:
    """A token that somebody had the second module mint without a sale."""
    stolen = MintRequest(
        request_id=4_000_000_000,
        register_id=like.register_id,
        pan=like.pan,
        tariff_index=like.tariff_index,
        encryption_algorithm=like.encryption_algorithm,
        subclass=like.subclass,
        tokens=like.tokens,
    )
    assert isinstance(pair.ask(1, Role.SWITCH, stolen), MintReply)
    code, report = pair.run("ledger", "check")
    assert code == 1
    (named,) = [each for each in report["differences"] if each["check"] == MINTED_CHECK]
    assert (named["request_id"], named["why"], named["modules"]) == (
        stolen.request_id,
        "no_sale",
        ["{}:{}".format(*pair.second)],
    )
