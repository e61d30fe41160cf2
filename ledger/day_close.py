"""Settlement days: the cut-over that a network asks for, and the snapshot of each day that is over.

A sale stands on the later of its network's settlement date and the local day of its reception, read and written in the transaction that
reserves it; the reversal of one stands, in the same way, on a day of its own. So a day is over for good once two things are true: the network's settlement date lies behind it (one row is updated, that
sales only read), and every transaction that may have read the older date has ended. PostgreSQL knows the latter: whoever has read a table
holds a lock on it, of the kind that hinders nobody, until his transaction ends.
"""

from datetime import date, timedelta

from sqlalchemy import Connection, Engine, text

from ledger import arrays
from ledger.database import allow_scans, transact
from ledger.months import ensure_months
from vending.calendar import local_date, local_time
from vending.response_code import ResponseCode
from vending.settlement import CloseDays, CutOver, CutOverOrder, DaysClosed

DAYS_PER_RUN_MAX = 64
"""After a long absence the days are closed in portions, the oldest first."""

POLLS_MAX = 100
"""How often a run looks, 20 ms apart, whether transactions that began before it have ended; a sale's takes milliseconds. The next run
looks again."""

SCAN_TIMEOUT_MILLISECONDS = 300_000
"""For reading whole days: their rows are many."""

_TERMINAL = text("""
    SELECT t.status FROM acquirer AS a JOIN terminal AS t ON t.acquirer_id = a.id WHERE a.code = :acquirer AND t.code = :terminal
""")

_CUT_OVER = text("UPDATE acquirer SET settlement_date = :next WHERE code = :acquirer AND settlement_date < :next")

_BAR = text("UPDATE acquirer SET settlement_date = :today WHERE settlement_date < :today")

_BEGINNERS = text("""
    SELECT a.code FROM acquirer AS a WHERE NOT EXISTS (SELECT 1 FROM closed_day AS c WHERE c.acquirer_code = a.code)
""")

_BEGIN = text("""
    INSERT INTO closed_day (settlement_date, acquirer_code, closed_at)
    SELECT least(CAST(:today AS date), (SELECT min(s.settlement_date) FROM sale AS s WHERE s.acquirer_code = a.code)) - 1, a.code, :at
    FROM acquirer AS a WHERE a.code = ANY (CAST(:codes AS text[]))
    ON CONFLICT DO NOTHING
""")

_PAST_DAYS = text("""
    SELECT a.code, CAST(day AS date) AS day FROM acquirer AS a
    CROSS JOIN LATERAL (SELECT min(settlement_date) AS first FROM closed_day AS c WHERE c.acquirer_code = a.code) AS begun
    CROSS JOIN LATERAL generate_series(begun.first, a.settlement_date - 1, interval '1 day') AS day
    WHERE NOT EXISTS (SELECT 1 FROM closed_day AS c WHERE c.settlement_date = CAST(day AS date) AND c.acquirer_code = a.code)
    ORDER BY day, a.code LIMIT :most
""")

_READERS = text("""
    SELECT l.virtualtransaction FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.relation = CAST('acquirer' AS regclass)
        AND l.pid <> pg_backend_pid()
""")

_PAUSE = text("SELECT pg_sleep_for(interval '20 milliseconds')")

_CLOSE = text("""
    WITH closing AS (
        INSERT INTO closed_day (settlement_date, acquirer_code, closed_at)
        SELECT o.day, o.code, :at FROM unnest(CAST(:days AS date[]), CAST(:codes AS text[])) AS o (day, code)
        WHERE NOT EXISTS (
            SELECT 1 FROM sale AS s WHERE s.state = 'reserved' AND s.settlement_date = o.day AND s.acquirer_code = o.code
        )
        ON CONFLICT DO NOTHING RETURNING settlement_date, acquirer_code
    ), totals AS (
        INSERT INTO day_total (settlement_date, acquirer_code, terminal_code, kind, sales, paid_centavos, commission_centavos,
            commission_tax_centavos, closed_at)
        SELECT s.settlement_date, s.acquirer_code, s.terminal_code, s.kind, count(*), sum(s.paid_centavos), sum(s.commission_centavos),
            sum(s.commission_tax_centavos), :at
        FROM closing AS c JOIN sale AS s ON s.settlement_date = c.settlement_date AND s.acquirer_code = c.acquirer_code
        WHERE s.state = 'posted' GROUP BY s.settlement_date, s.acquirer_code, s.terminal_code, s.kind
        UNION ALL
        SELECT p.settlement_date, p.acquirer_code, p.terminal_code, 'reversal', count(*), sum(p.paid_centavos), sum(s.commission_centavos),
            sum(s.commission_tax_centavos), :at
        FROM closing AS c JOIN parked_token AS p ON p.settlement_date = c.settlement_date AND p.acquirer_code = c.acquirer_code
        JOIN sale AS s ON s.id = p.sale_id
        GROUP BY p.settlement_date, p.acquirer_code, p.terminal_code
    )
    SELECT acquirer_code, settlement_date FROM closing
""")


