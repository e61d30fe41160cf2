import io
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from twisted.internet.defer import ensureDeferred

from config.acquirer import MacSection
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from switch.batching import QueueFull
from switch.listener import ConnectionContext
from switch.log import Event, configure
from switch.network import exchange_of
from switch.verification_turns import PLACES
from tests.switch.sale_bench import (
    CODES,
    DEADLINE_SECONDS,
    HANG,
    METER_NUMBER,
    PIN,
    TPDU,
    Bench,
    Sent,
    inquiry,
    network,
    payment,
    recharge,
    request,
    reversal,
    signed,
)
from vending.order import Busy, InquiryAnswer
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode

Lines = list[MutableMapping[str, Any]]
REFUSED = ModuleRefused("17", "register is retired")
NO_MODULE = [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply")]


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def _is_signed_on(context: ConnectionContext) -> bool:
    return context.is_signed_on


def _unsigned_code(sent: Sent) -> ResponseCode:
    assert not sent.is_signed
    return sent.code


# Network management.


def test_sign_on_and_sign_off_change_the_connection_and_echo_does_not(lines: Lines) -> None:
    """Each is approved without a MAC, counted and logged, an echo as a debug line; other connections are not touched."""
    bench = Bench()
    other = bench.connect()
    for code, is_signed_on in (("301", False), ("001", True), ("301", True), ("002", False)):
        sent = bench.send(network(code))
        assert sent.message.mti == "0810"
        assert sent.message.text(70) == code
        assert _unsigned_code(sent) is ResponseCode.APPROVED
        assert _is_signed_on(bench.context) is is_signed_on
    assert not other.is_signed_on
    assert [line["event"] for line in lines] == [
        Event.ECHO_ANSWERED,
        Event.TERMINAL_SIGNED_ON,
        Event.ECHO_ANSWERED,
        Event.TERMINAL_SIGNED_OFF,
    ]
    assert bench.value("requests_total", mti="0800", code="approved") == 4
    assert bench.value("last_request_timestamp_seconds") > 0
    assert bench.events == ["answer left"] * 4


@pytest.mark.parametrize("message", [recharge(), payment(), inquiry(), reversal()], ids=lambda message: message.mti)
def test_business_waits_for_a_sign_on_where_it_is_required(message: IsoMessage) -> None:
    """Before it nothing is asked of anybody, and after a sign-off again."""
    bench = Bench(is_sign_on_required=True)
    assert _unsigned_code(bench.send(message)) is ResponseCode.NOT_SIGNED_ON
    assert bench.events == ["answer left"]
    bench.send(network("001"))
    assert bench.send(message).code is not ResponseCode.NOT_SIGNED_ON
    bench.send(network("002"))
    assert bench.send(message).code is ResponseCode.NOT_SIGNED_ON
    bench.send(network("001"), bench.connect())
    assert bench.send(message).code is ResponseCode.NOT_SIGNED_ON


# Limits.


def test_above_the_limit_of_the_network_business_is_refused_at_once() -> None:
    """What is in work goes on, network management is answered, and an ended request makes room."""
    bench = Bench(in_flight_max=2, connection_in_flight_max=2)
    bench.module.verifying.plan(HANG, HANG)
    first, second = bench.send(recharge(stan="000001")), bench.send(inquiry())
    assert _unsigned_code(bench.send(recharge(stan="000003", meter="37000000015"))) is ResponseCode.OVERLOADED
    assert bench.send(network("301")).code is ResponseCode.APPROVED
    bench.module.verifying.release()
    assert first.code is ResponseCode.APPROVED
    assert bench.send(recharge(stan="000004", meter="37000000015")).code is ResponseCode.APPROVED
    bench.module.verifying.release()
    assert second.code is ResponseCode.APPROVED


# Frames.


def test_the_two_addresses_of_the_tpdu_are_changed_over() -> None:
    """The answer finds its way back through the concentrator."""
    sent = Bench().send(recharge())
    (frame,) = sent.frames
    assert frame is not None
    assert frame[:5] == bytes.fromhex("6001230003")


@pytest.mark.parametrize("frame", [b"", b"\x60\x00\x03\x00", b"\x61" + TPDU.octets[1:] + signed(recharge())], ids=repr)
def test_a_frame_without_a_tpdu_ends_the_connection(frame: bytes, lines: Lines) -> None:
    """There is nobody to answer; the reason is counted and logged."""
    bench = Bench()
    sent = bench.send_octets(frame)
    assert sent.frames == [None]
    assert bench.context.is_to_close
    assert bench.value("frames_refused_total", reason="tpdu") == 1
    assert [line["event"] for line in lines] == [Event.MESSAGE_REFUSED]
    assert bench.events == ["answer left"]


def test_a_network_without_tpdu_has_none_in_its_answers() -> None:
    """The whole frame is the message, both ways."""
    bench = Bench(has_tpdu=False)
    (answer,) = bench.send_octets(signed(recharge())).frames
    assert answer is not None
    assert DATAFONO.decode(answer).text(39) == "00"


def test_a_message_that_cannot_be_read_is_answered_and_the_connection_stays(lines: Lines) -> None:
    """What was understood is carried back under code 30, unsigned, because nobody has shown who he is."""
    bench = Bench()
    sent = bench.send_octets(TPDU.octets + signed(recharge())[:-20])
    assert _unsigned_code(sent) is ResponseCode.FORMAT_ERROR
    assert (sent.message.mti, sent.message.text(11)) == ("0210", "000005")
    assert not bench.context.is_to_close
    assert bench.value("frames_refused_total", reason="format") == 1
    assert bench.value("requests_total", mti="0200", code="format_error") == 1
    assert [line["event"] for line in lines] == [Event.MESSAGE_REFUSED]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xaa\xbb" + bytes(8), DATAFONO.encode(IsoMessage(mti="0210", fields={11: "000005", 39: "00"}))],
    ids=["empty", "no MTI", "an answer"],
)
def test_what_has_no_answer_of_its_own_is_rejected(body: bytes) -> None:
    """0620, with what could be carried back and no MAC."""
    sent = Bench().send_octets(TPDU.octets + body)
    assert sent.message.mti == "0620"
    assert _unsigned_code(sent) in (ResponseCode.FORMAT_ERROR, ResponseCode.UNSUPPORTED_MESSAGE)


