"""`eudora iso describe`: what a person sees of a message, and what nobody sees."""

import re

import pytest
from click.testing import CliRunner, Result

from cli.iso import iso
from messages.codec import DATAFONO
from messages.describe import describe, encoded_octets
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.record_list import write_records
from messages.specs.datafono import SPEC

PIN = "98765432109876543210"
ANSWER = IsoMessage(
    mti="0210",
    fields={
        2: "37000000007",
        3: "500100",
        39: "00",
        48: "HN004Muñoz",
        62: PIN + PIN,
        63: "PD0072000000BK0051;2;3",
        64: "0123456789ABCDEF",
    },
)
OCTETS = DATAFONO.encode(ANSWER)
TPDU = bytes.fromhex("6000030000")
FRAME = write_frame(FrameStyle.BINARY_2, TPDU + OCTETS)


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run `eudora iso describe`."""
    return CliRunner().invoke(iso, ["describe", *arguments], input=stdin)


def test_framing_is_found_by_itself() -> None:
    """The same message is recognised with its length and TPDU, with either, and bare."""
    for data, length, has_tpdu in (
        (FRAME, len(OCTETS) + 5, True),
        (TPDU + OCTETS, None, True),
        (write_frame(FrameStyle.BINARY_2, OCTETS), len(OCTETS), False),
        (OCTETS, None, False),
    ):
        description = describe(data)
        assert description.error is None
        assert (description.length_octets, description.tpdu is not None, description.mti) == (length, has_tpdu, "0210")


def test_a_bare_message_that_begins_like_its_own_length_is_read_as_a_message() -> None:
    """0x0200 could be the length of 512 octets; the reading that is a whole message wins."""
    filler = 514 - len(DATAFONO.encode(IsoMessage(mti="0200", fields={60: ""})))
    octets = DATAFONO.encode(IsoMessage(mti="0200", fields={60: "x" * filler}))
    assert len(octets) == 0x0200 + 2
    description = describe(octets)
    assert (description.length_octets, description.mti, description.error) == (None, "0200", None)


def test_every_element_is_named_with_its_place_and_value() -> None:
    """Names, positions, values, sub-elements and the octets under the MAC are shown."""
    result = run("--dialect", "datafono", FRAME.hex())
    assert result.exit_code == 0, result.output
    assert "MTI     0210  answer to a sale" in result.output
    assert "37000000007" in result.output
    assert "recharge, energy" in result.output
    assert "PD  2000000  [paid, centavos]" in result.output
    assert "BK  1;2;3" in result.output
    assert f"MAC     0123456789ABCDEF in the last 8 octets, over octets 0 to {len(OCTETS) - 9}" in result.output
    for described in describe(OCTETS).fields:
        row = SPEC[str(described.number)]
        encoded = DATAFONO.encode(IsoMessage(mti="0210", fields={described.number: ANSWER.text(described.number)}))[10:]
        assert len(encoded) == encoded_octets(row, ANSWER.text(described.number))
        assert OCTETS[described.position_octets :].startswith(encoded)


def test_secrets_are_masked_and_nothing_unmasks_them() -> None:
    """PINs, tracks and chip data never appear, whole or broken, and there is no option for it."""
    secrets = {
        35: "4111D2512",
        36: "track3secret",
        45: "track1secret",
        52: "FEDCBA9876543210",
        55: "chipsecret",
        62: PIN,
    }
    octets = DATAFONO.encode(IsoMessage(mti="0200", fields=secrets))
    for shown in (run(octets.hex()), run((octets + b"\0").hex())):
        assert "1 PIN of 20 digits, masked" in shown.output
        assert not [secret for secret in secrets.values() if secret in shown.output]
        assert PIN[:10] not in shown.output
    assert run("--unmask", octets.hex()).exit_code == 2


@pytest.mark.parametrize("fields", [{61: PIN}, {60: PIN + "x"}, {48: "HN020" + PIN}, {63: "RC040" + PIN + PIN}])
def test_a_pin_that_slid_into_another_element_is_masked(fields: dict[int, str]) -> None:
    """One wrong bit in a bitmap puts the PINs into an element that is otherwise shown; twenty digits of text never are."""
    octets = DATAFONO.encode(IsoMessage(mti="0210", fields=fields))
    for shown in (run(octets.hex()), run((octets + b"\0").hex())):
        assert PIN not in shown.output
        assert "digits, masked)" in shown.output


def test_the_records_of_a_batch_are_described_like_messages_of_their_own() -> None:
    """Each with its number, masked as it would be alone, also when it is broken."""
    secrets = {35: "4111D2512", 45: "track1secret", 62: PIN}
    payment = IsoMessage(mti="0200", fields={2: "37000000007", 3: "530000", 90: "0200000005" + "1123163030" + "0" * 22})
    records = [DATAFONO.encode(payment), DATAFONO.encode(IsoMessage(mti="0200", fields=secrets)), b"\x02\x00\xff"]
    shown = run(DATAFONO.encode(IsoMessage(mti="0320", fields={11: "000001", 60: write_records(records)})).hex())
    assert shown.exit_code == 0
    assert "MTI     0320  batch upload" in shown.output
    assert "3 records" in shown.output
    assert re.search(r"1\.   2  n\.\.19 .*37000000007", shown.output)
    assert "original 0200, STAN 000005, element 7 1123163030" in shown.output
    assert "2. MTI     0200  sale" in shown.output
    assert "3. ERROR   bitmap" in shown.output
    assert not [secret for secret in secrets.values() if secret in shown.output]


def test_a_broken_message_shows_what_was_read_and_fails() -> None:
    """What stands before the fault is shown, then the fault with its place, and the exit code is 1."""
    result = run(FRAME[2:60].hex())
    assert result.exit_code == 1
    assert "37000000007" in result.output
    assert "ERROR   data element 48, octet" in result.output or "ERROR   data element 62, octet" in result.output
    nothing = run("02")
    assert (nothing.exit_code, "ERROR   MTI, octet 0: cut short" in nothing.output) == (1, True)


def test_hex_is_read_from_standard_input_with_spaces_and_line_ends() -> None:
    """A dump can be pasted as it is; what is no hex is a wrong use, not a broken message."""
    pasted = "\n".join(FRAME.hex(" ").upper()[at : at + 48] for at in range(0, len(FRAME) * 3, 48))
    assert run("-", stdin=pasted).output == run(FRAME.hex()).output
    assert run("xyz").exit_code == run("-", stdin=" \n").exit_code == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({11: "000001"}, "MAC     none"),
        ({64: "00" * 8, 70: "001"}, "not in the last data element"),
        ({48: "HN09"}, "not sub-elements"),
        ({60: "\x1b[2J"}, "\\x1B[2J"),
        ({70: "301"}, "echo"),
    ],
)
def test_oddities_are_said(fields: dict[int, str], words: str) -> None:
    """A missing or misplaced MAC, bad sub-elements and control characters are told, and never obeyed by the terminal."""
    result = run(DATAFONO.encode(IsoMessage(mti="0800", fields=fields)).hex())
    assert result.exit_code == 0
    assert words in result.output
    assert "\x1b" not in result.output
