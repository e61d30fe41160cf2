"""``eudora ledger``: what it prints and how it ends."""

import json

import pytest
from click.testing import CliRunner

from cli import context
from cli.ledger import ledger
from ledger.module_proof import ModuleDays
from tests.ledger.books import Books
from tests.ledger.test_ledger_check import Count


@pytest.fixture
def runner(books: Books, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line on these books, with a module that minted what one sale needs."""
    sale = books.sell(books.order())
    counts = {1: Count(tokens=1, units_tenths=sale.quote.units_tenths)}
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    monkeypatch.setattr(context, "module_counters", lambda: counts)
    monkeypatch.setattr(
        context, "module_days", lambda days: ModuleDays(minted={}, were_minted=lambda ids: ids, work={})
    )
    return CliRunner()


def test_check_prints_one_json_object_and_ends_with_zero_when_all_agree(runner: CliRunner) -> None:
    """Acceptance and the benchmark read it."""
    result = runner.invoke(ledger, ["check"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["agree"] is True
    assert report["differences"] == []
    assert all(check["agree"] and check["run"] for check in report["checks"])


def test_check_names_the_difference_and_ends_with_one(runner: CliRunner, books: Books) -> None:
    """A centavo is enough."""
    books.execute("UPDATE account SET balance_centavos = balance_centavos + 1 WHERE id = 400")
    result = runner.invoke(ledger, ["check", "--without-module"])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["agree"] is False
    assert [difference["account_id"] for difference in report["differences"]] == [400]
    assert [check["name"] for check in report["checks"] if not check["run"]] == [
        "every-module-answered",
        "module-counters-equal-posted-tokens",
        "minted-tokens-are-sold",
        "engineers-tokens-are-approved",
        "sold-tokens-were-minted",
    ]


def test_check_refuses_a_schema_it_does_not_know(runner: CliRunner, books: Books) -> None:
    """Instead of a missing column somewhere in the middle."""
    books.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("check", "upgrade"):
        result = runner.invoke(ledger, [command])
        assert result.exit_code == 1
        assert "9999" in result.output


def test_upgrade_of_a_current_database_says_so(runner: CliRunner) -> None:
    """It may be run at any time."""
    result = runner.invoke(ledger, ["upgrade"])
    assert result.exit_code == 0
    assert "up to date" in result.output
