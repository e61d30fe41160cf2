"""Processes that die, hang and come back while terminals sell. The terminals repeat until they have a final answer, as terminals do."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import context
from cli.processes import Process
from cli.system import RunningSystem
from ledger.embedded import EmbeddedPostgres
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import covered
from pos import requests
from tests.flows.conftest import DEADLINE_SECONDS, Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from town.generate import DEMO_METER_NUMBER
from vending.ports import MacMismatch

SETTLE_SECONDS_MAX = 60.0
"""Until everything is back, on a slow machine."""

NOT_FINAL = "09"


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "did not settle"
        time.sleep(0.1)


def _final_answer(open_terminal: Callable[..., RawTerminal], first: RawTerminal, message: IsoMessage) -> bytes:
    """Repeat, on new connections, until an answer with a valid MAC is final; return its octets."""
    repeat = first.seal(requests.as_repeat(message))
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, AssertionError, MacMismatch):
            answer = open_terminal(first.identity.terminal_id).ask_raw(repeat)
            decoded = DATAFONO.decode(answer)
            if 64 in decoded:
                first.signer.verify(covered(answer), answer[-8:])
                if decoded.text(39) != NOT_FINAL:
                    return answer
        time.sleep(0.2)
    raise AssertionError("no final answer")


@pytest.fixture
def stopped_module(system: RunningSystem) -> Iterator[Process]:
    """The security module, not answering while the test runs."""
    module = system.security_module
    os.kill(module.pid, signal.SIGSTOP)
    yield module
    os.kill(module.pid, signal.SIGCONT)


def _wait_for_module(monitor: Monitor) -> None:
    _wait_until(lambda: monitor.sample("eudora_module_link_up") == 1)


def test_a_silent_security_module_costs_nothing(
    stopped_module: Process, terminal: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """While the module hangs the answer is 91, without a MAC, nothing is taken, and afterwards the same request sells."""
    before = books.float_centavos()
    message = terminal.recharge(DEMO_METER_NUMBER, 1_000_000)
    answer = DATAFONO.decode(terminal.ask_raw(terminal.seal(message)))
    assert answer.text(39) == "91"
    assert 64 not in answer
    assert books.float_centavos() == before
    os.kill(stopped_module.pid, signal.SIGCONT)
    _wait_for_module(monitor)
    assert terminal.ask(requests.as_repeat(message)).text(39) == "00"
    assert books.differences() == []


def test_a_slow_security_module_is_waited_for(system: RunningSystem, terminal: RawTerminal, monitor: Monitor) -> None:
    """A module that answers late, but within the request's time, only makes the sale slower."""
    _wait_for_module(monitor)
    os.kill(system.security_module.pid, signal.SIGSTOP)
    terminal.send_body(terminal.seal(terminal.recharge(DEMO_METER_NUMBER, 1_000_000)))
    time.sleep(0.4)
    os.kill(system.security_module.pid, signal.SIGCONT)
    assert DATAFONO.decode(terminal.read_body()).text(39) == "00"


def test_a_security_module_killed_in_mid_load_loses_and_doubles_nothing(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """Sales under way when the module dies stay reserved, are asked again by their id, and end with one token each."""
    _wait_for_module(monitor)
    terminals = [open_terminal(f"T{index:07d}") for index in range(20, 60)]
    before = books.float_centavos()
    messages = [each.recharge(_meter(books, index), 1_000_000) for index, each in enumerate(terminals)]
    for each, message in zip(terminals, messages, strict=True):
        each.send_body(each.seal(message))
    time.sleep(0.01)
    host, port = system.module_address
    system.security_module.kill()
    time.sleep(0.3)
    system.security_module = context.start_security_module(f"{host}:{port}")
    _wait_for_module(monitor)
    finals = [_final_answer(open_terminal, each, message) for each, message in zip(terminals, messages, strict=True)]
    _wait_until(lambda: books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0)
    sold = sum(DATAFONO.decode(final).text(39) == "00" for final in finals)
    assert before - books.float_centavos() == 1_000_000 * sold
    assert books.differences() == []


def test_a_database_gone_for_a_moment_costs_nothing(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], terminal: RawTerminal, books: Books
) -> None:
    """Without the database the answer is 92 (or the one that is not final); when it is back the same request sells once."""
    before = books.float_centavos()
    context.engine().dispose()
    server = EmbeddedPostgres(context.settings().database.directory)
    server.stop()
    try:
        message = terminal.recharge(DEMO_METER_NUMBER, 1_000_000)
        answer = terminal.ask_body(terminal.seal(message))
        assert answer.text(39) in {"92", NOT_FINAL}
        inquiry = requests.inquiry(
            terminal.identity, terminal.moment(), meter_number=DEMO_METER_NUMBER, trial_centavos=None
        )
        assert terminal.ask(inquiry).text(39) == "92"
    finally:
        server.start()
    context.engine().dispose()
    assert books.float_centavos() == before
    final = DATAFONO.decode(_final_answer_unless(open_terminal, terminal, message, {"92"}))
    assert final.text(39) == "00"
    assert books.float_centavos() == before - 1_000_000
    assert books.differences() == []


