"""`eudora network`: the networks that sell."""

import click

from cli import network_money, network_new, network_run, network_status


@click.group()
def network() -> None:
    """The networks that sell."""


for _command in (*network_status.COMMANDS, *network_money.COMMANDS, *network_new.COMMANDS, network_run.run_command):
    network.add_command(_command)
