"""The table of a notice's life, line by line and in any order."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vending.notice_life import OPEN, TABLE, NoticeEvent, NoticeState, next_state, render_markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "store-and-forward.md"


def test_no_two_lines_begin_alike() -> None:
    """What happens next never depends on the order of the lines."""
    assert len({(step.before, step.event) for step in TABLE}) == len(TABLE)


def test_every_state_is_reached_and_every_open_one_has_a_way_out() -> None:
    """Nothing waits for ever without a person being able to end it, and a dead letter is not the end."""
    assert {step.after for step in TABLE} == set(NoticeState)
    for state in (*OPEN, NoticeState.DEAD):
        assert next_state(state, NoticeEvent.DROPPED) is NoticeState.DROPPED
    for state in OPEN:
        assert next_state(state, NoticeEvent.EXPIRED) is NoticeState.DEAD
    assert next_state(NoticeState.DEAD, NoticeEvent.RETRIED) is NoticeState.WAITING


@given(events=st.lists(st.sampled_from(list(NoticeEvent)), max_size=40))
def test_whatever_happens_only_an_answer_accepts_and_what_is_accepted_or_dropped_stays(
    events: list[NoticeEvent],
) -> None:
    """Sent is only entered by a durable claim; accepted only by the network's word; only a person drops or brings back a dead letter."""
    state = NoticeState.WAITING
    for event in events:
        after = next_state(state, event)
        if state in (NoticeState.ACCEPTED, NoticeState.DROPPED):
            assert after is None
        if after is None:
            continue
        if after is NoticeState.SENT:
            assert event is NoticeEvent.CLAIMED
        if after is NoticeState.ACCEPTED:
            assert event is NoticeEvent.ACCEPTED
        if after is NoticeState.DROPPED:
            assert event is NoticeEvent.DROPPED
        if state is NoticeState.DEAD and after in OPEN:
            assert event is NoticeEvent.RETRIED
        state = after


def test_the_document_shows_the_table() -> None:
    """docs/store-and-forward.md has the table that the code goes by."""
    assert render_markdown() in DOCUMENT.read_text()
