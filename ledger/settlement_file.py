"""Writes the settlement file of a closed day: from the books, proved against the day's totals, the same octets whenever it is made."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from config.state_files import fill_durably
from ledger.database import allow_scans, transact
from ledger.notices import tell_settlement
from ledger.settled_days import IN_BUSINESS, IS_SETTLED
from ledger.settlement_lines import LINES
from messages.settlement_file import (
    LAYOUT_VERSION,
    REVERSAL,
    SettlementSums,
    file_id,
    header_line,
    trailer_line,
)
from vending.money import Centavos
from vending.notice import SettlementFacts
from vending.settlement import Sum

FILE_MODE = 0o640
"""Whoever fetches the files for the network is in the group of the directory."""

DELIVERY_DAYS = 7
"""Older days are not put into a directory by themselves when one is first configured; `eudora settle file` makes them."""

FILES_PER_RUN_MAX = 16

# What the file says by kind, and what was written when the day was closed.
_SUMS = text(f"""
    SELECT CASE kind WHEN 'R' THEN 'R' ELSE 'S' END AS kind, count(*) AS lines, CAST(sum(abs(paid)) AS bigint) AS paid,
        CAST(sum(abs(commission)) AS bigint) AS commission, CAST(sum(abs(tax)) AS bigint) AS tax
    FROM ({LINES.format(day=":day", acquirer=":acquirer")}) AS l GROUP BY 1
""")  # noqa: S608 - constants only

_SNAPSHOT = text("""
    SELECT CASE kind WHEN 'reversal' THEN 'R' ELSE 'S' END AS kind, CAST(sum(sales) AS bigint) AS lines,
        CAST(sum(paid_centavos) AS bigint) AS paid, CAST(sum(commission_centavos) AS bigint) AS commission,
        CAST(sum(commission_tax_centavos) AS bigint) AS tax
    FROM day_total WHERE settlement_date = :day AND acquirer_code = :acquirer GROUP BY 1
""")

_KNOWN = text("""
    SELECT sha256 FROM settlement_file WHERE acquirer_code = :acquirer AND settlement_date = :day AND layout_version = :layout
""")

_WRITE = text("""
    INSERT INTO settlement_file (acquirer_code, settlement_date, layout_version, sale_lines, reversal_lines, net_centavos, sha256, made_at,
        delivered_at)
    VALUES (:acquirer, :day, :layout, :sales, :reversals, :net, :sha256, :at, :delivered_at)
    ON CONFLICT (acquirer_code, settlement_date, layout_version)
    DO UPDATE SET delivered_at = coalesce(settlement_file.delivered_at, excluded.delivered_at)
""")

_UNDELIVERED = text(f"""
    SELECT c.settlement_date FROM closed_day AS c
    WHERE c.acquirer_code = :acquirer AND c.settlement_date >= :since AND {IN_BUSINESS} AND NOT EXISTS (
        SELECT 1 FROM settlement_file AS f WHERE f.acquirer_code = c.acquirer_code AND f.settlement_date = c.settlement_date
            AND f.layout_version = :layout AND f.delivered_at IS NOT NULL
    )
    ORDER BY c.settlement_date LIMIT :most
""")  # noqa: S608 - constants only


class DayNotClosed(Exception):
    """The day may still change, or it is before the network's first, or there is no such network: no file of it can be made."""


