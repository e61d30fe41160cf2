"""Group commit: what arrives while the database works on one batch becomes the next batch.

Each step (reserve, post, read) has one worker thread with its own connection. Under no load a batch is one item and waits for nobody;
under load the items that gathered while the last batch was committing go together as set-based SQL. No timer is involved.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_ITEMS_MAX = 256
"""Larger batches gain nothing (the cost per row is flat by then) and make the first item wait for the last."""

QUEUE_ITEMS_MAX = 4096
"""About a second of work at full speed; beyond it a new request is refused at once instead of answered too late."""


class QueueFull(Exception):
    """The queue of a step is at its limit; nothing was written."""


class Batcher(Generic[Item, Result]):
    """One step of the sale, run batch by batch in one worker thread.

    Args:
        name: of the step, for the thread and the metrics.
        run: does one batch in one transaction and returns a result for each item, in order. It runs in the worker thread.
        reactor: to come back from the thread.
        observe_batch: told the size of each batch.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        reactor: IReactorFromThreads,
        observe_batch: Callable[[int], None] = lambda size: None,
        batch_items_max: int = BATCH_ITEMS_MAX,
        queue_items_max: int = QUEUE_ITEMS_MAX,
    ) -> None:
        self._run = run
        self._reactor = reactor
        self._observe_batch = observe_batch
        self._batch_items_max = batch_items_max
        self._queue_items_max = queue_items_max
        self._waiting: deque[tuple[Item, Deferred[Result]]] = deque()
        self._is_running = False
        self._idle: list[Deferred[None]] = []
        self._thread = ThreadPool(minthreads=1, maxthreads=1, name=name)

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker thread after its present batch."""
        self._thread.stop()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._is_running and not self._waiting

    def when_idle(self) -> Deferred[None]:
        """Fire when all that was submitted has ended and its results have been handed over."""
        done: Deferred[None] = Deferred()
        if self.is_idle:
            done.callback(None)
        else:
            self._idle.append(done)
        return done

    def submit(self, item: Item) -> Deferred[Result]:
        """Put *item* in the next batch.

        Raises:
            QueueFull: at once, when the limit is reached.
        """
        if len(self._waiting) >= self._queue_items_max:
            raise QueueFull
        result: Deferred[Result] = Deferred()
        self._waiting.append((item, result))
        if not self._is_running:
            self._run_next()
        return result

    def _run_next(self) -> None:
        if not self._waiting:
            self._is_running = False
            return
        self._is_running = True
        count = min(len(self._waiting), self._batch_items_max)
        batch = [self._waiting.popleft() for _ in range(count)]
        self._observe_batch(count)
        self._thread.callInThread(self._work, batch)

    def _work(self, batch: list[tuple[Item, Deferred[Result]]]) -> None:
        outcomes = self._outcomes([item for item, _ in batch])
        self._reactor.callFromThread(self._finish, batch, outcomes)

    def _outcomes(self, items: Sequence[Item]) -> list[Result | Failure]:
        """Run *items*; when a batch fails for a reason of its own, run each alone so that one bad item harms only itself."""
        try:
            results = self._run(items)
        except (LedgerUnavailable, LedgerOutcomeUnknown):
            return [Failure()] * len(items)
        except Exception:  # noqa: BLE001 - whatever it is belongs to the items' callers, never to this thread
            if len(items) == 1:
                return [Failure()]
            # Any other exception was raised before COMMIT, so nothing of the batch is durable.
            return [outcome for item in items for outcome in self._outcomes([item])]
        if len(results) != len(items):
            # The batch may be durable and nobody can say which result is whose, so nobody gets one.
            fault = Failure(AssertionError(f"{len(results)} results for {len(items)} items"))
            return [fault] * len(items)
        return list(results)

    def _finish(self, batch: list[tuple[Item, Deferred[Result]]], outcomes: list[Result | Failure]) -> None:
        # The next batch starts first: the thread works while the results of this one are answered.
        self._run_next()
        for (_, result), outcome in zip(batch, outcomes, strict=True):
            result.callback(outcome)  # a Failure starts the errback chain
        if self.is_idle:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)
