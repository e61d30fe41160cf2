"""Encryption of a network's port, with real handshakes on real sockets."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from config.acquirer import AcquirerSection, MacSection
from config.acquirer_tls import TlsSection
from messages.framing import FrameStyle, write_frame
from switch.listener import ConnectionContext
from switch.metrics import Metrics
from switch.port import AcquirerPort
from switch.port_tls import PortTls, tls_context

SOON_SECONDS = 10.0
REFUSED = "refused"


class Papers:
    """An authority of ours, the network's, and a stranger's, as files."""

    def __init__(self, directory: Path) -> None:
        self.ours, self.theirs, self.strangers = trustme.CA(), trustme.CA(), trustme.CA()
        self.directory = directory
        leaf = self.ours.issue_cert("switch.test")
        self.certificate = directory / "switch.pem"
        self.certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        self.key = directory / "switch.key"
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.authority = directory / "network-ca.pem"
        self.theirs.cert_pem.write_to_path(str(self.authority))

    def section(self, **changes: Any) -> TlsSection:
        """Mutual TLS for the network's host."""
        return TlsSection.model_validate(
            {
                "certificate_file": self.certificate,
                "key_file": self.key,
                "client_ca_file": self.authority,
                "client_names": ["host.red.test"],
                **changes,
            }
        )

    def client(self, leaf: trustme.LeafCert | None) -> ssl.SSLContext:
        """A client that trusts us and shows *leaf*."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ours.configure_trust(context)
        if leaf is not None:
            leaf.configure_cert(context)
        return context


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


class Bench:
    """One encrypted port that echoes."""

    def __init__(self) -> None:
        from twisted.internet import reactor  # noqa: TID251 - these tests are about the real one

        self.reactor: Any = reactor
        self.registry = CollectorRegistry()
        self.port: AcquirerPort | None = None

    async def _serve(self, _: ConnectionContext, frame: bytes) -> bytes:
        await deferLater(self.reactor, 0.01)
        return b"answer to " + frame

    def listen(self, tls: TlsSection, **changes: Any) -> tuple[str, int]:
        """Open it."""
        section = AcquirerSection.model_validate(
            {"id": "red", "listen_port": 0, "mac": MacSection(register_id=1), "tls": tls, **changes}
        )
        self.port = AcquirerPort(
            section=section,
            clock=self.reactor,
            serve=self._serve,
            metrics=Metrics(self.registry).acquirer("red"),
            tls=PortTls(tls_context(tls)),
        )
        return self.port.listen(self.reactor)

    def closed(self, reason: str) -> float:
        """How many connections ended so."""
        labels = {"acquirer": "red", "reason": reason}
        return self.registry.get_sample_value("eudora_connections_closed_total", labels) or 0.0

    async def until(self, reason: str) -> None:
        """Wait until one did."""
        for _ in range(500):
            if self.closed(reason):
                return
            await deferLater(self.reactor, 0.01)
        pytest.fail(f"no connection ended by {reason}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    if made.port is not None:
        pytest_twisted.blockon(made.port.drain(0.2))


def _ask(address: tuple[str, int], context: ssl.SSLContext, frame: bytes = b"hello") -> bytes | str:
    """Send one frame; return the answer's body, or `REFUSED`."""
    try:
        with (
            socket.create_connection(address, SOON_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="switch.test") as link,
        ):
            link.sendall(write_frame(FrameStyle.BINARY_2, frame))
            wanted = write_frame(FrameStyle.BINARY_2, b"answer to " + frame)
            data = b""
            while len(data) < len(wanted):
                part = link.recv(4096)
                if not part:
                    return REFUSED
                data += part
            return data[2:]
    except (ssl.SSLError, ConnectionError):
        return REFUSED


def test_the_right_certificate_is_served_and_no_other(bench: Bench, papers: Papers) -> Deferred[None]:
    """No certificate, a stranger's, and one of the right authority for another name are all refused and counted by name."""

    async def scene() -> None:
        address = bench.listen(papers.section())
        right = papers.theirs.issue_cert("host.red.test")
        assert await deferToThread(_ask, address, papers.client(right)) == b"answer to hello"
        wrong = [None, papers.strangers.issue_cert("host.red.test"), papers.theirs.issue_cert("other.red.test")]
        for number, leaf in enumerate(wrong, start=1):
            assert await deferToThread(_ask, address, papers.client(leaf)) == REFUSED, leaf
            for _ in range(500):
                if bench.closed("tls_refused") == number:
                    break
                await deferLater(bench.reactor, 0.01)
            assert bench.closed("tls_refused") == number

    return Deferred.fromCoroutine(scene())


