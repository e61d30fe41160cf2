"""What a codec is, and the one that serves each dialect."""

from typing import Final, Protocol

from messages.compiled_codec import CompiledCodec
from messages.iso_message import IsoMessage
from messages.specs import datafono, loteria, recargas


class Codec(Protocol):
    """Octets to message and back, of one dialect; holds no state that matters, and any thread may use it."""

    def decode(self, data: bytes) -> IsoMessage:
        """Read one message: MTI to the end, without frame length and TPDU. Raises `messages.iso_message.DecodeError` and nothing else."""
        ...

    def encode(self, message: IsoMessage) -> bytes:
        """Write one message. Raises `messages.iso_message.EncodeError` and nothing else."""
        ...


DATAFONO: Final[Codec] = CompiledCodec(datafono.SPEC)
"""The codec of dialect ``datafono``."""

RECARGAS: Final[Codec] = CompiledCodec(recargas.SPEC)
"""The codec of dialect ``recargas``."""

LOTERIA: Final[Codec] = CompiledCodec(loteria.SPEC)
"""The codec of dialect ``loteria``."""
