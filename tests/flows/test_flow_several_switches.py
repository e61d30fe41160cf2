"""Several switch processes on one address: each sale is one sale, whichever of them dies, is replaced, or cuts the day over."""

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli import context
from cli.main import main
from cli.running_switch import processes_of, read_health, running
from cli.system import RunningSystem, running_system
from messages.codec import DATAFONO
from pos import requests
from pos.store import TerminalIdentity
from security_module.layout import Layout
from security_module.terminal_keys import export_terminal_key
from tests.flows.conftest import MAC_REGISTER, SPEAKER, Books
from tests.flows.raw_terminal import RawTerminal
from torture.books import read_books
from torture.seen import Seen
from torture.terminals import Going, VirtualTerminal
from torture.verdict import APPROVED, judge
from vending.settlement import settlement_day

PROCESSES = 2
TERMINALS = 16
PAID_CENTAVOS = 2_000_000
SOON_SECONDS = 60.0


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own, with several switch processes."""
    environment = {
        "EUDORA_ACQUIRERS__DATAFONOS__ANSWER_DEADLINE_SECONDS": "3",
        "EUDORA_ACQUIRERS__DATAFONOS__NETWORK_TERMINALS": json.dumps([SPEAKER]),
        "EUDORA_ACQUIRERS__DATAFONOS__SETTLEMENT_DIRECTORY": ".",
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
        "EUDORA_SWITCH__CLOSE_DAYS_INTERVAL_SECONDS": "0.5",
    }
    with (
        tempfile.TemporaryDirectory(prefix="eudora-several-") as home,
        running_system(
            Path(home), on_free_ports=True, terminals=260, environment=environment, switches=PROCESSES
        ) as running,
    ):
        yield running


class Seller(VirtualTerminal):
    """Sells and repeats by the book, now and then on a new link; a link that is refused is counted."""

    refused = 0

    def _sell(self) -> None:
        moment = self._moment()
        message = requests.recharge(
            self._identity,
            moment,
            meter_number=self._random.choice(self._meters),
            paid_centavos=PAID_CENTAVOS,  # type: ignore[arg-type]
        )
        self._ask(self._remember(message, moment), message)
        if self._random.random() < 0.2:
            self._close()

    def _open(self, dialogue: Any) -> Any:
        try:
            return super()._open(dialogue)
        except ConnectionRefusedError:
            self.refused += 1
            raise


@contextmanager
def selling(system: RunningSystem, books: Books, first: int) -> Iterator[list[Seller]]:
    """Let terminals sell for the length of the block, and then until each has its final answer."""
    going = Going()
    meters = [books.meter(f"m.status = 'active' AND m.held_by IS NULL AND m.id % 150 = {part}") for part in range(150)]
    sellers = [
        Seller(
            TerminalIdentity(
                terminal_id=terminal_id,
                merchant_id="TIENDA000000001",
                nii="001",
                mac_scheme=context.settings().acquirers[context.ACQUIRER_ID].mac.scheme,
                mac_key=export_terminal_key(context.module_keys(), MAC_REGISTER, terminal_id),
            ),
            system.switch_address,
            # Meters of its own: a meter that two fight for may be refused, and that is another test.
            meters[number::TERMINALS],
            random=Random(terminal_id),
            now=lambda: datetime.now(UTC),  # noqa: TID251 - the switch under test goes by the machine's clock
            monotonic=time.monotonic,
            going=going,
        )
        for number, terminal_id in enumerate(_active(first))
    ]
    threads = [threading.Thread(target=seller.run) for seller in sellers]
    going.is_selling.set()
    going.is_patient.set()
    try:
        for thread in threads:
            thread.start()
        yield sellers
    finally:
        going.is_selling.clear()
        for thread in threads:
            thread.join(SOON_SECONDS)
        going.is_patient.clear()


def _active(first: int) -> list[str]:
    with context.engine().connect() as connection:
        found = connection.execute(
            text(
                "SELECT code FROM terminal WHERE status = 'active' AND code LIKE 'T%' ORDER BY code OFFSET :first LIMIT :most"
            ),
            {"first": first, "most": TERMINALS},
        )
        return [str(code) for code in found.scalars()]


def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen."""
    give_up_at = time.monotonic() + SOON_SECONDS
    while not is_true():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


def sold(sellers: list[Seller]) -> int:
    """How many sales are approved so far."""
    return sum(seen.code == APPROVED for seller in sellers for seen in list(seller.seen))


