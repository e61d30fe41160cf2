"""One TCP link over a blocking socket: frames out, frames in. Whatever comes is handed on, nothing is judged."""

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

from messages.framing import Frame, FrameError, FrameEvent, FrameReader, FrameStyle, write_frame
from partner.notices import NoticeReply

CONNECT_SECONDS = 5.0
RECEIVE_OCTETS = 65536
FRAME_OCTETS_MAX = 4096

TakeNotice = Callable[[bytes], NoticeReply | None]


class Nothing(Enum):
    """Why no frame came."""

    SILENCE = "silence"
    CLOSED = "closed"
    NO_FRAME = "octets that are no frame"


class Link:
    """One connection.

    Args:
        connected: its socket, which is this object's from now on.
        style: how frames are written.
        take: answers a frame that is a notice, which is nobody else's affair; None: notices come through like anything else.
    """

    def __init__(self, connected: socket.socket, style: FrameStyle, take: TakeNotice | None = None) -> None:
        self._take = take
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._style = style
        self._reader = FrameReader(style, FRAME_OCTETS_MAX)
        self._events: deque[FrameEvent] = deque()

    def send(self, frame: bytes) -> bytes:
        """Send one frame; return the octets that left."""
        octets = write_frame(self._style, frame)
        self.throw(octets)
        return octets

    def throw(self, octets: bytes) -> None:
        """Send octets as they are; a link that the other end has closed is noticed when it is read."""
        try:
            self._socket.sendall(octets)
        except OSError:
            return

    def end_our_half(self) -> None:
        """Send nothing more, and read on."""
        self._socket.shutdown(socket.SHUT_WR)

    def read(self, seconds: float) -> FrameEvent | Nothing:
        """Return the next frame or keep-alive, or why none came within *seconds*."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._read(deadline)
            said = self._take(event.octets) if self._take is not None and isinstance(event, Frame) else None
            if said is None:
                return event
            if said.frame is not None:
                self.send(said.frame)

    def _read(self, deadline: float) -> FrameEvent | Nothing:
        while not self._events:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                return Nothing.SILENCE
            self._socket.settimeout(left_seconds)
            try:
                data = self._socket.recv(RECEIVE_OCTETS)
            except TimeoutError:
                return Nothing.SILENCE
            except OSError:
                return Nothing.CLOSED
            if not data:
                return Nothing.CLOSED
            try:
                self._events += self._reader.receive(data)
            except FrameError:
                return Nothing.NO_FRAME
        return self._events.popleft()

    def read_frame(self, seconds: float) -> bytes | Nothing:
        """Return the next frame's octets; keep-alives are passed over."""
        while True:
            event = self.read(seconds)
            if isinstance(event, Nothing):
                return event
            if isinstance(event, Frame):
                return event.octets

    def close(self) -> None:
        """End it."""
        self._socket.close()


def open_link(
    address: tuple[str, int],
    style: FrameStyle,
    tls: ssl.SSLContext | None = None,
    take: TakeNotice | None = None,
) -> Link:
    """Connect to a port.

    Args:
        address: host and port.
        style: how frames are written.
        tls: context of an encrypted port; None: plain.
        take: as of `Link`.

    Raises:
        OSError: it cannot be opened.
    """
    plain = socket.create_connection(address, CONNECT_SECONDS)
    return Link(plain if tls is None else tls.wrap_socket(plain, server_hostname=address[0]), style, take)
