"""The tables of the mint log and the statements on them. What they mean is in `security_module.mint_log`."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from messages.security_module import MintRecord, RegisterCount, Status, WorkRecord
from messages.security_module_work_shapes import KEY_CHANGE_SUBCLASS
from security_module.audit_chain import CHAIN_START, Head
from security_module.lease_store import LEASE_SCHEMA, Statements
from security_module.rules import Tally
from vending.calendar import local_date
from vending.engineering import EngineeringKind
from vending.money import Centavos

SCHEMA_VERSION = 2
LOOKUP_MAX = 500
"""Request ids per SELECT: far below SQLite's limit on bound values, which is 999 in its oldest builds."""
BUSY_MILLISECONDS = 5_000
"""Somebody who moves old segments away writes for some milliseconds at a time."""

_SCHEMA = """
CREATE TABLE record (
    sequence INTEGER PRIMARY KEY,
    request_id INTEGER UNIQUE,
    content BLOB,
    status TEXT,
    line TEXT NOT NULL,
    link BLOB NOT NULL
);
CREATE TABLE counter (
    register_id INTEGER NOT NULL,
    local_day TEXT NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    units_tenths INTEGER NOT NULL,
    charged_centavos INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    PRIMARY KEY (register_id, local_day)
) WITHOUT ROWID;
CREATE TABLE day (local_day TEXT PRIMARY KEY, first_sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE head (
    number INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    link BLOB NOT NULL,
    module_id TEXT NOT NULL,
    signed_at TEXT NOT NULL,
    signature BLOB NOT NULL
);
CREATE INDEX head_sequence ON head (sequence);
CREATE TABLE known (request_id INTEGER PRIMARY KEY, content BLOB NOT NULL, status TEXT NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_ROW = "(?, ?, ?, ?, ?, ?)"
_INSERTS = tuple((rows, f"INSERT INTO record VALUES {', '.join([_ROW] * rows)}") for rows in (128, 16, 1))  # noqa: S608
"""How many rows each statement adds, the most first; six values each, so the limit on bound values holds as above."""

# Sequence, request id (with sign), content, code of the status, line, link: as it stands in the table.
Row = tuple[int, int | None, bytes | None, str | None, str, bytes]
Known = tuple[bytes, Status, int | None]
"""Content, status and what was charged of a request that was decided; None: not said, or moved away."""
Quota = tuple[int, bool]
"""A register, and whether key changes are meant or tokens that nobody pays for."""
Key = tuple[int, date | None]
"""A register and a local day, or None for its whole life."""
MINT_KIND = "mint"
"""The kind of a record of credit; others are ``engineering``, ``key_change`` and ``act``."""
IS_MINT = f'instr(line, \'"kind":"{MINT_KIND}"\') > 0'
"""The same as a condition on a record."""
IS_WORK = f'request_id IS NOT NULL AND instr(line, \'"kind":"{MINT_KIND}"\') = 0'
"""A record of a request for tokens that are no credit, as a condition."""
_WORK_INDEX = f"CREATE INDEX IF NOT EXISTS record_of_work ON record (sequence) WHERE {IS_WORK}"
"""They are few among many mints; without it a question for an old day would read every mint since, and hold up the new ones."""
_UNAPPROVED = (
    '(instr(line, \'"kind":"engineering"\') > 0 OR instr(line, \'"kind":"key_change"\') > 0'
    " OR instr(line, '\"charged_centavos\":0,') > 0 OR instr(line, '\"charged_centavos\":null') > 0)"
)
_STATUS_OF = {status.code: status for status in Status}


class MintLogError(Exception):
    """The log cannot be trusted: another version, or its chain or its counters do not agree with its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One transaction.

    Attributes:
        rows: new records.
        tallies: new values of counters, by register and local day.
        last_sequence: of the rows, for those counters.
        new_day: a local day that was not seen before, and its first sequence.
        heads: signed now.
        state: named values.
        more: what else is written with it, of leases.
    """

    rows: Sequence[Row] = ()
    tallies: Mapping[tuple[int, date], Tally] = field(default_factory=dict)
    last_sequence: int = 0
    new_day: tuple[date, int] | None = None
    heads: Sequence[Head] = ()
    state: Mapping[str, str] = field(default_factory=dict)
    more: Statements = ()


def open_store(path: Path) -> sqlite3.Connection:
    """Open or make the file; `MintLogError` if it is of another version."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise MintLogError(f"mint log version {version}, this program writes {SCHEMA_VERSION}")
        database.execute(_WORK_INDEX)
        database.executescript(LEASE_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open the file for reading, in one snapshot, while the module may be running; `MintLogError` as `open_store`."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise MintLogError(f"mint log version {version}, this program reads {SCHEMA_VERSION}")
        database.execute("BEGIN")
    except BaseException:
        database.close()
        raise
    return database


def write(database: sqlite3.Connection, change: Change) -> None:
    """Make *change* durable, whole or not at all; `sqlite3.Error`: nothing was written, or nothing is known of it."""
    run = database
    run.execute("BEGIN IMMEDIATE")
    try:
        _insert(run, change.rows)
        for statement, values in _statements(change):
            if values:  # Under no load most are empty, and each statement costs some microseconds.
                run.executemany(statement, values)
        run.execute("COMMIT")
    except BaseException:
        if run.in_transaction:
            run.execute("ROLLBACK")
        raise


def _insert(database: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add records, many to a statement.

    At the end of each statement this thread gives the interpreter's lock away and must wait for it again, while the reactor computes.
    """
    start = 0
    for many, statement in _INSERTS:
        while start + many <= len(rows):
            database.execute(statement, [*chain.from_iterable(rows[start : start + many])])
            start += many


def _statements(change: Change) -> Iterator[tuple[str, Sequence[tuple[Any, ...]]]]:
    yield (
        "INSERT OR REPLACE INTO counter VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (register, day.isoformat(), *_values(tally), change.last_sequence)
            for (register, day), tally in change.tallies.items()
        ],
    )
    if change.new_day is not None:
        yield "INSERT OR IGNORE INTO day VALUES (?, ?)", [(change.new_day[0].isoformat(), change.new_day[1])]
    yield (
        "INSERT INTO head (sequence, link, module_id, signed_at, signature) VALUES (?, ?, ?, ?, ?)",
        [(each.sequence, each.link, each.module_id, each.signed_at, each.signature) for each in change.heads],
    )
    yield "INSERT OR REPLACE INTO state VALUES (?, ?)", list(change.state.items())
    yield from change.more


def read_newest(database: sqlite3.Connection) -> datetime | None:
    """Return the latest time that was written down since an operator accepted the clock; None: nothing was."""
    times = [datetime.fromisoformat(each) for each in (read_state(database).get("newest"),) if each is not None]
    last = database.execute("SELECT line FROM record ORDER BY sequence DESC LIMIT 1").fetchone()
    if last is not None:
        times.append(datetime.fromisoformat(json.loads(last[0])["at"]))
    return max(times, default=None)


def _values(tally: Tally) -> tuple[int, int, int, int]:
    return tally.requests, tally.tokens, tally.units_tenths, tally.charged_centavos


def read_tallies(database: sqlite3.Connection) -> dict[Key, Tally]:
    """Return the counters of each register and local day, and under the day None their sums."""
    tallies: dict[Key, Tally] = {}
    query = "SELECT register_id, local_day, requests, tokens, units_tenths, charged_centavos FROM counter"
    for register_id, day, *values in database.execute(query):
        tallies[register_id, date.fromisoformat(day)] = Tally(*values)
        life = tallies.setdefault((register_id, None), Tally())
        for name, value in zip(Tally.__slots__, values, strict=True):
            setattr(life, name, getattr(life, name) + value)
    return tallies


def read_unapproved(database: sqlite3.Connection, day: date) -> Counter[Quota]:
    """Return what was given on a local day without approvals, of what a register may limit; moved records are not counted."""
    first = database.execute("SELECT first_sequence FROM day WHERE local_day = ?", (day.isoformat(),)).fetchone()
    used: Counter[Quota] = Counter()
    if first is None:
        return used
    query = f"SELECT line FROM record WHERE sequence >= ? AND status = ? AND {_UNAPPROVED}"  # noqa: S608
    for (line,) in database.execute(query, (first[0], Status.OK.code)):
        fields = json.loads(line)
        if not fields.get("approved_by") and local_date(datetime.fromisoformat(fields["at"])) == day:
            used[fields["register"], fields["kind"] == "key_change"] += len(fields.get("tokens", (0,)))
    return used


def read_end(database: sqlite3.Connection) -> tuple[int, bytes]:
    """Return sequence and link of the last record, wherever it is now."""
    last = database.execute("SELECT sequence, link FROM record ORDER BY sequence DESC LIMIT 1").fetchone()
    return (last[0], last[1]) if last is not None else read_base(database)


def read_base(database: sqlite3.Connection) -> tuple[int, bytes]:
    """Return sequence and link of the last record that was moved away; 0 and the start of the chain if none was."""
    state = read_state(database)
    if "base_sequence" not in state:
        return 0, CHAIN_START
    return int(state["base_sequence"]), bytes.fromhex(state["base_link"])


def read_days(database: sqlite3.Connection) -> set[date]:
    """Return the local days that have records."""
    return {date.fromisoformat(day) for (day,) in database.execute("SELECT local_day FROM day")}


def read_state(database: sqlite3.Connection) -> dict[str, str]:
    """Return the named values."""
    return dict(database.execute("SELECT name, value FROM state").fetchall())


def read_registers(database: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """Return the rules of the registers as of the last start, by register id as text."""
    registers: dict[str, dict[str, Any]] = json.loads(read_state(database).get("registers", "{}"))
    return registers


def read_clients(database: sqlite3.Connection) -> list[dict[str, str]]:
    """Return who might connect as of the last start: name, role, pin."""
    clients: list[dict[str, str]] = json.loads(read_state(database).get("clients", "[]"))
    return clients


def read_revoked(database: sqlite3.Connection) -> frozenset[str]:
    """Return the pins of the clients that were ever revoked."""
    return frozenset(json.loads(read_state(database).get("revoked", "[]")))


def read_heads(database: sqlite3.Connection, first_sequence: int, last_sequence: int) -> Iterator[Head]:
    """Return the heads of the records from *first_sequence* to *last_sequence*, in order."""
    query = (
        "SELECT sequence, link, module_id, signed_at, signature FROM head WHERE sequence BETWEEN ? AND ?"
        " ORDER BY sequence, number"
    )
    for row in database.execute(query, (first_sequence, last_sequence)):
        yield _head(row)


def read_last_head(database: sqlite3.Connection) -> Head | None:
    """Return the head that was signed last."""
    query = "SELECT sequence, link, module_id, signed_at, signature FROM head ORDER BY number DESC LIMIT 1"
    row = database.execute(query).fetchone()
    return _head(row) if row is not None else None


def _head(row: tuple[int, bytes, str, str, bytes]) -> Head:
    return Head(sequence=row[0], link=row[1], module_id=row[2], signed_at=row[3], signature=row[4])


def find(database: sqlite3.Connection, request_ids: Sequence[int]) -> dict[int, Known]:
    """Return what is known of *request_ids*, those that were moved away included."""
    found: dict[int, Known] = {}
    for start in range(0, len(request_ids), LOOKUP_MAX):
        some = [signed(each) for each in request_ids[start : start + LOOKUP_MAX]]
        marks = ",".join("?" * len(some))
        # The log first: whoever moves a record away does it in one transaction, so what is not here is there by now.
        query = f"SELECT request_id, content, status, line FROM record WHERE request_id IN ({marks})"  # noqa: S608
        for request_id, content, code, line in database.execute(query, some):
            found[unsigned(request_id)] = (content, _STATUS_OF[code], json.loads(line).get("charged_centavos"))
        query = f"SELECT request_id, content, status FROM known WHERE request_id IN ({marks})"  # noqa: S608
        for request_id, content, code in database.execute(query, some):
            found[unsigned(request_id)] = (content, _STATUS_OF[code], None)
    return found


def mints_of(database: sqlite3.Connection, day: date, after_sequence: int, records_max: int) -> tuple[MintRecord, ...]:
    """Return the done mints of a local day after a sequence, in order, at most *records_max*."""
    first = database.execute("SELECT first_sequence FROM day WHERE local_day = ?", (day.isoformat(),)).fetchone()
    query = "SELECT max(last_sequence) FROM counter WHERE local_day = ?"
    (last,) = database.execute(query, (day.isoformat(),)).fetchone()
    if first is None or last is None:
        return ()
    query = "SELECT line FROM record WHERE sequence BETWEEN ? AND ? AND status = ? ORDER BY sequence"
    found: list[MintRecord] = []
    for (line,) in database.execute(query, (max(first[0], after_sequence + 1), last, Status.OK.code)):
        fields = json.loads(line)
        # After a clock was set back, two days may stand between each other's records.
        if fields["kind"] == MINT_KIND and local_date(datetime.fromisoformat(fields["at"])) == day:
            found.append(_mint_record(fields))
            if len(found) == records_max:
                break
    return tuple(found)


def work_of(database: sqlite3.Connection, day: date, after_sequence: int, records_max: int) -> tuple[WorkRecord, ...]:
    """Return what was given on a local day that is no credit, after a sequence, in order, at most *records_max*."""
    first = database.execute("SELECT first_sequence FROM day WHERE local_day = ?", (day.isoformat(),)).fetchone()
    if first is None:
        return ()
    query = f"SELECT line FROM record WHERE {IS_WORK} AND sequence >= ? AND status = ? ORDER BY sequence"  # noqa: S608
    found: list[WorkRecord] = []
    for (line,) in database.execute(query, (max(first[0], after_sequence + 1), Status.OK.code)):
        fields = json.loads(line)
        if local_date(datetime.fromisoformat(fields["at"])) == day:
            found.append(_work_record(fields))
            if len(found) == records_max:
                break
    return tuple(found)


def _work_record(fields: Mapping[str, Any]) -> WorkRecord:
    is_key_change = fields["kind"] == "key_change"
    kind = None if is_key_change else EngineeringKind.of_word(fields["does"])
    return WorkRecord(
        sequence=fields["n"],
        request_id=fields["id"],
        register_id=fields["register"],
        from_register_id=fields["from"][0] if is_key_change else fields["register"],
        token_class=2 if kind is None else kind.token_class,
        subclass=KEY_CHANGE_SUBCLASS if kind is None else kind.subclass,
        value=fields["sections"] if is_key_change else fields["value"],
        approvals=len(fields["approved_by"]),
    )


def _mint_record(fields: Mapping[str, Any]) -> MintRecord:
    return MintRecord(
        sequence=fields["n"],
        request_id=fields["id"],
        register_id=fields["register"],
        tokens=len(fields["tokens"]),
        units_tenths=sum(units for _, units in fields["tokens"]),
        charged_centavos=Centavos(fields["charged_centavos"] or 0),
    )


def minted_ids(path: Path) -> frozenset[int]:
    """Return every id under which credit was ever minted, and all ids of done requests whose records were moved away."""
    query = (
        f"SELECT request_id FROM record WHERE status = ?1 AND {IS_MINT}"  # noqa: S608 - constants only
        " UNION ALL SELECT request_id FROM known WHERE status = ?1"
    )
    with closing(open_readonly(path)) as database:
        return frozenset(unsigned(request_id) for (request_id,) in database.execute(query, (Status.OK.code,)))


def count_of(register_id: int, tally: Tally) -> RegisterCount:
    """Return a tally as the protocol says it."""
    return RegisterCount(
        register_id=register_id, requests=tally.requests, tokens=tally.tokens, units_tenths=tally.units_tenths
    )


def signed(value: int) -> int:
    """SQLite keeps 64 bits with a sign, the protocol 64 without."""
    return value - (1 << 64) if value >> 63 else value


def unsigned(value: int) -> int:
    """Turn back what `signed` did."""
    return value + (1 << 64) if value < 0 else value