@pytest.mark.parametrize("mti", ["0620", "0630", "0621"])
def test_a_rejection_is_counted_and_never_answered(mti: str) -> None:
    """Otherwise two switches would reject each other's rejections for ever."""
    bench = Bench()
    sent = bench.send_octets(TPDU.octets + DATAFONO.encode(IsoMessage(mti=mti, fields={11: "000005", 39: "30"})))
    assert sent.frames == [None]
    assert not bench.context.is_to_close
    assert bench.value("requests_total", mti="other", code="unsupported_message") == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request("0300", {2: METER_NUMBER}), ResponseCode.UNSUPPORTED_MESSAGE),
        (request("0200", {2: METER_NUMBER, 3: "990000"}), ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        (request("0200", {3: "500000"}), ResponseCode.FORMAT_ERROR),
        (recharge(terminal_id="TERMÑ001"), ResponseCode.FORMAT_ERROR),
        (network("999"), ResponseCode.UNSUPPORTED_PROCESSING_CODE),
    ],
    ids=["message", "processing code", "missing", "terminal", "network code"],
)
def test_what_is_not_served_is_refused_unsigned_before_anybody_is_asked(
    message: IsoMessage, code: ResponseCode, lines: Lines
) -> None:
    """One line, one count, no work for module or ledger."""
    bench = Bench()
    sent = bench.send_octets(TPDU.octets + DATAFONO.encode(message))
    assert _unsigned_code(sent) is code
    assert bench.events == ["answer left"]
    assert len(lines) == 1
    assert lines[0]["code"] is code


# The MAC.


