"""What a lottery terminal asks for: from a decoded message of dialect ``loteria`` to a call. Source: docs/wire/loteria.md.

ISO 8583:1993 names a request by its local date and time (12), with the year, where 1987 has only the transmission time (7): data element
56 names an original by it. So 12 is what stands in the journal's key here, and 7 is only carried back.
"""

from datetime import datetime
from typing import Final

from acquirers.calls import Call, CutOverCall, InquiryCall, LastAnswerCall, NetworkCall, NetworkRequest, SessionKeyCall
from acquirers.digest import digest_of
from acquirers.iso1993_answers import RECONCILIATION_DATE
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
from acquirers.session_key import KEY_CHANGE_1993
from messages.iso_message import FieldMalformed, FieldMissing, IsoMessage
from messages.local_date_time import read_local_date_time, read_short_date
from messages.subfields import SubElementError
from messages.transmission_time import TransmissionTimeError
from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder

SIGN_ON, SIGN_OFF, CUT_OVER, ECHO = "801", "802", "821", "831"
NETWORK_REQUESTS = {
    SIGN_ON: NetworkRequest.SIGN_ON,
    SIGN_OFF: NetworkRequest.SIGN_OFF,
    ECHO: NetworkRequest.ECHO,
}
"""Function codes of an 1804; with `CUT_OVER` and a change of keys, which need a MAC, they are all."""

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

REVERSAL_CLASSES = frozenset({"1400", "1420"})
TOTALS_CLASSES = frozenset({"1500", "1520"})

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
        return _journaled_call(message, body, acquirer_id, now)
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


def _network_call(
    message: IsoMessage, body: bytes, acquirer_id: str, now: datetime
) -> NetworkCall | CutOverCall | SessionKeyCall:
    function = message.text(24)
    message.text(11)
    if function == KEY_CHANGE_1993:
        return session_key_call(message, body)
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


def _journaled_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> Call:
    kind, key = message.message_class, request_key(message, acquirer_id, now)
    if kind in TOTALS_CLASSES:
        asked = Keyed(message=message, body=body, key=key, digest=digest_of(message, TOTALS_DIGEST_FIELDS), now=now)
        closing = read_short_date(message.text(RECONCILIATION_DATE))
        return totals_call(asked, closing, is_of_terminal=kind == "1500")
    asked = Keyed(message=message, body=body, key=key, digest=digest(message), now=now)
    if kind in REVERSAL_CLASSES:
        if message.number(25) not in REVERSAL_REASONS:
            raise Refusal(ResponseCode.FORMAT_ERROR, "data element 25 is no reason for a reversal")
        return reversal_call(asked, _named(message, acquirer_id, now))
    if kind == "1220":
        return advice_call(asked, _named(message, acquirer_id, now))
    return sale_call(asked)


def _question_call(message: IsoMessage, body: bytes, acquirer_id: str, now: datetime) -> InquiryCall | LastAnswerCall:
    prefix, service = processing_code_of(message)
    message.text(11)
    if prefix == INQUIRY_PREFIX:
        return inquiry_call(message, body, service, acquirer_id, now)
    if prefix != LAST_ANSWER_PREFIX:
        raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, message.text(3))
    original = _named(message, acquirer_id, now) if 56 in message else None
    return last_answer_call(message, body, original, acquirer_id, now)


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
