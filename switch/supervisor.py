"""Runs n switch processes on one machine: starts them, hands them their listening sockets, starts again what dies, replaces all in turn.

It serves nothing itself and holds nothing that a sale needs, so it has no reason to end; when it is killed, its processes drain and end.
Whoever owns it calls `Supervisor.turn` until it `is_over`.
"""

import contextlib
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from switch.bound_sockets import BoundSockets
from switch.log import Event, log
from switch.rolling_restart import Phase, RollingRestart
from switch.supervisor_lines import Address, LineReader, read_addresses, write_line

RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
"""Before a process that died is started again: doubled each time, so that one that cannot live costs little."""

GOOD_LIFE_SECONDS = 60.0
"""A process that lived so long died of something new."""

READY_SECONDS_MAX = 60.0
"""For a process to be ready after its start: it starts a dozen workers, and finds the security module."""

SAY_SECONDS_MAX = 5.0
"""For a process to take a line of a few hundred octets."""

_RECEIVE_OCTETS = 1 << 16

Command = Callable[[int, int], Sequence[str]]
"""Gives the command line of the process of that number, which finds its link to the supervisor in that descriptor."""


@dataclass(slots=True)
class _Process:
    """One of the processes, whoever plays the part now.

    Attributes:
        serves: where it accepts connections; its successor will too, so what waits there is kept for it.
        state: what it last said of itself, empty until it listens.
        start_at: when it is to be started; None: it runs.
        kill_at: it was asked to end, and is killed then.
    """

    number: int
    start_at: float | None = 0.0
    child: subprocess.Popen[bytes] | None = None
    link: socket.socket | None = None
    reader: LineReader = field(default_factory=LineReader)
    serves: set[Address] = field(default_factory=set)
    state: Mapping[str, Any] = field(default_factory=dict)
    started_at: float = 0.0
    kill_at: float | None = None
    deaths: int = 0

    @property
    def is_ready(self) -> bool:
        return self.kill_at is None and self.state.get("status") == "ready"


