"""Dialects ``loteria`` and ``recargas``: what is asked for, what is refused before anything is looked up, and what is answered."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from acquirers.action_codes import APPROVALS, APPROVED_OF_CLASS, ISO_1993
from acquirers.calls import (
    AdviceCall,
    BatchCall,
    CutOverCall,
    InquiryCall,
    LastAnswerCall,
    NetworkCall,
    NetworkRequest,
    ReversalCall,
    SaleCall,
    TotalsCall,
)
from acquirers.dialect import Unreadable
from acquirers.iso1987 import DatafonoDialect, RecargasDialect
from acquirers.iso1993 import LoteriaDialect
from acquirers.iso1993_requests import DIGEST_FIELDS, digest
from acquirers.registry import DIALECTS, SPELLINGS
from messages.codec import DATAFONO, LOTERIA, RECARGAS
from messages.iso_message import IsoMessage
from messages.local_date_time import (
    DAYS_FROM_NOW_MAX,
    read_local_date_time,
    read_short_date,
    write_local_date_time,
    write_short_date,
)
from messages.mac import MacForm, covered, splice_mac, split_mac
from messages.record_list import write_records
from messages.transmission_time import TransmissionTimeError
from messages.wire import WIRES
from vending.order import OrderKind, RequestKey
from vending.response_code import Refusal, ResponseCode
from vending.service import Service

NOW = datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 16, 30, 30, tzinfo=UTC)
WHO = {7: "1123163030", 11: "000005", 12: "261123113030", 41: "L0000001", 42: "AGENCIA LOTERIA"}
RECHARGE: dict[int, str] = {2: "37000000007", 3: "500100", 4: "000002000000", 24: "200", 49: "170", **WHO}
ORIGINAL = "1200" + "000005" + "261123113030"
REVERSAL = {**RECHARGE, 11: "000009", 12: "261123113130", 24: "400", 25: "4021", 56: ORIGINAL}
ADVICE = {**WHO, 11: "000010", 24: "201", 56: ORIGINAL}
INQUIRY = {2: "37000000007", 3: "310000", 24: "108", **WHO}
TOTALS = {**WHO, 24: "500", 28: "261123", 76: "0" * 10, 77: "0" * 10, 88: "0" * 16, 89: "0" * 16}
NETWORK = {7: "1123163030", 11: "000001", 12: "261123113030", 41: "L0000001"}
KEY = RequestKey(
    acquirer_id="loteria", terminal_id="L0000001", transmitted_at=SENT_AT, stan="000005", message_class="0200"
)
DIALECT = LoteriaDialect()


def read(mti: str, fields: dict[int, str]) -> Any:
    """Encode a message, and read it as it comes from the wire."""
    return DIALECT.read(LOTERIA.encode(IsoMessage(mti=mti, fields=fields)), acquirer_id="loteria", now=NOW)


def refused(mti: str, fields: dict[int, str]) -> ResponseCode:
    """Return why a message is refused."""
    with pytest.raises(Unreadable) as caught:
        read(mti, fields)
    return caught.value.refusal.code


@pytest.mark.parametrize("mti", ["1200", "1201"])
def test_a_sale_is_read_whole(mti: str) -> None:
    """Every field of the order comes from its data element; the key has 12 with its year, and the class that the books know."""
    call = read(mti, RECHARGE)
    assert isinstance(call, SaleCall)
    assert (call.order.key, call.order.kind, call.order.service) == (KEY, OrderKind.RECHARGE, Service.ENERGY)
    assert (call.order.meter_number, call.order.paid_centavos) == ("37000000007", 2_000_000)
    assert call.order.rrn == "632716000005"
    assert read(mti, {**RECHARGE, 3: "530000"}).order.kind is OrderKind.PAYMENT


@pytest.mark.parametrize(("mti", "key_class"), [("1400", "0400"), ("1401", "0400"), ("1420", "0420"), ("1421", "0420")])
def test_a_reversal_names_its_original_by_56(mti: str, key_class: str) -> None:
    """The original is named by STAN and local time; an institution behind them changes nothing."""
    for original in (ORIGINAL, ORIGINAL + "00", ORIGINAL + "0512345", "1201" + ORIGINAL[4:]):
        call = read(mti, {**REVERSAL, 56: original})
        assert isinstance(call, ReversalCall)
        assert (call.order.original, call.order.key.message_class) == (KEY, key_class)
        assert (call.order.paid_centavos, call.order.key.stan) == (2_000_000, "000009")


def test_advice_inquiry_last_answer_and_totals_are_read() -> None:
    """Each becomes the call that a datáfono's own message becomes."""
    advice, inquiry, trial = read("1221", ADVICE), read("1100", INQUIRY), read("1100", {**INQUIRY, 4: "000002000000"})
    assert isinstance(advice, AdviceCall)
    assert advice.order.original == KEY
    assert isinstance(inquiry, InquiryCall)
    assert (inquiry.inquiry.trial_paid_centavos, trial.inquiry.trial_paid_centavos) == (None, 2_000_000)
    last, named = (
        read("1100", {**WHO, 3: "380000", 24: "108"}),
        read("1100", {**WHO, 3: "380000", 24: "108", 56: ORIGINAL}),
    )
    assert isinstance(last, LastAnswerCall)
    assert (last.inquiry.original, named.inquiry.original) == (None, KEY)
    one, whole = read("1500", TOTALS), read("1520", TOTALS)
    assert isinstance(one, TotalsCall)
    assert (one.order.terminal_id, whole.order.terminal_id) == ("L0000001", None)
    assert one.order.settlement_date == date(2026, 11, 23)


