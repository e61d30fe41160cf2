"""The table of docs/exactly-once.md, case by case, over TCP against real processes."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from pos import requests
from pos.requests import Moment
from tests.flows.conftest import Books
from tests.flows.raw_terminal import RawTerminal

OpenTerminal = Callable[..., RawTerminal]
TERMINAL = "T0000240"
PAID = 1_000_000
NOT_FINAL = "09"


@pytest.fixture
def terminal(open_terminal: OpenTerminal) -> RawTerminal:
    """A terminal of these tests."""
    return open_terminal(TERMINAL)


@pytest.fixture(autouse=True)
def _agree(books: Books) -> Iterator[None]:
    """Whatever came, the books agree and nothing is left open."""
    yield
    assert books.differences() == []
    assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0


def _meter(books: Books, index: int) -> str:
    where = "service = 0 AND status = 'active'"
    return str(
        books.value(f"SELECT meter_number FROM meter WHERE {where} ORDER BY id OFFSET :index LIMIT 1", index=index)
    )


def _moment(stan: str, **ago: int) -> Moment:
    """A moment of the terminal's own clock."""
    now = datetime.now(UTC)  # noqa: TID251 - a terminal has a clock of its own
    return Moment(stan=stan, transmitted_at=now - timedelta(**ago))


def _recharge(terminal: RawTerminal, moment: Moment, meter: str, paid: int = PAID) -> IsoMessage:
    return requests.recharge(terminal.identity, moment, meter_number=meter, paid_centavos=paid)  # type: ignore[arg-type]


def _final(terminal: RawTerminal, message: IsoMessage) -> bytes:
    """Ask as a terminal does: 09 is not final, so the repeat follows; return the octets of the final answer."""
    for _ in range(30):
        answer = terminal.ask_raw(terminal.seal(message))
        if DATAFONO.decode(answer).text(39) != NOT_FINAL:
            return answer
        message = requests.as_repeat(message)
    raise AssertionError("no final answer")


def _code(answer: bytes) -> str:
    return DATAFONO.decode(answer).text(39)


def _sales(books: Books, stan: str) -> int:
    return int(
        books.value(
            "SELECT count(*) FROM sale WHERE stan = :stan AND terminal_code = :terminal AND state = 'posted'",
            stan=stan,
            terminal=TERMINAL,
        )
    )


def test_the_repeat_before_the_original(terminal: RawTerminal, books: Books) -> None:
    """The network changed them over: the 0201 sells, the 0200 that comes behind it gets the same octets."""
    message = _recharge(terminal, _moment("100001"), _meter(books, 50))
    repeat = _final(terminal, requests.as_repeat(message))
    assert _code(repeat) == "00"
    assert terminal.ask_raw(terminal.seal(message)) == repeat
    assert _sales(books, "100001") == 1


def test_a_plain_0200_as_the_repeat(terminal: RawTerminal, books: Books) -> None:
    """A terminal that knows no 0201 gets the stored answer all the same."""
    message = _recharge(terminal, _moment("100002"), _meter(books, 51))
    first = _final(terminal, message)
    assert _code(first) == "00"
    assert [terminal.ask_raw(terminal.seal(message)) for _ in range(3)] == [first] * 3
    assert _sales(books, "100002") == 1


