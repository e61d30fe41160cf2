"""docs/wire/recargas.md and docs/wire/loteria.md against the code: their hex is built, read back and verified, their tables are the code's.

``python -m tests.messages.test_wire_documents_in_characters`` writes the hex blocks anew after a change of the examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import iso8583
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import CMAC

from acquirers.action_codes import APPROVED_OF_CLASS, ISO_1993, action_code
from acquirers.iso1993_answers import ECHOED_FIELDS
from acquirers.iso1993_requests import DIGEST_FIELDS, FUNCTIONS, TOTALS_DIGEST_FIELDS
from acquirers.notices import notice_1993
from acquirers.response_codes import ISO_1987
from acquirers.session_key import key_offer_fields, read_key_offer
from messages.describe import describe
from messages.framing import Frame, FrameReader, write_frame
from messages.iso8583_codec import ReferenceCodec
from messages.iso_message import IsoMessage
from messages.local_date_time import DAYS_FROM_NOW_MAX
from messages.mac import MAC_FIELDS, covered, splice_mac, split_mac, with_placeholder
from messages.subfields import SubElement, build_sub_elements, parse_sub_elements
from messages.wire import LOTERIA_WIRE, RECARGAS_WIRE, Wire
from pos.speech import LoteriaSpeech
from tests.messages.notice_examples import FACTS, notice_examples
from tests.messages.test_wire_document import (
    BLOCK,
    DAY,
    EXAMPLES,
    KEY,
    MORE,
    OURS,
    SOLD,
    key_offer,
    octets_of,
    retail_mac,
    worked,
)
from vending.ports import MacScheme
from vending.response_code import ResponseCode

DOCUMENTS = Path(__file__).parents[2] / "docs" / "wire"
NOW = datetime(2026, 11, 23, 17, tzinfo=UTC)
WIDTH = 16
SPEECH = LoteriaSpeech(lambda: NOW)
SHOWN = (
    "sign-on",
    "sign-on-answer",
    "sign-off",
    "echo",
    "echo-answer",
    "inquiry",
    "inquiry-answer",
    "trial",
    "trial-answer",
    "recharge",
    "recharge-repeated",
    "recharge-answer",
    "recharge-small",
    "recharge-declined",
    "recharge-in-progress",
    "recharge-voluntary",
    "payment",
    "payment-answer",
    "advice",
    "advice-answer",
    "last-answer",
    "last-answer-told",
    "last-answer-named",
    "last-answer-declined",
    "reversal",
    "reversal-repeated",
    "reversal-stands",
    "reversal-nothing-done",
    "reversal-advice",
    "reversal-advice-answer",
    "terminal-totals",
    "terminal-totals-agree",
    "network-totals",
    "network-totals-differ",
    "cut-over",
    "cut-over-answer",
    "key-asked",
    "key-asked-answer",
    "key-given",
    "key-given-answer",
    "rejection",
    *FACTS,
    "notice-settlement-repeated",
    "notice-settlement-answer",
)
NOTICES_1993 = notice_examples(notice_1993, "500")
TOLD = (("OS", "000005"), ("OT", "261123113030"), ("OR", "632716000005"), ("OC", "000"), ("RP", "1"))
TOLD_DECLINED = (("OS", "000007"), ("OT", "261123113600"), ("OR", "632716000007"), ("OC", "182"))
CODES = {text: code for code, text in ISO_1987.items()}


def in_1993(name: str) -> IsoMessage:
    """Return one of the examples as a lottery network and we say it."""
    if name in NOTICES_1993:
        return NOTICES_1993[name]
    message = _with_key_block(EXAMPLES[name])
    if message.is_request and message.mti[1] != "6":
        return SPEECH.to_network(message)
    if name == "rejection":
        return IsoMessage(mti="1644", fields={24: "650", 39: "904"})
    request = SPEECH.to_network(EXAMPLES[REQUEST_OF[name]])
    fields = {number: request.text(number) for number in ECHOED_FIELDS if number in request}
    more = {number: value for number, value in message.fields.items() if number not in (*fields, 13, 15, 39, 70)}
    if 15 in message:
        more[28] = "261123"
    if name == "last-answer-told":
        account = parse_sub_elements(SOLD[48])
        more[48] = build_sub_elements([*account, *(SubElement(tag, value) for tag, value in TOLD)])
    if name == "last-answer-declined":
        more[48] = build_sub_elements([SubElement(tag, value) for tag, value in TOLD_DECLINED])
    code = action_code(request.message_class, CODES[message.text(39)])
    return IsoMessage(mti=request.answer_mti, fields=fields | {39: code} | more)


def _with_key_block(message: IsoMessage) -> IsoMessage:
    """Return a change of keys as a network with AES-CMAC has it: everything in 48."""
    if message.get(70) != "161" or 48 not in message:
        return message
    offer = read_key_offer(message)
    other = key_offer(MacScheme.AES_CMAC, offer.generation, is_told=not offer.wrapped)
    return message.without_fields(96).with_fields(key_offer_fields(message, other))


REQUEST_OF = {
    "sign-on-answer": "sign-on",
    "echo-answer": "echo",
    "inquiry-answer": "inquiry",
    "trial-answer": "trial",
    "recharge-answer": "recharge",
    "recharge-declined": "recharge-small",
    "recharge-in-progress": "recharge",
    "payment-answer": "payment",
    "advice-answer": "advice",
    "last-answer-told": "last-answer",
    "last-answer-declined": "last-answer-named",
    "reversal-stands": "reversal",
    "reversal-nothing-done": "reversal",
    "reversal-advice-answer": "reversal-advice",
    "terminal-totals-agree": "terminal-totals",
    "network-totals-differ": "network-totals",
    "cut-over-answer": "cut-over",
    "key-asked-answer": "key-asked",
    "key-given-answer": "key-given",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One document: its dialect, its examples, and whether they have AES-CMAC or X9.19."""

    wire: Wire
    examples: Mapping[str, IsoMessage]
    is_cmac: bool

    @property
    def path(self) -> Path:
        """Where it stands."""
        return DOCUMENTS / f"{self.wire.name}.md"

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self) -> dict[str, str]:
        """Return the text of each hex block by its name."""
        found = [(name, text) for _, name, text, _ in BLOCK.findall(self.text)]
        assert len(dict(found)) == len(found)
        return dict(found)

    def mac(self, octets: bytes) -> bytes:
        """Compute a MAC with a library that the code does not use for it."""
        return CMAC.new(KEY, octets, ciphermod=AES).digest()[:8] if self.is_cmac else retail_mac(octets)

    def framed(self, name: str) -> bytes:
        """Return a whole frame, where it belongs with its MAC."""
        message, codec = self.examples[name], self.wire.codec
        encoded = codec.encode(message)
        if message.mti[1] not in "68" or name.startswith(("cut-over", "key-")):
            encoded = codec.encode(with_placeholder(message))
            mac = self.mac(covered(encoded, self.wire.mac_form))
            encoded = splice_mac(encoded, mac, self.wire.mac_form)
        return write_frame(self.wire.frame_style, encoded)

    def annotated(self, frame: bytes) -> str:
        """Write a frame as lines of octets, a semicolon, and what they are."""
        head = self.wire.frame_style.prefix_octets
        parts, encoded = iso8583.decode(frame[head:], self.wire.spec)
        lines = [(frame[:head], f"length {len(frame) - head}"), (encoded["t"]["data"], f"MTI {parts['t']}")]
        lines.append((encoded["p"]["data"], f"bitmap {parts['p']}"))
        if "1" in encoded:
            lines.append((encoded["1"]["data"], f"bitmap, secondary {parts['1']}"))
        for number, value in self.wire.codec.decode(frame[head:]).fields.items():
            part, notation = encoded[str(number)], self.wire.spec[str(number)]["notation"]
            length = f"length {part['len'].decode('ascii')}" if part["len"] else ""
            if number in (48, 63):
                lines.append((part["len"], f"{number} {notation} {length}"))
                lines += [
                    (build_sub_elements([element]).encode("latin-1"), f"   {element.tag} {element.value}")
                    for element in parse_sub_elements(value)
                ]
            else:
                shown = f"MAC {value}" if number in MAC_FIELDS else value
                lines.append((part["len"] + part["data"], f"{number} {notation} {length}{', ' * bool(length)}{shown}"))
        return "".join(_wrapped(octets, words) for octets, words in lines)

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the first table under a heading."""
        section = self.text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def _wrapped(octets: bytes, words: str) -> str:
    rows = [octets[at : at + WIDTH].hex(" ").upper() for at in range(0, len(octets), WIDTH)]
    return "".join(
        f"{row:<{WIDTH * 3}}; {words if not at else '   ...'}".rstrip() + "\n" for at, row in enumerate(rows)
    )


PAGES = {
    "recargas": Page(wire=RECARGAS_WIRE, examples={name: EXAMPLES[name] for name in SHOWN}, is_cmac=False),
    "loteria": Page(wire=LOTERIA_WIRE, examples={name: in_1993(name) for name in SHOWN}, is_cmac=True),
}
CASES = [pytest.param(page, name, id=f"{page.wire.name}-{name}") for page in PAGES.values() for name in SHOWN]


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_document_shows_every_message_once(page: Page) -> None:
    """Every example stands in the document, and no other hex does."""
    assert sorted(page.blocks()) == sorted(page.examples)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize(("page", "name"), CASES)
def test_the_hex_is_what_the_code_writes_and_reads(page: Page, name: str) -> None:
    """Octets, words and MAC of a block are those of the code; both codecs read the message and write it again."""
    frame = octets_of(page.blocks()[name])
    assert frame == page.framed(name)
    assert page.blocks()[name] == page.annotated(frame)
    octets = frame[page.wire.frame_style.prefix_octets :]
    assert FrameReader(page.wire.frame_style).receive(frame) == [Frame(octets)]
    message = page.wire.codec.decode(octets)
    assert message.without_fields(*MAC_FIELDS) == page.examples[name]
    assert page.wire.codec.encode(message) == ReferenceCodec(page.wire.spec).encode(message) == octets
    described = describe(frame, page.wire)
    assert described.error is None
    assert described.length_octets == len(octets)
    if set(MAC_FIELDS) & message.fields.keys():
        sealed = split_mac(message, octets, page.wire.mac_form)
        assert sealed.mac == page.mac(sealed.covered)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_worked_macs_are_right(page: Page) -> None:
    """The octets, the steps and both results in the document's example are computed here again."""
    data = covered(page.wire.codec.encode(with_placeholder(page.examples["recharge"])), page.wire.mac_form)
    for shown in (*worked(data), CMAC.new(KEY, data, ciphermod=AES).digest()):
        assert shown.hex().upper() in page.text
    assert f"`{data.decode('ascii')}`" in page.text
    assert f"{len(data)} octets" in page.text
    assert KEY.hex().upper() in page.text


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_field_table_is_that_of_the_dialect(page: Page) -> None:
    """Every data element that an example has stands in the document, in the notation of the field table."""
    table = {row[0]: row[1] for row in page.rows("Data elements in use")}
    assert {number: page.wire.spec[number]["notation"] for number in table} == table
    used = {str(number) for message in page.examples.values() for number in message.fields} | {"64", "128"}
    assert used <= set(table)
    assert set(table) - used <= {"15", "37", "53", "60", "71", "72", "96"}


