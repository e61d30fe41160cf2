import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from config.acquirer import AcquirerSection, MacSection
from messages.framing import FrameStyle, write_frame
from switch.listener import ConnectionContext
from switch.metrics import Metrics
from switch.port import AcquirerPort

SOON_SECONDS = 10.0
"""Longest wait of a client for anything; tests that work take milliseconds."""


def _frames(*bodies: bytes) -> bytes:
    return b"".join(write_frame(FrameStyle.BINARY_2, body) for body in bodies)


def _read_all(client: socket.socket) -> bytes:
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


class Bench:
    """A port on a real socket; the few things here are those that only a real one proves."""

    def __init__(self) -> None:
        from twisted.internet import reactor  # noqa: TID251 - these tests are about the real one

        self.reactor: Any = reactor
        self.registry = CollectorRegistry()
        self.undelivered: list[bytes] = []
        self.reasons: list[str] = []
        self.port: AcquirerPort | None = None

    def _undelivered(self, _: ConnectionContext, answer: bytes, reason: str) -> None:
        self.undelivered.append(answer)
        self.reasons.append(reason)

    def listen(self, serve: Callable[[ConnectionContext, bytes], Any], **changes: Any) -> tuple[str, int]:
        """Open the port and return its address."""
        section = AcquirerSection.model_validate(
            {"id": "banco", "listen_port": 0, "mac": MacSection(register_id=1), **changes}
        )
        self.port = AcquirerPort(
            section=section,
            clock=self.reactor,
            serve=serve,
            metrics=Metrics(self.registry).acquirer("banco"),
            undeliverable=self._undelivered,
        )
        return self.port.listen(self.reactor)

    async def later(self, _: ConnectionContext, frame: bytes) -> bytes:
        """Answer after a while."""
        await deferLater(self.reactor, 0.05)
        return b"answer to " + frame

    def closed(self, reason: str) -> float | None:
        """Return how many connections ended so."""
        labels = {"acquirer": "banco", "reason": reason}
        return self.registry.get_sample_value("eudora_connections_closed_total", labels)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for something that must happen."""
        for _ in range(1000):
            if is_true():
                return
            await deferLater(self.reactor, 0.01)
        pytest.fail("it did not happen")


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    if made.port is not None:
        pytest_twisted.blockon(made.port.drain(0.1))


def test_a_request_with_a_fin_behind_it_is_answered(bench: Bench) -> Deferred[None]:
    """The answer that takes a while arrives after the client ended its half."""

    async def scene() -> None:
        address = bench.listen(bench.later)

        def client() -> bytes:
            with socket.create_connection(address, SOON_SECONDS) as link:
                link.sendall(_frames(b"one", b"two"))
                link.shutdown(socket.SHUT_WR)
                return _read_all(link)

        assert await deferToThread(client) == _frames(b"answer to one", b"answer to two")
        await bench.until(lambda: bench.closed("peer_closed") == 1)

    return Deferred.fromCoroutine(scene())


def test_a_peer_that_never_reads_is_not_read_either_and_its_answers_are_counted(bench: Bench) -> Deferred[None]:
    """Memory stays bounded, and after the reset the answers that the system did not take are known to be undelivered."""

    async def scene() -> None:
        served = 0

        async def serve(_: ConnectionContext, frame: bytes) -> bytes:
            nonlocal served
            served += 1
            return frame * 20

        address = bench.listen(serve)
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(SOON_SECONDS)
        await deferToThread(link.connect, address)
        link.setblocking(False)
        heap = _frames(b"x" * 100) * 100
        sent = 0
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                sent += link.send(heap)
            await deferLater(bench.reactor, 0.002)
        held = served
        assert held < sent // 102
        await deferLater(bench.reactor, 0.05)
        assert served == held
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
        await bench.until(lambda: bool(bench.undelivered))
        assert len(bench.undelivered) < 2000

    return Deferred.fromCoroutine(scene())


def test_a_drain_under_load_answers_every_request_it_read(bench: Bench) -> Deferred[None]:
    """A client that keeps asking while the process goes down sees whole answers and then a clean end, no reset."""

    async def scene() -> None:
        address = bench.listen(bench.later)

        def client() -> bytes:
            with socket.create_connection(address, SOON_SECONDS) as link:
                link.sendall(_frames(b"one"))
                bench.reactor.callFromThread(begin.callback, None)
                link.sendall(_frames(b"two") * 1000)
                data = _read_all(link)
                link.sendall(_frames(b"three"))
                return data

        begin: Deferred[None] = Deferred()
        answered = deferToThread(client)
        await begin
        port = bench.port
        assert port is not None
        await bench.until(lambda: port.in_flight > 0)
        cut = port.drain(5.0)
        data = await answered
        assert data.startswith(_frames(b"answer to one"))
        assert data.removeprefix(_frames(b"answer to one")).replace(_frames(b"answer to two"), b"") == b""
        assert await cut == 0
        with socket.socket() as late:
            assert await deferToThread(late.connect_ex, address) != 0

    return Deferred.fromCoroutine(scene())


def test_the_excess_connection_is_closed_and_the_others_are_served(bench: Bench) -> Deferred[None]:
    """A full port closes the new one at once and goes on."""

    async def scene() -> None:
        address = bench.listen(bench.later, connections_max=1)

        def client() -> tuple[bytes, bytes]:
            with socket.create_connection(address, SOON_SECONDS) as first:
                first.sendall(_frames(b"one"))
                one = first.recv(100)
                with socket.create_connection(address, SOON_SECONDS) as second:
                    refused = _read_all(second)
                first.sendall(_frames(b"two"))
                return one + first.recv(100), refused

        assert await deferToThread(client) == (_frames(b"answer to one", b"answer to two"), b"")

    return Deferred.fromCoroutine(scene())


def test_a_slow_reader_is_cut_after_its_time_and_holds_little(bench: Bench) -> Deferred[None]:
    """What it does not take is bounded with us and with the system, and after the time it is cut and every lost answer told."""

    async def scene() -> None:
        answers = 0

        async def serve(_: ConnectionContext, __: bytes) -> bytes:
            nonlocal answers
            answers += 1
            return b"A" * 1000

        address = bench.listen(serve, send_timeout_seconds=0.5, send_buffer_octets_max=16384)
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(SOON_SECONDS)
        await deferToThread(link.connect, address)
        link.setblocking(False)
        heap = _frames(b"x") * 64
        for _ in range(1000):
            if bench.closed("send_stalled"):
                break
            with contextlib.suppress(BlockingIOError, ConnectionError):
                link.send(heap)
            await deferLater(bench.reactor, 0.005)
        assert bench.closed("send_stalled") == 1
        link.close()
        await bench.until(lambda: bool(bench.reasons))
        assert set(bench.reasons) == {"send_stalled"}
        # One read of the socket may bring 64 KiB of requests at once; what lies with the system is at most twice what was asked for.
        assert answers < 600
        assert 10 < len(bench.reasons) <= answers

    return Deferred.fromCoroutine(scene())
