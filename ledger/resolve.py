"""Finding sales whose outcome is not known: reserved, and for longer than an ordinary sale takes."""

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.stored_sales import read_sales
from vending.order import ReservedSale

SALES_PER_CALL_MAX = 1024
"""Also after a long outage they are finished in portions."""

_FIND = text("""
    SELECT id FROM sale WHERE state = 'reserved' AND reserved_at < :before ORDER BY reserved_at LIMIT :most
""")


def unresolved(engine: Engine, *, reserved_before: datetime, limit: int) -> list[ReservedSale]:
    """Return reserved sales, the oldest first, as they were reserved.

    Nothing is locked: two processes may finish the same sale, and the first post wins.

    Args:
        engine: the ledger.
        reserved_before: aware; sales reserved later are still being worked on.
        limit: 1 to `SALES_PER_CALL_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    assert 1 <= limit <= SALES_PER_CALL_MAX, "a portion is bounded"

    def work(connection: Connection, _attempt: int) -> list[ReservedSale]:
        ids = list(connection.scalars(_FIND, {"before": reserved_before, "most": limit}))
        stored = read_sales(connection, ids)
        return [stored[sale_id].sale for sale_id in ids if stored[sale_id].state == "reserved"]

    return transact(engine, work)
