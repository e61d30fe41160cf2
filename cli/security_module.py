"""``eudora security-module``: make it, run it, look at it, take a test terminal's key out of it."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.audit import COMMANDS as AUDIT_COMMANDS
from cli.clients import clients_group
from cli.custody import CUSTODY_COMMANDS, ask_custodians, directory_option, language_option
from cli.leases import COMMANDS as LEASE_COMMANDS
from security_module.audit_file import audit
from security_module.ceremony import AlreadyInitialised, init
from security_module.hardening import harden
from security_module.key_store import NeedsCustodians, read_store, unseal
from security_module.layout import Layout
from security_module.mint_store import MintLogError
from security_module.open_store import open_keys
from security_module.registers import ModuleKeys
from security_module.sealed_store import StoreError
from security_module.terminal_keys import NotExportable, export_initial_key, export_terminal_key, export_test_key

DEFAULT_LISTEN = "127.0.0.1:7300"


@click.group("security-module")
def security_module() -> None:
    """The security module: keys, tokens, MACs."""


for command in (*CUSTODY_COMMANDS, clients_group):
    security_module.add_command(command)


@security_module.command("init")
@directory_option
@click.option(
    "--seed-test-keys", is_flag=True, help="Make random keys in registers marked as test (1-5 vending, 10-11 MAC)."
)
def init_command(directory: Path, *, seed_test_keys: bool) -> None:
    """Make a new module: passphrase, sealed keys, certificates. Overwrites nothing."""
    try:
        keys = init(directory, seed_test_keys=seed_test_keys, now=datetime.now(UTC))  # noqa: TID251
    except AlreadyInitialised as error:
        raise click.ClickException(f"{directory} holds a security module already; nothing was changed") from error
    click.echo(f"{keys.module_id} in {directory}: {len(keys.vending)} vending and {len(keys.mac)} MAC registers")


@security_module.command("run")
@directory_option
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option(
    "--run-file", type=click.Path(dir_okay=False, path_type=Path), help="Write host, port and pid here (JSON)."
)
@click.option(
    "--unseal", "is_unsealed_here", is_flag=True, help="Ask the custodians for their shares at this terminal first."
)
@language_option
def run_command(directory: Path, listen: str, run_file: Path | None, language: str, *, is_unsealed_here: bool) -> None:
    """Run the security module until SIGTERM."""
    # Here, so that no other command pays for what only a server needs.
    from security_module.main import AlreadyRunning, run

    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter("is not HOST:PORT", param_hint="--listen")
    harden()
    try:
        kek = ask_custodians(read_store(Layout(directory).store), language) if is_unsealed_here else None
        run(directory, host=host.strip("[]"), port=int(port), run_file=run_file, kek=kek)
    except AlreadyRunning as error:
        raise click.ClickException(f"another process runs the security module in {directory}") from error
    except (StoreError, MintLogError) as error:
        raise click.ClickException(str(error)) from error


@security_module.command("show")
@directory_option
def show_command(directory: Path) -> None:
    """Show registers with their key check values, clients, and what was minted, proved against the log's hash chain."""
    keys = _open(directory)
    path = Layout(directory).mint_log
    try:
        counts = {count.register_id: count for count in audit(path)} if path.exists() else {}
    except MintLogError as error:
        raise click.ClickException(str(error)) from error
    registers: list[dict[str, Any]] = []
    for register in keys.vending.values():
        count = counts.get(register.register_id)
        registers.append(
            {
                "register": register.register_id,
                "kcv": register.kcv,
                "sgc": f"{register.supply_group_code:06d}",
                "krn": register.key_revision_number,
                "ken": register.key_expiry_number,
                "kt": int(register.key_type),
                "dkga": f"{register.key_algorithm:02d}",
                "base_date": register.base_date.year,
                "ea": sorted(int(each) for each in register.encryption_algorithms),
                "subclasses": sorted(register.subclasses),
                "is_test": register.is_test,
                "is_inhibited": register.is_inhibited,
                "replaces": sorted(register.replaces),
                "unapproved_per_day_max": register.unapproved_per_day_max,
                "key_changes_per_day_max": register.key_changes_per_day_max,
                "requests": count.requests if count else 0,
                "tokens": count.tokens if count else 0,
                "units_tenths": count.units_tenths if count else 0,
            }
        )
    mac = [
        {
            "register": each.register_id,
            "kcv": each.kcv,
            "scheme": each.scheme,
            "is_diversified": each.is_diversified,
            "is_zone": each.is_zone,
            "is_dukpt": each.is_dukpt,
            "is_test": each.is_test,
        }
        for each in keys.mac.values()
    ]
    clients = [
        {"name": client.name, "role": client.role.value, "spki_sha256": pin} for pin, client in keys.clients.items()
    ]
    approvers = [{"name": each.name, "public_key": each.public_key} for each in keys.approvers.values()]
    answer = {
        "module": keys.module_id,
        "vending": registers,
        "mac": mac,
        "clients": clients,
        "approvers": approvers,
        "vendor_terminals": [each.document() for each in keys.vendors.values()],
        "till": asdict(keys.till) if keys.till is not None else None,
    }
    click.echo(json.dumps(answer, indent=2))


@security_module.command("terminal-key")
@directory_option
@click.option("--register", "register_id", type=int, required=True, help="A MAC register that is marked as test.")
@click.option("--terminal", "terminal_id", help="The terminal's id, as in data element 41.")
@click.option(
    "--ksn", help="Of a DUKPT register: the device's key serial number in hexadecimal; its initial key is printed."
)
def terminal_key_command(directory: Path, register_id: int, terminal_id: str | None, ksn: str | None) -> None:
    """Print the MAC key of one test terminal in hexadecimal, to be put into it; with neither option the one key of a network, or a zone key."""
    if terminal_id is not None and ksn is not None:
        raise click.UsageError("--terminal and --ksn are of different registers")
    keys = _open(directory)
    try:
        if ksn is not None:
            key = export_initial_key(keys, register_id, _octets(ksn))
        elif terminal_id is not None:
            key = export_terminal_key(keys, register_id, terminal_id)
        else:
            key = export_test_key(keys, register_id)
    except NotExportable as error:
        raise click.ClickException(str(error)) from error
    click.echo(key.reveal().hex())


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter("is not hexadecimal", param_hint="--ksn") from None


def _open(directory: Path) -> ModuleKeys:
    """Open the store without people if it can be, else ask its custodians."""
    try:
        try:
            return open_keys(directory, os.environ)
        except NeedsCustodians:
            harden()
            sealed = read_store(Layout(directory).store)
            return unseal(sealed, ask_custodians(sealed, "es"))
    except StoreError as error:
        raise click.ClickException(str(error)) from error


for _command in AUDIT_COMMANDS + LEASE_COMMANDS:
    security_module.add_command(_command)
