"""The ticket: what an answer said, set on a strip of paper. Pure: the same content always gives the same text."""

from dataclasses import dataclass, field
from datetime import datetime

from pos.amounts import format_centavos, format_rate, format_units
from pos.paper import COLUMNS_WIDE, Paper
from pos.texts import SPANISH, TicketWords, UtilityTexts, ticket_words
from vending.money import Centavos, RateE4, Tenths
from vending.quote import QuotedBlock
from vending.secret import Secret
from vending.service import Service

_UNITS = {Service.ENERGY: "kWh", Service.WATER: "m³", Service.GAS: "m³"}
_MILLICENTAVOS_PER_CENTAVO = 1000
_PIN_GROUP = 4

MORE = "more"
"""The kind of a line that sums up what did not fit into the answer; its id is how many lines it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenLine:
    """One deduction as the answer tells it: what was taken of what, and what is left.

    ``kind`` is "charge", "emergency", "obligation" or `MORE`.
    """

    kind: str
    id: str
    amount_centavos: Centavos
    interest_centavos: Centavos
    capital_centavos: Centavos
    left_centavos: Centavos
    subsidy_centavos: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLines:
    """Who the customer is; empty texts were not told and are not printed."""

    meter_number: str
    account_number: str
    holder: str
    address: str
    user_class: str
    stratum: str
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleLines:
    """The money of one sale, or of a trial quote.

    ``key_change_tokens`` says how many of the PINs, the first ones, change the key of the meter. ``claimed_centavos`` of what was paid went for tokens that were sold before and reversed, with ``claimed_tenths`` of units; the other
    numbers are of the rest.
    """

    paid_centavos: Centavos
    carried_in_centavos: Centavos
    carried_out_centavos: Centavos
    units_tenths: Tenths
    charged_centavos: Centavos
    full_cost_centavos: Centavos
    subsidy_centavos: Centavos
    contribution_centavos: Centavos
    month_to_date_tenths: Tenths
    blocks: tuple[QuotedBlock, ...]
    taken: tuple[TakenLine, ...]
    voluntary: TakenLine | None
    claimed_centavos: Centavos = Centavos(0)
    claimed_tenths: Tenths = Tenths(0)
    key_change_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Everything that a sale's ticket tells.

    Attributes:
        utility: who sells.
        receipt_number: of the sale.
        issued_at: local date and time of the sale, also on a copy.
        merchant_id: the point of sale.
        terminal_id: the datáfono.
        approval: data element 38.
        account: whose meter.
        sale: the money.
        pins: 20 digits each, in the order of entry; none on a payment.
        copy_number: None on the first print, then 1, 2, ...
    """

    utility: UtilityTexts
    receipt_number: str
    issued_at: datetime
    merchant_id: str
    terminal_id: str
    approval: str
    account: AccountLines
    sale: SaleLines
    pins: tuple[Secret[str], ...] = field(repr=False)
    copy_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InquirySlip:
    """What an inquiry tells: the customer, what he owes, the limits, and what a sum would buy."""

    utility: UtilityTexts
    account: AccountLines
    owed_centavos: Centavos
    overdue_centavos: Centavos
    minimum_paid_centavos: Centavos
    maximum_paid_centavos: Centavos
    month_to_date_tenths: Tenths
    trial: SaleLines | None


def render_ticket(ticket: Ticket, *, columns: int = COLUMNS_WIDE, language: str = SPANISH) -> str:
    """Set a ticket.

    Args:
        ticket: what it tells.
        columns: of the paper, see `pos.paper`.
        language: one of `pos.texts.LANGUAGES`.

    Returns:
        Lines of at most *columns* characters.
    """
    words = ticket_words(language)
    paper = Paper(columns)
    _set_heading(paper, words, ticket)
    _set_account(paper, words, ticket.account)
    paper.rule()
    _set_money(paper, words, ticket.account.service, ticket.sale)
    if ticket.pins:
        _set_pins(paper, words, ticket.pins, ticket.sale.key_change_tokens)
    total_tenths = Tenths(ticket.sale.units_tenths + ticket.sale.claimed_tenths)
    if total_tenths:
        unit = _UNITS[ticket.account.service]
        paper.pair(words.total_units, format_units(total_tenths, unit))
        paper.pair(words.month_to_date, format_units(ticket.sale.month_to_date_tenths, unit))
    paper.rule("═")
    if ticket.pins:
        if ticket.sale.key_change_tokens:
            paper.centre(words.enter_key_change)
        paper.centre(words.enter_pin if len(ticket.pins) == 1 else words.enter_pins)
    _set_notices(paper, words, ticket.utility)
    if ticket.copy_number is not None:
        _set_copy(paper, words, ticket.copy_number)
    return paper.render()