@pytest.mark.parametrize("message", [recharge(), payment(), inquiry(), reversal()], ids=lambda message: message.mti)
def test_without_the_right_mac_nothing_is_looked_at(message: IsoMessage) -> None:
    """Wrong or missing, the ledger is not asked, and the refusal is not signed: it could be used against the true request."""
    bench = Bench()
    body = signed(message)
    wrong = bench.send_octets(TPDU.octets + body[:-1] + bytes([body[-1] ^ 1]))
    missing = bench.send_octets(TPDU.octets + DATAFONO.encode(message))
    assert _unsigned_code(wrong) is _unsigned_code(missing) is ResponseCode.MAC_MISMATCH
    assert set(bench.events) == {"verify asked", "verify failed", "answer left"}


def test_a_flood_of_one_network_leaves_another_its_turn_at_the_module() -> None:
    """Two networks of a process share the module's line; the second is asked for after what is under way and one more of the first."""
    bench = Bench()
    section = bench.section.model_copy(update={"id": "red", "mac": MacSection(register_id=6)})
    other = exchange_of(section, bench.shared)
    verifying = bench.module.verifying
    verifying.plan(*[HANG] * (PLACES + 3))
    body = signed(recharge())
    wrong = TPDU.octets + body[:-1] + bytes([body[-1] ^ 1])
    for _ in range(PLACES + 10):
        bench.send_octets(wrong)
    assert len(verifying.asked) == PLACES
    assert bench.value("verifications_waited_total") == 10
    ensureDeferred(other.serve(bench.connect(), wrong))
    for _ in range(2):
        verifying.release()
    assert [item[0].register_id for item in verifying.asked] == [5] * (PLACES + 1) + [6]


def test_a_connection_is_proven_from_a_right_mac_to_a_wrong_one() -> None:
    """What a network does for nothing is charged by this: an echo proves nothing, and a wrong MAC takes the proof away."""
    bench = Bench()
    proven = []
    false = []
    right = signed(recharge())
    echo, wrong = DATAFONO.encode(network("301")), right[:-1] + bytes([right[-1] ^ 1])
    for body in (echo, wrong, right, echo, wrong):
        bench.send_octets(TPDU.octets + body)
        proven.append(bench.context.is_proven)
        false.append(bench.context.false_macs)
    assert proven == [False, False, True, True, False]
    assert false == [0, 1, 1, 1, 2]


@pytest.mark.parametrize("message", [recharge(), inquiry(), reversal()], ids=lambda message: message.mti)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NO_MODULE[0], ResponseCode.MODULE_UNAVAILABLE),
        (NO_MODULE[1], ResponseCode.MODULE_UNAVAILABLE),
        (REFUSED, ResponseCode.SYSTEM_ERROR),
    ],
    ids=repr,
)
def test_when_nobody_can_verify_nothing_is_taken(message: IsoMessage, error: Exception, code: ResponseCode) -> None:
    """The ledger is not asked, and the answer has no MAC."""
    bench = Bench()
    bench.module.verifying.plan(error)
    assert _unsigned_code(bench.send(message)) is code
    assert bench.events == ["verify asked", "verify failed", "answer left"]


@pytest.mark.parametrize("error", [*NO_MODULE, REFUSED], ids=repr)
def test_an_answer_that_says_nothing_final_may_leave_unsigned(error: Exception) -> None:
    """A terminal takes it as no answer, which is what it is; an inquiry gets its answer so too."""
    bench = Bench()
    bench.module.minting.plan(ModuleUnavailable("no link"))
    bench.module.signing.plan(error)
    assert _unsigned_code(bench.send(recharge())) is ResponseCode.IN_PROGRESS
    bench.module.signing.plan(error)
    assert _unsigned_code(bench.send(inquiry())) is ResponseCode.APPROVED


# Refusals of this moment.


