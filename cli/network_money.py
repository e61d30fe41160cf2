"""The money commands of `eudora network`: deposits that two people sign, statements, what a network earns, and its float.

Who acts is said by ``--user`` and believed, as in `eudora adjust`.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import TypeVar

import click

from cli import network_texts, signing
from cli.signing import LANGUAGE, Pesos, UserName, engine, now
from ledger import deposits, network_terms
from ledger.statement import StatementDiffers, read_statement
from vending.calendar import local_date
from vending.commission import CommissionTerms, CommissionTier
from vending.deposit import DepositRefused, DepositState, Registration
from vending.money import BasisPoints, Centavos

_Result = TypeVar("_Result")
_USER = click.option("--user", required=True, type=UserName(), help="Who acts.")
_DAY = click.DateTime(["%Y-%m-%d"])
NOTHING = Centavos(0)
NO_SHARE = BasisPoints(0)


class _Tier(click.ParamType[CommissionTier]):
    """A tier as ``FROM:SHARE:FIXED``."""

    name = "from:share:fixed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> CommissionTier:
        """Read pesos, basis points and pesos."""
        cells = str(value).split(":")
        if len(cells) != 3 or not all(cell.isascii() and cell.isdigit() for cell in cells):
            self.fail(f"{value!r} is not FROM:SHARE:FIXED, whole pesos, basis points, whole pesos", param, ctx)
        start, share, fixed = map(int, cells)
        try:
            return CommissionTier(
                from_paid_centavos=Centavos(start * 100),
                share_basis_points=BasisPoints(share),
                fixed_centavos=Centavos(fixed * 100),
            )
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("deposit")
def deposit() -> None:
    """Money paid into a float; one person registers it, another confirms it."""


@deposit.command("register")
@click.argument("network_id")
@click.option("--amount", required=True, type=Pesos(), help="Pesos that came in.")
@click.option("--less", is_flag=True, help="The amount goes out again; only to correct a deposit.")
@click.option("--reference", required=True, help="The bank's, once for each network.")
@click.option("--evidence", required=True, help="What was seen, and where the proof is.")
@click.option("--corrects", type=int, help="The confirmed deposit that was wrong.")
@_USER
@LANGUAGE
def register_command(
    *,
    network_id: str,
    amount: Centavos,
    less: bool,
    reference: str,
    evidence: str,
    corrects: int | None,
    user: str,
    language: str | None,
) -> None:
    """Register a deposit; nobody can sell it before another user confirms it."""

    def register() -> deposits.Deposit:
        registration = Registration(
            acquirer_id=network_id,
            amount_centavos=Centavos(-amount) if less else amount,
            bank_reference=reference,
            evidence=evidence,
            registered_by=user,
            corrects_deposit_id=corrects,
        )
        return deposits.register(engine(), registration, now())

    _show_deposit(_ask(register, language), language)


@deposit.command("confirm")
@click.argument("deposit_id", type=int)
@_USER
@LANGUAGE
def confirm_command(deposit_id: int, user: str, language: str | None) -> None:
    """Confirm the deposit that another user registered: the network can sell it at once."""
    _show_deposit(_ask(lambda: deposits.confirm(engine(), deposit_id, user, now()), language), language)


@deposit.command("reject")
@click.argument("deposit_id", type=int)
@_USER
@LANGUAGE
def reject_command(deposit_id: int, user: str, language: str | None) -> None:
    """Reject the deposit that another user registered."""
    _show_deposit(_ask(lambda: deposits.reject(engine(), deposit_id, user, now()), language), language)


@deposit.command("list")
@click.option("--state", type=click.Choice([state.value for state in DepositState]))
@click.option("--network", "network_id", help="Only this network.")
@LANGUAGE
def list_command(state: str | None, network_id: str | None, language: str | None) -> None:
    """List deposits, the newest first."""
    wanted = None if state is None else DepositState(state)
    for each in _ask(lambda: deposits.find(engine(), wanted, network_id), language):
        _show_deposit(each, language)


@click.command("statement")
@click.argument("network_id")
@click.option("--from", "first", type=_DAY, help="First settlement day.  [default: of this month]")
@click.option("--to", "last", type=_DAY, help="Last settlement day.  [default: today]")
@click.option("--csv", "is_csv", is_flag=True, help="A line for each day; sums are centavos.")
@LANGUAGE
def statement_command(
    *, network_id: str, first: datetime | None, last: datetime | None, is_csv: bool, language: str | None
) -> None:
    """Print what the float and the commission of a network did on each day, proved against the books."""
    end = _day(last) or local_date(now())
    begin = _day(first) or end.replace(day=1)
    try:
        found = _ask(lambda: read_statement(engine(), network_id, begin, end), language)
    except (LookupError, StatementDiffers) as error:
        raise click.ClickException(str(error)) from error
    if is_csv:
        click.echo(network_texts.statement_csv(found), nl=False)
    else:
        click.echo(network_texts.statement_page(found, signing.language(language)))


@click.command("floats")
@LANGUAGE
def floats_command(language: str | None) -> None:
    """Show what each network may still sell."""
    for each in _ask(lambda: network_terms.read_floats(engine()), language):
        click.echo(network_texts.float_line(each, signing.language(language)))


@click.command("warn")
@click.argument("network_id")
@click.option("--below", type=Pesos(), help="Pesos; without it nobody is warned any more.")
@LANGUAGE
def warn_command(network_id: str, below: Centavos | None, language: str | None) -> None:
    """Set the float below which the switch warns: a log line and a metric."""
    _ask(lambda: network_terms.warn_below(engine(), network_id, below or NOTHING), language)


@click.command("terms")
@click.argument("network_id")
@click.option(
    "--from", "first", type=_DAY, help="First settlement day of a new version; without it, the versions are shown."
)
@click.option("--tier", "tiers", type=_Tier(), multiple=True, help="FROM:SHARE:FIXED in pesos, basis points, pesos.")
@click.option(
    "--tax", type=click.IntRange(0, 10_000), default=0, help="On the commission, in basis points (19 %: 1900)."
)
@click.option("--user", type=UserName(), help="Who sets them.")
@LANGUAGE
def terms_command(
    *,
    network_id: str,
    first: datetime | None,
    tiers: tuple[CommissionTier, ...],
    tax: int,
    user: str | None,
    language: str | None,
) -> None:
    """Show what a network earns with each sale, or set it from a coming settlement day on."""
    if first is not None:
        if user is None:
            raise click.UsageError("--user is needed to set terms")
        try:
            terms = CommissionTerms(valid_from=first.date(), tiers=tiers, tax_basis_points=BasisPoints(tax))
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        _ask(lambda: network_terms.set_terms(engine(), network_id, terms, user=user, at=now()), language)
    for version in _ask(lambda: network_terms.read_terms(engine(), network_id), language):
        for line in network_texts.terms_lines(version, signing.language(language)):
            click.echo(line)


def _ask(question: Callable[[], _Result], language: str | None) -> _Result:
    """Ask the ledger; a refusal and a failure end the command with a sentence."""
    try:
        return signing.ask(question, "eudora network deposit list")
    except DepositRefused as refused:
        raise click.ClickException(network_texts.refusal_of(refused, signing.language(language))) from refused
    except network_terms.TermsRefused as refused:
        raise click.ClickException(str(refused)) from refused


def _show_deposit(found: deposits.Deposit, language: str | None) -> None:
    click.echo(network_texts.deposit_line(found, signing.language(language)))


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


COMMANDS: tuple[click.Command, ...] = (deposit, statement_command, floats_command, warn_command, terms_command)
"""What `eudora network` has about money."""
