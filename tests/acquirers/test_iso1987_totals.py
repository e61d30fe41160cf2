"""Totals and cut-over in dialect ``datafono``: what the data elements of a request mean, and what is refused."""

from datetime import UTC, date, datetime

import pytest

from acquirers.calls import CutOverCall, TotalsCall
from acquirers.iso1987_requests import read_call
from acquirers.iso1987_totals import sums_as_fields
from messages.iso_message import IsoMessage
from vending.response_code import Refusal, ResponseCode
from vending.settlement import Sum, TheirTotals, settlement_day

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
"""Nine in the evening of the 23rd in Bogotá."""

FIELDS = {7: "1124020000", 11: "000012", 15: "1123", 41: "TERM0001"} | sums_as_fields(
    Sum(3, 4_500_000), Sum(1, 500_000)
)
KINDS = "RE0092;4000000PA0081;500000"


def read(fields: dict[int, str], mti: str = "0500") -> TotalsCall:
    """Read a request for totals."""
    call = read_call(IsoMessage(mti=mti, fields=fields), b"body", acquirer_id="banco", now=NOW)
    assert isinstance(call, TotalsCall)
    return call


def refused(fields: dict[int, str], mti: str = "0500") -> ResponseCode:
    """Read what cannot be read."""
    with pytest.raises(Refusal) as caught:
        read_call(IsoMessage(mti=mti, fields=fields), b"body", acquirer_id="banco", now=NOW)
    return caught.value.code


def test_terminal_totals_say_day_sums_and_kinds() -> None:
    """A 0500 is about its own terminal."""
    order = read(FIELDS | {48: KINDS}).order
    assert order.terminal_id == order.key.terminal_id == "TERM0001"
    assert order.settlement_date == date(2026, 11, 23)
    assert order.key.message_class == "0500"
    assert order.theirs == TheirTotals(
        sales=Sum(3, 4_500_000), reversed=Sum(1, 500_000), by_kind=(Sum(2, 4_000_000), Sum(1, 500_000))
    )


def test_network_totals_are_about_everybody_and_need_no_kinds() -> None:
    """A 0520 names who asks, and no terminal."""
    order = read(FIELDS, "0520").order
    assert order.terminal_id is None
    assert order.key.terminal_id == "TERM0001"
    assert order.theirs.by_kind is None


def test_a_repeat_has_the_same_key_and_digest_and_other_sums_another_digest() -> None:
    """The MTI's last digit is in neither."""
    first, repeat = read(FIELDS).order, read(FIELDS, "0501").order
    assert (first.key, first.digest) == (repeat.key, repeat.digest)
    assert read(FIELDS | sums_as_fields(Sum(3, 4_500_001), Sum(1, 500_000))).order.digest != first.digest


@pytest.mark.parametrize(
    "changes",
    [
        {74: "0000000001"},
        {86: "0000000000000001"},
        {97: "D0000000004500000"},
        {97: "C0000000004000000"},
        {48: "RE0092;4000000"},
        {48: "RE0092;4000000PA0081;500001"},
        {48: "RE0093;4000000PA0081;500000"},
        {48: "RE002-1PA0081;500000"},
        {15: "0230"},
        {15: "1332"},
    ],
)
def test_sums_that_contradict_each_other_are_refused(changes: dict[int, str]) -> None:
    """Before anything is compared with the books."""
    assert refused(FIELDS | changes) is ResponseCode.FORMAT_ERROR


@pytest.mark.parametrize("number", [7, 11, 15, 41, 76, 77, 88, 89])
def test_what_must_be_there_is_asked_for(number: int) -> None:
    """Element by element."""
    assert refused({each: value for each, value in FIELDS.items() if each != number}) is ResponseCode.FORMAT_ERROR


def test_a_cut_over_names_the_day_that_it_closes() -> None:
    """And a terminal, whose MAC it has."""
    message = IsoMessage(mti="0800", fields={11: "000011", 15: "1123", 41: "TERM0001", 70: "201"})
    call = read_call(message, b"body", acquirer_id="banco", now=NOW)
    assert isinstance(call, CutOverCall)
    assert (call.order.closing, call.terminal_id, call.order.acquirer_id) == (date(2026, 11, 23), "TERM0001", "banco")
    for number in (11, 15, 41):
        fields = {each: value for each, value in message.fields.items() if each != number}
        assert refused(fields, "0800") is ResponseCode.FORMAT_ERROR


@pytest.mark.parametrize(
    ("text", "now", "day"),
    [
        ("1231", datetime(2027, 1, 1, 12, tzinfo=UTC), date(2026, 12, 31)),
        ("0101", datetime(2026, 12, 31, 12, tzinfo=UTC), date(2027, 1, 1)),
        ("0101", datetime(2027, 1, 1, 4, tzinfo=UTC), date(2027, 1, 1)),
        ("0229", datetime(2026, 11, 23, 12, tzinfo=UTC), date(2028, 2, 29)),
    ],
)
def test_the_year_of_a_settlement_day_is_the_nearest(text: str, now: datetime, day: date) -> None:
    """Around the turn of the year, and on a day that few years have."""
    assert settlement_day(text, now) == day
