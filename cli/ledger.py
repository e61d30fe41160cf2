"""``eudora ledger``: prove the books, and bring their schema up to date."""

import json

import click

from cli import context
from ledger.check import check
from ledger.errors import SchemaTooNew, SchemaTooOld
from ledger.upgrade import require_schema, upgrade


@click.group()
def ledger() -> None:
    """The money of record."""


@ledger.command("check")
@click.option(
    "--without-module",
    is_flag=True,
    help="Leave out what the security module counted; the report then says that this check did not run.",
)
def check_command(*, without_module: bool) -> None:
    """Prove postings, balances, tokens, journal and the security module's counters against each other.

    Prints one JSON object; the exit code is 0 only if everything agrees. Sales may go on meanwhile, but then the module may have
    minted more than the ledger's snapshot shows: run it when nothing is on its way.
    """
    engine = context.engine()
    try:
        require_schema(engine)
    except (SchemaTooNew, SchemaTooOld) as error:
        raise click.ClickException(str(error)) from error
    report = check(engine, None if without_module else context.module_counters())
    click.echo(json.dumps(report.as_json(), indent=2))
    if not report.agree:
        raise SystemExit(1)


@ledger.command("upgrade")
def upgrade_command() -> None:
    """Run the migrations that the database still lacks."""
    try:
        upgrade(context.engine())
    except SchemaTooNew as error:
        raise click.ClickException(str(error)) from error
    click.echo("the schema is up to date")
