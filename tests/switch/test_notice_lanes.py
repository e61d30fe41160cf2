"""Store and forward in memory: one or two processes with links over pipes, a clock, and a ledger that goes by the table."""

from typing import Any

import pytest
from twisted.internet.error import ConnectionLost

from messages.iso_message import IsoMessage
from switch.notice_lanes import LEASE_MARGIN_SECONDS, NoticeLanes
from tests.switch import sale_bench
from tests.switch.fakes import HANG
from tests.switch.notice_bench import TIMEOUT_SECONDS, Ledger, Process, notices, seen
from tests.switch.sale_bench import recharge
from tests.switch.test_network_links import Pipe
from vending.notice_life import NoticeState
from vending.order import SalePost
from vending.ports import ModuleUnavailable
from vending.response_code import ResponseCode

ACCEPTED, WAITING, SENT, DEAD = NoticeState.ACCEPTED, NoticeState.WAITING, NoticeState.SENT, NoticeState.DEAD


def test_a_lane_goes_in_order_one_after_the_other_as_fast_as_the_network_answers() -> None:
    """Signed, first copies, each after the answer to the one before, without waiting for a round."""
    process = Process()
    process.add(3)
    pipe = process.begin()
    for number in (1, 2, 3):
        (notice,) = notices(pipe)
        assert (notice.mti, notice.text(11)) == ("0520", f"{number:06}")
        assert process.states[number - 1] is SENT
        process.reply(pipe, notice)
        process.clock.advance(0)
    assert process.states == [ACCEPTED] * 3
    assert notices(pipe) == []
    assert process.tries("accepted", code="00") == 3


def test_a_silent_host_gets_a_repeat_of_the_same_after_a_growing_wait() -> None:
    """0520, then 0521 with the same STAN; the second wait is twice the first; the next notice stays behind; the age shows."""
    process = Process()
    process.add(2)
    pipe = process.begin()
    left: list[tuple[float, str, str]] = []
    for _ in range(600):
        left += [(process.clock.seconds(), *each) for each in seen(pipe)]
        process.clock.advance(0.1)
    assert [each[1:] for each in left[:3]] == [("0520", "000001"), ("0521", "000001"), ("0521", "000001")]
    first, second = (left[at + 1][0] - left[at][0] - TIMEOUT_SECONDS for at in (0, 1))
    assert 4 <= first < 6.2
    assert 8 <= second < 10.2
    assert process.counted("saf_depth") == 2
    assert process.counted("saf_oldest_seconds") == pytest.approx(60, abs=2.2)
    assert process.lanes.rows()[0]["depth"] == 2


def test_a_link_that_is_lost_in_between_ends_the_try_at_once_and_the_next_link_carries_a_repeat() -> None:
    """Whether it arrived nobody knows; nothing is sent while there is no link."""
    process = Process()
    process.add()
    pipe = process.begin()
    assert seen(pipe) == [("0520", "000001")]
    pipe.end(ConnectionLost())
    assert process.states == [WAITING]
    assert process.tries("link_lost") == 1
    process.clock.pump([0.5] * 20)
    (question,) = [message for message in process.pipes[-1].asked() if message.mti == "0800"]
    assert process.states == [WAITING], "a connection that is not signed on is no way"
    process.pipes[-1].answer(question, "00")
    process.clock.pump([0.5] * 8)
    assert seen(process.pipes[-1]) == [("0521", "000001")]


def test_put_off_refused_and_already_known_are_three_things() -> None:
    """91 is asked again as a repeat, 94 is as good as an approval, 30 makes a dead letter and the next goes on."""
    process = Process()
    process.add(3)
    pipe = process.begin()
    process.reply(pipe, notices(pipe)[0], "91")
    assert process.states[0] is WAITING
    process.clock.pump([0.5] * 12)
    (again,) = notices(pipe)
    assert again.mti == "0521"
    process.reply(pipe, again, "94")
    process.clock.advance(0)
    process.reply(pipe, notices(pipe)[0], "30")
    process.clock.advance(0)
    assert process.states == [ACCEPTED, DEAD, SENT]
    assert process.counted("saf_died_total", reason="refused") == 1
    assert (
        process.tries("put_off", code="91")
        == process.tries("accepted", "0521", "94")
        == process.tries("refused", code="30")
        == 1
    )


