"""Compares a network's file of a settlement day with the books, line by line, and keeps what differs until a person has decided.

It books nothing. Both sides become temporary tables, filled by COPY and compared by a handful of statements, so a million lines take
seconds. A line of theirs is found by its receipt; one without a receipt, because our answer never reached them, by terminal, STAN and RRN.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from sqlalchemy import Connection, Engine, text

from ledger.database import allow_scans, transact
from ledger.settled_days import IS_SETTLED
from ledger.settlement_file import DayNotClosed
from ledger.settlement_lines import LINES
from messages.partner_csv import ColumnMapping, read_partner_lines
from messages.settlement_file import REVERSAL, SettlementFileError, SettlementLine, SettlementReader

DIFFERENCES_PER_LIST_MAX = 500
"""A list is for a person to read."""

COPY_LINES = 4096
"""Sent to the server at a time."""

DECISIONS = ("ours_stands", "theirs_stands", "adjusted", "no_action")

_CLEAR = tuple(text(f"DROP TABLE IF EXISTS pg_temp.{table}") for table in ("theirs", "ours", "pairs"))

_MAKE_THEIRS = text("""
    CREATE TEMPORARY TABLE theirs (line bigint, is_reversal boolean, kind text, receipt bigint, terminal_code text, stan text, rrn text,
        paid bigint, commission bigint, tax bigint) ON COMMIT DROP
""")

_MAKE_OURS = text("""
    CREATE TEMPORARY TABLE ours (is_reversal boolean, kind text, receipt bigint, terminal_code text, stan text, rrn text,
        paid bigint, commission bigint, tax bigint) ON COMMIT DROP
""")

_FILL_OURS = text(f"""
    INSERT INTO ours SELECT kind = '{REVERSAL}', kind, receipt, btrim(terminal_code), btrim(stan), btrim(rrn), paid, commission, tax
    FROM ({LINES.format(day=":day", acquirer=":acquirer")}) AS l
""")  # noqa: S608 - constants only

_ANALYZE = tuple(text(f"ANALYZE {table}") for table in ("theirs", "ours"))

# The nth of their lines that look alike is the nth of ours; what is left over of theirs stands twice.
_MAKE_PAIRS = text("""
    CREATE TEMPORARY TABLE pairs ON COMMIT DROP AS
    WITH their_lines AS (
        SELECT *, row_number() OVER (PARTITION BY is_reversal, receipt, CASE WHEN receipt IS NULL THEN terminal_code END,
            CASE WHEN receipt IS NULL THEN stan END, CASE WHEN receipt IS NULL THEN rrn END ORDER BY line) AS nth FROM theirs
    ), by_receipt AS (
        SELECT t.line, o.is_reversal, o.receipt FROM their_lines AS t
        JOIN ours AS o ON o.receipt = t.receipt AND o.is_reversal = t.is_reversal WHERE t.nth = 1
    ), our_rest AS (
        SELECT o.*, row_number() OVER (PARTITION BY o.is_reversal, o.terminal_code, o.stan, o.rrn ORDER BY o.receipt) AS nth
        FROM ours AS o LEFT JOIN by_receipt AS b ON b.receipt = o.receipt AND b.is_reversal = o.is_reversal WHERE b.line IS NULL
    ), by_key AS (
        SELECT t.line, o.is_reversal, o.receipt FROM their_lines AS t JOIN our_rest AS o ON o.is_reversal = t.is_reversal
            AND o.terminal_code = t.terminal_code AND o.stan = t.stan AND o.rrn = t.rrn AND o.nth = t.nth
        WHERE t.receipt IS NULL
    )
    SELECT t.line AS their_line, t.nth, p.receipt AS our_receipt, p.is_reversal FROM their_lines AS t
    LEFT JOIN (SELECT * FROM by_receipt UNION ALL SELECT * FROM by_key) AS p ON p.line = t.line
