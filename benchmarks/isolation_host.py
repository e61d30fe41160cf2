"""The host of a network whose links the switch opens: sign-on and echo are approved, and then each link is a line that sells."""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from acquirers.calls import NetworkRequest
from messages.framing import Frame, FrameReader, write_frame
from messages.wire import Wire
from partner.host import host_answer


class CalledLink(StreamProtocol):
    """One link; once it is signed on, *take* says who gets what comes over it (``received`` and ``lost``), or None to end it."""

    def __init__(self, wire: Wire, dialect: str, take: Callable[["CalledLink"], Any]) -> None:
        self._wire = wire
        self._dialect = dialect
        self._take = take
        self._reader = FrameReader(wire.frame_style)
        self._line: Any = None

    def connectionMade(self) -> None:
        """No waiting for more."""
        cast(Any, self.transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Answer what is asked of the host until the sign-on; then the line reads."""
        if self._line is not None:
            self._line.received(data)
            return
        for event in self._reader.receive(data):
            said = host_answer(self._wire, self._dialect, event.octets) if isinstance(event, Frame) else None
            if said is None:
                continue
            cast(Any, self.transport).write(write_frame(self._wire.frame_style, said.frame))
            if said.asked is NetworkRequest.SIGN_ON:
                self._line = self._take(self)
                if self._line is None:
                    cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the line."""
        if self._line is not None:
            self._line.lost()


class Host(Factory):
    """Where the switch looks for the network.

    Args:
        reactor: Twisted's.
        address: host and port.
        make: of each connection.
    """

    noisy = False

    def __init__(self, reactor: Any, address: tuple[str, int], make: Callable[[], CalledLink]) -> None:
        self._reactor = reactor
        self._address = address
        self._make = make
        self._port: Any = None

    def open(self) -> None:
        """Listen."""
        self._port = self._reactor.listenTCP(self._address[1], self, interface=self._address[0], backlog=128)

    def close(self) -> None:
        """Listen no more; what is open stays."""
        self._port.stopListening()

    def buildProtocol(self, _address: object) -> StreamProtocol:
        """Make one."""
        return self._make()
