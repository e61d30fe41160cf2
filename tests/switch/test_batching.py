from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch import batching
from switch.batching import Batcher, QueueFull


class Thread:
    """A worker thread that works when the test says so."""

    def __init__(self, minthreads: int, maxthreads: int, name: str) -> None:
        assert (minthreads, maxthreads) == (1, 1), "one connection, one order"
        self.name = name
        self.state = "new"
        self.work: list[Callable[[], object]] = []

    def start(self) -> None:
        """See `ThreadPool`."""
        self.state = "started"

    def stop(self) -> None:
        """See `ThreadPool`."""
        self.state = "stopped"

    def callInThread(self, function: Callable[..., object], *args: Any) -> None:  # noqa: N802 - the name is Twisted's
        """See `ThreadPool`."""
        self.work.append(lambda: function(*args))


@implementer(IReactorFromThreads)
class Loop:
    """The way back from a thread; what comes waits until the test lets the reactor turn."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:  # noqa: N802
        """See `IReactorFromThreads`."""
        self.calls.append(lambda: callable(*args, **kwargs))

    def callInThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:  # noqa: N802
        """Not used here."""
        raise NotImplementedError

    def getThreadPool(self) -> Any:  # noqa: N802
        """Not used here."""
        raise NotImplementedError

    def suggestThreadPoolSize(self, size: int) -> None:  # noqa: N802
        """Not used here."""
        raise NotImplementedError


class Bench:
    """A batcher of texts whose thread and reactor turn when the test says so. A text is answered with itself in capitals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
        threads: list[Thread] = []

        def make(**named: Any) -> Thread:
            threads.append(Thread(**named))
            return threads[-1]

        monkeypatch.setattr(batching, "ThreadPool", make)
        self.loop = Loop()
        self.batches: list[list[str]] = []
        self.sizes: list[int] = []
        self.errors: dict[str, Exception] = {}
        self.run: Callable[[Sequence[str]], Sequence[str]] = lambda items: [item.upper() for item in items]
        self.batcher: Batcher[str, str] = Batcher(
            "step", self._run, reactor=self.loop, observe_batch=self.sizes.append, **limits
        )
        (self.thread,) = threads

    def _run(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        for item in items:
            if item in self.errors:
                raise self.errors[item]
        return self.run(items)

    def submit(self, *items: str) -> list[list[object]]:
        """Submit each; the lists take their results when they come."""
        taken: list[list[object]] = []
        for item in items:
            results: list[object] = []
            self.batcher.submit(item).addBoth(results.append)
            taken.append(results)
        return taken

    def work(self) -> None:
        """Let the thread do its batch."""
        self.thread.work.pop(0)()

    def turn(self) -> None:
        """Let the reactor take what the thread gave back."""
        calls, self.loop.calls = self.loop.calls, []
        for call in calls:
            call()

    def finish(self) -> None:
        """Work and turn until nothing is left."""
        while self.thread.work:
            self.work()
            self.turn()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def _errors(results: list[list[object]]) -> list[type[BaseException]]:
    found = []
    for (result,) in results:
        assert isinstance(result, Failure)
        assert result.type is not None
        found.append(result.type)
    return found


def test_one_item_alone_is_a_batch_and_waits_for_nobody(bench: Bench) -> None:
    """There is no timer: the thread gets it in the same call, and its result comes by way of the reactor."""
    (result,) = bench.submit("a")
    assert len(bench.thread.work) == 1
    bench.work()
    assert result == []
    bench.turn()
    assert result == ["A"]


def test_what_comes_while_a_batch_runs_is_the_next_batch_in_order(bench: Bench) -> None:
    """Nobody overtakes, and each gets its own result."""
    results = bench.submit("a")
    results += bench.submit("b", "c", "d")
    assert len(bench.thread.work) == 1
    bench.work()
    results += bench.submit("e")
    bench.turn()
    results += bench.submit("f")
    bench.finish()
    assert bench.batches == [["a"], ["b", "c", "d", "e"], ["f"]]
    assert bench.sizes == [1, 4, 1]
    assert results == [["A"], ["B"], ["C"], ["D"], ["E"], ["F"]]


def test_the_thread_works_on_while_results_are_handed_over(bench: Bench) -> None:
    """The next batch is in the thread before anybody is told of the last one."""
    seen: list[int] = []
    bench.batcher.submit("a").addCallback(lambda _: seen.append(len(bench.thread.work)))
    bench.submit("b")
    bench.work()
    bench.turn()
    assert seen == [1]


def test_a_batch_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit goes with the batch after."""
    bench = Bench(monkeypatch, batch_items_max=2)
    results = bench.submit(*"abcdef")
    bench.finish()
    assert bench.batches == [["a"], ["b", "c"], ["d", "e"], ["f"]]
    assert results == [[item.upper()] for item in "abcdef"]


def test_the_queue_has_a_limit_and_frees_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item too many is refused at once, harms nobody, and there is room again afterwards."""
    bench = Bench(monkeypatch, queue_items_max=2)
    results = bench.submit("a", "b", "c")
    with pytest.raises(QueueFull):
        bench.batcher.submit("d")
    bench.work()
    bench.turn()
    results += bench.submit("e", "f")
    with pytest.raises(QueueFull):
        bench.batcher.submit("g")
    bench.finish()
    assert results == [["A"], ["B"], ["C"], ["E"], ["F"]]


def test_a_bad_item_harms_only_itself(bench: Bench) -> None:
    """A batch that fails for a reason of its own is done again one by one."""
    bench.errors["bad"] = ValueError("bad")
    first = bench.submit("x")
    good, bad, other = bench.submit("a", "bad", "b")
    bench.finish()
    assert bench.batches == [["x"], ["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert (first, good, other) == ([["X"]], ["A"], ["B"])
    assert _errors([bad]) == [ValueError]


def test_a_bad_item_alone_is_not_tried_again(bench: Bench) -> None:
    """Its error would be the same."""
    bench.errors["bad"] = ValueError("bad")
    results = bench.submit("bad")
    bench.finish()
    assert bench.batches == [["bad"]]
    assert _errors(results) == [ValueError]


@pytest.mark.parametrize("error", [LedgerUnavailable("gone"), LedgerOutcomeUnknown("lost")], ids=repr)
def test_a_database_that_fails_fails_everybody_once(bench: Bench, error: Exception) -> None:
    """Trying one by one would only hammer it; the next batch has its own chance."""
    bench.errors["b"] = error
    bench.submit("x")
    results = bench.submit("a", "b", "c")
    bench.work()
    bench.turn()
    later = bench.submit("d")
    bench.finish()
    assert bench.batches == [["x"], ["a", "b", "c"], ["d"]]
    assert _errors(results) == [type(error)] * 3
    assert later == [["D"]]


def test_a_database_that_fails_while_a_bad_item_is_looked_for_fails_the_rest(bench: Bench) -> None:
    """What had been done one by one by then keeps its result."""
    bench.errors.update(b=ValueError("bad"), c=LedgerUnavailable("gone"))
    bench.submit("x")
    a, b, c, d = bench.submit(*"abcd")
    bench.finish()
    assert (a, d) == (["A"], ["D"])
    assert _errors([b, c]) == [ValueError, LedgerUnavailable]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_that_cannot_be_told_apart_are_nobodys(bench: Bench, count: int) -> None:
    """A step that returns another number of results than items is a fault: nobody waits for ever, nobody gets a neighbour's."""
    bench.submit("x")
    results = bench.submit("a", "b")
    bench.work()
    bench.turn()
    bench.run = lambda items: ["?"] * count
    bench.finish()
    assert _errors(results) == [AssertionError] * 2
    assert bench.batches == [["x"], ["a", "b"]]
    assert bench.batcher.is_idle


def _idle(bench: Bench) -> list[str]:
    told: list[str] = []
    done: Deferred[None] = bench.batcher.when_idle()
    done.addCallback(lambda _: told.append("idle"))
    return told


def test_idle_is_told_at_once_or_after_the_last_result(bench: Bench) -> None:
    """Whoever waits for the end hears of it after everybody has his result."""
    assert _idle(bench) == ["idle"]
    events: list[str] = []
    bench.batcher.submit("a").addCallback(events.append)
    bench.batcher.submit("b").addCallback(events.append)
    bench.batcher.when_idle().addCallback(lambda _: events.append("idle"))
    assert not bench.batcher.is_idle
    bench.finish()
    assert events == ["A", "B", "idle"]
    assert _idle(bench) == ["idle"]


def test_work_that_a_result_brings_is_waited_for_too(bench: Bench) -> None:
    """A request that reserves again after its first answer has not ended."""
    told: list[str] = []
    bench.batcher.submit("a").addCallback(lambda _: bench.batcher.submit("again").addCallback(told.append))
    bench.batcher.when_idle().addCallback(lambda _: told.append("idle"))
    bench.finish()
    assert told == ["AGAIN", "idle"]


def test_the_thread_is_started_and_stopped_by_its_owner(bench: Bench) -> None:
    """One thread of the step's name."""
    assert (bench.thread.name, bench.thread.state) == ("step", "new")
    bench.batcher.start()
    assert bench.thread.state == "started"
    bench.batcher.stop()
    assert bench.thread.state == "stopped"


def test_a_real_thread_runs_the_batches_in_order() -> None:
    """The same with the thread pool of Twisted: every item once, in order, and never two batches at a time."""
    loop = Loop()
    running: list[int] = []
    done: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        assert not running
        running.append(1)
        done.extend(items)
        running.clear()
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher("real", run, reactor=loop, batch_items_max=7)
    batcher.start()
    results: list[object] = []
    try:
        for item in range(100):
            batcher.submit(item).addBoth(results.append)
        while len(results) < 100:
            while loop.calls:
                loop.calls.pop(0)()
    finally:
        batcher.stop()
    assert done == list(range(100))
    assert results == [item * 2 for item in range(100)]