def render_inquiry(slip: InquirySlip, *, columns: int = COLUMNS_WIDE, language: str = SPANISH) -> str:
    """Set the slip of an inquiry; arguments and result as in `render_ticket`."""
    words = ticket_words(language)
    paper = Paper(columns)
    set_utility(paper, slip.utility)
    paper.rule("═")
    paper.centre(words.inquiry)
    paper.rule("═")
    _set_account(paper, words, slip.account)
    paper.rule()
    paper.pair(words.owed, format_centavos(slip.owed_centavos))
    paper.pair(words.overdue, format_centavos(slip.overdue_centavos))
    paper.pair(words.minimum, format_centavos(slip.minimum_paid_centavos))
    paper.pair(words.maximum, format_centavos(slip.maximum_paid_centavos))
    unit = _UNITS[slip.account.service]
    paper.pair(words.month_to_date, format_units(slip.month_to_date_tenths, unit))
    if slip.trial is not None:
        paper.rule("═")
        paper.centre(words.would_buy.format(paid=format_centavos(slip.trial.paid_centavos)))
        paper.rule("═")
        _set_money(paper, words, slip.account.service, slip.trial)
        paper.rule()
        paper.pair(words.total_units, format_units(slip.trial.units_tenths, unit))
    paper.rule("═")
    paper.centre(slip.utility.complaints_line)
    paper.centre(words.supervised)
    return paper.render()


def group_pin(pin: Secret[str]) -> str:
    """Return the 20 digits in fours, as they are read aloud and typed.

    >>> group_pin(Secret("12345678901234567890"))
    '1234 5678 9012 3456 7890'
    """
    digits = pin.reveal()
    return " ".join(digits[start : start + _PIN_GROUP] for start in range(0, len(digits), _PIN_GROUP))


def block_values(blocks: tuple[QuotedBlock, ...]) -> list[Centavos]:
    """Price each block so that the lines add up to what was charged, to the centavo.

    A sale is rounded once, downwards, over all its blocks; each line is the step of that rounded running sum.
    """
    values: list[Centavos] = []
    spent_milli = 0
    shown = 0
    for block in blocks:
        spent_milli += block.units_tenths * block.rate_e4
        reached = spent_milli // _MILLICENTAVOS_PER_CENTAVO
        values.append(Centavos(reached - shown))
        shown = reached
    return values


def _set_heading(paper: Paper, words: TicketWords, ticket: Ticket) -> None:
    set_utility(paper, ticket.utility)
    paper.rule("═")
    service = words.services[ticket.account.service.value].upper()
    paper.centre(words.recharge.format(service=service) if ticket.pins else words.payment)
    if ticket.copy_number is not None:
        _set_copy(paper, words, ticket.copy_number)
    paper.rule("═")
    paper.pair(words.receipt, ticket.receipt_number)
    paper.pair(words.issued_at, f"{ticket.issued_at:%d/%m/%Y %H:%M:%S}")
    paper.pair(words.point_of_sale, ticket.merchant_id)
    paper.pair(words.terminal, ticket.terminal_id)
    if ticket.approval:
        paper.pair(words.approval, ticket.approval)
    paper.rule()


def _set_copy(paper: Paper, words: TicketWords, copy_number: int) -> None:
    paper.centre(f"*** {words.copy} {copy_number} ***")


def set_utility(paper: Paper, utility: UtilityTexts) -> None:
    """Set the head that every paper has: whose it is."""
    paper.centre(utility.name)
    paper.centre(f"NIT {utility.tax_id}")
    for line in utility.header:
        paper.centre(line)


def _set_account(paper: Paper, words: TicketWords, account: AccountLines) -> None:
    paper.pair(words.meter, account.meter_number)
    for label, value in (
        (words.account, account.account_number),
        (words.holder, account.holder),
        (words.address, account.address),
    ):
        if value:
            paper.pair(label, value)
    user_class = dict(words.user_classes).get(account.user_class, account.user_class)
    if account.stratum.strip("0"):
        paper.pair(words.stratum, f"{account.stratum} {user_class}")
    elif user_class:
        # Strata are for homes; other users have 0 and only their class is told.
        paper.pair(words.user_class, user_class)
    paper.pair(words.service, words.services[account.service.value].capitalize())


