"""Bringing a ledger worker to life: forked out of a switch that is just starting, or as a fresh program later.

A fresh program loads the whole ledger anew, which costs a second or two of a core for each of a dozen workers, and that is what a start of
the switch would mostly be. A fork has it already. It is only taken while the switch has one thread: what another thread holds
locked in that moment would stay locked in the child for ever.
"""

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn, Protocol

from switch.ledger_worker import IGNORED_SIGNALS, serve

_FIRST_DESCRIPTOR = 3
_DESCRIPTORS_MAX = 1 << 20


class WorkerProcess(Protocol):
    """A worker that was started."""

    def poll(self) -> int | None:
        """Take note of its end, if it has ended, so that the system may forget it."""


class _Forked:
    """A worker that is a copy of this process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def poll(self) -> int | None:
        """Take note of its end; None: it lives, or somebody else has taken note."""
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            return status if pid else None
        return None


def start_worker(link: socket.socket) -> WorkerProcess:
    """Start a worker on its end of a socket pair; the caller closes its own copy."""
    return _fork(link) if threading.active_count() == 1 else _run_program(link)


def _run_program(link: socket.socket) -> WorkerProcess:
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "switch.ledger_worker", str(link.fileno())],
        pass_fds=[link.fileno()],
        stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _fork(link: socket.socket) -> WorkerProcess:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_worker(link)
    return _Forked(pid)


def _be_worker(link: socket.socket) -> NoReturn:
    """Leave behind all that is the switch's, and serve. Never returns, so nothing of the switch's own runs or ends here."""
    status = 1
    try:
        # What the switch made stays as it is: were a socket of it collected here, it would close a descriptor that is by then another's.
        gc.freeze()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        for number in IGNORED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        kept = link.fileno()
        os.closerange(_FIRST_DESCRIPTOR, kept)
        os.closerange(kept + 1, _DESCRIPTORS_MAX)
        serve(link, time.monotonic)
        status = 0
    except BaseException:  # noqa: BLE001 - it must not go on into the switch
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
