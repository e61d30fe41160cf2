"""Group commit: which items go together, in what order, and what they get when something fails."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import Batcher, QueueFull, StepFailed, TooLate
from switch.worker_codec import DONE, FAULT, UNAVAILABLE, UNKNOWN, Outcome


def at_once(run: Callable[[], None]) -> None:
    """A turn that ends as soon as something waits for its end; most tests here do not care about turns."""
    run()


class Worker:
    """Takes batches and answers them when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._waiting: list[Deferred[Sequence[Outcome]]] = []

    def send(self, items: Sequence[str]) -> Deferred[Sequence[Outcome]]:
        assert not self._waiting, "one batch at a time"
        self.batches.append(list(items))
        answer: Deferred[Sequence[Outcome]] = Deferred()
        self._waiting.append(answer)
        return answer

    def answer(self, outcomes: Sequence[Outcome] | Exception | None = None) -> None:
        """Answer the present batch: with its items in capitals, or with what is given."""
        waiting = self._waiting.pop()
        if isinstance(outcomes, Exception):
            waiting.errback(outcomes)
        else:
            waiting.callback([(DONE, item.upper()) for item in self.batches[-1]] if outcomes is None else outcomes)


class Bench:
    """A batcher of texts and everything that its submitters got, in order."""

    def __init__(self, **limits: Any) -> None:
        self.worker = Worker()
        self.sizes: list[int] = []
        self.got: list[Any] = []
        self.batcher: Batcher[str, str] = Batcher(
            [self.worker.send], at_end_of_turn=at_once, observe_batch=self.sizes.append, **limits
        )

    def submit(self, *items: str) -> None:
        for item in items:
            self.batcher.submit(item).addCallbacks(self.got.append, self._failed)

    def _failed(self, failure: Failure) -> None:
        self.got.append(failure.value)


def test_one_item_alone_is_a_batch_and_waits_for_nobody() -> None:
    """Under no load an item leaves at once."""
    bench = Bench()
    bench.submit("a")
    assert bench.worker.batches == [["a"]]
    bench.worker.answer()
    assert bench.got == ["A"]
    assert bench.sizes == [1]


def test_what_comes_while_a_batch_runs_is_the_next_batch_in_order() -> None:
    """Items gather while the worker works, and go together."""
    bench = Bench()
    bench.submit("a", "b", "c")
    bench.worker.answer()
    assert bench.worker.batches == [["a"], ["b", "c"]]
    bench.worker.answer()
    assert bench.got == ["A", "B", "C"]


def test_the_worker_works_on_while_results_are_handed_over() -> None:
    """The next batch leaves before the first result of this one is acted upon."""
    bench = Bench()
    seen: list[int] = []
    bench.batcher.submit("a").addCallback(lambda _: seen.append(len(bench.worker.batches)))
    bench.submit("b")
    bench.worker.answer()
    assert seen == [2]


def test_a_batch_has_a_limit() -> None:
    """More than the limit go in several batches."""
    bench = Bench(batch_items_max=2)
    bench.submit("a", "b", "c", "d")
    for _ in range(3):
        bench.worker.answer()
    assert bench.worker.batches == [["a"], ["b", "c"], ["d"]]


def test_the_queue_has_a_limit_and_frees_itself() -> None:
    """Past the limit an item is refused at once, and taken again when there is room."""
    bench = Bench(queue_items_max=1)
    bench.submit("a", "b")
    with pytest.raises(QueueFull):
        bench.batcher.submit("c")
    bench.worker.answer()
    bench.submit("c")
    bench.worker.answer()
    bench.worker.answer()
    assert bench.got == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(UNAVAILABLE, LedgerUnavailable), (UNKNOWN, LedgerOutcomeUnknown), (FAULT, StepFailed)],
)
def test_each_item_gets_its_own_outcome(kind: str, expected: type[Exception]) -> None:
    """A failure of one item is raised for that item only, as what it is."""
    bench = Bench()
    bench.submit("first")
    bench.submit("good", "bad")
    bench.worker.answer()
    bench.worker.answer([(DONE, "GOOD"), (kind, "why")])
    assert bench.got[:2] == ["FIRST", "GOOD"]
    assert type(bench.got[2]) is expected
    assert str(bench.got[2]) == "why"


