"""What the security module says of a day, and of its clock: ``eudora security-module proof`` and ``clock accept``."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import click

from cli.module_call import ModuleCallError, ask
from cli.processes import read_run_file
from config.home import eudora_home
from config.settings import load
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
    """Say what was minted on a day, by register: what the ledger must have sold. Prints one JSON object.

    With several modules in the configuration all of them are asked; a request that two of them minted counts once. The exit code is 1
    while one of them does not answer.
    """
    mints, by_module, away = _read_day(day.date())
    proof: dict[str, Any] = {"day": day.date().isoformat(), "registers": _sums(mints)}
    if by_module:
        proof["modules"] = {name: _sums(of_module) for name, of_module in by_module.items()}
        requests = Counter(mint.request_id for of_module in by_module.values() for mint in of_module)
        proof["minted_by_several"] = sum(count > 1 for count in requests.values())
        proof["away"] = away
    if with_ids:
        proof["ids"] = [{"id": mint.request_id, "register": mint.register_id} for mint in mints]
    click.echo(json.dumps(proof, indent=2))
    if away:
        raise SystemExit(1)


def _read_day(day: date) -> tuple[list[MintRecord], dict[str, list[MintRecord]], dict[str, str]]:
    """Return each mint of the day once, then by module where there are several, and why others do not answer."""
    # Not at the top: it would load the ledger, which is not on the module's machine.
    from cli.several_modules import modules_to_ask

    modules = modules_to_ask(load().security_module)
    if len(modules) == 1:
        return read_mints(_ask_running, day), {}, {}
    by_module: dict[str, list[MintRecord]] = {}
    away: dict[str, str] = {}
    for name, ask_module in modules.items():
        try:
            by_module[name] = read_mints(ask_module, day)
        except ModuleCallError as error:
            away[name] = str(error)
    # Two modules that were told different things under one id minted twice.
    once = {
        (mint.request_id, mint.register_id, mint.tokens, mint.units_tenths): mint
        for of_module in by_module.values()
        for mint in of_module
    }
    return list(once.values()), by_module, away


def _sums(mints: Sequence[MintRecord]) -> list[dict[str, int]]:
    registers: dict[int, dict[str, int]] = {}
    for mint in mints:
        sums = registers.setdefault(
            mint.register_id, {"requests": 0, "tokens": 0, "units_tenths": 0, "charged_centavos": 0}
        )
        sums["requests"] += 1
        for name in ("tokens", "units_tenths", "charged_centavos"):
            sums[name] += getattr(mint, name)
    return [{"register": register, **sums} for register, sums in sorted(registers.items())]


@click.group("clock")
def clock_group() -> None:
    """The module's clock."""


@clock_group.command("accept")
def accept_command() -> None:
    """Say, as operator, that the module's clock is right although it is behind its records; minting goes on."""
    _ask_running(Role.OPERATOR, AcceptClock())
    click.echo("the clock is accepted; it is in the audit")
