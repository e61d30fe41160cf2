"""The supervisor with real processes and sockets, and small programs in place of switches."""

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from switch.log import Event
from switch.supervisor import Supervisor

CHILD = Path(__file__).with_name("supervised_child.py")
SOON_SECONDS = 20.0


class Bench:
    """A supervisor over two or three small programs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[Mapping[str, Any]] = []
        self.complaint: str | None = None
        self.is_disk_full = False
        self.program = sys.executable
        self.subject: Supervisor | None = None

    def start(self, processes: int, *, stop_seconds: float = 5.0, port: int = 0) -> Supervisor:
        """Start the programs, and wait until all listen or it gives up."""

        def command(number: int, descriptor: int) -> list[str]:
            return [
                self.program,
                "-I",
                str(CHILD),
                *(str(word) for word in (descriptor, number, port, self.directory)),
            ]

        self.subject = Supervisor(
            command,
            processes=processes,
            stop_seconds=stop_seconds,
            check=self._check,
            tell=self._tell,
            monotonic=time.monotonic,
        )
        self.until(lambda: bool(self.told) or self.supervisor.is_over)
        return self.subject

    @property
    def supervisor(self) -> Supervisor:
        """The one that was started."""
        assert self.subject is not None
        return self.subject

    def _tell(self, report: Mapping[str, Any]) -> None:
        if self.is_disk_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.told.append(report)

    def _check(self) -> None:
        if self.complaint is not None:
            raise ValueError(self.complaint)

    def until(self, is_true: Callable[[], bool]) -> None:
        """Let it work until something has happened."""
        give_up_at = time.monotonic() + SOON_SECONDS
        while not is_true():
            assert time.monotonic() < give_up_at, self.supervisor.report()
            self.supervisor.turn(0.02)

    def connect(self) -> socket.socket:
        """Connect; refused counts as a failure."""
        host, _, port = str(self.told[-1]["acquirers"]["banco"]).rpartition(":")
        return socket.create_connection((host, int(port)), 5.0)

    def pids(self) -> dict[int, int | None]:
        """The processes by number."""
        return {each["number"]: each["pid"] for each in self.supervisor.report()["processes"]}

    def statuses(self) -> list[str]:
        """How they say they are."""
        return [each["status"] for each in self.supervisor.report()["processes"]]

    def behave(self, number: int, manner: str) -> None:
        """Decide how the next program of that number behaves."""
        (self.directory / str(number)).write_text(manner)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if made.subject is not None:
        made.subject.close()


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def test_all_listen_on_one_socket_and_end_when_asked(bench: Bench) -> None:
    """One address for all; the report names every process, and is told only once all listen."""
    supervisor = bench.start(3)
    assert bench.statuses() == ["ready"] * 3
    assert bench.told[0]["processes"][2] | {"pid": 0} == {
        "number": 3,
        "pid": 0,
        "status": "ready",
        "metrics": "here:3",
    }
    greeted = set()
    for _ in range(30):
        with bench.connect() as link:
            greeted.add(link.recv(1))
    assert greeted <= {b"1", b"2", b"3"}
    supervisor.apply()
    bench.until(lambda: all((bench.directory / f"applied-{number}").exists() for number in (1, 2, 3)))
    supervisor.end()
    bench.until(lambda: supervisor.is_over)
    assert (supervisor.failure, bench.pids()) == (None, {1: None, 2: None, 3: None})


def test_a_killed_process_is_started_again_and_what_waited_is_served(bench: Bench, lines: list[Any]) -> None:
    """With the only process dead a connection is taken all the same, waits, and is served by the successor."""
    bench.start(1)
    first = bench.pids()[1]
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    with bench.connect() as waiting:
        os.kill(first, signal.SIGKILL)
        bench.until(lambda: bench.pids()[1] not in (first, None))
        with bench.connect() as later:
            bench.until(lambda: bench.statuses() == ["ready"])
            waiting.settimeout(SOON_SECONDS)
            later.settimeout(SOON_SECONDS)
            assert (waiting.recv(1), later.recv(1)) == (b"1", b"1")
    (lost,) = [line for line in lines if line["event"] is Event.PROCESS_LOST]
    assert (lost["status"], lost["was_asked"], lost["log_level"]) == (-signal.SIGKILL, False, "error")


def test_one_that_cannot_live_is_started_ever_more_seldom(
    bench: Bench, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses double, and the others are not touched."""
    monkeypatch.setattr("switch.supervisor.RESTART_SECONDS_MIN", 0.1)
    bench.start(2)
    pids = bench.pids()
    bench.behave(2, "dies")
    assert pids[2] is not None
    os.kill(pids[2], signal.SIGKILL)
    began = time.monotonic()
    starts = 0

    def has_died_thrice() -> bool:
        nonlocal starts
        starts = sum(line["event"] is Event.PROCESS_LOST for line in lines)
        return starts == 3

    bench.until(has_died_thrice)
    assert time.monotonic() - began >= 0.1 + 0.2
    assert bench.pids()[1] == pids[1]
    bench.behave(2, "")
    bench.until(lambda: bench.statuses() == ["ready", "ready"])