""")

_WRITE_DIFFERENCES = text("""
    INSERT INTO settlement_difference (run_id, kind, line_kind, their_line, receipt, terminal_code, stan, rrn, our_centavos,
        their_centavos, our_commission_centavos, their_commission_centavos, our_tax_centavos, their_tax_centavos)
    SELECT :run_id, 'ours_only', o.kind, NULL, o.receipt, o.terminal_code, o.stan, o.rrn, o.paid, NULL, o.commission, NULL, o.tax, NULL
    FROM ours AS o LEFT JOIN pairs AS p ON p.our_receipt = o.receipt AND p.is_reversal = o.is_reversal WHERE p.their_line IS NULL
    UNION ALL
    SELECT :run_id, CASE WHEN p.nth = 1 THEN 'theirs_only' ELSE 'duplicate' END, t.kind, t.line, t.receipt, t.terminal_code, t.stan,
        t.rrn, NULL, t.paid, NULL, t.commission, NULL, t.tax
    FROM pairs AS p JOIN theirs AS t ON t.line = p.their_line WHERE p.our_receipt IS NULL
    UNION ALL
    SELECT :run_id, 'amounts_differ', o.kind, t.line, o.receipt, o.terminal_code, o.stan, o.rrn, o.paid, t.paid, o.commission,
        t.commission, o.tax, t.tax
    FROM pairs AS p JOIN theirs AS t ON t.line = p.their_line
    JOIN ours AS o ON o.receipt = p.our_receipt AND o.is_reversal = p.is_reversal
    WHERE t.paid <> o.paid OR t.commission <> o.commission OR t.tax <> o.tax
""")

_COUNT = text("""
    SELECT (SELECT count(*) FROM ours) AS ours, (SELECT count(*) FROM theirs) AS theirs,
        (SELECT count(*) FROM pairs AS p JOIN theirs AS t ON t.line = p.their_line
            JOIN ours AS o ON o.receipt = p.our_receipt AND o.is_reversal = p.is_reversal
            WHERE NOT coalesce(t.paid <> o.paid OR t.commission <> o.commission OR t.tax <> o.tax, false)) AS matched
""")

_WRITE_RUN = text("""
    INSERT INTO settlement_run (acquirer_code, settlement_date, file_name, sha256, our_lines, their_lines, matched, run_by, run_at)
    VALUES (:acquirer, :day, :name, :sha256, :ours, :theirs, :matched, :user, :at)
    ON CONFLICT DO NOTHING RETURNING id
""")

_READ_RUN = text("""
    SELECT r.*, (SELECT count(*) FROM settlement_difference AS d WHERE d.run_id = r.id) AS differences FROM settlement_run AS r
    WHERE r.acquirer_code = :acquirer AND r.settlement_date = :day AND r.sha256 = :sha256
""")

_DIFFERENCES = """
    SELECT d.*, r.acquirer_code, r.settlement_date FROM settlement_difference AS d JOIN settlement_run AS r ON r.id = d.run_id
"""
_OF_RUN = text(f"{_DIFFERENCES} WHERE d.run_id = :run_id ORDER BY d.id LIMIT :most")
_OPEN = text(
    f"{_DIFFERENCES} WHERE d.decision IS NULL AND (CAST(:acquirer AS text) IS NULL OR r.acquirer_code = :acquirer) "
    "ORDER BY d.id LIMIT :most"
)
_ONE = text(f"{_DIFFERENCES} WHERE d.id = :id FOR UPDATE OF d")

_DECIDE = text("""
    UPDATE settlement_difference SET decision = :decision, decided_by = :user, decided_at = :at, why = :why WHERE id = :id