def test_a_common_name_counts_as_a_name(bench: Bench, papers: Papers) -> Deferred[None]:
    """Old networks have certificates without alternative names for what they call themselves."""

    async def scene() -> None:
        address = bench.listen(papers.section(client_names=["Red de Recargas"]))
        leaf = papers.theirs.issue_cert("any.red.test", common_name="Red de Recargas")
        assert await deferToThread(_ask, address, papers.client(leaf)) == b"answer to hello"

    return Deferred.fromCoroutine(scene())


def test_without_an_authority_anybody_may_connect_encrypted(bench: Bench, papers: Papers) -> Deferred[None]:
    """TLS without client certificates; who does not speak it at all is refused by name."""

    async def scene() -> None:
        address = bench.listen(papers.section(client_ca_file=None, client_names=()))
        assert await deferToThread(_ask, address, papers.client(None)) == b"answer to hello"

        def plain() -> bytes:
            with socket.create_connection(address, SOON_SECONDS) as link:
                link.sendall(write_frame(FrameStyle.BINARY_2, b"hello"))
                link.settimeout(SOON_SECONDS)
                try:
                    while link.recv(4096):
                        pass
                except ConnectionError:
                    pass
                return b"ended"

        assert await deferToThread(plain) == b"ended"
        await bench.until("tls_refused")

    return Deferred.fromCoroutine(scene())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_protocols_are_refused_and_1_2_is_not(bench: Bench, papers: Papers) -> Deferred[None]:
    """TLS 1.2 is the least."""

    async def scene() -> None:
        address = bench.listen(papers.section(client_ca_file=None, client_names=()))
        for version, is_served in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
            context = papers.client(None)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            answer = await deferToThread(_ask, address, context)
            assert (answer == b"answer to hello") is is_served, version

    return Deferred.fromCoroutine(scene())


def test_a_renewed_certificate_is_shown_without_a_new_port(bench: Bench, papers: Papers) -> Deferred[None]:
    """Handshakes that begin after the change see it; the link from before goes on."""

    async def scene() -> None:
        address = bench.listen(papers.section(client_ca_file=None, client_names=()))
        assert bench.port is not None
        assert bench.port.tls is not None
        renewed = trustme.CA()
        leaf = renewed.issue_cert("switch.test")
        certificate, key = papers.directory / "new.pem", papers.directory / "new.key"
        certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        key.write_bytes(leaf.private_key_pem.bytes())
        bench.port.tls.context = tls_context(
            papers.section(certificate_file=certificate, key_file=key, client_ca_file=None, client_names=())
        )
        assert await deferToThread(_ask, address, papers.client(None)) == REFUSED
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        renewed.configure_trust(context)
        assert await deferToThread(_ask, address, context) == b"answer to hello"

    return Deferred.fromCoroutine(scene())


def test_a_drained_encrypted_port_ends_its_links_after_their_answers(bench: Bench, papers: Papers) -> Deferred[None]:
    """What is in work is answered; nobody is cut."""

    async def scene() -> None:
        address = bench.listen(papers.section(client_ca_file=None, client_names=()))
        asking = deferToThread(_ask, address, papers.client(None), b"last")
        while bench.port is not None and not bench.port.in_flight:
            await deferLater(bench.reactor, 0.001)
        assert bench.port is not None
        draining = bench.port.drain(5.0)
        assert await asking == b"answer to last"
        assert await draining == 0

    return Deferred.fromCoroutine(scene())


@pytest.mark.parametrize("missing", ["certificate_file", "key_file", "client_ca_file"])
def test_files_that_do_not_hold_what_they_should_are_told(papers: Papers, missing: str) -> None:
    """Whatever is in the wrong file, it is an error of ours and not a traceback of a library."""
    empty = papers.directory / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises(ValueError, match=r"\S"):
        tls_context(papers.section(**{missing: empty}))


def test_a_key_of_another_certificate_is_told(papers: Papers) -> None:
    """It would fail every handshake later."""
    other = papers.directory / "other.key"
    other.write_bytes(papers.ours.issue_cert("x.test").private_key_pem.bytes())
    with pytest.raises(ValueError, match="does not belong"):
        tls_context(papers.section(key_file=other))
