"""A switch whose tokens come from a PrismToken-style service (our SIMULATOR of one) and whose MACs come from our own module."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from cli import context
from cli.meter import open_meter
from cli.system import RunningSystem, running_system, start_switch
from ledger.key_changes import add_register, set_successor
from pos import requests
from pos.answers import read_pins, read_sale
from pos.dialogue import IN_PROGRESS
from sts.codes import BaseDate
from sts.meter import MeterResult
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from tests.flows.test_flow_key_change import BEHIND, FREE
from tests.hsm_client.prism_simulator import PASSWORD, SUPPLY_GROUP_BASE, USERNAME

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own: its own module's counters know of no token here."""
    with (
        tempfile.TemporaryDirectory(prefix="eudora-prism-") as home,
        running_system(Path(home), on_free_ports=True) as running,
    ):
        yield running


@dataclass
class Simulator:
    """The simulator as a process, always on one port."""

    scratch: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self, port: int) -> int:
        run_file = self.scratch / "run.json"
        run_file.unlink(missing_ok=True)
        module, certificate = str(context.module_directory()), str(self.scratch / "server.pem")
        command = [sys.executable, "-m", "tests.hsm_client.prism_simulator", module, certificate, str(run_file)]
        self.child = subprocess.Popen([*command, str(port)], cwd=ROOT, env={**os.environ})
        wait(run_file.exists)
        return int(json.loads(run_file.read_text())["port"])

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait(30)


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def simulator(system: RunningSystem) -> Iterator[Simulator]:
    """The simulator, and the switch restarted with it as the maker of tokens."""
    with tempfile.TemporaryDirectory(prefix="eudora-prism-papers-") as scratch:
        authority = trustme.CA()
        leaf = authority.issue_cert("token-service")
        (Path(scratch) / "ca.pem").write_bytes(authority.cert_pem.bytes())
        (Path(scratch) / "server.pem").write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
        running = Simulator(Path(scratch))
        port = running.start(0)
        section = {
            "endpoints": [f"127.0.0.1:{port}"],
            "ca_file": str(Path(scratch) / "ca.pem"),
            "server_name": "token-service",
            "username": USERNAME,
            "password": PASSWORD,
            "registers": {
                str(each): {"supply_group_code": SUPPLY_GROUP_BASE + each, "key_revision_number": 2 if each == 5 else 1}
                for each in (1, 2, 4, 5)
            },
        }
        _, number = system.switch_address
        system.environment = {
            **system.environment,
            "EUDORA_SECURITY_MODULE__PRISM": json.dumps(section),
            "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
            "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
        }
        system.switch.stop()
        system.switch = start_switch(system.module_address, port=number, metrics_port=0, environment=system.environment)
        wait(lambda: Monitor(system).sample("eudora_module_link_up") == 2)
        try:
            yield running
        finally:
            running.kill()


def test_a_whole_recharge(simulator: Simulator, terminal: RawTerminal, books: Books, monitor: Monitor) -> None:
    """The ticket's PIN is the service's, the meter takes it once, and our own module minted nothing."""
    number = books.meter(FREE)
    sold = terminal.ask(terminal.recharge(number, 2_000_000))
    assert sold.text(39) == "00"
    (pin,) = [each.reveal() for each in read_pins(sold)]
    now = datetime.now(UTC)  # noqa: TID251 - the meter of the test has the machine's clock
    taken = open_meter(number).enter(pin, at=now)
    assert taken.is_accepted, taken
    assert open_meter(number).enter(pin, at=now).result is MeterResult.USED_ERROR
    assert sum(each.tokens for each in context.module_counters().values()) == 0
    (made,) = monitor.log_lines(event="prism.token_issued")
    assert (made["module"], made["request_id"]) == ("SIMULATED", books.value("SELECT max(id) FROM sale"))
    assert pin not in Path(books._system.switch.log_file).read_text()


def test_a_meter_that_is_behind_gets_its_codes_first(simulator: Simulator, terminal: RawTerminal, books: Books) -> None:
    """The key change is a call of its own before the credit, because the ledger says so."""
    add_register(context.engine(), 5, BaseDate.Y2014, "KRN 2")
    set_successor(context.engine(), 1, 5)
    try:
        number = books.meter(BEHIND)
        meter = open_meter(number)
        sold = terminal.ask(terminal.recharge(number, 2_000_000))
    finally:
        set_successor(context.engine(), 1, None)
    assert read_sale(sold).key_change_tokens == 4
    now = datetime.now(UTC)  # noqa: TID251
    assert all(meter.enter(pin.reveal(), at=now).is_accepted for pin in read_pins(sold))


def test_the_service_dies_and_comes_back(
    system: RunningSystem, simulator: Simulator, terminal: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """While it is away a sale is not final; the same request asked again is sold once when it is back."""
    number = books.meter(FREE)
    port = json.loads((simulator.scratch / "run.json").read_text())["port"]
    simulator.kill()
    wait(lambda: monitor.sample("eudora_module_link_up") == 1)
    order = terminal.recharge(number, 2_000_000)
    assert terminal.ask_body(terminal.seal(order)).get(39) == IN_PROGRESS
    assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 1
    simulator.start(port)
    wait(lambda: monitor.sample("eudora_module_link_up") == 2)
    answer = terminal.ask(requests.as_repeat(order))
    assert answer.text(39) == "00"
    (pin,) = read_pins(answer)
    now = datetime.now(UTC)  # noqa: TID251
    assert open_meter(number).enter(pin.reveal(), at=now).is_accepted
    assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0


def test_the_proof_says_what_it_did_not_prove(system: RunningSystem, simulator: Simulator) -> None:
    """Such a service keeps no counters and lists for us; the checks of the module are reported as not run."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "ledger", "check"],
        cwd=ROOT,
        env={**os.environ, **system.environment, "EUDORA_DATABASE__DSN": context.database_dsn()},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["differences"] == []
    assert {each["name"] for each in report["checks"] if not each["run"]} == {
        "every-module-answered",
        "module-counters-equal-posted-tokens",
        "minted-tokens-are-sold",
        "engineers-tokens-are-approved",
        "sold-tokens-were-minted",
    }
