"""``eudora pos``: a datáfono on the command line. It sells over TCP, keeps its own memory, and prints the ticket."""

import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import click

from cli import context
from cli.address import Address
from config.settings import load
from messages.dukpt import KeysExhausted
from messages.key_wrapping import CannotUnwrap
from pos.amounts import AmountError, parse_pesos
from pos.client import NotSent, PosClient, Timers
from pos.closing import show_close
from pos.display import (
    ExitStatus,
    Shown,
    Style,
    show_inquiry,
    show_key_change,
    show_last,
    show_network,
    show_nothing_to_repeat,
    show_open,
    show_refusal,
    show_reversal,
    show_sale,
)
from pos.offline import show_offline_full, show_provisional, show_upload
from pos.paper import COLUMNS_NARROW, COLUMNS_WIDE
from pos.requests import ECHO, SIGN_ON
from pos.session_key import SessionKeyFile
from pos.speech import speech_of
from pos.store import ExchangeOpen, ExchangeStatus, OfflineFull, TerminalStore
from pos.texts import LANGUAGES, UtilityTexts
from pos.till import NothingToRepeat, Till
from vending.calendar import local_date
from vending.money import Centavos
from vending.response_code import Refusal

DEFAULT_TERMINAL_IDS = {"datafono": "T0000001", "recargas": "R0000001", "loteria": "L0000001"}
"""The terminal that is used when none is named: the first of a seeded town's network of that dialect."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the process's own clock


class _Pesos(click.ParamType[Centavos]):
    """Whole pesos, as a cashier types them."""

    name = "pesos"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Centavos:
        if isinstance(value, int):
            return Centavos(value)
        try:
            return parse_pesos(value)
        except AmountError as error:
            self.fail(str(error), param, ctx)


class _Digits(click.ParamType[str]):
    """The number on the meter."""

    name = "meter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            self.fail(f"{text!r} is not a meter number; type its digits, at most 19", param, ctx)
        return text


class _Voluntary(click.ParamType[tuple[str, Centavos]]):
    """``obligation:pesos``."""

    name = "obligation:pesos"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Centavos]:
        obligation, _, pesos = str(value).rpartition(":")
        if not obligation:
            self.fail(f"{value!r}: type the obligation, a colon and the pesos that go to it", param, ctx)
        return obligation, _Pesos().convert(pesos, param, ctx)


class _Session:
    """One use of one terminal: where it calls, how it prints."""

    def __init__(self, options: dict[str, Any]) -> None:
        utility = load().utility
        self.style = Style(
            utility=UtilityTexts(
                name=utility.name,
                tax_id=utility.nit,
                complaints_line=utility.pqr_line,
                header=utility.ticket_header,
                footer=utility.ticket_footer,
            ),
            language=options["language"] or utility.language,
            columns=COLUMNS_NARROW if options["narrow"] else COLUMNS_WIDE,
        )
        dialect: str = options["dialect"]
        network = context.DIALECT_NETWORKS[dialect]
        self.store: TerminalStore = context.terminal(options["terminal"] or DEFAULT_TERMINAL_IDS[dialect], network)
        self._address: tuple[str, int] = options["address"] or context.switch_address(network)
        self._speech = speech_of(dialect, _now)
        self.session_keys = context.host_keys(network)
        self._device = context.device(self.store.identity.terminal_id, network)
        self._timers = Timers(answer_seconds=options["timeout"])

    def run(self, use: Callable[[Till], Shown], *, has_line: bool = True) -> NoReturn:
        """Be the terminal for one command and leave with its exit status; without a line nothing is sent afterwards either."""
        client = PosClient(self._address, timers=self._timers, monotonic=time.monotonic, sleep=time.sleep)
        with self.store.exclusive():
            till = Till(
                self.store,
                client,
                now=_now,
                speech=self._speech,
                session_keys=self.session_keys,
                device=self._device,
            )
            try:
                shown = use(till)
            except ExchangeOpen:
                shown = show_open(self.style)
            except OfflineFull:
                shown = show_offline_full(self.style)
            except KeysExhausted:
                raise click.ClickException("the terminal has used its last key: it needs a new initial key") from None
            except NothingToRepeat as nothing:
                shown = show_nothing_to_repeat(nothing.status, self.style)
            click.echo(shown.text, nl=False)
            sys.stdout.flush()
            # The customer has been served by now; what is told here is for the network's books.
            if shown.has_ticket:
                till.ticket_printed()
            till.upload_printed()
            if has_line and shown.status is not ExitStatus.UNKNOWN:
                till.send_advices()
        sys.exit(shown.status)

    def keys_of_network(self) -> SessionKeyFile:
        """Return the session keys that the terminals of the network share; wrong use where it has none."""
        if self.session_keys is None:
            raise click.UsageError("this network's key is not changed over the line: see session_keys in its mac table")
        return self.session_keys

    def check_has_batches(self) -> None:
        """Return if what is taken without a line can be uploaded afterwards; wrong use otherwise."""
        if not self._speech.has_batches:
            raise click.UsageError("this network takes no batch upload, so nothing is taken without a line")

    def sold_at(self) -> datetime:
        """When the last sale was first asked for."""
        assert self.store.sale is not None
        return self.store.sale.transmitted_at


def _terminal_options(command: _Command) -> _Command:
    """Add what every command of the group takes."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 300),
            default=15.0,
            show_default=True,
            help="Seconds until a repeat.",
        ),
        click.option("--narrow", is_flag=True, help=f"Paper of {COLUMNS_NARROW} columns instead of {COLUMNS_WIDE}."),
        click.option("--language", type=click.Choice(LANGUAGES), help="Of the ticket; default: the utility's."),
        click.option("--terminal", help="Terminal id; default: the first of the town's network of that dialect."),
        click.option(
            "--dialect",
            type=click.Choice(sorted(context.DIALECT_NETWORKS)),
            default="datafono",
            show_default=True,
            help="What the network speaks.",
        ),
        click.option("--address", type=Address(), help="Of the switch; default: the one running on this machine."),
    ):
        command = option(command)
    return command