@pytest.mark.parametrize(
    ("function", "request_"),
    [("801", NetworkRequest.SIGN_ON), ("802", NetworkRequest.SIGN_OFF), ("831", NetworkRequest.ECHO)],
)
def test_network_management_is_told_by_the_function_code(function: str, request_: NetworkRequest) -> None:
    """An 1804 says in 24 what a 1987 message says in 70."""
    call = read("1804", {**NETWORK, 24: function})
    assert isinstance(call, NetworkCall)
    assert call.request is request_
    answer = DIALECT.acknowledge(call.message)
    assert (answer.mti, answer.text(39), answer.text(24)) == ("1814", "800", function)


def test_the_cut_over_has_a_day_with_its_year() -> None:
    """The day is what 28 says, also across the end of a year."""
    call = read("1804", {**NETWORK, 24: "821", 28: "261231"})
    assert isinstance(call, CutOverCall)
    assert call.order.closing == date(2026, 12, 31)
    assert DIALECT.acknowledge_cut_over(call.message).text(28) == "261231"


FORMAT, MESSAGE, FUNCTION = (
    ResponseCode.FORMAT_ERROR,
    ResponseCode.UNSUPPORTED_MESSAGE,
    ResponseCode.UNSUPPORTED_PROCESSING_CODE,
)


@pytest.mark.parametrize(
    ("mti", "fields", "code"),
    [
        ("0200", RECHARGE, MESSAGE),
        ("0320", RECHARGE, MESSAGE),
        ("1210", RECHARGE, MESSAGE),
        ("1304", RECHARGE, MESSAGE),
        ("1202", RECHARGE, MESSAGE),
        ("1800", {**NETWORK, 24: "831"}, MESSAGE),
        ("1200", {**RECHARGE, 24: "400"}, FUNCTION),
        ("1400", {**REVERSAL, 24: "401"}, FUNCTION),
        ("1804", {**NETWORK, 24: "812"}, FUNCTION),
        ("1200", {**RECHARGE, 3: "310000"}, FUNCTION),
        ("1100", {**INQUIRY, 3: "500000"}, FUNCTION),
        ("1200", {**RECHARGE, 12: "261323113030"}, FORMAT),
        ("1200", {**RECHARGE, 12: "281123113030"}, FORMAT),
        ("1200", {**RECHARGE, 41: " " * 8}, FORMAT),
        ("1400", {**REVERSAL, 25: "1500"}, FORMAT),
        ("1400", {number: value for number, value in REVERSAL.items() if number != 25}, FORMAT),
        ("1400", {number: value for number, value in REVERSAL.items() if number != 56}, FORMAT),
        ("1400", {**REVERSAL, 56: "0200" + ORIGINAL[4:]}, FORMAT),
        ("1400", {**REVERSAL, 56: ORIGINAL[:-1]}, FORMAT),
        ("1400", {**REVERSAL, 56: ORIGINAL + "5"}, FORMAT),
        ("1400", {**REVERSAL, 56: ORIGINAL + "03"}, FORMAT),
        ("1400", {**REVERSAL, 56: "1200" + "000005" + "0" * 12}, FORMAT),
        ("1500", {**TOTALS, 28: "261131"}, FORMAT),
    ],
)
def test_what_is_refused_before_anything_is_looked_up(mti: str, fields: dict[int, str], code: ResponseCode) -> None:
    """Only the three refusals about the message itself are made here."""
    assert refused(mti, fields) is code