""")


class DifferenceRefused(Exception):
    """There is no such difference, or it was decided otherwise before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirFile:
    """A file that a network sent: in our layout, or with a mapping and the words of who it is from and of which day."""

    path: Path
    mapping: ColumnMapping | None = None
    acquirer_id: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One comparison. ``matched`` lines are equal on both sides."""

    run_id: int
    acquirer_id: str
    day: date
    our_lines: int
    their_lines: int
    matched: int
    differences: int
    is_repeat: bool
    """Whether this very file was compared before; then nothing was written now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs in one line; sums are None where a side has none or did not say."""

    difference_id: int
    run_id: int
    acquirer_id: str
    day: date
    kind: str
    line_kind: str
    their_line: int | None
    receipt: int | None
    terminal_id: str
    stan: str
    rrn: str
    ours: tuple[int | None, int | None, int | None]
    """Amount, commission, tax."""
    theirs: tuple[int | None, int | None, int | None]
    decision: str | None
    decided_by: str | None
    why: str | None


def compare_file(engine: Engine, theirs: TheirFile, *, user: str, at: datetime) -> Run:
    """Compare a file with the books of its day and keep what differs; the same file again changes nothing.

    Raises:
        SettlementFileError: the file cannot be read, or is not of that network or day; nothing was written.
        DayNotClosed: the day may still change; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: compare it again.
    """

    def work(connection: Connection, _attempt: int) -> Run:
        allow_scans(connection)
        for statement in (*_CLEAR, _MAKE_THEIRS, _MAKE_OURS):
            connection.execute(statement)
        acquirer_id, day, sha256 = _load(connection, theirs)
        values: dict[str, Any] = {"acquirer": acquirer_id, "day": day, "sha256": sha256}
        known = connection.execute(_READ_RUN, values).one_or_none()
        if known is not None:
            return _run_of(known, is_repeat=True)
        if connection.execute(IS_SETTLED, values).first() is None:
            raise DayNotClosed(f"{acquirer_id} {day.isoformat()}")
        connection.execute(_FILL_OURS, values)
        for statement in (*_ANALYZE, _MAKE_PAIRS):
            connection.execute(statement)
        counts = connection.execute(_COUNT).one()
        written = {**values, **counts._mapping, "name": theirs.path.name, "user": user, "at": at}
        run_id = connection.execute(_WRITE_RUN, written).scalar_one_or_none()
        if run_id is not None:
            connection.execute(_WRITE_DIFFERENCES, {"run_id": run_id})
        return _run_of(connection.execute(_READ_RUN, values).one(), is_repeat=run_id is None)

    return transact(engine, work)


def differences_of(engine: Engine, run_id: int) -> list[Difference]:
    """Return what differed in one run, at most `DIFFERENCES_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    values = {"run_id": run_id, "most": DIFFERENCES_PER_LIST_MAX}
    return transact(engine, lambda connection, _: _differences(connection.execute(_OF_RUN, values).all()))


def open_differences(engine: Engine, acquirer_id: str | None = None) -> list[Difference]:
    """Return what nobody has decided yet, the oldest first, at most `DIFFERENCES_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    values = {"acquirer": acquirer_id, "most": DIFFERENCES_PER_LIST_MAX}
    return transact(engine, lambda connection, _: _differences(connection.execute(_OPEN, values).all()))


def decide(engine: Engine, difference_id: int, decision: str, *, user: str, why: str, at: datetime) -> Difference:
    """Record what a person decided; deciding the same again changes nothing. Money moves only by an adjustment.

    Args:
        engine: the ledger.
        difference_id: of `open_differences`.
        decision: one of `DECISIONS`.
        user: who decides, as `vending.two_people.user_name` gives it.
        why: not blank.
        at: now, aware.

    Raises:
        DifferenceRefused: there is none, or it was decided before.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: decide again.
    """
    assert decision in DECISIONS, "a decision is one of the list"
    assert why.strip(), "a decision has a reason"

    def work(connection: Connection, _attempt: int) -> Difference:
        row = connection.execute(_ONE, {"id": difference_id}).one_or_none()
        if row is None:
            raise DifferenceRefused(f"there is no difference {difference_id}")
        if row.decision is None:
            values = {"id": difference_id, "decision": decision, "user": user, "at": at, "why": why.strip()}
            connection.execute(_DECIDE, values)
            row = connection.execute(_ONE, {"id": difference_id}).one()
        elif (row.decision, row.decided_by) != (decision, user):
            raise DifferenceRefused(f"{difference_id}: {row.decision} by {row.decided_by}")
        return _difference_of(row)

    return transact(engine, work)


