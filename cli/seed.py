"""``eudora seed``: load an invented town into an empty ledger."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from cli import context
from ledger.upgrade import upgrade
from town.generate import DEFAULT_METERS, DEFAULT_SEED, DEFAULT_TERMINALS, DEMO_METER_NUMBER, METERS_MAX, generate
from town.load import TownAlreadyLoaded, load_into
from vending.calendar import local_date


@click.command("seed")
@click.option(
    "--meters", type=click.IntRange(1, METERS_MAX), default=DEFAULT_METERS, show_default=True, help="How many meters."
)
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="The same number makes the same town.")
@click.option(
    "--terminals",
    type=click.IntRange(1, 999_999),
    default=DEFAULT_TERMINALS,
    show_default=True,
    help="How many terminals.",
)
def seed_command(meters: int, seed: int, terminals: int) -> None:
    """Load an invented town: customers, meters, debts, tariffs and one network with its terminals.

    Prints one JSON object with what was written and the number of the first meter. A ledger that has meters is left as it is, and
    the exit code is 1.
    """
    now = datetime.now(UTC)  # noqa: TID251 - the command is where the clock comes from
    town = generate(seed=seed, meters=meters, terminals=terminals, day=local_date(now))
    engine = context.engine()
    upgrade(engine)
    try:
        loaded = load_into(engine, town, at=now)
    except TownAlreadyLoaded as error:
        raise click.ClickException(f"{error}; nothing was written") from error
    click.echo(json.dumps({**asdict(loaded), "first_meter": DEMO_METER_NUMBER}))
