"""Child processes of ours: start one, wait until it says that it listens, end it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 60.0
"""A process that does not listen by then will not; importing everything on a slow machine takes a few."""

STOP_SECONDS_MAX = 30.0
"""Longer than the drain of any of our processes; after it the process is killed and said so."""

_POLL_SECONDS = 0.05


class StartError(Exception):
    """A process ended, or did not listen in time; the text names its log."""


@dataclass(slots=True, kw_only=True)
class Process:
    """A running child. ``run`` is what it wrote in its run file (its addresses)."""

    name: str
    child: subprocess.Popen[bytes]
    run: Mapping[str, Any]
    log_file: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    def stop(self) -> None:
        """SIGTERM, wait for the drain; SIGKILL when it does not end."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def kill(self) -> None:
        """SIGKILL: no drain, no good-bye."""
        self.child.kill()
        self.child.wait()


def is_alive(pid: int) -> bool:
    """Whether a process of that id runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def read_run_file(path: Path) -> Mapping[str, Any] | None:
    """Return what a running process wrote there, None if there is none or its writer is gone."""
    try:
        run = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) and is_alive(int(run.get("pid", 0))) else None


def start_process(
    name: str, arguments: Sequence[str], *, run_file: Path, log_file: Path, environment: Mapping[str, str]
) -> Process:
    """Start ``eudora <arguments>`` and return when its run file says that it listens.

    Raises:
        StartError: it ended, or did not listen in `START_SECONDS_MAX`.
    """
    run_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    run_file.unlink(missing_ok=True)
    with log_file.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[1],
            # A Ctrl-C in the terminal goes to the parent only; it ends the children in the right order.
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        run = read_run_file(run_file)
        if run is not None and int(run["pid"]) == child.pid:
            return Process(name=name, child=child, run=run, log_file=log_file)
        if child.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    if child.poll() is None:
        child.kill()
        child.wait()
    tail = log_file.read_text(errors="replace").splitlines()[-5:]
    raise StartError(f"{name} did not start; see {log_file}:\n" + "\n".join(tail))
