"""Many deadlines behind one timer: each is called back at its own time, and what has ended is not."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from switch.deadlines import Deadlines

SECONDS = 10.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 20)), max_size=12))
def test_each_is_told_at_its_own_time_unless_it_ended(plan: list[tuple[int, int | None]]) -> None:
    """However they begin and end, everyone who is late is told once, exactly then, and no timer is left."""
    clock = Clock()
    deadlines = Deadlines(clock, SECONDS)
    told: dict[int, float] = {}
    expected: dict[int, float] = {}
    ends: list[tuple[float, int]] = []
    for name, (pause, lasts) in enumerate(plan):
        _advance(clock, pause, ends, deadlines)
        number = deadlines.begin(partial(_tell, told, name, clock))
        if lasts is None or lasts >= SECONDS:
            expected[name] = clock.seconds() + SECONDS
        else:
            ends.append((clock.seconds() + lasts, number))
    _advance(clock, 40, ends, deadlines)
    assert told == expected
    assert clock.getDelayedCalls() == []


def _tell(told: dict[int, float], name: int, clock: Clock) -> None:
    assert name not in told
    told[name] = clock.seconds()


def _advance(clock: Clock, seconds: int, ends: list[tuple[float, int]], deadlines: Deadlines) -> None:
    """Let time pass second by second; what is to end at a second ends before it has passed."""
    for passed in range(seconds + 1):
        for at, number in [end for end in ends if end[0] <= clock.seconds()]:
            ends.remove((at, number))
            deadlines.end(number)
        if passed < seconds:
            clock.advance(1)


def test_a_timer_is_shared() -> None:
    """A thousand at once are one timer, which goes with the last of them."""
    clock = Clock()
    deadlines = Deadlines(clock, SECONDS)
    numbers = [deadlines.begin(lambda: None) for _ in range(1000)]
    assert len(clock.getDelayedCalls()) == 1
    for number in numbers:
        deadlines.end(number)
    assert clock.getDelayedCalls() == []


def test_one_that_is_told_may_end_another_that_is_due() -> None:
    """Its answer may free what another waits for; that one is then not told."""
    clock = Clock()
    deadlines = Deadlines(clock, SECONDS)
    told: list[str] = []

    def tell_first() -> None:
        told.append("first")
        deadlines.end(second)

    deadlines.begin(tell_first)
    second = deadlines.begin(lambda: told.append("second"))
    clock.advance(SECONDS)
    assert told == ["first"]
    clock.advance(SECONDS)
    assert clock.getDelayedCalls() == []


def test_what_was_told_cannot_end() -> None:
    """Ending twice is a mistake of the caller."""
    clock = Clock()
    deadlines = Deadlines(clock, SECONDS)
    number = deadlines.begin(lambda: None)
    clock.advance(SECONDS)
    with pytest.raises(KeyError):
        deadlines.end(number)
