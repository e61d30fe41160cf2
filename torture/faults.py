"""The torturer: does what the schedule says, one thread for each target, and mends everything again."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torture.disk import SmallDisk
from torture.processes import children, send_signal, stopped
from torture.schedule import Fault, FaultKind, Target

WAL_SWITCH_SECONDS = 0.2
"""How often a new file is asked for while the disk is full."""


class Stage(Protocol):
    """The system that is tortured. Whatever is restarted keeps its address."""

    @property
    def switch_pid(self) -> int:
        """Of the switch process; its children are the ledger workers."""

    @property
    def module_pid(self) -> int:
        """Of the security module."""

    @property
    def postgres_pid(self) -> int:
        """Of the postmaster, now or last; its children are the backends."""

    def kill_switch(self) -> None:
        """SIGKILL."""

    def start_switch(self) -> None:
        """Start a new one; returns when it listens."""

    def kill_module(self) -> None:
        """SIGKILL."""

    def start_module(self) -> None:
        """Start a new one; returns when it listens."""

    def kill_postgres(self, *, with_backends: bool) -> None:
        """SIGKILL of the postmaster; its backends are killed in the same moment, or end when they notice."""

    def start_postgres(self) -> None:
        """Start it, if it does not run; returns when it takes connections again."""

    def use_up_wal(self) -> None:
        """Let it begin a new file of its log, so that it cannot live on room that it has set aside; it may refuse, or be gone."""


class Cuttable(Protocol):
    """Somebody with a link."""

    def cut(self) -> None:
        """Lose it."""


class Torturer:
    """Runs a schedule.

    Args:
        stage: what is broken.
        terminals: whose links are cut.
        disk: what is filled and frozen; None if no such fault is in the schedule.
        monotonic: the clock, seconds.
    """

    def __init__(
        self, stage: Stage, terminals: Sequence[Cuttable], disk: SmallDisk | None, monotonic: Callable[[], float]
    ) -> None:
        self.counts: Counter[FaultKind] = Counter()
        self.failures: list[str] = []
        self.timeline: list[tuple[float, float, FaultKind]] = []
        """Of each fault: when it began and when it was mended, seconds from the start, and what it was."""
        self._stage = stage
        self._terminals = terminals
        self._disk = disk
        self._monotonic = monotonic
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, schedule: Mapping[Target, Sequence[Fault]]) -> None:
        """Begin."""
        started_at = self._monotonic()
        for target, faults in schedule.items():
            thread = threading.Thread(target=self._run, args=(faults, started_at), name=f"torture {target.value}")
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Break nothing more; returns when all is mended."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, faults: Sequence[Fault], started_at: float) -> None:
        for fault in faults:
            if self._end.wait(max(0.0, started_at + fault.at_seconds - self._monotonic())):
                return
            self.counts[fault.kind] += 1
            began_at = self._monotonic()
            try:
                _INJECT[fault.kind](self, fault)
            except Exception as error:  # noqa: BLE001 - a fault that cannot be mended is a finding, and is told in the report
                self.failures.append(f"{fault.kind.value}: {error!r}")
                return
            self.timeline.append((began_at - started_at, self._monotonic() - started_at, fault.kind))

    def _hold(self, fault: Fault) -> None:
        self._end.wait(fault.hold_seconds)

    def _kill_switch(self, fault: Fault) -> None:
        self._stage.kill_switch()
        self._hold(fault)
        self._stage.start_switch()

    def _freeze_switch(self, fault: Fault) -> None:
        with stopped([self._stage.switch_pid]):
            self._hold(fault)

    def _kill_worker(self, fault: Fault) -> None:
        self._kill_child(self._stage.switch_pid, fault)

    def _freeze_worker(self, fault: Fault) -> None:
        with stopped(_picked(self._stage.switch_pid, fault)):
            self._hold(fault)

    def _outlive_switch(self, fault: Fault) -> None:
        # What the stopped worker was doing is finished, late, beside the next switch.
        with stopped(_picked(self._stage.switch_pid, fault)):
            self._stage.kill_switch()
            self._stage.start_switch()
            self._hold(fault)

    def _kill_module(self, fault: Fault) -> None:
        self._stage.kill_module()
        self._hold(fault)
        self._stage.start_module()

    def _freeze_module(self, fault: Fault) -> None:
        with stopped([self._stage.module_pid]):
            self._hold(fault)

    def _kill_postgres(self, fault: Fault) -> None:
        self._stage.kill_postgres(with_backends=fault.pick % 3 > 0)
        self._hold(fault)
        self._stage.start_postgres()

    def _kill_backend(self, fault: Fault) -> None:
        self._kill_child(self._stage.postgres_pid, fault)
        self._stage.start_postgres()

    def _freeze_postgres(self, fault: Fault) -> None:
        pid = self._stage.postgres_pid
        with stopped([pid, *children(pid)]):
            self._hold(fault)

    def _freeze_backend(self, fault: Fault) -> None:
        with stopped(_picked(self._stage.postgres_pid, fault)):
            self._hold(fault)

    def _fill_disk(self, fault: Fault) -> None:
        assert self._disk is not None
        try:
            self._disk.fill()
            mended_at = self._monotonic() + fault.hold_seconds
            while self._monotonic() < mended_at and not self._end.wait(WAL_SWITCH_SECONDS):
                self._stage.use_up_wal()
        finally:
            self._disk.empty()
        # It may have panicked, and have failed to recover as long as there was no room.
        self._stage.start_postgres()

    def _freeze_disk(self, fault: Fault) -> None:
        assert self._disk is not None
        try:
            self._disk.freeze()
            self._hold(fault)
        finally:
            self._disk.thaw()

    def _kill_child(self, parent: int, fault: Fault) -> None:
        for pid in _picked(parent, fault):
            send_signal(pid, signal.SIGKILL)
        self._hold(fault)

    def _cut_links(self, fault: Fault) -> None:
        step = 2 + fault.pick % 5
        for terminal in self._terminals[fault.pick % step :: step]:
            terminal.cut()

    def _cut_all_links(self, _fault: Fault) -> None:
        for terminal in self._terminals:
            terminal.cut()


def _picked(parent: int, fault: Fault) -> list[int]:
    """The child of *parent* that the fault is for; none where there is no child just now."""
    found = children(parent)
    return [found[fault.pick % len(found)]] if found else []


_INJECT: Mapping[FaultKind, Callable[[Torturer, Fault], None]] = {
    FaultKind.KILL_SWITCH: Torturer._kill_switch,
    FaultKind.FREEZE_SWITCH: Torturer._freeze_switch,
    FaultKind.KILL_WORKER: Torturer._kill_worker,
    FaultKind.FREEZE_WORKER: Torturer._freeze_worker,
    FaultKind.OUTLIVE_SWITCH: Torturer._outlive_switch,
    FaultKind.KILL_MODULE: Torturer._kill_module,
    FaultKind.FREEZE_MODULE: Torturer._freeze_module,
    FaultKind.KILL_POSTGRES: Torturer._kill_postgres,
    FaultKind.KILL_BACKEND: Torturer._kill_backend,
    FaultKind.FREEZE_POSTGRES: Torturer._freeze_postgres,
    FaultKind.FREEZE_BACKEND: Torturer._freeze_backend,
    FaultKind.FILL_DISK: Torturer._fill_disk,
    FaultKind.FREEZE_DISK: Torturer._freeze_disk,
    FaultKind.CUT_LINKS: Torturer._cut_links,
    FaultKind.CUT_ALL_LINKS: Torturer._cut_all_links,
}
