"""Two security modules with the same keys: when the first one dies the second one carries on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import context
from cli.system import RunningSystem, running_system, start_switch
from messages.codec import DATAFONO
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from town.targets import selling_terminals


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own: the second module mints here, and the first one's counters do not know of it."""
    with (
        tempfile.TemporaryDirectory(prefix="eudora-failover-") as home,
        running_system(Path(home), on_free_ports=True) as running,
    ):
        yield running


ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 30.0


def test_a_second_module_takes_over_when_the_first_one_dies(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """With two modules configured, sales go on through the kill of the first, and nothing stays unresolved."""
    with tempfile.TemporaryDirectory(prefix="eudora-second-module-") as directory:
        second = Path(directory) / "security-module"
        shutil.copytree(context.module_directory(), second, ignore=shutil.ignore_patterns("mint.sqlite3*", "lock"))
        run_file = Path(directory) / "run.json"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "security-module", "run", "--directory", str(second)),
                *("--listen", "127.0.0.1:0", "--run-file", str(run_file)),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ},
        )
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while not run_file.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            other = json.loads(run_file.read_text())
            _sell_through_a_kill(system, open_terminal, books, monitor, f"{other['host']}:{other['port']}")
        finally:
            process.terminate()
            process.wait(30)


def _sell_through_a_kill(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor, other: str
) -> None:
    host, port = system.module_address
    serving, number = system.switch_address
    system.switch.stop()
    both = {**system.environment, "EUDORA_SECURITY_MODULE__ENDPOINTS": f'["{host}:{port}", "{other}"]'}
    system.switch = start_switch(system.module_address, port=number, metrics_port=0, environment=both)
    assert system.switch_address == (serving, number)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while monitor.sample("eudora_module_link_up") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        terminals = [open_terminal(each) for each in selling_terminals(context.engine(), 30)]
        meters = [books.meter(f"m.service = 0 AND m.status = 'active' AND m.id % 30 = {part}") for part in range(30)]
        for each, meter in zip(terminals, meters, strict=True):
            each.send_body(each.seal(each.recharge(meter, 1_000_000)))
        time.sleep(0.02)
        system.security_module.kill()
        codes = [DATAFONO.decode(each.read_body()).text(39) for each in terminals]
        assert set(codes) == {"00"}, "no terminal noticed"
        assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0
    finally:
        system.switch.stop()
        system.security_module = context.start_security_module(f"{host}:{port}")
        system.restart_switch()
