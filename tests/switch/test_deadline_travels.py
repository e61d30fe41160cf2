"""Work that can no longer be answered in time starts nothing new, and the repeat takes up what was left."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from twisted.internet.defer import ensureDeferred

from switch.batching import TooLate
from switch.stages import Stages
from tests.switch.sale_bench import DEADLINE_SECONDS, HANG, Bench, inquiry, recharge
from vending.order import Busy, Declined, Posted
from vending.ports import ModuleOutcomeUnknown
from vending.response_code import ResponseCode


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def _left_out(bench: Bench, stage: str) -> float:
    return bench.value("stages_left_out_total", stage=stage)


def test_every_step_before_a_commit_is_told_the_deadline() -> None:
    """Queues of the ledger get the moment, the module what is left of the time."""
    bench = Bench()
    bench.clock.advance(100)
    bench.ledger.reserve.plan(HANG)
    bench.send(recharge())
    assert bench.ledger.reserve.deadlines == [100 + DEADLINE_SECONDS]
    assert bench.module.verify_timeouts == [DEADLINE_SECONDS]
    bench.wait(5)
    bench.ledger.reserve.release()
    (left,) = bench.module.mint_timeouts
    assert left == pytest.approx(DEADLINE_SECONDS - 5)
    bench.send(inquiry())
    assert bench.ledger.inquire.deadlines == [pytest.approx(105 + DEADLINE_SECONDS)]


def test_what_is_reserved_too_late_is_not_minted_and_its_repeat_takes_it_up() -> None:
    """The late sale stays reserved; the repeat asks the module at once, and posts with the answer that the first would have got."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    first = bench.send(recharge())
    bench.wait(DEADLINE_SECONDS + 0.1)
    assert first.code is ResponseCode.IN_PROGRESS
    bench.ledger.reserve.release()
    assert bench.module.minting.asked == []
    assert _left_out(bench, "mint") == 1
    assert len(bench.in_flight) == 0
    again = bench.send(recharge("0201"))
    assert again.code is ResponseCode.APPROVED
    assert again.is_signed
    assert len(bench.module.minting.asked) == len(bench.ledger.postings) == 1
    assert bench.send(recharge("0201")).body == again.body
    assert len(bench.ledger.sales) == 1


def test_what_no_batch_took_in_time_costs_nothing() -> None:
    """The order was in no batch: nothing is reserved, and the repeat, which finds nothing, sells."""
    bench = Bench()
    bench.ledger.reserve.plan(TooLate())
    assert bench.send(recharge()).code is ResponseCode.OVERLOADED
    assert bench.ledger.sales == {}
    bench.ledger.reserve.plan(TooLate())
    assert bench.send(recharge("0201")).code is ResponseCode.IN_PROGRESS
    assert bench.send(recharge("0201")).code is ResponseCode.APPROVED
    bench.ledger.inquire.plan(TooLate())
    assert bench.send(inquiry()).code is ResponseCode.OVERLOADED


def test_who_waited_too_long_for_a_meter_asks_the_ledger_for_nothing() -> None:
    """The second sale's turn comes after its deadline; the third, younger one is sold."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    bench.send(recharge(stan="000001"))
    second = bench.send(recharge(stan="000002"))
    bench.wait(6)
    third = bench.send(recharge(stan="000003"))
    bench.wait(DEADLINE_SECONDS - 5.9)
    assert second.code is ResponseCode.IN_PROGRESS
    bench.module.minting.release()
    assert third.code is ResponseCode.APPROVED
    assert [order.key.stan for order in bench.ledger.reserve.asked] == ["000001", "000003"]
    assert _left_out(bench, "meter_queue") == 1


def test_a_meter_held_elsewhere_is_not_asked_for_past_the_deadline() -> None:
    """Who queued here first has less time left to wait for another process."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    bench.send(recharge(stan="000001"))
    bench.send(recharge(stan="000002"))
    bench.ledger.reserve.plan(*[Busy(meter_id=7)] * 500)
    bench.wait(DEADLINE_SECONDS - 2)
    bench.module.minting.release()
    bench.wait(1.9)
    asked = len(bench.ledger.reserve.asked)
    assert asked > 20
    bench.wait(4)
    assert len(bench.ledger.reserve.asked) <= asked + 4
    assert _left_out(bench, "reserve") == 1


