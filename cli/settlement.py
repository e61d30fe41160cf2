"""``eudora ledger totals`` and ``eudora ledger close-days``: settlement days for those who settle."""

import json
from datetime import UTC, datetime

import click

from cli import context
from ledger.day_close import close_days
from ledger.day_report import DayLine, day_report
from vending.calendar import local_date
from vending.settlement import CloseDays, Sum

_LINE = "{:<14}{:<10}{:<8}{:>24}{:>24}{:>20}{:>20}{:>24}{:>24}  {}"


@click.command("totals")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Settlement day; default: today.")
@click.option("--acquirer", help="Only this network.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object.")
def totals_command(*, day: datetime | None, acquirer: str | None, is_json: bool) -> None:
    """Print what was sold on a settlement day, what terminals and networks said, and the difference.

    Ours and the difference are of now; theirs is the last that was sent. A terminal without a name is its whole network.
    Amounts are pesos, in JSON centavos.
    """
    chosen = day.date() if day is not None else local_date(datetime.now(UTC))  # noqa: TID251 - the command owns the clock
    lines = day_report(context.engine(), chosen, acquirer)
    if is_json:
        click.echo(json.dumps({"date": chosen.isoformat(), "lines": [line.as_json() for line in lines]}, indent=2))
        return
    click.echo(f"settlement day {chosen.isoformat()}")
    heads = ("network", "terminal", "day", "recharges", "payments", "reversals", "open", "theirs", "difference", "")
    click.echo(_LINE.format(*heads).rstrip())
    for line in lines:
        click.echo(_shown(line).rstrip())


@click.command("close-days")
def close_days_command() -> None:
    """Write the totals of every settlement day that is over; the switch does so once a minute by itself.

    Prints one line for each day that was closed and for each that had to stay open; the exit code is 1 if one had to.
    """
    found = close_days(context.engine(), CloseDays(at=datetime.now(UTC)))  # noqa: TID251 - the command owns the clock
    for acquirer_id, day in found.closed:
        click.echo(f"{day.isoformat()} {acquirer_id}: closed")
    for acquirer_id, day in found.left:
        click.echo(
            f"{day.isoformat()} {acquirer_id}: stays open: a sale on it, or a transaction older than this, has not ended"
        )
    if found.left:
        raise SystemExit(1)


def _shown(line: DayLine) -> str:
    difference = line.difference
    theirs, apart, verdict = "-", "-", ""
    if line.theirs is not None and difference is not None:
        theirs, apart = _money(line.theirs.sales), _money(difference[0])
        verdict = "agrees" if difference == (Sum(), Sum()) else "DIFFERS"
    return _LINE.format(
        line.acquirer_id,
        line.terminal_id or "(all)",
        "closed" if line.is_closed else "open",
        _money(line.ours.recharges),
        _money(line.ours.payments),
        _money(line.ours.reversed),
        _money(line.open),
        theirs,
        apart,
        verdict,
    )


def _money(found: Sum) -> str:
    sign, pesos = "-" if found.centavos < 0 else "", abs(found.centavos)
    return f"{found.count} / {sign}{pesos // 100:,}.{pesos % 100:02}"
