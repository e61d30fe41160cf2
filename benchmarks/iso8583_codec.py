"""How long the two codecs take for one recharge request and one answer of each dialect, in microseconds.

Run: ``python benchmarks/iso8583_codec.py [--json]``. The messages are pinned; the best of several rounds counts, as the rest is noise.
"""

import json
import sys
import timeit
from collections.abc import Callable

from messages.compiled_codec import CompiledCodec
from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso8583_codec import ReferenceCodec
from messages.iso_message import IsoMessage
from messages.subfields import SubElement, build_sub_elements
from messages.wire import DATAFONO_WIRE, LOTERIA_WIRE, WIRES, Wire

CALLS = 5_000
ROUNDS = 7

REQUEST = IsoMessage(
    mti="0200",
    fields={
        2: "37000000007",
        3: "500000",
        4: "000002000000",
        7: "1123160509",
        11: "000001",
        12: "110509",
        13: "1123",
        24: "003",
        37: "000000000001",
        41: "TERM0001",
        42: "COMERCIO0000001",
        48: "VO012mora-2026-03VA006100000",
        49: "170",
        64: "0123456789ABCDEF",
    },
)
ANSWER = IsoMessage(
    mti="0210",
    fields={
        **{number: REQUEST.text(number) for number in (2, 3, 4, 7, 11, 12, 13, 24, 37, 41, 42)},
        38: "000001",
        39: "00",
        48: build_sub_elements(
            SubElement(tag, value)
            for tag, value in (
                ("HN", "MARIA CASTAÑO"),
                ("AD", "CL 5 # 3-20 SUR"),
                ("AC", "0077000001"),
                ("MT", "37000000007"),
                ("SV", "1"),
                ("CL", "RESIDENCIAL"),
                ("ST", "1"),
            )
        ),
        62: "12345678901234567890",
        63: "RC0011PD0072000000CI0010CO0010UN003438CH0072000000FC0072900000SB006900000CN0010MD0041938BK019230;3600000;9000000",
        64: "0123456789ABCDEF",
    },
)


def microseconds(call: Callable[[], object]) -> float:
    """Return the best time of one call."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def in_dialect(message: IsoMessage, wire: Wire) -> IsoMessage:
    """Return the pinned message as a dialect packs it; 1993 has other elements for date, network and code."""
    if wire is not LOTERIA_WIRE:
        return message
    fields = {number: value for number, value in message.fields.items() if number != 13}
    fields |= {12: "261123110509", 24: "200"}
    if 39 in fields:
        fields[39] = "000"
    return IsoMessage(mti="1" + message.mti[1:], fields=fields)


def measure() -> dict[str, float]:
    """Measure both codecs on both messages of every dialect, and cutting frames from one large read."""
    figures: dict[str, float] = {}
    for wire in WIRES.values():
        # The names without a dialect are those of the recorded figures.
        prefix = "" if wire is DATAFONO_WIRE else f"{wire.name}_"
        for name, pinned in (("request", REQUEST), ("answer", ANSWER)):
            figures |= measured(f"{prefix}{name}", in_dialect(pinned, wire), wire)
    stream = write_frame(FrameStyle.BINARY_2, ReferenceCodec(DATAFONO_WIRE.spec).encode(REQUEST)) * 100
    reader = FrameReader(FrameStyle.BINARY_2)
    assert all(isinstance(event, Frame) for event in reader.receive(stream))
    figures["frame_us"] = microseconds(lambda: reader.receive(stream)) / 100
    return figures


def measured(name: str, message: IsoMessage, wire: Wire) -> dict[str, float]:
    """Measure both codecs on one message."""
    reference, compiled = ReferenceCodec(wire.spec), CompiledCodec(wire.spec)
    octets = reference.encode(message)
    assert compiled.decode_sure(octets) == message
    assert compiled.encode_sure(message) == octets
    return {
        f"{name}_octets": len(octets),
        f"{name}_decode_reference_us": microseconds(lambda: reference.decode(octets)),
        f"{name}_decode_compiled_us": microseconds(lambda: compiled.decode(octets)),
        f"{name}_encode_reference_us": microseconds(lambda: reference.encode(message)),
        f"{name}_encode_compiled_us": microseconds(lambda: compiled.encode(message)),
    }


if __name__ == "__main__":
    result = measure()
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        for name, figure in result.items():
            print(f"{name:32} {figure:10.2f}")
