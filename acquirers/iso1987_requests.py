"""What a network of 1987 asks for: from a decoded message to a call. Sources: docs/wire/datafono.md, docs/wire/recargas.md."""

from dataclasses import replace
from datetime import datetime

from acquirers.calls import Call, CutOverCall, InquiryCall, LastAnswerCall, NetworkCall, NetworkRequest
from acquirers.digest import digest_of
from acquirers.iso1987_totals import SETTLEMENT_DATE, TERMINAL_TOTALS_CLASS, TOTALS_CLASSES, totals_digest
from acquirers.iso_requests import (
    INQUIRY_PREFIX,
    LAST_ANSWER_PREFIX,
    Keyed,
    advice_call,
    inquiry_call,
    last_answer_call,
    processing_code_of,
    reversal_call,
    sale_call,
    session_key_call,
    terminal_id_of,
    totals_call,
)
from acquirers.session_key import KEY_CHANGE_1987
from messages.iso_message import FieldMalformed, FieldMissing, IsoMessage
from messages.subfields import SubElementError
from messages.transmission_time import TransmissionTimeError, read_transmission_time
from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder, settlement_day

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

SALE_CLASS = "0200"
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
            return _management_call(message, body, acquirer_id, now)
        if message.mti == "0100":
            return _question_call(message, body, acquirer_id, now)
        return _journaled_call(message, body, _key(message, acquirer_id, now), now)
    except (FieldMissing, FieldMalformed, TransmissionTimeError, SubElementError) as error:
        raise Refusal(ResponseCode.FORMAT_ERROR, str(error)) from error


def _management_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> Call:
    code = message.text(70)
    if code == CUT_OVER:
        return _cut_over_call(message, body, acquirer_id, now)
    if code == KEY_CHANGE_1987:
        return session_key_call(message, body)
    return _network_call(message)


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


def _journaled_call(message: IsoMessage, body: bytes, key: RequestKey, now: datetime) -> Call:
    kind = message.message_class
    if kind in TOTALS_CLASSES:
        asked = Keyed(message=message, body=body, key=key, digest=totals_digest(message), now=now)
        closing = settlement_day(message.text(SETTLEMENT_DATE), now)
        return totals_call(asked, closing, is_of_terminal=kind == TERMINAL_TOTALS_CLASS)
    asked = Keyed(message=message, body=body, key=key, digest=digest(message), now=now)
    if kind in REVERSAL_CLASSES:
        return reversal_call(asked, _original_key(message, key, now))
    if kind == ADVICE_CLASS:
        return advice_call(asked, _original_key(message, key, now))
    return sale_call(asked)


def _question_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> InquiryCall | LastAnswerCall:
    prefix, service = processing_code_of(message)
    message.text(11)
    if prefix == INQUIRY_PREFIX:
        return inquiry_call(message, body, service, acquirer_id, now)
    if prefix != LAST_ANSWER_PREFIX:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    original = _named(message, acquirer_id, now) if 90 in message else None
    return last_answer_call(message, body, original, acquirer_id, now)


def _original_key(message: IsoMessage, key: RequestKey, now: datetime) -> RequestKey:
    """What data element 90 names; without it the request's own STAN and time are meant."""
    return _named(message, key.acquirer_id, now) if 90 in message else replace(key, message_class=SALE_CLASS)


def _named(message: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    """Data element 90: MTI (4), STAN (6), transmission date-time (10)."""
    original = message.text(90)
    if original[:4] not in ORIGINAL_MTIS:
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 90 does not name an 0200")
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id_of(message),
        transmitted_at=read_transmission_time(original[10:20], now),
        stan=original[4:10],
        message_class=SALE_CLASS,
    )


def _key(message: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=terminal_id_of(message),
        transmitted_at=read_transmission_time(message.text(7), now),
        stan=message.text(11),
        message_class=message.message_class,
    )


def digest(message: IsoMessage) -> bytes:
    """Return the digest over `DIGEST_FIELDS`."""
    return digest_of(message, DIGEST_FIELDS)
