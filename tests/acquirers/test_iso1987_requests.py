from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquirers.calls import InquiryCall, NetworkCall, NetworkRequest, ReversalCall, SaleCall
from acquirers.dialect import Unreadable
from acquirers.iso1987 import DatafonoDialect
from acquirers.iso1987_requests import DIGEST_FIELDS, digest
from acquirers.registry import DIALECTS
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from vending.order import Inquiry, OrderKind, RequestKey
from vending.response_code import Refusal, ResponseCode
from vending.service import Service

NOW = datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)
SENT_AT = datetime(2026, 11, 23, 16, 30, 30, tzinfo=UTC)
WHO = {7: "1123163030", 11: "000005", 12: "113030", 13: "1123", 24: "003", 41: "TERM01  ", 42: "TIENDA LA ESQUI"}
RECHARGE: dict[int, str] = {2: "37000000007", 3: "500000", 4: "000002000000", 49: "170", **WHO}
PAYMENT = {**RECHARGE, 3: "530000"}
INQUIRY = {2: "37000000007", 3: "310000", **WHO}
REVERSAL = {**RECHARGE, 11: "000009", 7: "1123163130", 90: "0200" + "000005" + "1123163030" + "0" * 22}
KEY = RequestKey(acquirer_id="banco", terminal_id="TERM01", transmitted_at=SENT_AT, stan="000005", message_class="0200")
DIALECT = DatafonoDialect()
OF_THE_MESSAGE = {
    ResponseCode.FORMAT_ERROR,
    ResponseCode.UNSUPPORTED_MESSAGE,
    ResponseCode.UNSUPPORTED_PROCESSING_CODE,
}
"""The only refusals that a dialect makes."""


def read(mti: str, fields: dict[int, str]) -> Any:
    """Encode a message, and read it as it comes from the wire."""
    body = DATAFONO.encode(IsoMessage(mti=mti, fields=fields))
    call = DIALECT.read(body, acquirer_id="banco", now=NOW)
    if not isinstance(call, NetworkCall):
        assert call.body == body
        assert call.terminal_id == "TERM01"
    return call


def refusal(mti: str, fields: dict[int, str]) -> Refusal:
    """Return why a message is refused; what was understood comes along."""
    with pytest.raises(Unreadable) as caught:
        read(mti, fields)
    assert caught.value.message is not None
    assert caught.value.message.mti == mti
    return caught.value.refusal


@pytest.mark.parametrize("mti", ["0200", "0201"])
@pytest.mark.parametrize(("prefix", "kind"), [("50", OrderKind.RECHARGE), ("53", OrderKind.PAYMENT)])
@pytest.mark.parametrize(
    ("digits", "service"),
    [("00", None), ("01", Service.ENERGY), ("02", Service.WATER), ("03", Service.GAS)],
)
def test_a_sale_is_read_whole(mti: str, prefix: str, kind: OrderKind, digits: str, service: Service | None) -> None:
    """Every field of the order comes from its data element, and a repeat has the key of its first."""
    call = read(mti, {**RECHARGE, 3: f"{prefix}{digits}00"})
    assert isinstance(call, SaleCall)
    order = call.order
    assert order.key == KEY
    assert (order.kind, order.service) == (kind, service)
    assert (order.meter_number, order.paid_centavos) == ("37000000007", 2_000_000)
    assert (order.voluntary_obligation, order.voluntary_centavos) == (None, 0)
    assert order.request == call.body
    assert order.received_at == NOW


def test_the_reference_number_is_the_callers_or_ours() -> None:
    """Ours tells year, day, hour and trace number; blanks are no number."""
    assert read("0200", {**RECHARGE, 37: "ABC123      "}).order.rrn == "ABC123"
    assert read("0200", RECHARGE).order.rrn == "632716000005"
    assert read("0200", {**RECHARGE, 37: " " * 12}).order.rrn == "632716000005"