def _busy_meter(bench: Bench) -> None:
    bench.ledger.reserve.plan(*[Busy(meter_id=7)] * 200)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerUnavailable("no server"), ResponseCode.LEDGER_UNAVAILABLE),
        (QueueFull(), ResponseCode.OVERLOADED),
        (None, ResponseCode.METER_BUSY),
    ],
    ids=repr,
)
def test_a_repeat_is_never_told_that_nothing_was_taken_because_of_our_state(
    error: Exception | None, code: ResponseCode
) -> None:
    """The first copy may have been sold, so only the journal can end a repeat; the first copy itself is told the truth."""
    for mti, expected in (("0200", code), ("0201", ResponseCode.IN_PROGRESS)):
        bench = Bench()
        if error is None:
            _busy_meter(bench)
        else:
            bench.ledger.reserve.plan(error)
        sent = bench.send(recharge(mti))
        bench.wait(DEADLINE_SECONDS - 1)
        assert sent.code is expected
        assert sent.is_signed


def test_a_repeat_before_sign_on_or_above_the_limit_is_not_final_either() -> None:
    """A terminal that comes back on a new connection must not lose the sale it has paid for."""
    assert Bench(is_sign_on_required=True).send(recharge("0201")).code is ResponseCode.IN_PROGRESS
    bench = Bench(in_flight_max=1, connection_in_flight_max=1)
    bench.module.verifying.plan(HANG)
    bench.send(inquiry())
    assert bench.send(recharge("0201")).code is ResponseCode.IN_PROGRESS


def test_a_repeat_of_a_reversal_is_not_final_because_of_our_state() -> None:
    """Its first copy may have said that the sale stands."""
    bench = Bench()
    bench.ledger.find_original.plan(LedgerUnavailable("no server"), LedgerUnavailable("no server"))
    assert bench.send(reversal()).code is ResponseCode.LEDGER_UNAVAILABLE
    assert bench.send(reversal("0401")).code is ResponseCode.IN_PROGRESS


def test_a_verdict_on_the_content_is_final_for_a_repeat_too() -> None:
    """It does not depend on the moment."""
    assert Bench().send(recharge("0201", paid=0)).code is ResponseCode.AMOUNT_INVALID


# Faults.


@pytest.mark.parametrize("message", [recharge(), inquiry(), reversal()], ids=lambda message: message.mti)
def test_a_fault_of_ours_is_answered_as_not_known(message: IsoMessage, lines: Lines) -> None:
    """The traceback is in the log, the fault is counted, and the answer is not final because something may have been taken."""
    bench = Bench()
    for step in (bench.ledger.reserve, bench.ledger.inquire, bench.ledger.find_original):
        step.plan(RuntimeError("planted"))
    sent = bench.send(message)
    assert sent.code is ResponseCode.IN_PROGRESS
    assert sent.is_signed
    assert bench.value("serve_failures_total") == 1
    assert [line["event"] for line in lines] == [Event.SERVE_FAILED, Event.MESSAGE_REFUSED]
    assert "planted" in lines[0]["failure"]
    assert bench.send(network("301")).code is ResponseCode.APPROVED


# Inquiries.


def test_an_inquiry_is_answered_with_the_account(lines: Lines) -> None:
    """It is signed, writes nothing, and leaves one line."""
    bench = Bench()
    sent = bench.send(inquiry())
    assert sent.code is ResponseCode.APPROVED
    assert sent.is_signed
    assert first_value(parse_sub_elements(sent.message.text(48)), "OW") == "6000000"
    assert bench.ledger.postings == []
    assert bench.ledger.inquire.asked[0].meter_number == METER_NUMBER
    assert [(line["event"], line["code"]) for line in lines] == [(Event.INQUIRY_ANSWERED, ResponseCode.APPROVED)]
    assert bench.value("requests_total", mti="0100", code="approved") == 1


def test_an_inquiry_that_is_declined_says_so() -> None:
    """The ledger's code is the answer's."""
    bench = Bench()
    bench.ledger.inquire.plan(InquiryAnswer(code=ResponseCode.METER_UNKNOWN))
    assert bench.send(inquiry()).code is ResponseCode.METER_UNKNOWN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerUnavailable("no server"), ResponseCode.LEDGER_UNAVAILABLE),
        (LedgerOutcomeUnknown("lost"), ResponseCode.LEDGER_UNAVAILABLE),
        (QueueFull(), ResponseCode.OVERLOADED),
    ],
    ids=repr,
)
def test_an_inquiry_that_the_ledger_cannot_answer_is_refused(error: Exception, code: ResponseCode) -> None:
    """Reading takes nothing, so every failure is final."""
    bench = Bench()
    bench.ledger.inquire.plan(error)
    assert bench.send(inquiry()).code is code


