"""Certification cases are data: each one is complete in itself, in both languages, and every answer that is not right is found."""

from datetime import UTC, datetime

import pytest

from config.acquirer import AcquirerSection
from config.sale import SaleSection
from messages.framing import write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac, with_placeholder
from messages.tpdu import Tpdu
from partner.case import Again, Ask, Case, Gets, Meter, Need, Terminal, Together, Wish, Words
from partner.cases import CASES
from partner.composer import Composer, Made, Sold
from partner.examiner import CaseResult, Outcome, Said
from partner.judge import Received, judge, read_answer
from partner.network import Partner, partner_of
from partner.report import Report, as_json, as_markdown, masked_hex
from partner.setting import Setting, asks_of
from pos.mac import signer
from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.response_code import ResponseCode
from vending.secret import Secret

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
IDENTITY = TerminalIdentity(
    terminal_id="V0000001",
    merchant_id="TIENDA000000001",
    nii="001",
    mac_scheme="X9.19",
    mac_key=Secret(bytes(range(16))),
)
SETTING = Setting(
    terminals=dict.fromkeys(Terminal, IDENTITY),
    meters=dict.fromkeys(Meter, "37000000002"),
    debt_centavos=Centavos(50_000_000),
    float_centavos=Centavos(100),
    may_cut_over=True,
)
PIN = "12345678901234567890"
DIALECTS = ("datafono", "recargas", "loteria")


def partner(dialect: str = "recargas", **keys: object) -> Partner:
    """A network of that dialect."""
    section = AcquirerSection.model_validate(
        {"id": "mired", "dialect": dialect, "listen_port": 0, "mac": {"register_id": 10}, **keys}
    )
    return partner_of(section, SaleSection(), lambda: NOW)


def made(ask: Ask, network: Partner, earlier: dict[str, Made] | None = None) -> Made:
    """The message of a step."""
    return Composer(network, SETTING, lambda: NOW, 41).make(ask, earlier or {}, Sold(day=NOW.date()))


def answer(request: Made, network: Partner, fields: dict[int, str], *, is_signed: bool = True) -> bytes:
    """A frame that answers *request* with its own elements and some more."""
    kept = {n: v for n, v in request.said.fields.items() if n in {2, 3, 4, 7, 11, 12, 13, 24, 41, 42, 70}}
    message = IsoMessage(mti=request.said.answer_mti, fields={**kept, **fields})
    form = network.wire.mac_form
    encoded = network.wire.codec.encode(with_placeholder(message) if is_signed else message)
    body = splice_mac(encoded, request.signer.sign(covered(encoded, form)), form) if is_signed else encoded
    return Tpdu(destination="0123", source="0001").octets + body if network.wire.has_tpdu else body


def read(frame: bytes, network: Partner) -> Received:
    """As the examiner reads it."""
    return read_answer(frame, network, Tpdu(destination="0001", source="0123"))


SALE = Ask(wish=Wish.RECHARGE, gets=Gets(code=ResponseCode.APPROVED, has=(15, 62), has_pins=True))


def faults(fields: dict[int, str], ask: Ask = SALE, dialect: str = "recargas", *, is_signed: bool = True) -> list[str]:
    """What the judge finds wrong with an answer to *ask*, in English."""
    network = partner(dialect)
    request = made(ask, network)
    received = read(answer(request, network, fields, is_signed=is_signed), network)
    found = judge(request.said, received, ask.gets, network, signer("X9.19", IDENTITY.mac_key), {})
    return [each.en for each in found]


def test_ids_are_used_once_and_every_text_is_there_twice() -> None:
    """A report names a case by its id for ever, in Spanish and in English."""
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        for words in (case.title, case.why):
            assert words.es
            assert words.en
            assert words.es != words.en
        assert case.steps


def test_a_case_names_only_what_it_made_before() -> None:
    """What a step is about stands in an earlier step of the same case; an unknown name could never be sent."""
    for case in CASES:
        names: set[str] = set()
        for ask in asks_of(case):
            assert ask.of in {*names, ""}, case.id
            assert {ask.gets.same_as, ask.gets.pins_of} <= {*names, ""}, case.id
            names.add(ask.name)