def test_the_digest_is_over_what_is_documented() -> None:
    """Changing any of its elements changes it; times, reason, reference number and MAC do not."""
    first = IsoMessage(mti="1400", fields=REVERSAL)
    for number in REVERSAL:
        changed = first.with_fields({number: "9" * len(REVERSAL[number])})
        assert (digest(changed) != digest(first)) is (number in DIGEST_FIELDS), number
    assert digest(IsoMessage(mti="1401", fields={**REVERSAL, 64: "00" * 8})) == digest(first)


def test_every_code_has_a_spelling_of_its_own() -> None:
    """The map is total and has a way back; the first digit is the standard's, and none tells a clerk to keep a card."""
    assert set(ISO_1993) == set(ResponseCode)
    assert len(set(ISO_1993.values())) == len(ISO_1993)
    assert all(len(text) == 3 and text.isdecimal() and text[0] in "01459" for text in ISO_1993.values())
    declined = {text for code, text in ISO_1993.items() if code is not ResponseCode.APPROVED}
    assert not APPROVALS & declined
    assert {text[0] for text in APPROVED_OF_CLASS.values()} == {"4", "5", "8", "9"}
    assert set(SPELLINGS) == set(DIALECTS) == set(WIRES)


@pytest.mark.parametrize(
    ("mti", "code", "answer_mti", "text"),
    [
        ("1200", ResponseCode.APPROVED, "1210", "000"),
        ("1201", ResponseCode.METER_UNKNOWN, "1210", "111"),
        ("1221", ResponseCode.APPROVED, "1230", "900"),
        ("1420", ResponseCode.APPROVED, "1430", "400"),
        ("1400", ResponseCode.SALE_STANDS, "1410", "480"),
        ("1500", ResponseCode.APPROVED, "1510", "500"),
        ("1805", ResponseCode.UNSUPPORTED_MESSAGE, "1814", "902"),
        ("1210", ResponseCode.UNSUPPORTED_MESSAGE, "1644", "902"),
        ("1240", ResponseCode.UNSUPPORTED_MESSAGE, "1644", "902"),
    ],
)
def test_a_code_is_spelled_for_the_message_that_it_answers(
    mti: str, code: ResponseCode, answer_mti: str, text: str
) -> None:
    """An approval says what was approved; what has no answer of its own gets a rejection."""
    answer = DIALECT.decline(IsoMessage(mti=mti, fields={**RECHARGE, 12: WHO[12]}), code)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(11)) == (answer_mti, text, "000005")
    assert LOTERIA.decode(DIALECT.encode(answer)) == answer


def test_a_rejection_is_never_rejected() -> None:
    """Whatever begins with 16 gets no answer; what could not be read at all gets a 1644."""
    for mti in ("1644", "1604", "1614"):
        assert DIALECT.decline(IsoMessage(mti=mti, fields={}), FORMAT) is None
    rejection = DIALECT.decline(None, FORMAT)
    assert rejection == IsoMessage(mti="1644", fields={24: "650", 39: "904"})


