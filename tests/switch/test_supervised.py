"""A process's end of the link to its supervisor: sockets that are handed over, words that are said, and a supervisor that is gone."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from config.acquirer import AcquirerSection
from messages.framing import FrameStyle, write_frame
from switch.listener import ConnectionContext
from switch.metrics import Metrics
from switch.port import AcquirerPort
from switch.supervised import HandedSockets, SupervisorLink
from switch.supervisor_lines import LineReader, write_line

SOON_SECONDS = 10.0


class Bench:
    """Both ends of a link, the supervisor's by hand."""

    def __init__(self) -> None:
        from twisted.internet import reactor  # noqa: TID251 - descriptors need real sockets

        self.reactor: Any = reactor
        self.theirs, ours = socket.socketpair()
        self.theirs.settimeout(SOON_SECONDS)
        self.ends = 0
        self.link = SupervisorLink(self._lost)
        self.link.attach(reactor, ours.detach())
        self.sockets = HandedSockets(self.link)
        self._reader = LineReader()
        self._heard: list[Any] = []

    def _lost(self) -> None:
        self.ends += 1

    async def hear(self) -> Any:
        """The next thing that the process says."""
        while not self._heard:
            self._heard += self._reader.receive(await deferToThread(self.theirs.recv, 65536))
        return self._heard.pop(0)

    def hand_out(self, *given: socket.socket | str) -> None:
        """Answer what was asked for."""
        line = write_line({"opened": [each if isinstance(each, str) else None for each in given]})
        descriptors = [each.fileno() for each in given if not isinstance(each, str)]
        socket.send_fds(self.theirs, [line[:3]], descriptors)
        self.theirs.sendall(line[3:])

    def section(self, name: str) -> AcquirerSection:
        """One network."""
        return AcquirerSection.model_validate({"id": name, "listen_port": 0, "mac": {"register_id": 1}})

    def port(self, section: AcquirerSection) -> AcquirerPort:
        """The port of a network whose every request is answered by itself."""

        async def serve(_: ConnectionContext, frame: bytes) -> bytes:
            return frame

        return AcquirerPort(
            section=section, clock=self.reactor, serve=serve, metrics=Metrics(CollectorRegistry()).acquirer(section.id)
        )

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
    made.theirs.close()


def _links_to(held: socket.socket) -> int:
    """Return how many descriptors of this process are that very socket."""
    wanted = os.fstat(held.fileno()).st_ino
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.stat(f"/proc/self/fd/{name}").st_ino == wanted
    return found


def _listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def test_a_handed_socket_is_served_and_outlives_the_port(bench: Bench) -> Deferred[None]:
    """Requests are answered on it; when the port has drained, what connects then waits for somebody else and is not refused."""

    async def scene() -> None:
        banco, red = bench.section("banco"), bench.section("red")
        prepared = Deferred.fromCoroutine(bench.sockets.prepare([banco, red]))
        assert await bench.hear() == {"open": [["banco", "127.0.0.1", 0], ["red", "127.0.0.1", 0]]}
        with _listening() as held:
            bench.hand_out(held, "Address already in use")
            await prepared
            port = bench.port(banco)
            address = port.listen(bench.reactor, bench.sockets)
            assert address == held.getsockname()
            with pytest.raises(CannotListenError, match="Address already in use"):
                bench.port(red).listen(bench.reactor, bench.sockets)
            bench.sockets.settle([banco])
            assert await bench.hear() == {"serve": [["banco", "127.0.0.1", 0]]}

            def client() -> bytes:
                with socket.create_connection(address, SOON_SECONDS) as link:
                    link.sendall(write_frame(FrameStyle.BINARY_2, b"6000010002"))
                    return link.recv(100)

            assert await deferToThread(client) == write_frame(FrameStyle.BINARY_2, b"6000010002")
            assert await port.drain(5.0) == 0
            with socket.create_connection(address, SOON_SECONDS) as waiting:
                held.settimeout(SOON_SECONDS)
                successor, peer = held.accept()
                assert peer == waiting.getsockname()
                successor.close()

    return Deferred.fromCoroutine(scene())


def test_what_was_prepared_and_not_used_is_closed(bench: Bench) -> Deferred[None]:
    """A configuration that was refused leaves no descriptor behind."""

    async def scene() -> None:
        prepared = Deferred.fromCoroutine(bench.sockets.prepare([bench.section("banco")]))
        await bench.hear()
        with _listening() as held:
            bench.hand_out(held)
            await prepared
            sockets = _links_to(held)
            bench.sockets.settle([])
            assert (sockets, _links_to(held)) == (2, 1)
            assert await bench.hear() == {"serve": []}
        await bench.sockets.prepare([])  # asks for nothing, so waits for nothing
        with pytest.raises(CannotListenError, match="it was not asked for"):
            bench.sockets.listen(bench.reactor, bench.section("banco"), None)

    return Deferred.fromCoroutine(scene())


def test_a_state_is_told_when_it_changes(bench: Bench) -> Deferred[None]:
    """Asked five times a second, said once."""

    async def scene() -> None:
        for status in ("module_lost", "module_lost", "ready", "ready"):
            bench.link.tell({"status": status})
        assert await bench.hear() == {"state": {"status": "module_lost"}}
        assert await bench.hear() == {"state": {"status": "ready"}}
        bench.link.serve([])
        assert await bench.hear() == {"serve": []}

    return Deferred.fromCoroutine(scene())


def test_a_supervisor_that_is_gone_is_noticed(bench: Bench) -> Deferred[None]:
    """What was asked of it fails, what is asked later too, and the process is told once."""

    async def scene() -> None:
        asked = bench.link.open([("banco", "127.0.0.1", 0)])
        await bench.hear()
        bench.theirs.close()
        with pytest.raises(Exception, match="closed"):
            await asked
        await bench.until(lambda: bench.ends == 1)
        with pytest.raises(Exception, match="the supervisor is gone"):
            await bench.link.open([("banco", "127.0.0.1", 0)])
        bench.link.tell({"status": "ready"})

    return Deferred.fromCoroutine(scene())


def test_lines_are_whole_or_refused() -> None:
    """A stream may come octet by octet; what is no object, or has no end, is refused."""
    reader = LineReader()
    said = [each for octet in write_line({"a": 1}) + write_line({"b": []}) for each in reader.receive(bytes([octet]))]
    assert said == [{"a": 1}, {"b": []}]
    for nonsense in (b"[]\n", b"{\n", b"x" * (1 << 21)):
        with pytest.raises(ValueError, match=r"."):
            LineReader().receive(nonsense)
