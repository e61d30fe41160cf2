"""Why a connection was refused and why an answer did not leave: each reason has a word of its own."""

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from messages.framing import FrameStyle, write_frame
from switch.listener import AcquirerConnection
from tests.switch.test_listener_memory import Bench, Wire


def _frames(*bodies: bytes) -> bytes:
    return b"".join(write_frame(FrameStyle.BINARY_2, body) for body in bodies)


def _lose(connection: AcquirerConnection, error: Exception) -> None:
    connection.connectionLost(Failure(error))


def _connect_from(bench: Bench, host: str) -> AcquirerConnection | None:
    address = IPv4Address("TCP", host, 5000)
    connection = bench.port.buildProtocol(address)
    if connection is not None:
        wire = Wire()
        wire.peerAddr = address
        connection.makeConnection(wire)
    return connection


def test_one_address_cannot_use_up_the_port() -> None:
    """Its excess is refused and counted apart; others come in; what it gives back it may have again."""
    bench = Bench(connections_max=10, connections_per_address_max=2)
    mine = [_connect_from(bench, "192.0.2.1") for _ in range(3)]
    assert mine[2] is None
    assert bench.value("connections_refused_total", reason="per_address") == 1
    assert _connect_from(bench, "192.0.2.2") is not None
    assert mine[0] is not None
    _lose(mine[0], ConnectionDone())
    assert _connect_from(bench, "192.0.2.1") is not None
    assert _connect_from(bench, "192.0.2.1") is None
    assert bench.value("connections_refused_total", reason="per_port") == 0
    assert bench.value("connections") == 3


@pytest.mark.parametrize(
    ("has_fin", "error", "reason"),
    [
        (False, ConnectionDone(), "peer_closed"),
        (False, ConnectionLost(), "peer_lost"),
        (True, ConnectionLost(), "peer_lost"),
        (True, ConnectionDone(), "peer_closed"),
    ],
)
def test_why_an_answer_did_not_leave_is_told_apart(has_fin: bool, error: Exception, reason: str) -> None:
    """A break counts as a break, also after a FIN."""
    bench = Bench()
    connection, _ = bench.connect()
    connection.dataReceived(_frames(b"a"))
    if has_fin:
        connection.readConnectionLost()
    _lose(connection, error)
    bench.answer(0, b"A")
    assert bench.reasons == [reason]
    assert bench.value("answers_undeliverable_total", reason=reason) == 1


def test_answers_of_a_connection_that_we_cut_say_why_we_did() -> None:
    """A slow reader, and a drain that ran out of time; the abort that follows is ours and names nothing."""
    bench = Bench(send_timeout_seconds=5)
    slow, _ = bench.connect()
    slow.dataReceived(_frames(b"a", b"b"))
    slow.pauseProducing()
    bench.clock.advance(5)
    bench.answer(0, b"A")
    _lose(slow, ConnectionAborted())
    bench.answer(1, b"B")
    late, _ = bench.connect()
    late.dataReceived(_frames(b"c"))
    bench.port.drain(3.0)
    bench.clock.advance(3)
    _lose(late, ConnectionAborted())
    bench.answer(2, b"C")
    assert bench.reasons == ["send_stalled", "send_stalled", "drain_timeout"]


def test_an_answer_that_no_frame_can_hold_is_told_apart() -> None:
    """Not the peer's fault."""
    bench = Bench()
    connection, _ = bench.connect()
    connection.dataReceived(_frames(b"a"))
    bench.answer(0, b"x" * 70_000)
    assert bench.reasons == ["answer_too_long"]
