"""The process above several switch processes: its signals, its log, its run file, its end."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from cli.context import database_dsn, settings
from cli.processes import STOP_SECONDS_MAX
from config.settings import load
from config.state_files import write_run_file
from switch.log import configure
from switch.supervisor import Supervisor

TURN_SECONDS = 1.0
"""Whatever happens ends a turn at once; what is due is done within this."""


def supervise(processes: int, run_file: Path | None) -> None:
    """Run that many switch processes until SIGTERM or Ctrl-C. SIGHUP: they read their configuration again. SIGUSR1: a rolling restart.

    Raises:
        click.ClickException: a process did not even start.
    """
    section = settings()
    if section.database.dsn is None:
        # The embedded server lives as long as this process; the others find it by its address.
        os.environ["EUDORA_DATABASE__DSN"] = database_dsn()
    configure(
        sys.stdout if section.log.file is None else section.log.file.open("a", encoding="utf-8"), section.log.level
    )
    supervisor = Supervisor(
        _command,
        processes=processes,
        stop_seconds=STOP_SECONDS_MAX,
        check=load,
        tell=lambda report: None if run_file is None else write_run_file(run_file, report),
        monotonic=time.monotonic,
    )
    _obey(
        supervisor,
        {
            signal.SIGTERM: supervisor.end,
            signal.SIGINT: supervisor.end,
            signal.SIGHUP: supervisor.apply,
            signal.SIGUSR1: supervisor.restart,
            signal.SIGCHLD: lambda: None,
        },
    )
    try:
        while not supervisor.is_over:
            supervisor.turn(TURN_SECONDS)
    finally:
        supervisor.close()
    if supervisor.failure is not None:
        raise click.ClickException(supervisor.failure)


def _obey(supervisor: Supervisor, acts: Mapping[int, Callable[[], None]]) -> None:
    """Have each signal end the turn, and its act done in the next: never in the middle of another."""
    heard, hears = socket.socketpair()
    for each in (heard, hears):
        each.setblocking(False)
    signal.set_wakeup_fd(hears.fileno())
    for number in acts:
        signal.signal(number, lambda *_: None)

    def act() -> None:
        for number in heard.recv(4096):
            acts[number]()

    supervisor.wake_on(heard.fileno(), act)
    # The pair lives as long as the process.
    hears.detach()


def _command(number: int, descriptor: int) -> list[str]:
    numbered = ("--number", str(number), "--supervisor", str(descriptor))
    return [sys.executable, "-m", "cli.main", "switch", "run", *numbered]
