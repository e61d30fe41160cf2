"""Store and forward: keeps every network's lane of notices going, as far as this process has a way to it.

A round asks the ledger for the head of each lane that can be sent on. What is claimed is sent at once, each lane for itself; when a try has
ended the same lane is asked for its next, so a lane is as fast as its network and a stuck one holds up nobody. Without a network that gets
notices the ledger is never asked.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from hsm_client.limits import LinkLimits, backoff_seconds
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.again import Again
from switch.batching import QueueFull
from switch.log import Event, log
from switch.metrics import Metrics
from switch.notice_desk import NoticeDesk
from switch.steps import Step
from vending.notice import (
    Lane,
    LaneRound,
    LaneStatus,
    LateAnswer,
    Notice,
    NoticeItem,
    NoticeMoved,
    RoundDone,
    TellOutcome,
    TryEnded,
)
from vending.notice_life import OPEN, NoticeState
from vending.order import RequestKey

NoticeStep = Step[NoticeItem, RoundDone | NoticeMoved | None]

LEASE_MARGIN_SECONDS = 15.0
"""A lease is longer than the wait for an answer by this: for the MAC, the ledger, and clocks that run apart."""


class NoticeLanes(Again):
    """Looks at start and then again and again; of several processes each lane is sent by one.

    Args:
        step: the ledger's, for everything about notices.
        desks: by network, as they are now; only those that get notices.
        holder: names this process in leases, unlike any other.
        interval_seconds: between two rounds.
        random: draws evenly from [0, 1), for the jitter.
        now: our clock, aware UTC.
    """

    def __init__(
        self,
        *,
        step: NoticeStep,
        desks: Callable[[], Mapping[str, NoticeDesk]],
        holder: str,
        interval_seconds: float,
        random: Callable[[], float],
        metrics: Metrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
    ) -> None:
        self._step = step
        self._desks = desks
        self._holder = holder
        self._random = random
        self._metrics = metrics
        self._reactor = reactor
        self._now = now
        self._is_ending = False
        self._tries: set[Deferred[None]] = set()
        self._statuses: dict[str, LaneStatus] = {}
        super().__init__(
            self.look, interval_seconds=interval_seconds, failed=Event.NOTICE_ROUND_FAILED, reactor=reactor
        )

    def stop(self) -> None:
        """Claim nothing any more."""
        self._is_ending = True
        super().stop()

    def when_idle(self) -> Deferred[object]:
        """Fire when what each try in work came to is known to the ledger, or cannot be told it."""
        return DeferredList(list(self._tries)).addCallback(lambda _: None)

    def rows(self) -> list[dict[str, object]]:
        """Say how each lane is, for people."""
        return [
            {
                "network": name,
                "depth": status.depth,
                "oldest_at": None if status.oldest_at is None else status.oldest_at.isoformat(),
                "dead_letters": status.dead,
            }
            for name, status in sorted(self._statuses.items())
        ]

    async def look(self) -> None:
        """Look at all lanes: send what can be sent, tell how they stand."""
        desks = self._desks()
        if not desks:
            return
        done = await self._ask(desks)
        self._show(done.lanes, desks)

    def take_late(self, answer: LateAnswer) -> None:
        """Have an answer tied to its notice that no try waits for."""
        self._submit(answer).addCallbacks(lambda moved: self._moved(answer.acquirer_id, moved, "late"), self._lost)

    def tell_outcome(self, key: RequestKey) -> None:
        """Have a network told what became of a sale whose caller has got 09 meanwhile."""
        self._submit(TellOutcome(key=key, at=self._now())).addErrback(self._lost)

    # Inside.

    async def _ask(self, desks: Mapping[str, NoticeDesk]) -> RoundDone:
        began = self._reactor.seconds()
        lanes = tuple(_lane(name, desk) for name, desk in sorted(desks.items()))
        done = await self._submit(LaneRound(at=self._now(), holder=self._holder, lanes=lanes))
        assert isinstance(done, RoundDone), "a round is answered as a round"
        for letter in done.expired:
            self._died(letter.acquirer_id, letter.notice_id, letter.reason, None)
        for notice in done.claimed:
            trying = ensureDeferred(self._try(desks[notice.acquirer_id], notice, began)).addErrback(self._lost)
            self._tries.add(trying)
            trying.addCallback(partial(self._forget, trying))
        return done

    async def _try(self, desk: NoticeDesk, notice: Notice, began: float) -> None:
        give_up_at = began + LEASE_MARGIN_SECONDS / 2
        result = await desk.send(notice, give_up_at=give_up_at)
        section = desk.notices
        limits = LinkLimits(
            backoff_base_seconds=section.backoff_min_seconds, backoff_max_seconds=section.backoff_max_seconds
        )
        at = self._now()
        wait = timedelta(seconds=backoff_seconds(notice.failures, limits, self._random))
        ended = TryEnded(
            notice_id=notice.notice_id,
            acquirer_id=notice.acquirer_id,
            claims=notice.claims,
            holder=self._holder,
            event=result.event,
            code=result.code,
            at=at,
            due_at=at + wait,
        )
        moved = await self._submit(ended)
        self._moved(notice.acquirer_id, moved, result.code)
        assert isinstance(moved, NoticeMoved), "the end of a try is answered as a move"
        if moved.state not in OPEN and not self._is_ending:
            self._reactor.callLater(0, self._go_on, notice.acquirer_id)

    def _forget(self, trying: Deferred[None], _: None) -> None:
        self._tries.discard(trying)

    def _go_on(self, acquirer_id: str) -> None:
        """Ask one lane for its next."""
        desk = self._desks().get(acquirer_id)
        if desk is not None and not self._is_ending:
            ensureDeferred(self._ask({acquirer_id: desk})).addErrback(self._lost)

    def _submit(self, item: NoticeItem) -> Deferred[RoundDone | NoticeMoved | None]:
        try:
            return self._step.submit(item)
        except QueueFull:
            failed: Deferred[RoundDone | NoticeMoved | None] = Deferred()
            failed.errback(Failure())
            return failed

    def _moved(self, acquirer_id: str, moved: object, code: str | None) -> None:
        if isinstance(moved, NoticeMoved) and moved.state is NoticeState.DEAD:
            self._died(acquirer_id, moved.notice_id, "refused", code)

    def _died(self, acquirer_id: str, notice_id: int | None, reason: str, code: str | None) -> None:
        self._metrics.saf_died.labels(acquirer_id, reason).inc()
        log.error(Event.NOTICE_DIED, acquirer_id=acquirer_id, notice_id=notice_id, reason=reason, code=code)

    def _lost(self, failure: Failure) -> None:
        """The ledger did not hear of it: a lease ends by itself, and then the notice is sent again, as a repeat."""
        if failure.check(LedgerUnavailable, LedgerOutcomeUnknown, QueueFull):
            log.warning(Event.NOTICE_ROUND_FAILED, failure=failure.getErrorMessage())
        else:
            log.error(Event.NOTICE_FAILED, failure=failure.getTraceback())

    def _show(self, statuses: tuple[LaneStatus, ...], desks: Mapping[str, NoticeDesk]) -> None:
        now = self._now()
        found = {status.acquirer_id: status for status in statuses}
        for name in {*desks, *self._statuses, *found}:
            status = found.get(name) or LaneStatus(acquirer_id=name, depth=0, oldest_at=None, dead=0)
            found[name] = status
            age = 0.0 if status.oldest_at is None else max(0.0, (now - status.oldest_at).total_seconds())
            self._metrics.saf_depth.labels(name).set(status.depth)
            self._metrics.saf_oldest_seconds.labels(name).set(age)
            self._metrics.saf_dead_letters.labels(name).set(status.dead)
        self._statuses = found


def _lane(name: str, desk: NoticeDesk) -> Lane:
    section = desk.notices
    return Lane(
        acquirer_id=name,
        is_sendable=desk.is_sendable,
        age_seconds_max=3600.0 * section.age_hours_max,
        tries_max=section.tries_max,
        lease_seconds=section.answer_timeout_seconds + LEASE_MARGIN_SECONDS,
    )
