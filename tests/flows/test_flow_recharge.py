"""Whole recharges over TCP, with everything real."""

from collections.abc import Callable
from datetime import UTC, datetime

from cli.meter import open_meter
from messages.codec import DATAFONO
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from pos.answers import read_pins
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from town.generate import DEMO_METER_NUMBER

ENERGY_METER = "m.service = 0 AND m.status = 'active' AND m.held_by IS NULL"


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251


def test_a_recharge_is_accepted_once_by_its_meter_only(terminal: RawTerminal, books: Books) -> None:
    """The PIN of 20 000 pesos opens on the customer's meter once, and on no other."""
    before = books.float_centavos()
    answer = terminal.ask(terminal.recharge(DEMO_METER_NUMBER, 2_000_000))
    assert answer.text(39) == "00"
    (pin,) = read_pins(answer)
    meter = open_meter(DEMO_METER_NUMBER)
    units = int(first_value(parse_sub_elements(answer.text(63)), "UN") or 0)
    first = meter.enter(pin.reveal(), at=_now())
    assert (first.result.value, first.credit_added_tenths) == ("Accept", units)
    assert meter.enter(pin.reveal(), at=_now()).result.value == "UsedError"
    other = open_meter(books.meter(f"{ENERGY_METER} AND meter_number <> '{DEMO_METER_NUMBER}'"))
    assert other.enter(pin.reveal(), at=_now()).result.value == "CRCError"
    assert books.float_centavos() == before - 2_000_000
    assert books.differences() == []


def test_the_answer_carries_the_callers_own_fields_back(terminal: RawTerminal, books: Books) -> None:
    """Fields 2, 3, 4, 7, 11, 12, 13, 24, 37, 41 and 42 come back unchanged, so that any terminal finds its request."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_000_000).with_fields({37: "ABC123456789"})
    answer = terminal.ask(message)
    assert answer.mti == "0210"
    for number in (2, 3, 4, 7, 11, 12, 13, 24, 37, 41, 42):
        assert answer.get(number) == message.get(number), number


def test_a_repeat_gets_the_first_answer_byte_for_byte(
    terminal: RawTerminal, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """0201 with the same key, on the same or a new connection, sells nothing and says exactly the same."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_500_000)
    first = terminal.ask_raw(terminal.seal(message))
    before = books.float_centavos()
    replays = monitor.sample("eudora_replays_answered_total")
    repeat = terminal.seal(requests.as_repeat(message))
    assert terminal.ask_raw(repeat) == first
    assert open_terminal().ask_raw(repeat) == first
    assert open_terminal().ask_raw(terminal.seal(message)) == first
    assert books.float_centavos() == before
    assert monitor.sample("eudora_replays_answered_total") == replays + 3


