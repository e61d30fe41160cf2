"""Writes down the answers that did not leave. It is evidence for later, so it never slows a sale and never fails one.

What is noticed: an answer that was ready when its connection was gone, and octets that the system had not taken when it went. An answer
that the system took and then could not deliver is not noticed here. Either way the terminal repeats and gets the stored answer.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from prometheus_client import Counter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from switch.batching import QueueFull
from switch.listener import ConnectionContext
from switch.log import Event, log
from vending.order import RequestKey, UndeliveredAnswer


class KeyOf(Protocol):
    """Knows its network's answers; `switch.exchange.Exchange` is one."""

    @property
    def tells_outcome(self) -> bool:
        """Whether the network wants to be told what became of sales whose answer it did not get."""

    def answered_key(self, answer: bytes) -> RequestKey | None:
        """Return which journaled request an answer (TPDU included) belongs to; None: none, or it is not signed."""


class Write(Protocol):
    """Writes batches elsewhere, with a bounded queue; `switch.batching.Batcher` is one."""

    def submit(self, item: UndeliveredAnswer) -> Deferred[None]:
        """Put *item* in the next batch; raises `QueueFull`."""

    def when_idle(self) -> Deferred[None]:
        """Fire when all that was submitted has ended."""


class UndeliveredAnswers:
    """What `switch.port.AcquirerPort` tells of an answer that did not leave.

    Args:
        write: the step of the ledger.
        lost: counts what could not be written down, by why: ``queue_full``, ``unreadable``, ``ledger``.
        now: our clock, aware UTC.
    """

    def __init__(self, *, write: Write, lost: Counter, now: Callable[[], datetime]) -> None:
        self._write = write
        self._lost = lost
        self._now = now

    def note(self, exchange: KeyOf, _: ConnectionContext, answer: bytes, reason: str) -> None:
        """Have it written down, if it is the signed answer to something that the journal keeps."""
        try:
            key = exchange.answered_key(answer)
        except Exception:  # noqa: BLE001 - an answer of ours that we cannot read is a fault, and no reason to stop anything
            self._lose("unreadable", Failure())
            return
        if key is None:
            return
        try:
            written = self._write.submit(
                UndeliveredAnswer(key=key, reason=reason, noticed_at=self._now(), is_told=exchange.tells_outcome)
            )
        except QueueFull:
            self._lost.labels("queue_full").inc()
            return
        written.addErrback(lambda failure: self._lose("ledger", failure))

    def when_idle(self) -> Deferred[None]:
        """Fire when all that was noted has been written or lost."""
        return self._write.when_idle()

    def _lose(self, why: str, failure: Failure) -> None:
        self._lost.labels(why).inc()
        log.warning(Event.UNDELIVERED_LOST, reason=why, failure=failure.getErrorMessage())
