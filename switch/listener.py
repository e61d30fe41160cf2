"""The connections of networks: a thin Twisted shell that moves octets for `switch.connection.Connection`.

Answers of one turn of the reactor leave together without anything being done for it here: the transport gathers what is written
to it until the socket is next writable, and sends it with one system call.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    INegotiated,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from switch.connection import CloseReason, Connection, Farewell
from switch.fruitless import READ_SECONDS, REFUSAL_SECONDS
from switch.log import Event, bind, log
from switch.socket_buffers import bound_buffers, unsent_octets

if TYPE_CHECKING:
    from switch.port import AcquirerPort


@dataclass(slots=True, kw_only=True)
class ConnectionContext:
    """What is known about the connection that a frame came on; the one who serves may change the last four.

    Attributes:
        acquirer_id: whose port it is.
        peer: address and port of the other end, for the log.
        connection_id: counts up from 1 in this process.
        is_signed_on: whether an 0800 sign-on was approved here.
        is_to_close: set while serving to end the connection once the answer, if any, is sent.
        is_proven: whether the last MAC that was looked at here was right.
        false_macs: how many MACs were wrong here.
    """

    acquirer_id: str
    peer: str
    connection_id: int
    is_signed_on: bool = False
    is_to_close: bool = False
    is_proven: bool = False
    false_macs: int = 0


Serve = Callable[[ConnectionContext, bytes], Awaitable[bytes | None]]
"""Takes one frame without its length (TPDU included) and gives the answer in the same form, or None for none."""

Undeliverable = Callable[[ConnectionContext, bytes, str], None]
"""Is told of an answer that was ready and did not leave, what `Serve` returned, and why: the word of a `CloseReason` or `TOO_LONG`."""

PIECE_OCTETS: Final = 4096
"""So many octets are taken at a time: 2 000 keep-alives, some milliseconds. One read may bring 64 KiB, whatever the system is asked to hold,
and every connection of a network may be read in the same turn of the reactor."""

TOO_LONG: Final = "answer_too_long"
"""Why an answer did not leave that no frame can hold."""


class _Socket(Protocol):
    """What a connection does with its transport."""

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...  # noqa: N802 - the names are Twisted's
    def unregisterProducer(self) -> None: ...  # noqa: N802
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseWriteConnection(self) -> None: ...  # noqa: N802
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class AcquirerConnection(TwistedProtocol):
    """Moves octets between one socket and its `Connection`; also the producer that the socket's write buffer slows down."""

    def __init__(self, port: "AcquirerPort", connection_id: int) -> None:
        self.address: str | None = None
        self._port = port
        self._id = connection_id
        self._context = ConnectionContext(acquirer_id=port.section.id, peer="", connection_id=connection_id)
        self._core = Connection(style=port.style, limits=port.limits, now=port.clock.seconds())
        self._is_pumping = False
        self._is_paused = False
        self._is_held = False
        self._unread = b""  # of one read at most; while there is any the socket is not read
        self._answered_count = 0
        self._is_trusted = False
        self._false_macs = 0
        self._advanced_seconds = port.connection_seconds
        self._is_encrypted = False
        self._socket: _Socket | None = None
        self._farewell = Farewell.STAY
        self._timer: IDelayedCall | None = None
        self._written_octets = 0
        # Answers that the system may not have taken yet, each with where it ends in the stream. Bounded by the transport's
        # buffer limit and the answers in work, because reading pauses above either.
        self._unsent: deque[tuple[int, bytes]] = deque()
        self._unwritten: list[bytes] = []
        self._keep_alives_seen = (0, 0)
        self._lost_by: CloseReason | None = None

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Start: no delay for small answers, probes for dead peers, and a say in how fast we write."""
        assert self.transport is not None
        self._socket = cast(_Socket, self.transport)
        self._context.peer = spoken(self.transport.getPeer())
        self._is_encrypted = INegotiated.providedBy(self.transport)
        raw = getattr(self.transport, "transport", None) if self._is_encrypted else self.transport
        if ITCPTransport.providedBy(raw):
            raw.setTcpNoDelay(True)
            raw.setTcpKeepAlive(True)
            bound_buffers(raw, self._port.section.send_buffer_octets_max)
        self.address = getattr(self.transport.getPeer(), "host", None)
        self._socket.registerProducer(self, True)
        self._port.opened(self)
        log.debug(Event.CONNECTION_OPENED, **self._fields())
        self._pump()

    def dataReceived(self, data: bytes) -> None:
        """Take octets. Where the network's share is used up, who is not proven waits with them unread; nobody's are read at great length."""
        is_to_wait = not self._is_trusted and self._port.fruitless.charge(0.0)
        if not (is_to_wait or self._is_held or len(data) > PIECE_OCTETS):
            self._take(data)
            self._pump()
            return
        self._unread += data
        if is_to_wait:
            self._hold()
        self._read_on()

    def readConnectionLost(self) -> None:
        """The peer ended its half; its answers still go out."""
        self._core.end_of_input(self._port.clock.seconds())
        self._pump()

    def writeConnectionLost(self) -> None:
        """Our half is ended, as we asked."""

    def connectionLost(self, reason: Failure = ConnectionDone) -> None:  # type: ignore[assignment]
        """The socket is gone: what it still held is undeliverable."""
        socket, self._socket = self._socket, None
        assert socket is not None
        lost_by = CloseReason.PEER_CLOSED if isinstance(reason.value, ConnectionDone) else CloseReason.PEER_LOST
        if reason.check(SSL.Error):
            lost_by = CloseReason.TLS_REFUSED
        if self._farewell is Farewell.CUT and self._core.reason is not None:
            lost_by = self._core.reason
        self._lost_by = lost_by
        self._report_unsent(socket)
        self._core.lose(lost_by)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._report_keep_alives()
        why = self._core.reason or CloseReason.PEER_LOST
        log.debug(Event.CONNECTION_CLOSED, reason=why, in_flight=self._core.in_flight, **self._fields())
        self._port.lost(self, why, self._core.frames_dropped)

    def pauseProducing(self) -> None:
        """The write buffer is over its limit."""
        self._core.pause_sending(self._port.clock.seconds())
        self._pump()

    def resumeProducing(self) -> None:
        """The write buffer is empty."""
        self._core.resume_sending(self._port.clock.seconds())
        self._pump()

    def stopProducing(self) -> None:
        """The transport gives up; `connectionLost` follows."""

    # What the port calls.

    def adopt(self) -> None:
        """Live by the limits that the port has now. A frame that has begun keeps the length that it may have."""
        self._core.adopt(self._port.limits)
        self._pump()

    def drain(self) -> None:
        """Take no further frame, answer what is in work, end."""
        self._core.drain(self._port.clock.seconds())
        self._pump()

    def cut(self, reason: CloseReason) -> None:
        """End now."""
        self._core.cut(reason, self._port.clock.seconds())
        self._pump()

    @property
    def is_known(self) -> bool:
        """Whether whoever is there signed on and his last MAC was right."""
        return self._context.is_signed_on and self._context.is_proven

    @property
    def connection_id(self) -> int:
        """As in the context of its frames."""
        return self._id

    def say(self, body: bytes) -> bool:
        """Send a question of ours; False: nothing is sent any more."""
        is_said = self._core.say(body)
        self._pump()
        return is_said

    # Inside.

    def _fields(self) -> dict[str, object]:
        context = self._context
        return {"acquirer_id": context.acquirer_id, "peer": context.peer, "connection_id": context.connection_id}

    def _pump(self) -> None:
        """Do what the core wants now. Serving may answer at once and come back here, so only the outermost call works."""
        socket = self._socket
        if self._is_pumping or socket is None:
            return
        self._begin_frames()
        self._flush(socket)
        if self._core.keep_alives_answered + self._core.keep_alives_ignored != sum(self._keep_alives_seen):
            self._report_keep_alives()
        self._set_reading(socket)
        self._part(socket)
        self._set_timer()

    def _begin_frames(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while not self._is_held and (frames := self._core.take_frames(1)):
                self._begin(frames[0])
        finally:
            self._is_pumping = False

    def _begin(self, frame: bytes) -> None:
        """Serve a frame. What is answered without waiting for anybody was no sale: its time is charged. Who is not proven pays before."""
        clock, answered = self._port.clock, self._answered_count
        began = clock.seconds()
        Deferred.fromCoroutine(self._serve(frame))
        if self._answered_count != answered:
            self._charge(clock.seconds() - began)
        elif not self._is_trusted:
            self._advanced_seconds += REFUSAL_SECONDS
            self._charge(REFUSAL_SECONDS)

    def _take(self, data: bytes) -> None:
        core, clock = self._core, self._port.clock
        frames, ignored = core.frames_received, core.keep_alives_ignored
        began = clock.seconds()
        core.receive(data, began)
        if core.frames_received == frames or core.keep_alives_ignored != ignored:
            self._charge(clock.seconds() - began + READ_SECONDS)

    def _read_on(self) -> None:
        """Take what came piece by piece, as long as this one need not wait."""
        while self._unread and not self._is_held:
            piece, self._unread = self._unread[:PIECE_OCTETS], self._unread[PIECE_OCTETS:]
            self._take(piece)
            self._begin_frames()
        self._pump()

    def _charge(self, seconds: float) -> None:
        """Charge the network for work that leads nowhere. Where its share is used up nothing is read here until it is this one's turn."""
        if self._port.fruitless.charge(seconds):
            self._hold()

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._port.fruitless.wait(self._go_on)

    def _go_on(self) -> None:
        self._is_held = False
        self._read_on()

    async def _serve(self, frame: bytes) -> None:
        port, context = self._port, self._context
        bind(acquirer_id=context.acquirer_id, connection_id=context.connection_id)
        port.begun()
        answer: bytes | None = None
        try:
            answer = await port.serve(context, frame)
        except Exception as error:  # noqa: BLE001 - one bad message must not end the others; it is logged and counted
            self._report_fault(error)
        try:
            self._answer(answer)
        finally:
            port.ended()

    def _answer(self, answer: bytes | None) -> None:
        port, context = self._port, self._context
        self._answered_count += 1
        if context.is_proven is not self._is_trusted or context.false_macs != self._false_macs:
            self._settle(context)
        try:
            is_on_its_way = self._core.answer(answer, port.clock.seconds(), and_close=context.is_to_close)
        except ValueError as error:  # longer than a frame can be
            self._report_fault(error)
            assert answer is not None
            port.undeliverable(context, answer, TOO_LONG)
        else:
            if answer is not None and is_on_its_way:
                self._unwritten.append(answer)
            elif answer is not None:
                port.undeliverable(context, answer, self._why_lost().value)
        self._pump()

    def _settle(self, context: ConnectionContext) -> None:
        """Have what was charged before for a wrong MAC stay charged, or charge it now; give the rest back for a right one."""
        cost_seconds = (context.false_macs - self._false_macs) * REFUSAL_SECONDS
        self._false_macs = context.false_macs
        paid_seconds = min(cost_seconds, self._advanced_seconds)
        self._advanced_seconds -= paid_seconds
        if cost_seconds > paid_seconds:
            self._charge(cost_seconds - paid_seconds)
        self._is_trusted = context.is_proven
        if self._is_trusted:
            self._port.fruitless.charge(-self._advanced_seconds)
            self._advanced_seconds = 0.0

    def _why_lost(self) -> CloseReason:
        """What ended the connection under an answer: ourselves, a peer that went, or a break; a FIN before a break does not count."""
        return self._lost_by or self._core.reason or CloseReason.PEER_LOST

    def _report_fault(self, error: Exception) -> None:
        self._port.metrics.serve_failures.inc()
        log.error(Event.SERVE_FAILED, exc_info=error, **self._fields())

    def _flush(self, socket: _Socket) -> None:
        output = self._core.take_output()
        if not output:
            return
        socket.write(output)
        self._written_octets += len(output)
        taken = self._written_octets - unsent_octets(socket)
        unsent = self._unsent
        while unsent and unsent[0][0] <= taken:
            unsent.popleft()
        # All answers of this output count as sent when its last octet is.
        unsent.extend((self._written_octets, answer) for answer in self._unwritten)
        self._unwritten.clear()

    def _report_unsent(self, socket: _Socket) -> None:
        taken = self._written_octets - unsent_octets(socket)
        lost = [answer for end, answer in self._unsent if end > taken] + self._unwritten
        self._unsent.clear()
        self._unwritten = []
        for answer in lost:
            self._port.undeliverable(self._context, answer, self._why_lost().value)

    def _report_keep_alives(self) -> None:
        answered, ignored = self._core.keep_alives_answered, self._core.keep_alives_ignored
        seen_answered, seen_ignored = self._keep_alives_seen
        self._keep_alives_seen = (answered, ignored)
        self._port.metrics.keep_alives_answered.inc(answered - seen_answered)
        self._port.metrics.keep_alives_ignored.inc(ignored - seen_ignored)

    def _set_reading(self, socket: _Socket) -> None:
        if (self._core.is_reading and not self._is_held) is self._is_paused:
            self._is_paused = not self._is_paused
            if self._is_paused:
                socket.pauseProducing()
            else:
                socket.resumeProducing()

    def _part(self, socket: _Socket) -> None:
        """End the socket in the way that the core asks for, once for each way."""
        farewell = self._core.farewell
        if farewell is self._farewell:
            return
        if self._farewell is Farewell.STAY:
            socket.unregisterProducer()
        self._farewell = farewell
        if farewell is Farewell.LINGER and not self._is_encrypted:  # TLS has no half of its own to end
            socket.loseWriteConnection()
        elif farewell is not Farewell.CUT:
            socket.loseConnection()
        else:
            socket.abortConnection()

    def _set_timer(self) -> None:
        """Have one timer at most, no later than the core's deadline; a deadline that moves back leaves it alone."""
        deadline = self._core.deadline
        if deadline is None or self._socket is None:
            return
        clock = self._port.clock
        if self._timer is not None:
            if self._timer.getTime() <= deadline:
                return
            self._timer.cancel()
        self._timer = clock.callLater(max(0.0, deadline - clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._core.tick(self._port.clock.seconds())
        self._pump()


def spoken(address: IAddress | None) -> str:
    """Return an address as the log says it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return f"{host}:{port}" if host is not None else str(address)
