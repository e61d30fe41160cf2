"""A meter whose key is one revision behind buys: its codes first, then the credit; and an engineer works on a meter by token."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli import context
from cli.meter import open_meter
from cli.system import RunningSystem
from ledger.key_changes import add_register, set_successor
from meters.virtual import EntryResult
from pos.answers import read_pins, read_sale
from sts.codes import BaseDate
from sts.meter import MeterResult
from tests.flows.command import eudora
from tests.flows.conftest import Books
from tests.flows.raw_terminal import RawTerminal
from tests.flows.test_flow_adjustments import pin_of

FREE = "m.service = 0 AND m.status = 'active' AND m.held_by IS NULL AND m.register_id = 1 AND m.parked_tokens = 0"
BEHIND = f"{FREE} AND m.encryption_algorithm = 11"


def enter(number: str, pin: str) -> EntryResult:
    """Type a PIN into the virtual meter."""
    return open_meter(number).enter(pin, at=datetime.now(UTC))  # noqa: TID251 - the meter of the test has the machine's clock


@pytest.fixture
def successor(system: RunningSystem) -> Iterator[None]:
    """While the test runs, meters of register 1 move to register 5, which is one revision on."""
    add_register(context.engine(), 5, BaseDate.Y2014, "KRN 2")
    set_successor(context.engine(), 1, 5)
    yield
    set_successor(context.engine(), 1, None)


def test_a_meter_that_is_behind_gets_its_codes_with_its_next_sale(
    successor: None, terminal: RawTerminal, books: Books
) -> None:
    """Four codes and the credit, which the meter takes in this order only; the sale after it is as ever."""
    number = books.meter(BEHIND)
    open_meter(number)  # Made before its sale, with the old key.
    sold = terminal.ask(terminal.recharge(number, 2_000_000))
    assert sold.text(39) == "00"
    pins = [pin.reveal() for pin in read_pins(sold)]
    assert (read_sale(sold).key_change_tokens, len(pins)) == (4, 5)
    assert books.value("SELECT register_id FROM meter WHERE meter_number = :n", n=number) == 5
    assert enter(number, pins[4]).result is MeterResult.CRC_ERROR
    taken = [enter(number, pin) for pin in pins]
    assert all(each.is_accepted for each in taken), taken
    assert "clave nueva" in taken[3].sentence_es
    assert enter(number, pins[4]).result is MeterResult.USED_ERROR
    after = terminal.ask(terminal.recharge(number, 2_000_000))
    assert read_sale(after).key_change_tokens == 0
    assert enter(number, read_pins(after)[0].reveal()).is_accepted
    said = eudora("engineer", "verify", "--meter", number, "--register", "1", pins[0])
    assert said.stdout.strip() == "2/3  key change, part 1, revision 2, unique key", said.stderr
    assert books.differences() == []


def test_an_engineers_token_needs_two_people(system: RunningSystem, books: Books) -> None:
    """Proposed by one, approved by another, taken by the meter once; the books agree with the module."""
    number = books.meter(FREE)
    proposed = eudora(
        "engineer", "power-limit", "--meter", number, "--watts", "3000", "--evidence", "orden 5", "--user", "ana"
    )
    assert proposed.exit_code == 0, proposed.stderr
    (adjustment,) = re.findall(r"^Ajuste +(\d+): PIN de límite de potencia", proposed.stdout)
    assert "same_person" in eudora("engineer", "approve", adjustment, "--user", "ana").stderr
    approved = eudora("engineer", "approve", adjustment, "--user", "luz")
    assert approved.exit_code == 0, approved.stderr
    pin = pin_of(approved.stdout)
    entered = enter(number, pin)
    assert (entered.is_accepted, "límite de potencia: 3000 W" in entered.sentence_es) == (True, True)
    assert enter(number, pin).result is MeterResult.USED_ERROR
    assert books.differences() == []
