"""What a batch upload is read as, and what its answer tells of each record."""

import pytest

from acquirers.calls import AdviceCall, BatchCall, RecordResult, RefusedRecord, ReversalCall, SaleCall
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import with_placeholder
from messages.record_list import RECORDS_MAX, RecordListError, fits, read_records, write_records
from messages.subfields import parse_sub_elements
from tests.acquirers.test_iso1987_advice import ADVICE
from tests.acquirers.test_iso1987_requests import DIALECT, PAYMENT, RECHARGE, REVERSAL, WHO, read, refusal
from vending.response_code import ResponseCode

HEAD = {**WHO, 11: "000060"}


def record(mti: str, fields: dict[int, str]) -> bytes:
    return DATAFONO.encode(IsoMessage(mti=mti, fields=fields))


PAID, ADVISED, REVERSED = record("0200", PAYMENT), record("0220", ADVICE), record("0420", REVERSAL)


def batch(*records: bytes, mti: str = "0320") -> BatchCall:
    call = read(mti, {**HEAD, 60: write_records(records)})
    assert isinstance(call, BatchCall)
    return call


def refused(octets: bytes) -> RefusedRecord:
    """Read a record between two good ones, which it must not spoil."""
    call = batch(PAID, octets, ADVISED)
    assert isinstance(call.records[0], SaleCall)
    assert isinstance(call.records[2], AdviceCall)
    middle = call.records[1]
    assert isinstance(middle, RefusedRecord)
    return middle


@pytest.mark.parametrize("mti", ["0320", "0321"])
def test_a_record_is_the_call_that_its_single_message_would_be(mti: str) -> None:
    """Key, digest, request and all else are equal, so that the journal knows the one by the other."""
    call = batch(PAID, ADVISED, REVERSED, mti=mti)
    assert call.records == (read("0200", PAYMENT), read("0220", ADVICE), read("0420", REVERSAL))
    assert (call.terminal_id, call.message.text(11)) == ("TERM01", "000060")
    first = call.records[0]
    assert isinstance(first, SaleCall)
    assert first.order.request == PAID


def test_a_record_may_be_a_repeat_and_may_keep_its_mac() -> None:
    """Neither the last digit of the MTI nor the MAC is part of what the journal compares."""
    call = batch(record("0201", PAYMENT), DATAFONO.encode(with_placeholder(IsoMessage(mti="0200", fields=PAYMENT))))
    repeat, with_mac = call.records
    single = read("0200", PAYMENT)
    assert isinstance(repeat, SaleCall)
    assert isinstance(with_mac, SaleCall)
    assert isinstance(single, SaleCall)
    for each in (repeat, with_mac):
        assert (each.order.key, each.order.digest) == (single.order.key, single.order.digest)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (record("0200", RECHARGE), ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        (record("0100", {**WHO, 2: "37000000007", 3: "310000"}), ResponseCode.UNSUPPORTED_MESSAGE),
        (record("0800", {11: "000001", 70: "002"}), ResponseCode.UNSUPPORTED_MESSAGE),
        (record("0320", {**HEAD, 60: write_records([PAID])}), ResponseCode.UNSUPPORTED_MESSAGE),
        (record("0210", PAYMENT), ResponseCode.UNSUPPORTED_MESSAGE),
        (record("0200", {**PAYMENT, 41: "TERM0002"}), ResponseCode.FORMAT_ERROR),
        (record("0200", {**PAYMENT, 7: "1323163030"}), ResponseCode.FORMAT_ERROR),
        (PAID[:-1], ResponseCode.FORMAT_ERROR),
        (PAID + b"\x00", ResponseCode.FORMAT_ERROR),
        (b"\x00", ResponseCode.FORMAT_ERROR),
    ],
)
def test_a_record_that_cannot_be_done_spoils_no_other(octets: bytes, code: ResponseCode) -> None:
    """A recharge, another kind of message, another terminal's, or octets that are none: each is refused by itself."""
    assert refused(octets).refusal.code is code


