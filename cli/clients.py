"""``eudora security-module clients``: who may connect, a certificate more, and one that is worth nothing any more."""

import fcntl
import json
import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from cli.ceremony_terminal import hold
from cli.custody import (
    conducted_by_option,
    conductor,
    directory_option,
    language_option,
    now,
    open_anyhow,
    opened_to_change,
    prints,
    sentences,
)
from security_module.ceremony_dialogue import issue_client
from security_module.ceremony_texts import texts_in
from security_module.certificates import VALIDITY_DAYS
from security_module.clients import (
    REASON_CHARACTERS_MAX,
    Revocation,
    add_revocation,
    find,
    issue,
    revoked_pins,
    to_document,
)
from security_module.custody import replace_store, write_record
from security_module.hardening import harden
from security_module.key_store import read_store, write_private
from security_module.layout import Layout
from security_module.mint_store import open_readonly, read_clients, read_revoked
from security_module.revocation_watch import LOOK_SECONDS
from security_module.roles import Role

CONFIRMED_SECONDS_MAX = 10.0
"""How long a running module is waited for: it looks each second, and writes one line behind what it is writing."""


@click.group("clients")
def clients_group() -> None:
    """Who may connect to the module, by certificate and role."""


@clients_group.command("list")
@directory_option
@language_option
@click.option("--sealed", is_flag=True, help="Open the store and list what counts from the next start.")
def list_command(directory: Path, language: str, *, sealed: bool) -> None:
    """List the clients as of the module's last start, and what was revoked since. Prints JSON; opens no store unless told to."""
    layout = Layout(directory)
    with sentences():
        clients = _sealed(layout, language) if sealed else _known(layout)
        revoked = revoked_pins(layout)
    shown = [{**each, "is_revoked": each["spki_sha256"] in revoked} for each in clients]
    unnamed = sorted(revoked - {each["spki_sha256"] for each in clients})
    click.echo(json.dumps({"clients": shown, "revoked_before": unnamed}, indent=2))


def _known(layout: Layout) -> list[dict[str, Any]]:
    """Return who might connect when the module started last."""
    if not layout.mint_log.exists():
        raise click.ClickException(f"{layout.directory}: the module was never started; list with --sealed")
    with closing(open_readonly(layout.mint_log)) as database:
        return list(read_clients(database))


def _sealed(layout: Layout, language: str) -> list[dict[str, Any]]:
    """Return who may connect from the next start."""
    harden()
    keys = open_anyhow(read_store(layout.store), layout.directory, language).keys
    until = {pin: each.expires_at.isoformat() for pin, each in keys.clients.items() if each.expires_at is not None}
    return [{**each, "expires_at": until.get(each["spki_sha256"])} for each in to_document(keys)]


@clients_group.command("issue")
@directory_option
@language_option
@click.argument("name")
@click.argument("role", type=click.Choice([each.value for each in Role]))
@click.option("--days", type=click.IntRange(1, VALIDITY_DAYS), default=VALIDITY_DAYS, show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: tls/clients/NAME.pem of the module."
)
def issue_command(directory: Path, language: str, name: str, role: str, days: int, output: Path | None) -> None:
    """Make a certificate for the client NAME in one ROLE; two people confirm it. It counts from the module's next start.

    Another certificate of the same name stays until it is revoked, so that a client can be moved from one to the other.
    """
    harden()
    layout, at = Layout(directory), now()
    with sentences(), opened_to_change(directory, language) as opened:
        keys, client, identity = issue(
            opened.keys, name, Role(role), now=at, days=days, random_octets=secrets.token_bytes
        )
        target = output or layout.client(name)
        if target.exists():
            raise FileExistsError(target)
        outcome = hold(issue_client(texts_in(language), opened, keys, client, now=at))
        # A certificate without its pin is worth nothing, a pin without its certificate would be a ghost.
        write_private(target, identity.key_pem.reveal() + identity.certificate_pem)
        replace_store(layout, outcome.opened)
        record = write_record(layout, at, outcome.protocol)
    click.echo(f"{target}\n{client.spki_sha256}\n{record}\n{prints(keys)}")


@clients_group.command("revoke")
@directory_option
@click.argument("client")
@click.option("--reason", required=True, help="For the audit.")
@conducted_by_option
def revoke_command(directory: Path, client: str, reason: str, conducted_by: str | None) -> None:
    """Make the certificate of CLIENT (its name, or the first digits of its pin) worthless, now and for ever. Needs nobody else.

    A running module ends its links and lets it in no more within two seconds; one that stands still does so when it starts.
    """
    layout = Layout(directory)
    if not 1 <= len(reason) <= REASON_CHARACTERS_MAX or not reason.isprintable():
        raise click.BadParameter(f"1 to {REASON_CHARACTERS_MAX} characters", param_hint="--reason")
    with sentences():
        revoked = revoked_pins(layout)
        found = [each for each in find(_known(layout), client) if each["spki_sha256"] not in revoked]
        if len(found) != 1:
            pins = "".join(f"\n{each['name']} {each['role']} {each['spki_sha256']}" for each in found)
            told = f"{client} is more than one certificate; say which by its pin:{pins}" if found else f"no {client}"
            raise click.ClickException(told if found else f"{told} among the clients that are not revoked yet")
        (who,) = found
        asked = {"by": conductor(conducted_by), "reason": reason, "asked_at": now().isoformat()}
        add_revocation(layout.revocations, Revocation(**who, **asked))
    click.echo(f"revoked: {who['name']} {who['role']} {who['spki_sha256']}")
    click.echo(_when(layout, who["spki_sha256"]))


def _when(layout: Layout, pin: str) -> str:
    """Wait until the module that runs has it in its audit, and say so; ClickException if it does not."""
    if not _is_running(layout.lock):
        return "the module does not run; it counts, and stands in the audit, when it starts"
    end = time.monotonic() + CONFIRMED_SECONDS_MAX
    while time.monotonic() < end:
        if pin in _recorded(layout):
            return "the running module has ended its links and lets it in no more; it is in the audit"
        time.sleep(LOOK_SECONDS / 5)
    raise click.ClickException(
        "the module that runs has not confirmed it; look into its log, block the client at the firewall, or stop the module"
    )


def _recorded(layout: Layout) -> frozenset[str]:
    with closing(open_readonly(layout.mint_log)) as database:
        return read_revoked(database)


def _is_running(lock: Path) -> bool:
    """Whether a process holds the lock of a running module."""
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
