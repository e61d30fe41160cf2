"""What one network does for nothing takes its share of the thread and no more; what it sells is not held up by that."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from config.acquirer import AcquirerSection, MacSection
from messages.framing import FrameStyle, write_frame
from switch.fruitless import BURST_SECONDS, CONNECTION_SECONDS, DEBT_SECONDS_MAX, REFUSAL_SECONDS, SHARE, FruitlessWork
from switch.listener import PIECE_OCTETS, AcquirerConnection, ConnectionContext
from switch.metrics import Metrics
from switch.port import ACCEPTS_PER_TURN, AcquirerPort

ECHO_SECONDS = 0.001
"""What an echo takes on the thread of these tests."""

RUN_SECONDS = 10.0


class Wire(StringTransport):
    """A transport that may be paused and resumed at any time, as a real one."""

    def pauseProducing(self) -> None:
        """Read no more."""
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        """Read on."""
        self.producerState = "producing"


class Listening:
    """What a reactor gives for an open port."""

    def __init__(self) -> None:
        self.numberAccepts = 100
        self.is_reading = True

    def stopReading(self) -> None:  # noqa: N802 - the names are Twisted's
        self.is_reading = False

    def startReading(self) -> None:  # noqa: N802
        self.is_reading = True

    def getHost(self) -> object:  # noqa: N802
        return type("Address", (), {"host": "127.0.0.1", "port": 1})()


class Bench:
    """A port in memory. A frame ``echo`` takes the thread for a while, ``sale`` waits until the test answers it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.busy_seconds = 0.0
        self.sales: list[tuple[ConnectionContext, Deferred[bytes]]] = []
        self.listening = Listening()
        self.port = AcquirerPort(
            section=AcquirerSection.model_validate({"id": "red", "listen_port": 0, "mac": MacSection(register_id=1)}),
            clock=self.clock,
            serve=self._serve,
            metrics=Metrics(self.registry).acquirer("red"),
        )
        self.port.listen(self)  # type: ignore[arg-type]

    def listenTCP(self, *_: object, **__: object) -> Listening:  # noqa: N802 - the name is Twisted's
        """Open nothing."""
        return self.listening

    async def _serve(self, context: ConnectionContext, frame: bytes) -> bytes:
        if frame == b"echo":
            self.work(ECHO_SECONDS)
            return frame
        answer: Deferred[bytes] = Deferred()
        self.sales.append((context, answer))
        return await answer

    def work(self, seconds: float) -> None:
        """Let the thread be busy."""
        self.busy_seconds += seconds
        # Not `advance`, which would run what is due in the middle of a turn.
        self.clock.rightNow += seconds

    def answer(self, *, is_proven: bool) -> None:
        """Answer the oldest sale: its MAC was right, or wrong."""
        context, answer = self.sales.pop(0)
        context.is_proven = is_proven
        context.false_macs += not is_proven
        answer.callback(b"answer")

    def connect(self) -> tuple[AcquirerConnection, Wire]:
        """Return a connection and its wire."""
        connection = self.port.buildProtocol(None)
        assert connection is not None
        wire = Wire()
        connection.makeConnection(wire)
        return connection, wire

    def pauses(self) -> float:
        """Return the metric."""
        return self.registry.get_sample_value("eudora_fruitless_pauses_total", {"acquirer": "red"}) or 0.0


def frames(*bodies: bytes) -> bytes:
    return b"".join(write_frame(FrameStyle.BINARY_2, body) for body in bodies)


def run(bench: Bench, until: float, feed: Callable[[], None]) -> None:
    """Let turns of the reactor pass, a millisecond after each other."""
    while bench.clock.seconds() < until:
        feed()
        bench.clock.advance(0.001)


def test_a_flood_of_echoes_gets_the_share_and_connections_take_turns() -> None:
    """Three connections that ask as fast as they are read have a fifth of the thread together, and each as much as the others."""
    bench = Bench()
    links = [bench.connect() for _ in range(3)]

    def feed() -> None:
        for connection, wire in links:
            if wire.producerState == "producing":
                connection.dataReceived(frames(*[b"echo"] * 50))

    run(bench, RUN_SECONDS, feed)
    assert bench.busy_seconds == pytest.approx(RUN_SECONDS * SHARE, rel=0.05)
    answered = [len(wire.value()) for _, wire in links]
    assert min(answered) > 0.9 * max(answered)
    assert bench.pauses() > 100


