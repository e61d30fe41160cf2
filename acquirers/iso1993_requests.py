"""What a lottery terminal asks for: from a decoded message of dialect ``loteria`` to a call. Source: docs/wire/loteria.md.

ISO 8583:1993 names a request by its local date and time (12), with the year, where 1987 has only the transmission time (7): data element
56 names an original by it. So 12 is what stands in the journal's key here, and 7 is only carried back.
"""

from datetime import datetime
from typing import Final

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
from acquirers.iso1987_requests import (
    INQUIRY_PREFIX,
    LAST_ANSWER_PREFIX,
    SALE_KINDS,
    obligation_of,
    processing_code_of,
    rrn,
    terminal_id_of,
)
from acquirers.iso1987_totals import read_theirs
from acquirers.iso1993_answers import RECONCILIATION_DATE
from messages.iso_message import FieldMalformed, FieldMissing, IsoMessage
from messages.local_date_time import read_local_date_time, read_short_date
from messages.subfields import SubElementError
from messages.transmission_time import TransmissionTimeError
from vending.money import Centavos
from vending.order import AdviceOrder, Inquiry, LastAnswerInquiry, RequestKey, ReversalOrder, SaleOrder
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder, TotalsOrder

SIGN_ON, SIGN_OFF, CUT_OVER, ECHO = "801", "802", "821", "831"
NETWORK_REQUESTS = {
    SIGN_ON: NetworkRequest.SIGN_ON,
    SIGN_OFF: NetworkRequest.SIGN_OFF,
    ECHO: NetworkRequest.ECHO,
}
"""Function codes of an 1804; with `CUT_OVER`, which needs a MAC, they are all."""

NETWORK_MTI = "1804"

FUNCTIONS: Final = {
    "1100": "108",
    "1200": "200",
    "1220": "201",
    "1400": "400",
    "1420": "400",
    "1500": "500",
    "1520": "500",
}
"""The function code (24) that each message class must carry. A part of a sale cannot be reversed, so there is no 401."""

KEY_CLASSES: Final = {
    "1200": "0200",
    "1220": "0220",
    "1400": "0400",
    "1420": "0420",
    "1500": "0500",
    "1520": "0520",
}
"""Under which class the journal keeps a request: one name for one thing, whatever the version of the standard."""

SERVED_MTIS = frozenset({"1100", NETWORK_MTI, *KEY_CLASSES, *(mti[:3] + "1" for mti in KEY_CLASSES)})

ORIGINAL_MTIS = frozenset({"1200", "1201"})
"""What data element 56 may name."""

REVERSAL_REASONS = range(4000, 4500)
"""Message reason codes (25) of a reversal."""

DIGEST_FIELDS = (2, 3, 4, 24, 41, 42, 48, 49, 56)
"""What makes two messages under one key the same request. 7, 25, 37 and the MAC may differ in a repeat."""

TOTALS_DIGEST_FIELDS = (24, 28, 41, 42, 48, 74, 75, 76, 77, 86, 87, 88, 89, 97)

_ORIGINAL_DIGITS = 22
"""MTI, STAN, and date and time of the original; an institution's code may follow behind its length."""
_INSTITUTION_DIGITS_MAX = 11


def read_call(message: IsoMessage, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
    """Map one message.

    Raises:
        Refusal: `UNSUPPORTED_MESSAGE`, `UNSUPPORTED_PROCESSING_CODE` or `FORMAT_ERROR`; what is wrong with the wish itself (meter, amount)
            is not looked at before the MAC is known to be right.
    """
    if message.mti not in SERVED_MTIS:
        raise Refusal(ResponseCode.UNSUPPORTED_MESSAGE, message.mti)
    try:
        if message.mti == NETWORK_MTI:
            return _network_call(message, body, acquirer_id, now)
        kind = message.message_class
        if message.text(24) != FUNCTIONS[kind]:
            raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, f"function code {message.text(24)} in {kind}")
        if kind == "1100":
            return _question_call(message, body, acquirer_id, now)
        if kind in ("1400", "1420"):
            return _reversal_call(message, body, acquirer_id, now)
        if kind in ("1500", "1520"):
            return _totals_call(message, body, acquirer_id, now)
        if kind == "1220":
            return _advice_call(message, body, acquirer_id, now)
        return _sale_call(message, body, acquirer_id, now)
    except (FieldMissing, FieldMalformed, TransmissionTimeError, SubElementError) as error:
        raise Refusal(ResponseCode.FORMAT_ERROR, str(error)) from error


