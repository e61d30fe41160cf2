"""What is fuzzed: each target takes any octets and fails if what reads them does anything but read or refuse.

The same functions run over the seeds in every `make test`, and under atheris, led by coverage, in `make fuzz`.
"""

import atexit
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TypeVar

from acquirers.calls import NetworkCall
from acquirers.dialect import Unreadable
from acquirers.registry import DIALECTS
from hsm_client.session import ClientSession, RemoteProtocolError
from messages.codec import DATAFONO
from messages.compiled_codec import CompiledCodec
from messages.describe import describe
from messages.framing import FrameError, FrameReader, FrameStyle
from messages.iso8583_codec import ReferenceCodec
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MacForm
from messages.security_module import (
    FRAME_OCTETS_MAX,
    FieldError,
    LinkError,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from messages.security_module import FrameReader as ModuleFrameReader
from messages.subfields import DATA_ELEMENT_OCTETS_MAX, SubElementError, build_sub_elements, parse_sub_elements
from messages.tpdu import TpduError, split_tpdu, turn_tpdu
from messages.wire import WIRES
from security_module.lease import SIGNATURE_OCTETS, LeaseError, read_lease, read_statement
from security_module.roles import Role
from tests.fuzz import corpus
from tests.fuzz.module_in_memory import MemoryModule
from vending.response_code import Refusal

T = TypeVar("T")

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
PIN = re.compile("[0-9]{20}")
ESCAPED = re.compile(r"\\x[0-9A-F]{2}")
_CODECS = {name: (ReferenceCodec(wire.spec), CompiledCodec(wire.spec)) for name, wire in WIRES.items()}
_DIALECTS = {name: make() for name, make in DIALECTS.items()}
_LENGTH_OCTETS = 4


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut octets at places that they themselves choose, so that cuts are found by the search too."""
    position = 0
    while position < len(data):
        size = data[position] % 37 + 1
        yield data[position : position + size]
        position += size


def framing(data: bytes) -> None:
    """A stream gives the same events whole and in pieces, and no more than one frame is ever held."""
    if not data:
        return
    style = FrameStyle.DIGITS_4 if data[0] & 1 else FrameStyle.BINARY_2
    octets_max = data[0] // 2 + 1
    results = []
    for parts in ([data[1:]], list(pieces(data[1:])), [data[at : at + 1] for at in range(1, len(data))]):
        reader, events, fault = FrameReader(style, octets_max), [], None
        try:
            for part in parts:
                events += reader.receive(part)
                assert reader.held_octets <= style.prefix_octets + octets_max
        except FrameError as error:
            events += error.events
            fault = error.fault
        results.append((events, fault))
    assert results[0] == results[1] == results[2]


def codecs(data: bytes, dialect: str = "datafono") -> None:
    """Both codecs read the same message, or refuse in the same words; what was read is written back by both alike."""
    reference, compiled = _CODECS[dialect]
    expected, found = _decoded(reference.decode, data), _decoded(compiled.decode, data)
    assert found == expected
    assert isinstance(expected, IsoMessage) or (isinstance(expected, tuple) and expected[0] is True)
    if isinstance(expected, IsoMessage):
        assert compiled.decode_sure(data) == expected
        octets = reference.encode(expected)
        assert compiled.encode(expected) == octets
        assert compiled.decode(octets) == reference.decode(octets) == expected


def _decoded(decode: Callable[[bytes], IsoMessage], data: bytes) -> object:
    try:
        return decode(data)
    except DecodeError as error:
        is_inside = 0 <= error.position_octets <= len(data)
        return is_inside, error.field, error.position_octets, error.reason, error.mti, dict(error.partial), error.raw


def adapter(data: bytes, dialect: str) -> None:
    """Any octets are a call or `Unreadable`, and what can be answered has an answer that can be written and read."""
    served, wire = _DIALECTS[dialect], WIRES[dialect]
    try:
        call = served.read(data, acquirer_id="datafonos", now=NOW)
    except Unreadable as unreadable:
        answer = served.decline(unreadable.message, unreadable.refusal.code)
        if answer is not None:
            assert wire.codec.decode(served.encode(answer)) == answer
        return
    answer = served.acknowledge(call.message)
    assert wire.codec.decode(served.encode(answer)) == answer
    if not isinstance(call, NetworkCall):
        assert call.terminal_id
        try:
            sealed = served.sealed(call.message, data)
        except Refusal:
            return
        written = sealed.mac if wire.mac_form is MacForm.OCTETS else sealed.mac.hex().upper().encode()
        at_end = data[-wire.mac_form.value :]
        assert sealed.covered + at_end == data
        assert written == (at_end if wire.mac_form is MacForm.OCTETS else at_end.upper())


def sub_elements(data: bytes) -> None:
    """Text is sub-elements or `SubElementError`, and what was read is written back as it was."""
    text = data.decode("latin-1")
    try:
        elements = parse_sub_elements(text)
    except SubElementError as error:
        place = error.position_octets
    else:
        place = 0
        if len(text) <= DATA_ELEMENT_OCTETS_MAX:
            assert build_sub_elements(elements) == text
    assert 0 <= place <= len(text)


def tpdu(data: bytes) -> None:
    """The two ways to take a TPDU off agree."""
    split, turned = _taken_off(split_tpdu, data), _taken_off(turn_tpdu, data)
    if isinstance(split, str) or isinstance(turned, str):
        assert split == turned
        return
    (found, message), (prefix, rest) = split, turned
    assert found.octets + message == data
    assert (prefix, rest) == (found.swapped().octets, message)


def _taken_off(take: Callable[[bytes], tuple[T, bytes]], data: bytes) -> tuple[T, bytes] | str:
    try:
        return take(data)
    except TpduError as error:
        return str(error)


def description(data: bytes, dialect: str = "datafono") -> None:
    """Any octets are described, in printable lines, and twenty digits of text are never shown."""
    described = describe(data, WIRES[dialect])
    for line in described.lines():
        assert line.isprintable()
    for field in described.fields:
        if WIRES[dialect].spec[str(field.number)]["kind"] in ("ans", "raw"):
            # The digits of an escaped octet stand before others without belonging to them.
            assert not PIN.search(ESCAPED.sub(".", " ".join((field.value, *field.notes))))


def module_protocol(data: bytes) -> None:
    """A stream is cut into bodies the same whole and in pieces; a body is a request, a reply, or a clean refusal of either."""
    whole, held_whole = _bodies([data])
    assert _bodies(pieces(data)) == (whole, held_whole)
    for body in whole:
        frame = len(body).to_bytes(_LENGTH_OCTETS, "big") + body
        with contextlib.suppress(LinkError, FieldError):
            assert encode_request(*decode_request(body)) == frame
        with contextlib.suppress(LinkError):
            assert encode_reply(*decode_reply(body)) == frame


def leases(data: bytes) -> None:
    """Any octets are a lease, a closing statement, or cleanly neither; what was read is written back alike, and nothing is both."""
    read = []
    for reader in (read_lease, read_statement):
        with contextlib.suppress(LeaseError):
            read.append(reader(data).octets())
    assert read in ([], [data[:-SIGNATURE_OCTETS]])


def _bodies(parts: Iterator[bytes] | list[bytes]) -> tuple[list[bytes], bool]:
    reader = ModuleFrameReader()
    found: list[bytes] = []
    try:
        for part in parts:
            found.extend(reader.receive(part))
            assert reader.held_octets <= _LENGTH_OCTETS + FRAME_OCTETS_MAX
    except LinkError:
        assert reader.held_octets == 0
        return found, True
    return found, False


@cache
def _asked() -> tuple[bytes, ...]:
    return corpus.module_bodies(are_replies=False)


def client_session(data: bytes) -> None:
    """Whatever a module sends, the client pairs it with its own request or drops the link with `RemoteProtocolError`."""
    session: ClientSession[int] = ClientSession(in_flight_max=len(_asked()), abandoned_max=4)
    for waiter, body in enumerate(_asked()):
        session.send(decode_request(body)[1], waiter, expires_at_seconds=float(waiter))
    waiting = set(range(len(_asked()))) - set(session.expire(1.0))
    try:
        for part in pieces(data):
            for answered, _ in session.receive(part):
                if answered is not None:
                    waiting.remove(answered)
    except RemoteProtocolError:
        pass
    assert session.in_flight == len(waiting)
    assert {waiter for _, waiter in session.close()} == waiting


@cache
def _module() -> MemoryModule:
    module = MemoryModule()
    atexit.register(module.close)
    return module


def module_session(data: bytes) -> None:
    """Whatever a client sends, the module answers each request once with a reply that reads, or ends the link."""
    if not data:
        return
    roles = list(Role)
    session = _module().session(roles[data[0] % len(roles)])
    expected, is_broken = _bodies([data[1:]])
    try:
        for part in pieces(data[1:]):
            session.receive(part)
    except LinkError:
        is_broken = True
    replies = list(ModuleFrameReader().receive(session.take_output()))
    for reply in replies:
        decode_reply(reply)
    assert len(replies) <= len(expected)
    assert is_broken or len(replies) == len(expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target: what takes the octets, and good ones to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]


def _stream_seeds() -> tuple[bytes, ...]:
    binary = tuple(b"\xfe" + frame for frame in corpus.datafono_frames())
    digits = tuple(b"\xff%04d" % len(message) + message for message in corpus.datafono_messages())
    return (*binary, *digits, b"\x50" + b"\0\0" * 4, b"\x41" + b"0003abc0000+080")


def _sub_element_seeds() -> tuple[bytes, ...]:
    messages = [DATAFONO.decode(message) for message in corpus.datafono_messages()]
    found = {message.text(number).encode("latin-1") for message in messages for number in (48, 63) if number in message}
    return tuple(sorted(found))


def _reply_seeds() -> tuple[bytes, ...]:
    """Replies with the correlation ids that the client gave to its requests."""
    numbers = {body[9:11]: number for number, body in enumerate(_asked(), 1)}
    seeds = []
    for body in corpus.module_bodies(are_replies=True):
        asked = body[9:10] + bytes([body[10] - 1])
        reply = body[:1] + numbers.get(asked, 1).to_bytes(8, "big") + body[9:]
        seeds.append(len(reply).to_bytes(_LENGTH_OCTETS, "big") + reply)
    return (*seeds, b"".join(seeds))


def _lease_seeds() -> tuple[bytes, ...]:
    """The leases and statements of the wire document, and what is one behind the other."""
    asked = [body[11:] for body in corpus.module_bodies(are_replies=False) if body[9:11] in (b"LE", b"LA")]
    answered = [body[13:] for body in corpus.module_bodies(are_replies=True) if body[9:11] in (b"LF", b"LD")]
    return (*asked, *answered, b"".join(asked))


def _module_seeds() -> tuple[bytes, ...]:
    requests = [len(body).to_bytes(_LENGTH_OCTETS, "big") + body for body in corpus.module_bodies(are_replies=False)]
    return tuple(bytes([role]) + request for role in range(len(Role)) for request in (*requests, b"".join(requests)))


TARGETS: dict[str, Target] = {
    "framing": Target(run=framing, seeds=_stream_seeds),
    "codecs": Target(run=codecs, seeds=corpus.datafono_messages),
    "datafono_read": Target(run=partial(adapter, dialect="datafono"), seeds=corpus.datafono_messages),
    "recargas_codecs": Target(run=partial(codecs, dialect="recargas"), seeds=corpus.recargas_messages),
    "recargas_read": Target(run=partial(adapter, dialect="recargas"), seeds=corpus.recargas_messages),
    "recargas_description": Target(run=partial(description, dialect="recargas"), seeds=corpus.recargas_messages),
    "loteria_codecs": Target(run=partial(codecs, dialect="loteria"), seeds=corpus.loteria_messages),
    "loteria_read": Target(run=partial(adapter, dialect="loteria"), seeds=corpus.loteria_messages),
    "loteria_description": Target(run=partial(description, dialect="loteria"), seeds=corpus.loteria_messages),
    "sub_elements": Target(run=sub_elements, seeds=_sub_element_seeds),
    "tpdu": Target(run=tpdu, seeds=lambda: tuple(frame[2:] for frame in corpus.datafono_frames())),
    "description": Target(run=description, seeds=lambda: (*corpus.datafono_frames(), *corpus.datafono_messages())),
    "module_protocol": Target(run=module_protocol, seeds=corpus.module_frames),
    "client_session": Target(run=client_session, seeds=_reply_seeds),
    "leases": Target(run=leases, seeds=_lease_seeds),
    "module_session": Target(run=module_session, seeds=_module_seeds),
}
