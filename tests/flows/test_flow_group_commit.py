"""No answer is on the wire before its commit is on disk: seen from outside, with kills and with the system calls themselves."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from cli import context
from cli.system import RunningSystem, running_system
from cli.torture_stage import RealStage
from messages.codec import DATAFONO
from pos.dialogue import IN_PROGRESS
from pos.requests import as_repeat
from pos.store import TerminalIdentity
from security_module.layout import Layout
from security_module.terminal_keys import export_terminal_key
from tests.flows.conftest import MAC_REGISTER, Books
from tests.flows.raw_terminal import RawTerminal
from torture.books import read_books
from torture.processes import children, orphans_adopted
from torture.seen import Books as TornBooks
from torture.seen import Seen
from torture.terminals import Going, VirtualTerminal
from torture.verdict import APPROVED, judge
from town.targets import selling_terminals

KILLS = 8
TERMINALS = 12
WATCHED_SALES = 15
FLUSHES_PER_SALE = 2
"""Of the reservation and of the posting."""

WAIT_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of this module's own: its PostgreSQL dies."""
    environment = {
        "EUDORA_ACQUIRERS__DATAFONOS__ANSWER_DEADLINE_SECONDS": "3",
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
    }
    with (
        orphans_adopted(),
        tempfile.TemporaryDirectory(prefix="eudora-commit-") as home,
        running_system(Path(home), on_free_ports=True, environment=environment) as running,
    ):
        stage = RealStage(running)
        stage.move_to_fixed_ports()
        yield running
        stage.start_postgres()


def test_the_database_is_told_to_be_durable(system: RunningSystem, books: Books) -> None:
    """The settings that a durable commit needs are what the running server really uses, in the workers' database."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert books.value(f"SHOW {name}") == "on", name


def test_every_answer_that_was_seen_survives_a_kill_of_postgres(system: RunningSystem, books: Books) -> None:
    """PostgreSQL is killed, all of it, the moment an answer arrives; after its recovery every answer seen so far is in the books."""
    arrived = threading.Event()
    going = Going()

    def note(seen: Seen) -> None:
        if seen.code == APPROVED:
            arrived.set()

    ids = selling_terminals(context.engine(), TERMINALS)
    meters = [books.meter(f"m.status = 'active' AND m.id % 200 = {part}") for part in range(200)]
    terminals = [virtual_terminal(system, each, meters, going, note) for each in ids]
    threads = [threading.Thread(target=terminal.run) for terminal in terminals]
    going.is_selling.set()
    going.is_patient.set()
    stage = RealStage(system)
    try:
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            arrived.clear()
            assert arrived.wait(WAIT_SECONDS_MAX), "sales go on after every kill"
            stage.kill_postgres(with_backends=True)
            told = [replace_of(each) for terminal in terminals for each in list(terminal.seen) if each.answer]
            stage.start_postgres()
            assert missing(told) == []
    finally:
        going.is_selling.clear()
        for thread in threads:
            thread.join(WAIT_SECONDS_MAX)
        going.is_patient.clear()
    assert wait_until(lambda: books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0)
    everything = [each for terminal in terminals for each in terminal.seen]
    verdict = judge(everything, everything_on_disk(), [], books.differences())
    assert verdict.holds, verdict
    assert sum(each.code == APPROVED for each in everything) > KILLS


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed; nothing else shows single system calls"
)
def test_the_log_is_flushed_before_the_answer_leaves(
    system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books
) -> None:
    """Between a request and its answer the system calls of PostgreSQL show two ended flushes: reservation and posting.

    With synchronous_commit off the same look shows sales without them, so it can tell the difference.
    """
    assert all(flushes >= FLUSHES_PER_SALE for flushes in watched(system, open_terminal, books))
    set_synchronous_commit(system, "off")
    try:
        assert any(flushes < FLUSHES_PER_SALE for flushes in watched(system, open_terminal, books))
    finally:
        set_synchronous_commit(system, "on")


def virtual_terminal(
    system: RunningSystem, terminal_id: str, meters: list[str], going: Going, note: Callable[[Seen], None]
) -> VirtualTerminal:
    mac = context.settings().acquirers[context.ACQUIRER_ID].mac
    return VirtualTerminal(
        TerminalIdentity(
            terminal_id=terminal_id,
            merchant_id=context.DEMO_MERCHANT_ID,
            nii=context.DEMO_NII,
            mac_scheme=mac.scheme,
            mac_key=export_terminal_key(context.module_keys(), MAC_REGISTER, terminal_id),
        ),
        system.switch_address,
        meters,
        random=Random(terminal_id),
        now=lambda: datetime.now(UTC),  # noqa: TID251
        monotonic=time.monotonic,
        going=going,
        when_final=note,
    )


def replace_of(seen: Seen) -> Seen:
    """As it is now; its terminal goes on."""
    return Seen(key=seen.key, original=seen.original, code=seen.code, answer=seen.answer, pins=seen.pins)


def everything_on_disk() -> TornBooks:
    context.engine().dispose()
    return read_books(context.engine(), [Layout(context.module_directory()).mint_log])


def missing(told: list[Seen]) -> list[str]:
    """What was told and is not on disk, octet for octet."""
    verdict = judge(told, everything_on_disk(), [], [])
    return [*verdict.lost, *verdict.differing, *verdict.twice]


def wait_until(is_true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.1)
    return False


def set_synchronous_commit(system: RunningSystem, value: str) -> None:
    """Change it for the switch's next connections, and give it new ones."""
    with context.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE eudora SET synchronous_commit = {value}"))
    system.switch.stop()
    system.restart_switch()


