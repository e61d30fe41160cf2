"""Frames of the security module's protocol: the length, the header, and the limits that both sides keep."""

import struct
from collections.abc import Iterator

from messages.security_module_shapes import LinkError, LocalFieldError, VersionError

PROTOCOL_VERSION = 1
FRAME_OCTETS_MAX = 65_536
"""Longest body. The longest honest one is a MAC over the longest message of any network, far below; more is an attack."""
TOKENS_PER_REQUEST_MAX = 16
"""Tokens of one sale: more would not fit the answer of a terminal."""
DIVERSIFIER_OCTETS_MAX = 16
"""A terminal id has 8 characters; 16 leaves room for a merchant id and stays one cipher block."""
SESSION_TOKEN_OCTETS_MAX = 64
"""Today's tokens have 47."""
WRAPPED_KEY_OCTETS_MAX = 256
"""A key block of one key has 176 at most."""
MAC_OCTETS = 8
TID_MAX = 0xFFFFFF
UNITS_TENTHS_MAX = 18_201_624
"""The most that the 16-bit amount of an STS token can say."""

TARIFF_INDEX_MAX = 99
CHARGED_CENTAVOS_MAX = 10**15
"""Ten trillion pesos: no sale comes near, and sums of them stay far below 64 bits."""
MINTS_PER_REPLY_MAX = 1_500
"""Of 35 octets each: together below the longest frame."""
IDS_PER_REQUEST_MAX = 4_000
"""Of 8 octets each, and 10 in the reply."""
CREDIT_SUBCLASS_MAX = 3
"""Electricity, water, gas, time; 4 to 7 are currency tokens, which are not sold."""

LENGTH = struct.Struct(">I")
HEADER = struct.Struct(">BQ2s")
TOKEN_DIGITS = 20
PAN_DIGITS = 18


class FrameReader:
    """Cuts a stream into bodies. Holds at most one incomplete frame and the octets of one read."""

    __slots__ = ("_buffer", "_fault", "_octets_max")

    def __init__(self, octets_max: int = FRAME_OCTETS_MAX) -> None:
        self._buffer = bytearray()
        self._octets_max = octets_max
        self._fault: str | None = None

    @property
    def held_octets(self) -> int:
        """How many octets of an unfinished frame are held, length included; none after a broken length."""
        return len(self._buffer)

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take octets of any cut and return the bodies that are whole now.

        *data* is taken at once; the bodies are cut as the iterator is read, so that those before a broken length are still seen.

        Raises:
            LinkError: while iterating, when a length is longer than allowed or too short for a header. From then on every call
                raises it and nothing is kept, so that a stream without end cannot fill the memory.
        """
        if self._fault is None:
            self._buffer += data
        return self._bodies()

    def _bodies(self) -> Iterator[bytes]:
        buffer = self._buffer
        if self._fault is not None:
            raise LinkError(self._fault)
        while len(buffer) >= LENGTH.size:
            (octets,) = LENGTH.unpack_from(buffer)
            if not HEADER.size <= octets <= self._octets_max:
                self._fault = f"frame length {octets} is not between {HEADER.size} and {self._octets_max}"
                buffer.clear()
                raise LinkError(self._fault)
            end = LENGTH.size + octets
            if len(buffer) < end:
                return
            body = bytes(buffer[LENGTH.size : end])
            del buffer[:end]
            yield body


def write_digits(text: str, length: int, name: str) -> bytes:
    """Write *text*, which must be *length* ASCII digits; `LocalFieldError` if it is not."""
    if len(text) != length or not (text.isascii() and text.isdigit()):
        raise LocalFieldError(f"{name} is not {length} digits")
    return text.encode("ascii")


def require(condition: bool, detail: str) -> None:
    """Raise `ValueError` with the name of the field at fault; the callers turn it into their own error."""
    if not condition:
        raise ValueError(detail)


def read_digits(raw: bytes, name: str) -> str:
    """Read ASCII digits; `ValueError` if they are not."""
    require(raw.isdigit(), f"{name} is not digits")
    return raw.decode("ascii")


def read_header(body: bytes) -> tuple[int, bytes]:
    """Return the correlation id and the command letters of a body; `LinkError` if it has none, `VersionError` if another version."""
    if len(body) < HEADER.size:
        raise LinkError(f"body of {len(body)} octets is shorter than the header")
    version, correlation_id, letters = HEADER.unpack_from(body)
    if version != PROTOCOL_VERSION:
        raise VersionError(correlation_id, version, PROTOCOL_VERSION)
    return correlation_id, letters
