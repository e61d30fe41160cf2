"""The port of one network: who may connect, what its connections share, its change while it runs, and its end."""

from collections import Counter
from ipaddress import ip_address
from typing import Any, Final, Protocol, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from config.acquirer import AcquirerSection
from messages.framing import FrameStyle
from switch.connection import CloseReason, ConnectionLimits
from switch.fruitless import CONNECTION_SECONDS, HANDSHAKE_SECONDS, FruitlessWork
from switch.listener import AcquirerConnection, ConnectionContext, Serve, Undeliverable, spoken
from switch.log import Event, LineLimit, log
from switch.metrics import AcquirerMetrics
from switch.port_tls import PortTls
from switch.supervised import ListeningSockets

FRAME_STYLES: Final = {"binary2": FrameStyle.BINARY_2, "ascii4": FrameStyle.DIGITS_4}
"""The configuration's words for how a length is written."""

LISTEN_BACKLOG: Final = 1024
"""Connections that the system may accept before we do: a town's terminals come back together after a power cut."""

ACCEPTS_PER_TURN: Final = 8
"""A connection costs the reactor as much as two sales; so many at once are not noticed by the other networks."""

PER_ADDRESS, PER_PORT, DRAINING, NOT_ALLOWED = "per_address", "per_port", "draining", "not_allowed"
"""Why a connection was closed at once, as the metric says it."""


class Notices(Protocol):
    """Who sends notices; `switch.notice_desk.NoticeDesk` is one."""

    def take(self, context: ConnectionContext, frame: bytes) -> bool:
        """Look at a frame that came; True: it answers a notice and there is nothing to serve."""

    def connection_lost(self, connection_id: int) -> None:
        """A connection is gone."""


def connection_limits(section: AcquirerSection) -> ConnectionLimits:
    """Return the limits of one connection from the section of its network."""
    return ConnectionLimits(
        frame_octets_max=section.frame_octets_max,
        in_flight_max=section.connection_in_flight_max,
        frame_timeout_seconds=section.frame_timeout_seconds,
        keep_alive_interval_seconds=section.keep_alive_interval_seconds,
        idle_timeout_seconds=section.idle_timeout_seconds,
        close_timeout_seconds=section.close_timeout_seconds,
        send_timeout_seconds=section.send_timeout_seconds,
    )


