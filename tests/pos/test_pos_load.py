"""The load generator: its cheap look at answers agrees with the codec, and its counts are true."""

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from messages.framing import Frame, FrameReader, FrameStyle
from pos.load import Answer, LoadClient, PreparedSale, SaleSource, Tally
from pos.load_plan import LoadPlan, LoadReport, read_plan, read_report, write_plan
from tests.pos.fake_switch import IDENTITY, Behaviour, FakeSwitch, approve, decline, to_another, wrongly_signed
from vending.money import Centavos

NOW = datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC)
PLAN = LoadPlan(
    host="127.0.0.1",
    port=1,
    terminals=(IDENTITY,),
    meters=("37000000002", "37000000010"),
    paid_centavos=(Centavos(2_000_000), Centavos(500_000)),
    warm_up_seconds=0.0,
    window_seconds=1.0,
    prepared_sales=3,
    sales_per_second=None,
    seed=7,
)


def source() -> SaleSource:
    return SaleSource(IDENTITY, PLAN, random.Random(7), NOW)


def frames(octets: bytes) -> list[bytes]:
    return [event.octets for event in FrameReader(FrameStyle.BINARY_2).receive(octets) if isinstance(event, Frame)]


def looked_at(behaviour: Behaviour) -> tuple[Answer, FakeSwitch]:
    switch = FakeSwitch([behaviour])
    sale = next(iter(source()))
    (frame,) = frames(switch.receive(sale.frame))
    return Answer(frame, sale), switch


@pytest.mark.parametrize(("behaviour", "code"), [(approve, b"00"), (decline("51"), b"51"), (decline("09"), b"09")])
def test_the_cheap_look_finds_the_code(behaviour: Behaviour, code: bytes) -> None:
    """With and without the data elements in front of it, 39 is where the look expects it."""
    answer, switch = looked_at(behaviour)
    assert (answer.is_echo_right, answer.code) == (True, code)
    assert switch.macs_right == [True]


@pytest.mark.parametrize(
    "changes", [{"de11": "999999"}, {"de2": "37000000028"}, {"de4": "000000000001"}, {"de7": "0101000000"}]
)
def test_the_cheap_look_sees_another_answer(changes: dict[str, str]) -> None:
    """An answer to something else is not counted as ours."""
    answer, _ = looked_at(to_another(**changes))
    assert not answer.is_echo_right


def test_a_prepared_sale_has_its_own_number_each() -> None:
    """Each request of a terminal has the next STAN, and a repeat keeps it."""
    switch = FakeSwitch([approve])
    one = source()
    sales = [sale for sale, _ in zip(one, range(3), strict=False)]
    for sale in sales:
        switch.receive(sale.frame)
    switch.receive(one.repeat_of(sales[1]))
    assert [(request.mti, request.text(11)) for request in switch.requests] == [
        ("0200", "000001"),
        ("0200", "000002"),
        ("0200", "000003"),
        ("0201", "000002"),
    ]
    assert all(switch.macs_right)


class _Schedule:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.seconds()

    def is_over(self) -> bool:
        return self._clock.seconds() >= 10


class Bench:
    """One client on a string transport, a clock that is turned by hand, and a scripted switch."""

    def __init__(self, *script: Behaviour, interval_seconds: float | None = None) -> None:
        self.clock = Clock()
        self.idle = 0
        self.switch = FakeSwitch(list(script))
        self.tally = Tally()
        self.tally.open_window(1.0, 10.0)
        self.client = LoadClient(
            source(),
            [],
            self.tally,
            _Schedule(self.clock),
            self.clock,
            interval_seconds=interval_seconds,
            when_idle=self._count_idle,
        )
        self.client.prepare(2)
        self.transport = StringTransport()
        self.client.makeConnection(self.transport)

    def _count_idle(self) -> None:
        self.idle += 1

    def serve(self) -> int:
        """Answer everything that was written; return how much that was."""
        written = self.transport.value()
        self.transport.clear()
        requests = frames(written)
        answers = b"".join(self.switch.serve(request) for request in requests)
        if answers:
            self.client.dataReceived(answers)
        return len(requests)


