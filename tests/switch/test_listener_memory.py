import io
import json
from collections.abc import Iterable
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from config.acquirer import AcquirerSection, MacSection
from messages.framing import FrameStyle, write_frame
from switch.listener import AcquirerConnection, ConnectionContext
from switch.log import Event, bind, configure, log
from switch.metrics import Metrics
from switch.port import AcquirerPort, connection_limits


class Wire(StringTransport):
    """A transport in memory that can end one half and tells what was done to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended: list[str] = []

    def write(self, data: bytes) -> None:
        """Keep each write apart."""
        self.writes.append(data)
        super().write(data)

    def loseWriteConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        """End our half."""
        self.ended.append("half")

    def loseConnection(self) -> None:
        """End after what is written."""
        self.ended.append("close")
        super().loseConnection()

    def abortConnection(self) -> None:
        """End now."""
        self.ended.append("abort")

    def resumeProducing(self) -> None:
        """Unlike its parent, a real transport may be told so at any time."""
        self.producerState = "producing"

    def pauseProducing(self) -> None:
        """Unlike its parent, a real transport may be told so at any time."""
        self.producerState = "paused"


def _section(**changes: Any) -> AcquirerSection:
    return AcquirerSection.model_validate(
        {"id": "banco", "listen_port": 0, "mac": MacSection(register_id=1), "connection_in_flight_max": 4, **changes}
    )


class Bench:
    """A port in memory whose answers the test gives when it likes."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.asked: list[tuple[ConnectionContext, bytes, Deferred[bytes | None]]] = []
        self.undelivered: list[bytes] = []
        self.reasons: list[str] = []
        self.port = AcquirerPort(
            section=_section(**changes),
            clock=self.clock,
            serve=self._serve,
            metrics=self.metrics.acquirer("banco"),
            undeliverable=self._undelivered,
        )

    def _undelivered(self, _: ConnectionContext, answer: bytes, reason: str) -> None:
        self.undelivered.append(answer)
        self.reasons.append(reason)

    def _serve(self, context: ConnectionContext, frame: bytes) -> Deferred[bytes | None]:
        answer: Deferred[bytes | None] = Deferred()
        self.asked.append((context, frame, answer))
        return answer

    def connect(self) -> tuple[AcquirerConnection, Wire]:
        """Return an accepted connection and its wire."""
        connection = self.port.buildProtocol(None)
        assert connection is not None
        wire = Wire()
        connection.makeConnection(wire)
        return connection, wire

    def answer(self, number: int, body: bytes | None) -> None:
        """Answer the frame that was asked as *number*."""
        self.asked[number][2].callback(body)

    def value(self, name: str, **labels: str) -> float:
        """Return a metric of this network."""
        return self.registry.get_sample_value(f"eudora_{name}", {"acquirer": "banco", **labels}) or 0.0


def _frames(*bodies: bytes) -> bytes:
    return b"".join(write_frame(FrameStyle.BINARY_2, body) for body in bodies)


def _lose(connection: AcquirerConnection, error: Exception) -> None:
    connection.connectionLost(Failure(error))


def test_answers_go_back_on_their_own_connection_in_the_order_they_are_ready() -> None:
    """Two terminals share the port; neither sees the other's answer, and a slow request holds nobody up."""
    bench = Bench()
    (one, wire_one), (two, wire_two) = bench.connect(), bench.connect()
    one.dataReceived(_frames(b"a", b"b"))
    two.dataReceived(_frames(b"c"))
    assert [frame for _, frame, _ in bench.asked] == [b"a", b"b", b"c"]
    bench.answer(1, b"B")
    bench.answer(2, b"C")
    bench.answer(0, b"A")
    assert wire_one.writes == [_frames(b"B"), _frames(b"A")]
    assert wire_two.writes == [_frames(b"C")]
    assert bench.port.in_flight == 0


def test_each_connection_has_a_context_that_stays() -> None:
    """What a sign-on sets is there for the next frame of that connection and for no other."""
    bench = Bench()
    (one, _), (two, _) = bench.connect(), bench.connect()
    one.dataReceived(_frames(b"sign-on"))
    bench.asked[0][0].is_signed_on = True
    bench.answer(0, b"ok")
    one.dataReceived(_frames(b"sale"))
    two.dataReceived(_frames(b"sale"))
    assert [context.is_signed_on for context, _, _ in bench.asked] == [True, True, False]
    assert len({context.connection_id for context, _, _ in bench.asked}) == 2
    assert bench.asked[0][0].acquirer_id == "banco"


