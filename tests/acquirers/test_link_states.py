"""The table of a link that we open, line by line and in any order, without a socket or a clock."""

from pathlib import Path

import pytest
from automat import NoTransition
from hypothesis import given
from hypothesis import strategies as st

from acquirers.link_states import TABLE, Line, LinkActions, LinkState, new_link_machine, render_markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "links.md"
INPUTS = sorted({line.event for line in TABLE})
ACTIONS = sorted({line.action for line in TABLE})


class RecordedLink:
    """Records what the table makes a link do."""

    def __init__(self) -> None:
        self.state = LinkState.DOWN
        self.did: list[str] = []

    def entered(self, state: LinkState) -> None:
        self.state = state

    def __getattr__(self, action: str) -> object:
        assert action in ACTIONS
        return lambda: self.did.append(action)


WAYS = {
    LinkState.DOWN: [],
    LinkState.CONNECTING: ["start"],
    LinkState.TCP_UP: ["start", "connected"],
    LinkState.SIGNED_ON: ["start", "connected", "approved"],
    LinkState.BACKING_OFF: ["start", "attempt_failed"],
    LinkState.DRAINING: ["start", "connected", "stop"],
}


def test_no_two_lines_begin_alike() -> None:
    """What happens next never depends on the order of the lines."""
    assert len({(line.before, line.event) for line in TABLE}) == len(TABLE)


def test_every_action_is_one_of_a_link() -> None:
    """No line names what a link cannot do."""
    assert all(hasattr(LinkActions, action) for action in ACTIONS)


@pytest.mark.parametrize("line", TABLE, ids=lambda line: f"{line.before.value}-{line.event}")
def test_line_of_the_table(line: Line) -> None:
    """Each input leads to the state of its line and does what stands there, no more."""
    link = RecordedLink()
    machine = new_link_machine(link)  # type: ignore[arg-type]
    for name in WAYS[line.before]:
        getattr(machine, name)()
    link.did.clear()
    getattr(machine, line.event)()
    assert (link.state, link.did) == (line.after, [line.action])


@given(events=st.lists(st.sampled_from(INPUTS), max_size=30))
def test_no_order_of_events_signs_on_without_approval(events: list[str]) -> None:
    """Up is only what a host approved on this very connection; what has no line raises and changes nothing."""
    link = RecordedLink()
    machine = new_link_machine(link)  # type: ignore[arg-type]
    known = {(line.before, line.event): line for line in TABLE}
    for event in events:
        before = link.state
        line = known.get((before, event))
        if line is None:
            with pytest.raises(NoTransition):
                getattr(machine, event)()
            assert link.state is before
            continue
        getattr(machine, event)()
        assert link.state is line.after
        if link.state is LinkState.SIGNED_ON and before is not LinkState.SIGNED_ON:
            assert (before, event) == (LinkState.TCP_UP, "approved")
        if before is LinkState.SIGNED_ON and event == "lost":
            assert link.state is LinkState.BACKING_OFF, "no reconnecting without a wait"


def test_the_document_shows_the_table() -> None:
    """docs/links.md has the table that the code goes by."""
    assert render_markdown() in DOCUMENT.read_text()
