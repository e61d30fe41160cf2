"""The listening sockets of a machine's switch processes. Whoever holds them here accepts nothing, and outlives all who do.

A connection that the system has taken for a port waits in the queue of its socket, and the queue lives as long as anybody holds the
socket. So a process may drain, end or be killed: what waits is accepted by the others, or by its successor.
"""

import socket
from collections.abc import Set

from switch.port import LISTEN_BACKLOG
from switch.supervisor_lines import Address


class BoundSockets:
    """Sockets by address; bound when they are first asked for."""

    def __init__(self) -> None:
        self._sockets: dict[Address, socket.socket] = {}

    def open(self, address: Address) -> socket.socket:
        """Return the socket for *address*, the same for everybody.

        Raises:
            OSError: the address is taken, or not ours.
        """
        held = self._sockets.get(address)
        if held is None:
            _, host, port = address
            is_ipv6 = ":" in host
            held = socket.create_server(
                (host, port),
                family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
                backlog=LISTEN_BACKLOG,
                dualstack_ipv6=is_ipv6,
            )
            # All processes are told of a connection and one gets it; the others must not wait for the next.
            held.setblocking(False)
            self._sockets[address] = held
        return held

    def keep(self, wanted: Set[Address]) -> None:
        """Close all others."""
        for address in self._sockets.keys() - wanted:
            self._sockets.pop(address).close()

    def close(self) -> None:
        """Close all."""
        self.keep(frozenset())
