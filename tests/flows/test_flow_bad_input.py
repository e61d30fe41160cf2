"""Everything that can be wrong with what comes in: the documented code, one log line, one count, and no money."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from cli import context
from messages.codec import DATAFONO
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from pos import requests
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import TPDU, RawTerminal
from town.generate import DEMO_METER_NUMBER


@dataclass(frozen=True)
class Wish:
    """A request that must be refused: how it differs from a good one, and what it gets."""

    name: str
    digits: str
    code: str
    changes: dict[int, str]
    meter: str = ""
    terminal_id: str = "T0000001"
    mti: str = "0200"


WISHES = [
    Wish("unknown meter", "14", "meter_unknown", {2: "37999999999"}),
    Wish("meter number of another length", "14", "meter_unknown", {2: "12345"}),
    Wish("blocked meter", "62", "meter_blocked", {}, meter="m.status = 'blocked'"),
    Wish("water on an energy meter", "56", "wrong_service", {3: "500200"}),
    Wish("zero", "13", "amount_invalid", {4: "000000000000"}),
    Wish("below the minimum", "70", "amount_below_minimum", {4: "000000000100"}),
    Wish("above the maximum", "61", "amount_above_maximum", {4: "099999999999"}),
    Wish("unknown obligation", "76", "unknown_obligation", {48: "VO004nopeVA006100000"}),
    Wish("half a voluntary payment", "30", "format_error", {48: "VO004nope"}),
    Wish("malformed sub-element", "30", "format_error", {48: "VO9"}),
    Wish("unserved processing code", "12", "unsupported_processing_code", {3: "010000"}),
    Wish("unserved service digits", "12", "unsupported_processing_code", {3: "500900"}),
    Wish("no such day", "30", "format_error", {7: "1340000000"}),
    Wish("unserved MTI", "40", "unsupported_message", {}, mti="0300"),
    Wish("unknown terminal", "03", "terminal_unknown", {41: "T9999999"}, terminal_id="T9999999"),
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: wish.name)
def test_a_refusal_has_its_code_one_line_one_count_and_no_cost(
    wish: Wish, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """Each refusal is answered on the open link with the caller's own fields and a right MAC."""
    terminal = open_terminal(wish.terminal_id)
    number = books.meter(wish.meter) if wish.meter else DEMO_METER_NUMBER
    good = terminal.recharge(number, 2_000_000)
    message = IsoMessage(mti=wish.mti, fields={**good.fields, **wish.changes})
    before = books.float_centavos()
    counted = monitor.sample("eudora_requests_total", mti=wish.mti, code=wish.code)
    answer = terminal.ask(message)
    assert answer.text(39) == wish.digits
    assert answer.text(11) == message.text(11)
    assert answer.text(41) == message.text(41)
    assert 62 not in answer
    assert books.float_centavos() == before
    # An MTI that we do not serve has no label of its own.
    if wish.mti == "0200":
        assert monitor.sample("eudora_requests_total", mti=wish.mti, code=wish.code) == counted + 1
    lines = monitor.log_lines(stan=message.text(11))
    assert [line["code"] for line in lines] == [wish.code]
    echo = requests.network(terminal.identity, terminal.moment(), requests.ECHO)
    assert terminal.ask_body(DATAFONO.encode(echo)).text(39) == "00", "the link lives"


def test_a_blocked_terminal_sells_nothing(open_terminal: Callable[..., RawTerminal], books: Books) -> None:
    """A terminal that the utility blocked gets 58."""
    code = books.value(
        "SELECT t.code FROM terminal AS t JOIN acquirer AS a ON a.id = t.acquirer_id "
        "WHERE a.code = :network AND t.status = 'blocked' LIMIT 1",
        network=context.ACQUIRER_ID,
    )
    assert code is not None
    terminal = open_terminal(str(code))
    assert terminal.ask(terminal.recharge(DEMO_METER_NUMBER, 2_000_000)).text(39) == "58"


def test_a_float_that_is_short_sells_nothing(terminal: RawTerminal, books: Books, monitor: Monitor) -> None:
    """A network whose deposit is used up gets 51, and the refusal is kept: the repeat gets the same octets."""
    available = books.float_centavos()
    account = "UPDATE account SET pending_centavos = pending_centavos + :taken WHERE code = 'float:datafonos'"
    with context.engine().begin() as connection:
        connection.execute(text(account), {"taken": available - 999_999})
    try:
        message = terminal.recharge(DEMO_METER_NUMBER, 1_000_000)
        first = terminal.ask_raw(terminal.seal(message))
        assert DATAFONO.decode(first).text(39) == "51"
        assert books.float_centavos() == 999_999
        assert monitor.sample("eudora_requests_total", mti="0200", code="float_short") >= 1
    finally:
        with context.engine().begin() as connection:
            connection.execute(text(account), {"taken": 999_999 - available})
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(message))) == first
    assert books.differences() == []


def test_a_wrong_mac_sells_nothing(
    open_terminal: Callable[..., RawTerminal], terminal: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """A message under another terminal's key, or with one bit changed, or without a MAC, gets 63."""
    before = books.float_centavos()
    stranger = open_terminal("T0000002", key_of="T0000003")
    message = stranger.recharge(DEMO_METER_NUMBER, 2_000_000)
    assert DATAFONO.decode(stranger.ask_raw(stranger.seal(message))).text(39) == "63"
    assert monitor.sample("eudora_requests_total", code="mac_mismatch") >= 1
    sealed = bytearray(terminal.seal(terminal.recharge(DEMO_METER_NUMBER, 2_000_000)))
    sealed[-1] ^= 1
    assert DATAFONO.decode(terminal.ask_raw(bytes(sealed))).text(39) == "63"
    bare = DATAFONO.encode(terminal.recharge(DEMO_METER_NUMBER, 2_000_000))
    assert DATAFONO.decode(terminal.ask_raw(bare)).text(39) == "63"
    assert books.float_centavos() == before


def test_a_message_cut_short_is_a_format_error(terminal: RawTerminal) -> None:
    """Half a message in a whole frame gets 30 and the link lives."""
    sealed = terminal.seal(terminal.recharge(DEMO_METER_NUMBER, 2_000_000))
    answer = DATAFONO.decode(terminal.ask_raw(sealed[:40]))
    assert answer.text(39) == "30"
    assert terminal.ask(terminal.recharge(DEMO_METER_NUMBER, 1_000_000)).text(39) == "00"


def test_two_frames_and_a_cut_one_in_three_writes(terminal: RawTerminal) -> None:
    """Frames are found wherever the stream is cut."""
    frames = b"".join(
        write_frame(FrameStyle.BINARY_2, TPDU + terminal.seal(terminal.recharge(DEMO_METER_NUMBER, 1_000_000)))
        for _ in range(2)
    )
    terminal.send_octets(frames[:100])
    terminal.send_octets(frames[100:101])
    terminal.send_octets(frames[101:])
    assert [DATAFONO.decode(terminal.read_body()).text(39) for _ in range(2)] == ["00", "00"]


def test_signing_on_and_echo_are_answered(terminal: RawTerminal) -> None:
    """0800 with 001, 301 and 002 gets 0810 with 00; another network code gets 12."""
    for code, expected in (("001", "00"), ("301", "00"), ("002", "00"), ("999", "12")):
        message = IsoMessage(mti="0800", fields={7: "1123160000", 11: "000001", 41: "T0000001", 70: code})
        answer = terminal.ask_body(DATAFONO.encode(message))
        assert (answer.mti, answer.text(39), answer.text(70)) == ("0810", expected, code)
