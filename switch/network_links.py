"""The links that we open to one network, beside its port or instead of one.

To whoever serves it makes no difference who opened a connection, so this is the network's port with links: the same connections, limits,
change of configuration and end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from acquirers.dialect import Dialect
from acquirers.link_states import LinkState
from config.acquirer import AcquirerSection
from config.section import Endpoint
from messages.tpdu import TPDU_OCTETS
from switch.connection import CloseReason
from switch.listener import AcquirerConnection, ConnectionContext, Serve, Undeliverable
from switch.metrics import AcquirerMetrics
from switch.outbound_link import OutboundLink
from switch.port import AcquirerPort
from switch.port_tls import PortTls

STANS = 999_999
"""Questions of ours are numbered 1 to this, and then from 1 again."""

LINK_CONNECTIONS_FROM = 1 << 32
"""Connections of links are numbered from here, those of the port from 1."""


def endpoint_maker(reactor: Any, tls: PortTls | None) -> Callable[[Endpoint], IStreamClientEndpoint]:
    """Return how to reach a host: TCP, with TLS inside where the network has it. *reactor* is Twisted's."""

    def endpoint_of(host: Endpoint) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(reactor, host.host, host.port)
        return plain if tls is None else wrapClientTLS(tls, plain)

    return endpoint_of


@implementer(IHandshakeListener)
class EncryptedConnection(AcquirerConnection):
    """A connection that we opened with TLS; tells when its handshake is done.

    A plain one must not be this: Twisted's endpoints hand a protocol either its handshakes or the other end's half-close, never both, and
    TLS has no halves to close.
    """

    def __init__(self, port: "NetworkLinks", connection_id: int, link: OutboundLink) -> None:
        super().__init__(port, connection_id)
        self._link = link

    def handshakeCompleted(self) -> None:  # noqa: N802 - the name is Twisted's
        """From TLS."""
        self._link.secured()


class NetworkLinks(AcquirerPort):
    """See above.

    Args:
        dialect: of the network; it cannot change while there are links.
        endpoint_of: how to reach a host.
        random: draws evenly from [0, 1), for the jitter.
        now: our clock, aware UTC.
    """

    def __init__(
        self,
        *,
        section: AcquirerSection,
        clock: IReactorTime,
        serve: Serve,
        metrics: AcquirerMetrics,
        dialect: Dialect,
        endpoint_of: Callable[[Endpoint], IStreamClientEndpoint],
        random: Callable[[], float],
        now: Callable[[], datetime],
        undeliverable: Undeliverable | None = None,
        tls: PortTls | None = None,
    ) -> None:
        super().__init__(
            section=section, clock=clock, serve=self._take, metrics=metrics, undeliverable=undeliverable, tls=tls
        )
        assert section.links is not None, "a network without links has a port only"
        self.dialect = dialect
        self.now = now
        self._answer = serve
        self._numbers = count(LINK_CONNECTIONS_FROM)
        self._stans = count()
        self._by_connection: dict[int, OutboundLink] = {}
        self.links = tuple(
            OutboundLink(self, number, section=section.links, endpoint_of=endpoint_of, random=random)
            for number in range(section.links.count)
        )

    # Its life.

    def begin(self) -> None:
        """Open the links and keep them open."""
        for link in self.links:
            link.start()

    def adopt(self, section: AcquirerSection, serve: Serve, undeliverable: Undeliverable | None) -> None:
        """As of the port. The links themselves cannot change."""
        self._answer = serve
        super().adopt(section, self._take, undeliverable)

    def drain(self, timeout_seconds: float) -> Deferred[int]:
        """As of the port; the hosts are told that we leave."""
        if not self.is_draining:
            for link in self.links:
                link.stop()
        return super().drain(timeout_seconds)

    def link_rows(self) -> list[Mapping[str, str]]:
        """Say how each link is, for people."""
        return [{"host": str(link.host), "state": link.state.value} for link in self.links]

    @property
    def is_up(self) -> bool:
        """Whether at least one link is signed on."""
        return any(link.state is LinkState.SIGNED_ON for link in self.links)

    def ways(self) -> list[AcquirerConnection]:
        """As of the port; our own links come first."""
        ours = [link.way for link in self.links]
        return [way for way in ours if way is not None] + [
            way for way in super().ways() if way.connection_id not in self._by_connection
        ]

    # What the links and their connections call.

    def new_connection(self, link: OutboundLink) -> AcquirerConnection:
        """Make the connection of an attempt."""
        number = next(self._numbers)
        connection = AcquirerConnection(self, number) if self.tls is None else EncryptedConnection(self, number, link)
        self._by_connection[connection.connection_id] = link
        return connection

    def next_stan(self) -> str:
        """Number a question."""
        return f"{next(self._stans) % STANS + 1:06}"

    def opened(self, connection: AcquirerConnection) -> None:
        """A connection began. Who may connect to us, and how often, does not bind those that we opened."""
        if connection.connection_id in self._by_connection:
            connection.address = None
        super().opened(connection)

    def lost(self, connection: AcquirerConnection, reason: CloseReason, frames_dropped: int) -> None:
        """A connection is gone."""
        link = self._by_connection.pop(connection.connection_id, None)
        super().lost(connection, reason, frames_dropped)
        if link is not None:
            link.connection_lost(connection, reason)

    def admits_line(self, kind: str) -> bool:
        """Whether a line of this kind is to be written now; see `switch.log.LineLimit`."""
        return self._lines.admits(kind)

    def link_ended(self, link: OutboundLink) -> None:
        """A link is over."""
        self.metrics.link_moved(link.state.value, None)

    async def _take(self, context: ConnectionContext, frame: bytes) -> bytes | None:
        """Serve a frame, unless it is the answer to a notice or to a question of ours."""
        if self.notices is not None and self.notices.take(context, frame):
            return None
        link = self._by_connection.get(context.connection_id)
        body = frame[TPDU_OCTETS:] if self.section.has_tpdu else frame
        if link is not None and link.take(context, body):
            return None
        return await self._answer(context, frame)