@pytest.mark.parametrize("missing", [7, 11, 41, 60])
def test_what_a_batch_must_have(missing: int) -> None:
    """Without it the whole is malformed, and no record was looked at."""
    fields = {**HEAD, 60: write_records([PAID])}
    refusing = refusal("0320", {number: value for number, value in fields.items() if number != missing})
    assert refusing.code is ResponseCode.FORMAT_ERROR
    assert f"element {missing} " in refusing.private_detail


@pytest.mark.parametrize(
    "text", ["", "00", "+02ab", "000", "003ab", "002ab0", "001a" * (RECORDS_MAX + 1), "0²2ab", "002ab x1c"]
)
def test_what_is_no_list_is_refused_as_a_whole(text: str) -> None:
    """A length that is none, too few octets, no record, too many: nothing of it can be trusted."""
    with pytest.raises(RecordListError):
        read_records(text)
    if text:
        assert refusal("0320", {**HEAD, 60: text}).code is ResponseCode.FORMAT_ERROR


def test_a_list_holds_what_fits() -> None:
    """999 octets with the lengths, and so many records; one more of either does not go in."""
    for records in ([b"x" * 996], [b"y"] * RECORDS_MAX, [bytes(range(256))]):
        assert fits(records)
        assert list(read_records(write_records(records))) == records
    for records in ([b"x" * 997], [b"y"] * (RECORDS_MAX + 1), []):
        with pytest.raises(RecordListError):
            write_records(records)


def test_the_answer_tells_of_each_record_in_order() -> None:
    """Class, STAN, time and code, and of a sale that stands the day and the receipt, read from the answer that is stored."""
    call = batch(PAID, record("0200", {**PAYMENT, 11: "000061"}), b"\x02\x00")
    stored = DIALECT.decline(call.records[0].message, ResponseCode.APPROVED)
    assert stored is not None
    octets = DATAFONO.encode(stored.with_fields({15: "1123", 63: "PD00510000RC0071000123"}))
    results = [
        RecordResult(message=call.records[0].message, code=ResponseCode.APPROVED, answer=octets),
        RecordResult(message=call.records[1].message, code=ResponseCode.IN_PROGRESS),
        RecordResult(message=None, code=ResponseCode.FORMAT_ERROR),
    ]
    answer = DIALECT.answer_batch(call.message, ResponseCode.IN_PROGRESS, results)
    assert (answer.mti, answer.text(39), answer.text(11), 60 in answer) == ("0330", "09", "000060", False)
    assert [(element.tag, element.value) for element in parse_sub_elements(answer.text(48))] == [
        ("RS", f"0200;{PAYMENT[11]};{PAYMENT[7]};00;1123;1000123"),
        ("RS", f"0200;000061;{PAYMENT[7]};09;;"),
        ("RS", ";;;30;;"),
    ]


def test_an_answer_about_as_many_records_as_there_may_be_fits() -> None:
    """With the longest receipt that the ledger can number."""
    call = batch(*[b"\x02\x00"] * RECORDS_MAX)
    paid = read("0200", PAYMENT)
    stored = DIALECT.decline(paid.message, ResponseCode.APPROVED)
    assert stored is not None
    octets = DATAFONO.encode(stored.with_fields({15: "1123", 63: f"RC019{2**63 - 1}"}))
    result = RecordResult(message=paid.message, code=ResponseCode.APPROVED, answer=octets)
    answer = DIALECT.answer_batch(call.message, ResponseCode.APPROVED, [result] * RECORDS_MAX)
    assert len(parse_sub_elements(answer.text(48))) == RECORDS_MAX
    assert DATAFONO.decode(DIALECT.encode(answer)) == answer


def test_a_reversal_asked_for_may_be_a_record_too() -> None:
    """0400 and 0420 are read alike; their keys stay apart."""
    asked, advised = batch(record("0400", REVERSAL), REVERSED).records
    assert isinstance(asked, ReversalCall)
    assert isinstance(advised, ReversalCall)
    assert (asked.order.key.message_class, advised.order.key.message_class) == ("0400", "0420")
