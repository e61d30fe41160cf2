"""Whole months of the journal and of the postings leave the database for files; their sums stay, so that balances remain provable.

For each month: its rows are written to a file, the file is read back and counted, and only then one transaction carries the sums forward,
notes the file's digest and drops the month's table. Whatever is killed in between, the rows are still in the database, and the next run
finds the file it needs or writes it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, text

from ledger.archive_file import Contents, Manifest, count, digest_of, path_of, write_manifest, write_rows
from ledger.check import check
from ledger.database import allow_scans, transact
from ledger.months import JOURNAL, PARTITIONED, POSTING, Partitioned, make_months, month_after, partition_of
from ledger.schema import SCHEMA_VERSION

MONTHS_KEPT = 25
"""Months that never leave, besides the present one. A request is found again by its key, which no dialect takes further than 366 days from our
clock: so what a request refers to was received at most 732 days before it."""

DROP_LOCK_MILLISECONDS = 1_000
"""Dropping a month holds up the sales while it waits for those under way, and whoever reads for long ends the attempt instead."""

READ_LOCK_MILLISECONDS = 10_000
"""Nobody writes postings into old months, so waiting for this lock holds up nobody."""


class ArchiveRefused(Exception):
    """A month cannot leave the database; why is said to the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedMonth:
    """A month that left."""

    path: Path
    manifest: Manifest


_KEPT_SINCE = text("""
    SELECT CAST(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :months) AS date)
""")

_MONTHS = text("""
    SELECT to_date(right(child.relname, 7), 'YYYY_MM') AS month FROM pg_inherits AS i
    JOIN pg_class AS child ON child.oid = i.inhrelid
    WHERE i.inhparent = CAST(:name AS regclass) AND child.relname <> CAST(:name AS text) || '_default'
        AND to_date(right(child.relname, 7), 'YYYY_MM') < :before
    ORDER BY month
""")

_NUMBER = text("SELECT 1 + count(*) FROM archived_month WHERE table_name = :name AND month = :month")

_RESERVED = text("""
    SELECT count(*) FROM sale WHERE state = 'reserved' AND (local_date BETWEEN :first AND :last
        OR CAST(transmitted_at AT TIME ZONE 'UTC' AS date) BETWEEN :first AND :last)
""")

_OPEN_DAYS = text("""
    SELECT count(DISTINCT (s.settlement_date, s.acquirer_code)) FROM sale AS s
    WHERE s.settlement_date BETWEEN :first AND :last AND s.state <> 'void' AND NOT EXISTS (
        SELECT FROM closed_day AS c WHERE c.settlement_date = s.settlement_date AND c.acquirer_code = s.acquirer_code
    )
""")

_CARRY_FORWARD = """
    INSERT INTO archived_posting_sum (account_id, meter_id, obligation_id, part, amount_centavos)
    SELECT account_id, coalesce(meter_id, 0), coalesce(obligation_id, 0), coalesce(part, ''), sum(amount_centavos)
    FROM {name} GROUP BY 1, 2, 3, 4
    ON CONFLICT (account_id, meter_id, obligation_id, part)
    DO UPDATE SET amount_centavos = archived_posting_sum.amount_centavos + EXCLUDED.amount_centavos
"""

_NOTE = text("""
    INSERT INTO archived_month (table_name, month, number, row_count, subject_count, debit_centavos, sha256, archived_at)
    VALUES (:table_name, :month, :number, :row_count, :subject_count, :debit_centavos, :sha256, now())
""")


def archive(engine: Engine, *, before: date, directory: Path) -> Iterator[ArchivedMonth]:
    """Archive every whole month before *before*, the oldest first, and give each once it has left.

    The ledger is proved first: what leaves cannot be proved line by line any more.

    Args:
        engine: the ledger.
        before: the first day of the first month that stays.
        directory: made if it is not there. It may hold the files of earlier months.

    Raises:
        ArchiveRefused: this month and those after it are still in the database; those given before have left.
        LedgerUnavailable, LedgerOutcomeUnknown: run it again.
    """
    transact(engine, lambda connection, _attempt: _refuse_young(connection, before))
    report = check(engine, None)
    if not report.agree:
        failed = ", ".join(each.name for each in report.checks if not each.agree)
        raise ArchiveRefused(f"the ledger does not agree with itself: {failed}")
    for table in PARTITIONED.values():
        for month in transact(engine, lambda connection, _attempt, table=table: _months(connection, table, before)):  # type: ignore[misc]
            yield _archive_month(engine, table, month, directory)


def _refuse_young(connection: Connection, before: date) -> None:
    kept_since = _kept_since(connection)
    if before > kept_since:
        raise ArchiveRefused(f"months from {kept_since:%Y-%m} on must stay: copies of their requests may still come")


def _kept_since(connection: Connection) -> date:
    kept_since: date = connection.execute(_KEPT_SINCE, {"months": MONTHS_KEPT}).scalar_one()
    return kept_since


