"""What a switch process and its supervisor say to each other: JSON objects, one on a line, over a socket that both have from the start.

| who says | what | meaning |
|---|---|---|
| process | ``{"open": [[network, host, port], ...]}`` | I need these listening sockets |
| supervisor | ``{"opened": [null or text, ...]}`` | one for each, in order: its descriptor comes along with the line (null), or why there is none |
| process | ``{"serve": [[network, host, port], ...]}`` | these are all that I accept connections on; what nobody serves is closed |
| process | ``{"state": {"status", "acquirers", "metrics"}}`` | I listen; how I am, and where |

The end of the stream is the end of who said it: a process without a supervisor drains and ends.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

Address = tuple[str, str, int]
"""A listening socket by the network that it is for, its host and its port, both as they are configured (port 0: any)."""

LINE_OCTETS_MAX = 1 << 20
"""Sixty-four networks take a few thousand."""


def write_line(said: Mapping[str, Any]) -> bytes:
    """Return *said* as it goes over the socket."""
    return json.dumps(said).encode() + b"\n"


def read_addresses(said: Iterable[Any]) -> list[Address]:
    """Return the addresses of ``open`` or ``serve``."""
    return [(str(network), str(host), int(port)) for network, host, port in said]


class LineReader:
    """Cuts a stream into what was said."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> list[Mapping[str, Any]]:
        """Take octets; return what is whole.

        Raises:
            ValueError: the other end is none of ours.
        """
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > LINE_OCTETS_MAX:
            raise ValueError("a line without an end")
        said = [json.loads(line) for line in lines]
        if not all(isinstance(each, dict) for each in said):
            raise ValueError("a line is no object")
        return said