def test_an_inquiry_has_a_deadline() -> None:
    """It is told to wait like everybody."""
    bench = Bench()
    bench.ledger.inquire.plan(HANG)
    sent = bench.send(inquiry())
    bench.wait(DEADLINE_SECONDS + 0.1)
    assert sent.code is ResponseCode.IN_PROGRESS
    bench.ledger.inquire.release()
    assert len(sent.frames) == 1


def test_an_answer_in_time_leaves_no_timer() -> None:
    """A thousand requests a second must not leave twelve thousand timers."""
    bench = Bench()
    for message in (recharge(), inquiry(), reversal(), network("301"), recharge("0201", paid=5)):
        bench.send(message)
    assert bench.clock.getDelayedCalls() == []


# Log and metrics.


def test_a_sale_leaves_one_line_with_everything_but_the_pin() -> None:
    """Who, what, how much, which sale, how long each stage took."""
    stream = io.StringIO()
    configure(stream, is_bridging_twisted=False)
    bench = Bench()
    bench.module.minting.plan(HANG)
    bench.send(recharge())
    bench.clock.advance(0.25)
    bench.module.minting.release()
    line = json.loads(stream.getvalue())
    assert PIN not in stream.getvalue()
    stages = line.pop("stage_microseconds")
    line.pop("timestamp")
    assert stages == {
        "decode": 0,
        "verify_mac": 0,
        "reserve": 0,
        "mint": 250_000,
        "sign": 0,
        "post": 0,
        "whole": 250_000,
    }
    assert line == {
        "event": "sale.completed",
        "level": "info",
        "acquirer_id": "banco",
        "terminal_id": "TERM0001",
        "stan": "000005",
        "rrn": "632716000005",
        "mti": "0200",
        "kind": "recharge",
        "code": "approved",
        "paid_centavos": 2_000_000,
        "units_tenths": 338,
        "token_count": 1,
        "meter_number": METER_NUMBER,
        "sale_id": 1_000_122,
        "is_repeat": False,
    }


@pytest.mark.parametrize("message", [recharge(), inquiry(), recharge(paid=0)], ids=["sale", "inquiry", "refusal"])
def test_every_request_is_timed_once(message: IsoMessage) -> None:
    """The whole of it, whatever it was and whatever came of it."""
    bench = Bench()
    bench.module.verifying.plan(HANG)
    bench.send(message)
    bench.clock.advance(0.5)
    bench.module.verifying.release()
    assert bench.value("stage_seconds_count", stage="whole") == 1
    assert bench.value("stage_seconds_sum", stage="whole") == pytest.approx(0.5)


def test_requests_are_counted_by_what_they_were_and_got() -> None:
    """One count each."""
    bench = Bench()
    bench.send(recharge())
    bench.send(recharge("0201"))
    bench.send(recharge(stan="000006", paid=0))
    assert bench.value("requests_total", mti="0200", code="approved") == 1
    assert bench.value("requests_total", mti="0201", code="approved") == 1
    assert bench.value("requests_total", mti="0200", code="amount_invalid") == 1
    assert bench.value("replays_answered_total") == 1


def test_a_refusal_leaves_one_line_with_its_private_reason(lines: Lines) -> None:
    """The operator sees why; the terminal sees the code."""
    bench = Bench()
    bench.ledger.reserve.plan(LedgerUnavailable("no server at 5432"))
    sent = bench.send(recharge())
    (line,) = lines
    assert (line["event"], line["stan"], line["mti"]) == (Event.MESSAGE_REFUSED, "000005", "0200")
    assert "5432" in line["detail"]
    assert b"5432" not in sent.body
    assert CODES[sent.message.text(39)] is line["code"]