def _months(connection: Connection, table: Partitioned, before: date) -> list[date]:
    """Return the months before *before*; those that lie in the DEFAULT partition get tables first."""
    allow_scans(connection)
    homeless = connection.exec_driver_sql(
        f"SELECT DISTINCT {_month_of(table)} FROM partitions.{table.name}_default WHERE {table.key} < '{before}{table.zone}'"  # noqa: S608
    )
    make_months(connection, table, homeless.scalars().all())
    return list(connection.scalars(_MONTHS, {"name": table.name, "before": before}))


def _month_of(table: Partitioned) -> str:
    moment = f"{table.key} AT TIME ZONE 'UTC'" if table.zone else table.key
    return f"CAST(date_trunc('month', {moment}) AS date)"


def _archive_month(engine: Engine, table: Partitioned, month: date, directory: Path) -> ArchivedMonth:
    """Write, read back, drop."""
    number = transact(engine, lambda connection, _attempt: _prepare(connection, table, month))
    path = path_of(directory, table.name, month, number)
    try:
        _write_file(engine, table, month, path)
    except FileExistsError as error:
        raise ArchiveRefused(
            f"{path} is there already and holds other rows: it is of another ledger, or of another program; give another directory"
        ) from error
    manifest = Manifest(
        table_name=table.name,
        month=month.isoformat(),
        number=number,
        schema_version=SCHEMA_VERSION,
        sha256=digest_of(path),
        **asdict(count(path)),
    )
    write_manifest(path, manifest)
    transact(engine, lambda connection, _attempt: _leave(connection, table, month, manifest))
    return ArchivedMonth(path=path, manifest=manifest)


def _prepare(connection: Connection, table: Partitioned, month: date) -> int:
    """Refuse a month that is not over for good; return the number of its file."""
    allow_scans(connection)
    _refuse_open(connection, table, month)
    number: int = connection.execute(_NUMBER, {"name": table.name, "month": month}).scalar_one()
    return number


def _refuse_open(connection: Connection, table: Partitioned, month: date) -> None:
    """Refuse what somebody may still ask for, or write."""
    following = month_after(month)
    # To its last day: `BETWEEN` takes both ends.
    days = {"first": month, "last": date.fromordinal(following.toordinal() - 1)}
    reserved = connection.execute(_RESERVED, days).scalar_one()
    if reserved:
        raise ArchiveRefused(f"{month:%Y-%m}: {reserved} sales have no outcome yet")
    open_days = connection.execute(_OPEN_DAYS, days).scalar_one()
    if open_days:
        raise ArchiveRefused(
            f"{month:%Y-%m}: {open_days} settlement days are not closed, see `eudora ledger close-days`"
        )
    if table is not JOURNAL:
        return
    young = connection.execute(
        text(f"SELECT count(*) FROM {partition_of(table, month)} WHERE received_at >= :since"),  # noqa: S608 - constants only
        {"since": _kept_since(connection)},
    ).scalar_one()
    if young:
        # 29 February in a year without one: the nearest such day may lie two years back.
        raise ArchiveRefused(
            f"{month:%Y-%m}: {young} requests came lately, from terminals whose clock is wrong by years"
        )


def _write_file(engine: Engine, table: Partitioned, month: date, path: Path) -> None:
    with engine.connect() as connection:
        allow_scans(connection)
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        rows = f"SELECT * FROM {partition_of(table, month)} ORDER BY {table.order}"  # noqa: S608 - constants only
        with raw.cursor() as cursor, cursor.copy(f"COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)".encode()) as rows_out:
            write_rows(path, rows_out)


def _leave(connection: Connection, table: Partitioned, month: date, manifest: Manifest) -> None:
    """Carry the sums of a month forward and drop its table, if it still holds what is in the file.

    Postings are locked against writers meanwhile. The journal is not: a sale's statements name all its months, and would wait. Nobody
    writes there: the outcome of all its sales is known, and no key that comes now lies there.
    """
    allow_scans(connection)
    name = partition_of(table, month)
    if table is POSTING:
        connection.execute(text(f"SET LOCAL lock_timeout = {READ_LOCK_MILLISECONDS}"))
        connection.execute(text(f"LOCK TABLE {name} IN SHARE MODE"))
    _refuse_open(connection, table, month)
    found = _count(connection, table, name)
    if found != manifest.contents:
        raise ArchiveRefused(
            f"{month:%Y-%m}: holds {found}, and its file {manifest.contents}; move the file away and run it again"
        )
    if table is POSTING:
        connection.execute(text(_CARRY_FORWARD.format(name=name)))
    connection.execute(_NOTE, {**asdict(manifest), "month": month})
    connection.execute(text(f"SET LOCAL lock_timeout = {DROP_LOCK_MILLISECONDS}"))
    connection.execute(text(f"DROP TABLE {name}"))


def _count(connection: Connection, table: Partitioned, name: str) -> Contents:
    counted = "count(sale_id) AS subject_count, 0 AS debit_centavos"
    if table is POSTING:
        counted = (
            "count(DISTINCT entry_id) AS subject_count,"
            " CAST(coalesce(sum(greatest(amount_centavos, 0)), 0) AS bigint) AS debit_centavos"
        )
    row = connection.execute(text(f"SELECT count(*) AS row_count, {counted} FROM {name}")).one()  # noqa: S608 - constants only
    return Contents(**row._asdict())
