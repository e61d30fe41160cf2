"""Finding sales whose outcome is not known: reserved, and for longer than an ordinary sale takes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.stored_sales import read_sales
from vending.order import ReservedSale, UnresolvedLook

SALES_PER_CALL_MAX = 1024
"""Also after a long outage they are finished in portions."""

CLOCK_STEP = timedelta(minutes=10)
"""A sale reserved so much later than the moment asked for was reserved before the clock was set back; it must not wait for the clock."""

_FIND = text("""
    SELECT id FROM sale WHERE state = 'reserved' AND (reserved_at < :before OR reserved_at > :from_the_future)
    ORDER BY reserved_at LIMIT :most
""")


def look(engine: Engine, looks: Sequence[UnresolvedLook]) -> list[list[ReservedSale]]:
    """Return what each look finds; those for one sale by its id are answered together.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    ids = [each.sale_id for each in looks if each.sale_id is not None]
    by_id: dict[int, ReservedSale] = {}
    if ids:
        stored = transact(engine, lambda connection, _attempt: read_sales(connection, ids))
        by_id = {sale_id: found.sale for sale_id, found in stored.items() if found.state == "reserved"}
    found = []
    for each in looks:
        if each.sale_id is not None:
            found.append([by_id[each.sale_id]] if each.sale_id in by_id else [])
        else:
            assert each.reserved_before is not None, "a look is for one sale or for all before a moment"
            found.append(unresolved(engine, reserved_before=each.reserved_before, limit=each.sales_max))
    return found


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
        ids = list(
            connection.scalars(
                _FIND, {"before": reserved_before, "from_the_future": reserved_before + CLOCK_STEP, "most": limit}
            )
        )
        stored = read_sales(connection, ids)
        return [stored[sale_id].sale for sale_id in ids if stored[sale_id].state == "reserved"]

    return transact(engine, work)
