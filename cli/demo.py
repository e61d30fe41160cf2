"""`eudora demo`: one recharge from the shop to the meter, with everything real. Exit code 0 only if every step went as it must."""

import io
import shlex
from contextlib import redirect_stdout

import click

from cli import context
from cli.main import main
from cli.meter import REJECTED_EXIT_CODE
from cli.pos import DEFAULT_TERMINAL_IDS
from cli.processes import StartError
from cli.system import running_system
from config.home import eudora_home
from messages.codec import DATAFONO
from pos.answers import read_pins
from town.generate import DEMO_METER_NUMBER, meter_number
from vending.service import Service

AMOUNT_PESOS = "20000"

OTHER_METER_NUMBER = meter_number(Service.ENERGY, 1)


@click.command()
def demo() -> None:
    """Sell one recharge: a town, a switch, a security module, a datáfono, a ticket, a meter, and the books."""
    try:
        # A home of its own, so that it disturbs nothing that runs on this machine.
        with running_system(eudora_home() / "demo", on_free_ports=True) as system:
            click.echo("Running: PostgreSQL, security module {}:{}".format(*system.module_address), nl=False)
            click.echo(", switch {}:{}, a town of 2 000 meters.".format(*system.switch_address))
            is_right = _walk()
    except StartError as error:
        raise click.ClickException(str(error)) from error
    if not is_right:
        raise click.ClickException("the demonstration did not go as it must")
    click.echo("\nEverything as it must be: sold once, accepted once, and the books agree.")


def _walk() -> bool:
    """Do the steps; return whether each did what it must."""
    is_right = _run(
        "1. The cashier asks whose meter it is, and what 20 000 pesos would buy.",
        ["pos", "inquire", "--meter", DEMO_METER_NUMBER, "--amount", AMOUNT_PESOS],
    )
    is_right &= _run(
        "2. The datáfono sells 20 000 pesos of energy over ISO 8583 and TCP, and prints the ticket.",
        ["pos", "sell", "--meter", DEMO_METER_NUMBER, "--amount", AMOUNT_PESOS],
    )
    pin = _last_pin()
    if pin is None:
        return False
    is_right &= _run(
        "3. The customer types the PIN into the meter.",
        ["meter", "enter", "--meter", DEMO_METER_NUMBER, pin],
        shows="Accept",
    )
    is_right &= _run(
        "4. The same PIN again: a meter takes it once.",
        ["meter", "enter", "--meter", DEMO_METER_NUMBER, pin],
        status=REJECTED_EXIT_CODE,
        shows="UsedError",
    )
    is_right &= _run(
        "5. The same PIN on the neighbour's meter: it was not made for it.",
        ["meter", "enter", "--meter", OTHER_METER_NUMBER, pin],
        status=REJECTED_EXIT_CODE,
        shows="CRCError",
    )
    is_right &= _run(
        "6. The ledger proves postings, balances, tokens, journal and the module's counters against each other.",
        ["ledger", "check"],
    )
    return is_right


def _last_pin() -> str | None:
    """The PIN in the datáfono's memory, as its ticket shows it; None if the sale was not approved."""
    sale = context.terminal(DEFAULT_TERMINAL_IDS["datafono"]).sale
    if sale is None or sale.answer is None:
        return None
    pins = read_pins(DATAFONO.decode(sale.answer))
    return pins[0].reveal() if pins else None


def _run(title: str, arguments: list[str], *, status: int = 0, shows: str = "") -> bool:
    """Run a command in this process, show it and what it prints; return whether it ended and said what it must."""
    click.secho(f"\n{title}", bold=True)
    click.echo(f"$ eudora {shlex.join(arguments)}")
    said = io.StringIO()
    code: object = None
    try:
        with redirect_stdout(said):
            main.main(arguments, prog_name="eudora")
    except SystemExit as ended:
        code = ended.code
    click.echo(said.getvalue(), nl=False)
    return code == status and shows in said.getvalue()
