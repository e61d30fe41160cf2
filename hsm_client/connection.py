"""The Twisted side of one connection: it only moves octets and news to its owner."""

from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure


class ConnectionOwner(TypingProtocol):
    """What a connection tells."""

    def connection_made(self, connection: "Connection") -> None:
        """There is a transport."""

    def connection_received(self, connection: "Connection", data: bytes) -> None:
        """Octets came."""

    def connection_ended(self, connection: "Connection", reason: str) -> None:
        """It is gone."""


class Connection(Protocol):
    """One connection to a module."""

    transport: ITCPTransport

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        """Pass it on; frames are gathered before they are written, so the kernel is not to gather again."""
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._owner.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        self._owner.connection_received(self, data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Pass it on."""
        self._owner.connection_ended(self, "" if reason is None else reason.getErrorMessage())

    def write(self, data: bytes) -> None:
        """Hand *data* to the transport."""
        self.transport.write(data)

    def close(self) -> None:
        """End it in order: what was written is sent first."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """End it now, whatever is still to be sent."""
        self.transport.abortConnection()


class ConnectionFactory(Factory):
    """Makes the connections of one owner."""

    noisy = False

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Make one connection."""
        return Connection(self._owner)