def digest(message: IsoMessage) -> bytes:
    """Return the digest over `DIGEST_FIELDS`."""
    return digest_of(message, DIGEST_FIELDS)


def request_key(message: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    """Return the journal key of a request, or of the answer to it.

    Raises:
        FieldMissing, TransmissionTimeError: one of its elements is not there, or is no moment.
        Refusal: element 41 names no terminal.
    """
    asked = message.mti[:2] + str(int(message.mti[2]) & ~1) + "0"
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id_of(message),
        transmitted_at=read_local_date_time(message.text(12), now),
        stan=message.text(11),
        message_class=KEY_CLASSES.get(asked, asked),
    )


def _network_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> NetworkCall | CutOverCall:
    function = message.text(24)
    message.text(11)
    if function != CUT_OVER:
        request = NETWORK_REQUESTS.get(function)
        if request is None:
            raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, f"function code {function}")
        return NetworkCall(message=message, request=request)
    terminal_id = terminal_id_of(message)
    order = CutOverOrder(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id,
        closing=read_short_date(message.text(RECONCILIATION_DATE)),
        received_at=now,
    )
    return CutOverCall(message=message, body=body, terminal_id=terminal_id, order=order)


def _totals_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> TotalsCall:
    key = request_key(message, acquirer_id, now)
    order = TotalsOrder(
        key=key,
        digest=digest_of(message, TOTALS_DIGEST_FIELDS),
        terminal_id=key.terminal_id if message.message_class == "1500" else None,
        settlement_date=read_short_date(message.text(RECONCILIATION_DATE)),
        theirs=read_theirs(message),
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return TotalsCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _question_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> InquiryCall | LastAnswerCall:
    prefix, service = processing_code_of(message)
    terminal_id = terminal_id_of(message)
    message.text(11)
    if prefix == LAST_ANSWER_PREFIX:
        original = _named(message, acquirer_id, now) if 56 in message else None
        last = LastAnswerInquiry(acquirer_id=acquirer_id, terminal_id=terminal_id, original=original, asked_at=now)
        return LastAnswerCall(message=message, body=body, terminal_id=terminal_id, inquiry=last)
    if prefix != INQUIRY_PREFIX:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
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


def _sale_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> SaleCall:
    prefix, service = processing_code_of(message)
    kind = SALE_KINDS.get(prefix)
    if kind is None:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    key = request_key(message, acquirer_id, now)
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
    if message.number(25) not in REVERSAL_REASONS:
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 25 is no reason for a reversal")
    key = request_key(message, acquirer_id, now)
    order = ReversalOrder(
        key=key,
        digest=digest(message),
        original=_named(message, acquirer_id, now),
        paid_centavos=Centavos(message.number(4)) if 4 in message else None,
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return ReversalCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _advice_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> AdviceCall:
    key = request_key(message, acquirer_id, now)
    order = AdviceOrder(
        key=key,
        digest=digest(message),
        original=_named(message, acquirer_id, now),
        rrn=rrn(message, now),
        request=body,
        received_at=now,
    )
    return AdviceCall(message=message, body=body, terminal_id=key.terminal_id, order=order)


def _named(message: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    """Data element 56: MTI (4), STAN (6), local date and time (12), and perhaps an institution's code behind its length (2)."""
    original = message.text(56)
    institution = original[_ORIGINAL_DIGITS:]
    if original[:4] not in ORIGINAL_MTIS or not _is_institution(institution):
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 56 does not name a 1200")
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id_of(message),
        transmitted_at=read_local_date_time(original[10:_ORIGINAL_DIGITS], now),
        stan=original[4:10],
        message_class=KEY_CLASSES["1200"],
    )


def _is_institution(digits: str) -> bool:
    return not digits or int(digits[:2]) == len(digits) - 2 <= _INSTITUTION_DIGITS_MAX
