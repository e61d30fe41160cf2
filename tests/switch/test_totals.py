"""Totals and cut-over through one network's exchange in memory, and the closing of days by the clock."""

from collections.abc import Iterator, MutableMapping
from datetime import date, timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from twisted.internet.task import Clock

from acquirers.iso1987_totals import sums_as_fields
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from switch.batching import QueueFull
from switch.day_closer import DayCloser
from switch.log import Event
from switch.metrics import Metrics
from tests.switch.sale_bench import HANG, NOW, Bench, Fake, network, request
from vending.order import AnswerRecord, Conflict
from vending.ports import ModuleUnavailable
from vending.response_code import ResponseCode
from vending.settlement import (
    CloseDays,
    Compared,
    CutOver,
    CutOverOrder,
    DaysClosed,
    DayTotals,
    OurTotals,
    Sum,
    TotalsOrder,
)

Lines = list[MutableMapping[str, Any]]
DAY = date(2026, 11, 23)
SPEAKER = {"network_terminals": ("TERM0001",)}


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def totals(mti: str = "0500", sales: Sum = Sum()) -> IsoMessage:  # noqa: B008 - frozen
    return request(mti, {15: "1123", **sums_as_fields(sales, Sum())})


def cut_over() -> IsoMessage:
    return network("201").with_fields({15: "1123"})


def test_totals_that_agree_are_stored_before_the_answer_leaves() -> None:
    """Signed, with our sums, and counted."""
    bench = Bench()
    bench.ledger.post.plan(HANG)
    sent = bench.send(totals())
    assert not sent.is_answered
    bench.ledger.post.release()
    assert sent.code is ResponseCode.APPROVED
    assert sent.is_signed
    assert sent.message.mti == "0510"
    assert sent.message.text(15) == "1123"
    assert sent.message.text(97) == "D" + "0" * 16
    (order,) = bench.ledger.settle.asked
    assert isinstance(order, TotalsOrder)
    assert (order.terminal_id, order.settlement_date) == ("TERM0001", DAY)
    assert bench.ledger.postings == [AnswerRecord(key=order.key, code=ResponseCode.APPROVED, answer=sent.body)]
    assert bench.value("reconciliations_total", result="equal") == 1


def test_totals_that_differ_are_told_ours_and_the_difference() -> None:
    """By kind, with what is still open; the answer is final and stored."""
    bench = Bench()
    ours = OurTotals(totals=DayTotals(recharges=Sum(2, 300), payments=Sum(1, 50)), open=Sum(1, 70))
    bench.ledger.settle.plan(Compared(code=ResponseCode.TOTALS_DIFFER, ours=ours))
    sent = bench.send(totals(sales=Sum(4, 400)))
    assert sent.code is ResponseCode.TOTALS_DIFFER
    lines = parse_sub_elements(sent.message.text(48))
    assert {line.tag: line.value for line in lines} == {
        "RE": "2;300",
        "PA": "1;50",
        "OP": "1;70",
        "DF": "-1;-50",
        "DR": "0;0",
    }
    assert (sent.message.number(76), sent.message.number(88)) == (3, 350)
    (stored,) = bench.ledger.postings
    assert isinstance(stored, AnswerRecord)
    assert stored.code is ResponseCode.TOTALS_DIFFER
    assert bench.value("reconciliations_total", result="differs") == 1


def test_a_repeat_gets_the_first_answer() -> None:
    """Octet for octet, whether the first is stored or still on its way."""
    bench = Bench()
    bench.ledger.settle.plan(HANG)
    first, repeat = bench.send(totals()), bench.send(totals("0501"))
    bench.ledger.settle.release()
    assert first.body == repeat.body == bench.send(totals("0501")).body
    assert len(bench.ledger.settle.asked) == 2


def test_only_a_terminal_that_speaks_for_its_network_asks_for_everybody() -> None:
    """The others are told so, signed, and nothing is read."""
    bench = Bench()
    for message in (totals("0520"), cut_over()):
        sent = bench.send(message)
        assert (sent.code, sent.is_signed) == (ResponseCode.TERMINAL_BLOCKED, True)
    assert bench.ledger.settle.asked == []
    speaking = Bench(**SPEAKER)
    assert speaking.send(totals("0520")).code is ResponseCode.APPROVED
    assert speaking.ledger.settle.asked[0].terminal_id is None


