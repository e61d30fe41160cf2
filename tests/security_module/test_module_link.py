"""The listener's links in memory: who is let in, how long is waited, what happens to a client that does not read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from messages.security_module import (
    GenerateMac,
    Identify,
    IdentifyReply,
    MacKey,
    MacReply,
    ReadCounters,
    decode_reply,
    encode_request,
)
from security_module import server
from security_module.layout import Layout
from security_module.main import assemble
from security_module.mint_log import Decision, MintLog
from security_module.registers import ModuleKeys
from security_module.server import (
    CLOSE_SECONDS_MAX,
    HANDSHAKE_SECONDS_MAX,
    IDLE_SECONDS_MAX,
    Links,
    ModuleFactory,
    ModuleLink,
)
from tests.security_module.conftest import NOW


class TlsTransport(StringTransport):
    """A transport in memory whose peer showed a certificate."""

    def __init__(self, certificate: x509.Certificate | None) -> None:
        super().__init__()
        self._certificate = certificate
        self.is_cut = False

    def abortConnection(self) -> None:
        self.is_cut = True

    def getPeerCertificate(self) -> X509 | None:  # noqa: N802
        return None if self._certificate is None else X509.from_cryptography(self._certificate)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        assert enabled


class Listener:
    """A module in memory whose links are made by hand."""

    def __init__(self, keys: ModuleKeys, directory: Path, log: MintLog) -> None:
        self.clock = Clock()
        self.layout = Layout(directory)
        self.links: Links = assemble(keys, log, self.clock, self._never, lambda: NOW)
        self.factory = ModuleFactory(self.links)

    def _never(self, work: Any) -> "Deferred[list[Decision]]":
        return Deferred()

    def connect(self, client: str | None) -> tuple[ModuleLink, TlsTransport]:
        certificate = None
        if client is not None:
            certificate = x509.load_pem_x509_certificate(self.layout.client(client).read_bytes())
        link, transport = self.factory.buildProtocol(None), TlsTransport(certificate)
        link.makeConnection(transport)
        return link, transport

    def accept(self, client: str | None) -> tuple[ModuleLink, TlsTransport]:
        link, transport = self.connect(client)
        link.handshakeCompleted()
        return link, transport


@pytest.fixture
def listener(keys: ModuleKeys, directory: Path, tmp_path: Path) -> Iterator[Listener]:
    """A fresh module."""
    log = MintLog(tmp_path / "mint.sqlite3", keys.vending, lambda: NOW)
    with closing(log):
        yield Listener(keys, directory, log)


def lose(link: ModuleLink) -> None:
    link.connectionLost(Failure(ConnectionDone()))


def test_a_known_client_is_served_in_one_write(listener: Listener) -> None:
    """The role is that of its certificate; answers to many frames leave together."""
    link, transport = listener.accept("switch")
    writes: list[bytes] = []
    transport.write = writes.append  # type: ignore[method-assign]
    mac = GenerateMac(key=MacKey(register_id=11, scheme="AES-CMAC", diversifier="T1"), data=b"x")
    link.dataReceived(encode_request(1, Identify()) + encode_request(2, mac))
    assert len(writes) == 1
    _, identity = decode_reply(writes[0][4:][: int.from_bytes(writes[0][:4], "big")])
    assert isinstance(identity, IdentifyReply)
    assert identity.role == "switch"
    _, made = decode_reply(writes[0][-21:])
    assert isinstance(made, MacReply)
    lose(link)
    assert not listener.links.open


def test_nobody_is_let_in_without_a_pinned_certificate(listener: Listener) -> None:
    """No certificate: the link is cut and what it sent is not read."""
    link, transport = listener.accept(None)
    assert transport.is_cut
    link.dataReceived(encode_request(1, ReadCounters()))
    assert transport.value() == b""


def test_a_slow_handshake_is_cut_off(listener: Listener) -> None:
    """A place is held for so long and no longer; a client that came in is not touched by that."""
    slow, slow_transport = listener.connect("switch")
    quick, quick_transport = listener.accept("switch")
    listener.clock.advance(HANDSHAKE_SECONDS_MAX + 0.1)
    assert slow_transport.is_cut
    assert not quick_transport.is_cut
    for link in (slow, quick):
        lose(link)


def test_a_silent_client_does_not_hold_its_place_for_ever(listener: Listener) -> None:
    """A machine that lost its power never says so, and half a frame may be its last word; one that pings stays."""
    dead, dead_transport = listener.accept("switch")
    dead.dataReceived(encode_request(1, Identify())[:9])
    alive, alive_transport = listener.accept("switch")
    for number in range(4):
        listener.clock.advance(IDLE_SECONDS_MAX / 3)
        alive.dataReceived(encode_request(number, Identify()))
    assert dead_transport.is_cut
    assert not alive_transport.is_cut
    for link in (dead, alive):
        lose(link)
    assert not listener.links.open
    assert not listener.clock.getDelayedCalls()


def test_links_are_counted(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a link is refused at once; when one goes, the next may come."""
    monkeypatch.setattr(server, "LINKS_MAX", 1)
    first, _ = listener.accept("switch")
    second, transport = listener.connect("switch")
    assert transport.is_cut
    lose(second)
    lose(first)
    assert not listener.connect("switch")[1].is_cut


def test_a_client_that_does_not_read_is_not_read(listener: Listener) -> None:
    """When its answers pile up, no more of its requests are taken; when they drain, it goes on."""
    _, transport = listener.accept("switch")
    assert isinstance(transport.producer, ModuleLink)
    transport.producer.pauseProducing()
    assert transport.producerState == "paused"
    transport.producer.resumeProducing()
    assert transport.producerState == "producing"


def test_garbage_ends_one_link_after_its_answers(listener: Listener) -> None:
    """What was asked before the garbage is answered, the link is closed in order, the others stay."""
    other, other_transport = listener.accept("auditor")
    link, transport = listener.accept("auditor")
    link.dataReceived(encode_request(1, ReadCounters()) + b"\xff\xff\xff\xff")
    assert transport.value()
    assert transport.disconnecting
    assert transport.producer is None
    link.dataReceived(encode_request(2, ReadCounters()))
    assert not other_transport.disconnecting
    for each in (link, other):
        lose(each)


def test_closing_waits_for_clients_and_not_for_ever(listener: Listener) -> None:
    """A stopping module gives clients time to take their last answers, then cuts the rest."""
    polite, polite_transport = listener.accept("switch")
    deaf, deaf_transport = listener.accept("switch")
    gone: list[None] = []
    listener.links.close_all().addCallback(gone.append)
    assert polite_transport.disconnecting
    lose(polite)
    listener.clock.advance(CLOSE_SECONDS_MAX)
    assert deaf_transport.is_cut
    assert not gone
    lose(deaf)
    assert gone == [None]
