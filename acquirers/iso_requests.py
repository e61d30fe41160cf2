"""What every version of ISO 8583 asks in the same data elements: from a message to a call, once its version said under which key.

A version (`acquirers.iso1987_requests`, `acquirers.iso1993_requests`) knows which messages it serves, where the key of a request
stands, what its digest covers and how it names an original.
"""

from dataclasses import dataclass
from datetime import date, datetime

from acquirers.calls import (
    AdviceCall,
    InquiryCall,
    LastAnswerCall,
    ReversalCall,
    SaleCall,
    SessionKeyCall,
    TotalsCall,
)
from acquirers.iso1987_totals import read_theirs
from acquirers.session_key import read_given_key
from messages.iso_message import IsoMessage
from messages.subfields import SubElement, first_value, parse_sub_elements
from vending.money import Centavos
from vending.order import (
    AdviceOrder,
    Inquiry,
    LastAnswerInquiry,
    OrderKind,
    RequestKey,
    ReversalOrder,
    SaleOrder,
)
from vending.response_code import Refusal, ResponseCode
from vending.service import Service
from vending.settlement import TotalsOrder

SERVICES: dict[str, Service | None] = {"00": None, "01": Service.ENERGY, "02": Service.WATER, "03": Service.GAS}
"""Third and fourth digit of the processing code; 00 is whatever the meter measures."""

SALE_KINDS = {"50": OrderKind.RECHARGE, "53": OrderKind.PAYMENT}
"""First two digits of the processing code of a financial request."""

INQUIRY_PREFIX = "31"
LAST_ANSWER_PREFIX = "38"
"""The two of an authorization request: who is behind a meter, and what became of an earlier sale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A request that the journal keeps, with what its version of the standard makes of it."""

    message: IsoMessage
    body: bytes
    key: RequestKey
    digest: bytes
    now: datetime


def sale_call(asked: Keyed) -> SaleCall:
    """Read a recharge or a payment."""
    message = asked.message
    prefix, service = processing_code_of(message)
    kind = SALE_KINDS.get(prefix)
    if kind is None:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    obligation, voluntary = _obligation_of(message, kind)
    order = SaleOrder(
        key=asked.key,
        digest=asked.digest,
        kind=kind,
        service=service,
        meter_number=message.text(2),
        paid_centavos=Centavos(message.number(4)),
        voluntary_obligation=obligation,
        voluntary_centavos=voluntary,
        rrn=_rrn(message, asked.now),
        request=asked.body,
        received_at=asked.now,
    )
    return SaleCall(message=message, body=asked.body, terminal_id=asked.key.terminal_id, order=order)


def reversal_call(asked: Keyed, original: RequestKey) -> ReversalCall:
    """Read a reversal of *original*."""
    message = asked.message
    order = ReversalOrder(
        key=asked.key,
        digest=asked.digest,
        original=original,
        paid_centavos=Centavos(message.number(4)) if 4 in message else None,
        rrn=_rrn(message, asked.now),
        request=asked.body,
        received_at=asked.now,
    )
    return ReversalCall(message=message, body=asked.body, terminal_id=asked.key.terminal_id, order=order)


def advice_call(asked: Keyed, original: RequestKey) -> AdviceCall:
    """Read the word that the customer has what *original* sold."""
    order = AdviceOrder(
        key=asked.key,
        digest=asked.digest,
        original=original,
        rrn=_rrn(asked.message, asked.now),
        request=asked.body,
        received_at=asked.now,
    )
    return AdviceCall(message=asked.message, body=asked.body, terminal_id=asked.key.terminal_id, order=order)


def totals_call(asked: Keyed, settlement_date: date, *, is_of_terminal: bool) -> TotalsCall:
    """Read the totals of a settlement day, of one terminal or of its whole network."""
    order = TotalsOrder(
        key=asked.key,
        digest=asked.digest,
        terminal_id=asked.key.terminal_id if is_of_terminal else None,
        settlement_date=settlement_date,
        theirs=read_theirs(asked.message),
        rrn=_rrn(asked.message, asked.now),
        request=asked.body,
        received_at=asked.now,
    )
    return TotalsCall(message=asked.message, body=asked.body, terminal_id=asked.key.terminal_id, order=order)


def inquiry_call(
    message: IsoMessage, body: bytes, service: Service | None, acquirer_id: str, now: datetime
) -> InquiryCall:
    """Read the question for a meter; element 4, where it is there, is what a sale would be tried with."""
    terminal_id = terminal_id_of(message)
    trial = Centavos(message.number(4)) if 4 in message else None
    inquiry = Inquiry(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id,
        meter_number=message.text(2),
        service=service,
        trial_paid_centavos=trial or None,
        asked_at=now,
    )
    return InquiryCall(message=message, body=body, terminal_id=terminal_id, inquiry=inquiry)


def last_answer_call(
    message: IsoMessage, body: bytes, original: RequestKey | None, acquirer_id: str, now: datetime
) -> LastAnswerCall:
    """Read the question for an earlier sale; None: for the terminal's last one. Nothing of it is journaled, so it has no key."""
    terminal_id = terminal_id_of(message)
    inquiry = LastAnswerInquiry(acquirer_id=acquirer_id, terminal_id=terminal_id, original=original, asked_at=now)
    return LastAnswerCall(message=message, body=body, terminal_id=terminal_id, inquiry=inquiry)


def processing_code_of(message: IsoMessage) -> tuple[str, Service | None]:
    """Return the first two digits of data element 3, and the service that it names."""
    code = message.text(3)
    if code[2:4] not in SERVICES or code[4:] != "00":
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, code)
    return code[:2], SERVICES[code[2:4]]


def terminal_id_of(message: IsoMessage) -> str:
    """Return data element 41 without the spaces behind it."""
    terminal_id = message.text(41).rstrip()
    if not terminal_id or not terminal_id.isascii():
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 41 names no terminal")
    return terminal_id


def _obligation_of(message: IsoMessage, kind: OrderKind) -> tuple[str | None, Centavos]:
    """Return which obligation data element 48 names, and how much of a recharge goes there."""
    text = message.get(48)
    if text is None:
        return None, Centavos(0)
    elements: tuple[SubElement, ...] = parse_sub_elements(text)
    if kind is OrderKind.PAYMENT:
        return first_value(elements, "OB"), Centavos(0)
    obligation, amount = first_value(elements, "VO"), first_value(elements, "VA")
    if (obligation is None) != (amount is None):
        raise Refusal(ResponseCode.FORMAT_ERROR, "sub-elements VO and VA go together")
    if obligation is None or amount is None:
        return None, Centavos(0)
    if not (amount.isascii() and amount.isdigit()) or not 0 < int(amount) <= message.number(4):
        raise Refusal(ResponseCode.FORMAT_ERROR, "sub-element VA is not an amount within data element 4")
    return obligation, Centavos(int(amount))


def _rrn(message: IsoMessage, now: datetime) -> str:
    """The caller's retrieval reference number, or ours: last digit of the year, day of the year, hour, STAN."""
    given = (message.get(37) or "").strip()
    if given:
        return given
    day_of_year = now.toordinal() - date(now.year, 1, 1).toordinal() + 1
    return f"{now.year % 10}{day_of_year:03d}{now.hour:02d}{message.text(11)}"


def session_key_call(message: IsoMessage, body: bytes) -> SessionKeyCall:
    """Map a change of the session key, of either version."""
    message.text(11)
    terminal_id = terminal_id_of(message)
    return SessionKeyCall(message=message, body=body, terminal_id=terminal_id, given=read_given_key(message))