def _final_answer_unless(
    open_terminal: Callable[..., RawTerminal], first: RawTerminal, message: IsoMessage, passing: set[str]
) -> bytes:
    """As `_final_answer`, past codes that only say that something of ours is not back yet."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        answer = _final_answer(open_terminal, first, message)
        if DATAFONO.decode(answer).text(39) not in passing:
            return answer
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_switch_killed_in_mid_load_leaves_nothing_unresolved(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """After kill -9 and a restart no sale stays reserved, the books agree, and repeats get the first answers byte for byte."""
    _wait_for_module(monitor)
    terminals = [open_terminal(f"T{index:07d}") for index in range(60, 160)]
    before = books.float_centavos()
    answered: dict[int, bytes] = {}
    for index, each in enumerate(terminals[:20]):
        answered[index] = each.ask_raw(each.seal(each.recharge(_meter(books, index), 1_000_000)))
    messages = [each.recharge(_meter(books, index), 1_000_000) for index, each in enumerate(terminals)]
    for each, message in zip(terminals, messages, strict=True):
        each.send_body(each.seal(message))
    early = terminals[0].read_body()
    system.switch.kill()
    assert DATAFONO.decode(early).text(39) == "00"
    for each in terminals:
        each.close()
    system.restart_switch()
    _wait_until(lambda: books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0)
    finals = [_final_answer(open_terminal, each, message) for each, message in zip(terminals, messages, strict=True)]
    assert finals[0] == early, "what was sent before the kill is what the repeat gets"
    again = [_final_answer(open_terminal, each, message) for each, message in zip(terminals, messages, strict=True)]
    assert again == finals
    sold = 20 + sum(DATAFONO.decode(final).text(39) == "00" for final in finals)
    assert before - books.float_centavos() == 1_000_000 * sold
    assert books.differences() == []


def _workers(system: RunningSystem) -> list[int]:
    """The ledger workers of the switch."""
    children = Path(f"/proc/{system.switch.pid}/task/{system.switch.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def test_ledger_workers_killed_in_mid_load_come_back_and_nothing_is_lost(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """When every worker is killed at once their batches are unknown, new workers take over, and each request ends once."""
    _wait_for_module(monitor)
    terminals = [open_terminal(f"T{index:07d}") for index in range(20, 60)]
    before = books.float_centavos()
    messages = [each.recharge(_meter(books, index), 1_000_000) for index, each in enumerate(terminals)]
    for each, message in zip(terminals, messages, strict=True):
        each.send_body(each.seal(message))
    time.sleep(0.03)
    killed = _workers(system)
    assert len(killed) >= 5
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    finals = [
        _final_answer_unless(open_terminal, each, message, {"92"})
        for each, message in zip(terminals, messages, strict=True)
    ]
    _wait_until(lambda: books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0)
    assert {DATAFONO.decode(final).text(39) for final in finals} == {"00"}
    assert before - books.float_centavos() == 1_000_000 * len(terminals)
    assert books.differences() == []
    assert not set(killed) & set(_workers(system))


def test_sigterm_drains(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """On SIGTERM every request that was taken is answered, then the connections end, then the process, with status 0."""
    _wait_for_module(monitor)
    terminals = [open_terminal(f"T{index:07d}") for index in range(160, 200)]
    for index, each in enumerate(terminals):
        each.send_body(each.seal(each.recharge(_meter(books, index), 1_000_000)))
    time.sleep(0.05)
    os.kill(system.switch.pid, signal.SIGTERM)
    events = [each.read_event() for each in terminals]
    assert any(event is not None for event in events)
    assert system.switch.child.wait(30) == 0
    assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0
    system.restart_switch()
    assert books.differences() == []


def test_the_deadline_answers_what_is_not_known_yet(
    system: RunningSystem,
    terminal: RawTerminal,
    open_terminal: Callable[..., RawTerminal],
    books: Books,
    monitor: Monitor,
) -> None:
    """A sale that waits past the deadline behind a locked meter gets 09, is finished later, and the repeat finds it."""
    _wait_for_module(monitor)
    number = _meter(books, 7)
    with context.engine().begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM meter WHERE meter_number = %s FOR UPDATE", (number,))
        message = terminal.recharge(number, 1_000_000)
        started = time.monotonic()
        answer = terminal.ask_body(terminal.seal(message))
        assert answer.text(39) == NOT_FINAL
        assert time.monotonic() - started < DEADLINE_SECONDS + 2
    final = DATAFONO.decode(_final_answer(open_terminal, terminal, message))
    assert final.text(39) == "00"
    assert books.differences() == []


def _meter(books: Books, index: int) -> str:
    where = "m.service = 0 AND m.status = 'active'"
    return str(
        books.value(
            f"SELECT meter_number FROM meter m WHERE {where} ORDER BY id OFFSET :index LIMIT 1", index=index % 100
        )
    )
