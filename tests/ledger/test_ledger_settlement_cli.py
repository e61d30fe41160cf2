"""``eudora ledger totals`` and ``close-days``: what they print and how they end."""

import json

import pytest
from click.testing import CliRunner

from cli import context
from cli.ledger import ledger
from ledger.totals import compare_totals
from tests.ledger.books import INDEBTED, PLAIN, Books
from tests.ledger.test_ledger_settlement import TODAY, totals_order
from vending.settlement import Sum, TheirTotals


@pytest.fixture
def runner(books: Books, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line on books with two sales and one that is open; the terminal said that it sold one."""
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.payment(INDEBTED, 500_050))
    books.reserve_one(books.order(6, 3_000_000))
    compare_totals(books.engine, [totals_order(theirs=TheirTotals(sales=Sum(1, 2_000_000), reversed=Sum()))])
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    return CliRunner()


def test_totals_print_ours_theirs_and_the_difference(runner: CliRunner) -> None:
    """The network's sum, and under it each terminal."""
    result = runner.invoke(ledger, ["totals", "--date", TODAY.isoformat(), "--json"])
    assert result.exit_code == 0
    everybody, terminal = json.loads(result.stdout)["lines"]
    assert (everybody["acquirer"], everybody["terminal"], everybody["theirs"]) == ("banco", None, None)
    assert terminal["terminal"] == "T0000001"
    assert terminal["recharges"] == {"count": 1, "centavos": 2_000_000}
    assert terminal["payments"] == {"count": 1, "centavos": 500_050}
    assert terminal["open"] == {"count": 1, "centavos": 3_000_000}
    assert terminal["net_centavos"] == 2_500_050
    assert terminal["theirs"]["agreed"] is False
    assert terminal["difference"]["sales"] == {"count": 1, "centavos": 500_050}
    assert {key: everybody[key] for key in ("recharges", "payments", "open")} == {
        key: terminal[key] for key in ("recharges", "payments", "open")
    }


def test_totals_are_a_table_for_people(runner: CliRunner) -> None:
    """Pesos, and a word where the sides differ; another network's day is empty."""
    result = runner.invoke(ledger, ["totals", "--date", TODAY.isoformat(), "--acquirer", "banco"])
    (line,) = [line for line in result.stdout.splitlines() if "T0000001" in line]
    assert "1 / 20,000.00" in line
    assert "1 / 5,000.50" in line
    assert line.endswith("DIFFERS")
    other = runner.invoke(ledger, ["totals", "--date", TODAY.isoformat(), "--acquirer", "parado"])
    assert len(other.stdout.splitlines()) == 2


def test_close_days_names_what_it_closed_and_what_had_to_stay_open(runner: CliRunner, books: Books) -> None:
    """An open sale keeps its day; without it the day is closed, and then there is nothing left to do."""
    books.execute("UPDATE sale SET local_date = current_date - 3, settlement_date = current_date - 3")
    result = runner.invoke(ledger, ["close-days"])
    assert result.exit_code == 1
    assert "banco: stays open" in result.stdout
    assert "banco: closed" in result.stdout
    books.execute("UPDATE sale SET settlement_date = current_date WHERE state = 'reserved'")
    result = runner.invoke(ledger, ["close-days"])
    assert result.exit_code == 0
    assert result.stdout.count("banco: closed") == 1
    assert runner.invoke(ledger, ["close-days"]).stdout == ""
    assert books.value("SELECT sum(sales) FROM day_total") == 2