class AcquirerPort(ServerFactory):
    """The port of one network: its connections, its limits, its end.

    Attributes:
        in_flight: requests in work on all its connections.
        notices: who sends notices over its connections; None: nobody does.
    """

    noisy = False

    def __init__(
        self,
        *,
        section: AcquirerSection,
        clock: IReactorTime,
        serve: Serve,
        metrics: AcquirerMetrics,
        undeliverable: Undeliverable | None = None,
        tls: PortTls | None = None,
    ) -> None:
        self.notices: Notices | None = None
        self.section = section
        self.style = FRAME_STYLES[section.framing]
        self.limits = connection_limits(section)
        self.clock = clock
        self.serve = serve
        self.metrics = metrics
        self.in_flight = 0
        self.tls = tls
        self._lines = LineLimit(clock, section.id)
        self.fruitless = FruitlessWork(clock, count_pause=metrics.fruitless_pauses.inc)
        self.connection_seconds = CONNECTION_SECONDS if tls is None else CONNECTION_SECONDS + HANDSHAKE_SECONDS
        self._undeliverable = undeliverable
        self._connections: set[AcquirerConnection] = set()
        self._per_address: Counter[str] = Counter()
        self._connection_count = 0
        self._listening: IListeningPort | None = None
        self._is_held = False
        self._is_accepting = False
        self._is_draining = False
        self._drain_timer: IDelayedCall | None = None
        self._cut_count = 0
        self._waiters: list[Deferred[int]] = []

    # Its life.

    def listen(self, reactor: IReactorTCP, sockets: ListeningSockets | None = None) -> tuple[str, int]:
        """Open the port and return its address.

        Args:
            reactor: Twisted's.
            sockets: where the listening socket comes from; None: this process binds one of its own.

        Raises:
            twisted.internet.error.CannotListenError: the address is taken or not ours.
        """
        assert self._listening is None
        factory: Any = self if self.tls is None else TLSMemoryBIOFactory(self.tls, isClient=False, wrappedFactory=self)
        section = self.section
        if sockets is None:
            self._listening = reactor.listenTCP(
                section.listen_port, factory, backlog=LISTEN_BACKLOG, interface=section.listen_host
            )
        else:
            self._listening = sockets.listen(reactor, section, factory)
        self._bound_accepts()
        bound = cast(IPv4Address, self._listening.getHost())
        log.info(Event.PORT_OPENED, acquirer_id=self.section.id, host=bound.host, port=bound.port)
        return bound.host, bound.port

    def adopt(self, section: AcquirerSection, serve: Serve, undeliverable: Undeliverable | None) -> None:
        """Go on under another configuration: the next frame of every connection is served by it, what is in work ends as it began.

        Connections from addresses that are not allowed any more are drained. Address, framing and TPDU of the port cannot change.
        """
        self.section, self.limits, self.serve, self._undeliverable = (
            section,
            connection_limits(section),
            serve,
            undeliverable,
        )
        for connection in list(self._connections):
            if self._is_allowed(connection.address):
                connection.adopt()
            else:
                connection.drain()

    def _bound_accepts(self) -> None:
        """Have one turn of the reactor accept a few connections only: Twisted begins with a hundred and adds more under a storm."""
        self._is_accepting = False
        if self._listening is not None:
            cast(Any, self._listening).numberAccepts = ACCEPTS_PER_TURN

    def _charge_connection(self) -> None:
        """Charge the network for a new connection. Where its share is used up the next wait in the system's queue."""
        if not self._is_accepting and self._listening is not None:
            self._is_accepting = True
            self.clock.callLater(0, self._bound_accepts)
        if self.fruitless.charge(self.connection_seconds) and not self._is_held and self._listening is not None:
            self._is_held = True
            cast(Any, self._listening).stopReading()
            self.fruitless.wait(self._accept_again)

    def _accept_again(self) -> None:
        self._is_held = False
        if self._listening is not None:
            cast(Any, self._listening).startReading()

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def is_drained(self) -> bool:
        """Whether the port is closed and nothing is left of what it had in work."""
        return self._is_draining and not self._connections and not self.in_flight

    @property
    def is_draining(self) -> bool:
        """Whether the port takes nothing new."""
        return self._is_draining

    def _is_allowed(self, host: str | None) -> bool:
        allowed = self.section.allowed_peers
        if not allowed or host is None:
            return True
        address = ip_address(host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address  # how a port for both kinds shows IPv4
        return any(address in network for network in allowed if network.version == address.version)

    def drain(self, timeout_seconds: float) -> Deferred[int]:
        """Stop: accept nothing, read nothing, let answers in work leave, end every connection, finish what is in work.

        Args:
            timeout_seconds: connections that have not ended by then are cut.

        Returns:
            When all is over: how many connections were cut. A request cut off goes on being served and its answer is reported
            as undeliverable; its outcome is in the ledger and the terminal's repeat finds it.
        """
        done: Deferred[int] = Deferred()
        self._waiters.append(done)
        if not self._is_draining:
            self._is_draining = True
            closing = self._stop_listening()
            for connection in list(self._connections):
                connection.drain()
            self._drain_timer = self.clock.callLater(timeout_seconds, self._cut_rest)
            closing.addBoth(lambda _: self.settle())
        self.settle()
        return done

    def _stop_listening(self) -> Deferred[None]:
        listening, self._listening = self._listening, None
        if listening is None:
            return succeed(None)
        log.info(Event.PORT_CLOSED, acquirer_id=self.section.id)
        return cast(Deferred[None], listening.stopListening() or succeed(None))

    def _cut_rest(self) -> None:
        self._drain_timer = None
        for connection in list(self._connections):
            self._cut_count += 1
            connection.cut(CloseReason.DRAIN_TIMEOUT)
        self.settle()

    def settle(self) -> None:
        """Tell those who wait for the end of `drain` if it has come."""
        if not self._is_draining or self._connections or (self.in_flight and self._drain_timer is not None):
            return
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(self._cut_count)

    def ways(self) -> list[AcquirerConnection]:
        """Return the connections that we may say something on of our own accord, the best first."""
        notices = self.section.notices
        if notices is None or not notices.over_their_links or self._is_draining:
            return []
        return [connection for connection in self._connections if connection.is_known]

    # What Twisted and its connections call.

    def buildProtocol(self, addr: IAddress | None) -> AcquirerConnection | None:
        """Accept, unless the limit is reached: then the new one is closed at once and the port stays open for the others."""
        self._charge_connection()
        reason = self._reason_to_refuse(addr)
        if reason is not None:
            self.metrics.refuse_connection(reason)
            log.debug(Event.CONNECTION_REFUSED, acquirer_id=self.section.id, peer=spoken(addr), reason=reason)
            return None
        self._connection_count += 1
        connection = AcquirerConnection(self, self._connection_count)
        connection.factory = self
        return connection

    def _reason_to_refuse(self, addr: IAddress | None) -> str | None:
        if self._is_draining:
            return DRAINING
        if not self._is_allowed(getattr(addr, "host", None)):
            return NOT_ALLOWED
        if len(self._connections) >= self.section.connections_max:
            return PER_PORT
        host = getattr(addr, "host", None)
        if host is not None and self._per_address[host] >= self.section.connections_per_address_max:
            return PER_ADDRESS
        return None

    def opened(self, connection: AcquirerConnection) -> None:
        """A connection began."""
        self._connections.add(connection)
        if connection.address is not None:
            self._per_address[connection.address] += 1
        self.metrics.connections_opened.inc()
        self.metrics.connections.inc()

    def lost(self, connection: AcquirerConnection, reason: CloseReason, frames_dropped: int) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if connection.address is not None:
            self._per_address[connection.address] -= 1
            if not self._per_address[connection.address]:
                del self._per_address[connection.address]
        self.metrics.connections.dec()
        self.metrics.closed(reason)
        self.metrics.frames_dropped.inc(frames_dropped)
        if self.notices is not None:
            self.notices.connection_lost(connection.connection_id)
        self.settle()

    def begun(self) -> None:
        """A request is in work."""
        self.in_flight += 1
        self.metrics.in_flight.inc()

    def ended(self) -> None:
        """A request is no longer in work."""
        self.in_flight -= 1
        self.metrics.in_flight.dec()
        if self._is_draining:
            self.settle()

    def undeliverable(self, context: ConnectionContext, answer: bytes, reason: str) -> None:
        """An answer was ready and did not leave."""
        self.metrics.undeliverable(reason)
        if self._lines.admits(reason):
            log.warning(
                Event.ANSWER_UNDELIVERABLE,
                acquirer_id=context.acquirer_id,
                peer=context.peer,
                connection_id=context.connection_id,
                reason=reason,
            )
        if self._undeliverable is not None:
            self._undeliverable(context, answer, reason)
