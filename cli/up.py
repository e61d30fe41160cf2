"""`eudora up`: everything on this machine until Ctrl-C."""

import signal
import threading

import click

from cli import context
from cli.processes import StartError
from cli.running_switch import processes_of
from cli.system import RunningSystem, running_system
from town.generate import DEMO_METER_NUMBER

_LOOK_SECONDS = 0.5


@click.command()
@click.option(
    "--switches", type=click.IntRange(1, 64), help="Switch processes on the same ports.  [default: switch.processes]"
)
def up(switches: int | None) -> None:
    """Run PostgreSQL, security module and switch on this machine until Ctrl-C; the first time a town is seeded."""
    try:
        with running_system(on_free_ports=False, switches=switches) as system:
            host, port = system.switch_address
            click.echo(f"switch (datáfonos, ISO 8583)  {host}:{port}")
            for name in sorted(set(system.switch.run["acquirers"]) - {context.ACQUIRER_ID}):
                click.echo("switch ({}){}{}:{}".format(name, " " * (21 - len(name)), *system.network_address(name)))
            for process in processes_of(system.switch.run):
                name = "metrics and health" if process["number"] is None else f"switch process {process['number']}"
                click.echo(f"{name:<30}http://{process['metrics']}/metrics, /health (pid {process['pid']})")
            click.echo("security module (mutual TLS)  {}:{}".format(*system.module_address))
            click.echo(f"ledger (PostgreSQL)           {system.dsn}")
            click.echo(f"state                         {system.home}")
            click.echo(f"\nTry: .venv/bin/eudora pos sell --meter {DEMO_METER_NUMBER} --amount 20000")
            click.echo("Ctrl-C ends everything.")
            _wait(system)
    except StartError as error:
        raise click.ClickException(str(error)) from error


def _wait(system: RunningSystem) -> None:
    """Wait for Ctrl-C or SIGTERM, or for one of the processes to end by itself."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    while not asked.wait(_LOOK_SECONDS):
        for process in (system.switch, system.security_module):
            if process.child.poll() is not None:
                raise click.ClickException(f"{process.name} ended by itself; see {process.log_file}")
    click.echo("draining")
