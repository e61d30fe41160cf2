"""``eudora sts``: the token standard against its test vectors."""

import json
import sys
from pathlib import Path

import click


@click.group()
def sts() -> None:
    """The token standard (STS, IEC 62055-41)."""


@sts.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Run every test vector of FILE; print {"vectors", "passed", "failed"}; exit 0 only if all pass."""
    # Imported here so that the other commands do not pay for the cipher tables.
    from sts.vectors import run_vectors

    try:
        report = run_vectors(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as fault:
        raise click.ClickException(f"{file} is not a vector file: {fault}") from fault
    click.echo(json.dumps(report, ensure_ascii=False))
    sys.exit(1 if report["failed"] else 0)