def watched(system: RunningSystem, open_terminal: Callable[..., RawTerminal], books: Books) -> list[int]:
    """Sell one by one under strace; return how many flushes of PostgreSQL ended between each request and its answer."""
    terminal = open_terminal()
    meter = books.meter("m.status = 'active' AND m.service = 0")
    # The first sale makes the workers connect, so that their backends are there to be watched.
    sell_until_approved(terminal, meter)
    postmaster = RealStage(system).postgres_pid
    with tempfile.TemporaryDirectory(prefix="eudora-strace-") as directory, contextlib.ExitStack() as stack:
        out = Path(directory) / "calls"
        pids = [argument for pid in [postmaster, *children(postmaster)] for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(
            ["strace", "-f", "-ttt", "-T", "-e", "trace=fdatasync", "-o", str(out), *pids],
            stderr=subprocess.PIPE,
            text=True,
        )
        # Leaving its block closes its pipe and waits for it; it is told to end just before.
        stack.enter_context(tracer)
        stack.callback(tracer.terminate)
        assert tracer.stderr is not None
        tracer.stderr.readline()
        time.sleep(0.5)
        asked: list[tuple[float, float]] = []
        for _ in range(WATCHED_SALES):
            body = terminal.seal(terminal.recharge(meter, 1_000_000))
            began_at = time.time()  # noqa: TID251
            answer = terminal.ask_raw(body)
            answered_at = time.time()  # noqa: TID251
            # "In progress" promises nothing, so nothing need be on disk.
            if DATAFONO.decode(answer).text(39) == APPROVED:
                asked.append((began_at, answered_at))
        time.sleep(0.5)
        stack.close()
        ended = flushes_ended(out.read_text())
    assert asked
    return [sum(began_at < at < answered_at for at in ended) for began_at, answered_at in asked]


def sell_until_approved(terminal: RawTerminal, meter: str) -> None:
    """Sell: repeat what is in progress, begin anew when a switch that has just started has no module yet."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    message = terminal.recharge(meter, 1_000_000)
    while (code := terminal.ask(message).text(39)) != APPROVED:
        assert time.monotonic() < deadline, code
        time.sleep(0.2)
        message = as_repeat(message) if code == IN_PROGRESS else terminal.recharge(meter, 1_000_000)


def flushes_ended(calls: str) -> list[float]:
    r"""When each successful fdatasync ended, by strace's lines: a whole call, or the line that resumes an interrupted one.

    >>> flushes_ended('7 10.5 fdatasync(5) = 0 <0.25>\n8 11.0 fdatasync(6 <unfinished ...>\n8 12.0 <... fdatasync resumed>) = 0 <1.0>')
    [10.75, 12.0]
    """
    whole = re.compile(r"^\d+ +(\d+\.\d+) fdatasync\(\d+\) += 0 <(\d+\.\d+)>$", re.MULTILINE)
    resumed = re.compile(r"^\d+ +(\d+\.\d+) <\.\.\. fdatasync resumed>\) += 0 ", re.MULTILINE)
    return sorted(
        [float(start) + float(took) for start, took in whole.findall(calls)]
        + [float(end) for end in resumed.findall(calls)]
    )
