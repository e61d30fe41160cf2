"""Group commit: what arrives while the database works on one batch becomes the next batch.

Each step (reserve, post, read) has one worker process with its own connection. Under no load a batch is one item and waits for nobody;
under load the items that gathered while the last batch was committing go together as set-based SQL. No timer is involved. A batch starts
when the reactor's turn ends: a herd whose messages came in one turn leaves in one batch, instead of its first alone and the rest behind it.

Networks are served in turns: a batch takes one item of each, then a second, and of no network more than its part. So what one network has
waiting delays the others by one batch of parts, not by all of it, and the queue that it fills is its own.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.worker_codec import DONE, UNAVAILABLE, UNKNOWN, Outcome

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_ITEMS_MAX = 256
"""Larger batches gain nothing (the cost per row is flat by then) and make the first item wait for the last."""

QUEUE_ITEMS_MAX = 4096
"""About a second of work at full speed; beyond it a new request is refused at once instead of answered too late. Each network that the step
has worked for may have as much of it waiting as it would have if it were divided evenly."""

PART_ITEMS_MIN = 32
"""Of one network in one batch, however many networks there are: below this a batch costs nearly the same with fewer items."""


class QueueFull(Exception):
    """The queue of a step is at its limit; nothing was written."""


class TooLate(Exception):
    """The item's deadline passed while it waited for a batch; nothing was written."""


class StepFailed(Exception):
    """A fault of ours in a step, with the traceback of where it happened; nothing of the item was written."""


_Waiting = tuple[Item, Deferred[Result], float]
"""What waits: the item, its result, its deadline."""

Run = Callable[[Sequence[Any]], Deferred[Sequence[Outcome]]]
"""Sends a batch to a worker; fires with an outcome for each item, in order (see `switch.worker_codec`), or fails for all of them."""


class Batcher(Generic[Item, Result]):
    """One step of the sale, run batch by batch.

    Args:
        workers: each takes one batch at a time, whichever is free first.
        at_end_of_turn: calls what it is given once all that is ready now has been read.
        now: a clock in seconds; the deadlines of items are moments of it.
        network_of: says whose an item is.
        observe_batch: told the size of each batch.
        observe_late: told how many items were in none because their deadline had passed.
    """

    def __init__(
        self,
        workers: Sequence[Run],
        *,
        at_end_of_turn: Callable[[Callable[[], None]], object],
        now: Callable[[], float] = lambda: 0.0,
        network_of: Callable[[Item], str] = lambda item: "",
        observe_batch: Callable[[int], None] = lambda size: None,
        observe_late: Callable[[int], None] = lambda count: None,
        batch_items_max: int = BATCH_ITEMS_MAX,
        queue_items_max: int = QUEUE_ITEMS_MAX,
    ) -> None:
        self._free = deque(workers)
        self._workers_count = len(workers)
        self._at_end_of_turn = at_end_of_turn
        self._now = now
        self._is_due = False
        self._observe_batch = observe_batch
        self._observe_late = observe_late
        self._batch_items_max = batch_items_max
        self._queue_items_max = queue_items_max
        self._network_of = network_of
        self._networks: set[str] = set()
        # By network, those that wait; the network that comes next stands first, and one that has nothing waiting is not there.
        self._waiting: dict[str, deque[_Waiting[Item, Result]]] = {}
        self._idle: list[Deferred[None]] = []

    @property
    def waiting_items(self) -> int:
        """How many items wait for a worker."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and len(self._free) == self._workers_count

    def when_idle(self) -> Deferred[None]:
        """Fire when all that was submitted has ended."""
        done: Deferred[None] = Deferred()
        if self.is_idle:
            done.callback(None)
        else:
            self._idle.append(done)
        return done

    def submit(self, item: Item, *, deadline: float = inf) -> Deferred[Result]:
        """Put *item* in the next batch; if that does not begin before *deadline* it fails with `TooLate` and is in no batch.

        Raises:
            QueueFull: at once, when the limit of its network is reached.
        """
        network = self._network_of(item)
        waiting = self._waiting.get(network)
        if waiting is None:
            self._networks.add(network)
            waiting = self._waiting[network] = deque()
        elif len(waiting) >= max(1, self._queue_items_max // len(self._networks)):
            raise QueueFull
        result: Deferred[Result] = Deferred()
        waiting.append((item, result, deadline))
        self._run_soon()
        return result

    def _run_soon(self) -> None:
        if self._waiting and self._free and not self._is_due:
            self._is_due = True
            self._at_end_of_turn(self._run_due)

    def _run_due(self) -> None:
        self._is_due = False
        while self._waiting and self._free:
            self._run_next()

    def _run_next(self) -> None:
        batch: list[_Waiting[Item, Result]] = []
        late: list[Deferred[Result]] = []
        now = self._now()
        for waiting in self._in_turns():
            if now < waiting[2]:
                batch.append(waiting)
                if len(batch) == self._batch_items_max:
                    break
            else:
                late.append(waiting[1])
        if batch:
            run = self._free.popleft()
            self._observe_batch(len(batch))
            run([item for item, _, _ in batch]).addBoth(self._finish, batch, run)
        if late:
            self._observe_late(len(late))
            for result in late:
                result.errback(TooLate())
            self._tell_idle()

    def _in_turns(self) -> Iterator[_Waiting[Item, Result]]:
        """Take out one item of each network, then a second, until each has its part; then the networks that came first come last."""
        part = max(PART_ITEMS_MIN, self._batch_items_max // max(1, len(self._networks)))
        for _ in range(part):
            for network in list(self._waiting):
                waiting = self._waiting.pop(network)
                item = waiting.popleft()
                if waiting:
                    self._waiting[network] = waiting
                yield item
            if not self._waiting:
                return

    def _finish(self, outcomes: Sequence[Outcome] | Failure, batch: "list[_Waiting[Item, Result]]", run: Run) -> None:
        # The next batch starts first: its worker works while the results of this one are answered.
        self._free.append(run)
        self._run_soon()
        if not isinstance(outcomes, Failure) and len(outcomes) != len(batch):
            outcomes = Failure(StepFailed(f"{len(outcomes)} outcomes for {len(batch)} items"))
        if isinstance(outcomes, Failure):
            for _, result, _ in batch:
                result.errback(outcomes)
        else:
            for (_, result, _), (kind, value) in zip(batch, outcomes, strict=True):
                if kind == DONE:
                    result.callback(value)
                else:
                    result.errback(_failure(kind, value))
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self._idle and self.is_idle:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)


def _failure(kind: str, text: str) -> Exception:
    if kind == UNAVAILABLE:
        return LedgerUnavailable(text)
    if kind == UNKNOWN:
        return LedgerOutcomeUnknown(text)
    return StepFailed(text)
