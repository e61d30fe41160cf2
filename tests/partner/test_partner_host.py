"""A network's own host: what it answers a switch that called, and how a certification gets its links from there."""

import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from acquirers.calls import NetworkRequest
from acquirers.registry import DIALECTS
from messages.framing import Frame, FrameReader, write_frame
from messages.tpdu import Tpdu
from messages.wire import WIRES
from partner.called_host import CalledHost
from partner.host import host_answer
from partner.link import Nothing

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
SOON_SECONDS = 5.0


def asked(dialect: str, request: NetworkRequest) -> bytes:
    """A frame of the switch, without its length."""
    ours = DIALECTS[dialect]()
    body = ours.encode(ours.network_request(request, stan="000007", now=NOW))
    return (Tpdu(destination="0123", source="0000").octets if WIRES[dialect].has_tpdu else b"") + body


@pytest.mark.parametrize("dialect", sorted(WIRES))
@pytest.mark.parametrize("request_", NetworkRequest)
def test_the_switch_takes_the_host_at_its_word(dialect: str, request_: NetworkRequest) -> None:
    """What the host says to each question is, to our own dialect, the approval of that question; the TPDU is turned round."""
    wire, ours = WIRES[dialect], DIALECTS[dialect]()
    said = host_answer(wire, dialect, asked(dialect, request_))
    assert said is not None
    assert said.asked is request_
    body = said.frame
    if wire.has_tpdu:
        assert body[:5] == Tpdu(destination="0000", source="0123").octets
        body = body[5:]
    answer = ours.host_answer(body)
    assert answer is not None
    assert (answer.is_approved, answer.pairing[1]) == (True, "000007")


@pytest.mark.parametrize("dialect", sorted(WIRES))
def test_nothing_else_is_answered(dialect: str) -> None:
    """Noise, half a TPDU, and answers to terminals are not the host's affair."""
    wire = WIRES[dialect]
    approved = host_answer(wire, dialect, asked(dialect, NetworkRequest.ECHO))
    assert approved is not None
    for frame in (b"", b"\x60\x00", b"GET / HTTP/1.1", approved.frame):
        assert host_answer(wire, dialect, frame) is None


class FakeSwitch:
    """Calls a host, signs on, and does one thing more."""

    def __init__(self, address: tuple[str, int], then: Callable[[socket.socket], None]) -> None:
        self.said: list[bytes] = []
        self._address = address
        self._then = then
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(SOON_SECONDS)

    def _run(self) -> None:
        style = WIRES["loteria"].frame_style
        with socket.create_connection(self._address, SOON_SECONDS) as link:
            link.sendall(write_frame(style, asked("loteria", NetworkRequest.SIGN_ON)))
            reader = FrameReader(style, 4096)
            while not self.said:
                self.said += [event.octets for event in reader.receive(link.recv(4096)) if isinstance(event, Frame)]
            self._then(link)


def _host(wait_seconds: float = SOON_SECONDS) -> tuple[CalledHost, tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ("127.0.0.1", int(taken.getsockname()[1]))
    return CalledHost(WIRES["loteria"], "loteria", [address], signs_on=True, wait_seconds=wait_seconds), address


def test_a_good_link_is_handed_out_again_and_a_closed_one_is_not() -> None:
    """Between two cases the link is kept, and an echo that comes meanwhile is answered; once the switch has closed it, there is none."""
    host, address = _host(wait_seconds=1.0)
    may_end = threading.Event()

    def echo_then_wait(link: socket.socket) -> None:
        link.sendall(write_frame(WIRES["loteria"].frame_style, asked("loteria", NetworkRequest.ECHO)))
        assert link.recv(4096)
        may_end.wait(SOON_SECONDS)

    switch = FakeSwitch(address, echo_then_wait)
    try:
        first = host.connect()
        assert first.is_signed_on
        first.close()
        assert host.connect() is first
        may_end.set()
        switch.join()
        assert first.read_frame(SOON_SECONDS) is Nothing.CLOSED
        first.close()
        with pytest.raises(TimeoutError, match="opened no link"):
            host.connect()
    finally:
        may_end.set()
        host.close()
