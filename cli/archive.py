"""``eudora ledger archive`` and ``archived``: months that leave the database, and what is in their files."""

import json
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import click

from cli import context
from ledger.archive import ArchiveRefused, archive
from ledger.archive_file import SECRET_COLUMNS, ArchiveDamaged, read_rows, verify
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable, SchemaTooNew, SchemaTooOld
from ledger.schema_version import require_schema

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("archive")
@click.option("--before", type=click.DateTime(["%Y-%m"]), help="The first month that stays, YYYY-MM.")
@click.option("--to", "directory", type=click.Path(file_okay=False, path_type=Path), help="Where the files go.")
@click.option("--verify", "file", type=FILE, help="Only compare this file with its manifest; no database is asked.")
def archive_command(*, before: datetime | None, directory: Path | None, file: Path | None) -> None:
    """Move whole months of the journal and of the postings into files; their sums stay, and `ledger check` counts them in.

    The ledger is proved first. Each month is written, read back, and only then dropped; if anything stops in between, run the same
    again. Prints one JSON object for each month that left. The files hold PINs: they are secret.
    """
    if file is not None:
        if before is not None or directory is not None:
            raise click.UsageError("--verify stands alone")
        _verify(file)
        return
    if before is None or directory is None:
        raise click.UsageError("give --before YYYY-MM and --to DIR, or --verify FILE")
    _archive(before.date(), directory)


@click.command("archived")
@click.argument("file", type=FILE)
@click.option("--terminal", help="Rows of this terminal (journal).")
@click.option("--stan", help="Rows with this trace number (journal).")
@click.option("--sale", type=int, help="Rows of this sale (journal), or of the entry with this number (postings).")
@click.option("--octets", is_flag=True, help="Also print request and answer in hexadecimal: the answer holds PINs.")
def archived_command(*, file: Path, terminal: str | None, stan: str | None, sale: int | None, octets: bool) -> None:
    """Look into an archived month: one JSON object for each row that fits. No database is asked.

    `eudora iso describe` reads what --octets shows. Exit code 1 if no row fits.
    """
    numbered = "entry_id" if file.name.startswith("posting") else "sale_id"
    asked = {"terminal_code": terminal, "stan": stan, numbered: None if sale is None else str(sale)}
    wanted = {name: value for name, value in asked.items() if value is not None}
    is_found = False
    try:
        for row in read_rows(file, wanted):
            is_found = True
            shown = row if octets else {name: value for name, value in row.items() if name not in SECRET_COLUMNS}
            click.echo(json.dumps(shown))
    except ArchiveDamaged as error:
        raise click.ClickException(str(error)) from error
    if not is_found:
        raise SystemExit(1)


def _archive(before: date, directory: Path) -> None:
    engine = context.engine()
    try:
        require_schema(engine)
        for month in archive(engine, before=before, directory=directory):
            click.echo(json.dumps({"file": str(month.path), **asdict(month.manifest)}))
    except (SchemaTooNew, SchemaTooOld, ArchiveRefused, OSError) as error:
        raise click.ClickException(str(error)) from error
    except (LedgerUnavailable, LedgerOutcomeUnknown) as error:
        raise click.ClickException(
            f"{error}; nothing is lost: run it again when no backup or proof is reading"
        ) from error


def _verify(file: Path) -> None:
    try:
        manifest = verify(file)
    except ArchiveDamaged as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps({"file": str(file), **asdict(manifest)}))
