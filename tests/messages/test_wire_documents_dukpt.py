"""Whole messages with a key for each message in docs/wire/*.md: octets built from the keys that the page names, and by a terminal's own signer.

``python -m tests.messages.test_wire_documents_dukpt`` writes the hex blocks anew after a change of the examples.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import iso8583
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import CMAC
from psec.mac import generate_retail_mac

from acquirers.key_serial_number import with_ksn
from messages.describe import describe
from messages.framing import write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac, with_placeholder
from messages.wire import WIRES
from pos.dukpt import DukptSigner
from pos.requests import seal_said
from tests.messages.test_wire_document import EXAMPLES, REQUEST_TPDU, annotated, octets_of
from tests.messages.test_wire_documents_in_characters import PAGES, in_1993
from vending.secret import Secret

DOCUMENTS = Path(__file__).parents[2] / "docs" / "wire"
BLOCK = re.compile(r"(<!-- dukpt: ([a-z0-9-]+) -->\n```hex\n)(.*?)(```\n)", re.DOTALL)


def _retail(key: str) -> Callable[[bytes], bytes]:
    octets = bytes.fromhex(key)
    return lambda data: bytes(generate_retail_mac(octets[:8], octets[8:], data, 1, 8))


def _cmac(key: str) -> Callable[[bytes], bytes]:
    octets = bytes.fromhex(key)
    return lambda data: CMAC.new(octets, data, ciphermod=AES).digest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A terminal whose first message is shown, and its keys as they are, so that no code of ours derives them."""

    initial_key: str
    ksn: str
    request: Callable[[bytes], bytes]
    answer: Callable[[bytes], bytes]


TDES = Device(
    initial_key="6AC292FAA1315B4D858AB3A3D7D5933A",
    ksn="FFFF9876543210E00001",
    request=_retail("042666B4918430A368DE9628D03984C9"),
    answer=_retail("042666B46E84CFA368DE96282F397BC9"),
)
"""The key of docs/wire/datafono.md, with the variants for the MAC of a request and of a response that ANSI X9.24-1:2009 gives."""
AES_128 = Device(
    initial_key="1273671EA26AC29AFA4D1084127652A1",
    ksn="123456789012345600000001",
    request=_cmac("A2DC23DE6FDE0824A2BC321E08E4B8B7"),
    answer=_cmac("DBB463945B286C07CD3AD82EE96FD9C9"),
)
"""The keys of docs/wire/datafono.md, of ANSI X9.24-3:2017."""

SHOWN: Mapping[str, tuple[str, Device, str]] = {
    "datafono-tdes": ("datafono", TDES, "recharge"),
    "datafono-tdes-answer": ("datafono", TDES, "recharge-answer"),
    "datafono-aes": ("datafono", AES_128, "recharge"),
    "datafono-aes-answer": ("datafono", AES_128, "recharge-answer"),
    "recargas-tdes": ("recargas", TDES, "recharge"),
    "recargas-tdes-answer": ("recargas", TDES, "recharge-answer"),
    "loteria-aes": ("loteria", AES_128, "recharge"),
    "loteria-aes-answer": ("loteria", AES_128, "recharge-answer"),
}
"""By name of the block: dialect, device, and the example whose message it is."""


def said(name: str) -> IsoMessage:
    """Return the message of a block without its MAC: a request has its KSN, an answer has none."""
    dialect, device, example = SHOWN[name]
    message = in_1993(example) if dialect == "loteria" else EXAMPLES[example]
    return with_ksn(message, bytes.fromhex(device.ksn)) if message.is_request else message


def framed(name: str) -> bytes:
    """Return the whole frame of a block, its MAC by libraries that the code does not use for it."""
    dialect, device, _ = SHOWN[name]
    wire, message = WIRES[dialect], said(name)
    encoded = wire.codec.encode(with_placeholder(message))
    mac = (device.request if message.is_request else device.answer)(covered(encoded, wire.mac_form))
    tpdu = b""
    if wire.has_tpdu:
        tpdu = (REQUEST_TPDU if message.is_request else REQUEST_TPDU.swapped()).octets
    return write_frame(wire.frame_style, tpdu + splice_mac(encoded, mac, wire.mac_form))


def shown(name: str) -> str:
    """Return the frame as its page writes it."""
    dialect = SHOWN[name][0]
    return annotated(framed(name)) if dialect == "datafono" else PAGES[dialect].annotated(framed(name))


def blocks() -> dict[str, str]:
    """Return the text of each block of all pages."""
    found = [
        (name, text)
        for dialect in WIRES
        for _, name, text, _ in BLOCK.findall((DOCUMENTS / f"{dialect}.md").read_text(encoding="utf-8"))
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_the_pages_show_these_messages_and_no_other() -> None:
    """Each once, in the page of its dialect, beside the keys that it is built from."""
    assert blocks().keys() == SHOWN.keys()
    page = (DOCUMENTS / "datafono.md").read_text(encoding="utf-8")
    for device in (TDES, AES_128):
        assert device.initial_key in page
        assert device.ksn in page


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", SHOWN)
def test_the_hex_is_what_the_keys_give_and_what_a_terminal_sends(name: str, tmp_path: Path) -> None:
    """Octets and words of a block; a new terminal's first request is these octets, and it takes the answer after it."""
    dialect, device, _ = SHOWN[name]
    wire, text = WIRES[dialect], blocks()[name]
    frame = octets_of(text)
    assert frame == framed(name)
    assert text == shown(name)
    body = frame[wire.frame_style.prefix_octets + (5 if wire.has_tpdu else 0) :]
    start = bytes.fromhex(device.ksn)[:-1] + b"\x00"
    terminal = DukptSigner.create(tmp_path / "device.json", Secret(bytes.fromhex(device.initial_key)), start)
    request = name.removesuffix("-answer")
    dialect_request = SHOWN[request][2]
    plain = in_1993(dialect_request) if dialect == "loteria" else EXAMPLES[dialect_request]
    sent = seal_said(plain, terminal, wire)
    if request == name:
        assert sent == body
    else:
        mac = body[-8:] if wire.mac_form.value == 8 else bytes.fromhex(body[-16:].decode("ascii"))
        terminal.verify(covered(body, wire.mac_form), mac)
    decoded, _ = iso8583.decode(body, wire.spec)
    assert decoded["t"] == said(name).mti
    if dialect == "datafono":
        assert describe(frame).error is None


def rewrite() -> None:
    """Write every block anew."""
    for dialect in WIRES:
        path = DOCUMENTS / f"{dialect}.md"
        text = path.read_text(encoding="utf-8")
        path.write_text(BLOCK.sub(lambda found: found[1] + shown(found[2]) + found[4], text), encoding="utf-8")


if __name__ == "__main__":
    rewrite()
