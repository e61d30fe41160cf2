"""What fuzzing begins with: the messages of the wire documents, and ways to spoil them."""

import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from messages.security_module import Command, FrameReader

_DOCS = Path(__file__).parents[2] / "docs" / "wire"
_DATAFONO_BLOCK = re.compile(r"<!-- hex: [a-z0-9-]+ -->\n```hex\n(.*?)```\n", re.DOTALL)
_MODULE_FRAME = re.compile(r"^0000[0-9a-f]{4} 01 .*$", re.MULTILINE)

LENGTH_OCTETS = 2
TPDU_OCTETS = 5

_TELLING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x00\x00",
    b"\xff\xff",
    b"\x09\x99",
    b"+80",
    b" 48",
    b"-00",
    b"\x60",
    b"\x99" * 6,
    b"\xaa" * 6,
    b"0" * 20,
)
"""Octets at which readers stumble: limits, signs in front of lengths, letters where digits belong."""


@cache
def datafono_frames() -> tuple[bytes, ...]:
    """Every frame of docs/wire/datafono.md, length and TPDU included."""
    blocks = _DATAFONO_BLOCK.findall((_DOCS / "datafono.md").read_text(encoding="utf-8"))
    return tuple(bytes.fromhex("".join(line.partition(";")[0] for line in block.splitlines())) for block in blocks)


@cache
def datafono_messages() -> tuple[bytes, ...]:
    """The same from the MTI on."""
    head = LENGTH_OCTETS + TPDU_OCTETS
    return tuple(frame[head:] for frame in datafono_frames() if len(frame) > head)


@cache
def frames_of(dialect: str, *, length_octets: int) -> tuple[bytes, ...]:
    """Every message of docs/wire/<dialect>.md from the MTI on, for a dialect without TPDU."""
    blocks = _DATAFONO_BLOCK.findall((_DOCS / f"{dialect}.md").read_text(encoding="utf-8"))
    frames = [bytes.fromhex("".join(line.partition(";")[0] for line in block.splitlines())) for block in blocks]
    return tuple(frame[length_octets:] for frame in frames)


def recargas_messages() -> tuple[bytes, ...]:
    """The messages of docs/wire/recargas.md."""
    return frames_of("recargas", length_octets=2)


def loteria_messages() -> tuple[bytes, ...]:
    """The messages of docs/wire/loteria.md."""
    return frames_of("loteria", length_octets=4)


@cache
def module_frames() -> tuple[bytes, ...]:
    """Every frame of docs/wire/security-module.md, length included."""
    text = (_DOCS / "security-module.md").read_text(encoding="utf-8")
    hexes = [re.split(r" {2,}[a-z]+$", line)[0] for line in _MODULE_FRAME.findall(text)]
    return tuple(bytes.fromhex(re.sub(r"\s+", "", line)) for line in hexes)


def module_bodies(*, are_replies: bool) -> tuple[bytes, ...]:
    """Bodies of replies, or of requests: the letters of a reply are one further."""
    bodies = [next(FrameReader().receive(frame)) for frame in module_frames()]
    requests = {command.value.encode("ascii") for command in Command}
    return tuple(body for body in bodies if (body[9:11] not in requests) is are_replies)


def spoiled(seeds: tuple[bytes, ...], *, seed: int, count: int) -> Iterator[bytes]:
    """Yield *count* spoilt copies of *seeds*, the same ones for the same *seed*."""
    source = random.Random(seed)
    for _ in range(count):
        octets = bytearray(source.choice(seeds))
        for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
            _spoil(octets, seeds, source)
        yield bytes(octets)


def _spoil(octets: bytearray, seeds: tuple[bytes, ...], source: random.Random) -> None:
    at = source.randrange(len(octets) + 1)
    length = source.choice((1, 1, 2, 4, 16))
    match source.randrange(8):
        case 0 if at < len(octets):
            octets[at] ^= 1 << source.randrange(8)
        case 1:
            octets[at : at + 1] = source.randbytes(1)
        case 2:
            del octets[at:]
        case 3:
            del octets[at : at + length]
        case 4:
            octets[at:at] = source.randbytes(length)
        case 5:
            telling = source.choice(_TELLING)
            octets[at : at + len(telling)] = telling
        case 6:
            octets[at:at] = octets[at : at + length]
        case _:
            other = source.choice(seeds)
            octets[at:] = other[source.randrange(len(other) + 1) :]
