"""What the command line says of one or several running processes, with run files and health pages made up."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import running_switch
from cli.main import main
from cli.running_switch import NotRunning, apply_configuration, processes_of, read_networks, running
from config.state_files import write_run_file

ONE = {"number": 1, "pid": os.getpid(), "status": "ready", "metrics": "here:1"}
TWO = {"number": 2, "pid": os.getpid(), "status": "module_lost", "metrics": "here:2"}
STARTING = {"number": 2, "pid": None, "status": "starting", "metrics": None}


def _row(**changes: Any) -> dict[str, Any]:
    same = {
        "id": "banco",
        "state": "serving",
        "address": "0.0.0.0:1",
        "is_drained": False,
        "last_approval": None,
        "links": ["a"],
    }
    return {**same, "connections": 2, "in_flight": 1, "last_request": 7.0, **changes}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """Where this very process says that it is a supervisor."""
    path = tmp_path / "switch.json"
    _write(path)
    return path


def _write(path: Path, restart: Mapping[str, Any] | None = None, *processes: Mapping[str, Any]) -> None:
    write_run_file(
        path,
        {
            "acquirers": {},
            "metrics": "here:1",
            "processes": list(processes or (ONE, TWO)),
            "restart": restart or {"attempt": 3, "phase": None, "process": None, "why": ""},
        },
    )


@pytest.fixture
def on_signal() -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """Has this process act on a signal as a supervisor would."""
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGHUP)}

    def act(number: int, work: Callable[[], None]) -> None:
        signal.signal(number, lambda *_: work())

    yield act
    for number, old in before.items():
        signal.signal(number, old)


def _eudora(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_one_process_is_a_switch_of_one(tmp_path: Path) -> None:
    """Without a supervisor the run file is the process's own; without a file there is no switch."""
    path = tmp_path / "switch.json"
    with pytest.raises(NotRunning, match="no switch runs"):
        running(path)
    write_run_file(path, {"acquirers": {}, "metrics": "here:9"})
    (process,) = processes_of(running(path))
    assert (process["number"], process["pid"], process["metrics"]) == (None, os.getpid(), "here:9")
    refused = _eudora("switch", "restart", "--rolling", "--run-file", str(path))
    assert (refused.exit_code, "without a supervisor" in refused.output) == (1, True)


def test_every_process_is_listed_also_one_that_starts(run_file: Path) -> None:
    """What is not known yet is a dash."""
    _write(run_file, None, ONE, STARTING)
    shown = _eudora("switch", "list", "--run-file", str(run_file)).output.splitlines()
    assert shown == [f"process 1: pid {os.getpid()}, ready, metrics here:1", "process 2: pid -, starting, metrics -"]


def test_a_network_is_what_all_processes_serve_together(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links and requests are added, the latest moment counts, and it is drained only where all are."""
    pages = {
        1: {"networks": [_row(is_drained=True), _row(id="red", last_request=None)]},
        2: {"networks": [_row(last_request=9.0, last_approval=8.0), _row(state="leaving")]},
    }
    monkeypatch.setattr(running_switch, "read_health", lambda process: pages[process["number"]])
    networks = read_networks(run_file)
    assert networks["banco"] == _row(connections=4, in_flight=2, last_request=9.0, last_approval=8.0, links=["a", "a"])
    assert networks["red"] == _row(id="red", last_request=None)
    assert networks["banco leaving"]["connections"] == 2


def test_a_changed_file_is_applied_by_every_process(
    run_file: Path, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[int, Callable[[], None]], None]
) -> None:
    """Each gets the signal; one that refuses makes the command fail, and it is said which one."""
    signals: list[int] = []
    on_signal(signal.SIGHUP, lambda: signals.append(signal.SIGHUP))

    def page(process: Mapping[str, Any]) -> Mapping[str, Any]:
        is_applied = process["number"] == 1
        return {
            "configuration": {
                "attempt": len(signals) // 2,
                "is_applied": is_applied,
                "complaints": [] if is_applied else ["acquirers.x.listen_port: cannot be opened"],
                "needs_restart": ["switch.processes: needs a restart"],
            }
        }

    monkeypatch.setattr(running_switch, "read_health", page)
    assert [process["number"] for process, _ in apply_configuration(run_file)] == [1, 2]
    told = _eudora("config", "apply", "--run-file", str(run_file))
    assert (told.exit_code, len(signals)) == (1, 4)
    assert "process 1: applied\n  switch.processes: needs a restart\n" in told.output
    assert "process 2: nothing was changed:\n  acquirers.x.listen_port: cannot be opened" in told.output


def test_a_halted_restart_says_why(run_file: Path, on_signal: Callable[[int, Callable[[], None]], None]) -> None:
    """Exit code 1 and the reason; an older attempt is not taken for it; without the word nothing is done."""
    _write(run_file, {"attempt": 3, "phase": "done", "process": None, "why": ""})
    halted = {"attempt": 4, "phase": "halted", "process": 1, "why": "not ready within 60 seconds: 1"}
    on_signal(signal.SIGUSR1, lambda: _write(run_file, halted))
    assert _eudora("switch", "restart", "--run-file", str(run_file)).exit_code == 2
    told = _eudora("switch", "restart", "--rolling", "--run-file", str(run_file))
    assert told.exit_code == 1
    assert "halted: not ready within 60 seconds: 1" in told.output
    on_signal(signal.SIGUSR1, lambda: _write(run_file, {"attempt": 5, "phase": "done", "process": None, "why": ""}))
    assert (
        _eudora("switch", "restart", "--rolling", "--run-file", str(run_file)).output == "every process is a new one\n"
    )
