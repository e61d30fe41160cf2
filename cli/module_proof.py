"""What the security module says of a day, and of its clock: ``eudora security-module proof`` and ``clock accept``."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

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
    ListWork,
    ListWorkReply,
    MintRecord,
    Reply,
    Request,
    Status,
    WorkRecord,
)
from security_module.roles import Role

T = TypeVar("T")
Record = TypeVar("Record", MintRecord, WorkRecord)
Ask = Callable[[Role, Request], Reply]
"""Asks the security module as some role."""


def read_mints(ask: Ask, day: date) -> list[MintRecord]:
    """Return everything that the module minted on one of its local days."""

    def page(after_sequence: int) -> Sequence[MintRecord]:
        reply = ask(Role.AUDITOR, ListMints(day=day, after_sequence=after_sequence))
        assert isinstance(reply, ListMintsReply)
        return reply.mints

    return _all_pages(page)


def read_work(ask: Ask, day: date) -> list[WorkRecord]:
    """Return every token that is no credit which the module gave on one of its local days."""

    def page(after_sequence: int) -> Sequence[WorkRecord]:
        reply = ask(Role.AUDITOR, ListWork(day=day, after_sequence=after_sequence))
        assert isinstance(reply, ListWorkReply)
        return reply.work

    return _all_pages(page)


def _all_pages(page: Callable[[int], Sequence[Record]]) -> list[Record]:
    """Return what stands on all pages: each begins behind the last record of the one before, and an empty one is the end."""
    found: list[Record] = []
    while more := page(found[-1].sequence if found else 0):
        found += more
    return found


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
    """Say what was minted on a day, by register: what the ledger must have sold; and each token that an engineer got, by its id.

    Prints one JSON object.

    With several modules in the configuration all of them are asked; a request that two of them minted counts once. The exit code is 1
    while one of them does not answer.
    """
    by_module, away = _ask_each(read_mints, day.date())
    mints = _once([each for of_module in by_module.values() for each in of_module])
    work_by_module, away_later = _ask_each(read_work, day.date())
    away = away_later | away
    work = {each.request_id: each for of_module in work_by_module.values() for each in of_module}
    proof: dict[str, Any] = {"day": day.date().isoformat(), "registers": _sums(mints), **_work(work.values(), with_ids)}
    if len(modules_of_configuration()) > 1:
        proof["modules"] = {name: _sums(of_module) for name, of_module in by_module.items()}
        requests = Counter(mint.request_id for of_module in by_module.values() for mint in of_module)
        proof["minted_by_several"] = sum(count > 1 for count in requests.values())
        proof["away"] = away
    if with_ids:
        proof["ids"] = [{"id": mint.request_id, "register": mint.register_id} for mint in mints]
    click.echo(json.dumps(proof, indent=2))
    if away:
        raise SystemExit(1)


def modules_of_configuration() -> Mapping[str, Ask]:
    """Return how to ask each module of the configuration as auditor."""
    # Not at the top: it would load the ledger, which is not on the module's machine.
    from cli.several_modules import modules_to_ask

    return modules_to_ask(load().security_module)


def _ask_each(read: Callable[[Ask, date], list[T]], day: date) -> tuple[dict[str, list[T]], dict[str, str]]:
    """Return what each module says of the day, and why others do not answer. One alone is that of this machine, and must answer."""
    modules = modules_of_configuration()
    if len(modules) == 1:
        return {"": read(_ask_running, day)}, {}
    said: dict[str, list[T]] = {}
    away: dict[str, str] = {}
    for name, ask_module in modules.items():
        try:
            said[name] = read(ask_module, day)
        except ModuleCallError as error:
            away[name] = str(error)
    return said, away


def _once(mints: Sequence[MintRecord]) -> list[MintRecord]:
    """Leave each mint once. Two modules that were told different things under one id minted twice."""
    contents = {(mint.request_id, mint.register_id, mint.tokens, mint.units_tenths): mint for mint in mints}
    return list(contents.values())


def _work(work: Collection[WorkRecord], with_ids: bool) -> dict[str, Any]:
    """Return each token of an engineer by its id, and the key changes, which come by thousands with a new key, as a number."""
    engineers = [
        {
            "id": each.request_id,
            "register": each.register_id,
            "class": each.token_class,
            "subclass": each.subclass,
            "value": each.value,
            "approvals": each.approvals,
        }
        for each in work
        if not each.is_key_change
    ]
    changes = [each.request_id for each in work if each.is_key_change]
    shown: dict[str, Any] = {"engineers_tokens": engineers, "key_changes": len(changes)}
    return {**shown, "key_change_ids": changes} if with_ids else shown


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
