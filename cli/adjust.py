"""`eudora adjust`: money or units given outside a sale. One user proposes with evidence, another approves.

Who acts is said by ``--user``. Until there is a portal with log-ins, the operating system's account is the authentication: whoever may
run this command here is believed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from cli import adjust_texts, context, signing
from cli.approval_file import ApprovalFileError, read_approval
from cli.signing import LANGUAGE, Pesos, ask, engine, now
from ledger import adjustments
from ledger.adjustments import Adjustment
from messages.security_module import Approval, EngineeringReply, EngineeringRequest, MintReply
from security_module.roles import Role
from vending.adjustment import AdjustmentKind, AdjustmentRefused, AdjustmentState, Proposal
from vending.money import Centavos, Tenths

OPEN_EXIT_CODE = 3
"""Approved, but the digits of a token are not known yet: finish it later."""

_Result = TypeVar("_Result")
_KINDS = {kind.value.replace("_", "-"): kind for kind in AdjustmentKind if kind.engineering is None}
USER = click.option("--user", required=True, help="Who acts.")
APPROVALS = click.option(
    "--approval",
    "approval_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that `eudora approve adjustment` wrote; twice, where the security module wants two signatures.",
)


class _Units(click.ParamType[Tenths]):
    """Units with at most one decimal."""

    name = "units"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Tenths:
        """Read ``49``, ``49,1`` or ``49.1``."""
        whole, _, tenth = str(value).replace(",", ".").partition(".")
        digits = whole + (tenth or "0")
        if not (whole and digits.isascii() and digits.isdigit() and len(tenth) <= 1):
            self.fail(f"{value!r} is not a number of units with at most one decimal", param, ctx)
        return Tenths(int(digits))


@click.group()
def adjust() -> None:
    """Give money or units outside a sale; two people sign."""


@adjust.command("propose")
@click.option("--kind", required=True, type=click.Choice(sorted(_KINDS)))
@click.option("--sale", "sale_id", type=int, help="The receipt number of the sale it is about.")
@click.option("--meter", "meter_number", help="The number on the meter; without it, the meter of the sale.")
@click.option("--amount", type=Pesos(), help="Pesos of a refund or credit.")
@click.option("--units", type=_Units(), help="Units of a token, for example 49,1.")
@click.option("--evidence", required=True, help="Why, and where the proof is.")
@USER
@LANGUAGE
def propose_command(
    kind: str,
    sale_id: int | None,
    meter_number: str | None,
    amount: Centavos | None,
    units: Tenths | None,
    evidence: str,
    user: str,
    language: str | None,
) -> None:
    """Propose an adjustment; nothing is given before another user approves it."""
    propose(
        lambda: Proposal(
            kind=_KINDS[kind],
            proposed_by=user,
            evidence=evidence,
            meter_number=meter_number,
            sale_id=sale_id,
            amount_centavos=amount or Centavos(0),
            units_tenths=units or Tenths(0),
        ),
        language,
    )


@adjust.command("approve")
@click.argument("adjustment_id", type=int)
@USER
@LANGUAGE
def approve_command(adjustment_id: int, user: str, language: str | None) -> None:
    """Approve the proposal of another user; a token is minted and shown at once."""
    approved = _ask(lambda: adjustments.approve(engine(), adjustment_id, user, now(), told=_told()), language)
    _finish([approved], language)


def _told() -> set[str]:
    """Return the networks that are told of an adjustment of their sales."""
    sections = context.settings().acquirers
    return {name for name, each in sections.items() if each.notices is not None and "adjustment" in each.notices.kinds}


@adjust.command("reject")
@click.argument("adjustment_id", type=int)
@USER
@LANGUAGE
def reject_command(adjustment_id: int, user: str, language: str | None) -> None:
    """Reject the proposal of another user."""
    _show(_ask(lambda: adjustments.reject(engine(), adjustment_id, user, now()), language), language)


@adjust.command("list")
@click.option("--state", type=click.Choice([state.value for state in AdjustmentState]))
@LANGUAGE
def list_command(state: str | None, language: str | None) -> None:
    """List adjustments, the newest first; tokens are not shown."""
    wanted = None if state is None else AdjustmentState(state)
    for each in _ask(lambda: adjustments.find(engine(), wanted), language):
        click.echo(adjust_texts.line_of(each, signing.language(language)))


@adjust.command("show")
@click.argument("adjustment_id", type=int)
@LANGUAGE
def show_command(adjustment_id: int, language: str | None) -> None:
    """Show one adjustment, with its token."""
    _show(_ask(lambda: adjustments.read(engine(), adjustment_id), language), language)


@adjust.command("finish")
@click.argument("adjustment_id", type=int, required=False)
@APPROVALS
@LANGUAGE
def finish_command(adjustment_id: int | None, approval_files: Sequence[Path], language: str | None) -> None:
    """Ask the security module again for the approved tokens that have no digits yet; for all of them without an id.

    It is asked by the same id as before, so it gives the digits that it may have given already.
    """
    approvals = [_approval(path) for path in approval_files]
    if adjustment_id is not None:
        _finish([_ask(lambda: adjustments.read(engine(), adjustment_id), language)], language, approvals)
    elif approvals:
        raise click.UsageError("an approval is for one adjustment: name it")
    else:
        _finish(_ask(lambda: adjustments.find_open(engine()), language), language)


def _approval(path: Path) -> Approval:
    try:
        return read_approval(path)
    except ApprovalFileError as error:
        raise click.ClickException(f"{path}: {error}") from error


def propose(proposal: Callable[[], Proposal], language: str | None) -> None:
    """Write a proposal and show it."""
    _show(_ask(lambda: adjustments.propose(engine(), proposal(), now()), language), language)


def _finish(found: list[Adjustment], language: str | None, approvals: Sequence[Approval] = ()) -> None:
    """Mint what is open, and show all of them; exit code 3 if something stays open."""
    is_any_open = False
    for each in found:
        finished = each
        if each.is_open:
            try:
                finished = _mint(each, language, approvals)
            except click.ClickException as error:
                click.echo(error.format_message(), err=True)
                is_any_open = True
        _show(finished, language)
    if is_any_open:
        raise click.exceptions.Exit(OPEN_EXIT_CODE)


def _mint(adjustment: Adjustment, language: str | None, approvals: Sequence[Approval]) -> Adjustment:
    assert adjustment.token is not None, "it is open"
    request = replace(adjustment.token.request, approvals=tuple(approvals))
    role = Role.ENGINEER if isinstance(request, EngineeringRequest) else Role.SWITCH
    reply = context.ask_module(role, request)
    assert isinstance(reply, MintReply | EngineeringReply)
    (digits,) = reply.tokens if isinstance(reply, MintReply) else (reply.token,)
    return _ask(
        lambda: adjustments.store_token(engine(), adjustment.adjustment_id, digits, now()),
        language,
    )


def _ask(question: Callable[[], _Result], language: str | None) -> _Result:
    """Ask the ledger; a refusal and a failure end the command with a sentence."""
    try:
        return ask(question, "eudora adjust list")
    except AdjustmentRefused as refused:
        raise click.ClickException(adjust_texts.refusal_of(refused, signing.language(language))) from refused


def _show(adjustment: Adjustment, language: str | None) -> None:
    click.echo(adjust_texts.page_of(adjustment, signing.language(language)))