@click.group()
def pos() -> None:
    """Use a datáfono: sell, pay, ask, undo, print again.

    Exit status: 0 approved, 1 declined, 2 wrong use, 3 outcome not known yet.
    """


@pos.command()
@click.option("--meter", type=_Digits(), required=True, help="Number on the meter.")
@click.option("--amount", type=_Pesos(), required=True, help="Whole pesos: 20000 or 20.000.")
@click.option("--voluntary", type=_Voluntary(), help="Part of the money that goes to one obligation: ID:PESOS.")
@_terminal_options
def sell(*, meter: str, amount: Centavos, voluntary: tuple[str, Centavos] | None, **options: Any) -> None:
    """Sell units and print the ticket with its PIN."""
    if voluntary is not None and voluntary[1] > amount:
        raise click.UsageError("--voluntary is more than --amount")
    session = _Session(options)

    def use(till: Till) -> Shown:
        outcome = till.sell(meter_number=meter, paid_centavos=amount, voluntary=voluntary)
        return show_sale(outcome, session.style, sold_at=session.sold_at())

    session.run(use)


@pos.command()
@click.option("--meter", type=_Digits(), required=True, help="Number on the meter.")
@click.option("--amount", type=_Pesos(), required=True, help="Whole pesos.")
@click.option("--obligation", help="Which one to pay; default: the oldest first.")
@click.option(
    "--offline", is_flag=True, help="There is no line: store it, print a provisional ticket; `upload` sends it."
)
@_terminal_options
def pay(*, meter: str, amount: Centavos, obligation: str | None, offline: bool, **options: Any) -> None:
    """Take a payment to obligations, without buying units."""
    session = _Session(options)

    def store(till: Till) -> Shown:
        stored = till.pay_offline(meter_number=meter, paid_centavos=amount, obligation=obligation)
        return show_provisional(stored, session.style)

    if offline:
        session.check_has_batches()
        session.run(store, has_line=False)

    def use(till: Till) -> Shown:
        outcome = till.pay(meter_number=meter, paid_centavos=amount, obligation=obligation)
        return show_sale(outcome, session.style, sold_at=session.sold_at())

    session.run(use)


