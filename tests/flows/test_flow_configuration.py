"""A running switch takes a changed file and the kill switch, with real processes: the link stays and the books agree."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.system import RunningSystem
from messages.iso_message import IsoMessage
from pos import requests
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from vending.calendar import local_time

PAID_CENTAVOS = 2_000_000
FINAL_SECONDS_MAX = 60.0
"""A busy machine may still be starting workers when the first sale comes."""


@pytest.fixture
def file(system: RunningSystem) -> Iterator[Path]:
    """The system's configuration file, which other tests find as it was."""
    path = system.home / "eudora.toml"
    before = path.read_text(encoding="utf-8")
    yield path
    path.write_text(before, encoding="utf-8")
    assert _eudora("config", "apply").exit_code == 0


def _eudora(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def _sell(terminal: RawTerminal, books: Books) -> str:
    """Return the code of a new sale's answer, which must be signed."""
    meter = books.meter("m.service = 0 AND m.status = 'active' AND m.held_by IS NULL")
    return _final(terminal, terminal.recharge(meter, PAID_CENTAVOS)).text(39)


def _final(terminal: RawTerminal, message: IsoMessage) -> IsoMessage:
    """Ask, and as a terminal does, ask again while nothing is known; the answer must be signed."""
    answer = terminal.ask(message)
    deadline = time.monotonic() + FINAL_SECONDS_MAX
    while answer.text(39) == "09" and time.monotonic() < deadline:
        answer = terminal.ask(requests.as_repeat(message))
    assert {64, 128} & answer.fields.keys()
    return answer


def _closed_now() -> str:
    """Hours that have just ended."""
    now = local_time(datetime.now(UTC))  # noqa: TID251 - the switch under test goes by the machine's clock
    return f"{now - timedelta(hours=3):%H:%M}-{now - timedelta(hours=2):%H:%M}"


def test_a_changed_file_is_in_force_with_the_next_frame_of_the_same_link(
    system: RunningSystem, file: Path, terminal: RawTerminal, books: Books, monitor: Monitor
) -> None:
    """Hours, a bad file that changes nothing, and keys that need a restart."""
    assert _sell(terminal, books) == "00"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + f'\n[acquirers.datafonos.sells]\nhours = ["{_closed_now()}"]\n', encoding="utf-8")
    applied = _eudora("config", "apply")
    assert (applied.exit_code, applied.output) == (0, "applied\n")
    assert _sell(terminal, books) == "73"
    file.write_text(text + "\n[acquirers.datafonos.sells]\nhour = []\n", encoding="utf-8")
    refused = _eudora("config", "apply")
    assert refused.exit_code == 1
    assert "acquirers.datafonos.sells.hour: no such key; did you mean hours?" in refused.output
    assert _sell(terminal, books) == "73"
    file.write_text(text.replace("[switch]\n", "[switch]\nqueue_sales_max = 77\n"), encoding="utf-8")
    partly = _eudora("config", "apply")
    assert partly.exit_code == 2
    assert "switch.queue_sales_max: needs a restart" in partly.output
    assert _sell(terminal, books) == "00"
    assert monitor.sample("eudora_configurations_total", outcome="refused") >= 1
    assert monitor.log_lines(event="configuration.refused")
    assert books.differences() == []


def test_a_stopped_network_reverses_and_tells_and_sells_nothing(
    terminal: RawTerminal, books: Books, system: RunningSystem
) -> None:
    """The kill switch works at once, on an open link, and its reason is shown."""
    meter = books.meter("m.service = 0 AND m.status = 'active' AND m.held_by IS NULL")
    sold = terminal.recharge(meter, PAID_CENTAVOS)
    answer = _final(terminal, sold)
    assert answer.text(39) == "00"
    try:
        stopped = _eudora("network", "stop", "datafonos", "--why", "fraude en la zona", "--user", "ana")
        assert stopped.output == "datafonos is stopped\n"
        assert _sell(terminal, books) == "57"
        assert terminal.ask(requests.as_repeat(sold)).text(62) == answer.text(62)
        told = terminal.ask(requests.last_answer(terminal.identity, terminal.moment()))
        assert told.text(39) == "00"
        assert terminal.ask(requests.reversal(terminal.identity, terminal.moment(), sold)).text(39) == "21"
        rows = map(json.loads, _eudora("network", "list", "--json").output.splitlines())
        (listed,) = (row for row in rows if row["id"] == "datafonos")
        assert (listed["ledger"], listed["stopped_by"], listed["why"]) == ("stopped", "ana", "fraude en la zona")
        assert (listed["state"], listed["connections"] >= 1, listed["last_approval"] > 0) == ("serving", True, True)
        drained = _eudora("network", "drain", "datafonos", "--why", "fraude", "--user", "ana")
        assert "datafonos is drained: stopped, nothing in work" in drained.output
    finally:
        assert _eudora("network", "start", "datafonos", "--why", "aclarado", "--user", "eva").exit_code == 0
    assert _sell(terminal, books) == "00"
    assert _eudora("network", "stop", "nadie", "--why", "x", "--user", "ana").exit_code == 1
    assert "ana: fraude" not in _eudora("network", "list").output
    assert books.differences() == []
