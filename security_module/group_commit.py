"""Group commit: all mints that arrived while one transaction was being written go into the next, together.

Under no load a batch is one request and waits for nobody; under load batches grow by themselves. The writing runs in one thread of
its own, so MACs are answered meanwhile.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from messages.security_module import Status
from security_module.engineering_records import TokenRequest
from security_module.mint_log import Candidate, Decision, MintLog

BATCH_MAX = 2_048
"""Requests of one transaction: some 20 ms of writing, so that the first of them does not wait for ever."""
WAITING_MAX = 16_384
"""Requests that may wait for a transaction: two seconds of work. Beyond that clients are told to come back."""

T = TypeVar("T")
RunInThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Calls its argument in the one writer thread, after all that was given before, and fires with the result."""
Deliver = Callable[[Status], None]
_log = structlog.get_logger()


class GroupCommit:
    """Gathers mint requests and has them decided in batches."""

    def __init__(self, log: MintLog, run_in_thread: RunInThread, after_batch: Callable[[], None]) -> None:
        """Wrap *log*.

        Args:
            log: used from the thread only, after this.
            run_in_thread: calls its argument in the one writer thread and fires with the result.
            after_batch: called when all decisions of a batch were delivered; sends what they left to be sent.
        """
        self._mint_log = log
        self._run_in_thread = run_in_thread
        self._after_batch = after_batch
        self._waiting: list[tuple[Candidate, Deliver]] = []
        self._is_writing = False
        self._drained: list[Deferred[None]] = []

    def submit(self, request: TokenRequest, refusal: Status, deliver: Deliver) -> bool:
        """Queue one request; *deliver* is called with its status once that is durable.

        Args:
            request: as decoded.
            refusal: `Status.OK`, or why its tokens cannot be computed at all.
            deliver: called once, in the reactor's thread.

        Returns:
            False if too many wait; then nothing was queued.
        """
        if len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append((Candidate(request=request, refusal=refusal), deliver))
        return True

    def start(self) -> None:
        """Write what waits, unless a transaction is being written: then it follows that one."""
        if self._is_writing or not self._waiting:
            return
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        self._is_writing = True
        requests = [candidate for candidate, _ in batch]
        delivers = [deliver for _, deliver in batch]
        written = self._run_in_thread(lambda: self._mint_log.decide(requests))
        written.addCallbacks(self._deliver, self._fail, callbackArgs=(delivers,), errbackArgs=(delivers,))
        written.addErrback(self._bug)

    def record(self, act: str, **details: Any) -> None:
        """Record an act when its turn comes; that it failed is logged."""
        self.run(lambda log: log.record(act, **details)).addErrback(self._not_recorded, act)

    def run(self, work: Callable[[MintLog], T]) -> "Deferred[T]":
        """Do something else with the log, in the writer thread, between two transactions."""
        return self._run_in_thread(lambda: work(self._mint_log))

    @staticmethod
    def _not_recorded(failure: Failure, act: str) -> None:
        _log.error("audit.not_recorded", act=act, error=repr(failure.value))

    def drained(self) -> "Deferred[None]":
        """Fire when nothing waits and nothing is being written."""
        result: Deferred[None] = Deferred()
        self._drained.append(result)
        self._tell_drained()
        return result

    def _deliver(self, decisions: Sequence[Decision], delivers: Sequence[Deliver]) -> None:
        for decision, deliver in zip(decisions, delivers, strict=True):
            deliver(decision.status)
        self._next()

    def _fail(self, failure: Failure, delivers: Sequence[Deliver]) -> None:
        # A disk that is full or gone: what was asked may or may not be written, so the outcome is unknown to the client too.
        is_database = isinstance(failure.value, sqlite3.Error)
        _log.error("mint_log.write_failed", requests=len(delivers), is_database=is_database, error=repr(failure.value))
        for deliver in delivers:
            deliver(Status.INTERNAL_ERROR)
        self._next()

    def _bug(self, failure: Failure) -> None:
        self._is_writing = False
        _log.critical("group_commit.failed", traceback=failure.getTraceback())

    def _next(self) -> None:
        self._is_writing = False
        self._after_batch()
        self.start()
        self._tell_drained()

    def _tell_drained(self) -> None:
        if not self._is_writing and not self._waiting:
            told, self._drained = self._drained, []
            for each in told:
                each.callback(None)
