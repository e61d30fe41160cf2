"""`eudora network add` and `eudora network terminal`: a new network and its terminals in the ledger."""

import re
from collections.abc import Callable
from typing import TypeVar

import click

from cli import signing
from cli.signing import Pesos, UserName, engine, now
from config.acquirer import ACQUIRER_ID_PATTERN
from ledger import new_network
from vending.money import BasisPoints, Centavos

_Result = TypeVar("_Result")
_USER = click.option("--user", required=True, type=UserName(), envvar="USER", help="Who acts.  [default: $USER]")
_ID = click.argument("network_id", metavar="NAME")
TERMINAL_ID_PATTERN = r"^[A-Za-z0-9]{1,8}$"
TERMINALS_MAX = 100_000
_NOTHING = Centavos(0)


@click.command("add")
@_ID
@click.option("--name", required=True, help="For people: Lotería del Valle.")
@click.option("--credit", type=Pesos(), help="Pesos that it may sell beyond its deposits.  [default: none]")
@click.option(
    "--commission", type=click.IntRange(0, 10_000), default=0, help="Of its sales, in basis points (1,5 %: 150)."
)
@click.option(
    "--tax", type=click.IntRange(0, 10_000), default=0, help="On the commission, in basis points (19 %: 1900)."
)
@_USER
def add_command(*, network_id: str, name: str, credit: Centavos | None, commission: int, tax: int, user: str) -> None:
    """Register network NAME, as its table in the configuration is called. It sells once it has a port, terminals and a deposit."""
    if not re.fullmatch(ACQUIRER_ID_PATTERN, network_id):
        raise click.BadParameter("lower case letters, digits, - and _; a letter first", param_hint="NAME")
    try:
        _ask(
            lambda: new_network.add_network(
                engine(),
                network_id,
                name=name,
                credit_line_centavos=credit or _NOTHING,
                commission_basis_points=BasisPoints(commission),
                commission_tax_basis_points=BasisPoints(tax),
                user=user,
                at=now(),
            )
        )
    except new_network.NetworkKnown as error:
        raise click.ClickException(f"the ledger has a network {network_id!r}; nothing was written") from error
    click.echo(f"{network_id} is registered; next: eudora network terminal add {network_id} ID")


@click.group("terminal")
def terminal() -> None:
    """The terminals of a network."""


@terminal.command("add")
@_ID
@click.argument("terminal_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--merchant", default="", help="For people: Tienda La Esquina.")
def terminal_add_command(*, network_id: str, terminal_ids: tuple[str, ...], merchant: str) -> None:
    """Register terminals, as data element 41 names them. FIRST..LAST stands for a range: V0000001..V0000020."""
    wanted = [each for word in terminal_ids for each in _expanded(word)]
    new = _ask_network(network_id, lambda: new_network.register_terminals(engine(), network_id, wanted, merchant))
    click.echo(f"{len(new)} terminals registered, {len(set(wanted)) - len(new)} were known")


@terminal.command("block")
@_ID
@click.argument("terminal_id", metavar="ID")
def terminal_block_command(*, network_id: str, terminal_id: str) -> None:
    """Let a terminal sell nothing any more; it still may reverse and ask."""
    _set_blocked(network_id, terminal_id, is_blocked=True)
    click.echo(f"{terminal_id} is blocked")


@terminal.command("unblock")
@_ID
@click.argument("terminal_id", metavar="ID")
def terminal_unblock_command(*, network_id: str, terminal_id: str) -> None:
    """Let a terminal sell again."""
    _set_blocked(network_id, terminal_id, is_blocked=False)
    click.echo(f"{terminal_id} sells again")


@terminal.command("list")
@_ID
def terminal_list_command(network_id: str) -> None:
    """List the terminals of a network."""
    for code, merchant, status in _ask(lambda: new_network.read_terminals(engine(), network_id)):
        click.echo(f"{code:<8}  {status:<8}  {merchant}".rstrip())


COMMANDS: tuple[click.Command, ...] = (add_command, terminal)


def _set_blocked(network_id: str, terminal_id: str, *, is_blocked: bool) -> None:
    try:
        _ask_network(
            network_id,
            lambda: new_network.set_terminal_blocked(engine(), network_id, terminal_id, is_blocked=is_blocked),
        )
    except new_network.TerminalMissing as error:
        raise click.ClickException(f"{network_id} has no terminal {terminal_id!r}; nothing was written") from error


def _ask_network(network_id: str, question: Callable[[], _Result]) -> _Result:
    try:
        return _ask(question)
    except new_network.NetworkMissing as error:
        raise click.ClickException(
            f"the ledger has no network {network_id!r}; register it: eudora network add {network_id} --name TEXT"
        ) from error


def _ask(question: Callable[[], _Result]) -> _Result:
    return signing.ask(question, "eudora network list")


def _expanded(word: str) -> list[str]:
    """Return what an id or a range ``FIRST..LAST`` stands for."""
    first, dots, last = word.partition("..")
    if not dots:
        return [_terminal_id(first)]
    match, end = re.fullmatch(r"([A-Za-z]*)([0-9]+)", first), re.fullmatch(r"([A-Za-z]*)([0-9]+)", last)
    if match is None or end is None or match[1] != end[1] or len(first) != len(last):
        raise click.BadParameter(f"{word!r} is not FIRST..LAST of one form: V0000001..V0000020", param_hint="ID")
    count = int(end[2]) - int(match[2]) + 1
    if not 1 <= count <= TERMINALS_MAX:
        raise click.BadParameter(f"{word!r} is {count} terminals; 1 to {TERMINALS_MAX} are taken", param_hint="ID")
    digits = len(match[2])
    return [_terminal_id(f"{match[1]}{number:0{digits}}") for number in range(int(match[2]), int(end[2]) + 1)]


def _terminal_id(text: str) -> str:
    if not re.fullmatch(TERMINAL_ID_PATTERN, text):
        raise click.BadParameter(f"{text!r} is no terminal id: 1 to 8 letters and digits", param_hint="ID")
    return text
