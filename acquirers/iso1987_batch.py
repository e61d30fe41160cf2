"""Batch upload (0320) in ISO 8583:1987: requests that a till stored while it had no line. Source: docs/wire/datafono.md.

A record is the message that would have been sent alone, so it is read by what reads that message, has the same key and the same digest,
and its answer is the same. Here stands only what a batch adds: which messages may be in it, and what the 0330 tells of each.
"""

from collections.abc import Callable, Sequence

from acquirers.calls import AdviceCall, BatchCall, Call, RecordCall, RecordResult, RefusedRecord, ReversalCall, SaleCall
from acquirers.dialect import Unreadable
from acquirers.response_codes import ISO_1987
from messages.iso_message import FieldMissing, IsoMessage
from messages.record_list import RECORDS_ELEMENT, RecordListError, read_records
from messages.subfields import first_value, parse_sub_elements, write_sub_elements
from vending.order import OrderKind
from vending.response_code import Refusal, ResponseCode

BATCH_MTIS = frozenset({"0320", "0321"})

RESULT_TAG = "RS"
"""One for each record, in their order: class, STAN, time, response code, settlement day, receipt number."""


def read_batch(message: IsoMessage, body: bytes, read: Callable[[bytes], Call]) -> BatchCall:
    """Map an 0320; *read* maps the octets of one message and raises `Unreadable`. A record that cannot be done spoils no other.

    Raises:
        Refusal: `FORMAT_ERROR`: the 0320 itself is not complete, or its element 60 is no list.
    """
    try:
        for number in (7, 11):
            message.text(number)
        terminal_id = message.text(41).rstrip()
        records = read_records(message.text(RECORDS_ELEMENT))
    except (FieldMissing, RecordListError) as error:
        raise Refusal(ResponseCode.FORMAT_ERROR, str(error)) from error
    if not terminal_id or not terminal_id.isascii():
        raise Refusal(ResponseCode.FORMAT_ERROR, "data element 41 names no terminal")
    return BatchCall(
        message=message,
        body=body,
        terminal_id=terminal_id,
        records=tuple(_read_record(record, terminal_id, read) for record in records),
    )


def _read_record(record: bytes, terminal_id: str, read: Callable[[bytes], Call]) -> RecordCall | RefusedRecord:
    try:
        call = read(record)
    except Unreadable as unreadable:
        return RefusedRecord(message=unreadable.message, refusal=unreadable.refusal)
    refusal = _why_not(call, terminal_id)
    if refusal is not None:
        return RefusedRecord(message=call.message, refusal=refusal)
    assert isinstance(call, SaleCall | AdviceCall | ReversalCall)
    return call


def _why_not(call: Call, terminal_id: str) -> Refusal | None:
    if not isinstance(call, SaleCall | AdviceCall | ReversalCall):
        return Refusal(ResponseCode.UNSUPPORTED_MESSAGE, f"{call.message.mti} in a batch")
    if call.terminal_id != terminal_id:
        # The MAC of the 0320 is this terminal's and vouches for no other.
        return Refusal(ResponseCode.FORMAT_ERROR, "a record of another terminal")
    if isinstance(call, SaleCall) and call.order.kind is not OrderKind.PAYMENT:
        # Units are sold by the switch alone: a till that had no line had no token to hand out.
        return Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, "a recharge in a batch")
    return None


def result_fields(results: Sequence[RecordResult], decode: Callable[[bytes], IsoMessage]) -> dict[int, str]:
    """Return data element 48 of an 0330."""
    return {48: write_sub_elements([(RESULT_TAG, _result(result, decode)) for result in results])}


def _result(result: RecordResult, decode: Callable[[bytes], IsoMessage]) -> str:
    asked = result.message
    which = ("", "", "") if asked is None else (asked.message_class, asked.get(11) or "", asked.get(7) or "")
    day = receipt = ""
    if result.answer is not None:
        # From the answer that is stored for the record, so that every 0330 about it tells the same.
        answer = decode(result.answer)
        day = answer.get(15) or ""
        receipt = first_value(parse_sub_elements(answer.get(63) or ""), "RC") or ""
    return ";".join((*which, ISO_1987[result.code], day, receipt))