@pytest.mark.parametrize(
    ("base", "sub_elements", "expected"),
    [
        (RECHARGE, "VO003o-1VA00550000", ("o-1", 50_000)),
        (RECHARGE, "VA00550000ZZ001xVO003o-1", ("o-1", 50_000)),
        (RECHARGE, "VO003o-1VA0072000000", ("o-1", 2_000_000)),
        (RECHARGE, "OB003o-1", (None, 0)),
        (RECHARGE, "", (None, 0)),
        (PAYMENT, "OB003o-1", ("o-1", 0)),
        (PAYMENT, "VO003o-1VA00550000", (None, 0)),
        (PAYMENT, "", (None, 0)),
    ],
)
def test_the_obligation_that_a_request_names(
    base: dict[int, str], sub_elements: str, expected: tuple[str | None, int]
) -> None:
    """A recharge has VO and VA, a payment OB; what is not for it is ignored."""
    order = read("0200", {**base, 48: sub_elements}).order
    assert (order.voluntary_obligation, order.voluntary_centavos) == expected


@pytest.mark.parametrize(
    ("amount", "trial"), [(None, None), ("000000000000", None), ("000002000000", 2_000_000)], ids=str
)
def test_an_inquiry_is_read_whole(amount: str | None, trial: int | None) -> None:
    """An amount asks for a trial quote, and zero is none."""
    call = read("0100", {**INQUIRY, 3: "310200", **({} if amount is None else {4: amount})})
    assert isinstance(call, InquiryCall)
    assert call.inquiry == Inquiry(
        acquirer_id="banco",
        terminal_id="TERM01",
        meter_number="37000000007",
        service=Service.WATER,
        trial_paid_centavos=trial,  # type: ignore[arg-type]  # a plain number in a table
        asked_at=NOW,
    )


@pytest.mark.parametrize("mti", ["0400", "0401", "0420", "0421"])
@pytest.mark.parametrize("original_mti", ["0200", "0201"])
def test_a_reversal_names_its_original_in_element_90(mti: str, original_mti: str) -> None:
    """The original's key is built from MTI, trace number and time, whichever of its copies is named."""
    call = read(mti, {**REVERSAL, 90: original_mti + REVERSAL[90][4:]})
    assert isinstance(call, ReversalCall)
    assert call.order.original == KEY
    assert call.order.key.message_class == mti[:3] + "0"
    assert (call.order.key.stan, call.order.key.transmitted_at) == ("000009", SENT_AT + timedelta(minutes=1))
    assert (call.order.paid_centavos, call.order.rrn) == (2_000_000, "632716000009")


def test_a_reversal_without_element_90_means_its_own_trace_number_and_time() -> None:
    """Older terminals send the fields of the sale again; an amount is not needed."""
    fields = {number: value for number, value in RECHARGE.items() if number != 4}
    order = read("0400", fields).order
    assert order.original == KEY
    assert order.key != KEY
    assert order.paid_centavos is None


def test_only_the_key_in_element_90_counts() -> None:
    """Institution codes behind it, and another meter or processing code beside it, mean the same original."""
    order = read("0420", {**REVERSAL, 2: "37000000015", 3: "530000", 90: REVERSAL[90][:20] + "1" * 22}).order
    assert order.original == KEY


def test_a_reversal_and_its_advice_are_two_requests() -> None:
    """With every element alike they have keys and digests of their own."""
    asked, advised = read("0400", REVERSAL).order, read("0421", REVERSAL).order
    assert asked.original == advised.original
    assert asked.key != advised.key
    assert asked.digest != advised.digest


def test_the_years_of_a_reversal_are_found_one_by_one() -> None:
    """On New Year's morning the original may be of last year."""
    late = datetime(2027, 1, 1, 0, 0, 10, tzinfo=UTC)
    fields = {**REVERSAL, 7: "0101000005", 90: "0200" + "000005" + "1231235950" + "0" * 22}
    call = DIALECT.read(DATAFONO.encode(IsoMessage(mti="0400", fields=fields)), acquirer_id="banco", now=late)
    assert isinstance(call, ReversalCall)
    assert (call.order.key.transmitted_at.year, call.order.original.transmitted_at.year) == (2027, 2026)


