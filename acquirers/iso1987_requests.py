"""What a network of 1987 asks for: from a decoded message to a call. Sources: docs/wire/datafono.md, docs/wire/recargas.md."""

from datetime import date, datetime

from acquirers.calls import (
    AdviceCall,
    Call,
    CutOverCall,
    InquiryCall,
    LastAnswerCall,
    NetworkCall,
    NetworkRequest,
    ReversalCall,
    SaleCall,
    TotalsCall,
)
from acquirers.digest import digest_of
from acquirers.iso1987_totals import (
    SETTLEMENT_DATE,
    TERMINAL_TOTALS_CLASS,
    TOTALS_CLASSES,
    read_theirs,
    totals_digest,
)
from messages.iso_message import FieldMalformed, FieldMissing, IsoMessage
from messages.subfields import SubElement, SubElementError, first_value, parse_sub_elements
from messages.transmission_time import TransmissionTimeError, read_transmission_time
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
from vending.settlement import CutOverOrder, TotalsOrder, settlement_day

SERVED_MTIS = frozenset(
    {"0100", "0200", "0201", "0220", "0221", "0400", "0401", "0420", "0421", "0500", "0501", "0520", "0521", "0800"}
)

NETWORK_REQUESTS = {
    "001": NetworkRequest.SIGN_ON,
    "002": NetworkRequest.SIGN_OFF,
    "301": NetworkRequest.ECHO,
}
"""Data element 70."""

CUT_OVER = "201"
"""The network code that needs a MAC: it moves the day on whose totals every sale of the network stands."""

SERVICES: dict[str, Service | None] = {"00": None, "01": Service.ENERGY, "02": Service.WATER, "03": Service.GAS}
"""Third and fourth digit of the processing code; 00 is whatever the meter measures."""

SALE_KINDS = {"50": OrderKind.RECHARGE, "53": OrderKind.PAYMENT}
"""First two digits of the processing code in an 0200."""

INQUIRY_PREFIX = "31"
LAST_ANSWER_PREFIX = "38"
"""The two of an 0100: who is behind a meter, and what became of an earlier sale."""

ADVICE_CLASS = "0220"

REVERSAL_CLASSES = frozenset({"0400", "0420"})
"""Asked for by the terminal, and advised by whoever speaks for it; each has journal keys of its own."""

ORIGINAL_MTIS = frozenset({"0200", "0201"})
"""What data element 90 may name."""

DIGEST_FIELDS = (2, 3, 4, 41, 42, 48, 49, 90)
"""What makes two messages under one key the same request. Times, the RRN and the MAC may differ in a repeat."""


def read_call(message: IsoMessage, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
    """Map one message.

    Raises:
        Refusal: `UNSUPPORTED_MESSAGE`, `UNSUPPORTED_PROCESSING_CODE` or `FORMAT_ERROR`; what is wrong with the wish itself (meter, amount)
            is not looked at before the MAC is known to be right.
    """
    if message.mti not in SERVED_MTIS:
        raise Refusal(ResponseCode.UNSUPPORTED_MESSAGE, message.mti)
    try:
        if message.mti == "0800":
            return (
                _cut_over_call(message, body, acquirer_id, now)
                if message.text(70) == CUT_OVER
                else _network_call(message)
            )
        if message.mti == "0100":
            return _question_call(message, body, acquirer_id, now)
        if message.message_class in REVERSAL_CLASSES:
            return _reversal_call(message, body, acquirer_id, now)
        if message.message_class in TOTALS_CLASSES:
            return _totals_call(message, body, acquirer_id, now)
        if message.message_class == ADVICE_CLASS:
            return _advice_call(message, body, acquirer_id, now)
        return _sale_call(message, body, acquirer_id, now)
    except (FieldMissing, FieldMalformed, TransmissionTimeError, SubElementError) as error:
        raise Refusal(ResponseCode.FORMAT_ERROR, str(error)) from error


def _network_call(message: IsoMessage) -> NetworkCall:
    request = NETWORK_REQUESTS.get(message.text(70))
    if request is None:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, f"network code {message.text(70)}")
    message.text(11)
    return NetworkCall(message=message, request=request)


def _cut_over_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> CutOverCall:
    message.text(11)
    terminal_id = terminal_id_of(message)
    order = CutOverOrder(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id,
        closing=settlement_day(message.text(SETTLEMENT_DATE), now),
        received_at=now,
    )
    return CutOverCall(message=message, body=body, terminal_id=terminal_id, order=order)


