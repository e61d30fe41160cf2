"""The certification's own host: it waits where the switch looks for the network, and hands out the links that the switch opened.

A link that did nothing wrong is handed out again, because the switch waits ever longer before it opens one that keeps ending.
"""

import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from acquirers.calls import NetworkRequest
from messages.framing import Frame, FrameEvent
from messages.wire import Wire
from partner.host import HostAnswer, host_answer
from partner.link import Link, Nothing, TakeNotice

POLL_SECONDS: Final = 0.05
"""How long one look at one socket may take."""

SIGN_ON_SECONDS: Final = 10.0


class CalledLink(Link):
    """A link that the switch opened; what it asks of the host is answered beside the cases.

    Args:
        taken: the connection.
        host: whose it is.
    """

    def __init__(self, taken: socket.socket, host: "CalledHost") -> None:
        super().__init__(taken, host.wire.frame_style, host.take)
        self.is_signed_on = not host.signs_on
        self._host = host
        self._is_spent = False

    def read(self, seconds: float) -> FrameEvent | Nothing:
        """As `Link.read`, without what is asked of the host."""
        deadline = time.monotonic() + seconds
        while True:
            event = super().read(max(0.0, deadline - time.monotonic()))
            said = self._host.answer(event.octets) if isinstance(event, Frame) else None
            if said is None:
                self._is_spent = self._is_spent or event in (Nothing.CLOSED, Nothing.NO_FRAME)
                return event
            self.send(said.frame)
            if said.asked is NetworkRequest.ECHO:
                continue
            self.is_signed_on = said.asked is NetworkRequest.SIGN_ON
            self._is_spent = self._is_spent or not self.is_signed_on

    def serve(self, seconds: float) -> bool:
        """Answer what was asked of the host meanwhile; False: the link is of no use any more."""
        event = self.read(seconds)
        return event is Nothing.SILENCE and not self._is_spent

    def end_our_half(self) -> None:
        """As `Link.end_our_half`; nothing more goes over it."""
        self._is_spent = True
        super().end_our_half()

    def close(self) -> None:
        """Give it back, or end it if it is spent."""
        if not self._host.take_back(self):
            super().close()

    def end(self) -> None:
        """End it."""
        super().close()


class CalledHost:
    """Listens at a network's own addresses.

    Args:
        wire: how the network's messages are packed and framed.
        dialect: of the network.
        addresses: host and port of each.
        signs_on: whether the switch signs on.
        wait_seconds: how long a link of the switch is waited for; above its longest back-off.
        tls: context of encrypted links; None: plain.
        take: answers notices, as of `partner.link.Link`.

    Raises:
        OSError: an address cannot be listened at.
    """

    def __init__(
        self,
        wire: Wire,
        dialect: str,
        addresses: Sequence[tuple[str, int]],
        *,
        signs_on: bool,
        wait_seconds: float,
        tls: ssl.SSLContext | None = None,
        take: TakeNotice | None = None,
    ) -> None:
        self.take = take
        self.wire = wire
        self.dialect = dialect
        self.signs_on = signs_on
        self._wait_seconds = wait_seconds
        self._tls = tls
        self._idle: deque[CalledLink] = deque()
        self._is_open = True
        self._ports = [socket.create_server(address) for address in addresses]
        for port in self._ports:
            port.settimeout(POLL_SECONDS)

    def connect(self) -> CalledLink:
        """Hand out a link that is signed on.

        Raises:
            OSError: the switch opened none in time.
        """
        deadline = time.monotonic() + self._wait_seconds
        while time.monotonic() < deadline:
            self._accept()
            for link in list(self._idle):
                self._idle.remove(link)
                if not link.serve(POLL_SECONDS):
                    link.end()
                elif link.is_signed_on:
                    return link
                else:
                    self._idle.append(link)
        raise TimeoutError(f"the switch opened no link within {self._wait_seconds:.0f} seconds")

    def answer(self, frame: bytes) -> HostAnswer | None:
        """See `partner.host.host_answer`."""
        return host_answer(self.wire, self.dialect, frame)

    def take_back(self, link: CalledLink) -> bool:
        """Keep a link for the next case; False: it must end."""
        if not self._is_open or not link.serve(POLL_SECONDS):
            return False
        self._idle.append(link)
        return True

    def close(self) -> None:
        """Listen no more, and end what is open."""
        self._is_open = False
        for port in self._ports:
            port.close()
        for link in self._idle:
            link.end()

    def _accept(self) -> None:
        for port in self._ports:
            try:
                taken, _ = port.accept()
                taken.settimeout(SIGN_ON_SECONDS)
                if self._tls is not None:
                    taken = self._tls.wrap_socket(taken, server_side=True)
            except OSError:
                continue
            self._idle.append(CalledLink(taken, self))
