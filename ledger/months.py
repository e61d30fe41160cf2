"""The months of the journal and of the postings: one table for each, made before anybody needs it.

A row whose month has no table goes to the DEFAULT partition, so that no clock, however wrong, makes a sale fail. When such a month gets
its table its rows move there in the same transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger.database import transact

MONTHS_BEHIND, MONTHS_AHEAD = 1, 3
"""Of the present month, these always exist. Requests carry the times of terminals, nearly all of them right; postings stand on days of our
own clock."""

LOCK_MILLISECONDS = 200
"""Making a month holds up the sales for an instant, once no reader of the DEFAULT partition is left. Who waits longer than this lets the
sales go on and tries again later: there are three months for it."""

MAKER_LOCK = 0x6D6F6E746873
"""Advisory lock: of several processes that look at once one makes months."""


class Partitioned(NamedTuple):
    """A table by months.

    ``key`` is its day or moment, ``order`` what its rows are sorted by, ``fillfactor`` how full its pages are written; ``zone`` ends a
    bound.
    """

    name: str
    key: str
    order: str
    fillfactor: int
    zone: str


# The answer of a journal row, larger than the rest of it, comes later: where it still fits into the page, no index is touched.
JOURNAL = Partitioned(
    "journal", "transmitted_at", "transmitted_at, stan, terminal_code, acquirer_code, message_class", 30, " 00:00:00+00"
)
POSTING = Partitioned("posting", "posted_on", "entry_id, line", 100, "")
PARTITIONED = {table.name: table for table in (JOURNAL, POSTING)}

_MISSING = text("""
    SELECT name, CAST(month AS date) AS month FROM unnest(CAST(:names AS text[])) AS name, generate_series(
        date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :behind),
        date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => :ahead), interval '1 month'
    ) AS month
    WHERE NOT EXISTS (
        SELECT FROM pg_class WHERE relnamespace = 'partitions'::regnamespace AND relname = name || '_' || to_char(month, 'YYYY_MM')
    )
    ORDER BY name, month
""")

# Not to_regclass, here and above: it may answer out of its cache that a table is not there which another process has made meanwhile.
_EXISTS = text("""
    SELECT EXISTS (
        SELECT FROM pg_class WHERE relnamespace = 'partitions'::regnamespace AND 'partitions.' || relname = :name
    )
""")


def ensure_months(engine: Engine) -> None:
    """Make the months around now that are missing; nearly always that is none, and only the catalogue is read.

    Raises:
        LedgerUnavailable: also when somebody reads the DEFAULT partition for long; nothing was made.
        LedgerOutcomeUnknown: call it again.
    """
    transact(engine, lambda connection, _attempt: make_months_around(connection))


def make_months_around(connection: Connection) -> None:
    """Make the months around now that are missing, in this transaction."""
    if not _missing(connection):
        return
    connection.execute(text("SELECT pg_advisory_xact_lock(:maker)"), {"maker": MAKER_LOCK})
    missing = _missing(connection)
    for name in sorted({row[0] for row in missing}):
        make_months(connection, PARTITIONED[name], [row[1] for row in missing if row[0] == name])


def make_months(connection: Connection, table: Partitioned, months: Iterable[date]) -> None:
    """Make the tables of months (first days) that have none yet, and move rows there that lie in the DEFAULT partition.

    The DEFAULT partition is locked until the end of the transaction, so that no row comes to it that belongs into a new month.
    """
    wanted = [month for month in sorted(months) if not exists(connection, table, month)]
    if not wanted:
        return
    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"))
    connection.execute(text(f"LOCK TABLE partitions.{table.name}_default IN ACCESS EXCLUSIVE MODE"))
    for month in wanted:
        _make(connection, table, month)
    connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))


def partition_of(table: Partitioned, month: date) -> str:
    """Return the name of a month's table.

    >>> partition_of(JOURNAL, date(2026, 8, 1))
    'partitions.journal_2026_08'
    """
    return f"partitions.{table.name}_{month:%Y_%m}"


def exists(connection: Connection, table: Partitioned, month: date) -> bool:
    """Whether a month has a table of its own."""
    name = partition_of(table, month)
    return connection.scalar(_EXISTS, {"name": name}) is True


def month_after(month: date) -> date:
    """Return the first day of the following month.

    >>> month_after(date(2026, 12, 1))
    datetime.date(2027, 1, 1)
    """
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def bounds(table: Partitioned, month: date) -> tuple[str, str]:
    """Return the first moment or day of a month and that of the next, as the database reads them.

    >>> bounds(JOURNAL, date(2026, 12, 1))
    ('2026-12-01 00:00:00+00', '2027-01-01 00:00:00+00')
    """
    return f"{month}{table.zone}", f"{month_after(month)}{table.zone}"


def _missing(connection: Connection) -> Sequence[tuple[str, date]]:
    values = {"names": "{" + ",".join(PARTITIONED) + "}", "behind": MONTHS_BEHIND, "ahead": MONTHS_AHEAD}
    return [(row.name, row.month) for row in connection.execute(_MISSING, values)]


def _make(connection: Connection, table: Partitioned, month: date) -> None:
    """Make a table like its parent, fill it, and only then make it a partition: so the parent is locked against nobody's sale."""
    name = partition_of(table, month)
    first, following = bounds(table, month)
    for statement in (
        f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL) WITH (fillfactor = {table.fillfactor})",
        f"WITH moved AS (DELETE FROM partitions.{table.name}_default"  # noqa: S608 - constants only
        f" WHERE {table.key} >= '{first}' AND {table.key} < '{following}' RETURNING *) INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{following}')",
    ):
        # As the driver has it: a colon in a bound is no parameter.
        connection.exec_driver_sql(statement)
