"""``eudora ledger``: prove the books, and bring their schema up to date."""

import json
from datetime import UTC, datetime, timedelta

import click

from cli import context
from cli.archive import archive_command, archived_command
from cli.module_call import ModuleCallError
from cli.settlement import close_days_command, totals_command
from ledger.check import check
from ledger.errors import SchemaTooNew, SchemaTooOld
from ledger.schema_version import require_schema
from ledger.undelivered import ANSWERS_PER_CALL_MAX, read_undelivered
from ledger.upgrade import upgrade


@click.group()
def ledger() -> None:
    """The money of record."""


@ledger.command("check")
@click.option(
    "--without-module",
    is_flag=True,
    help="Leave out what the security module counted; the report then says that this check did not run.",
)
@click.option(
    "--days",
    type=click.IntRange(0, 31),
    default=2,
    show_default=True,
    help="Local days, today first, whose mints and sales are compared one by one; orphans are named.",
)
def check_command(*, without_module: bool, days: int) -> None:
    """Prove postings, balances, tokens, journal and the security module's counters against each other.

    Prints one JSON object; the exit code is 0 only if everything agrees. Sales may go on meanwhile, but then the module may have
    minted more than the ledger's snapshot shows: run it when nothing is on its way.

    With several modules in the configuration all of them are asked, and a sale that two of them minted counts once. While one does
    not answer nothing is said to agree.
    """
    engine = context.engine()
    try:
        require_schema(engine)
    except (SchemaTooNew, SchemaTooOld) as error:
        raise click.ClickException(str(error)) from error
    if without_module:
        report = check(engine, None)
    else:
        reading = context.read_modules(context.last_days(days))
        try:
            report = check(engine, reading.counters, reading.module_days, reading.several)
        except ModuleCallError as error:
            raise click.ClickException(str(error)) from error
    click.echo(json.dumps(report.as_json(), indent=2))
    if not report.agree:
        raise SystemExit(1)


@ledger.command("undelivered")
@click.option("--days", type=click.IntRange(1, 3660), default=7, show_default=True, help="How far back.")
@click.option("--terminal", default=None, help="Only this terminal.")
@click.option("--limit", type=click.IntRange(1, ANSWERS_PER_CALL_MAX), default=100, show_default=True)
def undelivered_command(*, days: int, terminal: str | None, limit: int) -> None:
    """List answers that were ready and did not leave because their connection was gone, the newest first.

    One JSON object per line. "code" is what the journal answers to the terminal's repeat, null while that has no outcome yet.
    """
    since = datetime.now(UTC) - timedelta(days=days)  # noqa: TID251 - the command is where the clock comes from
    for row in read_undelivered(context.engine(), since=since, terminal_id=terminal, limit=limit):
        click.echo(json.dumps(row._asdict(), default=str))


@ledger.command("upgrade")
def upgrade_command() -> None:
    """Run the migrations that the database still lacks."""
    try:
        upgrade(context.engine())
    except SchemaTooNew as error:
        raise click.ClickException(str(error)) from error
    click.echo("the schema is up to date")


ledger.add_command(archive_command)
ledger.add_command(archived_command)
ledger.add_command(totals_command)
ledger.add_command(close_days_command)
