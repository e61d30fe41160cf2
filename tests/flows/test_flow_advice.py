"""Delivery advices and last answers over real sockets, a real ledger and a real module."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from cli import context
from cli.pos import pos
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from town.generate import DEMO_METER_NUMBER

PAID_CENTAVOS = 1_000_000
Open = Callable[..., RawTerminal]


def _advice(terminal: RawTerminal, sale: IsoMessage) -> IsoMessage:
    return requests.advice(terminal.identity, terminal.moment(), sale)


def _last(terminal: RawTerminal, sale: IsoMessage | None = None) -> IsoMessage:
    """Ask for the last answer."""
    return terminal.ask(requests.last_answer(terminal.identity, terminal.moment(), sale))


def _told(answer: IsoMessage, *tags: str) -> list[str | None]:
    elements = parse_sub_elements(answer.text(48))
    return [first_value(elements, tag) for tag in tags]


def _confirmed(books: Books, sale: IsoMessage, terminal: RawTerminal) -> int:
    return int(
        books.value(
            "SELECT count(*) FROM confirmation c JOIN sale s ON s.id = c.sale_id WHERE s.stan = :stan AND s.terminal_code = :terminal",
            stan=sale.text(11),
            terminal=terminal.identity.terminal_id,
        )
    )


@pytest.fixture
def asker(open_terminal: Open) -> RawTerminal:
    """A terminal that no other test uses."""
    return open_terminal("T0000210")


def test_a_lost_answer_is_told_again_with_the_same_digits_and_counted(
    open_terminal: Open, asker: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """The link dies after the request; on a new one the last answer has what the repeat would have, and a row for each time."""
    sale = asker.recharge(DEMO_METER_NUMBER, PAID_CENTAVOS)
    asker.send_body(asker.seal(sale))
    asker.close()
    again = open_terminal("T0000210")
    counted = monitor.sample("eudora_reprints_total")
    answer = _last(again, sale)
    while answer.text(39) in ("09", "25"):
        answer = _last(again, sale)
    repeated = again.ask(requests.as_repeat(sale))
    assert [answer.text(number) for number in (38, 39, 62, 63)] == [repeated.text(n) for n in (38, 39, 62, 63)]
    assert _told(answer, "OS", "OT", "OR", "OC") == [sale.text(11), sale.text(7), repeated.text(37), "00"]
    unnamed = _last(again)
    assert unnamed.text(62) == answer.text(62)
    # On a busy machine an answer may have come after its deadline; it was counted all the same.
    (first,), (second,) = _told(answer, "RP"), _told(unnamed, "RP")
    assert 1 <= int(first or 0) < int(second or 0)
    rows = books.value(
        "SELECT count(*) FROM reprint r JOIN sale s ON s.id = r.sale_id WHERE s.stan = :stan AND r.terminal_code = 'T0000210'",
        stan=sale.text(11),
    )
    assert rows == int(second or 0)
    assert monitor.sample("eudora_reprints_total") - counted == rows
    assert answer.text(62) not in str(monitor.log_lines())
    assert books.differences() == []


def test_a_declined_sale_is_told_by_name(asker: RawTerminal) -> None:
    """00 with the original's own code, and no digits."""
    sale = asker.recharge(DEMO_METER_NUMBER, 1_000)
    assert asker.ask(sale).text(39) == "70"
    answer = _last(asker, sale)
    assert (answer.text(39), _told(answer, "OC")) == ("00", ["70"])
    assert 62 not in answer


def test_an_advice_confirms_once(asker: RawTerminal, books: Books) -> None:
    """Twice the same octets, two advices, one confirmation; the books agree."""
    sale = asker.recharge(DEMO_METER_NUMBER, PAID_CENTAVOS)
    assert asker.ask(sale).text(39) == "00"
    advice = _advice(asker, sale)
    first = asker.ask_raw(asker.seal(advice))
    assert DATAFONO.decode(first).text(39) == "00"
    assert DATAFONO.decode(first).mti == "0230"
    assert asker.ask_raw(asker.seal(requests.as_repeat(advice))) == first
    assert asker.ask(_advice(asker, sale)).text(39) == "00"
    assert _confirmed(books, sale, asker) == 1
    assert books.differences() == []


def test_an_advice_before_its_sale_bars_nothing(asker: RawTerminal, books: Books) -> None:
    """It finds nothing, the sale is sold all the same, and the next advice confirms it."""
    sale = asker.recharge(DEMO_METER_NUMBER, PAID_CENTAVOS)
    early = _advice(asker, sale)
    assert asker.ask(early).text(39) == "25"
    assert asker.ask(sale).text(39) == "00"
    assert asker.ask(requests.as_repeat(early)).text(39) == "25"
    assert _confirmed(books, sale, asker) == 0
    assert asker.ask(_advice(asker, sale)).text(39) == "00"
    assert _confirmed(books, sale, asker) == 1


def test_another_terminals_sale_is_neither_confirmed_nor_told(
    open_terminal: Open, asker: RawTerminal, books: Books
) -> None:
    """Element 90 means the asking terminal's own sale, whoever asks."""
    sale = asker.recharge(DEMO_METER_NUMBER, PAID_CENTAVOS)
    assert asker.ask(sale).text(39) == "00"
    stranger = open_terminal("T0000211")
    assert stranger.ask(_advice(stranger, sale)).text(39) == "25"
    assert _last(stranger, sale).text(39) == "25"
    assert _last(stranger).text(39) == "25"
    assert _confirmed(books, sale, asker) == 0
    assert books.differences() == []


def test_the_till_prints_a_copy_and_advises(books: Books) -> None:
    """`eudora pos sell` confirms what it printed, and `last` prints the same PIN marked COPIA, in either language."""
    run = CliRunner()
    sold = run.invoke(pos, ["sell", "--meter", DEMO_METER_NUMBER, "--amount", "10000", "--terminal", "T0000212"])
    assert sold.exit_code == 0, sold.output
    store = context.terminal("T0000212")
    assert store.sale is not None
    assert list(store.advices) == []
    stan = DATAFONO.decode(store.sale.request).text(11)
    confirmed = "SELECT count(*) FROM confirmation c JOIN sale s ON s.id = c.sale_id WHERE s.stan = :stan AND s.terminal_code = 'T0000212'"
    assert books.value(confirmed, stan=stan) == 1
    (pin,) = [line.strip("│║| ") for line in sold.output.splitlines() if line.count(" ") and _is_pin(line)]
    copy = run.invoke(pos, ["last", "--terminal", "T0000212"])
    english = run.invoke(pos, ["last", "--terminal", "T0000212", "--language", "en"])
    assert ("COPIA 1" in copy.output, "COPY 2" in english.output) == (True, True), copy.output + english.output
    assert pin in copy.output
    assert pin in english.output
    assert "COPIA" not in sold.output
    assert books.differences() == []


def _is_pin(line: str) -> bool:
    words = line.strip("│║| ").split()
    return len(words) == 5 and all(len(word) == 4 and word.isdigit() for word in words)