@pos.command()
@_terminal_options
def upload(**options: Any) -> None:
    """Send the payments that were taken without a line, and the advices that wait; what is not final is kept. May be done again at any time."""
    session = _Session(options)
    session.check_has_batches()
    session.run(lambda till: show_upload(till.upload(), session.style))


@pos.command()
@click.option("--meter", type=_Digits(), required=True, help="Number on the meter.")
@click.option("--amount", type=_Pesos(), help="What would this buy?")
@_terminal_options
def inquire(*, meter: str, amount: Centavos | None, **options: Any) -> None:
    """Show the customer, debts and limits, and what a sum would buy; nothing is sold."""
    session = _Session(options)
    session.run(lambda till: show_inquiry(till.inquire(meter_number=meter, trial_centavos=amount), session.style))


@pos.command()
@_terminal_options
def reverse(**options: Any) -> None:
    """Undo the last sale. Where its PIN exists already the sale stands, and the ticket is printed as a copy."""
    session = _Session(options)

    def use(till: Till) -> Shown:
        reprint = till.reverse_last()
        outcome = reprint.outcome
        sale, reversal = session.store.sale, session.store.reversal
        assert sale is not None
        if isinstance(outcome, NotSent) and reversal is not None and reversal.status is ExchangeStatus.OPEN:
            return show_refusal(outcome, session.style, is_still_open=True)
        return show_reversal(outcome, session.style, sold_at=sale.transmitted_at, copy_number=reprint.copy_number)

    session.run(use)


@pos.command()
@_terminal_options
def last(**options: Any) -> None:
    """Ask what became of the last sale: the same digits come, the ticket marked as a copy."""
    session = _Session(options)

    def use(till: Till) -> Shown:
        reprint = till.last_answer()
        sale = session.store.sale
        if isinstance(reprint.outcome, NotSent) and sale is not None and sale.status is ExchangeStatus.OPEN:
            return show_refusal(reprint.outcome, session.style, is_still_open=True)
        return show_last(reprint, session.style)

    session.run(use)


@pos.command()
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Settlement day; default: the last one with a sale."
)
@_terminal_options
def close(*, day: datetime | None, **options: Any) -> None:
    """Close a day (cierre de lote): compare what this terminal sold with the network. May be done again at any time."""
    session = _Session(options)

    def use(till: Till) -> Shown:
        today = local_date(datetime.now(UTC))  # noqa: TID251 - the process's own clock
        chosen = day.date() if day is not None else session.store.tally.last_day or today
        return show_close(till.close_day(chosen), chosen, session.store.tally.of(chosen), session.style)

    session.run(use)


@pos.command()
@_terminal_options
def echo(**options: Any) -> None:
    """Ask whether the switch is there."""
    session = _Session(options)
    session.run(lambda till: show_network(till.network(ECHO), session.style))


@pos.command("sign-on")
@_terminal_options
def sign_on(**options: Any) -> None:
    """Sign the terminal on."""
    session = _Session(options)
    session.run(lambda till: show_network(till.network(SIGN_ON), session.style))


@pos.command("change-key")
@click.option("--give", "is_given", is_flag=True, help="Give the switch a new key instead of asking it for one.")
@_terminal_options
def change_key(*, is_given: bool, **options: Any) -> None:
    """Change the session key that the network's messages are signed with, as its host does."""
    session = _Session(options)
    keys = session.keys_of_network()

    def use(till: Till) -> Shown:
        try:
            outcome = till.change_key(secrets.token_bytes if is_given else None)
        except (CannotUnwrap, Refusal, ValueError) as error:
            raise click.ClickException(f"the switch's answer names a key that is not taken: {error}") from error
        return show_key_change(outcome, session.style, generation=keys.keys.generation, kcv=keys.keys.kcv)

    session.run(use)
