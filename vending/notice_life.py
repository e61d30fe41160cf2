"""The life of one notice to a network, as one table: nothing else decides what may follow what.

A notice is *sent* from the moment before its first octet may leave, and that moment is durable. So whoever finds it in that state, after
whatever was killed, cannot know whether the network has it, and everything he sends for it says that it is a repeat.
"""

from dataclasses import dataclass
from enum import Enum


class NoticeState(Enum):
    """Where a notice stands; the value is the word in the ledger."""

    WAITING = "waiting"
    """For its turn, or for the end of a wait after a try."""
    SENT = "sent"
    """About to be sent, sent, or lost on the way: the network may have it."""
    ACCEPTED = "accepted"
    """The network has it and said so."""
    DEAD = "dead"
    """A dead letter: nobody sends it until a person decides."""
    DROPPED = "dropped"
    """A person decided that the network does not get it from us."""


OPEN = frozenset({NoticeState.WAITING, NoticeState.SENT})
"""What a lane still has to do."""


class NoticeEvent(Enum):
    """What can happen to a notice; the value is the word in metrics and log."""

    CLAIMED = "claimed"
    """A process is about to send it."""
    ACCEPTED = "accepted"
    """The network's answer: it has it."""
    PUT_OFF = "put_off"
    """The network's answer: not now, ask again."""
    REFUSED = "refused"
    """The network's answer: no, and the same again gets the same."""
    UNANSWERED = "unanswered"
    """No answer in time, or none whose MAC is right."""
    LINK_LOST = "link_lost"
    """The connection ended before an answer came."""
    NOT_SENT = "not_sent"
    """It is certain that no octet left: no link, or no MAC."""
    EXPIRED = "expired"
    """It is older, or was tried more often, than its network's limits let."""
    RETRIED = "retried"
    """A person has it sent again."""
    DROPPED = "dropped"
    """A person drops it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table; ``why`` is for the reader."""

    before: NoticeState
    event: NoticeEvent
    after: NoticeState
    why: str


_S, _E = NoticeState, NoticeEvent

TABLE: tuple[Step, ...] = (
    Step(_S.WAITING, _E.CLAIMED, _S.SENT, "durable before the first octet leaves"),
    Step(
        _S.WAITING,
        _E.EXPIRED,
        _S.DEAD,
        "too old, or tried too often: a person looks at it, the next in the lane goes on",
    ),
    Step(_S.WAITING, _E.DROPPED, _S.DROPPED, "by a person, with a reason"),
    Step(_S.WAITING, _E.ACCEPTED, _S.ACCEPTED, "a late answer to an earlier try"),
    Step(_S.WAITING, _E.REFUSED, _S.DEAD, "a late answer to an earlier try"),
    Step(_S.WAITING, _E.PUT_OFF, _S.WAITING, "a late answer to an earlier try; the wait goes on"),
    Step(_S.SENT, _E.ACCEPTED, _S.ACCEPTED, "the network has it"),
    Step(_S.SENT, _E.PUT_OFF, _S.WAITING, "the network asks for it later"),
    Step(_S.SENT, _E.REFUSED, _S.DEAD, "sending the same again gets the same"),
    Step(_S.SENT, _E.UNANSWERED, _S.WAITING, "it may have arrived, so the next is a repeat"),
    Step(_S.SENT, _E.LINK_LOST, _S.WAITING, "it may have arrived, so the next is a repeat"),
    Step(_S.SENT, _E.NOT_SENT, _S.WAITING, "as if it had not been claimed"),
    Step(_S.SENT, _E.CLAIMED, _S.SENT, "whoever sent it is gone, its lease is over: a repeat"),
    Step(_S.SENT, _E.EXPIRED, _S.DEAD, "whoever sent it is gone, and it may not be tried again"),
    Step(_S.SENT, _E.DROPPED, _S.DROPPED, "by a person; it may have arrived"),
    Step(_S.DEAD, _E.RETRIED, _S.WAITING, "by a person, with a reason; age and tries count anew"),
    Step(_S.DEAD, _E.DROPPED, _S.DROPPED, "by a person, with a reason"),
    Step(_S.DEAD, _E.ACCEPTED, _S.ACCEPTED, "a late answer"),
)


def next_state(state: NoticeState, event: NoticeEvent) -> NoticeState | None:
    """Return what follows; None: *event* changes nothing any more (a late answer to what is over) or is not possible there.

    >>> next_state(NoticeState.SENT, NoticeEvent.UNANSWERED)
    <NoticeState.WAITING: 'waiting'>
    >>> next_state(NoticeState.DROPPED, NoticeEvent.ACCEPTED) is None
    True
    """
    return _NEXT.get((state, event))


_NEXT = {(step.before, step.event): step.after for step in TABLE}


def render_markdown() -> str:
    """Return the table as Markdown, in the order of the code."""
    lines = ["| state | event | next state | why |", "|---|---|---|---|"]
    lines += [f"| {step.before.value} | {step.event.value} | {step.after.value} | {step.why} |" for step in TABLE]
    return "\n".join(lines) + "\n"