class Supervisor:
    """Owns the processes.

    Args:
        command: of a process.
        processes: how many.
        stop_seconds: a process that was asked to end and has not by then is killed.
        check: called before a rolling restart touches anything; what it raises halts it.
        tell: is told of every change (`report`), once all processes have listened for the first time.
        monotonic: a clock in seconds that never steps.

    Attributes:
        failure: why it ended by itself: a process did not even start the first time.
    """

    def __init__(
        self,
        command: Command,
        *,
        processes: int,
        stop_seconds: float,
        check: Callable[[], object],
        tell: Callable[[Mapping[str, Any]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.failure: str | None = None
        self._command = command
        self._stop_seconds = stop_seconds
        self._check = check
        self._tell = tell
        self._monotonic = monotonic
        self._processes = {number: _Process(number) for number in range(1, processes + 1)}
        self._sockets = BoundSockets()
        self._selector = selectors.DefaultSelector()
        self._rolling: RollingRestart | None = None
        self._restarts_asked = self._restarts_logged = 0
        self._has_begun = False
        self._is_ending = False
        self._told: Mapping[str, Any] = {}
        self._last_state: Mapping[str, Any] = {}

    # What its owner asks.

    @property
    def is_over(self) -> bool:
        """Whether it was asked to end and every process has."""
        return self._is_ending and all(process.child is None for process in self._processes.values())

    def wake_on(self, descriptor: int, wake: Callable[[], None]) -> None:
        """Have a turn end, and *wake* called, when *descriptor* can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, wake)

    def turn(self, timeout_seconds: float) -> None:
        """Do what there is to do; wait for it at most so long."""
        for key, _ in self._selector.select(timeout_seconds):
            key.data()
        now = self._monotonic()
        for process in self._processes.values():
            self._look_at(process, now)
        self._roll(now)
        self._report()

    def end(self) -> None:
        """Have every process drain and end. Connections that nobody has accepted end when this process does."""
        if self._is_ending:
            return
        self._is_ending = True
        log.info(Event.PROCESSES_STOPPED, reason=self.failure or "asked")
        for process in self._processes.values():
            process.start_at = None
            self._ask_to_end(process)

    def apply(self) -> None:
        """Have every process read its configuration again."""
        for process in self._processes.values():
            if process.child is not None and process.state:
                process.child.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        """Replace the processes, one after the other; asked for while that goes on, nothing more is done."""
        if self._is_ending or (self._rolling is not None and not self._rolling.is_over):
            return
        self._restarts_asked += 1
        self._rolling = RollingRestart(
            sorted(self._processes), now=self._monotonic(), ready_seconds_max=READY_SECONDS_MAX
        )
        log.info(Event.RESTART_STARTED, attempt=self._restarts_asked)
        try:
            self._check()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, a process that is started now would not run
            self._rolling.halt(str(error))
            self._log_restart()

    def report(self) -> Mapping[str, Any]:
        """Return what operators want to know: where the networks are served, and every process."""
        # While nobody is there, what connects waits where the last one listened.
        self._last_state = next((each.state for each in self._processes.values() if each.state), self._last_state)
        rolling = self._rolling
        return {
            "acquirers": self._last_state.get("acquirers", {}),
            "metrics": self._last_state.get("metrics"),
            "processes": [
                {
                    "number": process.number,
                    "pid": process.child.pid if process.child is not None else None,
                    "status": "draining" if process.kill_at is not None else process.state.get("status", "starting"),
                    "metrics": process.state.get("metrics"),
                }
                for process in self._processes.values()
            ],
            "restart": {
                "attempt": self._restarts_asked,
                "phase": None if rolling is None else rolling.phase.value,
                "process": None if rolling is None else rolling.current,
                "why": "" if rolling is None else rolling.why,
            },
        }

    def close(self) -> None:
        """Close the listening sockets, and end for good what still runs."""
        for process in self._processes.values():
            if process.child is not None:
                process.child.kill()
                process.child.wait()
            self._unlink(process)
        self._sockets.close()
        self._selector.close()

    # Inside.

    def _look_at(self, process: _Process, now: float) -> None:
        if process.child is not None and process.child.poll() is not None:
            status, was_asked = process.child.returncode, process.kill_at is not None
            write = log.info if was_asked else log.error
            write(Event.PROCESS_LOST, process=process.number, status=status, was_asked=was_asked)
            self._ended(process, f"status {status}", now)
        elif process.child is not None and process.kill_at is not None and now >= process.kill_at:
            log.error(Event.PROCESS_LOST, process=process.number, reason="did not drain in time")
            process.child.kill()
        if process.child is None and process.start_at is not None and now >= process.start_at:
            self._start(process, now)

    def _start(self, process: _Process, now: float) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(SAY_SECONDS_MAX)
        process.started_at = now
        with theirs:
            try:
                process.child = subprocess.Popen(  # noqa: S603 - this very program
                    list(self._command(process.number, theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:  # no memory, no process ids, a program that is just being replaced
                ours.close()
                log.error(Event.PROCESS_LOST, process=process.number, reason=str(error))
                self._ended(process, str(error), now)
                return
        process.link, process.reader, process.state = ours, LineReader(), {}
        process.start_at, process.kill_at = None, None
        self._selector.register(ours, selectors.EVENT_READ, partial(self._read, process))
        log.info(Event.PROCESS_STARTED, process=process.number, pid=process.child.pid)

    def _ended(self, process: _Process, how: str, now: float) -> None:
        was_asked = process.kill_at is not None
        self._unlink(process)
        process.child, process.state, process.kill_at = None, {}, None
        if self._rolling is not None:
            self._rolling.ended(process.number, now)
            self._log_restart()
        if self._is_ending:
            return
        if not self._has_begun:
            self.failure = f"process {process.number} ended with {how} before it listened; see its log"
            self.end()
            return
        if now - process.started_at >= GOOD_LIFE_SECONDS:
            process.deaths = 0
        delay = 0.0 if was_asked else min(RESTART_SECONDS_MIN * 2**process.deaths, RESTART_SECONDS_MAX)
        process.deaths = 0 if was_asked else process.deaths + 1
        process.start_at = now + delay

    def _unlink(self, process: _Process) -> None:
        link, process.link = process.link, None
        if link is not None:
            self._selector.unregister(link)
            link.close()

    def _read(self, process: _Process) -> None:
        """Take what a process says. One whose words make no sense, or that takes none, is of no use."""
        link = process.link
        assert link is not None
        assert process.child is not None
        try:
            data = link.recv(_RECEIVE_OCTETS)
            for said in process.reader.receive(data):
                self._heard(process, link, said)
        except (OSError, ValueError) as error:
            log.error(Event.PROCESS_LOST, process=process.number, reason=str(error))
            process.child.kill()
            data = b""
        if not data:
            self._unlink(process)

    def _heard(self, process: _Process, link: socket.socket, said: Mapping[str, Any]) -> None:
        if "open" in said:
            self._hand_out(process, link, read_addresses(said["open"]))
        elif "serve" in said:
            process.serves = set(read_addresses(said["serve"]))
            self._sockets.keep(frozenset().union(*(each.serves for each in self._processes.values())))
        elif "state" in said:
            process.state = said["state"]
            self._has_begun = self._has_begun or all(each.state for each in self._processes.values())
        else:
            raise ValueError(f"unknown: {sorted(said)}")

    def _hand_out(self, process: _Process, link: socket.socket, addresses: Sequence[Address]) -> None:
        descriptors: list[int] = []
        why: list[str | None] = []
        for address in addresses:
            try:
                descriptors.append(self._sockets.open(address).fileno())
            except OSError as error:
                why.append(error.strerror or str(error))
            else:
                process.serves.add(address)
                why.append(None)
        line = write_line({"opened": why})
        sent = socket.send_fds(link, [line], descriptors) if descriptors else 0
        link.sendall(line[sent:])

    def _ask_to_end(self, process: _Process) -> None:
        if process.child is not None and process.kill_at is None:
            process.kill_at = self._monotonic() + self._stop_seconds
            with contextlib.suppress(ProcessLookupError):
                process.child.terminate()

    def _roll(self, now: float) -> None:
        rolling = self._rolling
        if rolling is None or rolling.is_over or self._is_ending:
            return
        ready = {process.number for process in self._processes.values() if process.is_ready}
        number = rolling.look(ready, now)
        if number is not None and self._processes[number].child is None:
            rolling.ended(number, now)  # it died by itself just now
        elif number is not None:
            self._ask_to_end(self._processes[number])
        self._log_restart()

    def _log_restart(self) -> None:
        rolling = self._rolling
        if rolling is None or not rolling.is_over or self._restarts_logged == self._restarts_asked:
            return
        self._restarts_logged = self._restarts_asked
        if rolling.phase is Phase.DONE:
            log.info(Event.RESTART_ENDED, attempt=self._restarts_asked)
        else:
            log.error(Event.RESTART_HALTED, attempt=self._restarts_asked, process=rolling.current, reason=rolling.why)

    def _report(self) -> None:
        report = self.report()
        if not self._has_begun or report == self._told:
            return
        try:
            self._tell(report)
        except OSError as error:  # a full disk must not end whoever sells; it is tried again in the next turn
            log.error(Event.RUN_FILE_LOST, reason=str(error))
        else:
            self._told = report
