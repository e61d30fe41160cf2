"""docs/wire/datafono.md against the code: its hex is built, read back and verified, and its tables are those of the code.

``python tests/messages/test_wire_document.py`` writes the hex blocks anew after a change of `EXAMPLES`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import iso8583
import pytest
from Crypto.Cipher import AES, DES
from Crypto.Hash import CMAC
from psec.mac import generate_retail_mac

from acquirers.iso1987_answers import ECHOED_FIELDS
from acquirers.iso1987_requests import DIGEST_FIELDS
from acquirers.iso1987_totals import TOTALS_DIGEST_FIELDS
from acquirers.notices import notice_1987
from acquirers.response_codes import ISO_1987
from acquirers.session_key import KeyOffer, key_offer_fields
from config.acquirer import AcquirerSection
from messages.codec import DATAFONO
from messages.describe import describe
from messages.framing import FRAME_OCTETS_MAX_DEFAULT, Frame, FrameReader, FrameStyle, write_frame, write_keep_alive
from messages.iso8583_codec import ReferenceCodec
from messages.iso_message import IsoMessage
from messages.key_wrapping import check_value, wrap
from messages.mac import MAC_FIELDS, covered, splice_mac, split_mac, with_placeholder
from messages.record_list import RECORDS_ELEMENT, RECORDS_MAX, read_records, write_records
from messages.specs.datafono import SPEC
from messages.subfields import SubElement, build_sub_elements, parse_sub_elements
from messages.tpdu import Tpdu, split_tpdu
from tests.messages.notice_examples import notice_examples
from vending.ports import MacScheme
from vending.secret import Secret

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire" / "datafono.md"
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
ZONE_KEY = bytes.fromhex("89ABCDEF0123456776543210FEDCBA98")
SESSION_KEYS = {
    4: bytes.fromhex("2315208C9110AD40E6A4B6C2D9F7013B"),
    5: bytes.fromhex("80C4526E1FB3A70D94D3EA6B07C8F215"),
}
"""By generation: one of ours, and one that the partner gives after it."""
REQUEST_TPDU = Tpdu(destination="0003", source="0000")
BLOCK = re.compile(r"(<!-- hex: ([a-z0-9-]+) -->\n```hex\n)(.*?)(```\n)", re.DOTALL)
WIDTH = 12


def sub_elements(*pairs: tuple[str, str]) -> str:
    """Write pairs of tag and value."""
    return build_sub_elements(SubElement(tag, value) for tag, value in pairs)


def identity(stan: str, time: str) -> dict[int, str]:
    """Return the data elements that say which request this is; *time* is hhmmss in UTC on 23 November."""
    local = f"{int(time[:2]) - 5:02d}{time[2:]}"
    fields = {7: "1123" + time, 11: stan, 12: local, 13: "1123", 24: "003", 41: "TERM0001", 42: "TIENDA LA ESQUI"}
    return dict(sorted(fields.items()))


def answer(request: IsoMessage, code: str, more: dict[int, str] | None = None) -> IsoMessage:
    """Return the answer: what is carried back, the code and *more*."""
    back = {number: request.text(number) for number in ECHOED_FIELDS if number in request}
    return IsoMessage(mti=request.answer_mti, fields=back | {39: code} | (more or {}))


def network(stan: str, code: str) -> IsoMessage:
    """Return a network management request."""
    fields = {number: value for number, value in identity(stan, "163000").items() if number not in (12, 13)}
    return IsoMessage(mti="0800", fields=fields | {70: code})


def key_offer(scheme: str, generation: int, *, is_told: bool = False) -> KeyOffer:
    """Return one of `SESSION_KEYS`, wrapped; without itself where it is only said which was taken."""
    key = SESSION_KEYS[generation]
    wrapped = b"" if is_told else wrap(scheme, Secret(ZONE_KEY), Secret(key))
    return KeyOffer(generation=generation, kcv=check_value(scheme, key), wrapped=wrapped)


METER = {2: "37000000007"}
ACCOUNT = (
    ("HN", "MARÍA PEÑA"),
    ("AD", "CL 5 # 3-20 SUR"),
    ("AC", "0077000001"),
    ("MT", "37000000007"),
    ("SV", "1"),
    ("CL", "residential"),
    ("ST", "1"),
)
LINES = (
    ("PD", "2000000"),
    ("CI", "0"),
    ("CO", "0"),
    ("UN", "338"),
    ("CH", "1800000"),
    ("FC", "3042000"),
    ("SB", "1242000"),
    ("CN", "0"),
    ("MD", "1838"),
    ("BK", "230;3600000;9000000"),
    ("BK", "108;9000000;9000000"),
    ("TK", "obligation;mora-2026-03;200000;0;200000;5800000;0"),
)
PAID_LINES = (
    ("RC", "1000123"),
    ("PD", "500000"),
    ("CI", "0"),
    ("CO", "0"),
    ("UN", "0"),
    ("CH", "0"),
    ("FC", "0"),
    ("SB", "0"),
    ("CN", "0"),
    ("MD", "1838"),
    ("TK", "obligation;mora-2026-03;500000;0;500000;5300000;0"),
)
OWED = (("OW", "6000000"), ("OV", "6000000"), ("MN", "100000"), ("MX", "50000000"), ("MD", "1500"))

SIGN_ON, SIGN_OFF, ECHO = network("000001", "001"), network("000099", "002"), network("000002", "301")
INQUIRY = IsoMessage(mti="0100", fields=METER | {3: "310000"} | identity("000003", "163010"))
TRIAL = IsoMessage(
    mti="0100", fields=METER | {3: "310000", 4: "000002000000", 49: "170"} | identity("000004", "163020")
)
RECHARGE = IsoMessage(
    mti="0200", fields=METER | {3: "500000", 4: "000002000000", 49: "170"} | identity("000005", "163030")
)
REPEAT = IsoMessage(mti="0201", fields=RECHARGE.fields)
VOLUNTARY = IsoMessage(
    mti="0200",
    fields=METER
    | {3: "500100", 4: "000002000000", 48: sub_elements(("VO", "mora-2026-03"), ("VA", "100000")), 49: "170"}
    | identity("000006", "163500"),
)
TOO_LITTLE = IsoMessage(
    mti="0200", fields=METER | {3: "500000", 4: "000000001000", 49: "170"} | identity("000007", "163600")
)
PAYMENT = IsoMessage(
    mti="0200",
    fields=METER
    | {3: "530000", 4: "000000500000", 48: sub_elements(("OB", "mora-2026-03")), 49: "170"}
    | identity("000008", "163700"),
)
REVERSAL = IsoMessage(
    mti="0400",
    fields=METER
    | {3: "500000", 4: "000002000000", 49: "170", 90: "0200" + "000005" + "1123163030" + "0" * 22}
    | identity("000009", "163130"),
)
REVERSAL_ADVICE = IsoMessage(mti="0420", fields={**REVERSAL.fields, **identity("000010", "163135")})
ADVICE = IsoMessage(mti="0220", fields=identity("000020", "163040") | {90: "0200" + "000005" + "1123163030" + "0" * 22})
LAST_ANSWER = IsoMessage(mti="0100", fields={3: "380000"} | identity("000021", "163200"))
LAST_ANSWER_NAMED = IsoMessage(
    mti="0100",
    fields={3: "380000"} | identity("000022", "163700") | {90: "0200" + "000007" + "1123163600" + "0" * 22},
)
LATER_PAYMENT = IsoMessage(mti="0200", fields={**PAYMENT.fields, **identity("000032", "170100")})
BATCH = IsoMessage(
    mti="0320",
    fields=identity("000033", "171500")
    | {60: write_records(map(DATAFONO.encode, (PAYMENT, RECHARGE, LATER_PAYMENT, ADVICE))), 71: "0001", 72: "0001"},
)
RESULTS = (
    ("RS", "0200;000008;1123163700;00;1123;1000123"),
    ("RS", "0200;000005;1123163030;12;;"),
    ("RS", "0200;000032;1123170100;09;;"),
    ("RS", "0220;000020;1123163040;00;;"),
)
TOLD = (("OS", "000005"), ("OT", "1123163030"), ("OR", "632716000005"), ("OC", "00"), ("RP", "1"))
TOLD_DECLINED = (("OS", "000007"), ("OT", "1123163600"), ("OR", "632716000007"), ("OC", "70"))
SOLD = {15: "1123", 37: "632716000005", 38: "000122", 48: sub_elements(*ACCOUNT), 62: "12345678901234567890"}
SOLD[63] = sub_elements(("RC", "1000122"), *LINES)
PAID = {15: "1123", 37: "632716000008", 38: "000123", 48: sub_elements(*ACCOUNT), 63: sub_elements(*PAID_LINES)}
KEY_ASKED, KEY_GIVEN = network("000014", "161"), network("000015", "161")
KEY_GIVEN = KEY_GIVEN.with_fields(key_offer_fields(KEY_GIVEN, key_offer(MacScheme.X9_19, 5)))
KEY_TOLD = key_offer_fields(KEY_GIVEN, key_offer(MacScheme.X9_19, 5, is_told=True))
CUT_OVER = network("000011", "201").with_fields({15: "1123"})
DAY = {
    15: "1123",
    76: "0000000003",
    77: "0000000000",
    88: "0000000004500000",
    89: "0000000000000000",
    97: "D0000000004500000",
}
TERMINAL_TOTALS = IsoMessage(
    mti="0500",
    fields=identity("000012", "225900") | DAY | {48: sub_elements(("RE", "2;4000000"), ("PA", "1;500000"))},
)
NETWORK_TOTALS = IsoMessage(mti="0520", fields=identity("000013", "225930") | DAY)
OURS = (("RE", "2;4000000"), ("PA", "1;500000"), ("OP", "0;0"))
MORE = {76: "0000000004", 88: "0000000006500000", 97: "D0000000006500000"}
MORE[48] = sub_elements(("RE", "3;6000000"), ("PA", "1;500000"), ("OP", "0;0"), ("DF", "1;2000000"), ("DR", "0;0"))
EXAMPLES = {
    "sign-on": SIGN_ON,
    "sign-on-answer": answer(SIGN_ON, "00"),
    "sign-off": SIGN_OFF,
    "sign-off-answer": answer(SIGN_OFF, "00"),
    "echo": ECHO,
    "echo-answer": answer(ECHO, "00"),
    "inquiry": INQUIRY,
    "inquiry-answer": answer(INQUIRY, "00", {48: sub_elements(*ACCOUNT, *OWED)}),
    "trial": TRIAL,
    "trial-answer": answer(TRIAL, "00", {48: sub_elements(*ACCOUNT, *OWED), 63: sub_elements(*LINES)}),
    "recharge": RECHARGE,
    "recharge-repeated": REPEAT,
    "recharge-answer": answer(RECHARGE, "00", SOLD),
    "recharge-voluntary": VOLUNTARY,
    "recharge-small": TOO_LITTLE,
    "recharge-declined": answer(TOO_LITTLE, "70"),
    "recharge-in-progress": answer(RECHARGE, "09"),
    "payment": PAYMENT,
    "payment-answer": answer(PAYMENT, "00", PAID),
    "reversal": REVERSAL,
    "reversal-repeated": IsoMessage(mti="0401", fields=REVERSAL.fields),
    "reversal-stands": answer(REVERSAL, "21", SOLD),
    "reversal-nothing-done": answer(REVERSAL, "00"),
    "reversal-advice": REVERSAL_ADVICE,
    "reversal-advice-answer": answer(REVERSAL_ADVICE, "25"),
    "cut-over": CUT_OVER,
    "cut-over-answer": answer(CUT_OVER, "00", {15: "1123"}),
    "key-asked": KEY_ASKED,
    "key-asked-answer": answer(KEY_ASKED, "00", key_offer_fields(KEY_ASKED, key_offer(MacScheme.X9_19, 4))),
    "key-given": KEY_GIVEN,
    "key-given-answer": answer(KEY_GIVEN, "00", KEY_TOLD),
    "terminal-totals": TERMINAL_TOTALS,
    "terminal-totals-agree": answer(TERMINAL_TOTALS, "00", DAY | {48: sub_elements(*OURS)}),
    "network-totals": NETWORK_TOTALS,
    "network-totals-differ": answer(NETWORK_TOTALS, "97", DAY | MORE),
    "advice": ADVICE,
    "advice-answer": answer(ADVICE, "00"),
    "advice-repeated": IsoMessage(mti="0221", fields=ADVICE.fields),
    "batch": BATCH,
    "batch-answer": answer(BATCH, "09", {48: sub_elements(*RESULTS)}),
    "last-answer": LAST_ANSWER,
    "last-answer-told": answer(LAST_ANSWER, "00", SOLD | {48: sub_elements(*ACCOUNT, *TOLD)}),
    "last-answer-named": LAST_ANSWER_NAMED,
    "last-answer-declined": answer(LAST_ANSWER_NAMED, "00", {48: sub_elements(*TOLD_DECLINED)}),
    "rejection": IsoMessage(mti="0620", fields={39: "30"}),
    **notice_examples(notice_1987, "00"),
}


def has_mac(message: IsoMessage) -> bool:
    """Network management but for the cut-over and the change of keys, and rejections, have none."""
    return message.mti[1] not in "68" or message.get(70) in ("201", "161")


def retail_mac(octets: bytes) -> bytes:
    """X9.19 by psec."""
    mac: bytes = generate_retail_mac(KEY[:8], KEY[8:], octets, 1, 8)
    return mac


def framed(message: IsoMessage) -> bytes:
    """Return a whole frame with TPDU and, where it belongs, a MAC by X9.19."""
    if has_mac(message):
        encoded = DATAFONO.encode(with_placeholder(message))
        encoded = splice_mac(encoded, retail_mac(covered(encoded)))
    else:
        encoded = DATAFONO.encode(message)
    is_answer = not message.is_request or message.mti == "0620"
    tpdu = REQUEST_TPDU.swapped() if is_answer else REQUEST_TPDU
    return write_frame(FrameStyle.BINARY_2, tpdu.octets + encoded)


def annotated(frame: bytes) -> str:
    """Write a frame as lines of octets, a semicolon, and what they are."""
    tpdu, octets = split_tpdu(frame[2:])
    lines = [(frame[:2], f"length {len(frame) - 2}"), (tpdu.octets, f"TPDU to {tpdu.destination} from {tpdu.source}")]
    return "".join(_wrapped(part, words) for part, words in [*lines, *_lines(octets)])


def _lines(octets: bytes) -> list[tuple[bytes, str]]:
    """Return the octets of a message part by part, with what they are; a record of a batch is a message, too."""
    parts, encoded = iso8583.decode(octets, SPEC)
    lines = [(encoded["t"]["data"], f"MTI {parts['t']}"), (encoded["p"]["data"], "bitmap")]
    if "1" in encoded:
        lines.append((encoded["1"]["data"], "bitmap, secondary"))
    for number, value in DATAFONO.decode(octets).fields.items():
        part = encoded[str(number)]
        shown = "MAC" if number in MAC_FIELDS else value
        length = f"length {part['len'].hex()}, " if part["len"] else ""
        if number in (48, 63):
            lines.append((part["len"], f"{number} {SPEC[str(number)]['notation']} {length.rstrip(', ')}"))
            lines += [
                (build_sub_elements([element]).encode("latin-1"), f"   {element.tag} {element.value}")
                for element in parse_sub_elements(value)
            ]
        elif number == RECORDS_ELEMENT:
            lines.append((part["len"], f"{number} {SPEC[str(number)]['notation']} {length.rstrip(', ')}"))
            for place, record in enumerate(read_records(value), start=1):
                lines.append((f"{len(record):03d}".encode(), f"   record {place}: {len(record)} octets"))
                lines += [(inner, f"   {words}") for inner, words in _lines(record)]
        else:
            lines.append((part["len"] + part["data"], f"{number} {SPEC[str(number)]['notation']} {length}{shown}"))
    return lines


def _wrapped(octets: bytes, words: str) -> str:
    rows = [octets[at : at + WIDTH].hex(" ").upper() for at in range(0, len(octets), WIDTH)]
    return "".join(
        f"{row:<{WIDTH * 3}}; {words if not at else '   ...'}".rstrip() + "\n" for at, row in enumerate(rows)
    )


def blocks() -> Iterator[tuple[str, str]]:
    """Yield name and text of each hex block of the document."""
    for _, name, text, _ in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        yield name, text


def octets_of(text: str) -> bytes:
    """Read the octets of a block; what stands behind a semicolon is for people."""
    return bytes.fromhex(" ".join(line.partition(";")[0] for line in text.splitlines()))


def test_the_document_shows_every_message_once() -> None:
    """Every example stands in the document, and no other hex does."""
    assert sorted(name for name, _ in blocks()) == sorted(EXAMPLES)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_hex_is_what_the_code_writes_and_reads(name: str) -> None:
    """Octets and words of a block are those of the code; both codecs read the message and write it again."""
    text = dict(blocks())[name]
    frame = octets_of(text)
    assert frame == framed(EXAMPLES[name])
    assert text == annotated(frame)
    assert FrameReader(FrameStyle.BINARY_2).receive(frame) == [Frame(frame[2:])]
    _, octets = split_tpdu(frame[2:])
    message = DATAFONO.decode(octets)
    assert message.without_fields(*MAC_FIELDS) == EXAMPLES[name]
    assert DATAFONO.encode(message) == ReferenceCodec(SPEC).encode(message) == octets
    assert describe(frame).error is None


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", [name for name, message in EXAMPLES.items() if has_mac(message)])
def test_the_macs_verify_with_another_library(name: str) -> None:
    """The MAC of each block verifies with psec and, block by block, with single DES of pycryptodome."""
    _, octets = split_tpdu(octets_of(dict(blocks())[name])[2:])
    sealed = split_mac(DATAFONO.decode(octets), octets)
    assert sealed.mac == retail_mac(sealed.covered) == worked(sealed.covered)[-1]


def worked(octets: bytes) -> list[bytes]:
    """X9.19 step by step: last block of the chain, after the right key, after the left key again."""
    last = DES.new(KEY[:8], DES.MODE_CBC, bytes(8)).encrypt(octets + bytes(-len(octets) % 8))[-8:]
    turned = DES.new(KEY[8:], DES.MODE_ECB).decrypt(last)
    return [last, turned, DES.new(KEY[:8], DES.MODE_ECB).encrypt(turned)]


def test_the_worked_macs_are_right() -> None:
    """The octets, the steps and both results in the document's example are computed here again."""
    text = DOCUMENT.read_text(encoding="utf-8")
    data = covered(DATAFONO.encode(with_placeholder(RECHARGE)))
    steps = worked(data)
    cmac = CMAC.new(KEY, data, ciphermod=AES).digest()
    for shown in (data, steps[0], steps[1], steps[2], cmac, cmac[:8]):
        assert shown.hex().upper() in text.replace("\n", "").replace(" ", ""), shown.hex()
    assert f"{len(data)} octets" in text
    assert KEY.hex().upper() in text


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_response_codes_are_those_that_are_sent() -> None:
    """The table of data element 39 has every code under its name, and no other."""
    assert {row[1]: row[0] for row in rows("Response codes (39)")} == {
        code.value: digits for code, digits in ISO_1987.items()
    }
    assert {row[1]: row[2] == "yes" for row in rows("Response codes (39)")} == {
        code.value: code.is_final for code in ISO_1987
    }


