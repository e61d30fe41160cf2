"""Years of months are there, and each statement of a request opens only those that its keys name."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.advice import confirm
from ledger.database import transact
from ledger.last_answer import find_last_answers
from ledger.months import JOURNAL, PARTITIONED, Partitioned, make_months, month_after
from ledger.resolve import look
from ledger.reversal import find_originals
from tests.ledger.books import INDEBTED, NOW, Books, post_of
from tests.ledger.test_ledger_parking import reversal_of
from vending.order import Reserved, UnresolvedLook

YEARS = 6
_MONTHS_SCANNED = re.compile(r"Scan\b[^\n]* on ((?:journal|posting)_\w+)")
_KEY_SCAN = re.compile(r"Index Scan using journal_\w+_pkey[^\n]*\n\s*Index Cond: ([^\n]*)")
_ABOUT_MONTHS = re.compile(r"\b(?:JOIN|FROM|UPDATE) (?:journal|posting)\b")


@pytest.fixture
def old_books(books: Books) -> Books:
    """A ledger with a table for each month of six years, whenever this runs."""
    months = [NOW.date().replace(year=NOW.year - YEARS, day=1)]
    while len(months) < 12 * (YEARS + 1):
        months.append(month_after(months[-1]))

    def make(table: Partitioned) -> None:
        transact(books.engine, lambda connection, _attempt: make_months(connection, table, months))

    for table in PARTITIONED.values():
        make(table)
    return books


def _record(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Statements with the values of their last execution, whichever way they go to the server."""
    executed: dict[str, Any] = {}
    execute = psycopg.Cursor.execute

    def recorded(cursor: psycopg.Cursor[Any], query: Any, values: Any = None, **named: Any) -> Any:
        executed[str(query)] = values
        return execute(cursor, query, values, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", recorded)
    return executed


def _plan(books: Books, statement: str, values: dict[str, Any], mode: str = "auto") -> str:
    """The plan that the server makes for a prepared statement and these values."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbers = {name: number for number, name in enumerate(names, 1)}
    prepared = re.sub(r"%\((\w+)\)s(::\w+)?", lambda found: f"${numbers[found[1]]}", statement).replace("%%", "%")
    with books.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        with psycopg.ClientCursor(raw) as cursor:
            cursor.execute(f"SET plan_cache_mode = {mode}")
            cursor.execute(f"PREPARE plan AS {prepared}")
            places = ", ".join(["%s"] * len(names))
            cursor.execute(f"EXPLAIN EXECUTE plan ({places})", [values[name] for name in names])
            plan = "\n".join(row[0] for row in cursor.fetchall())
            cursor.execute("DEALLOCATE plan")
            cursor.execute("RESET plan_cache_mode")
    assert "Seq Scan" not in plan, plan
    return plan


def _scanned(books: Books, statement: str, values: dict[str, Any]) -> set[str]:
    """The months that a plan opens."""
    return set(_MONTHS_SCANNED.findall(_plan(books, statement, values)))


def _sell(books: Books) -> None:
    books.sell(books.order(INDEBTED))


def _repeat(books: Books) -> None:
    order = books.order()
    books.sell(order)
    books.reserve(order)


def _post_twice(books: Books) -> None:
    sale = books.reserve_one(books.order())
    books.post(post_of(sale))
    books.post(post_of(sale))


def _advise(books: Books) -> None:
    order = books.order()
    books.sell(order)
    confirm(books.engine, [books.advice(order)])


def _ask_again(books: Books) -> None:
    order = books.order()
    books.sell(order)
    find_last_answers(books.engine, [books.last_answer(), books.last_answer(order)])


def _reverse(books: Books) -> None:
    order = books.order()
    books.sell(order)
    find_originals(books.engine, [books.reversal(order)])


def _finish(books: Books) -> None:
    books.reserve_one(books.order())
    look(books.engine, [UnresolvedLook(reserved_before=NOW + timedelta(days=1), sales_max=8)])


@pytest.mark.parametrize("work", [_sell, _repeat, _post_twice, _advise, _ask_again, _reverse, _finish])
def test_a_request_opens_the_month_of_its_key_and_no_other(
    old_books: Books, monkeypatch: pytest.MonkeyPatch, work: Callable[[Books], None]
) -> None:
    """Opening a table costs microseconds, and sixty of them a millisecond for each statement."""
    with monkeypatch.context() as patch:
        executed = _record(patch)
        work(old_books)
    about = {statement: values for statement, values in executed.items() if _ABOUT_MONTHS.search(statement)}
    opened = [_scanned(old_books, statement, values) for statement, values in about.items()]
    assert set().union(*opened) == {"journal_2026_08"}, list(zip(about, opened, strict=True))


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_the_journal_is_looked_into_by_whole_keys_however_little_the_planner_knows(
    old_books: Books, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """By the times of a batch alone it would read all that lies between them: for a terminal whose clock is wrong by a year, a year."""
    with monkeypatch.context() as patch:
        executed = _record(patch)
        orders = [old_books.order() for _ in range(3)]
        reserved = [each for each in old_books.reserve(*orders) if isinstance(each, Reserved)]
        old_books.post(*(post_of(each.sale) for each in reserved))
        confirm(old_books.engine, [old_books.advice(order) for order in orders])
        find_originals(old_books.engine, [old_books.reversal(order) for order in orders])
    looking = [each for each in executed if "sent_first" in each]
    assert len(looking) > 2
    for statement in looking:
        plan = _plan(old_books, statement, executed[statement], mode)
        scans = _KEY_SCAN.findall(plan)
        assert scans, plan
        assert all("stan = " in condition for condition in scans), plan


def test_parking_looks_for_earlier_reversals_as_far_as_a_key_can_lie(
    old_books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds rows by their sale, so a bound on the time of reversals is all that keeps years away; only parking does so."""
    order = old_books.order()
    old_books.sell(order)
    with monkeypatch.context() as patch:
        executed = _record(patch)
        find_originals(old_books.engine, [reversal_of(old_books, order)])
    (statement,) = [each for each in executed if "j.reverses_sale_id = wanted.id" in each]
    opened = _scanned(old_books, statement, executed[statement])
    assert f"{JOURNAL.name}_2026_08" in opened
    assert min(opened) == "journal_2024_08"
    others = [each for each in executed if _ABOUT_MONTHS.search(each) and each != statement]
    for each in others:
        assert _scanned(old_books, each, executed[each]) <= {"journal_2026_08"}, each