def every_sale_was_approved(sellers: list[Seller], books: Books) -> list[Seen]:
    """Nobody was refused, told no, left without an answer, or told anything that the books do not say; returns what they saw."""
    seen = [each for seller in sellers for each in seller.seen]
    assert {each.code for each in seen} == {APPROVED}
    assert sum(seller.refused for seller in sellers) == 0
    until(lambda: books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0, "all sales have an outcome")
    mine = {each.key for each in seen}
    on_disk = read_books(context.engine(), [Layout(context.module_directory()).mint_log])
    mine_only = [sale for sale in on_disk.sales if sale.key in mine]
    verdict = judge(
        seen,
        type(on_disk)(
            journal=on_disk.journal,
            sales=tuple(mine_only),
            minted=frozenset(each for each in on_disk.minted if each in {sale.sale_id for sale in mine_only}),
        ),
        [],
        books.differences(),
    )
    assert verdict.holds, verdict
    return seen


def test_the_day_is_cut_over_by_one_process_while_all_sell(
    system: RunningSystem, books: Books, open_terminal: Callable[..., RawTerminal]
) -> None:
    """Each sale stands on the day that its answer named, the snapshot holds exactly those, and the float fell by what was sold."""
    before = books.float_centavos()
    with selling(system, books, first=0) as sellers:
        until(lambda: sold(sellers) > 60, "sales before")
        speaker = open_terminal(SPEAKER)
        day = _day_of(next(seen for seller in sellers for seen in seller.seen if seen.code == APPROVED))
        answer = speaker.ask(requests.cut_over(speaker.identity, speaker.moment(), day))
        assert answer.text(39) == APPROVED
        count = sold(sellers)
        until(lambda: sold(sellers) > count + 60, "sales afterwards")
    seen = every_sale_was_approved(sellers, books)
    assert before - books.float_centavos() == len(seen) * PAID_CENTAVOS
    named = [_day_of(each) for each in seen]
    assert len(set(named)) == 2
    days = "SELECT settlement_date FROM sale WHERE terminal_code = :terminal AND stan = :stan AND acquirer_code = 'datafonos'"
    for each, said in list(zip(seen, named, strict=True))[::7]:
        assert books.value(days, terminal=each.key.terminal_id, stan=each.key.stan) == said
    closed = "SELECT 1 FROM closed_day WHERE settlement_date = :day AND acquirer_code = 'datafonos'"
    until(lambda: books.value(closed, day=day) is not None, "the day is closed")
    total = "SELECT sum(sales) FROM day_total WHERE settlement_date = :day AND kind = 'recharge'"
    assert books.value(total, day=day) == named.count(day)
    pages = [read_health(process) for process in processes_of(running(context.run_file("switch")))]
    assert [page["process"] for page in pages] == list(range(1, PROCESSES + 1))
    approvals = [row["last_approval"] for page in pages for row in page["networks"] if row["id"] == context.ACQUIRER_ID]
    assert None not in approvals, "every process had its share"


def test_all_are_replaced_and_one_is_killed_under_load_and_every_sale_is_approved(
    system: RunningSystem, books: Books
) -> None:
    """A rolling restart and a kill -9: terminals that repeat by the book get a final approval for every sale, and no link is refused."""
    run = CliRunner()
    before = {process["pid"] for process in processes_of(running(context.run_file("switch")))}
    with selling(system, books, first=TERMINALS) as sellers:
        until(lambda: sold(sellers) > 30, "sales before")
        restarted = run.invoke(main, ["switch", "restart", "--rolling"])
        assert (restarted.exit_code, restarted.exception) == (0, None), restarted.output
        assert restarted.output.endswith("every process is a new one\n")
        processes = processes_of(running(context.run_file("switch")))
        assert not before & {process["pid"] for process in processes}
        applied = run.invoke(main, ["config", "apply"])
        assert applied.output.splitlines() == [f"process {number}: applied" for number in range(1, PROCESSES + 1)]
        os.kill(int(processes[1]["pid"]), signal.SIGKILL)
        count = sold(sellers)
        until(lambda: sold(sellers) > count + 60, "sales after the kill")
    every_sale_was_approved(sellers, books)


def _day_of(seen: Seen) -> date:
    assert seen.answer is not None
    return settlement_day(DATAFONO.decode(seen.answer).text(15), datetime.now(UTC))  # noqa: TID251 - as a terminal does
