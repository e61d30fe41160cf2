"""The notices that the documents of the dialects show, and a network's answers to them."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from acquirers.iso1987_answers import ECHOED_FIELDS
from messages.iso_message import IsoMessage
from vending.money import Centavos, Tenths
from vending.notice import AdjustmentFacts, Facts, Notice, OutcomeFacts, SaleFacts, SettlementFacts
from vending.order import OrderKind, RequestKey
from vending.response_code import ResponseCode
from vending.service import Service
from vending.settlement import Sum

SALE = SaleFacts(
    key=RequestKey(
        acquirer_id="red",
        terminal_id="TERM0001",
        transmitted_at=datetime(2026, 11, 23, 16, 30, 30, tzinfo=UTC),
        stan="000005",
        message_class="0200",
    ),
    sale_id=1_000_122,
    kind=OrderKind.RECHARGE,
    service=Service.ENERGY,
    meter_number="37000000007",
    paid_centavos=Centavos(2_000_000),
    rrn="632716000005",
)
FACTS: dict[str, Facts] = {
    "notice-settlement": SettlementFacts(
        terminal_id="TERM0001",
        day=date(2026, 11, 22),
        file_id="red-20261122-v1",
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        sales=Sum(4, 6_500_000),
        reversals=Sum(1, 2_000_000),
        commission_centavos=Centavos(67_500),
        tax_centavos=Centavos(12_825),
    ),
    "notice-outcome": OutcomeFacts(sale=SALE, code=ResponseCode.APPROVED),
    "notice-void": OutcomeFacts(sale=SALE, code=ResponseCode.MODULE_REFUSED),
    "notice-adjustment": AdjustmentFacts(
        sale=SALE,
        adjustment_id=17,
        adjustment_kind="refund",
        amount_centavos=Centavos(300_000),
        units_tenths=Tenths(0),
    ),
}


def notice_examples(make: Callable[[Notice], IsoMessage], approval: str) -> dict[str, IsoMessage]:
    """Return each notice, a repeat and an answer, as *make* says them and a network approves."""
    examples = {}
    for number, (name, facts) in enumerate(FACTS.items(), start=1):
        examples[name] = make(_notice(number, facts, tries=0))
    first = examples["notice-settlement"]
    examples["notice-settlement-repeated"] = make(_notice(1, FACTS["notice-settlement"], tries=1))
    back = {number: first.text(number) for number in ECHOED_FIELDS if number in first}
    examples["notice-settlement-answer"] = IsoMessage(mti=first.answer_mti, fields=back | {39: approval})
    return examples


def _notice(number: int, facts: Facts, *, tries: int) -> Notice:
    return Notice(
        notice_id=number,
        acquirer_id="red",
        facts=facts,
        stan=f"{number + 1:06}",
        transmitted_at=datetime(2026, 11, 23, 16, 40, tzinfo=UTC),
        claims=tries + 1,
        tries=tries,
    )