@pytest.mark.parametrize(
    ("code", "request_"),
    [("001", NetworkRequest.SIGN_ON), ("002", NetworkRequest.SIGN_OFF), ("301", NetworkRequest.ECHO)],
)
def test_network_management_is_read(code: str, request_: NetworkRequest) -> None:
    """Element 70 says what is wanted; a trace number is enough beside it."""
    assert read("0800", {11: "000001", 70: code}).request is request_


def _without(fields: dict[int, str], number: int) -> dict[int, str]:
    return {key: value for key, value in fields.items() if key != number}


@pytest.mark.parametrize(
    ("mti", "base", "needed"),
    [
        ("0200", RECHARGE, (2, 3, 4, 7, 11, 41)),
        ("0201", PAYMENT, (2, 3, 4, 7, 11, 41)),
        ("0100", INQUIRY, (2, 3, 11, 41)),
        ("0400", REVERSAL, (7, 11, 41)),
        ("0800", {11: "000001", 70: "301"}, (11, 70)),
    ],
)
def test_what_must_be_there(mti: str, base: dict[int, str], needed: tuple[int, ...]) -> None:
    """Each missing element is a format error that names it, and nothing else is needed."""
    for number in base:
        fields = _without(base, number)
        if number in needed:
            refused = refusal(mti, fields)
            assert refused.code is ResponseCode.FORMAT_ERROR
            assert f"element {number} " in refused.private_detail
        else:
            read(mti, fields)


