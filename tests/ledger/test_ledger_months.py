"""Months: made ahead, filled from the DEFAULT partition, and made out of a ledger that had none."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from time import sleep

import pytest
from alembic import command
from sqlalchemy import Connection, text

from ledger.database import open_engine, transact
from ledger.day_close import close_days
from ledger.embedded import EmbeddedPostgres
from ledger.errors import LedgerUnavailable
from ledger.months import (
    JOURNAL,
    MAKER_LOCK,
    MONTHS_AHEAD,
    MONTHS_BEHIND,
    POSTING,
    ensure_months,
    exists,
    make_months,
)
from ledger.upgrade import alembic_config, upgrade
from tests.ledger.books import NOW, Books, watch_statements
from vending.order import Repeated
from vending.response_code import ResponseCode
from vending.settlement import CloseDays

MARCH = date(2024, 3, 1)


def months_of(books: Books, name: str) -> list[str]:
    """The partitions of a table, without the parent's name."""
    found = books.value(
        "SELECT array_agg(relname::text ORDER BY relname) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = CAST(:name AS regclass)",
        name=name,
    )
    return [each.removeprefix(name + "_") for each in found]


def test_months_around_now_are_there_with_room_for_the_answers(books: Books) -> None:
    """Made before anybody needs them; an answer that finds no room in its page costs an index entry."""
    for table in (JOURNAL, POSTING):
        names = books.value(
            "SELECT array_agg(to_char(now() AT TIME ZONE 'UTC' + make_interval(months => n), 'YYYY_MM'))"
            " FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n",
            first=-MONTHS_BEHIND,
            last=MONTHS_AHEAD,
        )
        assert {"default", *names} <= set(months_of(books, table.name))
        stored = books.value(
            "SELECT array_agg(DISTINCT reloptions::text) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = CAST(:name AS regclass)",
            name=table.name,
        )
        assert stored == [f"{{fillfactor={table.fillfactor}}}"]


