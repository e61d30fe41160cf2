"""`eudora engineer`: tokens that work on a meter, proposed by one user and approved by another; and which key a meter gets next.

A proposal is an adjustment: `approve`, `reject`, `list`, `show` and `finish` are those of `eudora adjust`.
"""

from collections.abc import Callable, Sequence

import click
from sqlalchemy import text

from cli import context
from cli.adjust import (
    USER,
    approve_command,
    finish_command,
    list_command,
    propose,
    reject_command,
    show_command,
)
from cli.signing import LANGUAGE, ask, engine
from ledger.key_changes import RegisterRefused, add_register, set_next_tariff_index, set_successor
from messages.security_module import VerifyToken, VerifyTokenReply
from security_module.roles import Role
from sts.codes import BaseDate
from vending.adjustment import AdjustmentKind, Proposal
from vending.engineering import CLEAR_ALL, WATTS_MAX, EngineeringKind
from vending.secret import Secret

_METER = click.option("--meter", "meter_number", required=True, help="The number on the meter.")
_EVIDENCE = click.option("--evidence", required=True, help="Why, and where the proof is.")
_WATTS = click.option("--watts", required=True, type=click.IntRange(0, WATTS_MAX))
_READ_METER = text(
    "SELECT pan, register_id, tariff_index, encryption_algorithm FROM meter WHERE meter_number = :number"
)
TESTS_MAX = 18
"""The standard names so many tests."""


@click.group()
def engineer() -> None:
    """Work on meters by token; two people sign."""


for _command in (approve_command, reject_command, list_command, show_command, finish_command):
    engineer.add_command(_command)


def _propose(
    kind: AdjustmentKind, meter_number: str, value: int, evidence: str, user: str, language: str | None
) -> None:
    def proposal() -> Proposal:
        return Proposal(kind=kind, proposed_by=user, evidence=evidence, meter_number=meter_number, value=value)

    propose(proposal, language)


@engineer.command("clear-tamper")
@_METER
@_EVIDENCE
@USER
@LANGUAGE
def clear_tamper_command(meter_number: str, evidence: str, user: str, language: str | None) -> None:
    """Propose a token that lets a meter work again after somebody opened it."""
    _propose(AdjustmentKind.CLEAR_TAMPER, meter_number, 0, evidence, user, language)


@engineer.command("clear-credit")
@_METER
@click.option("--register", type=click.IntRange(0, 7), help="0 to 3 units, 4 to 7 currency.  [default: all]")
@_EVIDENCE
@USER
@LANGUAGE
def clear_credit_command(
    meter_number: str, register: int | None, evidence: str, user: str, language: str | None
) -> None:
    """Propose a token that takes the credit in a meter away."""
    value = CLEAR_ALL if register is None else register
    _propose(AdjustmentKind.CLEAR_CREDIT, meter_number, value, evidence, user, language)


@engineer.command("power-limit")
@_METER
@_WATTS
@_EVIDENCE
@USER
@LANGUAGE
def power_limit_command(meter_number: str, watts: int, evidence: str, user: str, language: str | None) -> None:
    """Propose a token that limits the power of a meter."""
    _propose(AdjustmentKind.POWER_LIMIT, meter_number, watts, evidence, user, language)


@engineer.command("phase-unbalance")
@_METER
@_WATTS
@_EVIDENCE
@USER
@LANGUAGE
def phase_unbalance_command(meter_number: str, watts: int, evidence: str, user: str, language: str | None) -> None:
    """Propose a token that limits how far the phases of a meter may be apart."""
    _propose(AdjustmentKind.PHASE_UNBALANCE, meter_number, watts, evidence, user, language)


@engineer.command("test")
@_METER
@click.option("--number", "numbers", multiple=True, type=click.IntRange(1, TESTS_MAX), help="One test.  [default: all]")
@_EVIDENCE
@USER
@LANGUAGE
def test_command(meter_number: str, numbers: Sequence[int], evidence: str, user: str, language: str | None) -> None:
    """Propose a token that makes a meter show or try something."""
    control = sum({1 << number - 1 for number in numbers}) if numbers else EngineeringKind.TEST.value_max
    _propose(AdjustmentKind.METER_TEST, meter_number, control, evidence, user, language)


@engineer.command("verify")
@_METER
@click.option("--register", "register_id", type=int, help="Under this register.  [default: the meter's]")
@click.option("--tariff-index", type=click.IntRange(0, 99), help="[default: the meter's]")
@click.argument("token")
def verify_command(meter_number: str, register_id: int | None, tariff_index: int | None, token: str) -> None:
    """Say what a TOKEN of ours is, whatever it does."""
    with engine().connect() as connection:
        row = connection.execute(_READ_METER, {"number": meter_number}).one_or_none()
    if row is None:
        raise click.ClickException(f"there is no meter {meter_number}")
    request = VerifyToken(
        register_id=row.register_id if register_id is None else register_id,
        pan=row.pan,
        tariff_index=row.tariff_index if tariff_index is None else tariff_index,
        encryption_algorithm=row.encryption_algorithm,
        token=Secret(token.replace(" ", "")),
    )
    said = context.ask_module(Role.ENGINEER, request)
    assert isinstance(said, VerifyTokenReply)
    identifier = "" if said.tid is None else f"  TID {said.tid}"
    click.echo(f"{said.token_class}/{said.subclass}{identifier}  {said.words}")


@engineer.command("successor")
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@click.option(
    "--base-year",
    type=click.Choice([str(each.year) for each in BaseDate]),
    help="Of register NEW, where the security module is on another machine.  [default: as its store says]",
)
def successor_command(old: int, new: int | None, base_year: str | None) -> None:
    """Let the meters of register OLD move to register NEW with their next sale; without NEW they stay."""

    def write() -> None:
        if new is not None:
            add_register(engine(), new, _base_date(new, base_year), "")
        set_successor(engine(), old, new)

    _write(write)


def _base_date(register_id: int, base_year: str | None) -> BaseDate:
    if base_year is not None:
        return next(each for each in BaseDate if str(each.year) == base_year)
    register = context.module_keys().vending.get(register_id)
    if register is None:
        raise click.ClickException(f"the security module has no vending register {register_id}")
    return register.base_date


@engineer.command("tariff-index")
@_METER
@click.argument("index", type=click.IntRange(0, 99))
def tariff_index_command(meter_number: str, index: int) -> None:
    """Let the key of a meter have tariff INDEX from its next sale on."""

    def write() -> None:
        if not set_next_tariff_index(engine(), meter_number, index):
            raise click.ClickException(f"there is no meter {meter_number}")

    _write(write)


def _write(write: Callable[[], None]) -> None:
    try:
        ask(write, "eudora ledger check")
    except RegisterRefused as refused:
        raise click.ClickException(str(refused)) from refused
