"""The listener: moves octets between TLS links and their `Session`, and nothing else."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import structlog
from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from security_module.certificates import spki_sha256
from security_module.registers import Client, ModuleKeys
from security_module.session import LinkError, Module, Session

LINKS_MAX = 256
"""Switch processes times their pool size, and some room; more is a fault or an attack."""
HANDSHAKE_SECONDS_MAX = 10.0
"""A client on a slow line needs one second; who takes longer holds a place that others want."""
IDLE_SECONDS_MAX = 60.0
"""A switch pings a quiet link every few seconds. Who is silent for so long is gone without a word (a machine that lost its power sends
no end), or takes no answers and so is not read; either would hold its place until the module stops."""
CLOSE_SECONDS_MAX = 3.0
"""How long a stopping module waits for clients to take their last answers."""

_log = structlog.get_logger()


def find_client(keys: ModuleKeys, certificate: X509 | None) -> Client | None:
    """Return the client that *certificate* was pinned for at the ceremony; None: nobody we know."""
    if certificate is None:
        return None
    presented = certificate.to_cryptography()
    client = keys.clients.get(spki_sha256(presented))
    if client is None:
        return None
    names = {(attribute.rfc4514_attribute_name, attribute.value) for attribute in presented.subject}
    return client if {("CN", client.name), ("OU", client.role.value)} <= names else None


@dataclass(slots=True, kw_only=True)
class Links:
    """The open links of one process."""

    module: Module
    clock: IReactorTime
    open: set["ModuleLink"] = field(default_factory=set)
    with_output: set["ModuleLink"] = field(default_factory=set)
    all_closed: Deferred[None] | None = None
    revoked: set[str] = field(default_factory=set)
    """Pins of the clients that are let in no more."""

    def revoke(self, pins: AbstractSet[str]) -> None:
        """Let these clients in no more and end their links; what they wait for is not sent."""
        self.revoked |= pins
        for link in list(self.open):
            if link.pin in pins:
                link.end_revoked()

    def flush(self) -> None:
        """Send what a batch left, one write per link."""
        links = list(self.with_output)
        self.with_output.clear()
        for link in links:
            link.flush()

    def closed(self, link: "ModuleLink") -> None:
        """Forget *link*."""
        self.open.discard(link)
        self.with_output.discard(link)
        waiting = self.all_closed
        if not self.open and waiting is not None:
            self.all_closed = None
            waiting.callback(None)

    def close_all(self) -> Deferred[None]:
        """Close every link after its last answer; fire when all are gone, by force after `CLOSE_SECONDS_MAX`."""
        done: Deferred[None] = Deferred()
        if not self.open:
            done.callback(None)
            return done
        self.all_closed = done
        for link in list(self.open):
            link.close()
        force = self.clock.callLater(CLOSE_SECONDS_MAX, self._abort_all)
        return done.addBoth(_cancel, force)

    def _abort_all(self) -> None:
        for link in list(self.open):
            link.abort()


def _cancel(result: None, call: IDelayedCall) -> None:
    if call.active():
        call.cancel()


@implementer(IHandshakeListener, IPushProducer)
class ModuleLink(Protocol):
    """One link. Reads nothing before the client is known; stops reading while the client does not take its answers."""

    transport: Any  # A TLS transport: four of Twisted's interfaces in one, and no interface that says so.

    def __init__(self, links: Links) -> None:
        self._links = links
        self._session: Session | None = None
        self._deadline: IDelayedCall | None = None
        self._bound = _log
        self.pin: str | None = None
        """Of the client, once it is known."""

    def connectionMade(self) -> None:
        """Count the link and wait for its handshake. Answers are gathered before they are written, so the kernel need not wait."""
        self.transport.setTcpNoDelay(True)
        peer = self.transport.getPeer()
        if isinstance(peer, IPv4Address | IPv6Address):
            self._bound = _log.bind(peer=f"{peer.host}:{peer.port}")
        if len(self._links.open) >= LINKS_MAX:
            self._bound.warning("link.refused", reason="too many links")
            self.abort()
            return
        self._links.open.add(self)
        self._deadline = self._links.clock.callLater(HANDSHAKE_SECONDS_MAX, self.abort)

    def handshakeCompleted(self) -> None:  # noqa: N802
        """Find out who it is; a certificate that was not pinned is nobody."""
        self._stop_deadline()
        client = find_client(self._links.module.keys, self.transport.getPeerCertificate())
        if client is None:
            self._bound.warning("link.refused", reason="certificate not pinned")
            self.abort()
            return
        if client.spki_sha256 in self._links.revoked:
            self._bound.warning(
                "link.refused", reason="certificate revoked", client=client.name, role=client.role.value
            )
            self.abort()
            return
        self.pin = client.spki_sha256
        self._bound = self._bound.bind(client=client.name, role=client.role.value)
        self._session = Session(self._links.module, client.role, lambda _: self._links.with_output.add(self))
        self.transport.registerProducer(self, True)
        self._deadline = self._links.clock.callLater(IDLE_SECONDS_MAX, self._end_idle)
        self._bound.info("link.opened")

    def dataReceived(self, data: bytes) -> None:
        """Feed the session and send at once what it can answer at once."""
        session = self._session
        if session is None:
            return
        if self._deadline is not None:
            self._deadline.reset(IDLE_SECONDS_MAX)
        try:
            session.receive(data)
        except LinkError as error:
            self._bound.warning("link.violated", reason=str(error))
            self.close()
            return
        self.flush()

    def flush(self) -> None:
        """Send everything that the session has ready, in one write."""
        if self._session is None:
            return
        output = self._session.take_output()
        if output:
            self.transport.write(output)

    def close(self) -> None:
        """Send the rest and close in order."""
        self.flush()
        if self._session is not None:
            self._session = None
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close without a word."""
        self._stop_deadline()
        self._session = None
        self.transport.abortConnection()

    def end_revoked(self) -> None:
        """Close without a word: this client is not to get another answer."""
        self._bound.warning("link.revoked")
        self.abort()

    def _end_idle(self) -> None:
        self._bound.warning("link.idle", idle_seconds=IDLE_SECONDS_MAX)
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the link; mints that are under way are recorded and will be asked for again by their ids."""
        self._stop_deadline()
        self._session = None
        self._links.closed(self)
        self._bound.info("link.closed", reason=type(reason.value).__name__)

    def pauseProducing(self) -> None:
        """Stop reading: the client is not taking its answers."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The link is gone."""

    def _stop_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


class ModuleFactory(ServerFactory):
    """Makes a `ModuleLink` per connection."""

    noisy = False

    def __init__(self, links: Links) -> None:
        self._links = links

    def buildProtocol(self, addr: IAddress | None) -> ModuleLink:
        """Make the link."""
        link = ModuleLink(self._links)
        link.factory = self
        return link


def stop(links: Links, stop_listening: Callable[[], Deferred[None]]) -> Deferred[None]:
    """Stop in order: take on no mint, finish those under way, send their answers, close the links."""
    links.module.is_stopping = True
    return (
        stop_listening()
        .addCallback(lambda _: links.module.commits.drained())
        .addCallback(lambda _: links.flush())
        .addCallback(lambda _: links.close_all())
    )