def test_the_action_codes_are_those_that_are_sent() -> None:
    """The table of data element 39 has every code under its name, and no other; approvals are those of the message classes."""
    page = PAGES["loteria"]
    table = {row[1]: (row[0], row[2] == "yes") for row in page.rows("Action codes (39)")}
    assert table == {code.value: (text, code.is_final) for code, text in ISO_1993.items()}
    assert {row[0]: row[2] for row in page.rows("Messages")} == {
        mti: APPROVED_OF_CLASS.get(mti if mti != "1804" else "1800", "000") for mti in (*FUNCTIONS, "1804")
    }
    assert {row[0]: row[1] for row in page.rows("Messages") if row[0] != "1804"} == FUNCTIONS


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    """What a stranger reads is what the adapter does."""
    text = " ".join(PAGES["loteria"].text.split())
    for numbers in (ECHOED_FIELDS, DIGEST_FIELDS, TOTALS_DIGEST_FIELDS):
        assert f"elements {', '.join(map(str, numbers))}" in text
    assert f"{DAYS_FROM_NOW_MAX} days" in text
    assert set(DAY) | set(MORE) >= {76, 77, 88, 89, 97}
    assert dict(OURS)["RE"] in text
    assert ResponseCode.IN_PROGRESS in ISO_1993


def write() -> None:
    """Write every hex block of the documents anew."""
    for page in PAGES.values():
        text = BLOCK.sub(
            lambda found, page=page: found[1] + page.annotated(page.framed(found[2])) + found[4],  # type: ignore[misc]
            page.text,
        )
        page.path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