def _set_money(paper: Paper, words: TicketWords, service: Service, sale: SaleLines) -> None:
    paper.pair(words.paid, format_centavos(sale.paid_centavos))
    if sale.carried_in_centavos:
        paper.pair(words.carried_in, format_centavos(sale.carried_in_centavos))
    if sale.claimed_centavos:
        paper.rule()
        paper.pair(words.claimed, format_centavos(sale.claimed_centavos))
        paper.pair(words.claimed_units, format_units(sale.claimed_tenths, _UNITS[service]), indent=2)
    if sale.taken or sale.voluntary:
        paper.rule()
        paper.left(words.deductions)
        for line in sale.taken:
            _set_taken(paper, words, _kind_label(words, line), line)
        if sale.voluntary is not None:
            _set_taken(paper, words, f"{words.voluntary} {sale.voluntary.id}", sale.voluntary)
    if sale.units_tenths:
        paper.rule()
        _set_units(paper, words, service, sale)
    if sale.carried_out_centavos:
        paper.rule()
        paper.pair(words.carried_out, format_centavos(sale.carried_out_centavos))


def _kind_label(words: TicketWords, line: TakenLine) -> str:
    if line.kind == MORE:
        return f"{words.more} ({line.id})"
    label = {"charge": words.charge, "emergency": words.emergency, "obligation": words.obligation}.get(line.kind, "")
    return f"{label} {line.id}".strip()


def _set_taken(paper: Paper, words: TicketWords, label: str, line: TakenLine) -> None:
    paper.pair(label, format_centavos(line.amount_centavos))
    if line.interest_centavos:
        paper.pair(words.interest, format_centavos(line.interest_centavos), indent=2)
        paper.pair(words.capital, format_centavos(line.capital_centavos), indent=2)
    if line.subsidy_centavos:
        # A charge carries its own subsidy, or a contribution when it is below zero.
        label = words.subsidy if line.subsidy_centavos > 0 else words.contribution
        paper.pair(label, format_centavos(Centavos(-line.subsidy_centavos)), indent=2)
    paper.pair(words.left, format_centavos(line.left_centavos), indent=2)


def _set_units(paper: Paper, words: TicketWords, service: Service, sale: SaleLines) -> None:
    unit = _UNITS[service]
    paper.columns(words.consumption, words.rate, words.value)
    for block, value in zip(sale.blocks, block_values(sale.blocks), strict=True):
        paper.columns(format_units(block.units_tenths, unit), format_rate(block.rate_e4), format_centavos(value))
        if block.full_rate_e4 != block.rate_e4:
            paper.columns(f"  {words.full_rate}", format_rate(RateE4(block.full_rate_e4)), "")
    if sale.subsidy_centavos or sale.contribution_centavos:
        paper.pair(words.full_cost, format_centavos(sale.full_cost_centavos))
    if sale.subsidy_centavos:
        paper.pair(words.subsidy, format_centavos(Centavos(-sale.subsidy_centavos)))
    if sale.contribution_centavos:
        paper.pair(words.contribution, format_centavos(sale.contribution_centavos))
    paper.pair(words.charged.format(service=words.services[service.value]), format_centavos(sale.charged_centavos))


def _set_pins(paper: Paper, words: TicketWords, pins: tuple[Secret[str], ...], key_change_tokens: int) -> None:
    """Set the PINs in the order of entry, those of a key change in front, so that nobody types the credit first."""
    changing, credit = pins[:key_change_tokens], pins[key_change_tokens:]
    if changing:
        paper.centre(words.key_change_first)
    for number, pin in enumerate(changing, start=1):
        paper.box(words.key_change_pins.format(number=number, count=len(changing)), [group_pin(pin)])
    if changing:
        paper.centre(words.key_change_then)
    for number, pin in enumerate(credit, start=1):
        title = words.pin if len(credit) == 1 else words.pins.format(number=number, count=len(credit))
        paper.box(title, [group_pin(pin)])


def _set_notices(paper: Paper, words: TicketWords, utility: UtilityTexts) -> None:
    paper.centre(utility.complaints_line)
    paper.centre(words.supervised)
    for line in utility.footer:
        paper.centre(line)