def _load(connection: Connection, theirs: TheirFile) -> tuple[str, date, str]:
    """Fill the table of their lines; return the network, the day and the digest of the file with its mapping."""
    digest = hashlib.sha256(b"" if theirs.mapping is None else repr(theirs.mapping).encode())
    acquirer_id, day = theirs.acquirer_id, theirs.day
    with theirs.path.open("rb") as file:
        if theirs.mapping is None:
            reader = SettlementReader(_hashed(file, digest))
            _copy(connection, reader.lines())
            if acquirer_id not in (None, reader.acquirer_id) or day not in (None, reader.day):
                raise SettlementFileError(f"it is of {reader.acquirer_id} on {reader.day.isoformat()}")
            acquirer_id, day = reader.acquirer_id, reader.day
        else:
            _copy(connection, read_partner_lines(_hashed(file, digest), theirs.mapping))
    if acquirer_id is None or day is None:
        raise SettlementFileError("a network's own layout does not say whose it is and of which day")
    return acquirer_id, day, digest.hexdigest()


def _hashed(file: BinaryIO, digest: Any) -> Iterator[bytes]:
    for octets in file:
        digest.update(octets)
        yield octets


def _copy(connection: Connection, lines: Iterator[tuple[int, SettlementLine]]) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    with raw.cursor() as cursor, cursor.copy("COPY theirs FROM STDIN") as copy:
        rows: list[str] = []
        for number, line in lines:
            rows.append(_row(number, line))
            if len(rows) == COPY_LINES:
                copy.write("".join(rows))
                rows.clear()
        copy.write("".join(rows))


def _row(number: int, line: SettlementLine) -> str:
    """Write a line as COPY reads it."""
    texts = f"{line.terminal_id.strip()}\t{line.stan.strip()}\t{line.rrn.strip()}"
    if "\\" in texts or texts.count("\t") != 2 or not texts.replace("\t", "").isprintable():
        raise SettlementFileError(f"line {number}: a sign that stands in no terminal, STAN or RRN")
    receipt, commission, tax = (
        "\\N" if value is None else value for value in (line.receipt, line.commission_centavos, line.tax_centavos)
    )
    reversal = "t" if line.kind == REVERSAL else "f"
    return f"{number}\t{reversal}\t{line.kind}\t{receipt}\t{texts}\t{line.paid_centavos}\t{commission}\t{tax}\n"


def _run_of(row: Any, *, is_repeat: bool) -> Run:
    return Run(
        run_id=row.id,
        acquirer_id=row.acquirer_code,
        day=row.settlement_date,
        our_lines=row.our_lines,
        their_lines=row.their_lines,
        matched=row.matched,
        differences=row.differences,
        is_repeat=is_repeat,
    )


def _differences(rows: Sequence[Any]) -> list[Difference]:
    return [_difference_of(row) for row in rows]


def _difference_of(row: Any) -> Difference:
    return Difference(
        difference_id=row.id,
        run_id=row.run_id,
        acquirer_id=row.acquirer_code,
        day=row.settlement_date,
        kind=row.kind,
        line_kind=row.line_kind,
        their_line=row.their_line,
        receipt=row.receipt,
        terminal_id=row.terminal_code,
        stan=row.stan,
        rrn=row.rrn,
        ours=(row.our_centavos, row.our_commission_centavos, row.our_tax_centavos),
        theirs=(row.their_centavos, row.their_commission_centavos, row.their_tax_centavos),
        decision=row.decision,
        decided_by=row.decided_by,
        why=row.why,
    )
