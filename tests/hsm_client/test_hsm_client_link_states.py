"""The table of a link, line by line, without a socket or a clock."""

import pytest
from automat import NoTransition

from hsm_client.link_states import LinkInputs, new_link_machine
from hsm_client.observer import LinkState


class RecordedLink:
    """Records what the table makes a link do."""

    def __init__(self) -> None:
        self.state = LinkState.DOWN
        self.did: list[str] = []

    def entered(self, state: LinkState) -> None:
        self.state = state

    def open_attempt(self) -> None:
        self.did.append("open_attempt")

    def identify(self) -> None:
        self.did.append("identify")

    def serve(self) -> None:
        self.did.append("serve")

    def schedule_retry(self) -> None:
        self.did.append("schedule_retry")

    def cancel_retry(self) -> None:
        self.did.append("cancel_retry")

    def cancel_attempt(self) -> None:
        self.did.append("cancel_attempt")

    def close(self) -> None:
        self.did.append("close")

    def announce_closed(self) -> None:
        self.did.append("announce_closed")


WAYS = {
    LinkState.DOWN: [],
    LinkState.CONNECTING: ["start"],
    LinkState.IDENTIFYING: ["start", "connected"],
    LinkState.UP: ["start", "connected", "identified"],
    LinkState.BACKING_OFF: ["start", "attempt_failed"],
    LinkState.CLOSING: ["start", "stop"],
}
INPUTS = ["start", "stop", "connected", "attempt_failed", "identified", "lost", "retry_due"]
TABLE = {
    (LinkState.DOWN, "start"): (LinkState.CONNECTING, ["open_attempt"]),
    (LinkState.DOWN, "stop"): (LinkState.DOWN, ["announce_closed"]),
    (LinkState.CONNECTING, "start"): (LinkState.CONNECTING, []),
    (LinkState.CONNECTING, "connected"): (LinkState.IDENTIFYING, ["identify"]),
    (LinkState.CONNECTING, "attempt_failed"): (LinkState.BACKING_OFF, ["schedule_retry"]),
    (LinkState.CONNECTING, "stop"): (LinkState.CLOSING, ["cancel_attempt"]),
    (LinkState.IDENTIFYING, "start"): (LinkState.IDENTIFYING, []),
    (LinkState.IDENTIFYING, "identified"): (LinkState.UP, ["serve"]),
    (LinkState.IDENTIFYING, "lost"): (LinkState.BACKING_OFF, ["schedule_retry"]),
    (LinkState.IDENTIFYING, "stop"): (LinkState.CLOSING, ["close"]),
    (LinkState.UP, "start"): (LinkState.UP, []),
    (LinkState.UP, "lost"): (LinkState.BACKING_OFF, ["schedule_retry"]),
    (LinkState.UP, "stop"): (LinkState.CLOSING, ["close"]),
    (LinkState.BACKING_OFF, "start"): (LinkState.BACKING_OFF, []),
    (LinkState.BACKING_OFF, "retry_due"): (LinkState.CONNECTING, ["open_attempt"]),
    (LinkState.BACKING_OFF, "stop"): (LinkState.DOWN, ["cancel_retry", "announce_closed"]),
    (LinkState.CLOSING, "stop"): (LinkState.CLOSING, []),
    (LinkState.CLOSING, "lost"): (LinkState.DOWN, ["announce_closed"]),
    (LinkState.CLOSING, "attempt_failed"): (LinkState.DOWN, ["announce_closed"]),
}


def _brought_to(state: LinkState) -> tuple[RecordedLink, LinkInputs]:
    link = RecordedLink()
    machine = new_link_machine(link)
    for name in WAYS[state]:
        getattr(machine, name)()
    assert link.state is state
    link.did.clear()
    return link, machine


@pytest.mark.parametrize(("state", "name"), list(TABLE), ids=lambda value: getattr(value, "value", value))
def test_line_of_the_table(state: LinkState, name: str) -> None:
    """Each input leads to the state of its line and does what stands there, no more."""
    link, machine = _brought_to(state)
    getattr(machine, name)()
    assert (link.state, link.did) == TABLE[state, name]


@pytest.mark.parametrize(
    ("state", "name"), [(state, name) for state in LinkState for name in INPUTS if (state, name) not in TABLE]
)
def test_what_has_no_line_is_a_bug(state: LinkState, name: str) -> None:
    """An input that cannot happen in a state raises, and the state stays."""
    link, machine = _brought_to(state)
    with pytest.raises(NoTransition):
        getattr(machine, name)()
    assert (link.state, link.did) == (state, [])
