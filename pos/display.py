"""What the terminal shows of an outcome, and the exit status that goes with it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from messages.iso_message import IsoMessage
from pos.answers import (
    AnswerMalformed,
    bare_account,
    bare_sale,
    read_account,
    read_number,
    read_original,
    read_pins,
    read_receipt_number,
    read_sale,
)
from pos.client import NotSent, Outcome
from pos.dialogue import APPROVED, Final, Rejected, Unknown
from pos.paper import COLUMNS_WIDE
from pos.store import ExchangeStatus
from pos.texts import SPANISH, UtilityTexts, answer_text, sentences
from pos.ticket import InquirySlip, Ticket, render_inquiry, render_ticket
from pos.till import Reprint
from vending.calendar import local_time
from vending.money import Centavos, Tenths


class ExitStatus(IntEnum):
    """What the command's caller learns."""

    APPROVED = 0
    DECLINED = 1
    USAGE = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Text for the person, the exit status, and whether a sale's ticket is in the text."""

    text: str
    status: ExitStatus
    has_ticket: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Whose ticket it is, in which language, on which paper."""

    utility: UtilityTexts
    language: str = SPANISH
    columns: int = COLUMNS_WIDE


def show_sale(
    outcome: Outcome, style: Style, *, sold_at: datetime, copy_number: int | None = None, is_from_memory: bool = False
) -> Shown:
    """Show a sale: its ticket, or why there is none.

    Args:
        outcome: how the exchange ended.
        style: of the ticket.
        sold_at: when the sale was first asked for, aware; a copy shows the same time.
        copy_number: None on the first print.
        is_from_memory: the network was not reached; the answer is the stored one.
    """
    if not isinstance(outcome, Final) or not outcome.is_approved:
        return show_refusal(outcome, style)
    try:
        text = ticket_text(outcome.answer, style, sold_at=sold_at, copy_number=copy_number)
    except AnswerMalformed:
        return Shown(text=sentences(style.language).pins_unreadable + "\n", status=ExitStatus.UNKNOWN)
    if is_from_memory:
        text += sentences(style.language).from_memory + "\n"
    return Shown(text=text, status=ExitStatus.APPROVED, has_ticket=True)


def show_last(reprint: Reprint, style: Style) -> Shown:
    """Show what became of the last sale: its ticket as a copy, or why there is none."""
    outcome = reprint.outcome
    words = sentences(style.language)
    if isinstance(outcome, Final) and outcome.is_approved:
        try:
            told = read_original(outcome.answer)
        except AnswerMalformed:
            told = None
        if told is not None and told.code != APPROVED:
            text = words.declined.format(code=told.code, text=answer_text(told.code, style.language))
            return Shown(text=text + "\n", status=ExitStatus.DECLINED)
    if reprint.sold_at is None:
        return show_refusal(outcome, style, moves_money=False)
    return show_sale(
        outcome,
        style,
        sold_at=reprint.sold_at,
        copy_number=reprint.copy_number,
        is_from_memory=reprint.is_from_memory,
    )


def show_reversal(outcome: Outcome, style: Style, *, sold_at: datetime, copy_number: int | None) -> Shown:
    """Show a reversal; where the sale stands, its ticket is printed as a copy.

    Args:
        outcome: how the exchange ended.
        style: of the ticket.
        sold_at: when the sale was asked for, aware.
        copy_number: of the ticket, None where the answer carries none.
    """
    words = sentences(style.language)
    if isinstance(outcome, Final) and outcome.is_approved:
        return Shown(text=words.reversed + "\n", status=ExitStatus.APPROVED)
    shown = show_refusal(outcome, style)
    if not isinstance(outcome, Final) or copy_number is None:
        return shown
    try:
        ticket = ticket_text(outcome.answer, style, sold_at=sold_at, copy_number=copy_number)
    except AnswerMalformed:
        return Shown(text=shown.text + words.pins_unreadable + "\n", status=shown.status)
    return Shown(text=shown.text + ticket, status=shown.status, has_ticket=True)


def show_inquiry(outcome: Outcome, style: Style) -> Shown:
    """Show who the customer is, what he owes, and what the sum would buy."""
    if not isinstance(outcome, Final):
        return show_refusal(outcome, style, moves_money=False)
    answer = outcome.answer
    if 48 not in answer:
        return show_refusal(outcome, style)
    try:
        slip = InquirySlip(
            utility=style.utility,
            account=read_account(answer),
            owed_centavos=Centavos(read_number(answer, "OW")),
            overdue_centavos=Centavos(read_number(answer, "OV")),
            minimum_paid_centavos=Centavos(read_number(answer, "MN")),
            maximum_paid_centavos=Centavos(read_number(answer, "MX")),
            month_to_date_tenths=Tenths(read_number(answer, "MD")),
            trial=read_sale(answer) if 63 in answer else None,
        )
    except AnswerMalformed as malformed:
        return Shown(text=f"{malformed}\n", status=ExitStatus.UNKNOWN)
    text = render_inquiry(slip, columns=style.columns, language=style.language)
    if outcome.is_approved:
        return Shown(text=text, status=ExitStatus.APPROVED)
    # The account is known and only the trial sum is refused.
    return Shown(text=text + show_refusal(outcome, style).text, status=ExitStatus.DECLINED)


def show_network(outcome: Outcome, style: Style) -> Shown:
    """Show an echo or a sign-on."""
    if isinstance(outcome, Final) and outcome.is_approved:
        return Shown(text=sentences(style.language).done + "\n", status=ExitStatus.APPROVED)
    return show_refusal(outcome, style, moves_money=False)


def show_key_change(outcome: Outcome, style: Style, *, generation: int, kcv: str) -> Shown:
    """Show which session key messages are signed with from now on."""
    if isinstance(outcome, Final) and outcome.is_approved:
        text = sentences(style.language).key_changed.format(generation=generation, kcv=kcv.upper())
        return Shown(text=text + "\n", status=ExitStatus.APPROVED)
    return show_refusal(outcome, style, moves_money=False)


def show_refusal(outcome: Outcome, style: Style, *, is_still_open: bool = False, moves_money: bool = True) -> Shown:
    """Say in words why there is no ticket.

    Args:
        outcome: how the exchange ended.
        style: gives the language.
        is_still_open: an earlier request of the exchange may have arrived, so that no link now leaves its outcome unknown.
        moves_money: whether something may have been done that must not be done again.
    """
    words = sentences(style.language)
    if isinstance(outcome, Final):
        text = words.declined.format(code=outcome.code, text=answer_text(outcome.code, style.language))
        return Shown(text=text + "\n", status=ExitStatus.DECLINED)
    if isinstance(outcome, NotSent):
        sentence = words.not_sent_still_open if is_still_open else words.not_sent
        status = ExitStatus.UNKNOWN if is_still_open else ExitStatus.DECLINED
        return Shown(text=sentence.format(reason=outcome.reason) + "\n", status=status)
    assert isinstance(outcome, Unknown)
    lines = [words.unknown if moves_money else words.no_answer]
    if outcome.rejected:
        lines.append(
            words.came_instead.format(what="; ".join(_rejected_text(each, style) for each in outcome.rejected))
        )
    return Shown(text="\n".join(lines) + "\n", status=ExitStatus.UNKNOWN)


def show_open(style: Style) -> Shown:
    """Say that the last sale must be ended first."""
    return Shown(text=sentences(style.language).last_open + "\n", status=ExitStatus.UNKNOWN)


def show_nothing_to_repeat(status: ExchangeStatus | None, style: Style) -> Shown:
    """Say why there is nothing to repeat or undo; *status* is that of the last sale, None if there is none."""
    words = sentences(style.language)
    reasons = {ExchangeStatus.REVERSED: words.was_reversed, ExchangeStatus.NOT_SENT: words.was_not_sent}
    text = words.nothing_to_repeat if status is None else reasons[status]
    return Shown(text=text + "\n", status=ExitStatus.DECLINED)


def ticket_text(answer: IsoMessage, style: Style, *, sold_at: datetime, copy_number: int | None) -> str:
    """Set the ticket of an authentic answer. Whatever else cannot be read, the customer gets the PINs.

    Raises:
        AnswerMalformed: the PINs themselves cannot be read.
    """
    note = ""
    pins = read_pins(answer)
    try:
        account, sale = read_account(answer), read_sale(answer)
    except AnswerMalformed:
        account, sale = bare_account(answer), bare_sale(answer)
        note = sentences(style.language).lines_unreadable + "\n"
    ticket = Ticket(
        utility=style.utility,
        receipt_number=read_receipt_number(answer),
        issued_at=local_time(sold_at),
        merchant_id=(answer.get(42) or "").strip(),
        terminal_id=answer.text(41),
        approval=answer.get(38) or "",
        account=account,
        sale=sale,
        pins=pins,
        copy_number=copy_number,
    )
    return render_ticket(ticket, columns=style.columns, language=style.language) + note


def _rejected_text(rejected: Rejected, style: Style) -> str:
    if rejected.code is None:
        return rejected.fault.value
    return f"{rejected.code} {answer_text(rejected.code, style.language)} ({rejected.fault.value})"
