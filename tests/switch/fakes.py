"""Things outside a use case that a test makes answer, fail or hang."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from switch.batching import QueueFull

Item = TypeVar("Item")
Result = TypeVar("Result")


class Hang:
    """Planned: no answer until the test gives one."""


HANG: Final = Hang()


class Fake(Generic[Item, Result]):
    """Something outside that takes one item and answers later: at once by default, or as planned, or when it is released.

    Attributes:
        asked: every item that came, in order.
        deadlines: of each of them.
        held: what hangs, in order.
    """

    def __init__(self, name: str, events: list[str], default: Callable[[Item], Result]) -> None:
        self.asked: list[Item] = []
        self.deadlines: list[float] = []
        self.held: deque[tuple[Item, Deferred[Result]]] = deque()
        self._name = name
        self._events = events
        self._default = default
        self._plan: deque[Result | Exception | Hang | None] = deque()

    def plan(self, *outcomes: Result | Exception | Hang | None) -> None:
        """Say what the next items get; an exception is raised; None, and what comes after the plan, gets the default."""
        self._plan.extend(outcomes)

    def clear(self) -> None:
        """Forget what was planned and has not happened."""
        self._plan.clear()

    def submit(self, item: Item, *, deadline: float = inf) -> Deferred[Result]:
        """Take *item*."""
        self._events.append(f"{self._name} asked")
        self.asked.append(item)
        self.deadlines.append(deadline)
        result: Deferred[Result] = Deferred()
        outcome = self._plan.popleft() if self._plan else None
        if isinstance(outcome, QueueFull):
            raise outcome
        if isinstance(outcome, Hang):
            self.held.append((item, result))
        else:
            self._fire(item, result, outcome)
        return result

    def release(self, outcome: Result | Exception | None = None) -> None:
        """Answer the first that hangs: with *outcome*, or as by default."""
        item, result = self.held.popleft()
        self._fire(item, result, outcome)

    def _fire(self, item: Item, result: Deferred[Result], outcome: Result | Exception | None) -> None:
        try:
            value = self._default(item) if outcome is None else outcome
        except Exception as error:  # noqa: BLE001 - it is what the default says
            value = error
        if isinstance(value, Exception):
            self._events.append(f"{self._name} failed")
            result.errback(value)
        else:
            self._events.append(f"{self._name} done")
            result.callback(value)