def test_a_cut_over_is_signed_and_told_once(lines: Lines) -> None:
    """The log says when the day moved, and not for the repeat of it."""
    bench = Bench(**SPEAKER)
    sent = bench.send(cut_over())
    bench.ledger.settle.plan(CutOver(code=ResponseCode.APPROVED, is_moved=False))
    again = bench.send(cut_over())
    assert (sent.code, sent.is_signed, sent.message.text(15)) == (ResponseCode.APPROVED, True, "1123")
    assert sent.body == again.body
    assert bench.ledger.settle.asked[0] == CutOverOrder(
        acquirer_id="banco", terminal_id="TERM0001", closing=DAY, received_at=NOW
    )
    assert [line["settlement_date"] for line in lines if line["event"] == Event.DAY_CUT_OVER] == ["2026-11-23"]


def test_a_cut_over_without_a_mac_moves_nothing() -> None:
    """Whoever can write on the line could move the day otherwise."""
    bench = Bench(**SPEAKER)
    bench.module.verifying.plan(ModuleUnavailable("no link"))
    assert bench.send(cut_over()).code is ResponseCode.MODULE_UNAVAILABLE
    assert bench.ledger.settle.asked == []


@pytest.mark.parametrize("code", [ResponseCode.FORMAT_ERROR, ResponseCode.TERMINAL_UNKNOWN])
def test_a_cut_over_that_the_ledger_refuses_is_refused(code: ResponseCode) -> None:
    """With its code."""
    bench = Bench(**SPEAKER)
    bench.ledger.settle.plan(CutOver(code=code))
    assert bench.send(cut_over()).code is code


@pytest.mark.parametrize(
    ("failure", "first", "repeat"),
    [
        (QueueFull(), ResponseCode.OVERLOADED, ResponseCode.IN_PROGRESS),
        (LedgerUnavailable("gone"), ResponseCode.LEDGER_UNAVAILABLE, ResponseCode.IN_PROGRESS),
        (LedgerOutcomeUnknown("gone"), ResponseCode.IN_PROGRESS, ResponseCode.IN_PROGRESS),
        (Conflict(), ResponseCode.DUPLICATE_CONFLICT, ResponseCode.DUPLICATE_CONFLICT),
    ],
)
def test_what_the_ledger_cannot_do_is_said(failure: Any, first: ResponseCode, repeat: ResponseCode) -> None:
    """A repeat is never told that nothing happened."""
    for mti, code in (("0500", first), ("0501", repeat)):
        bench = Bench()
        bench.ledger.settle.plan(failure)
        assert bench.send(totals(mti)).code is code
        assert bench.ledger.postings == []


def test_an_answer_that_cannot_be_signed_is_not_final() -> None:
    """And nothing is stored."""
    bench = Bench()
    bench.module.signing.plan(ModuleUnavailable("no link"))
    assert bench.send(totals()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []


def test_days_are_closed_again_and_again_and_the_lag_is_shown(lines: Lines) -> None:
    """A failure is logged, and the next look is made all the same."""
    clock, registry = Clock(), CollectorRegistry()
    plan: list[DaysClosed | Exception] = [
        DaysClosed(closed=(("banco", DAY - timedelta(days=2)),), left=(("banco", DAY - timedelta(days=1)),)),
        LedgerUnavailable("gone"),
        DaysClosed(closed=(), left=()),
    ]
    settle: Fake[Any, Any] = Fake("settle", [], lambda _item: plan.pop(0))
    closer = DayCloser(settle=settle, interval_seconds=60.0, metrics=Metrics(registry), reactor=clock, now=lambda: NOW)
    closer.start()
    assert settle.asked == [CloseDays(at=NOW)]
    # Half past eleven in the morning: the 22nd ended at midnight.
    assert registry.get_sample_value("eudora_cut_over_lag_seconds") == 11 * 3600 + 30 * 60 + 35
    clock.advance(60.0)
    clock.advance(60.0)
    closer.stop()
    clock.advance(60.0)
    assert len(settle.asked) == 3
    assert registry.get_sample_value("eudora_cut_over_lag_seconds") == 0
    assert [line["event"] for line in lines] == [Event.DAY_CLOSED, Event.DAY_CLOSE_FAILED]


def test_the_first_value_of_a_difference_is_ours_less_theirs() -> None:
    """A sale that the terminal lacks counts up."""
    bench = Bench()
    bench.ledger.settle.plan(
        Compared(code=ResponseCode.TOTALS_DIFFER, ours=OurTotals(totals=DayTotals(recharges=Sum(1, 100))))
    )
    assert first_value(parse_sub_elements(bench.send(totals()).message.text(48)), "DF") == "1;100"
