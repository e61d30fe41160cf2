"""Notices in ISO 8583: from what a network is told to a message, and what its answer says.

A sale that stands and an adjustment are financial advices (0220, 1220), a sale that was given back is a reversal advice (0420, 1420), a
closed day is a reconciliation advice (0520, 1520); a repeat has 1 as its last digit. Source: docs/store-and-forward.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from acquirers.action_codes import APPROVALS, ISO_1993
from acquirers.iso1987_answers import SERVICE_DIGIT
from acquirers.iso1987_totals import SETTLEMENT_DATE, sums_as_fields
from acquirers.iso1993_answers import RECONCILIATION_DATE
from acquirers.iso1993_requests import FUNCTIONS
from acquirers.iso_requests import SALE_KINDS
from acquirers.response_codes import ISO_1987
from messages.iso_message import IsoMessage
from messages.local_date_time import write_local_date_time, write_short_date
from messages.subfields import write_sub_elements
from messages.transmission_time import write_transmission_time
from vending.notice import AdjustmentFacts, Facts, Notice, NoticeKind, OutcomeFacts, SaleFacts, SettlementFacts
from vending.notice_life import NoticeEvent
from vending.response_code import ResponseCode
from vending.settlement import write_settlement_day

FINANCIAL, REVERSAL, RECONCILIATION = "2", "4", "5"
"""Second MTI digit."""

_PREFIX_OF_KIND = {kind: prefix for prefix, kind in SALE_KINDS.items()}

ALREADY_KNOWN: Final = ResponseCode.DUPLICATE_CONFLICT
"""94 (913): the network has had this message before, which is all that a repeat asks for."""

PUT_OFF: Final = frozenset(
    {
        ResponseCode.MAC_MISMATCH,
        ResponseCode.NOT_SIGNED_ON,
        ResponseCode.METER_BUSY,
        ResponseCode.IN_PROGRESS,
        ResponseCode.MODULE_UNAVAILABLE,
        ResponseCode.LEDGER_UNAVAILABLE,
        ResponseCode.OVERLOADED,
        ResponseCode.SYSTEM_ERROR,
    }
)
"""Answers of a moment. A wrong MAC is one too: keys are changed over the line, and the tries are bounded."""

_OF_THE_STANDARD_1987 = frozenset({"19", "68"})
"""Re-enter transaction; response received too late."""

_OF_THE_STANDARD_1993 = frozenset({"908", "910", "911"})
"""Destination not found for routing; issuer signed off; issuer timed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Data element 39 of an answer to a notice: what accepts it and what puts it off. Everything else is final."""

    accepted: frozenset[str]
    put_off: frozenset[str]
    named: frozenset[str]
    """Codes with a label of their own in metrics; what else a network sends is together."""

    def label(self, code: str) -> str:
        """Return the label of a code."""
        return code if code in self.named else "other"

    def event(self, code: str) -> NoticeEvent:
        """Return what a code means."""
        if code in self.accepted:
            return NoticeEvent.ACCEPTED
        return NoticeEvent.PUT_OFF if code in self.put_off else NoticeEvent.REFUSED


VERDICTS_1987: Final = Verdicts(
    accepted=frozenset({ISO_1987[ResponseCode.APPROVED], ISO_1987[ALREADY_KNOWN]}),
    put_off=_OF_THE_STANDARD_1987 | {ISO_1987[code] for code in PUT_OFF},
    named=_OF_THE_STANDARD_1987 | frozenset(ISO_1987.values()),
)
VERDICTS_1993: Final = Verdicts(
    accepted=APPROVALS | {ISO_1993[ALREADY_KNOWN]},
    put_off=_OF_THE_STANDARD_1993 | {ISO_1993[code] for code in PUT_OFF},
    named=_OF_THE_STANDARD_1993 | APPROVALS | frozenset(ISO_1993.values()),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAnswer:
    """What came as an answer to a notice, its MAC not verified yet.

    Attributes:
        stan: and ``transmitted``, data elements 11 and 7 as every try of the notice carried them.
        code_label: its code as a metric shows it.
        event: what its code says.
    """

    message: IsoMessage
    stan: str
    transmitted: str
    code: str
    code_label: str
    event: NoticeEvent

    @property
    def terminal_id(self) -> str:
        """Whom it names, for the key of its MAC."""
        return (self.message.get(41) or "").rstrip()


def read_notice_answer(message: IsoMessage, verdicts: Verdicts) -> NoticeAnswer | None:
    """Return what *message* says to a notice; None: it answers none of ours."""
    if message.mti[1:3] not in {"23", "43", "53"} or not {7, 11, 39} <= message.fields.keys():
        return None
    code = message.text(39)
    return NoticeAnswer(
        message=message,
        stan=message.text(11),
        transmitted=message.text(7),
        code=code,
        code_label=verdicts.label(code),
        event=verdicts.event(code),
    )


def notice_1987(notice: Notice) -> IsoMessage:
    """Make an 0220, 0420 or 0520, or its repeat, without its MAC."""
    facts = notice.facts
    fields = {7: write_transmission_time(notice.transmitted_at), 11: notice.stan, **_common(facts)}
    match facts:
        case SettlementFacts():
            fields[SETTLEMENT_DATE] = write_settlement_day(facts.day)
        case OutcomeFacts() | AdjustmentFacts():
            fields[39] = ISO_1987[_code_of(facts)]
            key = facts.sale.key
            fields[90] = f"{key.message_class}{key.stan}{write_transmission_time(key.transmitted_at)}".ljust(42, "0")
    return IsoMessage(mti=_mti("0", notice), fields=fields)


def notice_1993(notice: Notice) -> IsoMessage:
    """Make a 1220, 1420 or 1520, or its repeat, without its MAC."""
    facts, sent_at = notice.facts, notice.transmitted_at
    mti = _mti("1", notice)
    fields = {
        7: write_transmission_time(sent_at),
        11: notice.stan,
        12: write_local_date_time(sent_at),
        24: FUNCTIONS[mti[:3] + "0"],
        **_common(facts),
    }
    match facts:
        case SettlementFacts():
            fields[RECONCILIATION_DATE] = write_short_date(facts.day)
        case OutcomeFacts() | AdjustmentFacts():
            fields[39] = ISO_1993[_code_of(facts)]
            key = facts.sale.key
            fields[56] = f"1{key.message_class[1:]}{key.stan}{write_local_date_time(key.transmitted_at)}"
    return IsoMessage(mti=mti, fields=fields)


def _mti(version: str, notice: Notice) -> str:
    return f"{version}{_class_digit(notice.facts)}2{1 if notice.is_repeat else 0}"


def _class_digit(facts: Facts) -> str:
    if isinstance(facts, SettlementFacts):
        return RECONCILIATION
    return FINANCIAL if _code_of(facts) is ResponseCode.APPROVED else REVERSAL


def _code_of(facts: OutcomeFacts | AdjustmentFacts) -> ResponseCode:
    """An adjustment is of a sale that stands."""
    return facts.code if isinstance(facts, OutcomeFacts) else ResponseCode.APPROVED


def _common(facts: Facts) -> Mapping[int, str]:
    """Data elements that say the same in every version of the standard."""
    match facts:
        case SettlementFacts():
            lines = [
                ("NK", NoticeKind.SETTLEMENT.value),
                ("FI", facts.file_id),
                ("FH", facts.sha256),
                ("CM", str(facts.commission_centavos)),
                ("CT", str(facts.tax_centavos)),
            ]
            return {
                41: facts.terminal_id.ljust(8),
                48: write_sub_elements(lines),
                **sums_as_fields(facts.sales, facts.reversals),
            }
        case OutcomeFacts():
            return _of_sale(facts.sale, [("NK", NoticeKind.OUTCOME.value), ("NR", str(facts.sale.sale_id))])
        case AdjustmentFacts():
            lines = [
                ("NK", NoticeKind.ADJUSTMENT.value),
                ("NR", str(facts.sale.sale_id)),
                ("AN", str(facts.adjustment_id)),
                ("AK", facts.adjustment_kind),
                ("AM", str(facts.amount_centavos)),
                ("AU", str(facts.units_tenths)),
            ]
            return _of_sale(facts.sale, lines)


def _of_sale(sale: SaleFacts, lines: list[tuple[str, str]]) -> Mapping[int, str]:
    return {
        2: sale.meter_number,
        3: f"{_PREFIX_OF_KIND[sale.kind]}0{SERVICE_DIGIT[sale.service]}00",
        4: f"{sale.paid_centavos:012}",
        37: sale.rrn,
        41: sale.terminal_id.ljust(8),
        48: write_sub_elements(lines),
    }
