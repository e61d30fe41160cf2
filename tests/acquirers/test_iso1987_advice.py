"""How a datáfono says that the customer has his token, and asks for its last answer."""

import pytest

from acquirers.calls import AdviceCall, InquiryCall, LastAnswerCall
from tests.acquirers.test_iso1987_requests import INQUIRY, KEY, NOW, RECHARGE, REVERSAL, WHO, read, refusal
from vending.order import LastAnswerInquiry
from vending.response_code import ResponseCode

ADVICE = {**WHO, 11: "000020", 7: "1123163040", 90: "0200" + "000005" + "1123163030" + "0" * 22}
LAST = {**WHO, 11: "000021", 3: "380000"}


@pytest.mark.parametrize("mti", ["0220", "0221"])
@pytest.mark.parametrize("original_mti", ["0200", "0201"])
def test_an_advice_names_its_original_in_element_90(mti: str, original_mti: str) -> None:
    """It has a key and a digest of its own, the same for a repeat, and nothing but the original is looked at."""
    call = read(mti, {**ADVICE, 90: original_mti + ADVICE[90][4:]})
    assert isinstance(call, AdviceCall)
    assert call.order.original == KEY
    assert (call.order.key.message_class, call.order.key.stan) == ("0220", "000020")
    assert call.order.received_at == NOW
    assert read("0221", ADVICE).order.digest == read("0220", ADVICE).order.digest != read("0400", REVERSAL).order.digest


def test_an_advice_without_element_90_means_its_own_stan_and_time() -> None:
    """Terminals that reuse the STAN of the sale need no element 90."""
    call = read("0220", WHO)
    assert isinstance(call, AdviceCall)
    assert call.order.original == KEY
    assert call.order.key.message_class == "0220"


@pytest.mark.parametrize("service", ["00", "01", "02", "03"])
def test_the_last_answer_is_asked_for_with_38(service: str) -> None:
    """Without element 90 it is the last one; element 7 need not be there, and a meter is not looked at."""
    fields = {number: value for number, value in LAST.items() if number != 7}
    call = read("0100", {**fields, 3: f"38{service}00"})
    assert isinstance(call, LastAnswerCall)
    assert call.inquiry == LastAnswerInquiry(acquirer_id="banco", terminal_id="TERM01", original=None, asked_at=NOW)


def test_the_last_answer_may_be_asked_for_by_name() -> None:
    """Element 90 has no room for a terminal, so it is always the asking one's own."""
    call = read("0100", {**LAST, 90: ADVICE[90]})
    assert isinstance(call, LastAnswerCall)
    assert call.inquiry.original == KEY


def test_the_other_question_is_still_an_inquiry() -> None:
    """31 asks for an account."""
    assert isinstance(read("0100", INQUIRY), InquiryCall)


@pytest.mark.parametrize(
    ("mti", "fields", "code"),
    [
        ("0220", {**ADVICE, 90: "0400" + ADVICE[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0220", {**ADVICE, 90: "0" * 42}, ResponseCode.FORMAT_ERROR),
        ("0220", {**ADVICE, 41: " " * 8}, ResponseCode.FORMAT_ERROR),
        ("0220", {number: value for number, value in ADVICE.items() if number != 11}, ResponseCode.FORMAT_ERROR),
        ("0220", {number: value for number, value in ADVICE.items() if number != 7}, ResponseCode.FORMAT_ERROR),
        ("0100", {**LAST, 90: "0400" + ADVICE[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0100", {**LAST, 3: "380400"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0100", {**LAST, 3: "390000"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0200", {**RECHARGE, 3: "380000"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
    ],
)
def test_what_is_refused_before_anything_is_looked_up(mti: str, fields: dict[int, str], code: ResponseCode) -> None:
    """One code for each fault of the message itself."""
    assert refusal(mti, fields).code is code
