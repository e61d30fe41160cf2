"""The plans of a sale's statements: by index, whatever the tables hold and whatever the planner was told about them."""

import re
from typing import Any

import pytest
from sqlalchemy import event, text

from ledger.advice import confirm
from ledger.last_answer import find_last_answers
from ledger.opening import analyze
from tests.ledger.books import INDEBTED, Books, post_of, reserved_of, watch_statements

MANY = 2000

_GROWING = re.compile(r"Scan using \S+ on (?:journal\w*|sale|token)\b[^\n]*\n(?! *Index Cond)")


def _fill(books: Books) -> None:
    books.execute(
        "INSERT INTO account_holder (id, account_number, name, address) SELECT n, 'X' || n, 'x', 'x' FROM generate_series(100, :n) AS n",
        n=MANY,
    )
    books.execute(
        "INSERT INTO meter (id, meter_number, pan, holder_id, register_id, tariff_index, encryption_algorithm, service, user_class, "
        "stratum, altitude) SELECT n, 'X' || n, 'x', n, 1, 1, 7, 0, 'residential', 1, 'low' FROM generate_series(100, :n) AS n",
        n=MANY,
    )
    books.execute(
        "INSERT INTO obligation (meter_id, code, kind, priority, due) SELECT n, 'x', 'charge', 1, '2026-01-01' "
        "FROM generate_series(100, :n) AS n",
        n=MANY,
    )


def _generic_plan(connection: Any, statement: str, names: list[str]) -> str:
    """The plan that a prepared statement settles on, without values to look at."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    prepared = re.sub(r"%\((\w+)\)s(::\w+)?", lambda found: f"${numbers[found[1]]}", statement).replace("%%", "%")
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE plan AS {prepared}")
        try:
            cursor.execute(f"EXPLAIN EXECUTE plan ({', '.join(['NULL'] * len(numbers))})")
            return "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("DEALLOCATE plan")


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("is_analyzed", [False, True])
def test_no_statement_of_a_sale_reads_a_whole_table(
    books: Books, monkeypatch: pytest.MonkeyPatch, is_large: bool, is_analyzed: bool
) -> None:
    """A plan made while the tables were empty stays for the life of a connection, and must be right when they are full."""
    if is_large:
        _fill(books)
    if is_analyzed:
        analyze(books.engine)
    statements: list[str] = []
    watch_statements(monkeypatch, lambda _, statement: statements.append(statement))
    sales = reserved_of(books.reserve(books.order(INDEBTED), books.order(1)))
    books.post(*[post_of(sale) for sale in sales])
    monkeypatch.undo()
    with books.engine.connect() as connection:
        raw = connection.connection.driver_connection
        plans = {
            statement: _generic_plan(raw, statement, re.findall(r"%\((\w+)\)s", statement))
            for statement in dict.fromkeys(statements)
            if "unnest" in statement or "ANY" in statement
        }
    assert len(plans) >= 9
    for statement, plan in plans.items():
        assert "Seq Scan" not in plan, (statement, plan)
        # Everything that was reserved lately, read once for each sale: quadratic.
        assert "ix_sale_reserved" not in plan, (statement, plan)
        # An index read from end to end is a whole table too.
        assert not _GROWING.search(plan), (statement, plan)


def test_the_proof_may_read_whole_tables(books: Books) -> None:
    """It is over everything, and nested loops over everything would never end."""
    seen: list[str] = []
    with books.engine.connect() as connection:
        assert connection.execute(text("SHOW enable_hashjoin")).scalar_one() == "off"

    def listen(connection: Any, _cursor: object, statement: str, *_arguments: object) -> None:
        if statement.lstrip().startswith("SELECT"):
            with connection.connection.driver_connection.cursor() as cursor:
                seen.append(cursor.execute("SHOW enable_hashjoin").fetchone()[0])

    event.listen(books.engine, "before_cursor_execute", listen)
    books.check()
    event.remove(books.engine, "before_cursor_execute", listen)
    assert set(seen) == {"on"}


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("is_analyzed", [False, True])
def test_advices_and_last_answers_read_no_whole_table(
    books: Books, monkeypatch: pytest.MonkeyPatch, is_large: bool, is_analyzed: bool
) -> None:
    """The last sale of a terminal is the end of its part of an index, however many sales there are."""
    if is_large:
        _fill(books)
    if is_analyzed:
        analyze(books.engine)
    order = books.order(INDEBTED)
    books.sell(order)
    books.sell(books.order())
    statements: list[str] = []
    watch_statements(monkeypatch, lambda _, statement: statements.append(statement))
    confirm(books.engine, [books.advice(order)])
    find_last_answers(books.engine, [books.last_answer(), books.last_answer(order)])
    monkeypatch.undo()
    with books.engine.connect() as connection:
        raw = connection.connection.driver_connection
        plans = [
            _generic_plan(raw, statement, re.findall(r"%\((\w+)\)s", statement))
            for statement in dict.fromkeys(statements)
            if "unnest" in statement or "ANY" in statement
        ]
    assert len(plans) >= 7
    for plan in plans:
        assert "Seq Scan" not in plan, plan
        assert "ix_sale_reserved" not in plan, plan
        assert not _GROWING.search(plan), plan
        # By its second column alone this index would be walked from end to end.
        assert plan.count("ix_sale_terminal_code_id") == plan.count("Index Cond: (terminal_code = o.terminal_code)"), (
            plan
        )
    assert sum("Scan Backward using ix_sale_terminal_code_id" in plan for plan in plans) == 1
