"""``eudora security-module lease``: what may be lost with tills that sell without a line, and the way of a lease by hand."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.address import Address
from cli.custody import directory_option
from cli.module_call import ModuleCallError, ask
from cli.processes import read_run_file
from config.home import eudora_home
from config.state_files import replace_durably
from messages.security_module import (
    AcceptLease,
    AskLease,
    CloseLease,
    LeaseClosed,
    LeaseGiven,
    Reply,
    Request,
    RevokeTerminal,
)
from security_module import lease_store
from security_module.layout import Layout
from security_module.lease import LeaseError, read_lease
from security_module.lease_rules import account_of
from security_module.mint_store import MintLogError, open_readonly
from security_module.roles import Role

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_output_option = click.option(
    "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A new file."
)
_address_option = click.option(
    "--address", type=Address(), help="HOST:PORT of the module.  [default: the one that runs on this machine]"
)


@click.group("lease")
def lease_group() -> None:
    """Leases of vendor terminals, which sell without a line."""


@lease_group.command("show")
@directory_option
def show_command(directory: Path) -> None:
    """Show each terminal's lease and the pesos that can be lost with it; at a till's module, what is left. The module may be running."""
    path = Layout(directory).mint_log
    if not path.exists():
        raise click.ClickException(f"the module in {directory} was never started")
    try:
        with closing(open_readonly(path)) as database:
            has_leases = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'lease'").fetchone() is not None
            issued = lease_store.issued_by(database) if has_leases else {}
            stops = lease_store.stops(database) if has_leases else {}
            till = lease_store.read_till(database) if has_leases else None
    except MintLogError as error:
        raise click.ClickException(str(error)) from error
    accounts = {terminal: account_of(each) for terminal, each in sorted(issued.items())}
    terminals: list[dict[str, Any]] = [
        {
            "terminal": terminal,
            "epoch": account.epoch,
            "not_after": _moment(account.not_after_unix_seconds),
            "at_risk_pesos": _pesos(account.at_risk_centavos),
            "of_it_lapsed_pesos": _pesos(account.lapsed_centavos),
            "closed_sales": account.settled_sales,
            "closed_pesos": _pesos(account.settled_centavos),
            "stopped": stops[terminal].kind if terminal in stops else None,
        }
        for terminal, account in accounts.items()
    ]
    answer: dict[str, Any] = {
        "terminals": terminals,
        "at_risk_pesos": _pesos(sum(account.at_risk_centavos for account in accounts.values())),
    }
    if till is not None:
        answer["till"] = _till(till)
    click.echo(json.dumps(answer, indent=2))


def _till(till: lease_store.TillLease) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "epoch": till.epoch,
        "is_closed": till.closing is not None,
        "is_locked": till.is_locked,
        "sales": till.use.sales,
        "sold_pesos": _pesos(till.use.charged_centavos),
    }
    if till.signed:
        lease = read_lease(till.signed)
        shown["left_pesos"] = _pesos(lease.limits.credit_centavos - till.use.charged_centavos)
        shown["not_after"] = _moment(lease.not_after_unix_seconds)
    return shown


def _pesos(centavos: int) -> str:
    return f"{centavos // 100}.{centavos % 100:02d}"


def _moment(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()


@lease_group.command("close")
@directory_option
@_address_option
@_output_option
def close_command(directory: Path, address: tuple[str, int] | None, output: Path) -> None:
    """At a till: close its lease and write the signed statement, for which there is another. Before the first lease too."""
    reply = _ask(directory, address, Role.SWITCH, CloseLease())
    assert isinstance(reply, LeaseClosed)
    _write(output, reply.statement)


@lease_group.command("ask")
@click.argument("statement", type=_file)
@directory_option
@_address_option
@_output_option
def ask_command(statement: Path, directory: Path, address: tuple[str, int] | None, output: Path) -> None:
    """Ask a head-end's module for the lease that follows STATEMENT. Asked again, it is the same lease."""
    reply = _ask(directory, address, Role.VENDOR_TERMINAL, AskLease(statement=statement.read_bytes()))
    assert isinstance(reply, LeaseGiven)
    _write(output, reply.lease)


@lease_group.command("accept")
@click.argument("lease", type=_file)
@directory_option
@_address_option
def accept_command(lease: Path, directory: Path, address: tuple[str, int] | None) -> None:
    """At a till: put LEASE in force."""
    octets = lease.read_bytes()
    try:
        accepted = read_lease(octets)
    except LeaseError as error:
        raise click.ClickException(f"{lease}: {error}") from error
    _ask(directory, address, Role.SWITCH, AcceptLease(lease=octets))
    click.echo(
        f"{accepted.terminal_id}: lease {accepted.epoch}, {_pesos(accepted.limits.credit_centavos)} pesos "
        f"until {_moment(accepted.not_after_unix_seconds)}"
    )


@lease_group.command("revoke")
@click.argument("terminal")
@directory_option
@_address_option
def revoke_command(terminal: str, directory: Path, address: tuple[str, int] | None) -> None:
    """As a custodian: give TERMINAL no lease any more, for ever. What its last one may cost is in `lease show`."""
    _ask(directory, address, Role.CUSTODIAN, RevokeTerminal(terminal_id=terminal))
    click.echo(f"{terminal} gets no lease any more; its last one is good until its end (lease show)")


def _ask(directory: Path, address: tuple[str, int] | None, role: Role, request: Request) -> Reply:
    if address is None:
        run = read_run_file(eudora_home() / "run" / "security-module.json")
        if run is None:
            raise click.ClickException("the security module of this machine does not run; name one with --address")
        address = str(run["host"]), int(run["port"])
    try:
        return ask(directory, *address, role, request)
    except (ModuleCallError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _write(output: Path, octets: bytes) -> None:
    if output.exists():
        raise click.ClickException(f"{output} is there already; nothing was changed")
    replace_durably(output, octets)
    click.echo(str(output))


COMMANDS: tuple[click.Command, ...] = (lease_group,)
"""What this part adds to ``eudora security-module``."""