def _totals_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> TotalsCall:
    key = _key(message, acquirer_id, now)
    order = TotalsOrder(
        key=key,
        digest=totals_digest(message),
        terminal_id=key.terminal_id if message.message_class == TERMINAL_TOTALS_CLASS else None,
        settlement_date=settlement_day(message.text(SETTLEMENT_DATE), now),
        theirs=read_theirs(message),
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return TotalsCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _question_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> InquiryCall | LastAnswerCall:
    prefix, service = processing_code_of(message)
    if prefix not in (INQUIRY_PREFIX, LAST_ANSWER_PREFIX):
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    message.text(11)
    if prefix == LAST_ANSWER_PREFIX:
        return _last_answer_call(message, body, acquirer_id, now)
    terminal_id = terminal_id_of(message)
    trial = Centavos(message.number(4)) if 4 in message else None
    return InquiryCall(
        message=message,
        body=body,
        terminal_id=terminal_id,
        inquiry=Inquiry(
            acquirer_id=acquirer_id,
            terminal_id=terminal_id,
            meter_number=message.text(2),
            service=service,
            trial_paid_centavos=trial or None,
            asked_at=now,
        ),
    )


def _sale_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> SaleCall:
    prefix, service = processing_code_of(message)
    kind = SALE_KINDS.get(prefix)
    if kind is None:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    key = _key(message, acquirer_id, now)
    obligation, voluntary = obligation_of(message, kind)
    order = SaleOrder(
        key=key,
        digest=digest(message),
        kind=kind,
        service=service,
        meter_number=message.text(2),
        paid_centavos=Centavos(message.number(4)),
        voluntary_obligation=obligation,
        voluntary_centavos=voluntary,
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return SaleCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _reversal_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> ReversalCall:
    key = _key(message, acquirer_id, now)
    order = ReversalOrder(
        key=key,
        digest=digest(message),
        original=_original_key(message, key, now),
        paid_centavos=Centavos(message.number(4)) if 4 in message else None,
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return ReversalCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _advice_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> AdviceCall:
    key = _key(message, acquirer_id, now)
    order = AdviceOrder(
        key=key,
        digest=digest(message),
        original=_original_key(message, key, now),
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return AdviceCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _last_answer_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> LastAnswerCall:
    terminal_id = terminal_id_of(message)
    # The message has no key of its own: nothing of it is journaled. Whose it is goes with what element 90 names.
    own = RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id,
        transmitted_at=now,
        stan=message.text(11),
        message_class="0100",
    )
    original = _original_key(message, own, now) if 90 in message else None
    inquiry = LastAnswerInquiry(acquirer_id=acquirer_id, terminal_id=terminal_id, original=original, asked_at=now)
    return LastAnswerCall(message=message, body=body, terminal_id=terminal_id, inquiry=inquiry)


def _original_key(message: IsoMessage, key: RequestKey, now: datetime) -> RequestKey:
    """Data element 90: MTI (4), STAN (6), transmission date-time (10); without it the reversal's own STAN and time are meant."""
    original = message.get(90)
    if original is None:
        stan, transmitted_at = key.stan, key.transmitted_at
    else:
        if original[:4] not in ORIGINAL_MTIS:
            raise Refusal(ResponseCode.FORMAT_ERROR, "data element 90 does not name an 0200")
        stan, transmitted_at = original[4:10], read_transmission_time(original[10:20], now)
    return RequestKey(
        acquirer_id=key.acquirer_id,
        terminal_id=key.terminal_id,
        transmitted_at=transmitted_at,
        stan=stan,
        message_class="0200",
    )


def processing_code_of(message: IsoMessage) -> tuple[str, Service | None]:
    """Return the first two digits of data element 3, and the service that it names."""
    code = message.text(3)
    if code[2:4] not in SERVICES or code[4:] != "00":
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, code)
    return code[:2], SERVICES[code[2:4]]


def _key(message: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id_of(message),
        transmitted_at=read_transmission_time(message.text(7), now),
        stan=message.text(11),
        message_class=message.message_class,
    )


def terminal_id_of(message: IsoMessage) -> str:
    """Return data element 41 without the spaces behind it."""
    terminal_id = message.text(41).rstrip()
    if not terminal_id or not terminal_id.isascii():
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 41 names no terminal")
    return terminal_id


def obligation_of(message: IsoMessage, kind: OrderKind) -> tuple[str | None, Centavos]:
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


def digest(message: IsoMessage) -> bytes:
    """Return the digest over `DIGEST_FIELDS`."""
    return digest_of(message, DIGEST_FIELDS)


def rrn(message: IsoMessage, now: datetime) -> str:
    """The caller's retrieval reference number, or ours: last digit of the year, day of the year, hour, STAN."""
    given = (message.get(37) or "").strip()
    if given:
        return given
    day_of_year = now.toordinal() - date(now.year, 1, 1).toordinal() + 1
    return f"{now.year % 10}{day_of_year:03d}{now.hour:02d}{message.text(11)}"
