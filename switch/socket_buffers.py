"""What of a connection's answers lies in which buffer: how much of them may, and how much the system has not taken yet."""

from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

RECEIVE_OCTETS = 4096
"""What the system is asked to hold of a connection's requests that are not read yet: more than the longest frame. It doubles it for its own
needs. Left alone it holds megabytes of a flood, and hands it over 64 KiB at a time: a thousand frames in one turn of the reactor."""


def unsent_octets(socket: object) -> int:
    """Return how many written octets the system has not taken yet.

    Twisted has no public way to ask; these are the attributes in which its ``FileDescriptor`` keeps them. A transport without
    them (TLS, memory) counts as having sent everything.
    """
    held = getattr(socket, "dataBuffer", b""), getattr(socket, "_tempDataBuffer", ())
    return len(held[0]) - getattr(socket, "offset", 0) + sum(map(len, held[1]))


def bound_buffers(transport: Any, octets_max: int) -> None:
    """Hold no more of the answers that a peer does not take than *octets_max*, once with us and once with the system.

    Left alone the system lets one connection hold megabytes, and a slow reader is noticed only behind them.
    """
    transport.bufferSize = octets_max  # where Twisted's FileDescriptor begins to say that it is full
    handle = transport.getHandle()
    handle.setsockopt(SOL_SOCKET, SO_SNDBUF, octets_max)
    handle.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_OCTETS)