def test_a_decline_found_too_late_is_left_for_the_repeat() -> None:
    """It stands in the journal; the repeat has it signed and stored."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG, Declined(code=ResponseCode.METER_UNKNOWN))
    bench.send(recharge())
    bench.wait(DEADLINE_SECONDS + 0.1)
    signed = len(bench.module.signing.asked)
    bench.ledger.reserve.release(Declined(code=ResponseCode.METER_UNKNOWN))
    assert len(bench.module.signing.asked) == signed
    assert _left_out(bench, "decline") == 1
    assert bench.send(recharge("0201")).code is ResponseCode.METER_UNKNOWN


def test_a_repeat_does_not_queue_behind_those_who_wait_for_its_own_sale() -> None:
    """A sale without an outcome holds its meter; a second one waits for it; the repeat of the first passes, and both are sold."""
    bench = Bench()
    bench.module.minting.plan(ModuleOutcomeUnknown("no reply"))
    assert bench.send(recharge(stan="000001")).code is ResponseCode.IN_PROGRESS
    bench.ledger.reserve.plan(Busy(meter_id=7))
    second = bench.send(recharge(stan="000002"))
    assert not second.is_answered
    again = bench.send(recharge("0201", stan="000001"))
    assert again.code is ResponseCode.APPROVED
    bench.wait(0.1)
    assert second.code is ResponseCode.APPROVED
    assert len(bench.ledger.sales) == len(bench.ledger.postings) == 2


def test_a_repeat_that_takes_a_sale_up_beside_somebody_else_gets_what_was_posted_first() -> None:
    """The resolver of another process may be at it too: minting by the id is the same, and the first post counts."""
    bench, other = Bench(), Bench()
    bench.module.minting.plan(ModuleOutcomeUnknown("no reply"))
    bench.send(recharge())
    theirs = other.send(recharge()).body
    bench.ledger.post.plan(Posted(answer=theirs, code=ResponseCode.APPROVED))
    assert bench.send(recharge("0201")).body == theirs


def test_a_sale_that_ends_while_its_repeat_looks_for_it_is_answered_from_the_journal() -> None:
    """Unresolved a moment ago, posted now."""
    bench = Bench()
    bench.module.minting.plan(ModuleOutcomeUnknown("no reply"))
    bench.send(recharge())
    bench.ledger.find_unresolved.plan(HANG)
    again = bench.send(recharge("0201"))
    (sale,) = bench.ledger.sales.values()
    assert not again.is_answered
    ensureDeferred(
        bench.recharge.complete(recharge(), sale, Stages(bench.metrics.acquirer("banco"), bench.clock.seconds))
    )
    bench.ledger.find_unresolved.release()
    assert again.code is ResponseCode.APPROVED
    assert again.body == bench.ledger.answers[sale.key].answer
    assert len(bench.ledger.postings) == 1


def test_a_repeat_waits_for_the_resolver_that_is_at_it() -> None:
    """Inside one process nobody does the work twice."""
    bench = Bench()
    bench.module.minting.plan(ModuleOutcomeUnknown("no reply"), HANG)
    bench.send(recharge())
    (sale,) = bench.ledger.sales.values()
    stages = Stages(bench.metrics.acquirer("banco"), bench.clock.seconds)
    resolved = ensureDeferred(bench.recharge.resolve(sale, stages))
    again = bench.send(recharge("0201"))
    assert not again.is_answered
    bench.module.minting.release()
    assert resolved.called
    assert again.code is ResponseCode.APPROVED
    assert len(bench.module.minting.asked) == 2
    assert len(bench.ledger.postings) == 1


def test_work_without_a_deadline_is_never_too_late() -> None:
    """The resolver's work has all the time that the module's client gives it."""
    bench = Bench()
    stages = Stages(bench.metrics.acquirer("banco"), bench.clock.seconds)
    bench.clock.advance(1e9)
    assert stages.left_seconds is None
    assert not stages.is_too_late("mint")
