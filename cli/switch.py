"""`eudora switch`: the process that acquirers connect to."""

from pathlib import Path

import click


@click.group()
def switch() -> None:
    """The ISO 8583 switch."""


@switch.command("run")
@click.option("--run-file", type=click.Path(path_type=Path), help="Write the addresses here once the ports are open.")
def run_command(run_file: Path | None) -> None:
    """Run a switch until SIGTERM or Ctrl-C."""
    from cli.context import database_dsn, settings
    from switch.main import run

    run(settings(), dsn=database_dsn(), run_file=run_file)