class SettlementDiffers(Exception):
    """The lines do not sum to the totals that were written when the day was closed, or the file was another one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementFile:
    """A file that is on the disk."""

    path: Path
    sums: SettlementSums
    sha256: str
    """Of the whole file."""


class _Sums(NamedTuple):
    lines: int = 0
    paid: int = 0
    commission: int = 0
    tax: int = 0


def write_settlement_file(
    engine: Engine,
    acquirer_id: str,
    day: date,
    directory: Path,
    at: datetime,
    *,
    is_delivery: bool = False,
    told_to: str | None = None,
) -> SettlementFile:
    """Write the file of a closed day into *directory*, whole and durable.

    Args:
        engine: the ledger.
        acquirer_id: whose.
        day: a closed settlement day.
        directory: exists; a file of the same name is replaced.
        at: now, aware.
        is_delivery: whether *directory* is where the network fetches its files.
        told_to: the terminal to which the network is told that the file is there; None: it is not told.

    Raises:
        DayNotClosed: nothing was written.
        SettlementDiffers: nothing was written; `eudora ledger check` says where to look.
        OSError: the directory cannot be written to.
        LedgerUnavailable: write it again.
        LedgerOutcomeUnknown: likewise.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    values = {"acquirer": acquirer_id, "day": day, "layout": LAYOUT_VERSION}

    def work(connection: Connection, _attempt: int) -> SettlementFile:
        allow_scans(connection)
        if connection.execute(IS_SETTLED, values).first() is None:
            raise DayNotClosed(f"{acquirer_id} {day.isoformat()}")
        sums = _proved_sums(connection, values)
        known = connection.execute(_KNOWN, values).scalar_one_or_none()
        path = directory / f"{file_id(acquirer_id, day)}.csv"

        def fill(file: BinaryIO) -> str:
            sha256 = _fill(connection, file, acquirer_id, day, sums)
            if known not in (None, sha256):
                raise SettlementDiffers(f"{path.name}: it was another file when it was first made")
            return sha256

        sha256 = fill_durably(path, fill, FILE_MODE)
        connection.execute(
            _WRITE,
            {
                **values,
                "sales": sums.sales,
                "reversals": sums.reversals,
                "net": sums.net_centavos,
                "sha256": sha256,
                "at": at,
                "delivered_at": at if is_delivery else None,
            },
        )
        if told_to is not None:
            tell_settlement(connection, acquirer_id, _facts(acquirer_id, day, told_to, sums, sha256), at)
        return SettlementFile(path=path, sums=sums, sha256=sha256)

    return transact(snapshot, work)


def _facts(acquirer_id: str, day: date, terminal_id: str, sums: SettlementSums, sha256: str) -> SettlementFacts:
    return SettlementFacts(
        terminal_id=terminal_id,
        day=day,
        file_id=file_id(acquirer_id, day),
        sha256=sha256,
        sales=Sum(sums.sales, sums.sales_centavos),
        reversals=Sum(sums.reversals, sums.reversals_centavos),
        commission_centavos=Centavos(sums.commission_centavos),
        tax_centavos=Centavos(sums.tax_centavos),
    )


def undelivered_days(engine: Engine, acquirer_id: str, today: date) -> list[date]:
    """Return the closed days of the last `DELIVERY_DAYS` whose file was not put into the network's directory yet, the oldest first.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    values = {
        "acquirer": acquirer_id,
        "since": today - timedelta(days=DELIVERY_DAYS),
        "layout": LAYOUT_VERSION,
        "most": FILES_PER_RUN_MAX,
    }
    return transact(engine, lambda connection, _attempt: list(connection.scalars(_UNDELIVERED, values)))


def _proved_sums(connection: Connection, values: dict[str, Any]) -> SettlementSums:
    """Return the sums of the lines, which are those that were written when the day was closed."""
    found, written = (
        {row.kind: _Sums(row.lines, row.paid, row.commission, row.tax) for row in connection.execute(question, values)}
        for question in (_SUMS, _SNAPSHOT)
    )
    if found != written:
        raise SettlementDiffers(f"{values['acquirer']} {values['day']}: the lines say {found}, the totals {written}")
    nothing = _Sums()
    sales, reversals = found.get("S", nothing), found.get(REVERSAL, nothing)
    return SettlementSums(
        sales=sales.lines,
        sales_centavos=sales.paid,
        reversals=reversals.lines,
        reversals_centavos=reversals.paid,
        commission_centavos=sales.commission - reversals.commission,
        tax_centavos=sales.tax - reversals.tax,
    )


def _fill(connection: Connection, file: BinaryIO, acquirer_id: str, day: date, sums: SettlementSums) -> str:
    """Write the lines as the database makes them; return the digest of the whole file."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    digest = hashlib.sha256()

    def write(octets: bytes | bytearray | memoryview) -> None:
        digest.update(octets)
        file.write(octets)

    write(header_line(acquirer_id, day))
    question = sql.SQL("COPY ({lines} ORDER BY receipt, kind DESC) TO STDOUT (FORMAT csv)").format(
        lines=sql.SQL(LINES).format(day=sql.Literal(day), acquirer=sql.Literal(acquirer_id))
    )
    with raw.cursor() as cursor, cursor.copy(question) as copy:
        for block in copy:
            write(block)
    write(trailer_line(sums, digest.hexdigest()))
    return digest.hexdigest()
