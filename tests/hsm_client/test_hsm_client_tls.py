"""The whole client over real sockets and real mutual TLS on the loopback."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.internet.task import deferLater

from hsm_client.limits import LinkLimits
from hsm_client.pool import SecurityModulePool
from hsm_client.tls import client_tls, module_endpoint
from messages.security_module import FrameReader, decode_request, encode_reply
from tests.hsm_client.fake_module import KEY, RecordingObserver, digits_of, honest_reply, mac_of, mint_request

SERVER_NAME = "security-module"


class _Module(Protocol):
    def connectionMade(self) -> None:
        self.reader = FrameReader()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        for body in self.reader.receive(data):
            correlation_id, request = decode_request(body)
            self.transport.write(encode_reply(correlation_id, honest_reply(request)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Papers:
    ca_pem: bytes
    server_pem: bytes
    client_pem: bytes
    stranger_pem: bytes

    def server(self) -> CertificateOptions:
        """The module's side of mutual TLS."""
        key: Any = load_pem_private_key(self.server_pem, None)
        certificate: Any = load_pem_x509_certificate(self.server_pem)
        return CertificateOptions(
            privateKey=key,
            certificate=certificate,
            trustRoot=trustRootFromCertificates([Certificate.loadPEM(self.ca_pem)]),
        )


def _pem(leaf: trustme.LeafCert) -> bytes:
    return leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()


@pytest.fixture(scope="module")
def papers() -> _Papers:
    """An authority, a module's certificate, a client's, and one that another authority made."""
    authority = trustme.CA()
    return _Papers(
        ca_pem=authority.cert_pem.bytes(),
        server_pem=_pem(authority.issue_cert(SERVER_NAME)),
        client_pem=_pem(authority.issue_cert("switch")),
        stranger_pem=_pem(trustme.CA().issue_cert("switch")),
    )


async def _ask(papers: _Papers, *, client_pem: bytes, server_name: str = SERVER_NAME) -> tuple[bool, RecordingObserver]:
    """Run a module and a pool; return whether the pool came up and did its work."""
    real = _clock()
    port = await SSL4ServerEndpoint(real, 0, papers.server(), interface="127.0.0.1").listen(
        Factory.forProtocol(_Module)
    )
    observer = RecordingObserver()
    address: Any = port.getHost()
    tls = client_tls(ca_pem=papers.ca_pem, client_pem=client_pem, server_name=server_name)
    endpoint = module_endpoint(real, host="127.0.0.1", port=address.port, tls=tls)
    pool = SecurityModulePool(
        [("a", endpoint), ("b", endpoint)],
        clock=real,
        random=lambda: 0.5,
        observer=observer,
        link_limits=LinkLimits(backoff_base_seconds=60.0, backoff_max_seconds=60.0),
    )
    pool.start()
    while not pool.is_up and len(observer.named("failed")) < 2:
        await deferLater(real, 0.01)
    was_up = pool.is_up
    if was_up:
        tokens = await pool.mint(mint_request(1, 2))
        assert [token.reveal() for token in tokens] == digits_of(mint_request(1, 2))
        macs = [pool.generate_mac(KEY, b"%d" % at) for at in range(500)]
        assert [await mac for mac in macs] == [mac_of(b"%d" % at) for at in range(500)]
    await pool.stop()
    await maybeDeferred(port.stopListening)
    return was_up, observer


def _run(steps: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
    """Hand the steps of a test to the reactor."""
    return ensureDeferred(steps).addTimeout(20, _clock())


def _clock() -> Any:
    from twisted.internet import reactor  # noqa: TID251 - a test on real sockets

    return reactor


def test_mutual_tls(papers: _Papers) -> Deferred[None]:
    """With papers of the right authority on both sides, tokens and MACs come over TLS and closing is clean."""

    async def steps() -> None:
        was_up, observer = await _ask(papers, client_pem=papers.client_pem)
        assert was_up
        assert observer.named("failed") == []

    return _run(steps())


def test_the_wrong_name_is_refused(papers: _Papers) -> Deferred[None]:
    """A certificate of the right authority for another name is not the module."""

    async def steps() -> None:
        was_up, observer = await _ask(papers, client_pem=papers.client_pem, server_name="other-machine")
        assert not was_up
        assert len(observer.named("failed")) == 2

    return _run(steps())


def test_a_stranger_is_refused(papers: _Papers) -> Deferred[None]:
    """A client whose certificate another authority signed never comes up, although its own handshake seems to succeed."""

    async def steps() -> None:
        was_up, observer = await _ask(papers, client_pem=papers.stranger_pem)
        assert not was_up
        assert len(observer.named("failed")) == 2

    return _run(steps())


def test_an_authority_without_a_certificate_is_refused(papers: _Papers) -> None:
    """An empty file of the authority must not come to mean that everybody is trusted."""
    with pytest.raises(ValueError, match="no certificate"):
        client_tls(ca_pem=b"", client_pem=papers.client_pem, server_name=SERVER_NAME)


@pytest.mark.parametrize("is_key_first", [True, False])
def test_key_and_certificate_in_any_order(papers: _Papers, is_key_first: bool) -> None:
    """The client's file is read whichever of the two comes first, and refused when one is missing."""
    end = b"-----END CERTIFICATE-----\n"
    at = papers.client_pem.index(b"-----BEGIN CERTIFICATE-----")
    key, certificate = papers.client_pem[:at], papers.client_pem[at:]
    assert certificate.endswith(end)
    pem = key + certificate if is_key_first else certificate + key
    assert client_tls(ca_pem=papers.ca_pem, client_pem=pem, server_name=SERVER_NAME) is not None
    with pytest.raises(ValueError, match=r"\w"):
        client_tls(ca_pem=papers.ca_pem, client_pem=key if is_key_first else certificate, server_name=SERVER_NAME)


def test_two_authorities_are_both_read(papers: _Papers) -> None:
    """While one authority replaces another, both stand in the file."""
    both = papers.ca_pem + trustme.CA().cert_pem.bytes()
    assert client_tls(ca_pem=both, client_pem=papers.client_pem, server_name=SERVER_NAME) is not None