def test_one_turn_is_never_held_for_longer_than_burst_and_one_frame() -> None:
    """However many frames lie there at once, the thread is free again after the burst, and later after one frame."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(frames(*[b"echo"] * 1000))
    assert bench.busy_seconds <= BURST_SECONDS / (1 - SHARE) + ECHO_SECONDS
    assert wire.producerState == "paused"
    for _ in range(200):
        before = bench.busy_seconds
        bench.clock.advance(0.001)
        assert bench.busy_seconds - before <= 2 * ECHO_SECONDS


def test_a_trusted_connection_sells_while_another_floods() -> None:
    """Work that waits elsewhere is not charged to who has shown a right MAC, whatever its network does beside."""
    bench = Bench()
    (till, till_wire), (flood, _) = bench.connect(), bench.connect()
    till.dataReceived(frames(b"sale"))
    bench.answer(is_proven=True)
    for _ in range(100):
        flood.dataReceived(frames(*[b"echo"] * 50))
        till.dataReceived(frames(b"sale"))
        assert len(bench.sales) == 1
        assert till_wire.producerState == "producing"
        bench.answer(is_proven=True)
        bench.clock.advance(0.001)


def test_requests_with_wrong_macs_are_held_to_the_share_too() -> None:
    """They wait elsewhere like sales, so each is charged before: nobody gets more of them done than the share pays for."""
    bench = Bench()
    connection, wire = bench.connect()
    served = 0

    def feed() -> None:
        nonlocal served
        if wire.producerState == "producing":
            connection.dataReceived(frames(*[b"sale"] * 10))
        while bench.sales:
            served += 1
            bench.answer(is_proven=False)

    run(bench, RUN_SECONDS, feed)
    assert served * REFUSAL_SECONDS == pytest.approx(RUN_SECONDS * SHARE, rel=0.05)


def test_a_right_mac_now_and_then_buys_no_wrong_ones() -> None:
    """A line on which a terminal with a wrong key asks between the others' requests: the wrong ones are held to the share all the same."""
    bench = Bench()
    connection, wire = bench.connect()
    wrong = right = 0

    def feed() -> None:
        nonlocal wrong, right
        if wire.producerState == "producing":
            connection.dataReceived(frames(*[b"sale"] * 4))
        while bench.sales:
            is_right = (wrong + right) % 4 == 0
            right, wrong = right + is_right, wrong + (not is_right)
            bench.answer(is_proven=is_right)

    seconds = RUN_SECONDS / 4
    run(bench, seconds, feed)
    assert wrong * REFUSAL_SECONDS == pytest.approx(seconds * SHARE, rel=0.1)
    assert right > wrong / 4


def test_a_right_mac_gives_back_its_own_charge_and_not_a_wrong_ones() -> None:
    """Connections on which a wrong MAC came before a right one have used the share up after as many wrong ones as it pays for."""
    bench = Bench()
    wrong = 0
    while not bench.pauses() and wrong < 1000:
        connection, _ = bench.connect()
        for is_proven in (False, True):
            connection.dataReceived(frames(b"sale"))
            if bench.sales:
                bench.answer(is_proven=is_proven)
        wrong += 1
    assert wrong == pytest.approx(BURST_SECONDS / REFUSAL_SECONDS, abs=3)


