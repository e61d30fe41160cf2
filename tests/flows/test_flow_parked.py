"""Parked tokens with real processes: money back, the token to the next customer, and kill -9 in between."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import context
from cli.system import RunningSystem, running_system
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from vending.ports import MacMismatch

SETTLE_SECONDS_MAX = 60.0
CAP_CENTAVOS = 10_000_000


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own, whose network parks."""
    environment = {
        "EUDORA_ACQUIRERS__DATAFONOS__REVERSAL_POLICY": "parked",
        "EUDORA_ACQUIRERS__DATAFONOS__PARKED_TERMINAL_DAY_CENTAVOS_MAX": str(CAP_CENTAVOS),
        "EUDORA_ACQUIRERS__DATAFONOS__ANSWER_DEADLINE_SECONDS": "5",
        "EUDORA_ACQUIRERS__DATAFONOS__FRAME_TIMEOUT_SECONDS": "1",
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
    }
    with (
        tempfile.TemporaryDirectory(prefix="eudora-parked-") as home,
        running_system(Path(home), on_free_ports=True, terminals=40, environment=environment) as running,
    ):
        yield running


def _meter(books: Books, index: int) -> str:
    where = "m.service = 0 AND m.status = 'active' AND NOT EXISTS (SELECT FROM obligation AS o WHERE o.meter_id = m.id)"
    return str(
        books.value(f"SELECT meter_number FROM meter m WHERE {where} ORDER BY id OFFSET :index LIMIT 1", index=index)
    )


def _pins(answer: IsoMessage) -> list[str]:
    digits = answer.get(62) or ""
    return [digits[start : start + 20] for start in range(0, len(digits), 20)]


def _advice_of(terminal: RawTerminal, sale: IsoMessage) -> IsoMessage:
    return IsoMessage(mti="0420", fields=requests.reversal(terminal.identity, terminal.moment(), sale).fields)


def _final(open_terminal: Callable[..., RawTerminal], first: RawTerminal, message: IsoMessage) -> IsoMessage:
    """Repeat on new connections until an answer is signed and final."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, AssertionError, MacMismatch):
            answer = open_terminal(first.identity.terminal_id).ask(requests.as_repeat(message))
            if {64, 128} & answer.fields.keys() and answer.text(39) != "09":
                return answer
        time.sleep(0.2)
    raise AssertionError("no final answer")


def test_the_next_customer_gets_the_parked_token_first(
    open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """Reversal and advice give the money back once; another terminal's customer pays for the kept token and for new units."""
    seller, other = open_terminal("T0000001"), open_terminal("T0000002")
    number = _meter(books, 0)
    before = books.float_centavos()
    sale = seller.recharge(number, 2_000_000)
    sold = seller.ask(sale)
    assert sold.text(39) == "00"
    reversal = requests.reversal(seller.identity, seller.moment(), sale)
    answer = seller.ask_raw(seller.seal(reversal))
    assert (DATAFONO.decode(answer).text(39), 62 in DATAFONO.decode(answer)) == ("00", False)
    assert seller.ask_raw(seller.seal(requests.as_repeat(reversal))) == answer
    advised = seller.ask(_advice_of(seller, sale))
    assert (advised.mti, advised.text(39)) == ("0430", "00")
    assert books.float_centavos() == before
    assert monitor.sample("eudora_parked_sales_total", acquirer="datafonos") == 1
    assert monitor.sample("eudora_parked_centavos_total", acquirer="datafonos") == 2_000_000
    small = other.ask(other.recharge(number, 1_000_000))
    assert _pins(sold)[0] not in _pins(small)
    claimed = other.ask(other.recharge(number, 3_000_000))
    assert claimed.text(39) == "00"
    assert _pins(claimed)[0] == _pins(sold)[0]
    assert len(_pins(claimed)) == 2
    elements = parse_sub_elements(claimed.text(63))
    sold_units = first_value(parse_sub_elements(sold.text(63)), "UN")
    assert (first_value(elements, "PK"), first_value(elements, "PD")) == (f"2000000;{sold_units};1", "3000000")
    assert before - books.float_centavos() == 4_000_000
    assert books.differences() == []


def test_above_the_cap_the_sale_stands(
    open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """The third of a terminal's dear reversals is declined with the token."""
    seller = open_terminal("T0000003")
    codes = []
    for index in range(1, 4):
        sale = seller.recharge(_meter(books, index), 4_500_000)
        sold = seller.ask(sale)
        reversed_ = seller.ask(requests.reversal(seller.identity, seller.moment(), sale))
        codes.append(reversed_.text(39))
        assert _pins(reversed_) == ([] if codes[-1] == "00" else _pins(sold))
    assert codes == ["00", "00", "21"]
    assert monitor.sample("eudora_parking_cap_refusals_total", acquirer="datafonos") == 1
    assert books.differences() == []


def test_a_switch_killed_while_it_parks_parks_once(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """Killed at whatever moment of twenty reversals: each ends approved, and each float comes back exactly once."""
    terminals = [open_terminal(f"T{index:07d}") for index in range(10, 30)]
    before = books.float_centavos()
    sales = [each.recharge(_meter(books, 10 + index), 1_000_000) for index, each in enumerate(terminals)]
    for each, sale in zip(terminals, sales, strict=True):
        assert each.ask(sale).text(39) == "00"
    reversals = [
        requests.reversal(each.identity, each.moment(), sale) for each, sale in zip(terminals, sales, strict=True)
    ]
    for each, reversal in zip(terminals, reversals, strict=True):
        each.send_body(each.seal(reversal))
    time.sleep(0.02)
    system.switch.kill()
    system.restart_switch()
    answers = [_final(open_terminal, each, reversal) for each, reversal in zip(terminals, reversals, strict=True)]
    assert [answer.text(39) for answer in answers] == ["00"] * 20
    assert books.float_centavos() == before
    assert books.value("SELECT count(*) FROM parked_token WHERE paid_centavos = 1000000") == 20
    assert books.differences() == []


def test_a_switch_killed_between_claim_and_answer_hands_the_same_tokens_out(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """Killed between commit 1 and commit 2 of the claiming sale; it is finished with the token that it was promised."""
    seller, other = open_terminal("T0000004"), open_terminal("T0000005")
    number = _meter(books, 5)
    sale = seller.recharge(number, 1_500_000)
    pin = _pins(seller.ask(sale))[0]
    assert seller.ask(requests.reversal(seller.identity, seller.moment(), sale)).text(39) == "00"
    claiming = other.recharge(number, 2_500_000)
    promised = "SELECT count(*) FROM parked_token WHERE claimed_by_sale_id IS NOT NULL AND claimed_at IS NULL"
    with context.engine().begin() as connection:
        # Commit 2 writes to this table and commit 1 does not.
        connection.exec_driver_sql("LOCK TABLE outbox IN SHARE MODE")
        other.send_body(other.seal(claiming))
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while not books.value(promised):
            assert time.monotonic() < deadline, "was never reserved"
        workers = Path(f"/proc/{system.switch.pid}/task/{system.switch.pid}/children").read_text().split()
        system.switch.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        assert books.value(promised) == 1
    system.restart_switch()
    final = _final(open_terminal, other, claiming)
    assert final.text(39) == "00"
    assert _pins(final)[0] == pin
    assert len(_pins(final)) == 2
    assert _pins(_final(open_terminal, other, claiming)) == _pins(final)
    assert books.value(promised) == 0
    assert books.differences() == []
