"""`eudora meter`: the virtual meter of a customer, which takes tokens as the one on his wall does."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import text

from cli import context
from messages.security_module import DecoderKey, DecoderKeyReply
from meters.virtual import MeterBlueprint, VirtualMeter
from security_module.roles import Role
from sts.codes import EncryptionAlgorithm

REJECTED_EXIT_CODE = 1

_METER = text("""
    SELECT pan, register_id, tariff_index, encryption_algorithm, service FROM meter WHERE meter_number = :meter_number
""")


@click.group()
def meter() -> None:
    """The virtual meter."""


@meter.command("enter")
@click.option("--meter", "meter_number", required=True, help="The number on the meter.")
@click.option("--language", type=click.Choice(["es", "en"]), default="es", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("token")
def enter_command(meter_number: str, language: str, token: str, *, as_json: bool) -> None:
    """Type TOKEN into the meter and say what it did with it; exit code 0 only if it was accepted.

    A meter that was never used before is manufactured first: it gets its decoder key from the security module, which gives it only
    on test registers and only to a manufacturer.
    """
    result = open_meter(meter_number).enter(token, at=datetime.now(UTC))  # noqa: TID251 - the meter's own clock
    if as_json:
        click.echo(
            json.dumps(
                {
                    "meter": meter_number,
                    "result": result.result.value,
                    "credit_added_tenths": result.credit_added_tenths,
                    "credit_total_tenths": result.credit_total_tenths,
                }
            )
        )
    else:
        sentence = result.sentence_es if language == "es" else result.sentence_en
        click.echo(f"{meter_number}: {result.result.value}. {sentence}")
    if not result.is_accepted:
        raise click.exceptions.Exit(REJECTED_EXIT_CODE)


def open_meter(meter_number: str) -> VirtualMeter:
    """Return the virtual meter of that number, manufactured on its first use.

    Raises:
        click.ClickException: the ledger knows no such meter, or the module does not give its key.
    """
    path = meter_file(meter_number)
    if path.exists():
        return VirtualMeter.open(path)
    with context.engine().connect() as connection:
        row = connection.execute(_METER, {"meter_number": meter_number}).one_or_none()
    if row is None:
        raise click.ClickException(f"there is no meter {meter_number}")
    register = context.module_keys().vending[row.register_id]
    reply = context.ask_module(
        Role.MANUFACTURER,
        DecoderKey(
            register_id=row.register_id,
            pan=row.pan,
            tariff_index=row.tariff_index,
            encryption_algorithm=row.encryption_algorithm,
        ),
    )
    assert isinstance(reply, DecoderKeyReply)
    blueprint = MeterBlueprint(
        meter_number=meter_number,
        pan=row.pan,
        decoder_key=reply.key,
        encryption_algorithm=EncryptionAlgorithm(row.encryption_algorithm),
        service=row.service,
        supply_group_code=register.supply_group_code,
        key_revision_number=register.key_revision_number,
        key_type=register.key_type,
        tariff_index=row.tariff_index,
        base_date=register.base_date,
        key_expiry_number=register.key_expiry_number,
        # A meter takes nothing older than itself: it must be older than the ledger's first token for it.
        made_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    return VirtualMeter.manufacture(path, blueprint)


def meter_file(meter_number: str) -> Path:
    """Where the virtual meter of that number lives."""
    if not (meter_number.isascii() and meter_number.isdigit()):
        raise click.BadParameter("a meter number is digits", param_hint="--meter")
    return context.home() / "meters" / f"{meter_number}.json"
