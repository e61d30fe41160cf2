"""docs/wire/security-module.md says what the code does: every frame in it reads, and its status table is the enum."""

import re
from dataclasses import replace
from pathlib import Path

from messages.security_module import (
    Command,
    EngineeringRequest,
    FrameReader,
    MacReply,
    MintReply,
    MintRequest,
    Refused,
    Status,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from vending.engineering import approval_octets
from vending.money import Centavos

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire" / "security-module.md").read_text(encoding="utf-8")
FRAME = re.compile(r"^0000[0-9a-f]{4} 01 .*$", re.MULTILINE)


def frames() -> list[bytes]:
    """Every line of the document that is a frame, without its remarks."""
    hexes = [re.split(r" {2,}[a-z]+$", line)[0] for line in FRAME.findall(DOCUMENT)]
    # Columns are padded to the width of the line below them.
    return [bytes.fromhex(re.sub(r"\s+", "", line)) for line in hexes]


def test_every_frame_in_the_document_reads_and_writes_back() -> None:
    """Requests and replies decode with the code and encode to the same octets; all commands are there, both ways."""
    seen: set[str] = set()
    for frame in frames():
        (body,) = FrameReader().receive(frame)
        letters = body[9:11].decode()
        seen.add(letters)
        if letters in {command.value for command in Command}:
            assert encode_request(*decode_request(body)) == frame
        else:
            assert encode_reply(*decode_reply(body)) == frame
    known = [command for command in Command if command is not Command.UNKNOWN]
    seen.remove(Command.UNKNOWN.reply_letters)
    assert seen == {each for command in known for each in (command.value, command.reply_letters)}


def test_the_frames_mean_what_the_document_says() -> None:
    """The values that the remarks name are the ones that are read."""
    told, *read = bodies()
    assert decode_reply(told)[1] == Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_VERSION)
    _, mint = decode_request(read[0])
    assert isinstance(mint, MintRequest)
    assert (mint.request_id, mint.register_id, mint.pan) == (0x0102030405060708, 1, "600727000000000009")
    assert list(mint.tokens) == [(0x014EEC, 1)]
    _, minted = decode_reply(read[1])
    assert isinstance(minted, MintReply)
    assert [token.reveal() for token in minted.tokens] == ["70630503470028726114"]
    charged = [decode_request(body)[1] for body in read if body[9:11] == b"MT"][1]
    assert charged == replace(mint, charged_centavos=Centavos(35_050))
    replies = [decode_reply(body)[1] for body in read if body[9:11] in (b"MH", b"MW")]
    assert MacReply(mac=bytes.fromhex("1122334455667788")) in replies
    assert Refused(command=Command.VERIFY_MAC, status=Status.MAC_MISMATCH) in replies


def test_the_signed_text_is_that_of_the_frame_with_an_approval() -> None:
    """The lines that the document shows are those that are signed for its last example."""
    requests = [decode_request(body)[1] for body in bodies() if body[9:11] == b"EN"]
    (request,) = [each for each in requests if isinstance(each, EngineeringRequest) and each.approvals]
    (shown,) = re.findall(r"```\n(eudora approval 1\n(?:\w+=.*\n)+)```", DOCUMENT)
    assert approval_octets(request, request.approvals[0].expires_unix_seconds).decode() == shown


def bodies() -> list[bytes]:
    """Every frame of the document without its length."""
    return [next(FrameReader().receive(frame)) for frame in frames()]


def test_the_status_table_is_the_enum() -> None:
    """Code, name, verdict and meaning, one row each, in order."""
    rows = re.findall(r"^\| (\d\d) \| (\w+) \| (yes)? ?\| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert rows == [
        (status.code, status.name.lower(), "yes" if status.is_refusal else "", status.meaning) for status in Status
    ]