def test_a_repeat_that_overtakes_its_answer_waits_for_it(
    terminal: RawTerminal, open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """The original and its repeat sent at once on two connections get one sale and equal answers."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_700_000)
    before = books.float_centavos()
    second = open_terminal()
    terminal.send_body(terminal.seal(message))
    second.send_body(terminal.seal(requests.as_repeat(message)))
    assert terminal.read_body() == second.read_body()
    assert books.float_centavos() == before - 1_700_000


def test_the_same_key_with_other_content_is_refused(terminal: RawTerminal, books: Books) -> None:
    """A request that reuses time and STAN for another amount gets 94, and the first answer stays what it was."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_000_000)
    first = terminal.ask_raw(terminal.seal(message))
    before = books.float_centavos()
    other = terminal.ask(message.with_fields({4: "000001100000"}))
    assert other.text(39) == "94"
    assert terminal.ask_raw(terminal.seal(message)) == first
    assert books.float_centavos() == before


def test_an_inquiry_names_the_customer_and_tries_the_sale(terminal: RawTerminal, books: Books) -> None:
    """0100 shows holder, stratum and debt, and with an amount the same quote that the sale then makes; it costs nothing."""
    number = books.meter(ENERGY_METER)
    before = books.float_centavos()
    inquiry = requests.inquiry(
        terminal.identity,
        terminal.moment(),
        meter_number=number,
        trial_centavos=2_000_000,  # type: ignore[arg-type]
    )
    inquired = terminal.ask(inquiry)
    assert (inquired.mti, inquired.text(39)) == ("0110", "00")
    account = parse_sub_elements(inquired.text(48))
    assert first_value(account, "HN")
    assert first_value(account, "MT") == number
    assert 62 not in inquired
    assert books.float_centavos() == before
    sold = terminal.ask(terminal.recharge(number, 2_000_000))
    tried, done = parse_sub_elements(inquired.text(63)), parse_sub_elements(sold.text(63))
    assert [line for line in done if line.tag != "RC"] == list(tried)


def test_a_payment_without_a_token_lowers_the_debt(terminal: RawTerminal, books: Books) -> None:
    """0200 with 53 takes money for obligations only: no PIN, and the debt is smaller by exactly that."""
    owes = "obligation o WHERE o.meter_id = m.id AND o.kind = 'obligation' AND NOT o.disputed AND o.capital_centavos > 500000"
    number = books.meter(f"{ENERGY_METER} AND EXISTS (SELECT 1 FROM {owes})")
    debt = "SELECT sum(o.capital_centavos + o.interest_centavos) FROM obligation o JOIN meter m ON m.id = o.meter_id WHERE m.meter_number = :n"
    before = books.value(debt, n=number)
    payment = requests.payment(
        terminal.identity,
        terminal.moment(),
        meter_number=number,
        paid_centavos=100_000,  # type: ignore[arg-type]
    )
    answer = terminal.ask(payment)
    assert answer.text(39) == "00"
    assert 62 not in answer
    assert books.value(debt, n=number) == before - 100_000
    assert books.differences() == []


def test_a_reversal_of_a_sold_token_is_declined_and_hands_the_token_out_again(
    terminal: RawTerminal, books: Books
) -> None:
    """Policy `stands`: 0410 says 21 and carries the PIN, so that the till can print it; its repeat says the same."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_200_000)
    sold = terminal.ask(message)
    before = books.float_centavos()
    reversal = requests.reversal(terminal.identity, terminal.moment(), message)
    first = terminal.ask_raw(terminal.seal(reversal))
    answer = DATAFONO.decode(first)
    assert (answer.mti, answer.text(39)) == ("0410", "21")
    assert answer.text(62) == sold.text(62)
    assert terminal.ask_raw(terminal.seal(requests.as_repeat(reversal))) == first
    assert books.float_centavos() == before


def test_a_reversal_of_a_refused_sale_has_nothing_to_undo(terminal: RawTerminal, books: Books) -> None:
    """0400 for a sale that was declined is approved: no money moved."""
    message = terminal.recharge("37999999999", 1_200_000)
    assert terminal.ask(message).text(39) == "14"
    reversal = requests.reversal(terminal.identity, terminal.moment(), message)
    assert terminal.ask(reversal).text(39) == "00"
    assert books.differences() == []


def test_a_reversal_of_a_sale_that_never_came_is_told_so(terminal: RawTerminal) -> None:
    """0400 for an unknown original gets 25."""
    never_sent = terminal.recharge(DEMO_METER_NUMBER, 1_200_000)
    answer = terminal.ask(requests.reversal(terminal.identity, terminal.moment(), never_sent))
    assert answer.text(39) == "25"


def test_one_canonical_line_tells_the_sale_and_no_log_holds_its_pin(
    terminal: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """A sale leaves one line with STAN, RRN, terminal and acquirer, and its PIN appears in no log of any process."""
    message = terminal.recharge(books.meter(ENERGY_METER), 1_300_000)
    answer = terminal.ask(message)
    (line,) = monitor.log_lines(event="sale.completed", stan=message.text(11))
    assert line["terminal_id"] == "T0000001"
    assert line["acquirer_id"] == "datafonos"
    assert line["rrn"] == answer.text(37)
    assert line["paid_centavos"] == 1_300_000
    pin = answer.text(62)
    for log in books._system.home.joinpath("log").iterdir():
        assert pin not in log.read_text()


def test_two_hundred_terminals_at_once_all_get_their_answer(
    open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """Every one of 200 terminals that ask at the same moment sells, also those that sell on one meter."""
    numbers = [
        row for row in (books.meter(f"{ENERGY_METER} AND m.id % 40 = {remainder}") for remainder in range(40)) if row
    ]
    terminals = [open_terminal(f"T{index:07d}") for index in range(1, 201)]
    terminals = [each for each in terminals if _is_active(books, each.identity.terminal_id)]
    assert len(terminals) > 150
    before = books.float_centavos()
    for index, each in enumerate(terminals):
        each.send_body(each.seal(each.recharge(numbers[index % len(numbers)], 1_000_000)))
    codes = [DATAFONO.decode(each.read_body()).text(39) for each in terminals]
    assert set(codes) == {"00"}
    assert books.float_centavos() == before - 1_000_000 * len(terminals)
    assert books.differences() == []


def _is_active(books: Books, terminal_id: str) -> bool:
    status = books.value("SELECT status FROM terminal WHERE code = :code", code=terminal_id)
    return bool(status == "active")