def test_after_so_many_tries_it_is_a_dead_letter() -> None:
    """Endless retry is no service to anybody: the metric and the list of dead letters tell a person."""
    process = Process()
    process.add()
    pipe = process.begin()
    process.clock.pump([1.0] * 300)
    assert len(seen(pipe)) == 5
    assert process.states == [DEAD]
    assert process.counted("saf_died_total", reason="too_many_tries") == 1
    assert (
        process.counted("saf_depth"),
        process.counted("saf_dead_letters"),
        process.counted("saf_oldest_seconds"),
    ) == (0, 1, 0)


def test_an_answer_without_the_right_mac_is_no_answer() -> None:
    """Whoever can write on the line could otherwise swallow a notice, or kill it."""
    process = Process()
    process.add()
    pipe = process.begin()
    (notice,) = notices(pipe)
    for code in ("00", "30"):
        process.reply(pipe, notice, code, key="TERM0002")
    assert process.states == [SENT]
    assert process.tries("unproven", "0530", "00") == 1
    process.clock.advance(TIMEOUT_SECONDS)
    assert process.states == [WAITING]
    assert process.served == []


def test_a_late_answer_is_tied_to_its_notice_and_nothing_is_sent_again() -> None:
    """After the time-out and before the repeat; a second copy of it changes nothing, and none of them is served as a request."""
    process = Process()
    process.add()
    pipe = process.begin()
    (notice,) = notices(pipe)
    process.clock.advance(TIMEOUT_SECONDS)
    assert process.states == [WAITING]
    process.reply(pipe, notice)
    process.reply(pipe, notice)
    assert process.states == [ACCEPTED]
    process.clock.pump([1.0] * 60)
    assert notices(pipe) == []
    assert process.tries("late", "0530", "00") == 2
    assert process.served == []


def test_a_late_answer_may_come_over_another_link_or_while_the_repeat_waits() -> None:
    """It is the same message to the network, so its answer to the first copy ends the repeat's wait."""
    process = Process()
    process.add()
    pipe = process.begin()
    (first,) = notices(pipe)
    process.clock.pump([1.0] * 22)
    (repeat,) = notices(pipe)
    assert repeat.mti == "0521"
    process.reply(pipe, first)
    assert process.states == [ACCEPTED]


def test_without_a_module_nothing_leaves_and_the_next_is_no_repeat() -> None:
    """No MAC, no message: the network has certainly not seen it, and such tries do not count."""
    process = Process()
    process.add()
    process.module.signing.plan(*[ModuleUnavailable("away")] * 7)
    pipe = process.begin()
    process.clock.pump([1.0] * 60)
    assert seen(pipe)[:1] == [("0520", "000001")]
    assert process.tries("not_sent") == 7


def test_a_process_that_starts_again_sends_what_was_in_hand_as_a_repeat() -> None:
    """Killed between the mark and the answer; the other waits for the end of the lease and says that it may be a repeat."""
    killed = Process()
    killed.add()
    assert seen(killed.begin()) == [("0520", "000001")]
    other = Process(killed.ledger, holder="two")
    killed.ledger.now = other.now
    pipe = other.begin()
    other.clock.pump([1.0] * int(TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS - 2))
    assert notices(pipe) == []
    other.clock.pump([1.0] * 6)
    (repeat,) = notices(pipe)
    assert (repeat.mti, repeat.text(11), repeat.text(7)) == ("0521", "000001", "1123170000")
    other.reply(pipe, repeat)
    assert other.states == [ACCEPTED]


def test_a_process_that_was_slow_lets_nothing_leave_under_a_lease_that_may_be_over() -> None:
    """Its MAC took twenty seconds; soon the lane may be another's."""
    process = Process()
    process.add()
    process.module.signing.plan(HANG)
    pipe = process.begin()
    process.clock.advance(20)
    process.module.signing.release()
    assert process.tries("not_sent") == 1
    assert notices(pipe) == []


