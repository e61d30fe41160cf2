"""`eudora iso`: look into ISO 8583 messages."""

import sys

import click

from messages.describe import describe
from messages.wire import WIRES


@click.group("iso")
def iso() -> None:
    """Look into ISO 8583 messages."""


@iso.command("describe")
@click.option(
    "--dialect", type=click.Choice(sorted(WIRES)), default="datafono", show_default=True, help="Whose field table."
)
@click.argument("hex_text", metavar="HEX")
def describe_command(dialect: str, hex_text: str) -> None:
    """Show one message data element by data element.

    HEX may hold spaces and line ends, and the message may stand with or without its length and its TPDU; "-" reads it from
    standard input. PINs, tracks and chip data are masked, always. A broken message shows what could be read, and the exit code is 1.
    """
    text = sys.stdin.read() if hex_text == "-" else hex_text
    try:
        data = bytes.fromhex("".join(text.split()))
    except ValueError:
        raise click.BadParameter("not hexadecimal octets", param_hint="HEX") from None
    if not data:
        raise click.BadParameter("no octets", param_hint="HEX")
    description = describe(data, WIRES[dialect])
    click.echo(f"dialect {dialect}, {description.message_octets} octets from the MTI on")
    for line in description.lines():
        click.echo(line)
    if description.error is not None:
        sys.exit(1)
