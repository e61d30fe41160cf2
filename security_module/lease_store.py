"""The tables of leases in the mint log's file, and the statements on them: of a head-end's module and of a till's.

They stand beside the records, so that a lease or a closing is written in one transaction with the record of it, and what is used of a
lease in one with the mints.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from security_module.lease import read_lease
from security_module.lease_rules import Issued, Use

LEASE_SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
    terminal TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    signed BLOB NOT NULL,
    request BLOB NOT NULL,
    PRIMARY KEY (terminal, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terminal_stop (terminal TEXT PRIMARY KEY, kind TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS till_lease (
    epoch INTEGER PRIMARY KEY,
    signed BLOB NOT NULL,
    sales INTEGER NOT NULL,
    charged_centavos INTEGER NOT NULL,
    units_tenths INTEGER NOT NULL,
    is_locked INTEGER NOT NULL,
    closing BLOB
);
CREATE TABLE IF NOT EXISTS till_meter (
    local_day TEXT NOT NULL,
    meter BLOB NOT NULL,
    charged_centavos INTEGER NOT NULL,
    PRIMARY KEY (local_day, meter)
) WITHOUT ROWID;
"""
"""Younger than the other tables, and of no use to a program that does not know them: so no version of its own."""

Statements = Sequence[tuple[str, Sequence[tuple[Any, ...]]]]
"""Statements of one transaction, each with the rows that it is run for."""


def issued_by(database: sqlite3.Connection) -> dict[str, dict[int, Issued]]:
    """Return every lease that a head-end gave, by terminal and epoch."""
    found: dict[str, dict[int, Issued]] = {}
    for terminal, epoch, signed, request in database.execute("SELECT terminal, epoch, signed, request FROM lease"):
        found.setdefault(terminal, {})[epoch] = _issued(signed, request)
    return found


def issued_to(database: sqlite3.Connection, terminal_id: str) -> dict[int, Issued]:
    """Return the leases of one terminal, by epoch."""
    query = "SELECT epoch, signed, request FROM lease WHERE terminal = ?"
    return {epoch: _issued(*rest) for epoch, *rest in database.execute(query, (terminal_id,))}


def _issued(signed: bytes, request: bytes) -> Issued:
    return Issued(lease=read_lease(signed), signed=signed, request=request)


def issue(terminal_id: str, epoch: int, signed: bytes, request: bytes) -> Statements:
    """Keep a lease that is about to leave."""
    return [("INSERT INTO lease VALUES (?, ?, ?, ?)", [(terminal_id, epoch, signed, request)])]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a terminal gets no lease any more: ``revoked`` by people, or ``frozen`` because its statements contradict each other."""

    kind: str
    at: str


def stops(database: sqlite3.Connection) -> dict[str, Stop]:
    """Return the terminals that get no lease any more."""
    return {terminal: Stop(kind, at) for terminal, kind, at in database.execute("SELECT * FROM terminal_stop")}


def stop(terminal_id: str, kind: str, at: str) -> Statements:
    """Give *terminal_id* no lease any more; what stopped it first stands."""
    return [("INSERT OR IGNORE INTO terminal_stop VALUES (?, ?, ?)", [(terminal_id, kind, at)])]


@dataclass(frozen=True, slots=True, kw_only=True)
class TillLease:
    """The newest lease that a till has seen.

    Attributes:
        epoch: 0: none yet, but a statement was asked for.
        signed: its octets; empty for epoch 0.
        use: what was minted under it, and for which meters today.
        is_locked: the clock was set while it was in force.
        closing: the signed statement; None: it is open.
    """

    epoch: int
    signed: bytes
    use: Use
    is_locked: bool
    closing: bytes | None


def read_till(database: sqlite3.Connection) -> TillLease | None:
    """Return the newest lease of a till; None: nothing was ever asked for."""
    query = "SELECT epoch, signed, sales, charged_centavos, units_tenths, is_locked, closing FROM till_lease"
    row = database.execute(f"{query} ORDER BY epoch DESC LIMIT 1").fetchone()
    if row is None:
        return None
    use = Use(*row[2:5])
    for day, meter, charged in database.execute("SELECT local_day, meter, charged_centavos FROM till_meter"):
        if use.day is None or date.fromisoformat(day) > use.day:
            use.day, use.by_meter = date.fromisoformat(day), {}
        if use.day == date.fromisoformat(day):
            use.by_meter[meter] = charged
    return TillLease(epoch=row[0], signed=row[1], use=use, is_locked=bool(row[5]), closing=row[6])


def read_epoch_seen(database: sqlite3.Connection) -> int:
    """Return the epoch up to which a till's own journal said that there were leases; 0: it never said more than the store."""
    row = database.execute("SELECT value FROM state WHERE name = 'lease_epoch_seen'").fetchone()
    return int(row[0]) if row is not None else 0


def lock(epoch: int, epoch_seen: int) -> Statements:
    """Lock a lease, and take no lease up to *epoch_seen* any more."""
    return [
        ("UPDATE till_lease SET is_locked = 1 WHERE epoch = ?", [(epoch,)]),
        ("INSERT OR REPLACE INTO state VALUES ('lease_epoch_seen', ?)", [(str(epoch_seen),)]),
    ]


def accept(epoch: int, signed: bytes) -> Statements:
    """Keep a lease as the one in force."""
    return [("INSERT INTO till_lease VALUES (?, ?, 0, 0, 0, 0, NULL)", [(epoch, signed)])]


def close(epoch: int, closing: bytes) -> Statements:
    """Keep the statement on a lease; of epoch 0, which is no lease, it makes the row too."""
    return [
        ("INSERT OR IGNORE INTO till_lease VALUES (?, x'', 0, 0, 0, 0, NULL)", [(0,)] if epoch == 0 else []),
        ("UPDATE till_lease SET closing = ? WHERE epoch = ?", [(closing, epoch)]),
    ]


def use_of(epoch: int, before: Use, after: Use, *, is_locked: bool) -> Statements:
    """Write what is used of the lease in force, and of the meters only what is new."""
    counts = (after.sales, after.charged_centavos, after.units_tenths, int(is_locked), epoch)
    changed: Mapping[bytes, int] = after.by_meter
    if after.day == before.day:
        changed = {meter: sum_ for meter, sum_ in after.by_meter.items() if before.by_meter.get(meter) != sum_}
    day = after.day.isoformat() if after.day is not None else ""
    return [
        (
            "UPDATE till_lease SET sales = ?, charged_centavos = ?, units_tenths = ?, is_locked = ? WHERE epoch = ?",
            [counts],
        ),
        ("DELETE FROM till_meter WHERE local_day <> ?", [(day,)] if after.day != before.day else []),
        ("INSERT OR REPLACE INTO till_meter VALUES (?, ?, ?)", [(day, *each) for each in changed.items()]),
    ]
