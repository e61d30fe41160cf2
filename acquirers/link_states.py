"""The life of a link that we open to a network's host, as a table. Every change of a link's state is a line of `TABLE`.

The machine knows no socket and no clock: it is told what happened (`LinkInputs`) and tells its link what to do (`LinkActions`). An input
that arrives while another is still being acted on is queued by Automat and runs right after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from automat import TypeMachineBuilder


class LinkState(Enum):
    """Where a link stands; the value is the label of the metric and the word in the log."""

    DOWN = "down"
    CONNECTING = "connecting"
    TCP_UP = "tcp_up"
    """There is a connection, and the host has not approved our sign-on yet."""
    SIGNED_ON = "signed_on"
    """Up. Nothing less is."""
    BACKING_OFF = "backing_off"
    DRAINING = "draining"


class LinkInputs(Protocol):
    """What can happen to a link."""

    def start(self) -> None:
        """From the owner: connect, and stay connected."""

    def stop(self) -> None:
        """From the owner: sign off, end, and stay away."""

    def connected(self) -> None:
        """From the endpoint: there is a connection."""

    def attempt_failed(self) -> None:
        """From the endpoint: the attempt failed, took too long or was given up."""

    def approved(self) -> None:
        """From the host: it approved our sign-on."""

    def refused(self) -> None:
        """From the host: it refused what we asked."""

    def unanswered(self) -> None:
        """From the clock: the host did not answer in time."""

    def lost(self) -> None:
        """From the connection: it is gone, by whomever."""

    def retry_due(self) -> None:
        """From the clock: the back-off is over."""


class LinkActions(Protocol):
    """What the table makes a link do."""

    def entered(self, state: LinkState) -> None:
        """The link is now in *state*; called before the action of the line."""

    def open_attempt(self) -> None:
        """Begin to connect; ends in ``connected`` or ``attempt_failed``."""

    def sign_on(self) -> None:
        """Ask the host for it; ends in ``approved``, ``refused``, ``unanswered`` or ``lost``."""

    def keep_asking(self) -> None:
        """Ask for an echo whenever the link was idle; ends in ``unanswered`` or ``lost``."""

    def schedule_retry(self) -> None:
        """Wait a while; ends in ``retry_due``."""

    def cancel_retry(self) -> None:
        """Wait no longer; the link is over."""

    def cancel_attempt(self) -> None:
        """Give up connecting; ends in ``attempt_failed``."""

    def sign_off(self) -> None:
        """Tell the host, then end as `drain` does; ends in ``lost``."""

    def drain(self) -> None:
        """Answer what is in work and end; ends in ``lost``."""

    def cut(self) -> None:
        """End at once; ends in ``lost``."""

    def announce_end(self) -> None:
        """The link is over: tell those who wait for it."""

    def stay(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; ``event`` is the name of an input, ``action`` that of an action, ``why`` is for the reader."""

    before: LinkState
    event: str
    after: LinkState
    action: str
    why: str


_S = LinkState

TABLE: tuple[Line, ...] = (
    Line(_S.DOWN, "start", _S.CONNECTING, "open_attempt", "the network is configured"),
    Line(_S.DOWN, "stop", _S.DOWN, "announce_end", "it never began, or ended before"),
    Line(_S.CONNECTING, "connected", _S.TCP_UP, "sign_on", "a connection is not a link yet"),
    Line(_S.CONNECTING, "attempt_failed", _S.BACKING_OFF, "schedule_retry", "the next host is next"),
    Line(_S.CONNECTING, "stop", _S.DRAINING, "cancel_attempt", "nothing was said"),
    Line(_S.TCP_UP, "approved", _S.SIGNED_ON, "keep_asking", "sign-on is part of being up"),
    Line(_S.TCP_UP, "refused", _S.TCP_UP, "cut", "a host that does not want us is tried again later"),
    Line(_S.TCP_UP, "unanswered", _S.TCP_UP, "cut", "it takes connections and does not work"),
    Line(_S.TCP_UP, "lost", _S.BACKING_OFF, "schedule_retry", "a host that accepts and closes"),
    Line(_S.TCP_UP, "stop", _S.DRAINING, "drain", "we are not signed on, so there is no sign-off"),
    Line(_S.SIGNED_ON, "unanswered", _S.SIGNED_ON, "cut", "no echo: half dead, or stuck"),
    Line(_S.SIGNED_ON, "lost", _S.BACKING_OFF, "schedule_retry", "every loss is waited out before the next attempt"),
    Line(_S.SIGNED_ON, "stop", _S.DRAINING, "sign_off", "the host is told"),
    Line(_S.BACKING_OFF, "retry_due", _S.CONNECTING, "open_attempt", "with another host, where there is one"),
    Line(_S.BACKING_OFF, "stop", _S.DOWN, "cancel_retry", "nothing is open"),
    Line(_S.DRAINING, "lost", _S.DOWN, "announce_end", "answers in work have left"),
    Line(_S.DRAINING, "attempt_failed", _S.DOWN, "announce_end", "the attempt was given up"),
    Line(_S.DRAINING, "stop", _S.DRAINING, "stay", "asked twice"),
    Line(_S.DRAINING, "approved", _S.DRAINING, "stay", "too late"),
    Line(_S.DRAINING, "refused", _S.DRAINING, "stay", "too late"),
    Line(_S.DRAINING, "unanswered", _S.DRAINING, "stay", "whether the sign-off is answered changes nothing"),
    Line(_S.CONNECTING, "start", _S.CONNECTING, "stay", "asked twice"),
    Line(_S.TCP_UP, "start", _S.TCP_UP, "stay", "asked twice"),
    Line(_S.SIGNED_ON, "start", _S.SIGNED_ON, "stay", "asked twice"),
    Line(_S.BACKING_OFF, "start", _S.BACKING_OFF, "stay", "asked twice"),
)


def render_markdown() -> str:
    """Return the table as Markdown, in the order of the code."""
    lines = ["| state | event | next state | what is done | why |", "|---|---|---|---|---|"]
    lines += [
        f"| {line.before.value} | {line.event} | {line.after.value} | {line.action.replace('_', ' ')} | {line.why} |"
        for line in TABLE
    ]
    return "\n".join(lines) + "\n"


def _doing(line: Line) -> Callable[[Any, Any], None]:
    def do(_machine: Any, link: Any) -> None:
        if line.after is not line.before:
            link.entered(line.after)
        getattr(link, line.action)()

    return do


def _machine() -> Callable[[LinkActions], LinkInputs]:
    # The core is a Protocol and only used as a type here, never instantiated.
    builder = TypeMachineBuilder(LinkInputs, LinkActions)  # type: ignore[type-abstract]
    states = {state: builder.state(state.value) for state in LinkState}
    for line in TABLE:
        upon = states[line.before].upon(getattr(LinkInputs, line.event))
        if line.after is line.before:
            upon.loop()(_doing(line))
        else:
            upon.to(states[line.after])(_doing(line))
    return builder.build()


new_link_machine = _machine()
"""Make the machine of one link: ``new_link_machine(actions)`` gives a `LinkInputs` in state *down*."""