def test_a_case_asks_for_what_its_steps_use() -> None:
    """A meter or terminal that may be missing is a need of the case that uses it: else it would fail where it must be skipped."""
    wanted = {
        Meter.BLOCKED: Need.BLOCKED_METER,
        Meter.OWING: Need.OWING_METER,
        Meter.CLEAR: Need.CLEAR_METER,
        Terminal.BLOCKED: Need.BLOCKED_TERMINAL,
        Terminal.UNKNOWN: Need.UNKNOWN_TERMINAL,
        Terminal.SPEAKER: Need.SPEAKER,
    }
    for case in CASES:
        for ask in asks_of(case):
            for used in (ask.meter, ask.terminal):
                assert used not in wanted or wanted[used] in case.needs, case.id


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_message_of_every_case_can_be_made_in_every_dialect(dialect: str) -> None:
    """No case waits for a live port to find that its message cannot be written; those that must be readable are."""
    network = partner(dialect, sells={"services": ["energy", "water"]}, reversal_policy="stands")
    for case in CASES:
        if Need.BATCHES in case.needs and not network.speech.has_batches:
            continue
        earlier: dict[str, Made] = {}
        for ask in asks_of(case):
            request = made(ask, network, earlier)
            if ask.name:
                earlier[ask.name] = request
            if not ask.cut:
                assert network.wire.codec.decode(request.body).mti == request.said.mti


def test_an_answer_that_is_right_has_no_fault() -> None:
    """Code, MAC, elements and PIN as they must be, in the packing of each dialect."""
    fields = {15: "1124", 39: "00", 62: PIN}
    assert faults(fields) == []
    assert faults(fields, dialect="datafono") == []
    of_1993 = {28: "261124", 39: "000", 62: PIN}
    assert faults(of_1993, dialect="loteria") == []


