"""`eudora network list`, `stop`, `start`, `drain`, `reset-key`: see the networks, keep one from selling, and end its session keys.

Who acts is said by ``--user``; as with `eudora adjust`, whoever may run this command here is believed.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Engine

from cli import context
from cli.running_switch import NotRunning
from cli.running_switch import read_networks as read_served
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable, SchemaTooNew, SchemaTooOld
from ledger.network_status import NetworkStatus, NetworkUnknown, read_networks, start_network, stop_network
from ledger.schema_version import require_schema
from ledger.session_keys import forget_session_keys

DRAIN_SECONDS_DEFAULT = 30.0
"""Longer than any answer may take."""

_POLL_SECONDS = 0.2

_WHY = click.option("--why", required=True, help="In words; it is kept.")
_USER = click.option("--user", envvar="USER", required=True, help="Who acts.  [default: $USER]")
_ID = click.argument("network_id", metavar="ID")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each network.")
def list_command(*, as_json: bool) -> None:
    """Show every network: its state, links, requests in flight, last request and approval, and what its float still covers."""
    try:
        served = {str(row["id"]): row for row in read_served(context.run_file("switch")).values()}
    except NotRunning as error:
        click.echo(f"{error.message}; the ledger alone is shown", err=True)
        served = {}
    known = {each.id: each for each in read_networks(_engine())}
    for name in sorted(served.keys() | known.keys()):
        row = _row(name, known.get(name), served.get(name))
        click.echo(json.dumps(row, default=str) if as_json else _line(row))


@click.command("stop")
@_ID
@_WHY
@_USER
def stop_command(network_id: str, why: str, user: str) -> None:
    """Let a network make no new sale from now on, in every switch process; everything about older sales goes on."""
    is_done = _order(stop_network, network_id, user, why)
    click.echo(f"{network_id} is stopped" if is_done else f"{network_id} was stopped already")


@click.command("start")
@_ID
@_WHY
@_USER
def start_command(network_id: str, why: str, user: str) -> None:
    """Let a network sell again."""
    is_done = _order(start_network, network_id, user, why)
    click.echo(f"{network_id} sells again" if is_done else f"{network_id} was not stopped")


@click.command("drain")
@_ID
@_WHY
@_USER
@click.option("--seconds", type=click.FloatRange(1, 3600), default=DRAIN_SECONDS_DEFAULT, show_default=True)
def drain_command(network_id: str, why: str, user: str, seconds: float) -> None:
    """Stop a network and wait until nothing of it is in work. Exit code 1: something still is.

    Its links stay, because terminals still reverse and ask; `state = "draining"` in its table of the file, applied, ends them too.
    """
    _order(stop_network, network_id, user, why)
    deadline = time.monotonic() + seconds
    while True:
        rows = [row for row in read_served(context.run_file("switch")).values() if row["id"] == network_id]
        in_flight = sum(int(row["in_flight"]) for row in rows)
        if not in_flight:
            connections = sum(int(row["connections"]) for row in rows)
            click.echo(f"{network_id} is drained: stopped, nothing in work, {connections} connections open")
            return
        if time.monotonic() > deadline:
            raise click.ClickException(f"{network_id} is stopped; {in_flight} requests are still in work")
        time.sleep(_POLL_SECONDS)


@click.command("reset-key")
@_ID
@_WHY
@_USER
def reset_key_command(network_id: str, why: str, user: str) -> None:
    """Put the first MAC key of a network in force again, for one whose host has lost its session keys. It does the same at its end."""
    is_done = _order(forget_session_keys, network_id, user, why)
    click.echo(f"{network_id} has its first key again" if is_done else f"{network_id} has no session key")


COMMANDS = (list_command, stop_command, start_command, drain_command, reset_key_command)


def _order(act: Callable[..., bool], network_id: str, user: str, why: str) -> bool:
    if not why.strip():
        raise click.BadParameter("say it in words", param_hint="--why")
    at = datetime.now(UTC)  # noqa: TID251 - the command is where the clock comes from
    try:
        return act(_engine(), network_id, user=user, why=why, at=at)
    except NetworkUnknown:
        known = ", ".join(each.id for each in read_networks(_engine()))
        raise click.ClickException(f"the ledger has no network {network_id!r}; it has {known}") from None
    except (LedgerUnavailable, LedgerOutcomeUnknown) as error:
        raise click.ClickException(str(error)) from error


def _engine() -> Engine:
    engine = context.engine()
    try:
        require_schema(engine)
    except (SchemaTooNew, SchemaTooOld) as error:
        raise click.ClickException(str(error)) from error
    return engine


def _row(name: str, status: NetworkStatus | None, served: Mapping[str, Any] | None) -> dict[str, Any]:
    """Join what the ledger and the running switch say of one network; None where one of them does not know it."""
    row: dict[str, Any] = {"id": name, "ledger": None, "float_centavos": None, "stopped_by": None, "why": None}
    if status is not None:
        row["ledger"] = "stopped" if status.is_stopped else "active"
        row["float_centavos"] = status.available_centavos
        if status.is_stopped:
            row |= {"stopped_by": status.ordered_by, "why": status.why}
    for key in (
        "state",
        "address",
        "connections",
        "in_flight",
        "last_request",
        "last_approval",
        "session_key",
        "links",
    ):
        row[key] = None if served is None else served[key]
    return row


def _line(row: Mapping[str, Any]) -> str:
    why = f" by {row['stopped_by']}: {row['why']}" if row["stopped_by"] else ""
    key = f", key {_session_key(row['session_key'])}" if row["session_key"] else ""
    pesos = "-" if row["float_centavos"] is None else f"{row['float_centavos'] // 100:,}".replace(",", ".")
    return (
        f"{row['id']:<16} {row['ledger'] or 'not in the ledger'}{why}; switch: {row['state'] or 'not served'} {_where(row)},"
        f" connections {_shown(row['connections'])}, in flight {_shown(row['in_flight'])}, last request {_moment(row['last_request'])},"
        f" last approval {_moment(row['last_approval'])}, float {pesos} pesos{key}"
    )


def _where(row: Mapping[str, Any]) -> str:
    """Its port, and the links that we open to it: how many are in which state."""
    address = str(row["address"] or "")
    parts = [] if address.endswith(":0") or not address else [address]
    states = Counter(link["state"] for link in row["links"] or ())
    if states:
        hosts = ", ".join(dict.fromkeys(link["host"] for link in row["links"]))
        parts.append(f"links to {hosts}: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    return "; ".join(parts)


def _session_key(key: Mapping[str, Any]) -> str:
    if not key["generation"]:
        return "of its register"
    return f"generation {key['generation']} {key['kcv']} for {key['age_seconds'] // 3600} h"


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
