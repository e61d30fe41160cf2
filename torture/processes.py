"""Process trees of this machine: who the children of a process are, stopping and continuing some, reaping the orphaned."""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
"""``PR_SET_CHILD_SUBREAPER`` of ``linux/prctl.h``."""


@contextmanager
def orphans_adopted() -> Iterator[None]:
    """Be the parent of grandchildren whose parent dies, for the length of the block.

    In a container the first process may look after them late or never: a postmaster that was killed would stay as a zombie, and its
    successor would take it for a living one.
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        library.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Return the children of a process, in order of their ids; none of one that is gone."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    found.append(int(directory.name))
    return sorted(found)


def send_signal(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether the process was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes for the length of the block."""
    halted = [pid for pid in pids if send_signal(pid, signal.SIGSTOP)]
    try:
        yield
    finally:
        for pid in halted:
            send_signal(pid, signal.SIGCONT)


def reap(pids: Iterable[int], *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Wait until those of *pids* that are our own children by now have ended; the others are left to their parents."""
    deadline = monotonic() + seconds
    waiting = list(pids)
    while waiting and monotonic() < deadline:
        waiting = [pid for pid in waiting if not _has_ended(pid)]
        if waiting:
            time.sleep(0.01)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()
