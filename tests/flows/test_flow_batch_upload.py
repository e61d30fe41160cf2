"""A till loses its line, takes payments all the same, and uploads them: each is done once, whatever happens meanwhile."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import text

from cli import context
from cli.system import RunningSystem
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from pos.client import PosClient, Timers
from pos.dialogue import Final
from pos.store import TerminalStore
from pos.till import Till
from tests.flows.conftest import Books
from tests.flows.raw_terminal import RawTerminal
from town.generate import DEMO_METER_NUMBER
from vending.money import Centavos
from vending.settlement import Sum

TERMINAL = "T0000220"
PAID = Centavos(100_000)
PAYMENTS, ADVICES = 5, 3
SETTLE_SECONDS_MAX = 60.0


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "did not settle"
        time.sleep(0.05)


def _count(books: Books, where: str) -> int:
    return int(books.value(f"SELECT count(*) FROM sale WHERE terminal_code = '{TERMINAL}' AND {where}"))


def _indebted(books: Books) -> list[str]:
    """Meters whose accounts owe more than is paid here."""
    owing = "SELECT meter_id FROM obligation WHERE kind = 'obligation' AND status = 'open' AND NOT disputed AND capital_centavos > 1000000"
    numbers = books.value(f"SELECT array_agg(meter_number) FROM meter WHERE id IN ({owing})")
    return sorted(set(numbers) - {DEMO_METER_NUMBER})[:PAYMENTS]


def _store_what_waits(system: RunningSystem, meters: list[str]) -> list[bytes]:
    """Sell with a line that fails before the advices leave, then take payments without one; return the records."""
    store = context.terminal(TERMINAL)
    client = PosClient(system.switch_address, timers=Timers(), monotonic=time.monotonic, sleep=time.sleep)
    with store.exclusive():
        till = Till(store, client, now=lambda: datetime.now(UTC))  # noqa: TID251
        for _ in range(ADVICES):
            outcome = till.sell(meter_number=DEMO_METER_NUMBER, paid_centavos=Centavos(1_000_000))
            assert isinstance(outcome, Final)
            assert outcome.is_approved
            till.ticket_printed()
        for meter in meters:
            till.pay_offline(meter_number=meter, paid_centavos=PAID)
    return [requests.as_record(each.request) for each in (*store.offline, *store.advices)]


def _begin_upload() -> "subprocess.Popen[str]":
    """`eudora pos upload`, as a process of its own."""
    command = [sys.executable, "-m", "cli.main", "pos", "upload", "--terminal", TERMINAL, "--timeout", "6"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _told(answer: IsoMessage) -> list[list[str]]:
    """Code and receipt of each record."""
    parts = [element.value.split(";") for element in parse_sub_elements(answer.text(48))]
    return [[code, receipt] for _, _, _, code, _, receipt in parts]


def _stored() -> TerminalStore:
    return context.terminal(TERMINAL)


def test_a_switch_killed_in_mid_upload_pays_everything_once(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """Five payments and three advices: killed between the two commits, uploaded again, and each is there exactly once."""
    records = _store_what_waits(system, _indebted(books))
    before = books.float_centavos()
    with context.engine().connect() as holder:
        # Nobody can post as long as this is held, so that the switch dies with everything reserved and nothing answered.
        holder.execute(text("LOCK TABLE posting IN EXCLUSIVE MODE"))
        upload = _begin_upload()
        _wait_until(lambda: _count(books, "state = 'reserved'") == PAYMENTS)
        system.switch.kill()
    system.restart_switch()
    shown, _ = upload.communicate(timeout=SETTLE_SECONDS_MAX)
    for _ in range(5):
        if upload.returncode == 0:
            break
        upload = _begin_upload()
        shown, _ = upload.communicate(timeout=SETTLE_SECONDS_MAX)
    assert upload.returncode == 0, shown
    assert (_stored().offline, _stored().advices) == ((), ())
    tally = _stored().tally
    assert tally.last_day is not None
    assert tally.of(tally.last_day).payments == Sum(PAYMENTS, PAYMENTS * PAID)
    assert _count(books, "kind = 'payment' AND state = 'posted'") == _count(books, "kind = 'payment'") == PAYMENTS
    assert before - books.float_centavos() == PAYMENTS * PAID
    confirmed = (
        f"SELECT count(*) FROM confirmation c JOIN sale s ON s.id = c.sale_id WHERE s.terminal_code = '{TERMINAL}'"
    )
    assert books.value(confirmed) == ADVICES
    assert books.differences() == []
    _everything_again(open_terminal(TERMINAL), records, shown, books)


def _everything_again(terminal: RawTerminal, records: list[bytes], shown: str, books: Books) -> None:
    """In another batch, beside a recharge that is refused, and one alone: the same receipts, and nothing is paid or sold."""
    before = books.float_centavos()
    recharge = DATAFONO.encode(terminal.recharge(DEMO_METER_NUMBER, 1_000_000))
    batch = requests.batch_upload(terminal.identity, terminal.moment(), [*records, recharge], number=1, last=1)
    answer = terminal.ask(batch)
    *told, refused = _told(answer)
    assert answer.text(39) == "00"
    assert [code for code, _ in told] == ["00"] * (PAYMENTS + ADVICES)
    assert refused == ["12", ""]
    receipts = [receipt for _, receipt in told[:PAYMENTS]]
    assert all(receipt in shown for receipt in receipts)
    alone = terminal.ask(requests.as_repeat(DATAFONO.decode(records[0])))
    assert (alone.text(39), first_value(parse_sub_elements(alone.text(63)), "RC")) == ("00", receipts[0])
    assert books.float_centavos() == before
    assert books.differences() == []