def test_answers_that_are_ready_at_once_leave_in_one_write() -> None:
    """Answering without waiting does not recurse and needs one write for all frames of a read."""
    clock = Clock()

    async def echo(_: ConnectionContext, frame: bytes) -> bytes:
        return frame

    port = AcquirerPort(section=_section(), clock=clock, serve=echo, metrics=Metrics().acquirer("banco"))
    connection = port.buildProtocol(None)
    assert connection is not None
    wire = Wire()
    connection.makeConnection(wire)
    bodies = [b"%d" % number for number in range(5000)]
    connection.dataReceived(_frames(*bodies))
    assert wire.writes == [_frames(*bodies)]
    assert wire.producerState == "producing"


def test_a_fault_in_serving_is_logged_counted_and_ends_nothing() -> None:
    """One bad message costs its own answer, not the connection."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"bad", b"good"))
    bench.asked[0][2].errback(Failure(RuntimeError("no")))
    bench.answer(1, b"fine")
    assert wire.writes == [_frames(b"fine")]
    assert not wire.ended
    assert bench.value("serve_failures_total") == 1
    assert bench.port.in_flight == 0


def test_an_answer_too_long_for_a_frame_is_counted_as_a_fault_and_as_undeliverable() -> None:
    """It reached nobody, so it must not look delivered."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"a"))
    bench.answer(0, b"x" * 70_000)
    assert wire.writes == []
    assert bench.value("serve_failures_total") == 1
    assert [len(answer) for answer in bench.undelivered] == [70_000]


def test_no_answer_and_an_end_on_request() -> None:
    """None sends nothing; the context can ask for the end."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"a", b"b"))
    bench.answer(0, None)
    assert not wire.ended
    bench.asked[1][0].is_to_close = True
    bench.answer(1, b"bye")
    assert wire.writes == [_frames(b"bye")]
    assert wire.ended == ["close"]
    _lose(connection, ConnectionDone())
    assert bench.value("connections_closed_total", reason="by_answer") == 1


def test_a_half_closed_peer_gets_its_answer_and_then_the_end() -> None:
    """The answer that is ready after the FIN arrives."""
    bench = Bench()
    connection, wire = bench.connect()
    assert IHalfCloseableProtocol.providedBy(connection)
    connection.dataReceived(_frames(b"a"))
    connection.readConnectionLost()
    assert not wire.ended
    bench.answer(0, b"A")
    assert wire.value() == _frames(b"A")
    assert wire.ended == ["close"]
    _lose(connection, ConnectionDone())
    assert bench.value("connections_closed_total", reason="peer_closed") == 1
    assert bench.undelivered == []


def test_the_frame_timer_ends_a_half_frame_and_is_counted() -> None:
    """Half a frame and then silence."""
    bench = Bench(frame_timeout_seconds=10)
    connection, wire = bench.connect()
    bench.clock.advance(100)
    connection.dataReceived(b"\x00\x10abc")
    bench.clock.advance(9.5)
    assert not wire.ended
    bench.clock.advance(1)
    assert wire.ended == ["close"]
    _lose(connection, ConnectionDone())
    assert bench.value("connections_closed_total", reason="frame_timeout") == 1
    assert not bench.clock.getDelayedCalls()


def test_an_idle_connection_is_closed_and_then_cut() -> None:
    """The timer moves with the traffic, and a peer that does not let go is cut after a while."""
    bench = Bench(idle_timeout_seconds=60, close_timeout_seconds=5)
    connection, wire = bench.connect()
    bench.clock.advance(50)
    connection.dataReceived(_frames(b"a"))
    bench.answer(0, b"A")
    bench.clock.pump([10] * 5)
    assert not wire.ended
    bench.clock.pump([10])
    assert wire.ended == ["close"]
    bench.clock.advance(5)
    assert wire.ended == ["close", "abort"]


def test_a_connection_with_traffic_has_one_timer() -> None:
    """Timers do not pile up with messages."""
    bench = Bench()
    connection, _ = bench.connect()
    for number in range(200):
        connection.dataReceived(_frames(b"a") + b"\x00")
        connection.dataReceived(b"\x01b")
        bench.answer(2 * number, b"A")
        bench.answer(2 * number + 1, b"B")
        bench.clock.advance(0.01)
    assert len(bench.clock.getDelayedCalls()) == 1


def test_reading_pauses_at_the_limit_of_work() -> None:
    """The socket is not read while a connection has its share in work."""
    bench = Bench(connection_in_flight_max=2)
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"a", b"b", b"c"))
    assert len(bench.asked) == 2
    assert wire.producerState == "paused"
    assert bench.value("in_flight") == 2
    bench.answer(0, b"A")
    assert len(bench.asked) == 3
    assert wire.producerState == "paused"
    bench.answer(1, b"B")
    assert wire.producerState == "producing"
    bench.answer(2, b"C")
    assert bench.value("in_flight") == 0


def test_a_full_write_buffer_pauses_reading() -> None:
    """A peer that does not take answers is not asked for more requests, and is cut in the end."""
    bench = Bench(send_timeout_seconds=60)
    connection, wire = bench.connect()
    assert wire.producer is connection
    connection.pauseProducing()
    assert wire.producerState == "paused"
    connection.resumeProducing()
    assert wire.producerState == "producing"
    connection.pauseProducing()
    bench.clock.advance(61)
    assert wire.ended == ["abort"]
    assert wire.producer is None


def test_an_answer_for_a_lost_connection_is_handed_back() -> None:
    """The answer that reached nobody is counted and given to whoever records it."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"a", b"b", b"c"))
    bench.answer(0, b"A")
    _lose(connection, ConnectionLost())
    bench.answer(1, b"B")
    bench.answer(2, None)
    assert bench.undelivered == [b"B"]
    assert bench.reasons == ["peer_lost"]
    assert bench.value("answers_undeliverable_total", reason="peer_lost") == 1
    assert bench.value("connections_closed_total", reason="peer_lost") == 1
    assert wire.value() == _frames(b"A")
    assert bench.port.in_flight == 0


