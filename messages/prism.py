"""The Thrift messages of a PrismToken-style token service: octets to calls and results and back, in memory. Needs the extra ``prism``.

Thrift binary protocol, strict (https://github.com/apache/thrift, doc/specs/thrift-binary-protocol.md), each message behind its length in
4 octets (framed transport). Structures are made from an interface file at run time; ours is ``prism.thrift``.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from messages.security_module import LinkError
from vending.secret import Secret

MESSAGE_OCTETS_MAX = 65_536
SEQUENCE_MAX = 2**31 - 1
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismCall:
    """One call. ``arguments`` by name, in no order; secrets among them are `Secret` until they are octets."""

    name: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismResult:
    """What a call returned: a text, a structure or a list of them, as the interface file has it."""

    name: str
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismFault:
    """The service refused a call. ``code`` is its own, ``ESts.VkExpired``; `UNKNOWN_CODE` where Thrift itself refused it."""

    name: str
    code: str
    message: str


UNKNOWN_CODE = "TApplicationException"


class PrismMessages:
    """Encodes calls and decodes their answers by an interface file.

    Args:
        idl_file: the interface file; None: this project's own.

    Raises:
        ImportError: the extra ``prism`` is not installed.
    """

    def __init__(self, idl_file: Path | None = None) -> None:
        import thriftpy2

        with as_file(files("messages").joinpath("prism.thrift")) as own:
            path = str(idl_file or own)
            # The library keeps what it has made by this name, and it must end so.
            self.structures = thriftpy2.load(path, module_name=f"prism_{sha256(path.encode()).hexdigest()}_thrift")
        self._service = self.structures.TokenApi

    def encode_call(self, sequence: int, call: PrismCall) -> bytes:
        """Return a call with its length before it. ``sequence`` pairs it with its answer."""
        from thriftpy2.thrift import TMessageType

        arguments = getattr(self._service, f"{call.name}_args")()
        for name, value in call.arguments.items():
            setattr(arguments, name, value.reveal() if isinstance(value, Secret) else value)
        return self.encode(call.name, TMessageType.CALL, sequence, arguments)

    def encode(self, name: str, kind: int, sequence: int, content: Any) -> bytes:
        """Return a message of any *kind* (of ``thriftpy2.thrift.TMessageType``) with its length before it."""
        from thriftpy2.protocol.binary import TBinaryProtocol
        from thriftpy2.transport import TMemoryBuffer

        buffer = TMemoryBuffer()
        protocol = TBinaryProtocol(buffer)
        protocol.write_message_begin(name, kind, sequence)
        content.write(protocol)
        octets = bytes(buffer.getvalue())
        return _LENGTH.pack(len(octets)) + octets

    def decode_answer(self, body: bytes) -> tuple[int, PrismResult | PrismFault]:
        """Return the sequence number and the answer of one message, without its length.

        Raises:
            LinkError: it cannot be read, or is no answer.
        """
        from thriftpy2.protocol.binary import TBinaryProtocol
        from thriftpy2.thrift import TApplicationException, TMessageType
        from thriftpy2.transport import TMemoryBuffer

        buffer = TMemoryBuffer(body)
        protocol = TBinaryProtocol(buffer)
        try:
            name, kind, sequence = protocol.read_message_begin()
            if kind == TMessageType.EXCEPTION:
                refused = TApplicationException()
                refused.read(protocol)
                return sequence, PrismFault(name=name, code=UNKNOWN_CODE, message=str(refused.message))
            if kind != TMessageType.REPLY or name not in self._service.thrift_services:
                raise LinkError(f"not an answer of this service: {kind} {name!r}")
            result = getattr(self._service, f"{name}_result")()
            result.read(protocol)
        except LinkError:
            raise
        except Exception as error:  # noqa: BLE001 - see below
            # The library raises whatever its parts raise: end of file, struct.error, UnicodeDecodeError, its own.
            raise LinkError(f"unreadable Thrift message: {type(error).__name__}") from None
        fault = getattr(result, "ex", None)
        if fault is not None:
            return sequence, PrismFault(name=name, code=str(fault.eCode), message=str(fault.eMsg))
        if result.success is None:
            raise LinkError(f"an answer to {name} with neither result nor fault")
        return sequence, PrismResult(name=name, value=result.success)