def test_while_the_ledger_is_away_nothing_is_sent_and_nothing_is_lost() -> None:
    """What a try came to cannot be told either: its lease ends, and it is sent again as a repeat."""
    process = Process()
    process.add()
    pipe = process.begin()
    (notice,) = notices(pipe)
    process.ledger.is_away = True
    process.reply(pipe, notice)
    process.clock.pump([1.0] * 60)
    assert notices(pipe) == []
    process.ledger.is_away = False
    process.clock.pump([1.0] * 4)
    assert seen(pipe) == [("0521", "000001")]


def test_a_drained_process_claims_nothing_more_and_tells_what_it_had_in_hand() -> None:
    """Its end makes no dead letter and loses no try."""
    process = Process()
    process.add(2)
    pipe = process.begin()
    (notice,) = notices(pipe)
    process.lanes.stop()
    ended: list[object] = []
    process.lanes.when_idle().addCallback(ended.append)
    assert not ended
    process.reply(pipe, notice)
    process.clock.pump([1.0] * 20)
    assert ended
    assert process.states == [ACCEPTED, WAITING]


def test_a_flood_of_late_answers_costs_a_bounded_number_of_macs() -> None:
    """More than a handful whose MACs wait are counted and forgotten."""
    process = Process()
    pipe = process.begin()
    process.module.verifying.plan(*[HANG] * 20)
    stranger = IsoMessage(mti="0520", fields={7: "1123170000", 11: "000077", 41: "TERM0001"})
    for _ in range(20):
        process.reply(pipe, stranger)
    assert len(process.module.verifying.held) == 8
    assert process.tries("ignored", "0530", "00") == 12


def test_only_who_is_known_is_told_over_a_connection_that_the_network_opened() -> None:
    """Signing on needs no MAC, so a connection is a way only after its MACs were right, and only where the network takes notices there."""
    process = Process(over_their_links=True)
    process.add()
    stranger = process.links.buildProtocol(None)
    assert stranger is not None
    pipe = Pipe("their-host", stranger, "datafono")
    stranger.makeConnection(pipe)
    process.lanes.start()
    context: Any = stranger._context
    context.is_signed_on = True
    process.clock.advance(2)
    assert notices(pipe) == []
    context.is_proven = True
    process.clock.advance(2)
    assert seen(pipe) == [("0520", "000001")]


def test_a_network_without_notices_costs_no_question_to_the_ledger() -> None:
    """Not one a round."""
    process = Process()
    asked = Ledger(process.now)
    lanes = NoticeLanes(
        step=asked, desks=dict, holder="one", interval_seconds=2.0, random=lambda: 1.0, metrics=process.metrics, reactor=process.clock,
        now=process.now,
    )  # fmt: skip
    asked.is_away = True
    lanes.start()
    process.clock.pump([1.0] * 10)
    assert lanes.rows() == []


# What a sale says of itself.

TOLD = {"notices": {"kinds": ["outcome"], "over_their_links": True}}


def posts(bench: sale_bench.Bench) -> list[bool]:
    """Whether each post tells the network."""
    return [item.is_told for item in bench.ledger.post.asked if isinstance(item, SalePost)]


def test_a_sale_in_time_tells_nobody_and_one_past_its_deadline_does() -> None:
    """The network has the answer of the first; of the second it got 09."""
    bench = sale_bench.Bench(**TOLD)
    assert bench.send(recharge()).code is ResponseCode.APPROVED
    bench.module.minting.plan(HANG)
    sent = bench.send(recharge(stan="000006"))
    bench.wait(sale_bench.DEADLINE_SECONDS + 0.5, 0.5)
    assert sent.code is ResponseCode.IN_PROGRESS
    bench.module.minting.release()
    assert posts(bench) == [False, True]


def test_a_network_that_does_not_want_it_is_not_told() -> None:
    """Also not of a sale past its deadline."""
    bench = sale_bench.Bench()
    bench.module.minting.plan(HANG)
    bench.send(recharge())
    bench.wait(sale_bench.DEADLINE_SECONDS + 0.5, 0.5)
    bench.module.minting.release()
    assert posts(bench) == [False]
    assert not bench.exchange.tells_outcome
