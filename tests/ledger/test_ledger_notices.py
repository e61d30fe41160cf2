"""Notices on a real database: what writes them, whose turn it is, and what a process that dies leaves behind."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from ledger import adjustments
from ledger.notice_desk import NoticeRefused, drop, read_notices, retry
from ledger.notice_lanes import _look, _take_late, run_notice_items
from ledger.settlement_file import SettlementDiffers, write_settlement_file
from ledger.undelivered import write_undelivered
from tests.ledger.books import NOW, Books, post_of, void_of
from tests.ledger.test_ledger_adjustments import propose
from tests.ledger.test_ledger_settlement import MIDNIGHT, TODAY, close
from vending.adjustment import AdjustmentKind
from vending.money import Centavos, Tenths
from vending.notice import (
    AdjustmentFacts,
    Lane,
    LaneRound,
    LateAnswer,
    Notice,
    NoticeMoved,
    OutcomeFacts,
    RoundDone,
    SettlementFacts,
    TellOutcome,
    TryEnded,
)
from vending.notice_life import NoticeEvent, NoticeState, next_state
from vending.order import OrderKind, UndeliveredAnswer
from vending.response_code import ResponseCode
from vending.service import Service
from vending.settlement import Sum

SOON = timedelta(seconds=60)


def lane(network: str = "banco", **changes: Any) -> Lane:
    """A lane with a link that is up."""
    plain = Lane(acquirer_id=network, is_sendable=True, age_seconds_max=86_400, tries_max=5, lease_seconds=30)
    return replace(plain, **changes)


def look(books: Books, *lanes: Lane, holder: str = "one", seconds: float = 0) -> RoundDone:
    """One round of a process, so many seconds after noon."""
    order = LaneRound(at=NOW + timedelta(seconds=seconds), holder=holder, lanes=lanes or (lane(),))
    (done,) = run_notice_items(books.engine, [order])
    assert isinstance(done, RoundDone)
    return done


def claim(books: Books, **how: Any) -> Notice:
    """The notice that a process gets to send."""
    (notice,) = look(books, **how).claimed
    return notice


def end(
    books: Books, notice: Notice, event: NoticeEvent, *, holder: str = "one", code: str | None = None, wait: float = 0
) -> Any:
    """A try of *notice* ended; where it goes on it does after *wait* seconds."""
    ended = TryEnded(
        notice_id=notice.notice_id, acquirer_id=notice.acquirer_id, claims=notice.claims, holder=holder,
        event=event, code=code, at=NOW, due_at=NOW + timedelta(seconds=wait),
    )  # fmt: skip
    (moved,) = run_notice_items(books.engine, [ended])
    assert isinstance(moved, NoticeMoved)
    return moved.state


def add(books: Books, count: int = 1, network: str = "banco", at: Any = NOW) -> None:
    """Notices that waited since *at*; what they say does not matter here."""
    for number in range(count):
        books.execute(
            "INSERT INTO network_notice (acquirer_code, kind, subject, facts, created_at, counted_from, due_at) VALUES (:network, 'settlement',"
            " 'day ' || (SELECT count(*) FROM network_notice), CAST(:facts AS jsonb), :at, :at, :at)",
            network=network,
            facts='{"terminal": "T0000001", "day": "2026-08-14", "file": "f", "sha256": "00", "sales": [1, 2], "reversals": [0, 0],'
            f' "commission": {number}, "tax": 0}}',
            at=at,
        )


# What writes them.


def test_a_sale_is_told_in_the_transaction_that_ends_it_and_only_once(books: Books) -> None:
    """Posted and void alike, with what the network knows the sale by; a sale that nobody asked to be told of is not, and no PIN is there."""
    told, void, plain = (books.reserve_one(books.order(meter)) for meter in (1, 2, 6))
    books.post(replace(post_of(told), is_told=True), replace(void_of(void), is_told=True), post_of(plain))
    books.post(replace(post_of(told), is_told=True))
    assert books.value("SELECT count(*) FROM network_notice") == 2
    # Posted at the database's own time, and this test is on another day.
    books.execute("UPDATE network_notice SET due_at = :at, counted_from = :at", at=NOW)
    first = claim(books)
    assert isinstance(first.facts, OutcomeFacts)
    assert (first.facts.code, first.facts.sale.key) == (ResponseCode.APPROVED, told.key)
    sale = first.facts.sale
    assert (sale.sale_id, sale.kind, sale.service) == (told.sale_id, OrderKind.RECHARGE, Service.ENERGY)
    assert (sale.meter_number, sale.paid_centavos, sale.rrn) == ("00000000001", 2_000_000, told.rrn)
    end(books, first, NoticeEvent.ACCEPTED)
    second = claim(books).facts
    assert isinstance(second, OutcomeFacts)
    assert second.code is ResponseCode.MODULE_REFUSED
    assert str(told.sale_id).rjust(18, "0") not in books.value("SELECT string_agg(facts::text, '') FROM network_notice")


def test_what_rolls_back_tells_nobody(books: Books) -> None:
    """A notice of a sale that was not posted would be a lie."""
    sale = books.reserve_one(books.order())
    books.execute("ALTER TABLE network_notice ADD CONSTRAINT never CHECK (kind <> 'outcome') NOT VALID")
    with pytest.raises(IntegrityError):
        books.post(replace(post_of(sale), is_told=True))
    assert books.value("SELECT state FROM sale WHERE id = :id", id=sale.sale_id) == "reserved"


def test_an_answer_that_did_not_leave_is_told_of_where_the_sale_has_an_outcome(books: Books) -> None:
    """Of three undelivered answers one is of a sale of a network that wants it; the open sale is told when it ends."""
    wanted, unwanted = books.sell(books.order(1)), books.sell(books.order(6))
    still_open = books.reserve_one(books.order(7))
    lost = [
        UndeliveredAnswer(key=sale.key, reason="peer_lost", noticed_at=NOW, is_told=sale is not unwanted)
        for sale in (wanted, unwanted, still_open)
    ]
    write_undelivered(books.engine, lost)
    write_undelivered(books.engine, lost[:1])
    assert books.row("SELECT count(*), min(subject) FROM network_notice") == (1, f"sale {wanted.sale_id}")
    run_notice_items(books.engine, [TellOutcome(key=sale.key, at=NOW) for sale in (wanted, unwanted)])
    assert books.value("SELECT count(*) FROM network_notice") == 2


def test_a_file_that_is_delivered_is_told_of_with_its_digest(books: Books, tmp_path: Path) -> None:
    """Written again it is not told again; a file that cannot be made is not told of."""
    books.sell(books.order(1, 2_000_000))
    close(books, MIDNIGHT)
    told: dict[str, Any] = {"is_delivery": True, "told_to": "T0000001"}
    made = write_settlement_file(books.engine, "banco", TODAY, tmp_path, MIDNIGHT, **told)
    write_settlement_file(books.engine, "banco", TODAY, tmp_path, MIDNIGHT, **told)
    facts = claim(books, seconds=86_400).facts
    assert isinstance(facts, SettlementFacts)
    assert (facts.day, facts.file_id, facts.sha256) == (TODAY, "banco-20260814-v1", made.sha256)
    assert (facts.sales, facts.reversals, facts.terminal_id) == (Sum(1, 2_000_000), Sum(), "T0000001")
    assert books.value("SELECT count(*) FROM network_notice") == 1
    books.execute("UPDATE day_total SET sales = sales + 1")
    books.execute("DELETE FROM network_notice")
    with pytest.raises(SettlementDiffers):
        write_settlement_file(books.engine, "banco", TODAY, tmp_path, MIDNIGHT, told_to="T0000001")
    assert books.value("SELECT count(*) FROM network_notice") == 0


def test_an_adjustment_of_a_sale_is_told_to_its_network_when_it_is_approved(books: Books) -> None:
    """Not when it is proposed, not to another network, and not to one that does not want it."""
    sale = books.sell(books.order())
    refund = {"sale_id": sale.sale_id, "amount_centavos": Centavos(300_000), "units_tenths": Tenths(0)}
    one, two = (propose(books, AdjustmentKind.REFUND, **refund) for _ in range(2))
    assert books.value("SELECT count(*) FROM network_notice") == 0
    adjustments.approve(books.engine, one.adjustment_id, "luz", NOW, told={"parado"})
    assert books.value("SELECT count(*) FROM network_notice") == 0
    adjustments.approve(books.engine, two.adjustment_id, "luz", NOW, told={"parado", "banco"})
    facts = claim(books).facts
    assert isinstance(facts, AdjustmentFacts)
    assert (facts.adjustment_id, facts.adjustment_kind) == (two.adjustment_id, "refund")
    assert (facts.amount_centavos, facts.units_tenths, facts.sale.key) == (300_000, 0, sale.key)


# Whose turn it is.


def test_a_lane_goes_in_order_and_a_stuck_one_holds_up_nobody(books: Books) -> None:
    """The head of one lane is waited for; the other lane empties meanwhile; each of its notices leaves once and in order."""
    add(books, 2, "parado")
    add(books, 3)
    lanes = (lane(), lane("parado"))
    first = {notice.acquirer_id: notice for notice in look(books, *lanes).claimed}
    assert sorted(first) == ["banco", "parado"]
    seen = [first["banco"]]
    while True:
        end(books, seen[-1], NoticeEvent.ACCEPTED)
        claimed = look(books, *lanes).claimed
        if not claimed:
            break
        seen += claimed
    assert [notice.acquirer_id for notice in seen] == ["banco"] * 3
    assert [notice.notice_id for notice in seen] == sorted(notice.notice_id for notice in seen)
    assert [notice.is_repeat for notice in seen] == [False] * 3
    (status,) = look(books, *lanes).lanes
    assert (status.acquirer_id, status.depth, status.oldest_at, status.dead) == ("parado", 2, NOW, 0)


def test_a_try_without_an_answer_waits_and_comes_again_as_a_repeat_of_the_same(books: Books) -> None:
    """STAN and time stay, the rest of the lane waits behind it, and nothing is sent before it is due."""
    add(books, 2)
    one = claim(books)
    assert not one.is_repeat
    assert end(books, one, NoticeEvent.UNANSWERED, wait=10) is NoticeState.WAITING
    assert look(books, seconds=9).claimed == ()
    two = claim(books, seconds=11)
    assert two.is_repeat
    assert (two.notice_id, two.stan, two.transmitted_at) == (one.notice_id, one.stan, one.transmitted_at)
    assert two.claims == one.claims + 1


def test_what_certainly_did_not_leave_is_no_repeat_and_no_try(books: Books) -> None:
    """A lost module must not make dead letters, and a network must not look for a first copy that never was."""
    add(books)
    for _ in range(9):
        end(books, claim(books), NoticeEvent.NOT_SENT)
    assert not claim(books).is_repeat
    assert books.row("SELECT tries, claims FROM network_notice") == (1, 10)


def test_what_a_dead_process_had_in_hand_is_sent_by_another_as_a_repeat(books: Books) -> None:
    """Killed between the mark and the answer: for the length of the lease nobody sends; then another does, as a repeat."""
    add(books, 2)
    one = claim(books, holder="one")
    two_lanes = lane(lease_seconds=0.3)
    assert look(books, holder="two").claimed == ()
    books.execute("UPDATE notice_lane SET held_until = now() + interval '300 milliseconds'")
    assert look(books, two_lanes, holder="two").claimed == ()
    time.sleep(0.35)
    (again,) = look(books, two_lanes, holder="two").claimed
    assert again.is_repeat
    assert (again.notice_id, again.stan) == (one.notice_id, one.stan)
    assert end(books, one, NoticeEvent.UNANSWERED) is None, "the first was only slow: it changes nothing any more"
    assert look(books, holder="three").claimed == (), "and it does not free the other's lane"
    assert end(books, one, NoticeEvent.ACCEPTED) is NoticeState.ACCEPTED, "but the answer it got counts"


def test_two_processes_look_at_one_moment_and_one_of_them_sends(books: Books) -> None:
    """While one is in its transaction the other finds the lane locked and goes on without waiting."""
    add(books)
    look(books, lane(is_sendable=False))
    with books.engine.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM notice_lane FOR UPDATE")
        started = time.monotonic()
        assert look(books, holder="two").claimed == ()
        assert time.monotonic() - started < 2
    assert len(look(books, holder="two").claimed) == 1


def test_nothing_is_claimed_where_it_cannot_be_sent(books: Books) -> None:
    """Without a link a notice stays as it is: no try, no repeat."""
    add(books)
    assert look(books, lane(is_sendable=False)).claimed == ()
    assert books.row("SELECT state, tries FROM network_notice") == ("waiting", 0)


# Its end.


def test_too_many_tries_or_too_much_age_make_a_dead_letter_and_the_next_goes_on(books: Books) -> None:
    """Also without a link: a network that is gone for days fills the list of dead letters, which somebody looks at."""
    add(books, 2)
    tried = [claim(books)]
    end(books, tried[-1], NoticeEvent.LINK_LOST)
    while len(tried) < 5:
        tried.append(claim(books))
        end(books, tried[-1], NoticeEvent.LINK_LOST)
    head = tried[0]
    assert {each.notice_id for each in tried} == {head.notice_id}
    done = look(books)
    assert [(letter.notice_id, letter.reason) for letter in done.expired] == [(head.notice_id, "too_many_tries")]
    assert done.claimed[0].notice_id > head.notice_id
    end(books, done.claimed[0], NoticeEvent.PUT_OFF, code="91")
    old = look(books, lane(is_sendable=False), seconds=86_401)
    assert [letter.reason for letter in old.expired] == ["too_old"]
    assert [(status.depth, status.dead) for status in old.lanes] == [(0, 2)]


def test_a_refusal_is_a_dead_letter_with_its_code(books: Books) -> None:
    """Sending the same again would get the same."""
    add(books)
    assert end(books, claim(books), NoticeEvent.REFUSED, code="30") is NoticeState.DEAD
    (row,) = read_notices(books.engine, states=(NoticeState.DEAD,))
    assert (row.code, row.reason, row.tries) == ("30", "refused", 1)


def test_a_person_retries_and_drops_and_it_stands_in_the_row(books: Books) -> None:
    """A retried letter is a repeat with the limits counted anew; a dropped one is kept and never sent."""
    add(books, 2)
    one = claim(books)
    end(books, one, NoticeEvent.REFUSED, code="30")
    row = retry(books.engine, one.notice_id, user="ana", why="su servidor ya responde", at=NOW + SOON)
    assert (row.state, row.action, row.ordered_by, row.why) == ("waiting", "retry", "ana", "su servidor ya responde")
    with pytest.raises(NoticeRefused, match="cannot be retried"):
        retry(books.engine, one.notice_id, user="ana", why="otra vez", at=NOW)
    again = claim(books, seconds=60)
    assert again.is_repeat
    assert again.stan == one.stan
    end(books, again, NoticeEvent.ACCEPTED)
    (other,) = read_notices(books.engine, network_id="banco", states=(NoticeState.WAITING,))
    row = drop(books.engine, other.id, user="luz", why="ya lo tienen por correo", at=NOW + SOON)
    assert (row.state, row.action, row.ordered_by) == ("dropped", "drop", "luz")
    assert look(books, seconds=99).claimed == ()
    for number in (one.notice_id, other.id, 99):
        with pytest.raises(NoticeRefused):
            drop(books.engine, number, user="ana", why="x", at=NOW)
    assert books.value("SELECT count(*) FROM network_notice") == 2


def test_a_late_answer_is_tied_to_its_notice(books: Books) -> None:
    """By STAN and time of its first try: waiting, sent again or dead, it is accepted; what nobody knows changes nothing."""
    add(books)
    notice = claim(books)
    end(books, notice, NoticeEvent.UNANSWERED, wait=600)
    late = LateAnswer(
        acquirer_id="banco", stan=notice.stan, transmitted_at=notice.transmitted_at, event=NoticeEvent.PUT_OFF, code="91", at=NOW
    )  # fmt: skip
    strange = replace(late, stan="999998")
    accepted = replace(late, event=NoticeEvent.ACCEPTED, code="00")
    moved = run_notice_items(books.engine, [strange, late, accepted, accepted])
    assert moved == [
        NoticeMoved(notice_id=None, state=None),
        NoticeMoved(notice_id=notice.notice_id, state=None),
        NoticeMoved(notice_id=notice.notice_id, state=NoticeState.ACCEPTED),
        NoticeMoved(notice_id=notice.notice_id, state=None),
    ]


@given(
    events=st.lists(st.sampled_from([event for event in NoticeEvent if event is not NoticeEvent.EXPIRED]), max_size=8)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_goes_by_the_table(books: Books, events: list[NoticeEvent]) -> None:
    """Whatever happens in whatever order, the row stands where the table says."""
    books.execute("DELETE FROM network_notice")
    books.execute("DELETE FROM notice_lane")
    add(books)
    expected, notice = NoticeState.WAITING, None
    for event in events:
        if event is NoticeEvent.CLAIMED:
            books.execute("UPDATE notice_lane SET held_until = '-infinity'")
            claimed = look(books, lane(tries_max=100)).claimed
            assert bool(claimed) == (next_state(expected, event) is not None)
            notice = claimed[0] if claimed else notice
        elif event in (NoticeEvent.RETRIED, NoticeEvent.DROPPED):
            number = books.value("SELECT id FROM network_notice")
            order = retry if event is NoticeEvent.RETRIED else drop
            if next_state(expected, event) is None:
                with pytest.raises(NoticeRefused):
                    order(books.engine, number, user="ana", why="x", at=NOW)
            else:
                order(books.engine, number, user="ana", why="x", at=NOW)
        elif notice is None:
            continue
        else:
            end(books, notice, event)
        expected = next_state(expected, event) or expected
        assert books.value("SELECT state FROM network_notice") == expected.value


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_a_round_reads_what_is_open_however_many_are_over(books: Books, is_analyzed: bool) -> None:
    """Notices are kept for ever: each statement of a round and of a late answer goes by an index that has only what it needs."""
    books.execute(
        "INSERT INTO network_notice (acquirer_code, kind, subject, facts, state, created_at, counted_from, due_at, ended_at, stan,"
        " transmitted_at) SELECT 'banco', 'outcome', 'sale ' || n, '{}', 'accepted', now(), now(), now(), now(), lpad(n::text, 6, '0'), now()"
        " FROM generate_series(1, 20000) AS n"
    )
    add(books, 3)
    if is_analyzed:
        with books.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE network_notice")
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'network_notice'"
    with books.engine.connect() as connection:
        before = connection.exec_driver_sql(read).scalar_one()
        order = LaneRound(at=NOW, holder="one", lanes=(lane(),))
        done = _look(connection, order)
        (notice,) = done.claimed
        answer = LateAnswer(
            acquirer_id="banco", stan=notice.stan, transmitted_at=notice.transmitted_at, event=NoticeEvent.ACCEPTED, code="00", at=NOW
        )  # fmt: skip
        assert _take_late(connection, answer).state is NoticeState.ACCEPTED
        assert 0 < connection.exec_driver_sql(read).scalar_one() - before < 200
