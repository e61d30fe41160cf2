"""Answers that did not leave: which are written down, and that nothing is harmed when they cannot be."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, fail, succeed

from ledger.errors import LedgerUnavailable
from switch.batching import QueueFull
from switch.log import Event
from switch.undelivered import UndeliveredAnswers
from tests.switch.sale_bench import NOW, PIN, TPDU, Bench, Sent, inquiry, network, recharge, reversal
from vending.order import Declined, UndeliveredAnswer
from vending.response_code import ResponseCode

Lines = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


class Ledger:
    """Takes what is to be written; may be full or away."""

    def __init__(self) -> None:
        self.written: list[UndeliveredAnswer] = []
        self.error: Exception | None = None

    def submit(self, item: UndeliveredAnswer) -> Deferred[None]:
        if isinstance(self.error, QueueFull):
            raise self.error
        if self.error is not None:
            return fail(self.error)
        self.written.append(item)
        return succeed(None)

    @staticmethod
    def when_idle() -> Deferred[None]:
        return succeed(None)


class Scene(Bench):
    """A network, and what becomes of its answers that did not leave."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Ledger()
        self.lost = Counter("lost", "Lost.", ("reason",), registry=CollectorRegistry())
        self.undelivered = UndeliveredAnswers(write=self.book, lost=self.lost, now=lambda: NOW)

    def lose(self, sent: Sent, reason: str = "peer_lost") -> None:
        """Say that the answer did not leave."""
        (frame,) = sent.frames
        assert frame is not None
        self.undelivered.note(self.exchange, self.context, frame, reason)

    def lost_because(self, reason: str) -> float:
        """Return how many could not be written down."""
        return float(self.lost.labels(reason)._value.get())


def test_the_lost_answer_to_a_sale_is_written_under_the_key_of_its_request() -> None:
    """Terminal, time, STAN and class are those of the journal, whether the request or its repeat was answered."""
    scene = Scene()
    scene.lose(scene.send(recharge()), "send_stalled")
    scene.lose(scene.send(recharge("0201")), "drain_timeout")
    key = scene.ledger.reserve.asked[0].key
    assert scene.book.written == [
        UndeliveredAnswer(key=key, reason="send_stalled", noticed_at=NOW),
        UndeliveredAnswer(key=key, reason="drain_timeout", noticed_at=NOW),
    ]


def test_declines_and_reversals_are_written_too() -> None:
    """Whatever is signed and stands in the journal."""
    scene = Scene()
    scene.ledger.reserve.plan(Declined(code=ResponseCode.METER_UNKNOWN))
    scene.lose(scene.send(recharge()))
    scene.lose(scene.send(reversal()))
    scene.lose(scene.send(reversal("0420", stan="000010")))
    assert [each.key.message_class for each in scene.book.written] == ["0200", "0400", "0420"]


def test_what_anybody_can_cause_is_not_written() -> None:
    """A line that no terminal signed must not fill the table, and questions change nothing."""
    scene = Scene()
    scene.lose(scene.send_octets(TPDU.octets + b"\x02\x00garbage"))
    scene.lose(scene.send(network("301")))
    scene.lose(scene.send(inquiry()))
    assert scene.book.written == []
    assert scene.lost_because("unreadable") == 0


@pytest.mark.parametrize(
    ("error", "reason"), [(QueueFull(), "queue_full"), (LedgerUnavailable("no server"), "ledger")], ids=repr
)
def test_what_cannot_be_written_is_counted_and_harms_nobody(error: Exception, reason: str, lines: Lines) -> None:
    """A full queue and a ledger that is away cost the record, never a sale; no line has the PIN."""
    scene = Scene()
    scene.book.error = error
    sent = scene.send(recharge())
    scene.lose(sent)
    assert scene.lost_because(reason) == 1
    assert scene.send(recharge("0201")).body == sent.body
    assert PIN not in repr(lines)


def test_an_answer_that_cannot_be_read_back_is_counted(lines: Lines) -> None:
    """A fault of ours; it stops nothing."""
    scene = Scene()
    scene.undelivered.note(scene.exchange, scene.context, b"\x60\x00", "peer_lost")
    scene.undelivered.note(scene.exchange, scene.context, TPDU.octets + b"\xff", "peer_lost")
    assert scene.lost_because("unreadable") == 2
    assert {line["event"] for line in lines} == {Event.UNDELIVERED_LOST}