def test_one_that_never_listened_ends_all(bench: Bench) -> None:
    """A service that cannot start says so at once, instead of trying for ever."""
    bench.behave(2, "dies")
    supervisor = bench.start(3)
    assert bench.told == []
    assert supervisor.is_over
    assert supervisor.failure is not None
    assert "process 2 ended with status 3 before it listened" in supervisor.failure


def test_an_address_that_is_taken_is_told(bench: Bench) -> None:
    """The process is told why it gets no socket."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        supervisor = bench.start(1, port=other.getsockname()[1])
    assert supervisor.failure is not None


def test_a_rolling_restart_replaces_all_and_no_connection_is_refused(bench: Bench, lines: list[Any]) -> None:
    """Every connection made at any moment of it is greeted."""
    supervisor = bench.start(3)
    before = bench.pids()
    supervisor.restart()
    supervisor.restart()
    links: list[socket.socket] = []
    give_up_at = time.monotonic() + SOON_SECONDS
    while bench.told[-1]["restart"]["phase"] != "done":
        assert time.monotonic() < give_up_at
        supervisor.turn(0.01)
        assert bench.statuses().count("ready") >= 2
        links.append(bench.connect())
    for link in links:
        with link:
            link.settimeout(SOON_SECONDS)
            assert link.recv(1) in {b"1", b"2", b"3"}
    after = bench.pids()
    assert not set(before.values()) & set(after.values())
    assert supervisor.report()["restart"] == {"attempt": 1, "phase": "done", "process": None, "why": ""}
    assert [line["event"] for line in lines].count(Event.RESTART_ENDED) == 1


def test_a_release_that_does_not_become_ready_takes_one_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that does not become ready halts it; so does a configuration that cannot be read, before anything is touched."""
    monkeypatch.setattr("switch.supervisor.READY_SECONDS_MAX", 0.5)
    supervisor = bench.start(2)
    before = bench.pids()
    bench.complaint = "acquirers.x: no such key"
    supervisor.restart()
    assert supervisor.report()["restart"]["why"] == "acquirers.x: no such key"
    bench.complaint = None
    assert bench.pids() == before
    bench.behave(1, "module_lost")
    supervisor.restart()
    bench.until(lambda: bool(bench.told[-1]["restart"]["phase"] == "halted"))
    assert bench.told[-1]["restart"] == {
        "attempt": 2,
        "phase": "halted",
        "process": 1,
        "why": "not ready within 0 seconds: 1",
    }
    assert bench.pids()[2] == before[2]


def test_one_that_does_not_drain_is_killed(bench: Bench) -> None:
    """After its time, and not before."""
    bench.behave(1, "deaf")
    supervisor = bench.start(1, stop_seconds=0.3)
    began = time.monotonic()
    supervisor.end()
    bench.until(lambda: supervisor.is_over)
    assert time.monotonic() - began >= 0.3


def test_a_full_disk_or_a_program_that_is_away_ends_nobody_else(bench: Bench, lines: list[Any]) -> None:
    """The supervisor goes on, and when the trouble is over the process is back and the report is written."""
    supervisor = bench.start(2)
    pids = bench.pids()
    bench.is_disk_full, bench.program = True, "/nowhere/python"
    assert pids[1] is not None
    os.kill(pids[1], signal.SIGKILL)
    bench.until(lambda: any("No such file" in str(line.get("reason")) for line in lines))
    assert any(line["event"] is Event.RUN_FILE_LOST for line in lines)
    assert (bench.pids()[2], supervisor.is_over) == (pids[2], False)
    bench.is_disk_full, bench.program = False, sys.executable
    bench.until(lambda: bench.statuses() == ["ready", "ready"])
    bench.until(lambda: bench.told[-1] == supervisor.report())
