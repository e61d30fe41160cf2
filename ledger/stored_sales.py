"""Reading sales back as they were reserved, for those who finish, repeat or reverse them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from ledger import arrays, journal
from ledger.available import AVAILABLE
from ledger.claims import parked_sale
from ledger.key_changes import key_change_of
from ledger.meters import ACCOUNT_COLUMNS, account_of
from ledger.quote_lines import quote_of
from vending.money import Centavos, Tenths
from vending.order import OrderKind, RequestKey, ReservedSale, TokenOrder
from vending.response_code import ResponseCode
from vending.secret import Secret

# The key reference is the sale's own: a meter that changed its key since must not change a token that may exist already.
_READ = text(f"""
    SELECT {
    ACCOUNT_COLUMNS.replace("m.register_id", "s.register_id")
    .replace("m.tariff_index", "s.tariff_index")
    .replace("m.encryption_algorithm", "s.encryption_algorithm")
},
        s.*, k.mint_id, k.from_register_id, k.from_tariff_index, k.sections, k.is_rollover, k.digits AS key_digits, t.tids, t.token_units, t.digits, c.claimed,
        {AVAILABLE} AS available_centavos,
        EXISTS (SELECT FROM parked_token AS p WHERE p.sale_id = s.id) AS is_parked
    FROM unnest(CAST(:ids AS bigint[])) AS wanted (id)
    JOIN sale AS s ON s.id = wanted.id
    JOIN account AS f ON f.id = s.float_account_id
    JOIN meter AS m ON m.id = s.meter_id
    JOIN account_holder AS h ON h.id = m.holder_id
    LEFT JOIN sale_key_change AS k ON k.sale_id = s.id
    LEFT JOIN LATERAL (
        SELECT array_agg(tid ORDER BY position) AS tids, array_agg(units_tenths ORDER BY position) AS token_units,
            array_agg(digits ORDER BY position) AS digits
        FROM token WHERE token.sale_id = s.id
    ) AS t ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(p.sale_id, p.paid_centavos, of.units_tenths, (
            SELECT jsonb_agg(token.digits ORDER BY token.position) FROM token WHERE token.sale_id = p.sale_id
        )) ORDER BY p.sale_id) AS claimed
        FROM parked_token AS p JOIN sale AS of ON of.id = p.sale_id WHERE p.claimed_by_sale_id = s.id
    ) AS c ON s.claimed_centavos > 0
""")  # noqa: S608 - constants only

# By keys and not by a join on the sale's columns: only so is it known beforehand in which months to look.
_READ_JOURNAL = text(f"""
    SELECT o.position, j.request, j.code
    FROM unnest({journal.KEY_ARRAYS}) WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, position) JOIN {journal.row_of_key("request, code")}
""")  # noqa: S608 - constants only


class StoredSale(NamedTuple):
    """A sale, the state it is in, and its own tokens if it is posted; those it claims are in ``sale.claimed``.

    ``code`` is what it was answered: None while it is open, and where the month of its request is archived; then its request is empty too.
    A parked sale's tokens are nobody's until another sale claims them: they must not be shown.
    """

    sale: ReservedSale
    state: str
    tokens: tuple[Secret[str], ...]
    is_parked: bool
    code: ResponseCode | None


def read_sales(connection: Connection, sale_ids: Sequence[int]) -> dict[int, StoredSale]:
    """Return the sales that exist, by id."""
    if not sale_ids:
        return {}
    rows = connection.execute(_READ, {"ids": arrays.ints(sale_ids)}).all()
    keys = [_key_of(row) for row in rows]
    journaled = connection.execute(_READ_JOURNAL, journal.key_arrays(keys))
    requests = {row.position - 1: (bytes(row.request), row.code) for row in journaled}
    return {
        row.id: _stored_sale(row, keys[position], *requests.get(position, (b"", None)))
        for position, row in enumerate(rows)
    }


def _key_of(row: Row[Any]) -> RequestKey:
    return RequestKey(
        acquirer_id=row.acquirer_code,
        terminal_id=row.terminal_code,
        transmitted_at=row.transmitted_at,
        stan=row.stan,
        message_class=row.message_class,
    )


def _stored_sale(row: Row[Any], key: RequestKey, request: bytes, code: str | None) -> StoredSale:
    sale = ReservedSale(
        sale_id=row.id,
        key=key,
        request=request,
        kind=OrderKind(row.kind),
        rrn=row.rrn,
        paid_centavos=Centavos(row.paid_centavos),
        meter=account_of(row),
        quote=quote_of(row),
        token_orders=tuple(
            TokenOrder(tid=tid, units_tenths=Tenths(units))
            for tid, units in zip(row.tids or (), row.token_units or (), strict=True)
        ),
        reserved_at=row.reserved_at,
        local_date=row.local_date,
        settlement_date=row.settlement_date,
        claimed=tuple(parked_sale(*parked) for parked in row.claimed or ()),
        key_change=key_change_of(row),
        available_centavos=Centavos(row.available_centavos),
    )
    tokens = tuple(Secret(digits) for digits in row.digits or ()) if row.state == "posted" else ()
    return StoredSale(sale, row.state, tokens, row.is_parked, None if code is None else journal.code_named(code))
