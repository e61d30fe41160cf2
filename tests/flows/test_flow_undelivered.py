"""Answers that a terminal never got: why is written down, and its repeat gets the stored answer, octet for octet."""

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from click.testing import CliRunner

from cli import context
from cli.main import main
from cli.system import RunningSystem
from messages.codec import DATAFONO
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from pos import requests
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import TPDU, RawTerminal

SETTLE_SECONDS_MAX = 30.0

OpenTerminal = Callable[..., RawTerminal]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "did not settle"
        time.sleep(0.05)


@pytest.fixture(autouse=True, scope="module")
def _warm(system: RunningSystem) -> None:
    """Wait until the workers of a system that has just started have done their first batch."""
    _wait_until(lambda: CliRunner().invoke(main, ["pos", "echo"]).exit_code == 0)


def _rows(terminal_id: str) -> list[dict[str, Any]]:
    """What `eudora ledger undelivered` lists of a terminal."""
    result = CliRunner().invoke(main, ["ledger", "undelivered", "--terminal", terminal_id, "--limit", "10000"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def _counted(monitor: Monitor, reason: str) -> float:
    return monitor.sample("eudora_answers_undeliverable_total", reason=reason)


@contextmanager
def _meter_locked(number: str) -> Iterator[None]:
    """While this lasts no sale on the meter can be reserved, so no answer is ready."""
    with context.engine().begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM meter WHERE meter_number = %s FOR UPDATE", (number,))
        yield


def _reset(terminal: RawTerminal) -> None:
    """End the connection with a RST."""
    terminal.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    terminal.socket.close()


def _meter(books: Books, index: int) -> str:
    return str(
        books.value(
            "SELECT meter_number FROM meter WHERE service = 0 AND status = 'active' ORDER BY id OFFSET :index LIMIT 1",
            index=index,
        )
    )


def _repeat_gets_the_stored_answer(
    books: Books, open_terminal: OpenTerminal, terminal: RawTerminal, message: IsoMessage
) -> None:
    again = open_terminal(terminal.identity.terminal_id)
    # A switch that has just started may not know yet; its answer is not final then.
    again.ask(requests.as_repeat(message))
    first = again.ask_raw(again.seal(requests.as_repeat(message)))
    stored = books.value(
        "SELECT answer FROM journal WHERE stan = :stan AND terminal_code = :terminal AND message_class = '0200'",
        stan=message.text(11),
        terminal=terminal.identity.terminal_id,
    )
    assert first == bytes(stored)
    assert DATAFONO.decode(first).text(39) == "00"
    assert again.ask_raw(again.seal(requests.as_repeat(message))) == first
    assert books.value("SELECT count(*) FROM sale WHERE stan = :stan AND terminal_code = :terminal",
        stan=message.text(11), terminal=terminal.identity.terminal_id) == 1  # fmt: skip
    assert books.differences() == []


def test_a_half_closed_terminal_is_answered(open_terminal: OpenTerminal, books: Books, monitor: Monitor) -> None:
    """A FIN behind the request is no reason to keep the answer; nothing is written down."""
    terminal = open_terminal("T0000230")
    number = _meter(books, 40)
    message = terminal.recharge(number, 1_000_000)
    with _meter_locked(number):
        terminal.send_body(terminal.seal(message))
        terminal.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
    answer = DATAFONO.decode(terminal.read_body())
    assert answer.text(39) == "00", str(monitor.log_lines(stan=message.text(11)))
    assert terminal.read_event() is None
    assert _rows("T0000230") == []
    _repeat_gets_the_stored_answer(books, open_terminal, terminal, message)


@pytest.mark.parametrize(("terminal_id", "has_fin"), [("T0000231", False), ("T0000232", True)])
def test_a_terminal_that_reset_its_connection_gets_the_stored_answer(
    terminal_id: str, has_fin: bool, open_terminal: OpenTerminal, books: Books, monitor: Monitor
) -> None:
    """A RST before the answer, alone or after a FIN: one row, under the key of the sale, with the code of its outcome."""
    terminal = open_terminal(terminal_id)
    number = _meter(books, 41 + has_fin)
    message = terminal.recharge(number, 1_000_000)
    before = _counted(monitor, "peer_lost")
    with _meter_locked(number):
        terminal.send_body(terminal.seal(message))
        if has_fin:
            terminal.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        _reset(terminal)
        time.sleep(0.1)
    _wait_until(lambda: len(_rows(terminal_id)) == 1)
    (row,) = _rows(terminal_id)
    assert (row["reason"], row["stan"], row["message_class"]) == ("peer_lost", message.text(11), "0200")
    assert row["code"] == "approved"
    assert _counted(monitor, "peer_lost") == before + 1
    _repeat_gets_the_stored_answer(books, open_terminal, terminal, message)


def test_a_terminal_that_never_reads_is_cut_and_gets_the_stored_answer(
    open_terminal: OpenTerminal, books: Books, monitor: Monitor
) -> None:
    """Its answers fill the buffers, reading pauses, after a while it is cut; each answer that did not leave is a row."""
    terminal = open_terminal("T0000233")
    message = terminal.recharge(_meter(books, 43), 1_000_000)
    terminal.ask(message)
    # Its buffer is as the system makes it: when one of 2 KiB was full the system let neither side's octets through any more.
    slow = open_terminal("T0000233")
    frame = write_frame(FrameStyle.BINARY_2, TPDU + slow.seal(requests.as_repeat(message)))
    slow.socket.setblocking(False)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    before = _counted(monitor, "send_stalled")
    unsent = b""
    with suppress(ConnectionError):
        while _counted(monitor, "send_stalled") == before:
            assert time.monotonic() < deadline, "was never cut"
            with suppress(BlockingIOError):
                unsent = unsent or frame * 50
                unsent = unsent[slow.socket.send(unsent) :]
            time.sleep(0.01)
    _wait_until(lambda: len(_rows("T0000233")) > 0)
    assert {row["reason"] for row in _rows("T0000233")} == {"send_stalled"}
    assert monitor.sample("eudora_connections_closed_total", reason="send_stalled") >= 1
    _repeat_gets_the_stored_answer(books, open_terminal, terminal, message)


def test_a_terminal_lost_while_the_switch_drains_is_written_down_before_the_process_ends(
    system: RunningSystem, open_terminal: OpenTerminal, books: Books, monitor: Monitor
) -> None:
    """The row is there when the process is gone, and the next process answers the repeat with what is stored."""
    terminal, patient = open_terminal("T0000234"), open_terminal("T0000235")
    numbers = _meter(books, 44), _meter(books, 45)
    messages = [each.recharge(number, 1_000_000) for each, number in zip((terminal, patient), numbers, strict=True)]
    with _meter_locked(numbers[0]):
        for each, message in zip((terminal, patient), messages, strict=True):
            each.send_body(each.seal(message))
        time.sleep(0.3)
        os.kill(system.switch.pid, signal.SIGTERM)
        time.sleep(0.2)
        _reset(terminal)
        time.sleep(0.1)
    assert DATAFONO.decode(patient.read_body()).text(39) == "00", "who stays is answered"
    patient.close()
    assert system.switch.child.wait(30) == 0
    (row,) = _rows("T0000234")
    assert (row["reason"], row["code"]) == ("peer_lost", "approved")
    system.restart_switch()
    _wait_until(lambda: monitor.sample("eudora_module_link_up") == 1)
    _repeat_gets_the_stored_answer(books, open_terminal, terminal, messages[0])
    assert _rows("T0000235") == []