def test_a_lost_worker_fails_the_whole_batch_and_the_next_one_goes_on() -> None:
    """When the worker dies every item of its batch learns that its outcome is unknown."""
    bench = Bench()
    bench.submit("a", "b")
    bench.worker.answer(LedgerOutcomeUnknown("gone"))
    assert isinstance(bench.got[0], LedgerOutcomeUnknown)
    bench.worker.answer()
    assert bench.got[1] == "B"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_that_cannot_be_told_apart_are_nobodys(count: int) -> None:
    """A worker that answers another number of items than it was given answers none of them."""
    bench = Bench()
    bench.submit("first")
    bench.submit("a", "b")
    bench.worker.answer()
    bench.worker.answer([(DONE, "x")] * count)
    assert [type(each) for each in bench.got[1:]] == [StepFailed, StepFailed]


def test_idle_is_told_at_once_or_after_the_last_result() -> None:
    """A drain goes on only when the last submitter has its result."""
    bench = Bench()
    told: list[list[Any]] = []
    bench.batcher.when_idle().addCallback(lambda _: told.append(list(bench.got)))
    assert told == [[]]
    bench.submit("a", "b")
    bench.batcher.when_idle().addCallback(lambda _: told.append(list(bench.got)))
    bench.worker.answer()
    assert len(told) == 1
    bench.worker.answer()
    assert told[1] == ["A", "B"]


def test_work_that_a_result_brings_is_waited_for_too() -> None:
    """A submitter that submits again when it is answered keeps the step from being idle."""
    bench = Bench()
    told: list[int] = []
    bench.batcher.submit("a").addCallback(lambda _: bench.submit("b"))
    bench.batcher.when_idle().addCallback(lambda _: told.append(1))
    bench.worker.answer()
    assert told == []
    bench.worker.answer()
    assert told == [1]


def test_two_workers_take_a_batch_each_and_the_free_one_takes_the_next() -> None:
    """A second worker means a second batch under way, and whoever is free first goes on."""
    one, two = Worker(), Worker()
    batcher: Batcher[str, str] = Batcher([one.send, two.send], at_end_of_turn=at_once)
    got: list[str] = []
    for item in "abcd":
        batcher.submit(item).addCallback(got.append)
    assert (one.batches, two.batches) == ([["a"]], [["b"]])
    two.answer()
    assert two.batches == [["b"], ["c", "d"]]
    assert not batcher.is_idle
    one.answer()
    two.answer()
    assert got == ["B", "A", "C", "D"]
    assert batcher.is_idle


def test_what_arrives_in_one_turn_goes_together() -> None:
    """The first of a herd must not leave alone and make the others wait for its whole batch."""
    worker = Worker()
    clock = Clock()
    batcher: Batcher[str, str] = Batcher([worker.send], at_end_of_turn=partial(clock.callLater, 0))
    got: list[str] = []
    for item in "abc":
        batcher.submit(item).addCallback(got.append)
    assert worker.batches == []
    clock.advance(0)
    assert worker.batches == [["a", "b", "c"]]
    worker.answer()
    batcher.submit("d")
    assert worker.batches == [["a", "b", "c"]]
    clock.advance(0)
    assert worker.batches == [["a", "b", "c"], ["d"]]
    assert got == ["A", "B", "C"]


