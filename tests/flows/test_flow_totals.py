"""A day's end through the whole system: totals, a cut-over while selling goes on, the snapshot, and totals again."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

from click.testing import CliRunner

from cli import context
from cli.pos import pos
from cli.settle import settle
from cli.system import RunningSystem
from messages.iso_message import IsoMessage
from messages.settlement_file import file_id
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from pos.tally import Tally
from tests.flows.conftest import SPEAKER, Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from vending.settlement import Sum, settlement_day

NOTHING = Sum()
FREE_METER = "status = 'active' AND held_by IS NULL AND NOT EXISTS (SELECT 1 FROM obligation o WHERE o.meter_id = m.id)"
PAID_CENTAVOS = 2_000_000
CLOSE_SECONDS = 30


def sell(terminal: RawTerminal, books: Books) -> date:
    """Sell once; return the settlement day that the answer names."""
    answer = terminal.ask(terminal.recharge(books.meter(FREE_METER), PAID_CENTAVOS))
    assert answer.text(39) == "00"
    return settlement_day(answer.text(15), datetime.now(UTC))  # noqa: TID251 - as a terminal does


def totals(terminal: RawTerminal, day: date, sold: int) -> IsoMessage:
    """The request of a terminal that sold so often."""
    recharges = Sum(sold, sold * PAID_CENTAVOS)
    return requests.terminal_totals(
        terminal.identity, terminal.moment(), day, recharges=recharges, payments=NOTHING, reversals=NOTHING
    )


def settle_with_the_file_of(day: date) -> None:
    """Wait until the switch has put the day's file into the network's directory, and send it back as the network."""
    path = context.home() / f"{file_id(context.ACQUIRER_ID, day)}.csv"
    last = time.monotonic() + CLOSE_SECONDS
    while not path.exists():
        assert time.monotonic() < last, "no settlement file"
        time.sleep(0.1)
    result = CliRunner().invoke(settle, ["reconcile", str(path), "--user", "red"])
    assert (result.exit_code, result.exception) == (0, None), result.output


def test_a_day_is_added_up_cut_over_and_closed(
    open_terminal: Callable[..., RawTerminal], books: Books, monitor: Monitor
) -> None:
    """Each sale stands on the day that its answer named, on both sides, before and after the day is closed."""
    terminal, speaker = open_terminal("T0000251"), open_terminal(SPEAKER)
    before = {result: monitor.sample("eudora_reconciliations_total", result=result) for result in ("equal", "differs")}
    day = sell(terminal, books)
    assert sell(terminal, books) == day

    request = totals(terminal, day, 2)
    first = terminal.seal(request)
    assert terminal.ask_body(first).text(39) == "00"
    repeat = terminal.seal(requests.as_repeat(request))
    assert terminal.ask_raw(repeat) == terminal.ask_raw(first)
    differing = terminal.ask(totals(terminal, day, 3))
    assert differing.text(39) == "97"
    assert first_value(parse_sub_elements(differing.text(48)), "DF") == f"-1;{-PAID_CENTAVOS}"

    refused = terminal.ask(requests.cut_over(terminal.identity, terminal.moment(), day))
    assert refused.text(39) == "58"
    for _ in range(2):
        answer = speaker.ask(requests.cut_over(speaker.identity, speaker.moment(), day))
        assert (answer.text(39), answer.text(15)) == ("00", f"{day:%m%d}")
        assert 128 in answer
    next_day = sell(terminal, books)
    assert (next_day - day).days == 1
    future = speaker.ask(requests.cut_over(speaker.identity, speaker.moment(), next_day))
    assert future.text(39) == "30"

    wait_until_closed(books, day)
    assert terminal.ask(totals(terminal, day, 2)).text(39) == "00"
    assert terminal.ask(totals(terminal, next_day, 1)).text(39) == "00"
    kept = (
        "SELECT sales FROM day_total WHERE terminal_code = 'T0000251' AND settlement_date = :day AND kind = 'recharge'"
    )
    assert books.value(kept, day=day) == 2
    assert monitor.sample("eudora_reconciliations_total", result="equal") == before["equal"] + 3
    assert monitor.sample("eudora_reconciliations_total", result="differs") == before["differs"] + 1
    assert monitor.sample("eudora_cut_over_lag_seconds") == 0
    settle_with_the_file_of(day)
    assert monitor.sample("eudora_float_available_centavos", acquirer=context.ACQUIRER_ID) > 0
    assert books.differences() == []


def test_a_network_is_added_up_as_the_books_do(open_terminal: Callable[..., RawTerminal], books: Books) -> None:
    """Without kinds, by the terminal that speaks for it; any other is refused."""
    terminal, speaker = open_terminal("T0000252"), open_terminal(SPEAKER)
    day = sell(terminal, books)
    sold = "SELECT {} FROM sale WHERE settlement_date = :day AND state = 'posted' AND acquirer_code = 'datafonos'"
    ours = Sum(
        books.value(sold.format("count(*)"), day=day), int(books.value(sold.format("sum(paid_centavos)"), day=day))
    )
    asking = requests.terminal_totals(
        speaker.identity, speaker.moment(), day, recharges=ours, payments=NOTHING, reversals=NOTHING
    ).without_fields(48)
    answer = speaker.ask(IsoMessage(mti="0520", fields=asking.fields))
    assert (answer.mti, answer.text(39)) == ("0530", "00")
    other = totals(terminal, day, 1)
    assert terminal.ask(IsoMessage(mti="0520", fields=other.fields)).text(39) == "58"


def wait_until_closed(books: Books, day: date) -> None:
    """Let the switch write the snapshot of a day."""
    ends = time.monotonic() + CLOSE_SECONDS
    while not books.value(
        "SELECT 1 FROM closed_day WHERE settlement_date = :day AND acquirer_code = 'datafonos'", day=day
    ):
        assert time.monotonic() < ends, "the day is not closed"
        time.sleep(0.1)


def test_a_datafono_closes_its_day(system: RunningSystem, books: Books) -> None:
    """`eudora pos close` adds up what its terminal sold and agrees; a sale that it never heard of is shown as a difference."""
    run, at = CliRunner(), ["--terminal", "T0000253"]
    meter = books.meter(FREE_METER)
    assert run.invoke(pos, ["sell", "--meter", meter, "--amount", "20000", *at]).exit_code == 0
    assert run.invoke(pos, ["last", *at]).exit_code == 0
    closed = run.invoke(pos, ["close", *at])
    assert closed.exit_code == 0, closed.output
    assert "Recargas: 1  $ 20.000" in closed.output
    assert closed.output.endswith("CUADRA\n")
    store = context.terminal("T0000253")
    assert store.tally.last_day is not None
    with store.exclusive():
        forgetful = replace(store._memory, tally=Tally())
        store._memory = forgetful
        store._write()
    differs = run.invoke(pos, ["close", "--date", f"{closed.output.split()[3]}", "--language", "en", *at])
    assert differs.exit_code == 1
    assert "By the network: 1  $ 20.000" in differs.output
    assert "DIFFERS" in differs.output
