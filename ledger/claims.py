"""Parked tokens on their way out: read with the meter, bound to a sale in commit 1, handed out or given back in commit 2.

A meter says how many parked sales wait on it, so for all others none of this is executed. Every statement here runs while the
meters' rows are locked.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, text

from ledger import arrays
from vending.money import Centavos, Tenths
from vending.order import ReservedSale
from vending.parked import ParkedSale
from vending.secret import Secret

PARKED_PER_METER_READ_MAX = 32
"""A sale cannot hand out more; those behind wait for the next one."""

_READ_PARKED = text("""
    SELECT p.meter_id, p.sale_id, p.paid_centavos, s.units_tenths, t.digits
    FROM unnest(CAST(:meters AS bigint[])) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT * FROM parked_token AS each WHERE each.meter_id = wanted.id AND each.claimed_by_sale_id IS NULL
        ORDER BY each.sale_id LIMIT :most
    ) AS p
    JOIN sale AS s ON s.id = p.sale_id
    CROSS JOIN LATERAL (SELECT array_agg(digits ORDER BY position) AS digits FROM token WHERE token.sale_id = p.sale_id) AS t
    ORDER BY p.meter_id, p.sale_id
""")

_BIND = text("""
    WITH o AS (
        SELECT * FROM unnest(CAST(:parked AS bigint[]), CAST(:claiming AS bigint[])) AS o (sale_id, claiming_id)
    ), bound AS (
        UPDATE parked_token SET claimed_by_sale_id = o.claiming_id FROM o
        WHERE parked_token.sale_id = o.sale_id AND parked_token.claimed_by_sale_id IS NULL
        RETURNING parked_token.meter_id, o.claiming_id, parked_token.paid_centavos
    ), counted AS (
        UPDATE meter SET parked_tokens = parked_tokens - b.times
        FROM (SELECT meter_id, count(*) AS times FROM bound GROUP BY meter_id) AS b WHERE meter.id = b.meter_id
    )
    UPDATE sale SET claimed_centavos = b.total
    FROM (SELECT claiming_id, sum(paid_centavos) AS total FROM bound GROUP BY claiming_id) AS b WHERE sale.id = b.claiming_id
""")

_HAND_OUT = text("""
    UPDATE parked_token SET claimed_at = now()
    FROM unnest(CAST(:ids AS bigint[])) AS o (id) WHERE claimed_by_sale_id = o.id
""")

_GIVE_BACK = text("""
    WITH free AS (
        UPDATE parked_token SET claimed_by_sale_id = NULL
        FROM unnest(CAST(:ids AS bigint[])) AS o (id) WHERE claimed_by_sale_id = o.id
        RETURNING meter_id
    )
    UPDATE meter SET parked_tokens = parked_tokens + f.times
    FROM (SELECT meter_id, count(*) AS times FROM free GROUP BY meter_id) AS f WHERE meter.id = f.meter_id
""")


def read_parked(connection: Connection, meter_ids: Collection[int]) -> dict[int, list[ParkedSale]]:
    """Return the parked sales that nobody has claimed, by meter, oldest first."""
    if not meter_ids:
        return {}
    rows = connection.execute(
        _READ_PARKED, {"meters": arrays.ints(sorted(meter_ids)), "most": PARKED_PER_METER_READ_MAX}
    )
    found: dict[int, list[ParkedSale]] = {}
    for row in rows:
        parked = parked_sale(row.sale_id, row.paid_centavos, row.units_tenths, row.digits)
        found.setdefault(row.meter_id, []).append(parked)
    return found


def parked_sale(sale_id: int, paid_centavos: int, units_tenths: int, digits: Sequence[Any]) -> ParkedSale:
    """Return a parked sale from what the rows of its sale and tokens say."""
    return ParkedSale(
        sale_id=sale_id,
        paid_centavos=Centavos(paid_centavos),
        units_tenths=Tenths(units_tenths),
        tokens=tuple(Secret(each) for each in digits),
    )


def bind_claims(sales: Sequence[ReservedSale]) -> list[tuple[TextClause, dict[str, str]]]:
    """Return the statement that binds parked tokens to the sales that claim them; it comes after the sales are written."""
    pairs = [(parked.sale_id, sale.sale_id) for sale in sales for parked in sale.claimed]
    if not pairs:
        return []
    values = {
        "parked": arrays.ints([parked for parked, _ in pairs]),
        "claiming": arrays.ints([claiming for _, claiming in pairs]),
    }
    return [(_BIND, values)]


def end_claims(posted: Sequence[ReservedSale], void: Sequence[ReservedSale]) -> list[tuple[TextClause, dict[str, str]]]:
    """Return the statements that end the claims of sales: handed out with those posted, given back by those void."""
    statements = []
    for statement, sales in ((_HAND_OUT, posted), (_GIVE_BACK, void)):
        ids = sorted(sale.sale_id for sale in sales if sale.claimed)
        if ids:
            statements.append((statement, {"ids": arrays.ints(ids)}))
    return statements
