"""`eudora switch`: the processes that acquirers connect to, one or several on this machine."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.processes import STOP_SECONDS_MAX, is_alive

RUN_FILE = click.option(
    "--run-file", type=click.Path(path_type=Path), help="Of the switch.  [default: the one of this installation]"
)

_POLL_SECONDS = 0.1


@click.group()
def switch() -> None:
    """The ISO 8583 switch."""


@switch.command("run")
@click.option("--run-file", type=click.Path(path_type=Path), help="Write the addresses here once the ports are open.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Run so many on the same ports, under a supervisor.  [default: switch.processes of the configuration]",
)
@click.option("--number", type=int, hidden=True, help="Of a process under a supervisor.")
@click.option("--supervisor", type=int, hidden=True, help="Descriptor of the socket to it.")
def run_command(run_file: Path | None, processes: int | None, number: int | None, supervisor: int | None) -> None:
    """Run a switch until SIGTERM or Ctrl-C, which drain it. SIGHUP: read the configuration again.

    With several processes SIGUSR1 restarts them one after the other.
    """
    from cli.context import database_dsn, settings
    from cli.supervise import supervise
    from config.errors import ConfigError
    from switch.main import Place, run
    from switch.networks import CannotApply

    place = None if number is None or supervisor is None else Place(number=number, descriptor=supervisor)
    try:
        processes = processes or settings().switch.processes
        if place is None and processes is not None:
            supervise(processes, run_file)
        else:
            run(settings(), dsn=database_dsn(), run_file=run_file, place=place)
    except (ConfigError, CannotApply) as error:
        raise click.ClickException(str(error)) from error


@switch.command("drain")
@RUN_FILE
def drain_command(run_file: Path | None) -> None:
    """End the switch, all its processes: accept nothing more, answer what is in work, end. Exit code 1: it did not end in time."""
    run = _running(run_file)
    pid = int(run["pid"])
    os.kill(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS_MAX + 5.0
    while is_alive(pid):
        if time.monotonic() > give_up_at:
            raise click.ClickException(f"process {pid} has not ended; see its log")
        time.sleep(_POLL_SECONDS)
    click.echo("drained")


@switch.command("restart")
@RUN_FILE
@click.option("--rolling", is_flag=True, help="One process after the other; without it nothing is done.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=600.0, show_default=True, help="To wait for its end."
)
def restart_command(run_file: Path | None, seconds: float, *, rolling: bool) -> None:
    """Replace every process by a new one, each only while all others are ready; no connection is refused meanwhile.

    The new ones run the program and the configuration as they are now. The first that does not become ready halts it. Exit code 1 then.
    """
    if not rolling:
        raise click.UsageError("say --rolling; to restart all at once: drain, then run")
    run = _running(run_file)
    if "restart" not in run:
        raise click.ClickException("this switch is one process without a supervisor: run it with --processes")
    attempt = run["restart"]["attempt"]
    os.kill(int(run["pid"]), signal.SIGUSR1)
    give_up_at = time.monotonic() + seconds
    said = ""
    while time.monotonic() < give_up_at:
        state = _running(run_file)["restart"]
        phase = f"process {state['process']}: {state['phase']}"
        if state["attempt"] > attempt and phase != said and state["phase"] not in ("done", "halted"):
            click.echo(phase)
            said = phase
        if state["attempt"] > attempt and state["phase"] == "halted":
            raise click.ClickException(f"halted: {state['why']}; the other processes go on as they were")
        if state["attempt"] > attempt and state["phase"] == "done":
            click.echo("every process is a new one")
            return
        time.sleep(_POLL_SECONDS)
    raise click.ClickException(f"not done within {seconds:.0f} seconds; it goes on, see the log")


@switch.command("list")
@RUN_FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each process.")
def list_command(run_file: Path | None, *, as_json: bool) -> None:
    """Show the processes of the running switch: number, process id, how it is, where its metrics are."""
    from cli.running_switch import processes_of

    for process in processes_of(_running(run_file)):
        shown = {key: process.get(key) for key in ("number", "pid", "status", "metrics")}
        line = "process {number}: pid {pid}, {status}, metrics {metrics}"
        click.echo(json.dumps(shown) if as_json else line.format_map({k: v or "-" for k, v in shown.items()}))


def _running(run_file: Path | None) -> Mapping[str, Any]:
    from cli.context import run_file as usual
    from cli.running_switch import running

    return running(run_file or usual("switch"))