@pytest.mark.parametrize("dialect", [LoteriaDialect(), RecargasDialect()], ids=["loteria", "recargas"])
def test_a_mac_is_sixteen_hex_characters(dialect: Any) -> None:
    """The MAC covers the characters before it and is verified in either case of its letters."""
    mti, fields = ("1210", {**RECHARGE, 39: "000"}) if isinstance(dialect, LoteriaDialect) else ("0210", {11: "000005"})
    encoded = dialect.encode_for_mac(IsoMessage(mti=mti, fields=fields))
    assert encoded.endswith(b"0" * 16)
    mac = bytes.fromhex("0123456789ABCDEF")
    whole = splice_mac(encoded, mac, dialect.mac_form)
    assert whole == covered(encoded, MacForm.HEX) + b"0123456789ABCDEF"
    codec = LOTERIA if isinstance(dialect, LoteriaDialect) else RECARGAS
    for octets in (whole, covered(whole, MacForm.HEX) + b"0123456789abcdef"):
        sealed = dialect.sealed(codec.decode(octets), octets)
        assert (sealed.mac, sealed.covered) == (mac, encoded[:-16])
        assert split_mac(codec.decode(octets), octets, MacForm.HEX) == sealed
    with pytest.raises(Refusal):
        dialect.sealed(codec.decode(dialect.encode(codec.decode(encoded).without_fields(64))), encoded)


def test_the_key_of_an_answer_is_that_of_its_request() -> None:
    """An answer that could not be delivered is written down under the request's key, if it was signed."""
    message = IsoMessage(mti="1201", fields=RECHARGE)
    answer = DIALECT.decline(message, ResponseCode.METER_UNKNOWN)
    assert answer is not None
    assert DIALECT.answered_key(DIALECT.encode_for_mac(answer), acquirer_id="loteria", now=NOW) == KEY
    assert DIALECT.answered_key(DIALECT.encode(answer), acquirer_id="loteria", now=NOW) is None
    echo = DIALECT.decline(IsoMessage(mti="1804", fields={**NETWORK, 24: "831"}), ResponseCode.APPROVED)
    assert echo is not None
    assert DIALECT.answered_key(DIALECT.encode_for_mac(echo), acquirer_id="loteria", now=NOW) is None


def test_recargas_asks_for_the_same_as_datafono() -> None:
    """The two have one adapter: a message in the other packing is the same call, with the same key and digest."""
    fields = {
        2: "37000000007",
        3: "500000",
        4: "000002000000",
        7: "1123163030",
        11: "000005",
        41: "R0000001",
        64: "00" * 8,
    }
    message = IsoMessage(mti="0200", fields=fields)
    calls = [
        dialect.read(codec.encode(message), acquirer_id="recargas", now=NOW)
        for dialect, codec in ((DatafonoDialect(), DATAFONO), (RecargasDialect(), RECARGAS))
    ]
    first, second = calls
    assert isinstance(first, SaleCall)
    assert isinstance(second, SaleCall)
    assert (first.order.key, first.order.digest) == (second.order.key, second.order.digest)
    assert first.message == second.message


def test_a_batch_of_recargas_holds_messages_of_recargas() -> None:
    """Each record is a message in the packing of the dialect that carries it."""
    payment = {2: "37000000007", 3: "530000", 4: "000000500000", 7: "1123163030", 11: "000004", 41: "R0000001"}
    records = write_records([RECARGAS.encode(IsoMessage(mti="0200", fields=payment))])
    fields = {7: "1123163040", 11: "000006", 41: "R0000001", 60: records}
    call = RecargasDialect().read(
        RECARGAS.encode(IsoMessage(mti="0320", fields=fields)), acquirer_id="recargas", now=NOW
    )
    assert isinstance(call, BatchCall)
    (record,) = call.records
    assert isinstance(record, SaleCall)
    assert record.order.kind is OrderKind.PAYMENT


def test_a_local_date_and_time_is_read_with_its_year() -> None:
    """Colombia is five hours behind UTC; what is no moment, or far from our clock, is refused."""
    assert read_local_date_time("261231235959", NOW) == datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC)
    assert write_local_date_time(SENT_AT) == "261123113030"
    assert (read_short_date("280229"), write_short_date(date(2028, 2, 29))) == (date(2028, 2, 29), "280229")
    edge = NOW.replace(microsecond=0) + timedelta(days=DAYS_FROM_NOW_MAX)
    assert read_local_date_time(write_local_date_time(edge), NOW) == edge
    for text in (
        write_local_date_time(edge + timedelta(seconds=1)),
        "270229000000",
        "261123246000",
        "2611231130",
        "²61123113030",
    ):
        with pytest.raises(TransmissionTimeError):
            read_local_date_time(text, NOW)
    for text in ("270229", "2611", "²61123"):
        with pytest.raises(TransmissionTimeError):
            read_short_date(text)
