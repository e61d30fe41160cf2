"""What commands of people who sign have in common: who acts, in which language, the ledger and its failures."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
from sqlalchemy import Engine

from cli import context
from config.settings import load
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable, SchemaTooNew, SchemaTooOld
from ledger.schema_version import require_schema
from pos.amounts import AmountError, parse_pesos
from vending.money import Centavos
from vending.two_people import user_name

_Result = TypeVar("_Result")

LANGUAGE = click.option(
    "--language", type=click.Choice(["es", "en"]), help="Of what is printed.  [default: the utility's]"
)


class Pesos(click.ParamType[Centavos]):
    """Whole pesos."""

    name = "pesos"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Centavos:
        """Read them as a cashier types them."""
        try:
            return parse_pesos(str(value))
        except AmountError as error:
            self.fail(str(error), param, ctx)


class UserName(click.ParamType[str]):
    """The name of a user."""

    name = "user"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as it is stored and compared."""
        user = user_name(str(value))
        if user is None:
            self.fail(f"{value!r} is no name of a user", param, ctx)
        return user


def ask(question: Callable[[], _Result], look_with: str) -> _Result:
    """Ask the ledger; a failure ends the command with a sentence. *look_with* is the command that shows what was written."""
    try:
        return question()
    except LedgerUnavailable as error:
        raise click.ClickException(f"nothing was written: the ledger cannot be used ({error})") from error
    except LedgerOutcomeUnknown as error:
        raise click.ClickException(f"it is not known whether this was written; look with: {look_with}") from error


def engine() -> Engine:
    """Return an engine on a ledger whose schema this program knows."""
    found = context.engine()
    try:
        require_schema(found)
    except (SchemaTooNew, SchemaTooOld) as error:
        raise click.ClickException(str(error)) from error
    return found


def language(chosen: str | None) -> str:
    """Return the language to print in."""
    return chosen or load().utility.language


def now() -> datetime:
    """Return our clock."""
    return datetime.now(UTC)  # noqa: TID251 - the process's own clock