def test_a_client_sells_one_at_a_time_and_counts_the_window_only() -> None:
    """Answers before the window count in the total, those inside with their latency, and after the end nothing starts."""
    bench = Bench(approve, approve, decline("51"), approve)
    bench.client.begin(0.0)
    bench.clock.advance(0.5)
    bench.serve()
    bench.clock.advance(1.0)
    bench.serve()
    bench.clock.advance(0.25)
    bench.serve()
    bench.clock.advance(9.0)
    assert bench.serve() == 1
    assert bench.serve() == 0
    assert bench.idle == 1
    assert bench.tally.codes == {b"00": 1, b"51": 1}
    assert bench.tally.total_codes == {b"00": 3, b"51": 1}
    assert bench.tally.latencies_ms == [1000.0, 250.0]
    assert bench.tally.late_prepared == 2


def test_in_progress_is_repeated_and_counts_from_the_first_request() -> None:
    """A sale that took several asks is one sale with its whole latency."""
    bench = Bench(decline("09"), approve)
    bench.clock.advance(2.0)
    bench.client.begin(2.0)
    bench.serve()
    bench.clock.advance(0.5)
    bench.serve()
    assert [request.mti for request in bench.switch.requests] == ["0200", "0201"]
    assert bench.tally.in_progress == 1
    assert bench.tally.latencies_ms == [500.0]


def test_a_paced_client_counts_from_when_a_sale_was_due() -> None:
    """A slow answer makes the next sale late, and its lateness is part of its latency."""
    bench = Bench(approve, interval_seconds=1.0)
    bench.clock.advance(1.0)
    bench.client.begin(1.0)
    bench.clock.advance(2.5)
    bench.serve()
    bench.clock.advance(0.0)
    bench.clock.advance(0.1)
    bench.serve()
    assert bench.tally.latencies_ms == pytest.approx([2500.0, 1600.0])


def test_false_answers_and_lost_links_are_counted() -> None:
    """An answer to something else leaves the sale open; a link that ends is one lost."""
    bench = Bench(to_another(de11="999999"))
    bench.client.begin(0.0)
    bench.serve()
    assert bench.tally.mismatched == 1
    assert bench.client.sale is not None
    bench.client.connectionLost()
    assert bench.tally.links_lost == 1


def test_plan_and_report_travel_as_lines() -> None:
    """Both are read back as they were written, and the plan does not print its keys."""
    assert read_plan(write_plan(PLAN)) == PLAN
    assert IDENTITY.mac_key.reveal().hex() not in repr(PLAN)
    assert isinstance(PreparedSale(next(iter(source())).frame).echoed, bytes)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """A switch on a real socket that approves, and signs every fourth answer wrongly."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(link: socket.socket) -> None:
        switch = FakeSwitch([approve, approve, approve, wrongly_signed] * 100_000)
        reader = FrameReader(FrameStyle.BINARY_2)
        with link:
            while data := link.recv(4096):
                for event in reader.receive(data):
                    assert isinstance(event, Frame)
                    link.sendall(switch.serve(event.octets))

    def accept() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(link,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def run_process(plan: LoadPlan) -> LoadReport:
    with subprocess.Popen(
        [sys.executable, "-m", "pos.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(write_plan(plan) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        child.stdin.write(f"{time.monotonic() + 0.1!r}\n")
        child.stdin.flush()
        return read_report(child.stdout.readline())


def test_a_load_process_sells_over_tcp_and_checks_every_mac(address: tuple[str, int]) -> None:
    """The whole process: connections, window, drain, and after the clock the MACs, of which every fourth is found wrong."""
    terminals = (IDENTITY, replace(IDENTITY, terminal_id="T0000002"))
    plan = replace(
        PLAN,
        host=address[0],
        port=address[1],
        terminals=terminals,
        warm_up_seconds=0.1,
        window_seconds=0.4,
        prepared_sales=20,
    )
    report = run_process(plan)
    done = sum(report.total_codes.values())
    assert report.codes.keys() == {"00"}
    assert 0 < len(report.latencies_ms) == report.codes["00"] < done
    assert (report.unanswered, report.links_lost, report.mismatched, report.in_progress) == (0, 0, 0, 0)
    assert report.macs_checked == done
    assert done // 4 - 2 <= report.macs_wrong <= done // 4
    assert (report.pins, report.pins_distinct) == (done - report.macs_wrong, 1)
    assert report.late_prepared >= done - 20


def test_a_paced_load_keeps_its_pace(address: tuple[str, int]) -> None:
    """At twenty sales a second, half a second brings ten, however fast the answers come."""
    plan = replace(PLAN, host=address[0], port=address[1], window_seconds=0.5, sales_per_second=20.0)
    report = run_process(plan)
    assert 8 <= sum(report.total_codes.values()) <= 11