def test_an_item_whose_deadline_passed_while_it_waited_is_in_no_batch() -> None:
    """It costs nothing and says so; those in time go, and a batch of nobody is not sent."""
    clock, worker, got, late = Clock(), Worker(), [], []  # type: ignore[var-annotated]
    batcher: Batcher[str, str] = Batcher(
        [worker.send], at_end_of_turn=at_once, now=clock.seconds, observe_late=late.append, batch_items_max=2
    )
    for item, deadline in (
        ("first", 9.0),
        ("late", 1.0),
        ("b", 9.0),
        ("too", 2.0),
        ("c", 9.0),
        ("d", 9.0),
        ("last", 3.0),
    ):
        batcher.submit(item, deadline=deadline).addCallbacks(got.append, lambda failure: got.append(failure.type))
    clock.advance(5)
    worker.answer()
    assert worker.batches == [["first"], ["b", "c"]]
    worker.answer()
    assert worker.batches[2:] == [["d"]]
    idle = batcher.when_idle()
    batcher.submit("again", deadline=4.0).addErrback(lambda failure: got.append(failure.type))
    worker.answer()
    assert len(worker.batches) == 3
    assert [each for each in got if each is not TooLate] == ["FIRST", "B", "C", "D"]
    assert got.count(TooLate) == 4
    assert sum(late) == 4
    assert idle.called
    assert batcher.is_idle


def network_of(item: str) -> str:
    """The first letter of an item says whose it is."""
    return item[0]


def test_networks_take_turns_in_a_batch() -> None:
    """One item of each, then a second: whoever has one item waiting is in the next batch, however many another has."""
    bench = Bench(network_of=network_of, batch_items_max=6)
    bench.submit("x0", *(f"x{number}" for number in range(1, 9)), "y1", "z1", "y2")
    bench.worker.answer()
    bench.worker.answer()
    assert bench.worker.batches == [["x0"], ["x1", "y1", "z1", "x2", "y2", "x3"], ["x4", "x5", "x6", "x7", "x8"]]


def test_a_network_that_was_served_last_comes_first_in_the_next_batch_of_all() -> None:
    """Where a batch is too small for all, nobody is first every time."""
    bench = Bench(network_of=network_of, batch_items_max=2)
    bench.submit("x0", "x1", "y1", "z1", "x2", "y2", "z2")
    for _ in range(3):
        bench.worker.answer()
    assert bench.worker.batches == [["x0"], ["x1", "y1"], ["z1", "x2"], ["y2", "z2"]]


def test_one_networks_part_of_a_batch_has_a_limit_where_there_are_others() -> None:
    """A backlog goes in parts, so that what comes next for another network waits for a part and not for all of it."""
    bench = Bench(network_of=network_of, batch_items_max=128)
    bench.submit("y", *(f"x{number}" for number in range(100)))
    for _ in range(3):
        bench.worker.answer()
    assert [len(batch) for batch in bench.worker.batches] == [1, 64, 36]
    alone = Bench(network_of=network_of, batch_items_max=128)
    alone.submit(*(f"x{number}" for number in range(101)))
    alone.worker.answer()
    assert [len(batch) for batch in alone.worker.batches] == [1, 100]


def test_a_network_fills_its_own_share_of_the_queue_only() -> None:
    """The one that has too much waiting is refused; the other is taken, up to the same limit."""
    bench = Bench(network_of=network_of, queue_items_max=8)
    bench.submit("y0", *(f"x{number}" for number in range(4)))
    with pytest.raises(QueueFull):
        bench.batcher.submit("x4")
    bench.submit(*(f"y{number}" for number in range(1, 5)))
    with pytest.raises(QueueFull):
        bench.batcher.submit("y5")
    assert bench.batcher.waiting_items == 8
    for _ in range(2):
        bench.worker.answer()
    assert len(bench.got) == 9
    assert bench.batcher.is_idle


def test_late_items_of_one_network_do_not_take_the_place_of_anothers() -> None:
    """They are passed over, and the batch is of those in time."""
    clock, worker, got = Clock(), Worker(), []
    batcher: Batcher[str, str] = Batcher(
        [worker.send], at_end_of_turn=at_once, now=clock.seconds, network_of=network_of, batch_items_max=2
    )
    for item, deadline in (("x0", 9.0), ("x1", 1.0), ("x2", 1.0), ("y1", 9.0), ("x3", 9.0)):
        batcher.submit(item, deadline=deadline).addCallbacks(got.append, lambda failure: got.append(failure.type))
    clock.advance(5)
    worker.answer()
    worker.answer()
    assert worker.batches == [["x0"], ["y1", "x3"]]
    assert got.count(TooLate) == 2
