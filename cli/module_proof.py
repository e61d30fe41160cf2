"""What the security module says of a day, and of its clock: ``eudora security-module proof`` and ``clock accept``."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import click

from cli.module_call import ModuleCallError, ask
from cli.processes import read_run_file
from config.home import eudora_home
from messages.security_module import (
    IDS_PER_REQUEST_MAX,
    AcceptClock,
    FindMints,
    FindMintsReply,
    ListMints,
    ListMintsReply,
    MintRecord,
    Reply,
    Request,
    Status,
)
from security_module.roles import Role

Ask = Callable[[Role, Request], Reply]
"""Asks the security module as some role."""


def read_mints(ask: Ask, day: date) -> list[MintRecord]:
    """Return everything that the module minted on one of its local days."""
    found: list[MintRecord] = []
    while True:
        reply = ask(Role.AUDITOR, ListMints(day=day, after_sequence=found[-1].sequence if found else 0))
        assert isinstance(reply, ListMintsReply)
        if not reply.mints:
            return found
        found += reply.mints


def read_minted(ask: Ask, request_ids: Sequence[int]) -> Iterator[int]:
    """Return those of *request_ids* that were ever minted."""
    for start in range(0, len(request_ids), IDS_PER_REQUEST_MAX):
        some = tuple(request_ids[start : start + IDS_PER_REQUEST_MAX])
        reply = ask(Role.AUDITOR, FindMints(request_ids=some))
        assert isinstance(reply, FindMintsReply)
        yield from (request_id for request_id, status in reply.found if status is Status.OK)


def _ask_running(role: Role, request: Request) -> Reply:
    """Ask the module that runs on this machine; this command loads nothing of the ledger."""
    home = eudora_home()
    run = read_run_file(home / "run" / "security-module.json")
    if run is None:
        raise click.ClickException("the security module of this machine does not run")
    try:
        return ask(home / "security-module", str(run["host"]), int(run["port"]), role, request)
    except ModuleCallError as error:
        raise click.ClickException(str(error)) from error


@click.command("proof")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Local day of the module.")
@click.option("--ids", "with_ids", is_flag=True, help="Also list every request.")
def proof_command(day: datetime, *, with_ids: bool) -> None:
    """Say what the module minted on a day, by register: what the ledger must have sold. Prints one JSON object."""
    mints = read_mints(_ask_running, day.date())
    registers: dict[int, dict[str, int]] = {}
    for mint in mints:
        sums = registers.setdefault(
            mint.register_id, {"requests": 0, "tokens": 0, "units_tenths": 0, "charged_centavos": 0}
        )
        sums["requests"] += 1
        for name in ("tokens", "units_tenths", "charged_centavos"):
            sums[name] += getattr(mint, name)
    proof: dict[str, Any] = {
        "day": day.date().isoformat(),
        "registers": [{"register": register, **sums} for register, sums in sorted(registers.items())],
    }
    if with_ids:
        proof["ids"] = [{"id": mint.request_id, "register": mint.register_id} for mint in mints]
    click.echo(json.dumps(proof, indent=2))


@click.group("clock")
def clock_group() -> None:
    """The module's clock."""


@clock_group.command("accept")
def accept_command() -> None:
    """Say, as operator, that the module's clock is right although it is behind its records; minting goes on."""
    _ask_running(Role.OPERATOR, AcceptClock())
    click.echo("the clock is accepted; it is in the audit")
