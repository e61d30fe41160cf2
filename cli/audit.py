"""``eudora security-module audit``: export the module's audit, verify it off line, move old segments away."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cli.custody import directory_option
from cli.module_proof import clock_group, proof_command
from config.state_files import replace_durably
from security_module.audit_chain import AuditError, read_public_key
from security_module.audit_file import LINE_OCTETS_MAX, Verified, export, move_away, verify, verify_following
from security_module.layout import Layout
from security_module.mint_store import MintLogError

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_day = click.DateTime(["%Y-%m-%d"])
_key_option = click.option("--public-key", type=_file, required=True, help="The module's public audit key (PEM).")


@click.group("audit")
def audit_group() -> None:
    """The audit: every mint, refusal and management act, chained and signed."""


@audit_group.command("public-key")
@directory_option
@click.option("--hex", "is_hex", is_flag=True, help="64 hexadecimal digits, as a ceremony asks for them.")
def public_key_command(directory: Path, *, is_hex: bool) -> None:
    """Print the public key that verifies this module's audit, leases and closing statements (PEM), as it wrote it at its last start."""
    try:
        pem = Layout(directory).audit_public_key.read_text(encoding="ascii")
        click.echo(read_public_key(pem.encode("ascii")).public_bytes_raw().hex() if is_hex else pem, nl=is_hex)
    except FileNotFoundError as error:
        raise click.ClickException(
            f"the module in {directory} was never started, or its store has no audit key"
        ) from error


@audit_group.command("export")
@directory_option
@click.option("--from", "first_day", type=_day, help="First local day; default: the oldest record here.")
@click.option("--to", "last_day", type=_day, help="Last local day; default: up to the last signed head.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A new file; default: print.")
def export_command(directory: Path, first_day: datetime | None, last_day: datetime | None, output: Path | None) -> None:
    """Write the audit of whole local days, on to the first signed head after them. The module may be running."""
    if output is not None and output.exists():
        raise click.ClickException(f"{output} exists already")
    try:
        lines = export(Layout(directory).mint_log, _date(first_day), _date(last_day))
        if output is None:
            for line in lines:
                click.echo(line)
        else:
            replace_durably(output, "".join(f"{line}\n" for line in lines).encode("utf-8"))
    except (AuditError, MintLogError) as error:
        raise click.ClickException(str(error)) from error


@audit_group.command("verify")
@click.argument("files", type=_file, nargs=-1, required=True)
@_key_option
@click.option("--until", type=_day, help="Fail unless the last head was signed after the end of this local day.")
def verify_command(files: Sequence[Path], public_key: Path, until: datetime | None) -> None:
    """Verify exported files with nothing but the public key; several must follow one another. Prints what they prove."""
    verified = _verify_files(files, public_key)
    if until is not None and not verified[-1].vouches_for(until.date()):
        raise click.ClickException(
            f"the last head was signed at {verified[-1].vouched_until}: what came after it may be missing"
        )
    click.echo(json.dumps([asdict(each) for each in verified], indent=2))


@audit_group.command("move-away")
@click.argument("file", type=_file)
@directory_option
@_key_option
def move_away_command(file: Path, directory: Path, public_key: Path) -> None:
    """Take the records of a verified export out of the log; ids and counters stay, and the chain goes on."""
    (verified,) = _verify_files([file], public_key)
    try:
        moved = move_away(Layout(directory).mint_log, verified)
    except (AuditError, MintLogError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{moved} records are only in {file} now; keep it")


def _verify_files(files: Sequence[Path], public_key: Path) -> list[Verified]:
    verified: list[Verified] = []
    for path in files:
        try:
            verified.append(verify(_lines(path), _read_key(public_key)))
        except AuditError as error:
            raise click.ClickException(f"{path}: {error}") from error
    try:
        verify_following(verified)
    except AuditError as error:
        raise click.ClickException(str(error)) from error
    return verified


def _read_key(path: Path) -> Ed25519PublicKey:
    return read_public_key(path.read_bytes())


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(LINE_OCTETS_MAX), b""):
            if not line.endswith(b"\n"):
                raise AuditError("the last line is cut off")
            try:
                yield line[:-1].decode("ascii")
            except UnicodeDecodeError as error:
                raise AuditError("a line is not ASCII") from error


def _date(moment: datetime | None) -> date | None:
    return moment.date() if moment is not None else None


COMMANDS: tuple[click.Command, ...] = (audit_group, proof_command, clock_group)
"""What this part adds to ``eudora security-module``."""