@pytest.mark.parametrize(
    ("fields", "is_signed", "words"),
    [
        ({15: "1124", 39: "14", 62: PIN}, True, "element 39 is 14 (meter_unknown); it must be 00 (approved)"),
        ({15: "1124", 39: "ZZ", 62: PIN}, True, "element 39 is ZZ; it must be 00 (approved)"),
        ({39: "00", 62: PIN}, True, "element 15 is missing"),
        ({15: "1124", 39: "00", 62: PIN}, False, "no MAC"),
        ({15: "1124", 39: "00", 62: PIN[:19]}, True, "element 62 is not PINs of 20 digits"),
        ({15: "1124", 39: "00", 62: PIN, 4: "000000000001"}, True, "element 4 is not the request's"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[int, str], is_signed: bool, words: str) -> None:
    """Each fault has its own line; one fault does not hide as another."""
    assert faults(fields, is_signed=is_signed) == [words]


def test_a_mac_of_another_key_is_found() -> None:
    """An answer that somebody else signed is no answer."""
    network = partner()
    request = made(SALE, network)
    received = read(answer(request, network, {15: "1124", 39: "00", 62: PIN}), network)
    stranger = signer("X9.19", Secret(bytes(16)))
    found = judge(request.said, received, SALE.gets, network, stranger, {})
    assert [each.es for each in found] == ["el MAC es falso"]


def test_a_repeat_must_get_the_same_octets_and_a_reversal_the_same_pins() -> None:
    """Compared with the first answer, octet by octet."""
    network = partner()
    request = made(SALE, network)
    first = read(answer(request, network, {15: "1124", 39: "00", 62: PIN}), network)
    second = read(answer(request, network, {15: "1124", 39: "00", 62: PIN[::-1]}), network)
    terminal = signer("X9.19", IDENTITY.mac_key)
    same, pins = Gets(code=ResponseCode.APPROVED, same_as="sale"), Gets(code=ResponseCode.APPROVED, pins_of="sale")
    assert judge(request.said, first, same, network, terminal, {"sale": first}) == []
    assert len(judge(request.said, second, same, network, terminal, {"sale": first})) == 1
    assert len(judge(request.said, second, pins, network, terminal, {"sale": first})) == 1


def test_a_spelling_that_was_agreed_on_is_what_must_come() -> None:
    """A network's own response codes are right, and the dialect's are then wrong."""
    network = partner(response_codes={"meter_unknown": "15"})
    assert network.spelled(ResponseCode.METER_UNKNOWN, "0200") == "15"
    assert network.code_named("15") == "meter_unknown"
    approved_advice = partner("loteria").spelled(ResponseCode.APPROVED, "1220")
    assert approved_advice == "900"


def test_a_turned_tpdu_is_looked_at() -> None:
    """An answer that a concentrator could not lead back is a fault."""
    network = partner("datafono")
    request = made(SALE, network)
    frame = answer(request, network, {15: "1124", 39: "00", 62: PIN})
    astray = frame[:1] + frame[3:5] + frame[1:3] + frame[5:]
    assert not read(frame, network).faults
    assert [each.en for each in read(astray, network).faults] == ["the TPDU goes to 0001 from 0123, not to 0123"]


def test_a_case_is_skipped_where_something_is_missing_and_says_what() -> None:
    """No blocked meter, no case with one; and nothing is held against the network for it."""
    case = next(case for case in CASES if case.id == "RE-02")
    bare = Setting(terminals={Terminal.ORDINARY: IDENTITY}, meters={Meter.GOOD: "37000000002"})
    assert bare.missing(case, partner()) == [Need.BLOCKED_METER]
    assert SETTING.missing(case, partner()) == []


def _report(outcome: Outcome, network: Partner, said: tuple[Said, ...] = ()) -> Report:
    case = Case(id="XX-01", title=Words("uno", "one"), why=Words("por esto", "for this"), steps=(Together(asks=()),))
    result = CaseResult(
        case=case, outcome=outcome, faults=(Words("falla", "fails"),) if outcome is Outcome.FAILED else (), said=said
    )
    return Report(partner=network, address="127.0.0.1:1", at=NOW, version="1", results=(result,))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_report_shows_octets_and_no_pin(dialect: str) -> None:
    """What went over the line of a failed case is there in hexadecimal, the PIN's octets masked, in the page and as data."""
    network = partner(dialect)
    request = made(SALE, network)
    code = {28: "261124", 39: "000"} if dialect == "loteria" else {15: "1124", 39: "00"}
    octets = write_frame(network.wire.frame_style, answer(request, network, {**code, 62: PIN}))
    report = _report(Outcome.FAILED, network, (Said(is_sent=False, octets=octets),))
    shown = masked_hex(report.results[0].said[0], network)
    assert shown.count("**") == 20
    assert PIN.encode().hex(" ").upper() not in shown
    page = as_markdown(report, "es")
    assert "NO CERTIFICADA" in page
    assert "| XX-01 | uno | FALLA: falla | 0 |" in page
    assert page.count("**") >= 20
    assert "NOT CERTIFIED" in as_markdown(report, "en")
    data = as_json(report, "en")
    assert (data["is_certified"], data["cases"][0]["octets"][0]["hex"]) == (False, shown)


def test_what_cannot_be_read_is_masked_wherever_a_pin_could_be() -> None:
    """A broken answer may hold a PIN anywhere."""
    shown = masked_hex(Said(is_sent=False, octets=b"\x00\x20junk" + PIN.encode() + b"\xff"), partner("datafono"))
    assert shown.count("**") == 20


def test_nothing_tried_is_not_certified() -> None:
    """Only skipped cases prove nothing."""
    assert not _report(Outcome.SKIPPED, partner()).is_certified
    assert _report(Outcome.PASSED, partner()).is_certified


def test_a_repeat_differs_in_its_mti_only_and_a_copy_in_nothing() -> None:
    """The forms in which a case sends a request again."""
    network = partner()
    first = made(SALE, network)
    again = Ask(wish=Wish.RECHARGE, gets=SALE.gets, of="sale", again=Again.REPEAT)
    copy = Ask(wish=Wish.RECHARGE, gets=SALE.gets, of="sale", again=Again.COPY)
    repeated = made(again, network, {"sale": first})
    assert (repeated.said.mti, repeated.said.fields) == ("0201", first.said.fields)
    assert made(copy, network, {"sale": first}).body == first.body
