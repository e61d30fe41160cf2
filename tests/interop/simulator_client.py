"""A client made of `iso8583sim` alone, run in an environment of its own: nothing of this project is imported here.

Reads one JSON object a line: ``{"mti", "fields", "key"}`` is built and signed, ``{"hex", "key"}`` is read and verified,
``{"host", "port", "mti", "fields", "key"}`` is sent as a frame, and its answer is read. Answers one JSON object a line.
"""

import json
import socket
import sys
from importlib.metadata import version
from typing import Any

from iso8583sim.core.types import ISO8583Message  # type: ignore[import-not-found]
from iso8583sim.security.mac import generate_mac  # type: ignore[import-not-found]
from iso8583sim.wire.codec import WireFormat, decode_message, encode_message  # type: ignore[import-not-found]

FORMAT = WireFormat(bitmap="hex", binary_fields="hex")
MAC_CHARACTERS = 16


def build(mti: str, fields: dict[str, str], key: str | None) -> bytes:
    """Pack a message and, with a key, its X9.19 MAC; the element of the MAC stands in *fields* as zeros."""
    numbered = {int(number): value for number, value in fields.items()}
    octets: bytes = encode_message(ISO8583Message(mti=mti, fields=numbered), FORMAT)
    if not key:
        return octets
    covered = octets[:-MAC_CHARACTERS]
    mac: str = generate_mac(covered, key)
    return covered + mac.upper().encode("ascii")


def read(octets: bytes, key: str | None) -> dict[str, Any]:
    """Unpack a message and say whether its MAC is right."""
    message = decode_message(octets, FORMAT)
    fields = {number: value for number, value in message.fields.items() if int(number) > 1}
    mac = generate_mac(octets[:-MAC_CHARACTERS], key).upper() if key else None
    return {"mti": message.mti, "fields": fields, "is_mac_right": mac == octets[-MAC_CHARACTERS:].decode("ascii")}


def ask(host: str, port: int, octets: bytes) -> bytes:
    """Send one frame and return the message in the answer's frame."""
    with socket.create_connection((host, port), 30) as link:
        link.sendall(len(octets).to_bytes(2, "big") + octets)
        stream = link.makefile("rb")
        return stream.read(int.from_bytes(stream.read(2), "big"))


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve standard input."""
    _say({"version": version("iso8583sim")})
    for line in sys.stdin:
        asked = json.loads(line)
        key = asked.get("key")
        octets = bytes.fromhex(asked["hex"]) if "hex" in asked else build(asked["mti"], asked["fields"], key)
        if "port" in asked:
            octets = ask(asked["host"], asked["port"], octets)
        answer = read(octets, key) if "hex" in asked or "port" in asked else {}
        _say({"hex": octets.hex(), **answer})


if __name__ == "__main__":
    main()