def test_answers_still_in_the_write_buffer_of_a_lost_connection_are_handed_back() -> None:
    """Octets that the system never took were not delivered; what it took before them was."""

    class Stuck(Wire):
        offset = 3

        def __init__(self) -> None:
            super().__init__()
            self.dataBuffer = b""
            self._tempDataBuffer: list[bytes] = []

    bench = Bench()
    connection = bench.port.buildProtocol(None)
    assert connection is not None
    wire = Stuck()
    wire.offset = 0
    connection.makeConnection(wire)
    connection.dataReceived(_frames(b"a", b"b", b"c"))
    bench.answer(0, b"AAAA")
    wire.dataBuffer, wire.offset = _frames(b"BBBB"), 3
    wire._tempDataBuffer = [_frames(b"CCCC")]
    bench.answer(1, b"BBBB")
    bench.answer(2, b"CCCC")
    _lose(connection, ConnectionLost())
    assert bench.undelivered == [b"BBBB", b"CCCC"]


def test_connections_above_the_limit_are_closed_and_the_port_stays_open() -> None:
    """The excess is refused and counted; who is there is served; a free place is given again."""
    bench = Bench(connections_max=2)
    (one, _), (two, wire_two) = bench.connect(), bench.connect()
    assert bench.port.buildProtocol(None) is None
    assert bench.value("connections_refused_total", reason="per_port") == 1
    two.dataReceived(_frames(b"a"))
    bench.answer(0, b"A")
    assert wire_two.value() == _frames(b"A")
    _lose(one, ConnectionDone())
    bench.connect()
    assert bench.value("connections") == 2
    assert bench.value("connections_opened_total") == 3


def test_keep_alives_are_counted_by_outcome() -> None:
    """A storm shows in the metrics as ignored frames."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(b"\x00\x00" * 50)
    assert wire.value() == b"\x00\x00"
    assert bench.value("keep_alives_total", outcome="answered") == 1
    assert bench.value("keep_alives_total", outcome="ignored") == 49


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http_probe"),
        (b"\x16\x03\x01\x02\x00", "tls_probe"),
        (b"\xff\xff", "frame_too_long"),
    ],
)
def test_what_is_not_ours_is_closed_and_named_in_the_metric(octets: bytes, reason: str) -> None:
    """An operator sees who knocked."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(octets)
    assert wire.ended == ["close"]
    assert wire.value() == b""
    _lose(connection, ConnectionDone())
    assert bench.value("connections_closed_total", reason=reason) == 1


def _results(deferred: Deferred[int]) -> list[int]:
    results: list[int] = []
    deferred.addCallback(results.append)
    return results


