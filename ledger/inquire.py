"""Inquiries: who is behind a meter, what is owed, what a sum would buy. Nothing is written and nothing is locked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, Engine, text

from ledger import arrays
from ledger.available import AVAILABLE
from ledger.database import transact
from ledger.meters import MeterState, account_statements, accounts_of
from ledger.pricing import Rules, check_meter, price
from ledger.rounds import together
from vending.calendar import local_date
from vending.deductions import Deduction, Obligation
from vending.money import Centavos
from vending.order import Inquiry, InquiryAnswer, OrderKind, RequestKey, SaleOrder
from vending.policy import SalePolicy
from vending.response_code import Refusal, ResponseCode
from vending.tariff import TariffBook

INQUIRIES_PER_BATCH_MAX = 1024
"""As for orders."""

_TERMINALS = text(f"""
    SELECT o.position, t.status AS terminal_status, a.status AS acquirer_status,
        {AVAILABLE} AS available_centavos
    FROM unnest(CAST(:acquirers AS text[]), CAST(:terminals AS text[])) WITH ORDINALITY AS o (acquirer_code, terminal_code, position)
    JOIN acquirer AS a ON a.code = o.acquirer_code
    JOIN terminal AS t ON t.acquirer_id = a.id AND t.code = o.terminal_code
    JOIN account AS f ON f.id = a.float_account_id
""")  # noqa: S608 - constants only


def inquire(
    engine: Engine, tariffs: TariffBook, policy: SalePolicy, inquiries: Sequence[Inquiry]
) -> list[InquiryAnswer]:
    """Answer a batch of inquiries, in their order.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    assert len(inquiries) <= INQUIRIES_PER_BATCH_MAX, "a batch is bounded"
    if not inquiries:
        return []
    rules = Rules(tariffs, policy)
    return transact(engine, lambda connection, _attempt: _inquire(connection, rules, inquiries))


def _inquire(connection: Connection, rules: Rules, inquiries: Sequence[Inquiry]) -> list[InquiryAnswer]:
    who = {
        "acquirers": arrays.texts([inquiry.acquirer_id for inquiry in inquiries]),
        "terminals": arrays.texts([inquiry.terminal_id for inquiry in inquiries]),
    }
    numbers = {inquiry.meter_number for inquiry in inquiries}
    terminals, *found = together(connection, (_TERMINALS, who), *account_statements(numbers, for_update=False))
    refusals = dict.fromkeys(range(len(inquiries)), ResponseCode.TERMINAL_UNKNOWN)
    available: dict[int, Centavos] = {}
    for row in terminals.rows:
        if row.terminal_status != "active":
            refusals[row.position - 1] = ResponseCode.TERMINAL_BLOCKED
        elif row.acquirer_status != "active":
            refusals[row.position - 1] = ResponseCode.ACQUIRER_STOPPED
        else:
            del refusals[row.position - 1]
            available[row.position - 1] = Centavos(row.available_centavos)
    meters, deductions = accounts_of(*found)
    answers = []
    for position, inquiry in enumerate(inquiries):
        if position in refusals:
            answers.append(InquiryAnswer(code=refusals[position]))
            continue
        meter = meters.get(inquiry.meter_number)
        owed = [] if meter is None else deductions.get(meter.account.meter_id, [])
        answer = _answer(inquiry, meter, owed, rules)
        answers.append(replace(answer, available_centavos=available[position]))
    return answers


def _answer(inquiry: Inquiry, found: MeterState | None, deductions: list[Deduction], rules: Rules) -> InquiryAnswer:
    order = _trial_order(inquiry, rules.policy)
    try:
        meter = check_meter(found, order)
    except Refusal as refusal:
        return InquiryAnswer(code=refusal.code)
    on = local_date(inquiry.asked_at)
    code, trial = ResponseCode.APPROVED, None
    if inquiry.trial_paid_centavos is not None:
        try:
            trial = price(order, meter, deductions, on, rules)
            code = ResponseCode.TARIFF_MISSING if trial is None else ResponseCode.APPROVED
        except Refusal as refusal:
            code = refusal.code
    return InquiryAnswer(
        code=code,
        meter=meter.account,
        owed_centavos=Centavos(sum(item.owed_centavos for item in deductions)),
        overdue_centavos=Centavos(sum(item.owed_centavos for item in deductions if _is_overdue(item, on))),
        minimum_paid_centavos=rules.policy.minimum_paid_centavos,
        maximum_paid_centavos=rules.policy.maximum_paid_centavos,
        month_to_date_tenths=meter.month_to_date(on),
        trial=trial,
    )


def _is_overdue(item: Deduction, on: date) -> bool:
    return item.is_overdue if isinstance(item, Obligation) else item.due < on


def _trial_order(inquiry: Inquiry, policy: SalePolicy) -> SaleOrder:
    """The order that the trial pretends; without a trial one that offends nothing."""
    paid = inquiry.trial_paid_centavos
    key = RequestKey(
        acquirer_id=inquiry.acquirer_id,
        terminal_id=inquiry.terminal_id,
        transmitted_at=inquiry.asked_at,
        stan="",
        message_class="",
    )
    return SaleOrder(
        key=key,
        digest=b"",
        kind=OrderKind.RECHARGE,
        service=inquiry.service,
        meter_number=inquiry.meter_number,
        paid_centavos=policy.minimum_paid_centavos if paid is None else paid,
        rrn="",
        request=b"",
        received_at=inquiry.asked_at,
    )
