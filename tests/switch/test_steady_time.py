"""The clock of the machine may step; the timers of the switch may not."""

import time

import pytest
from twisted.internet.selectreactor import SelectReactor

from switch.main import keep_time_steady


def test_a_timer_does_not_see_the_time_of_day() -> None:
    """Whatever happens to the time of day after a timer was set, it is due when it was."""
    reactor = SelectReactor()
    keep_time_steady(reactor)
    call = reactor.callLater(5.0, lambda: None)
    assert call.getTime() == pytest.approx(time.monotonic() + 5.0, abs=1.0)
    timeout = reactor.timeout()
    assert timeout is not None
    assert 3.0 < timeout <= 5.0