def test_a_drain_delivers_pending_answers_and_then_ends() -> None:
    """Going down: no new frame, no new connection, the pending answer, our half's end, and done when the peer ends its own."""
    bench = Bench()
    (busy, busy_wire), (quiet, quiet_wire) = bench.connect(), bench.connect()
    busy.dataReceived(_frames(b"a"))
    done = _results(bench.port.drain(15.0))
    assert bench.port.buildProtocol(None) is None
    assert quiet_wire.ended == ["half"]
    assert not busy_wire.ended
    busy.dataReceived(_frames(b"late"))
    assert len(bench.asked) == 1
    bench.answer(0, b"A")
    assert busy_wire.value() == _frames(b"A")
    assert busy_wire.ended == ["half"]
    for connection, wire in ((busy, busy_wire), (quiet, quiet_wire)):
        assert done == []
        connection.readConnectionLost()
        assert wire.ended == ["half", "close"]
        _lose(connection, ConnectionDone())
    assert done == [0]
    assert not bench.clock.getDelayedCalls()


def test_a_drain_waits_for_requests_whose_connection_is_gone() -> None:
    """A sale in work is finished even though nobody waits for its answer any more."""
    bench = Bench()
    connection, _ = bench.connect()
    connection.dataReceived(_frames(b"a"))
    _lose(connection, ConnectionLost())
    done = _results(bench.port.drain(15.0))
    assert done == []
    bench.answer(0, b"A")
    assert bench.undelivered == [b"A"]
    assert done == [0]


def test_a_drain_cuts_what_does_not_end_in_time() -> None:
    """The process goes down in the time it was given, and says how many were cut."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(_frames(b"a"))
    done = _results(bench.port.drain(15.0))
    again = _results(bench.port.drain(15.0))
    bench.clock.advance(14)
    assert not wire.ended
    bench.clock.advance(1)
    assert wire.ended == ["abort"]
    _lose(connection, ConnectionLost())
    assert (done, again) == ([1], [1])
    assert bench.value("connections_closed_total", reason="drain_timeout") == 1
    bench.answer(0, b"A")
    assert bench.undelivered == [b"A"]


def test_a_drain_of_a_quiet_port_is_over_at_once() -> None:
    """Nothing to wait for."""
    assert _results(Bench().port.drain(15.0)) == [0]


def test_the_limits_of_a_connection_are_those_of_its_network() -> None:
    """What the configuration says is what a connection gets."""
    limits = connection_limits(_section(frame_octets_max=512, idle_timeout_seconds=77, close_timeout_seconds=3))
    assert (limits.frame_octets_max, limits.idle_timeout_seconds, limits.close_timeout_seconds) == (512, 77, 3)
    assert limits.in_flight_max == 4


def test_ascii_framing_is_chosen_by_the_configuration() -> None:
    """A network with four digits of length gets them back."""
    bench = Bench(framing="ascii4")
    connection, wire = bench.connect()
    connection.dataReceived(b"0003abc")
    bench.answer(0, b"ABCD")
    assert wire.value() == b"0004ABCD"


@pytest.mark.parametrize("cuts", [range(1, 100), range(3, 100, 3), range(50, 51)])
def test_any_cut_reaches_the_one_who_serves_whole(cuts: Iterable[int]) -> None:
    """However the stream is cut, frames arrive whole."""
    bench = Bench(connection_in_flight_max=64)
    connection, _ = bench.connect()
    bodies = [b"x" * length for length in range(1, 15)]
    stream, start = _frames(*bodies), 0
    for cut in (*cuts, len(stream)):
        connection.dataReceived(stream[start:cut])
        start = max(start, cut)
    assert [frame for _, frame, _ in bench.asked] == bodies


def test_fields_bound_for_one_message_do_not_reach_another() -> None:
    """Two requests served at once each log their own terminal, also after waiting."""
    stream = io.StringIO()
    configure(stream, is_bridging_twisted=False)
    waiting: list[Deferred[None]] = []

    async def serve(_: ConnectionContext, frame: bytes) -> None:
        bind(terminal_id=frame.decode())
        gate: Deferred[None] = Deferred()
        waiting.append(gate)
        await gate
        log.info(Event.INQUIRY_ANSWERED)

    port = AcquirerPort(section=_section(), clock=Clock(), serve=serve, metrics=Metrics().acquirer("banco"))
    connection = port.buildProtocol(None)
    assert connection is not None
    connection.makeConnection(Wire())
    connection.dataReceived(_frames(b"T1", b"T2"))
    for gate in reversed(waiting):
        gate.callback(None)
    log.info(Event.SWITCH_STARTED)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    assert [line.get("terminal_id") for line in lines] == ["T2", "T1", None]
    assert lines[0]["acquirer_id"] == "banco"