@pytest.mark.parametrize(
    ("mti", "fields", "code"),
    [
        ("0300", RECHARGE, ResponseCode.UNSUPPORTED_MESSAGE),
        ("0101", INQUIRY, ResponseCode.UNSUPPORTED_MESSAGE),
        ("0210", RECHARGE, ResponseCode.UNSUPPORTED_MESSAGE),
        ("0620", WHO, ResponseCode.UNSUPPORTED_MESSAGE),
        ("0200", {**RECHARGE, 3: "310000"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0200", {**RECHARGE, 3: "500400"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0200", {**RECHARGE, 3: "500001"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0100", {**INQUIRY, 3: "500000"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0800", {11: "000001", 70: "003"}, ResponseCode.UNSUPPORTED_PROCESSING_CODE),
        ("0200", {**RECHARGE, 7: "1323163030"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 41: " " * 8}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 41: "TERMÑ001"}, ResponseCode.FORMAT_ERROR),
        ("0100", {**INQUIRY, 41: "TERMÑ001"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO009x"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VA00550000"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1VA0010"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1VA0072000001"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1VA002-5"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1VA001²"}, ResponseCode.FORMAT_ERROR),
        ("0200", {**RECHARGE, 48: "VO003o-1VA000"}, ResponseCode.FORMAT_ERROR),
        ("0400", {**REVERSAL, 90: "0100" + REVERSAL[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0400", {**REVERSAL, 90: "0400" + REVERSAL[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0420", {**REVERSAL, 90: "0205" + REVERSAL[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0400", {**REVERSAL, 90: "0" * 42}, ResponseCode.FORMAT_ERROR),
        ("0420", {**REVERSAL, 90: "0" * 42}, ResponseCode.FORMAT_ERROR),
        ("0420", {**REVERSAL, 90: "0200" + "000005" + "0" * 32}, ResponseCode.FORMAT_ERROR),
        ("0420", {**REVERSAL, 90: "0" * 4 + REVERSAL[90][4:]}, ResponseCode.FORMAT_ERROR),
        ("0400", {**REVERSAL, 90: "0200" + "000005" + "0230163030" + "0" * 22}, ResponseCode.FORMAT_ERROR),
    ],
)
def test_what_is_refused_before_anything_is_looked_up(mti: str, fields: dict[int, str], code: ResponseCode) -> None:
    """One code for each fault of the message itself."""
    assert refusal(mti, fields).code is code


@pytest.mark.parametrize("body", [b"", b"\x02", b"\xff\xff" + bytes(8)], ids=["empty", "cut", "no digits"])
def test_octets_without_an_mti_are_refused_without_a_message(body: bytes) -> None:
    """Nothing was understood, so nothing can be carried back."""
    with pytest.raises(Unreadable) as caught:
        DIALECT.read(body, acquirer_id="banco", now=NOW)
    assert caught.value.message is None
    assert caught.value.refusal.code is ResponseCode.FORMAT_ERROR


def test_a_spoilt_message_keeps_what_stood_before_the_fault() -> None:
    """The answer can carry back the elements that were read."""
    body = DATAFONO.encode(IsoMessage(mti="0200", fields=RECHARGE))[:-10]
    with pytest.raises(Unreadable) as caught:
        DIALECT.read(body, acquirer_id="banco", now=NOW)
    message = caught.value.message
    assert message is not None
    assert (message.mti, message.get(11), message.get(41)) == ("0200", "000005", "TERM01  ")
    assert 42 not in message


@given(st.binary(max_size=120))
def test_no_octets_do_more_harm_than_a_refusal(body: bytes) -> None:
    """Whatever comes is a call or a refusal, never another exception."""
    codes = set()
    try:
        DIALECT.read(body, acquirer_id="banco", now=NOW)
    except Unreadable as unreadable:
        codes.add(unreadable.refusal.code)
    assert codes <= OF_THE_MESSAGE


FULL = IsoMessage(mti="0400", fields={**REVERSAL, 37: "ABC123      ", 48: "OB003o-1"})
OTHER = {
    2: "37000000015",
    3: "500100",
    4: "000002000001",
    41: "TERM02  ",
    42: "OTRA TIENDA    ",
    48: "OB003o-2",
    49: "840",
    90: "0201" + REVERSAL[90][4:],
}


@pytest.mark.parametrize("number", OTHER)
def test_the_digest_tells_every_business_field(number: int) -> None:
    """Another value, or none, is another request."""
    assert set(OTHER) == set(DIGEST_FIELDS)
    changed = FULL.with_fields({number: OTHER[number]})
    assert len({digest(FULL), digest(changed), digest(FULL.without_fields(number))}) == 3


@pytest.mark.parametrize(
    "fields",
    [{7: "1123163031"}, {11: "000010"}, {12: "000000"}, {13: "0101"}, {24: "004"}, {37: "Z" * 12}, {128: "00" * 8}],
    ids=str,
)
def test_the_digest_does_not_change_in_a_repeat(fields: dict[int, str]) -> None:
    """Times, numbers of the road and the MAC may differ, and so may the last digit of the MTI."""
    assert digest(FULL.with_fields(fields)) == digest(FULL)
    assert digest(IsoMessage(mti="0401", fields={**FULL.fields, **fields})) == digest(FULL)


def test_the_digest_tells_the_classes_apart() -> None:
    """A sale and its reversal with the same fields are two requests."""
    assert digest(IsoMessage(mti="0200", fields=RECHARGE)) != digest(IsoMessage(mti="0400", fields=RECHARGE))


def test_the_digest_cannot_be_confused_by_where_a_value_ends() -> None:
    """Text that looks like the next element is not the next element."""
    one = IsoMessage(mti="0200", fields={42: "a", 48: "b|49:3:170"})
    other = IsoMessage(mti="0200", fields={42: "a", 48: "b", 49: "170"})
    assert digest(one) != digest(other)


def test_the_registry_makes_the_dialects_that_can_be_configured() -> None:
    """The name in the configuration leads to the adapter."""
    assert isinstance(DIALECTS["datafono"](), DatafonoDialect)