def test_a_month_that_is_missing_is_made_and_then_nothing_is(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs every minute."""
    lost = months_of(books, "posting")[3]
    books.execute(f"DROP TABLE partitions.posting_{lost}")
    close_days(books.engine, CloseDays(at=NOW))
    assert lost in months_of(books, "posting")
    executed: list[str] = []
    watch_statements(monkeypatch, lambda _, statement: executed.append(statement))
    ensure_months(books.engine)
    assert len([each for each in executed if "FROM" in each]) == 1
    assert not [each for each in executed if "LOCK" in each or "CREATE" in each]


def test_a_month_that_another_process_makes_meanwhile_is_not_made_again(books: Books) -> None:
    """Several programs start together after an update: both find months missing, and the second waits for the first."""
    lost = months_of(books, "journal")[3]
    engines = [open_engine(str(books.engine.url)) for _ in range(2)]
    for engine in engines:
        # Asked before, PostgreSQL has all it needs in its caches, and nothing makes it look again whether they are still right.
        with engine.begin() as connection:
            assert not exists(connection, JOURNAL, MARCH)
        ensure_months(engine)
    books.execute(f"DROP TABLE partitions.journal_{lost}")
    with books.engine.begin() as holder, ThreadPoolExecutor(len(engines)) as pool:
        holder.execute(text("SELECT pg_advisory_xact_lock(:maker)"), {"maker": MAKER_LOCK})
        both = [pool.submit(ensure_months, engine) for engine in engines]
        while holder.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")) != len(
            both
        ):
            sleep(0.01)
        holder.rollback()
        for each in both:
            each.result()
    assert months_of(books, "journal").count(lost) == 1
    for engine in engines:
        engine.dispose()


def test_a_sale_of_a_clock_wrong_by_years_moves_when_its_month_is_made(books: Books) -> None:
    """No clock makes a sale fail; later its rows lie where they belong."""
    far = datetime(2048, 2, 29, 12, tzinfo=UTC)
    order = books.order()
    order = replace(order, key=replace(order.key, transmitted_at=far))
    books.sell(order)
    assert books.value("SELECT count(*) FROM partitions.journal_default") == 1
    with books.engine.begin() as connection:
        make_months(connection, JOURNAL, [date(2048, 2, 1)])
    assert books.value("SELECT count(*) FROM partitions.journal_default") == 0
    assert books.value("SELECT count(*) FROM partitions.journal_2048_02") == 1
    assert books.reserve(order) == [Repeated(answer=b"approved", code=ResponseCode.APPROVED)]
    assert books.check().agree


def test_a_month_waits_for_a_long_reader_and_sales_do_not(books: Books) -> None:
    """A backup may read for hours."""
    with books.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM journal"))
        with pytest.raises(LedgerUnavailable):
            transact(books.engine, lambda connection, _attempt: make_months(connection, JOURNAL, [MARCH]))
        books.sell(books.order())
    transact(books.engine, lambda connection, _attempt: make_months(connection, JOURNAL, [MARCH]))
    assert "2024_03" in months_of(books, "journal")


def test_a_row_on_its_way_to_the_default_partition_is_sent_again(books: Books) -> None:
    """Its month was made while it was under way: the bounds refuse it, and the next attempt finds the month."""
    attempts = []

    def work(connection: Connection, attempt: int) -> None:
        attempts.append(attempt)
        table = "partitions.posting_default" if attempt == 0 else "posting"
        day = f"(SELECT to_date('{months_of(books, 'posting')[2]}', 'YYYY_MM'))"
        connection.execute(text(f"INSERT INTO {table} VALUES (1, 1, {day}, 100, 1)"))
        if attempt:
            connection.rollback()

    transact(books.engine, work)
    assert attempts == [0, 1]


# The migration


def test_a_ledger_of_the_schema_before_keeps_every_row(postgres_server: EmbeddedPostgres) -> None:
    """Rows of several years, a terminal's wrong clock included, by their content."""
    administration = open_engine(postgres_server.dsn_of("postgres"))
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE before_months"))
    engine = open_engine(postgres_server.dsn_of("before_months"))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0002")
        for statement in _OF_SCHEMA_2:
            connection.execute(text(statement))
        before = [_content(connection, query) for query in _CONTENTS]
    upgrade(engine)
    with engine.begin() as connection:
        assert [_content(connection, query) for query in _CONTENTS] == before
        assert (
            connection.scalar(
                text(
                    "SELECT count(*) FROM posting AS p JOIN entry AS e ON e.id = p.entry_id AND e.local_date = p.posted_on"
                )
            )
            == 600
        )
        assert connection.scalar(text("SELECT count(*) FROM partitions.journal_default")) == 0
        assert connection.scalar(text("SELECT count(*) FROM partitions.journal_2023_05")) > 0
        command.downgrade(alembic_config(connection), "0002")
        assert [_content(connection, query) for query in _CONTENTS] == before
    upgrade(engine)
    engine.dispose()
    administration.dispose()


_OF_SCHEMA_2 = (
    "INSERT INTO journal SELECT '2023-05-01 12:00+00'::timestamptz + n * interval '5 days', lpad(n::text, 6, '0'), 'T1', 'banco', '0200',"
    " decode(md5(n::text), 'hex'), 'r', '\\x01', 'approved', n, NULLIF(n % 7, 0), decode(repeat(md5(n::text), 9), 'hex'), now(), now()"
    " FROM generate_series(1, 300) AS n",
    "INSERT INTO entry SELECT n, 'sale', n, now(), date '2023-05-01' + 5 * n FROM generate_series(1, 300) AS n",
    "INSERT INTO posting SELECT n, l, 100 * l, CASE l WHEN 1 THEN n ELSE -n END, NULLIF(n % 3, 0), NULLIF(n % 5, 0),"
    " CASE WHEN n % 5 > 0 THEN 'capital' END FROM generate_series(1, 300) AS n, generate_series(1, 2) AS l",
)
_CONTENTS = (
    "SELECT md5(string_agg(j::text, '' ORDER BY j::text)) FROM journal AS j",
    "SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM (SELECT entry_id, line, account_id, amount_centavos, meter_id, obligation_id,"
    " part FROM posting) AS r",
)


def _content(connection: Connection, query: str) -> str:
    digest: str = connection.execute(text(query)).scalar_one()
    return digest
