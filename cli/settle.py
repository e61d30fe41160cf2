"""`eudora settle`: the settlement file of a network's day, and what differs from the file that the network sent."""

import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from cli import network_texts, signing
from cli.signing import LANGUAGE, UserName, engine, now
from ledger import reconcile
from ledger.settlement_file import DayNotClosed, SettlementDiffers, write_settlement_file
from messages.partner_csv import ColumnMapping
from messages.settlement_file import SettlementFileError

DIFFERENCES_EXIT_CODE = 1

_Result = TypeVar("_Result")
_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(exists=True, file_okay=False, writable=True, path_type=Path)
_DECISIONS = {name.replace("_", "-"): name for name in reconcile.DECISIONS}


@click.group()
def settle() -> None:
    """Settle a day with a network, line by line."""


@settle.command("file")
@click.argument("network_id")
@click.option("--day", required=True, type=_DAY, help="A settlement day that is closed.")
@click.option("--to", "directory", type=_DIRECTORY, default=Path(), help="Where to.  [default: here]")
def file_command(network_id: str, day: datetime, directory: Path) -> None:
    """Write the settlement file of a day; made again it is the same, octet for octet."""
    made = _ask(lambda: write_settlement_file(engine(), network_id, day.date(), directory, now()))
    click.echo(f"{made.path}  {made.sums.lines}  {made.sha256}")


@settle.command("reconcile")
@click.argument("path", type=_FILE)
@click.option("--network", "network_id", help="Whose file it is; ours say so themselves.")
@click.option("--day", type=_DAY, help="Of which settlement day; ours say so themselves.")
@click.option("--mapping", "mapping_path", type=_FILE, help="TOML that declares the columns of a network's own CSV.")
@click.option("--user", required=True, type=UserName(), help="Who compares.")
@LANGUAGE
def reconcile_command(
    *,
    path: Path,
    network_id: str | None,
    day: datetime | None,
    mapping_path: Path | None,
    user: str,
    language: str | None,
) -> None:
    """Compare a network's file with the books; nothing is booked.

    Prints the counts and what differs. The exit code is 0 only when nothing does.
    """
    if mapping_path is not None and (network_id is None or day is None):
        raise click.UsageError("a network's own CSV needs --network and --day")
    theirs = reconcile.TheirFile(
        path=path,
        mapping=None if mapping_path is None else _mapping(mapping_path),
        acquirer_id=network_id,
        day=None if day is None else day.date(),
    )
    run = _ask(lambda: reconcile.compare_file(engine(), theirs, user=user, at=now()))
    words = signing.language(language)
    click.echo(network_texts.run_line(run, words))
    if run.differences:
        for each in _ask(lambda: reconcile.differences_of(engine(), run.run_id)):
            click.echo(network_texts.difference_line(each, words))
        raise click.exceptions.Exit(DIFFERENCES_EXIT_CODE)


@settle.command("list")
@click.option("--network", "network_id", help="Only this network.")
@LANGUAGE
def list_command(network_id: str | None, language: str | None) -> None:
    """List the differences that nobody has decided yet, the oldest first."""
    for each in _ask(lambda: reconcile.open_differences(engine(), network_id)):
        click.echo(network_texts.difference_line(each, signing.language(language)))


@settle.command("decide")
@click.argument("difference_id", type=int)
@click.option("--as", "decision", required=True, type=click.Choice(sorted(_DECISIONS)))
@click.option("--by", "user", required=True, type=UserName(), help="Who decides.")
@click.option("--why", required=True, help="For whoever reads it later.")
@LANGUAGE
def decide_command(*, difference_id: int, decision: str, user: str, why: str, language: str | None) -> None:
    """Record what becomes of a difference. Money moves only by `eudora adjust` and `eudora network deposit`."""
    if not why.strip():
        raise click.UsageError("--why is empty")
    decided = _ask(
        lambda: reconcile.decide(engine(), difference_id, _DECISIONS[decision], user=user, why=why, at=now())
    )
    click.echo(network_texts.difference_line(decided, signing.language(language)))


def _mapping(path: Path) -> ColumnMapping:
    try:
        return ColumnMapping.of_table(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{path}: {error}") from error


def _ask(question: Callable[[], _Result]) -> _Result:
    """Ask the ledger; what cannot be done ends the command with a sentence."""
    try:
        return signing.ask(question, "eudora settle list")
    except DayNotClosed as error:
        raise click.ClickException(
            f"{error}: the day is not closed, or is before the network's first, or there is no such network"
        ) from error
    except (SettlementFileError, SettlementDiffers, reconcile.DifferenceRefused, OSError) as error:
        raise click.ClickException(str(error)) from error
