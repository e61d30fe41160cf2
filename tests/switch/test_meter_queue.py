from functools import partial

import pytest
from twisted.internet.defer import Deferred

from switch.meter_queue import WAITING_SALES_MAX, MeterQueue, MeterQueueFull


def _enter(queue: MeterQueue, meter: str) -> Deferred[None]:
    turn = queue.enter(meter, "red")
    assert turn is not None
    return turn


def _note(order: list[int], number: int, _: None) -> None:
    order.append(number)


def test_a_free_meter_is_entered_at_once() -> None:
    """Nobody waits for a meter that nobody has, nor for another one."""
    queue = MeterQueue()
    assert queue.enter("1", "red") is None
    assert queue.enter("2", "red") is None
    queue.leave("1")
    assert queue.enter("1", "red") is None


def test_turns_come_in_order_one_for_each_leave() -> None:
    """First come, first served, and never two at a time."""
    queue = MeterQueue()
    queue.enter("1", "red")
    order: list[int] = []
    for number in range(3):
        _enter(queue, "1").addCallback(partial(_note, order, number))
    for expected in ([0], [0, 1], [0, 1, 2]):
        queue.leave("1")
        assert order == expected
    queue.leave("1")
    assert queue.enter("1", "red") is None


def test_the_line_has_an_end_and_moves_on() -> None:
    """One too many is refused; when somebody has his turn there is a place again."""
    queue = MeterQueue()
    queue.enter("1", "red")
    turns = [_enter(queue, "1") for _ in range(WAITING_SALES_MAX)]
    with pytest.raises(MeterQueueFull):
        queue.enter("1", "red")
    assert queue.enter("2", "red") is None
    queue.leave("1")
    assert [turn.called for turn in turns] == [True] + [False] * (WAITING_SALES_MAX - 1)
    _enter(queue, "1")
    with pytest.raises(MeterQueueFull):
        queue.enter("1", "red")


def test_one_network_cannot_keep_another_from_a_meter() -> None:
    """The line of one network is full; the other has its own places in it, and its turn."""
    queue = MeterQueue()
    queue.enter("1", "red")
    for _ in range(WAITING_SALES_MAX):
        _enter(queue, "1")
    with pytest.raises(MeterQueueFull):
        queue.enter("1", "red")
    other = queue.enter("1", "azul")
    assert other is not None
    for _ in range(WAITING_SALES_MAX + 1):
        queue.leave("1")
    assert other.called