def test_the_field_table_is_that_of_the_dialect() -> None:
    """Every data element named in the document has the notation of the field table."""
    table = {row[0]: row[1] for row in rows("Data elements in use")}
    assert {number: SPEC[number]["notation"] for number in table} == table
    used = {str(number) for message in EXAMPLES.values() for number in message.fields} | {"64", "128"}
    assert set(table) == used


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    """Limits, timers, carried-back and digested elements are said as they are."""
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    defaults = {name: field.default for name, field in AcquirerSection.model_fields.items()}
    assert f"{FRAME_OCTETS_MAX_DEFAULT} octets" in text
    assert defaults["frame_octets_max"] == FRAME_OCTETS_MAX_DEFAULT
    for name, words in (
        ("frame_timeout_seconds", "within {} seconds of its first octet"),
        ("keep_alive_interval_seconds", "at most one in {} seconds"),
        ("idle_timeout_seconds", "{} seconds without a request"),
        ("answer_deadline_seconds", "within {} seconds of the request"),
    ):
        assert words.format(int(defaults[name])) in text, name
    assert f"elements {', '.join(map(str, ECHOED_FIELDS))}" in text
    assert f"elements {', '.join(map(str, DIGEST_FIELDS))}" in text
    assert f"elements {', '.join(map(str, TOTALS_DIGEST_FIELDS))}" in text
    assert f"at most {RECORDS_MAX} records" in text
    assert write_keep_alive(FrameStyle.BINARY_2).hex(" ") in text


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_the_keys_in_the_document_are_those_of_the_examples() -> None:
    """Zone key, session keys and check values that the text names; the wrapped key of element 96 opens with single DES of another call."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert ZONE_KEY.hex().upper() in text
    for name, generation in (("key-asked-answer", 4), ("key-given", 5)):
        key = SESSION_KEYS[generation]
        wrapped = bytes.fromhex(EXAMPLES[name].text(96))
        left, right = DES.new(ZONE_KEY[:8], DES.MODE_ECB), DES.new(ZONE_KEY[8:], DES.MODE_ECB)
        assert left.decrypt(right.encrypt(left.decrypt(wrapped))) == key
        assert key.hex().upper() in text
        left, right = DES.new(key[:8], DES.MODE_ECB), DES.new(key[8:], DES.MODE_ECB)
        kcv = left.encrypt(right.decrypt(left.encrypt(bytes(8))))[:3].hex().upper()
        assert f"CV {kcv}" in dict(blocks())[name]


def test_the_sums_of_the_examples_hold() -> None:
    """The ticket in the example adds up: money in is money out, and full cost is what was charged and the subsidy."""
    for name in ("recharge-answer", "trial-answer", "payment-answer"):
        elements = parse_sub_elements(EXAMPLES[name].text(63))
        one = {element.tag: int(element.value) for element in elements if element.tag not in ("BK", "TK")}
        taken = sum(int(element.value.split(";")[2]) for element in elements if element.tag == "TK")
        cut = [[int(part) for part in element.value.split(";")] for element in elements if element.tag == "BK"]
        assert one["PD"] + one["CI"] == taken + one["CH"] + one["CO"]
        assert one["CH"] + one["SB"] - one["CN"] == one["FC"]
        assert sum(block[0] for block in cut) == one["UN"]
        assert sum(block[0] * block[1] for block in cut) // 1000 == one["CH"]
        assert sum(block[0] * block[2] for block in cut) // 1000 == one["FC"]


def rewrite() -> None:
    """Write every hex block of the document from `EXAMPLES`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(
        BLOCK.sub(lambda found: found[1] + annotated(framed(EXAMPLES[found[2]])) + found[4], text), encoding="utf-8"
    )


if __name__ == "__main__":
    rewrite()
