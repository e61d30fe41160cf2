"""``eudora security-module``: the commands by which people make, open and change the sealed store."""

import getpass
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from cli.ceremony_terminal import hold
from config.home import eudora_home
from security_module.ceremony import AlreadyInitialised, establish
from security_module.ceremony_dialogue import (
    Outcome,
    more_keys,
    new_custodians,
    new_module,
    take_key_load,
    unseal,
    write_protocol,
)
from security_module.ceremony_texts import LANGUAGES, Say, texts_in
from security_module.clients import CannotIssue, revoked_pins, without
from security_module.custody import (
    ChangeUnderWay,
    Opened,
    back_up,
    changing,
    open_with_passphrase,
    replace_store,
    upgrade,
    write_record,
)
from security_module.dialogue import Dialogue
from security_module.fingerprints import fingerprint, fingerprints
from security_module.hardening import harden
from security_module.key_load import KeyLoadError, module_public_key, open_key_load
from security_module.key_store import read_passphrase, read_store
from security_module.key_store import unseal as open_store
from security_module.layout import Layout
from security_module.open_store import find_passphrase, opened_by
from security_module.registers import ModuleKeys
from security_module.sealed_store import (
    FROM_PASSPHRASE,
    FROM_SHARES,
    Header,
    Kek,
    StoreError,
    kek_from_passphrase,
    read_header,
)
from security_module.token_kek import kek_for_token, kek_from_token, token_access

T = TypeVar("T")

directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: eudora_home() / "security-module",
    show_default="security-module in $EUDORA_HOME",
    help="Where the module keeps its sealed keys, certificates and mint log.",
)
language_option = click.option(
    "--language", type=click.Choice(LANGUAGES), default="es", show_default=True, help="What the terminal speaks."
)


expect_option = click.option(
    "--expect",
    metavar="FINGERPRINT",
    multiple=True,
    help="A fingerprint in the printed record of the first module, once for each; another one ends this with status 1.",
)
conducted_by_option = click.option(
    "--conducted-by", metavar="NAME", help="Who stands in the printed record; default: the user of this machine."
)


