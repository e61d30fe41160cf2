"""The look at the networks: a low float is told once, when it is crossed, and files that fail are told each time."""

from collections.abc import Iterator, MutableMapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from twisted.internet.task import Clock

from ledger.errors import LedgerUnavailable
from switch.log import Event
from switch.metrics import Metrics
from switch.network_watch import NetworkWatch
from tests.switch.fakes import Fake
from vending.settlement import FloatLevel, LookAtNetworks, NetworksSeen

Lines = list[MutableMapping[str, Any]]

NOW = datetime(2026, 8, 14, 15, 30, tzinfo=UTC)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the switch logs."""
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def level(available: int) -> FloatLevel:
    """A float with a warning at 100."""
    return FloatLevel(acquirer_id="banco", available_centavos=available, warning_centavos=100)


def test_a_float_that_runs_low_is_told_when_it_crosses_its_level(lines: Lines) -> None:
    """Not again while it stays low; a failed look changes nothing; the metrics show what was seen last."""
    clock, registry = Clock(), CollectorRegistry()
    plan: list[NetworksSeen | Exception] = [
        NetworksSeen(floats=(level(100),)),
        NetworksSeen(floats=(level(99),)),
        LedgerUnavailable("gone"),
        NetworksSeen(floats=(level(1),), delivered=(("banco", date(2026, 8, 13)),)),
        NetworksSeen(floats=(level(500),), failed=(("banco", "no directory"),)),
    ]
    asked: Fake[Any, Any] = Fake("watch", [], lambda _item: plan.pop(0))
    directories: dict[str, str] = {}
    watch = NetworkWatch(
        watch=asked,
        directories=lambda: directories,
        interval_seconds=60.0,
        metrics=Metrics(registry),
        reactor=clock,
        now=lambda: NOW,
    )
    watch.start()
    assert asked.asked == [LookAtNetworks(at=NOW)]
    assert lines == []
    directories["banco"] = "/files"
    for _ in range(3):
        clock.advance(60.0)
    assert asked.asked[-1] == LookAtNetworks(at=NOW, directories=(("banco", "/files"),))
    assert registry.get_sample_value("eudora_float_is_low", {"acquirer": "banco"}) == 1
    assert registry.get_sample_value("eudora_float_available_centavos", {"acquirer": "banco"}) == 1
    clock.advance(60.0)
    watch.stop()
    clock.advance(60.0)
    assert [line["event"] for line in lines] == [
        Event.FLOAT_LOW,
        Event.NETWORK_LOOK_FAILED,
        Event.SETTLEMENT_FILE_DELIVERED,
        Event.FLOAT_RECOVERED,
        Event.SETTLEMENT_FILE_FAILED,
    ]
    assert lines[0]["available_centavos"] == 99
    assert registry.get_sample_value("eudora_float_is_low", {"acquirer": "banco"}) == 0
    assert registry.get_sample_value("eudora_settlement_files_failed") == 1
    assert plan == []
