"""One whole system for the flow tests: real PostgreSQL, security module and switch as processes, on free ports."""

import json
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli import context
from cli.system import RunningSystem, running_system
from ledger.check import check
from pos.store import TerminalIdentity
from security_module.terminal_keys import export_terminal_key
from tests.flows.raw_terminal import RawTerminal
from tests.quick_disk import quick_directory
from vending.ports import MacScheme

MAC_REGISTER = 10
DEADLINE_SECONDS = 5
SPEAKER = "T0000250"
"""The terminal that may ask for the network's cut-over and totals."""


@pytest.fixture(scope="session", autouse=True)
def _quick_homes() -> Iterator[None]:
    """Let temporary directories be made in memory, here and in every process that is started.

    Whatever dies in these tests is a process, never the machine, and to a dead process a disk is no safer than memory.
    """
    directory = quick_directory()
    with pytest.MonkeyPatch.context() as patch:
        if directory is not None:
            patch.setenv("TMPDIR", directory)
            patch.setattr(tempfile, "tempdir", directory)
        yield


@pytest.fixture(scope="session")
def system() -> Iterator[RunningSystem]:
    """A running system with a town; the switch gives up waiting after five seconds."""
    environment = {
        "EUDORA_ACQUIRERS__DATAFONOS__ANSWER_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
        "EUDORA_ACQUIRERS__DATAFONOS__FRAME_TIMEOUT_SECONDS": "1",
        "EUDORA_ACQUIRERS__DATAFONOS__SEND_TIMEOUT_SECONDS": "1",
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
        "EUDORA_SWITCH__CLOSE_DAYS_INTERVAL_SECONDS": "0.5",
        "EUDORA_ACQUIRERS__DATAFONOS__SETTLEMENT_DIRECTORY": ".",
        "EUDORA_ACQUIRERS__DATAFONOS__NETWORK_TERMINALS": json.dumps([SPEAKER]),
    }
    # Not below pytest's directories: it closes them to other accounts, and run as root PostgreSQL has an account of its own.
    with (
        tempfile.TemporaryDirectory(prefix="eudora-flows-") as home,
        running_system(Path(home), on_free_ports=True, terminals=260, environment=environment) as running,
    ):
        yield running


@pytest.fixture
def open_terminal(system: RunningSystem) -> Iterator[Callable[..., RawTerminal]]:
    """Opens terminals by id; closes them when the test ends."""
    opened: list[RawTerminal] = []

    def open_one(terminal_id: str = "T0000001", *, key_of: str | None = None) -> RawTerminal:
        identity = TerminalIdentity(
            terminal_id=terminal_id,
            merchant_id="TIENDA000000001",
            nii="001",
            mac_scheme=MacScheme.X9_19,
            mac_key=export_terminal_key(context.module_keys(), MAC_REGISTER, key_of or terminal_id),
        )
        terminal = RawTerminal(system.switch_address, identity)
        opened.append(terminal)
        return terminal

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(open_terminal: Callable[..., RawTerminal]) -> RawTerminal:
    """An ordinary terminal of the town."""
    return open_terminal()


class Books:
    """What the books say, read straight from the database."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system

    def value(self, statement: str, **parameters: Any) -> Any:
        with context.engine().connect() as connection:
            return connection.execute(text(statement), parameters).scalar()

    def differences(self) -> list[dict[str, Any]]:
        """What `eudora ledger check` finds; nothing is the only good answer."""
        days = context.module_days(context.last_days(2))
        return list(check(context.engine(), context.module_counters(), days).differences)

    def float_centavos(self) -> int:
        """What the network can still sell for."""
        return int(
            self.value(
                "SELECT f.credit_line_centavos - f.balance_centavos - f.pending_centavos FROM account f"
                " JOIN acquirer a ON a.float_account_id = f.id WHERE a.code = 'datafonos'"
            )
        )

    def meter(self, where: str) -> str:
        """The number of some meter that satisfies a condition."""
        number = self.value(f"SELECT meter_number FROM meter m WHERE {where} ORDER BY id DESC LIMIT 1")
        assert number is not None, where
        return str(number)


@pytest.fixture
def books(system: RunningSystem) -> Books:
    """The ledger, seen from outside."""
    return Books(system)


class Monitor:
    """The switch's metrics and log."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system

    def sample(self, name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://{self._system.metrics_address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            line for line in lines if line.startswith((f"{name}{{", f"{name} ")) and all(w in line for w in wanted)
        ]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def log_lines(self, **fields: Any) -> list[dict[str, Any]]:
        lines = []
        for line in Path(self._system.switch.log_file).read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if all(event.get(key) == value for key, value in fields.items()):
                lines.append(event)
        return lines


@pytest.fixture
def monitor(system: RunningSystem) -> Monitor:
    """The switch, seen by its operators."""
    return Monitor(system)
