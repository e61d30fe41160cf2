"""The states of a rolling restart, without processes."""

from switch.rolling_restart import Phase, RollingRestart

ALL = frozenset({1, 2, 3})


def _restart() -> RollingRestart:
    return RollingRestart([1, 2, 3], now=0.0, ready_seconds_max=10.0)


def test_each_is_replaced_once_and_only_while_the_others_are_ready() -> None:
    """Nobody is drained while one is away, in whatever order the news comes."""
    rolling = _restart()
    for number in (1, 2, 3):
        assert rolling.look(ALL - {number % 3 + 1}, 1.0) is None
        assert rolling.look(ALL, 1.0) == number
        assert (rolling.phase, rolling.look(ALL - {number}, 500.0)) == (Phase.DRAINING, None)
        rolling.ended(number % 3 + 1, 2.0)
        assert rolling.phase is Phase.DRAINING
        rolling.ended(number, 2.0)
        assert (rolling.phase, rolling.look(ALL - {number}, 3.0)) == (Phase.STARTING, None)
        if number < 3:
            assert rolling.look({number}, 4.0) is None
            assert rolling.current == number + 1
    assert rolling.look(ALL, 5.0) is None
    assert (rolling.phase, rolling.is_over, rolling.current) == (Phase.DONE, True, None)


def test_one_alone_is_replaced_too() -> None:
    """There is nobody to wait for; what connects meanwhile waits in the queue of the socket."""
    rolling = RollingRestart([1], now=0.0, ready_seconds_max=10.0)
    assert rolling.look(frozenset(), 0.0) == 1
    rolling.ended(1, 1.0)
    assert rolling.look({1}, 2.0) is None
    assert rolling.phase is Phase.DONE


def test_one_that_does_not_come_back_halts_it() -> None:
    """Too late, or dead again: the others are left alone, and it is said which one it was."""
    late = _restart()
    assert late.look(ALL, 0.0) == 1
    late.ended(1, 1.0)
    assert late.look({2, 3}, 10.9) is None
    assert late.phase is Phase.STARTING
    assert late.look({2, 3}, 11.0) is None
    assert (late.phase, late.why) == (Phase.HALTED, "not ready within 10 seconds: 1")
    assert late.look(ALL, 12.0) is None
    dead = _restart()
    assert dead.look(ALL, 0.0) == 1
    dead.ended(1, 1.0)
    dead.ended(1, 2.0)
    assert (dead.phase, "process 1 ended before it was ready" in dead.why) == (Phase.HALTED, True)


def test_it_is_not_begun_while_another_is_away_for_long() -> None:
    """After its time it gives up and names who was missing."""
    rolling = _restart()
    assert rolling.look({1, 3}, 9.9) is None
    assert rolling.phase is Phase.WAITING
    assert rolling.look({1}, 10.0) is None
    assert (rolling.phase, rolling.why) == (Phase.HALTED, "not ready within 10 seconds: 2, 3")