def test_wrong_macs_on_a_trusted_connection_are_charged_when_they_are_known() -> None:
    """What was begun in good faith and turned out wrong: nothing was charged before, so it is charged then, and the line is held."""
    bench = Bench()
    count = int(BURST_SECONDS / REFUSAL_SECONDS) + 2
    lines = [bench.connect() for _ in range(2)]
    for connection, _ in lines:
        connection.dataReceived(frames(b"sale"))
        bench.answer(is_proven=True)
    for connection, _ in lines:
        connection.dataReceived(frames(*[b"sale"] * (count // 2)))
    assert len(bench.sales) == 2 * (count // 2)
    assert [wire.producerState for _, wire in lines] == ["producing"] * 2
    while bench.sales:
        bench.answer(is_proven=False)
    assert lines[-1][1].producerState == "paused"


def test_what_was_charged_before_is_given_back_for_a_right_mac() -> None:
    """Terminals that connect for every sale are not held up, as long as they sell."""
    bench = Bench()
    for _ in range(1000):
        connection, wire = bench.connect()
        connection.dataReceived(frames(b"sale"))
        bench.answer(is_proven=True)
        assert wire.producerState == "producing"
    assert bench.pauses() == 0
    assert bench.listening.is_reading


def test_keep_alives_and_single_octets_are_charged() -> None:
    """Octets that make no frame hold the connection when their time is used up; the rest of a frame is read in its turn."""
    bench = Bench()
    connection, wire = bench.connect()
    message = frames(b"sale")
    for octet in range(10_000):
        if wire.producerState == "paused":
            break
        connection.dataReceived(message[octet % 2 : octet % 2 + 1] if octet < 2 else b"")
    assert wire.producerState == "paused"
    bench.clock.advance(DEBT_SECONDS_MAX / SHARE)
    assert wire.producerState == "producing"
    connection.dataReceived(message[2:])
    assert len(bench.sales) == 1


def test_what_came_in_one_read_is_taken_in_pieces_and_its_rest_in_its_turn() -> None:
    """64 KiB of keep-alives on each of many connections: the thread is free after the burst, and nothing of a frame behind them is lost."""
    bench = Bench()
    links = [bench.connect() for _ in range(40)]
    for connection, _ in links:
        receive = connection._core.receive  # the only place where time can be made to pass

        def slow(data: bytes, now: float, receive: Callable[[bytes, float], None] = receive) -> None:
            bench.work(len(data) / 2_000_000)
            receive(data, now)

        connection._core.receive = slow  # type: ignore[method-assign]
        connection.dataReceived(bytes(1 << 16) + frames(b"sale"))
    piece_seconds = PIECE_OCTETS / 2_000_000
    assert bench.busy_seconds <= BURST_SECONDS / (1 - SHARE) + piece_seconds
    assert {wire.producerState for _, wire in links} == {"paused"}
    while len(bench.sales) < len(links):
        before = bench.busy_seconds
        bench.clock.advance(0.001)
        assert bench.busy_seconds - before <= 2 * piece_seconds


def test_a_line_that_is_trusted_is_read_while_its_network_has_used_up_its_share() -> None:
    """Who is not proven waits unread; who is, sells."""
    bench = Bench()
    (till, _), (stranger, stranger_wire) = bench.connect(), bench.connect()
    till.dataReceived(frames(b"sale"))
    bench.answer(is_proven=True)
    bench.port.fruitless.charge(2 * BURST_SECONDS)
    stranger.dataReceived(frames(b"sale"))
    assert (stranger_wire.producerState, len(bench.sales)) == ("paused", 0)
    till.dataReceived(frames(b"sale"))
    assert len(bench.sales) == 1
    bench.clock.pump([0.05] * 20)
    assert (stranger_wire.producerState, len(bench.sales)) == ("producing", 2)


def test_a_storm_of_connections_waits_in_the_systems_queue() -> None:
    """Above the share nothing is accepted for a while, a few in each turn, and nobody is refused."""
    bench = Bench()
    assert bench.listening.numberAccepts == ACCEPTS_PER_TURN
    accepted = 0

    def feed() -> None:
        nonlocal accepted
        for _ in range(ACCEPTS_PER_TURN):
            if bench.listening.is_reading:
                accepted += 1
                bench.listening.numberAccepts += 20
                connection, _ = bench.connect()
                connection.connectionLost(Failure(ConnectionDone()))

    run(bench, RUN_SECONDS, feed)
    assert accepted * CONNECTION_SECONDS == pytest.approx(RUN_SECONDS * SHARE, rel=0.05)
    bench.clock.advance(1)
    assert bench.listening.numberAccepts == ACCEPTS_PER_TURN
    assert bench.listening.is_reading


def test_a_pause_of_the_machine_is_not_paid_for_long() -> None:
    """What one charge says has a limit."""
    clock = Clock()
    work = FruitlessWork(clock)
    assert work.charge(60.0)
    woken: list[float] = []
    work.wait(lambda: woken.append(clock.seconds()))
    clock.advance(DEBT_SECONDS_MAX / SHARE)
    assert woken == [pytest.approx(DEBT_SECONDS_MAX / SHARE)]


def test_a_thread_that_is_late_has_no_share_to_give() -> None:
    """Woken 50 ms late each time, a flood gets what it would in the time it asked for; in time it gets its share."""
    done = {}
    for late_seconds in (0.0, 0.05):
        clock = Clock()
        work = FruitlessWork(clock)
        done[late_seconds] = 0

        def go_on(work: FruitlessWork = work, late_seconds: float = late_seconds) -> None:
            done[late_seconds] += 1
            work.charge(REFUSAL_SECONDS)
            work.wait(lambda: go_on(work, late_seconds))

        work.charge(BURST_SECONDS + REFUSAL_SECONDS)
        work.wait(go_on)
        while clock.seconds() < RUN_SECONDS:
            (call,) = clock.getDelayedCalls()
            clock.advance(call.getTime() - clock.seconds() + late_seconds + 1e-9)
    assert done[0.0] * REFUSAL_SECONDS == pytest.approx(RUN_SECONDS * SHARE, rel=0.05)
    wakes = RUN_SECONDS / (0.05 + REFUSAL_SECONDS / SHARE)
    assert done[0.05] <= 2 * wakes


def test_who_waits_goes_on_in_order_and_one_that_costs_nothing_lets_the_next_go() -> None:
    """First come, first served; nobody overtakes those who wait."""
    clock = Clock()
    work = FruitlessWork(clock)
    order: list[int] = []
    work.charge(2 * BURST_SECONDS)
    for number in range(3):
        work.wait(lambda number=number: order.append(number))  # type: ignore[misc]
    assert work.charge(0.0)
    clock.advance(1.0)
    assert order == [0, 1, 2]
    assert not work.charge(0.0)
