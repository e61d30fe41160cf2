"""Frames on a byte stream, without a socket: bytes in, events out.

Two styles of length prefix are known; both count the octets that follow them. A frame of length zero is a keep-alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

FRAME_OCTETS_MAX_DEFAULT = 2048
"""Largest frame, without its length. The longest answer that is made (a full element 63, an account, a PIN) is near 1 400 octets, and the
first two octets of an HTTP request (0x4745) or of a TLS hello (0x1603), read as a length, are above it: such a
probe is refused on its first octets."""


class FrameStyle(Enum):
    """How a frame's length is written in front of it."""

    BINARY_2 = "2-byte big-endian"
    DIGITS_4 = "4 ASCII digits"

    @property
    def prefix_octets(self) -> int:
        """How long the length itself is."""
        return 2 if self is FrameStyle.BINARY_2 else 4

    @property
    def length_max(self) -> int:
        """The largest length that can be written."""
        return 0xFFFF if self is FrameStyle.BINARY_2 else 9999


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame, without its length; never empty."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A frame of length zero. Answer at most one per interval: two ends that echo each other's never stop."""


KEEP_ALIVE = KeepAlive()

FrameEvent = Frame | KeepAlive


class FrameFault(Enum):
    """Why a stream cannot be read on."""

    TOO_LONG = "too_long"
    NOT_DIGITS = "not_digits"


class FrameError(ValueError):
    """The stream has lost its frames (or never had any); the link can only be closed.

    Attributes:
        fault: what is wrong with the length.
        prefix: the octets of the length as far as they were read, at most four.
        events: what was whole before the fault in the same call, in order, so that no request is lost with the link.
    """

    def __init__(self, fault: FrameFault, prefix: bytes, events: Sequence[FrameEvent]) -> None:
        super().__init__(f"bad frame length ({fault.value}): {prefix.hex()}")
        self.fault = fault
        self.prefix = prefix
        self.events = tuple(events)

    @property
    def looks_like(self) -> str | None:
        """Name a peer that speaks another protocol by the first octets: "http", "tls", or None.

        The first octets of a stream tell it; after good frames the same octets mean little.
        """
        if self.prefix[:2] in _HTTP_STARTS:
            return "http"
        if self.prefix[:2] == b"\x16\x03":  # a TLS handshake record, any version
            return "tls"
        return None


_HTTP_STARTS = frozenset({b"GE", b"PO", b"HE", b"PU", b"DE", b"OP", b"CO", b"TR", b"PA", b"PR"})


class FrameReader:
    """Cuts a stream into frames, wherever its chunks end.

    Holds at most one unfinished frame, so at most ``frame_octets_max`` octets and a prefix.
    """

    def __init__(self, style: FrameStyle, frame_octets_max: int = FRAME_OCTETS_MAX_DEFAULT) -> None:
        """Start at the beginning of a stream.

        Args:
            style: how lengths are written.
            frame_octets_max: the largest frame taken, without its length; at least 1.
        """
        if not 0 < frame_octets_max <= style.length_max:
            raise ValueError(f"frame_octets_max must be 1 to {style.length_max}")
        self._prefix_octets = style.prefix_octets
        self._is_binary = style is FrameStyle.BINARY_2
        self._frame_octets_max = frame_octets_max
        self._held = bytearray()
        self._wanted_octets = 0
        self._error: FrameError | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether part of a frame is held: its rest must come before the frame timer ends."""
        return bool(self._held)

    @property
    def held_octets(self) -> int:
        """How many octets of an unfinished frame are held, prefix included."""
        return len(self._held)

    def receive(self, data: bytes) -> list[FrameEvent]:
        """Take the next octets of the stream.

        Args:
            data: what came, of any length.

        Returns:
            The frames and keep-alives that became whole, in order.

        Raises:
            FrameError: a length is too long or not digits; it carries the events before the fault. Every later call raises again.
        """
        if self._error is not None:
            raise FrameError(self._error.fault, self._error.prefix, ())
        if self._held:
            self._held += data
            if len(self._held) < self._wanted_octets:
                return []  # still short of a frame whose length is known: nothing to read again
            data = bytes(self._held)
            self._held.clear()
        events: list[FrameEvent] = []
        position = self._cut(data, events)
        if position < len(data):
            self._held += data[position:]
        return events

    def _cut(self, data: bytes, events: list[FrameEvent]) -> int:
        """Append every whole frame of *data* to *events*; return where the unfinished rest begins."""
        position, end, prefix_octets, is_binary = 0, len(data), self._prefix_octets, self._is_binary
        while position < end:
            start = position + prefix_octets
            if is_binary:
                if start > end:
                    self._wanted_octets = prefix_octets
                    break
                length = data[position] << 8 | data[position + 1]
            else:
                prefix = data[position:start]
                if not prefix.isdigit():
                    raise self._fail(FrameFault.NOT_DIGITS, prefix, events)
                if start > end:
                    self._wanted_octets = 0  # look at every single octet: a letter is refused as soon as it comes
                    break
                length = int(prefix)
            if length > self._frame_octets_max:
                raise self._fail(FrameFault.TOO_LONG, data[position:start], events)
            stop = start + length
            if stop > end:
                self._wanted_octets = prefix_octets + length
                break
            events.append(Frame(data[start:stop]) if length else KEEP_ALIVE)
            position = stop
        return position

    def _fail(self, fault: FrameFault, prefix: bytes, events: list[FrameEvent]) -> FrameError:
        self._error = FrameError(fault, prefix, events)
        return self._error


def write_frame(style: FrameStyle, octets: bytes) -> bytes:
    """Put the length in front, as one string of bytes, so that one write sends all of it.

    Raises:
        ValueError: more octets than the length can say.
    """
    length = len(octets)
    if length > style.length_max:
        raise ValueError(f"a frame of {length} octets is longer than {style.length_max}")
    if style is FrameStyle.BINARY_2:
        return length.to_bytes(2, "big") + octets
    return b"%04d" % length + octets


def write_keep_alive(style: FrameStyle) -> bytes:
    """Return a frame of length zero."""
    return write_frame(style, b"")
