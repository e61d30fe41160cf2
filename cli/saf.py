"""`eudora saf`: notices that wait for networks, and those that nobody sends any more until a person decides.

Who acts is said by ``--user``; as with `eudora adjust`, whoever may run this command here is believed.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import click

from cli import signing
from cli.signing import engine, now
from ledger.notice_desk import NoticeRefused, NoticeRow, drop, read_notices, retry
from vending.notice_life import OPEN, NoticeState

_Result = TypeVar("_Result")

_USER = click.option("--user", envvar="USER", required=True, help="Who acts.  [default: $USER]")
_WHY = click.option("--why", required=True, help="In words; it is kept.")
_ID = click.argument("notice_id", metavar="ID", type=int)

_STATES = (*sorted(OPEN, key=lambda state: state.value), NoticeState.DEAD)


@click.group()
def saf() -> None:
    """Store and forward: what networks are told of our own accord."""


@saf.command("list")
@click.option("--network", "network_id", help="Only this network.")
@click.option("--dead", "is_dead", is_flag=True, help="Only dead letters.")
@click.option("--all", "is_all", is_flag=True, help="Also those that the network has, or that were dropped.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each.")
def list_command(*, network_id: str | None, is_dead: bool, is_all: bool, as_json: bool) -> None:
    """List notices that are waiting, sent or dead letters, by network and in the order of their lane."""
    states = (NoticeState.DEAD,) if is_dead else tuple(NoticeState) if is_all else _STATES
    for row in _ask(lambda: read_notices(engine(), network_id=network_id, states=states)):
        click.echo(json.dumps(row._asdict(), default=str) if as_json else _line(row))


@saf.command("retry")
@_ID
@_WHY
@_USER
def retry_command(notice_id: int, why: str, user: str) -> None:
    """Have a dead letter sent again, in its old place in the lane; its age and its tries count anew."""
    _check(why, user)
    click.echo(_line(_ask(lambda: retry(engine(), notice_id, user=user, why=why, at=now()))))


@saf.command("drop")
@_ID
@_WHY
@_USER
def drop_command(notice_id: int, why: str, user: str) -> None:
    """Decide that the network does not get a notice from us. It is kept, with who and why."""
    _check(why, user)
    click.echo(_line(_ask(lambda: drop(engine(), notice_id, user=user, why=why, at=now()))))


def _check(why: str, user: str) -> None:
    if not why.strip():
        raise click.UsageError("--why is empty")
    if not user.strip():
        raise click.UsageError("--user is empty")


def _line(row: NoticeRow) -> str:
    parts = [
        f"{row.id}  {row.network}  {row.kind} {row.subject}  {row.state}  since {row.created_at:%Y-%m-%d %H:%M:%S}Z"
    ]
    parts += [f"{row.tries} tries"] if row.tries else []
    parts += [f"stan {row.stan}"] if row.stan else []
    parts += [f"code {row.code}"] if row.code else []
    parts += [str(row.reason)] if row.reason else []
    parts += [f"{row.action} by {row.ordered_by}: {row.why}"] if row.action else []
    return "  ".join(parts)


def _ask(question: Callable[[], _Result]) -> _Result:
    """Ask the ledger; what cannot be done ends the command with a sentence."""
    try:
        return signing.ask(question, "eudora saf list")
    except NoticeRefused as error:
        raise click.ClickException(str(error)) from error