def cut_over(engine: Engine, order: CutOverOrder) -> CutOver:
    """Begin the next settlement day of a network, if the one to be closed is the present one.

    The caller names the day that he wants closed, so the same request twice moves the day once.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: send the same again.
    """
    return transact(engine, lambda connection, _attempt: _cut_over(connection, order))


def _cut_over(connection: Connection, order: CutOverOrder) -> CutOver:
    values = {"acquirer": order.acquirer_id, "terminal": order.terminal_id}
    status = connection.scalar(_TERMINAL, values)
    if status is None:
        return CutOver(code=ResponseCode.TERMINAL_UNKNOWN)
    if status != "active":
        return CutOver(code=ResponseCode.TERMINAL_BLOCKED)
    today = local_date(order.received_at)
    if order.closing > today:
        return CutOver(code=ResponseCode.FORMAT_ERROR)
    if order.closing < today:
        # The clock was first.
        return CutOver(code=ResponseCode.APPROVED)
    moved = connection.execute(_CUT_OVER, {**values, "next": order.closing + timedelta(days=1)})
    return CutOver(code=ResponseCode.APPROVED, is_moved=moved.rowcount == 1)


def close_days(engine: Engine, order: CloseDays, *, polls_max: int = POLLS_MAX) -> DaysClosed:
    """Write the totals of all settlement days that are over, have no reserved sale left and cannot get another.

    This is what runs every minute off the path of sales, so it also sees to it that coming months have their tables.

    May run in several processes at once: each day is closed by one of them.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: run it again.
    """
    ensure_months(engine)
    transact(engine, lambda connection, _attempt: _move_days(connection, order))
    days, is_begun = transact(engine, lambda connection, _attempt: _past_days(connection))
    if is_begun and not days:
        return DaysClosed(closed=(), left=())
    if not _older_readers_are_gone(engine, polls_max):
        return DaysClosed(closed=(), left=days)
    return transact(engine, lambda connection, _attempt: _close(connection, order))


def _move_days(connection: Connection, order: CloseDays) -> None:
    """Bring every network's settlement date up to the clock: to today, or to tomorrow where its own cut-over is past."""
    now = local_time(order.at)
    connection.execute(_BAR, {"today": now.date()})
    for acquirer_id, at in order.cut_overs:
        if now.time() >= at:
            connection.execute(_CUT_OVER, {"acquirer": acquirer_id, "next": now.date() + timedelta(days=1)})


def _past_days(connection: Connection) -> tuple[tuple[tuple[str, date], ...], bool]:
    """Return the days that are over and not closed, and whether every network has its first closed day."""
    days = connection.execute(_PAST_DAYS, {"most": DAYS_PER_RUN_MAX})
    return tuple((row.code, row.day) for row in days), connection.execute(_BEGINNERS).first() is None


def _older_readers_are_gone(engine: Engine, polls_max: int) -> bool:
    """Wait for the transactions that have read a network's row before now.

    What they read may be the date before the last change. A later one reads the new date, because the change is committed.
    """
    readers = _readers(engine)
    for _ in range(polls_max):
        if not readers:
            break
        transact(engine, lambda connection, _attempt: connection.execute(_PAUSE))
        readers &= _readers(engine)
    return not readers


def _readers(engine: Engine) -> set[str]:
    return transact(engine, lambda connection, _attempt: set(connection.scalars(_READERS)))


def _close(connection: Connection, order: CloseDays) -> DaysClosed:
    allow_scans(connection)
    connection.execute(text(f"SET LOCAL statement_timeout = {SCAN_TIMEOUT_MILLISECONDS}"))
    # A network is in business from the day on which it is first seen here, or from its first sale if that was earlier. Its row of closed
    # days begins with the day before, which is none of its days: no file and no notice is of it (`ledger.settled_days`).
    beginners = list(connection.scalars(_BEGINNERS))
    if beginners:
        connection.execute(_BEGIN, {"codes": arrays.texts(beginners), "at": order.at, "today": local_date(order.at)})
    days, _ = _past_days(connection)
    closed = connection.execute(
        _CLOSE,
        {
            "days": arrays.times([day for _, day in days]),
            "codes": arrays.texts([code for code, _ in days]),
            "at": order.at,
        },
    )
    done = {(row.acquirer_code, row.settlement_date) for row in closed}
    return DaysClosed(
        closed=tuple(each for each in days if each in done), left=tuple(each for each in days if each not in done)
    )