def now() -> datetime:
    """Return the time of this machine, aware."""
    return datetime.now(UTC)  # noqa: TID251


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what can go wrong with a store into one sentence and exit status 1."""
    try:
        yield
    except (StoreError, KeyLoadError, CannotIssue) as error:
        raise click.ClickException(str(error)) from error
    except ChangeUnderWay as error:
        raise click.ClickException(f"somebody else is changing the store in {error}") from error
    except AlreadyInitialised as error:
        raise click.ClickException(f"{error} holds a security module already; nothing was changed") from error
    except FileExistsError as error:
        raise click.ClickException(f"{error} is there already; nothing was written") from error


def ask_custodians(sealed: bytes, language: str) -> Kek:
    """Rebuild the key of a store from shares that are typed at this terminal."""
    header = read_header(sealed)
    if header.source != FROM_SHARES:
        raise click.ClickException(f"this store opens by {header.source}, not with shares")
    return hold(unseal(texts_in(language), header))


def open_anyhow(sealed: bytes, directory: Path, language: str) -> Opened:
    """Open a store by its passphrase, its token, or its custodians at this terminal, as it says itself."""
    source = opened_by(sealed)
    if source != FROM_PASSPHRASE:
        kek = (
            ask_custodians(sealed, language)
            if source == FROM_SHARES
            else kek_from_token(token_access(os.environ), read_header(sealed))
        )
        return Opened(keys=open_store(sealed, kek), kek=kek)
    return open_with_passphrase(sealed, find_passphrase(directory, os.environ))


@contextmanager
def opened_to_change(directory: Path, language: str) -> Iterator[Opened]:
    """Open a store as `open_anyhow`, while nobody else can change it, and without the clients that were revoked meanwhile.

    What is sealed next has them no more.
    """
    layout = Layout(directory)
    sealed = read_store(layout.store)
    with changing(layout):
        opened = open_anyhow(sealed, directory, language)
        yield replace(opened, keys=without(opened.keys, revoked_pins(layout)))


@click.command("ceremony")
@directory_option
@language_option
def ceremony_command(directory: Path, language: str) -> None:
    """Make a module with its custodians: keys under dual control, shares, printed record. Nothing is written before the end."""
    harden()
    with sentences():
        if directory.exists() and any(directory.iterdir()):
            raise AlreadyInitialised(directory)
        at = now()
        outcome = hold(new_module(texts_in(language), now=at, random_octets=secrets.token_bytes))
        keys = establish(directory, outcome.opened.keys, outcome.opened.kek, now=at, protocol=outcome.protocol)
    click.echo(f"{keys.module_id}: {directory}\n{Layout(directory).protocol(at)}\n{prints(keys)}")


def prints(keys: ModuleKeys) -> str:
    """Return the fingerprints, one on a line: that of the registers alone, the others behind what they are over."""
    others = [f"{what} {digest}" for what, digest in fingerprints(keys).items() if what != "registers"]
    return "\n".join([fingerprint(keys), *others])


def _require_equal(keys: ModuleKeys, expect: Sequence[str]) -> None:
    """End with a sentence unless each of *expect* is one of the fingerprints of *keys*."""
    for each in expect:
        if each.strip().lower() not in fingerprints(keys).values():
            raise click.ClickException(f"{each} is none of the fingerprints here:\n{prints(keys)}")


def conductor(named: str | None) -> str:
    """Return who is to stand in the record: as named, else the user of this machine."""
    try:
        return named or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _change(directory: Path, language: str, lead: Callable[[Say, Opened, datetime], Dialogue[Outcome]]) -> None:
    """Open the store, hold a dialogue, and write what came of it."""
    harden()
    layout, say, at = Layout(directory), texts_in(language), now()
    with sentences(), opened_to_change(directory, language) as opened:
        outcome = hold(lead(say, opened, at))
        replace_store(layout, outcome.opened)
        record = write_record(layout, at, outcome.protocol)
    click.echo(f"{record}\n{prints(outcome.opened.keys)}")


@click.command("enter-keys")
@directory_option
@language_option
def enter_keys_command(directory: Path, language: str) -> None:
    """Enter vending and MAC keys by components, or pin a sender of key load files. Counts from the next start."""
    _change(
        directory,
        language,
        lambda say, opened, at: more_keys(say, opened, now=at, random_octets=secrets.token_bytes),
    )


@click.command("rotate-kek")
@directory_option
@language_option
@click.option(
    "--unattended",
    is_flag=True,
    help="Seal under the passphrase file (credential) instead of shares: starts without people.",
)
@click.option(
    "--new-passphrase-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="With --unattended: seal under this passphrase; the present one only opens the store.",
)
@click.option(
    "--token",
    "token_label",
    metavar="LABEL",
    help="Seal under a key in this PKCS#11 token instead of shares: starts without people.",
)
@conducted_by_option
def rotate_kek_command(
    directory: Path,
    language: str,
    new_passphrase_file: Path | None,
    token_label: str | None,
    conducted_by: str | None,
    *,
    unattended: bool,
) -> None:
    """Seal the store under a new key: new custodians with new shares, a passphrase, or a token. The old ones open old copies only."""
    if unattended and token_label is not None:
        raise click.UsageError("--unattended is a passphrase, --token is not; say one of them")
    if new_passphrase_file is not None and not unattended:
        raise click.UsageError("--new-passphrase-file goes with --unattended")
    if not unattended and token_label is None:
        _change(
            directory,
            language,
            lambda say, opened, at: new_custodians(say, opened, now=at, random_octets=secrets.token_bytes),
        )
        return
    harden()
    layout, at = Layout(directory), now()
    with sentences(), opened_to_change(directory, language) as opened:
        kek = (
            _kek_for_passphrase(directory, new_passphrase_file) if token_label is None else _kek_for_token(token_label)
        )
        rotated = Opened(keys=opened.keys, kek=kek)
        replace_store(layout, rotated)
        protocol = write_protocol(texts_in(language), "title_unattended", conductor(conducted_by), (), rotated, at)
        record = write_record(layout, at, protocol)
    under = "the passphrase" if token_label is None else f"a key in the token {token_label}"
    click.echo(f"{opened.keys.module_id}: sealed under {under}, key check value {kek.kcv}\n{record}")


def _kek_for_passphrase(directory: Path, new_passphrase_file: Path | None) -> Kek:
    passphrase = (
        find_passphrase(directory, os.environ) if new_passphrase_file is None else read_passphrase(new_passphrase_file)
    )
    return kek_from_passphrase(passphrase, secrets.token_bytes)


def _kek_for_token(label: str) -> Kek:
    access = token_access(os.environ)
    made = kek_for_token(access, label, secrets.token_bytes)
    # The very way by which the module will start, before the old way is gone.
    return kek_from_token(access, Header(origin=made.origin, kcv=made.kcv))


@click.command("upgrade")
@directory_option
def upgrade_command(directory: Path) -> None:
    """Move a store of version 1 to the present format, under the same passphrase. The old file is kept beside it."""
    harden()
    layout = Layout(directory)
    with sentences():
        passphrase = find_passphrase(directory, os.environ)
        with changing(layout):
            keys = upgrade(layout, passphrase)
    click.echo(
        f"{keys.module_id}: {fingerprint(keys)}\nkept: {layout.store}.v1 (destroy it when the module has started)"
    )


@click.command("backup")
@directory_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup_command(directory: Path, file: Path) -> None:
    """Copy the sealed store to FILE. It opens only with the shares, or the passphrase, which is not in it."""
    with sentences():
        digest = back_up(Layout(directory), file)
        header = read_header(read_store(file))
    click.echo(f"{file}: SHA-256 {digest}\n{header.source} {header.origin.get('set', '')} key check value {header.kcv}")


@click.command("restore")
@directory_option
@language_option
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@expect_option
@conducted_by_option
def restore_command(
    directory: Path, language: str, file: Path, expect: Sequence[str], conducted_by: str | None
) -> None:
    """Make a second module out of a backup: the same registers, people and client names, its own id and certificates, opened by the same shares."""
    harden()
    at = now()
    with sentences():
        if directory.exists() and any(directory.iterdir()):
            raise AlreadyInitialised(directory)
        sealed = read_store(file)
        opened = open_anyhow(sealed, directory, language)
        _require_equal(opened.keys, expect)
        about = {"source": opened.keys.module_id, "digest": hashlib.sha256(sealed).hexdigest()}
        second = replace(opened, keys=replace(opened.keys, module_id="{module}"))
        protocol = write_protocol(texts_in(language), "title_restore", conductor(conducted_by), (), second, at, **about)
        keys = establish(directory, opened.keys, opened.kek, now=at, protocol=protocol)
    click.echo(f"{keys.module_id}: {directory}\n{Layout(directory).protocol(at)}\n{prints(keys)}")


@click.command("fingerprint")
@directory_option
@language_option
@expect_option
def fingerprint_command(directory: Path, language: str, expect: Sequence[str]) -> None:
    """Print digests over the registers with all check values, over approvers and senders, and over the clients: equal modules show them equal."""
    harden()
    with sentences():
        opened = open_anyhow(read_store(Layout(directory).store), directory, language)
    click.echo(f"{opened.keys.module_id} {prints(opened.keys)}")
    _require_equal(opened.keys, expect)


@click.command("request-key-load")
@directory_option
@language_option
def request_key_load_command(directory: Path, language: str) -> None:
    """Print the public key that key load files for this module are encrypted to, and its SHA-256."""
    harden()
    with sentences():
        opened = open_anyhow(read_store(Layout(directory).store), directory, language)
        public = module_public_key(opened.keys)
    click.echo(f"{opened.keys.module_id}\nX25519 {public.hex()}\nSHA-256 {hashlib.sha256(public).hexdigest()}")


@click.command("load-keys")
@directory_option
@language_option
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def load_keys_command(directory: Path, language: str, file: Path) -> None:
    """Take the keys of a key load file, after two people compared the check values. Counts from the next start."""

    def lead(say: Say, opened: Opened, at: datetime) -> Dialogue[Outcome]:
        content = file.read_bytes()
        keys, sender = open_key_load(content, opened.keys, now=at, random_octets=secrets.token_bytes)
        return take_key_load(say, opened, keys, sender, now=at)

    _change(directory, language, lead)


CUSTODY_COMMANDS = (
    ceremony_command,
    enter_keys_command,
    rotate_kek_command,
    upgrade_command,
    backup_command,
    restore_command,
    fingerprint_command,
    request_key_load_command,
    load_keys_command,
)