def test_copies_at_once_on_two_connections(terminal: RawTerminal, open_terminal: OpenTerminal, books: Books) -> None:
    """However they race, there is one sale, and every copy gets the same octets."""
    others = [terminal, open_terminal(TERMINAL)]
    for stan in range(100010, 100020):
        message = _recharge(terminal, _moment(f"{stan}"), _meter(books, 52))
        bodies = terminal.seal(message), terminal.seal(requests.as_repeat(message))
        for number in range(6):
            others[number % 2].send_body(bodies[number // 2 % 2])
        answers = {others[number % 2].read_body() for number in range(6)}
        final = _final(terminal, message)
        assert _code(final) == "00"
        assert {answer for answer in answers if _code(answer) != NOT_FINAL} <= {final}
        assert _sales(books, f"{stan}") == 1


def test_two_terminals_with_one_id_at_the_same_second_with_the_same_trace_number(
    terminal: RawTerminal, open_terminal: OpenTerminal, books: Books
) -> None:
    """Other content under one key: one of them is sold, the other is told 94, and its repeat too."""
    twin, moment = open_terminal(TERMINAL), _moment("100030")
    mine = _recharge(terminal, moment, _meter(books, 53))
    theirs = _recharge(twin, moment, _meter(books, 54), 2 * PAID)
    terminal.send_body(terminal.seal(mine))
    twin.send_body(twin.seal(theirs))
    terminal.read_body()
    twin.read_body()
    codes = [_code(_final(terminal, requests.as_repeat(mine))), _code(_final(twin, requests.as_repeat(theirs)))]
    assert sorted(codes) == ["00", "94"]
    assert _sales(books, "100030") == 1


def test_two_terminals_with_one_id_a_second_apart(
    terminal: RawTerminal, open_terminal: OpenTerminal, books: Books
) -> None:
    """Another time is another request: two sales, each with its own answer."""
    twin = open_terminal(TERMINAL)
    mine = _recharge(terminal, _moment("100031", seconds=1), _meter(books, 55))
    theirs = _recharge(twin, _moment("100031"), _meter(books, 56))
    first, second = _final(terminal, mine), _final(twin, theirs)
    assert (_code(first), _code(second)) == ("00", "00")
    assert DATAFONO.decode(first).text(62) != DATAFONO.decode(second).text(62)
    assert _sales(books, "100031") == 2
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(mine))) == first


def test_a_terminal_that_begins_its_trace_numbers_anew(terminal: RawTerminal, books: Books) -> None:
    """The same number at another time is a new sale; at the same time with other content it is a conflict, and the first stands."""
    meter = _meter(books, 57)
    old = _recharge(terminal, _moment("100040", days=3), meter)
    assert _code(_final(terminal, old)) == "00"
    moment = _moment("100040")
    fresh = _recharge(terminal, moment, meter)
    sold = _final(terminal, fresh)
    assert _code(sold) == "00"
    assert _code(_final(terminal, _recharge(terminal, moment, meter, 3 * PAID))) == "94"
    assert _code(_final(terminal, _recharge(terminal, moment, _meter(books, 58)))) == "94"
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(fresh))) == sold
    assert _sales(books, "100040") == 2


def test_a_copy_that_comes_days_late(terminal: RawTerminal, books: Books) -> None:
    """A request of 40 days ago by its own clock: sold once, and its copies are answered from the journal."""
    message = _recharge(terminal, _moment("100041", days=40), _meter(books, 59))
    first = _final(terminal, message)
    assert _code(first) == "00"
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(message))) == first
    assert _sales(books, "100041") == 1


@pytest.mark.parametrize("days", [-365, 365, -150, 150, 1])
def test_a_terminal_whose_clock_is_wrong(days: int, terminal: RawTerminal, books: Books) -> None:
    """A year off looks like now, months off or a step back give a key of their own: one sale each, and its repeat finds it."""
    stan = f"{200_500 + days}"
    message = _recharge(terminal, _moment(stan, days=days), _meter(books, 60))
    first = _final(terminal, message)
    assert _code(first) == "00"
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(message))) == first
    assert _sales(books, stan) == 1


def test_a_clock_that_steps_back_onto_an_old_trace_number(terminal: RawTerminal, books: Books) -> None:
    """The same time and number come a second time: with other content 94, with the same content the first answer, never a second sale."""
    moment = _moment("100050", hours=1)
    first = _final(terminal, _recharge(terminal, moment, _meter(books, 61)))
    assert _code(first) == "00"
    assert _final(terminal, _recharge(terminal, moment, _meter(books, 61))) == first
    assert _code(_final(terminal, _recharge(terminal, moment, _meter(books, 62)))) == "94"
    assert _sales(books, "100050") == 1
