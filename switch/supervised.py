"""A switch process's end of the link to its supervisor, and the listening sockets that it is handed there."""

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IFileDescriptorReceiver, IListeningPort, ITransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from config.acquirer import AcquirerSection
from switch.supervisor_lines import Address, LineReader, write_line

Given = int | str
"""The descriptor of a listening socket, or why there is none."""


def address_of(section: AcquirerSection) -> Address:
    """Return how the listening socket of a network is called between process and supervisor."""
    return section.id, section.listen_host, section.listen_port


@implementer(IFileDescriptorReceiver)
class SupervisorLink(TwistedProtocol):
    """Asks for sockets and says how this process is.

    Args:
        lost: called when the supervisor is gone.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._reader = LineReader()
        self._descriptors: list[int] = []
        self._asked: list[Deferred[Sequence[Given]]] = []
        self._told: Mapping[str, Any] = {}
        self._is_lost = False

    def attach(self, reactor: Any, descriptor: int) -> None:
        """Begin to speak over an inherited socket; *descriptor* itself is closed. The reactor is Twisted's, with sockets."""
        factory = Factory.forProtocol(lambda: self)
        factory.noisy = False
        with socket.socket(fileno=descriptor) as link:
            link.setblocking(False)
            link.set_inheritable(False)
            reactor.adoptStreamConnection(link.fileno(), socket.AF_UNIX, cast(Any, factory))

    # What Twisted calls.

    def fileDescriptorReceived(self, descriptor: int) -> None:  # noqa: N802 - the name is Twisted's
        """Keep it for the line that it came with."""
        os.set_inheritable(descriptor, False)
        self._descriptors.append(descriptor)

    def dataReceived(self, data: bytes) -> None:
        """Take answers, in the order in which they were asked for."""
        for said in self._reader.receive(data):
            self._asked.pop(0).callback(
                [self._descriptors.pop(0) if why is None else str(why) for why in said["opened"]]
            )

    def connectionLost(self, reason: Failure = ConnectionDone) -> None:  # type: ignore[assignment]
        """The supervisor is gone: what was asked of it fails, and somebody must be told."""
        self._is_lost = True
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.errback(reason)
        self._lost()

    # What the process says.

    def open(self, addresses: Sequence[Address]) -> Deferred[Sequence[Given]]:
        """Ask for listening sockets; fires with one answer for each. Whoever gets a descriptor closes it."""
        answer: Deferred[Sequence[Given]] = Deferred()
        if self._is_lost:
            answer.errback(ConnectionDone("the supervisor is gone"))
            return answer
        self._asked.append(answer)
        self._say({"open": addresses})
        return answer

    def serve(self, addresses: Collection[Address]) -> None:
        """Say where this process accepts connections; everywhere else it does not."""
        self._say({"serve": sorted(addresses)})

    def tell(self, state: Mapping[str, Any]) -> None:
        """Say how this process is, if that has changed."""
        if state != self._told:
            self._told = state
            self._say({"state": state})

    def _say(self, said: Mapping[str, Any]) -> None:
        if not self._is_lost:
            cast(ITransport, self.transport).write(write_line(said))


class ListeningSockets(Protocol):
    """Where the ports of networks come from, when a process does not bind them itself."""

    async def prepare(self, sections: Collection[AcquirerSection]) -> None:
        """Get the sockets of these networks, or why they cannot be had."""

    def listen(self, reactor: Any, section: AcquirerSection, factory: Any) -> IListeningPort:
        """Accept connections of a network.

        Raises:
            CannotListenError: there is no socket for it.
        """

    def settle(self, served: Collection[AcquirerSection]) -> None:
        """Say which networks are served now, after all that was prepared is used or not needed."""


class HandedSockets:
    """`ListeningSockets` from a supervisor."""

    def __init__(self, link: SupervisorLink) -> None:
        self._link = link
        self._given: dict[Address, Given] = {}

    async def prepare(self, sections: Collection[AcquirerSection]) -> None:
        """See `ListeningSockets`."""
        addresses = [address_of(section) for section in sections]
        if addresses:
            self._given.update(zip(addresses, await self._link.open(addresses), strict=True))

    def listen(self, reactor: Any, section: AcquirerSection, factory: Any) -> IListeningPort:
        """See `ListeningSockets`."""
        given = self._given.pop(address_of(section), "it was not asked for")
        if isinstance(given, str):
            raise CannotListenError(section.listen_host, section.listen_port, given)
        family = socket.AF_INET6 if ":" in section.listen_host else socket.AF_INET
        try:
            port: Any = reactor.adoptStreamPort(given, family, factory)
        finally:
            os.close(given)  # the reactor has one of its own
        accept = port.doRead

        def accept_one() -> None:
            port.numberAccepts = 1
            accept()

        # One connection in a turn: of those that come together the others get theirs.
        port.doRead = accept_one
        return cast(IListeningPort, port)

    def settle(self, served: Collection[AcquirerSection]) -> None:
        """See `ListeningSockets`."""
        given, self._given = self._given, {}
        for each in given.values():
            if isinstance(each, int):
                os.close(each)
        self._link.serve([address_of(section) for section in served])
