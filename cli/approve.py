"""`eudora approve`: one person's signature for what goes beyond a register's quota. The security module verifies it itself.

The key file stays with the person: run this where that is, on another machine than the switch if you can. `show` and `adjustment` need the
ledger only to read what is to be signed.
"""

from pathlib import Path

import click

from cli import adjust_texts, signing
from cli.approval_file import approval_text
from cli.signing import LANGUAGE, ask, engine, now
from config.state_files import replace_durably
from ledger import adjustments
from ledger.adjustments import Adjustment
from security_module.approvals import (
    APPROVAL_SECONDS_MAX,
    PASSPHRASE_CHARACTERS_MIN,
    PersonKeyError,
    make_person_key,
    read_person_key,
    sign_approval,
)
from vending.adjustment import AdjustmentRefused
from vending.engineering import approval_octets
from vending.secret import Secret

HOURS_MAX = APPROVAL_SECONDS_MAX // 3600 - 1
"""One less than the module takes: its clock may differ from ours."""

_PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the passphrase here instead of asking for it.",
)


@click.group()
def approve() -> None:
    """Sign, as one of two people, for what the security module gives only with approvals."""


@approve.command("new-key")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The key file to make.")
@_PASSPHRASE_FILE
def new_key_command(output: Path, passphrase_file: Path | None) -> None:
    """Make a person's key under a passphrase; prints the public key, which the ceremony enrols (`enter-keys`, 4)."""
    if output.exists():
        raise click.ClickException(f"{output} is there already; nothing was changed")
    try:
        pem, public_key = make_person_key(_passphrase(passphrase_file, is_new=True))
    except PersonKeyError as error:
        raise click.ClickException(str(error)) from error
    replace_durably(output, pem)
    click.echo(public_key)


@approve.command("adjustment")
@click.argument("adjustment_id", type=int)
@click.option(
    "--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your key file."
)
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The approval to write.")
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, HOURS_MAX), help="How long it is good.")
@_PASSPHRASE_FILE
@LANGUAGE
def adjustment_command(
    adjustment_id: int, key: Path, output: Path, hours: int, passphrase_file: Path | None, language: str | None
) -> None:
    """Sign for the open token of an approved adjustment; what is signed is shown first.

    Two such files go to `eudora adjust finish ID --approval FILE --approval FILE`.
    """
    adjustment = _open_adjustment(adjustment_id, language)
    assert adjustment.token is not None, "it is open"
    expires = int(now().timestamp()) + hours * 3600
    click.echo(adjust_texts.page_of(adjustment, signing.language(language)))
    click.echo(approval_octets(adjustment.token.request, expires).decode("ascii"), nl=False)
    try:
        person = read_person_key(key.read_bytes(), _passphrase(passphrase_file, is_new=False))
    except PersonKeyError as error:
        raise click.ClickException(f"{key}: {error}") from error
    approval = sign_approval(adjustment.token.request, person, expires)
    replace_durably(output, approval_text(approval).encode("ascii"))


def _open_adjustment(adjustment_id: int, language: str | None) -> Adjustment:
    try:
        adjustment = ask(lambda: adjustments.read(engine(), adjustment_id), "eudora adjust list")
    except AdjustmentRefused as refused:
        raise click.ClickException(adjust_texts.refusal_of(refused, signing.language(language))) from refused
    if not adjustment.is_open:
        raise click.ClickException(f"adjustment {adjustment_id} has no token that is still to be made")
    return adjustment


def _passphrase(file: Path | None, *, is_new: bool) -> Secret[str]:
    if file is not None:
        return Secret(file.read_text(encoding="utf-8").rstrip("\r\n"))
    prompt = f"Passphrase ({PASSPHRASE_CHARACTERS_MIN} characters or more)" if is_new else "Passphrase"
    typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=is_new)
    return Secret(typed)
