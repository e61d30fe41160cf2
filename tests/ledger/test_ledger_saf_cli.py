"""`eudora saf`: what an operator sees and orders."""

import json

import pytest
from click.testing import CliRunner

from cli import saf as command
from cli.saf import saf
from tests.ledger.books import Books
from tests.ledger.test_ledger_notices import add, claim, end
from vending.notice_life import NoticeEvent


@pytest.fixture
def runner(books: Books, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line on a lane with an accepted, a dead and a waiting notice, and another network's."""
    add(books, 3)
    add(books, 1, "parado")
    end(books, claim(books), NoticeEvent.ACCEPTED, code="00")
    end(books, claim(books), NoticeEvent.REFUSED, code="30")
    monkeypatch.setattr(command, "engine", lambda: books.engine)
    return CliRunner()


def ids(runner: CliRunner, *arguments: str) -> list[int]:
    """The numbers that a list shows."""
    result = runner.invoke(saf, ["list", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.output.splitlines()]


def test_lists_show_what_is_asked_for(runner: CliRunner) -> None:
    """Without options what is open or dead; each option by itself."""
    assert ids(runner) == [2, 3, 4]
    assert ids(runner, "--network", "banco") == [2, 3]
    assert ids(runner, "--dead") == [2]
    assert ids(runner, "--all") == [1, 2, 3, 4]
    line = runner.invoke(saf, ["list", "--dead"]).output
    assert line.startswith("2  banco  settlement day 1  dead")
    assert line.rstrip().endswith("1 tries  stan 000003  code 30  refused")


def test_an_order_is_kept_with_who_and_why(runner: CliRunner, books: Books) -> None:
    """Retry and drop print the notice as it is now; the row has who ordered it and why."""
    retried = runner.invoke(saf, ["retry", "2", "--user", "ana", "--why", "ya responde"])
    assert retried.exit_code == 0
    assert "waiting" in retried.output
    assert ids(runner, "--dead") == []
    dropped = runner.invoke(saf, ["drop", "2", "--user", "luz", "--why", "lo tienen por correo"])
    assert "drop by luz: lo tienen por correo" in dropped.output
    row = books.row("SELECT state, action, ordered_by, why, ordered_at IS NOT NULL FROM network_notice WHERE id = 2")
    assert tuple(row) == ("dropped", "drop", "luz", "lo tienen por correo", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry", "3", "--user", "ana", "--why", "x"], "notice 3 is waiting: it cannot be retried"),
        (["drop", "1", "--user", "ana", "--why", "x"], "notice 1 is accepted: it cannot be dropped"),
        (["drop", "77", "--user", "ana", "--why", "x"], "there is no notice 77"),
        (["drop", "3", "--user", "ana", "--why", " "], "--why is empty"),
        (["drop", "3", "--user", " ", "--why", "x"], "--user is empty"),
        (["drop", "3", "--user", "ana"], "Missing option '--why'"),
    ],
)
def test_an_order_that_cannot_be_followed_ends_with_a_sentence(
    runner: CliRunner, books: Books, arguments: list[str], said: str
) -> None:
    """Nothing is written, and the exit code says so."""
    result = runner.invoke(saf, arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert books.value("SELECT count(*) FROM network_notice WHERE action IS NOT NULL") == 0
