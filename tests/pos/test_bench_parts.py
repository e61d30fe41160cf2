"""The benchmark's parts: processor time of other processes, percentiles, and how reports are put together."""

import os
import subprocess
import sys
import time

import pytest

from cli.bench import BenchOptions, Measured, _is_sound, percentile, summarise
from cli.process_cpu import cpu_microseconds
from pos.load_plan import LoadReport

REPORT = LoadReport(
    latencies_ms=[1.0, 2.0, 3.0],
    codes={"00": 2, "51": 1},
    total_codes={"00": 4, "51": 1},
    in_progress=1,
    unanswered=0,
    links_lost=0,
    mismatched=0,
    macs_checked=5,
    macs_wrong=0,
    pins=4,
    pins_distinct=4,
    late_prepared=0,
    cpu_seconds=0.0003,
)
OPTIONS = BenchOptions(clients=20, seconds=2.0, warm_up=0.0, rate=None, processes=2)


def test_own_processor_time_is_what_the_system_says() -> None:
    """The figure from /proc agrees with the process's own clock to a few ticks."""
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert cpu_microseconds(os.getpid()) == pytest.approx(time.process_time() * 1_000_000, abs=50_000)


def test_children_count_while_they_live_and_after() -> None:
    """A child's work is its parent's, whether the child has ended or not; without being asked it is not."""
    program = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"
    before, own = cpu_microseconds(os.getpid(), with_children=True), cpu_microseconds(os.getpid())
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while_alive = cpu_microseconds(os.getpid(), with_children=True) - before
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
    after = cpu_microseconds(os.getpid(), with_children=True) - before
    assert while_alive > 250_000
    assert after > 250_000
    assert cpu_microseconds(os.getpid()) - own < 200_000


def test_a_process_that_is_not_there_is_an_error() -> None:
    """A wrong pid is never measured as idle."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessLookupError):
        cpu_microseconds(child.pid)


@pytest.mark.parametrize(("percent", "value"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0)])
def test_percentiles_are_nearest_rank(percent: int, value: float) -> None:
    """Of one to a hundred, the percentile is the number itself; of nothing there is none."""
    assert percentile([float(number) for number in range(1, 101)], percent) == value
    assert percentile([], percent) is None


def test_reports_are_added_up() -> None:
    """Rates come from the window, costs are shared among all its sales, and declines are listed by code."""
    measured = Measured(reports=[REPORT, REPORT], cpu={"switch": 1200, "load": 600}, seconds=2.0)
    result = summarise(measured, OPTIONS)
    assert result["sales_per_second"] == 2.0
    assert (result["p50_ms"], result["p99_ms"], result["max_ms"]) == (2.0, 3.0, 3.0)
    assert result["cpu_us_per_sale"] == {"switch": 200.0, "load": 100.0}
    assert (result["approved"], result["declined"], result["approved_in_all"]) == (4, {"51": 2}, 8)
    assert (result["pins"], result["macs_checked"], result["in_progress"]) == (8, 10, 2)


@pytest.mark.parametrize(
    ("change", "is_sound"),
    [
        ({}, True),
        ({"unanswered": 1}, False),
        ({"macs_wrong": 1}, False),
        ({"mismatched": 1}, False),
        ({"approved": 0}, False),
        ({"ledger_check": {"agrees": False}}, False),
    ],
)
def test_a_flaw_is_a_failure(change: dict[str, object], is_sound: bool) -> None:
    """A fast run that lost a sale, took a false answer or left the books wrong is no result."""
    measured = Measured(reports=[REPORT], cpu={}, seconds=2.0)
    assert _is_sound({**summarise(measured, OPTIONS), "ledger_check": {"agrees": True}, **change}) is is_sound
