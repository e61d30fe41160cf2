"""Totals of a settlement day: what the books say of it, and the comparison with what a terminal or a network sent.

Read in a worker of its own: a whole network's day may be a million sales, and no sale waits for that.
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import journal
from ledger.available import AVAILABLE
from ledger.database import Retry, transact
from vending.money import Centavos
from vending.response_code import ResponseCode
from vending.settlement import (
    Compared,
    DayTotals,
    OurTotals,
    Sum,
    TheirTotals,
    TotalsOrder,
    TotalsResult,
    agrees,
)

_KNOWN = text(f"""
    SELECT j.digest, j.code, j.answer
    FROM unnest({journal.KEY_ARRAYS}) AS o ({journal.KEY_COLUMNS}) JOIN {journal.row_of_key("digest, code, answer")}
""")  # noqa: S608 - constants only

_TERMINAL = text(f"""
    SELECT {AVAILABLE} AS available_centavos
    FROM acquirer AS a JOIN terminal AS t ON t.acquirer_id = a.id JOIN account AS f ON f.id = a.float_account_id
    WHERE a.code = :acquirer AND t.code = :terminal
""")  # noqa: S608 - constants only

_IS_CLOSED = text("SELECT 1 FROM closed_day WHERE settlement_date = :day AND acquirer_code = :acquirer")

_CLOSED = text("""
    SELECT kind, 'posted' AS state, CAST(sum(sales) AS bigint) AS sales, CAST(sum(paid_centavos) AS bigint) AS centavos
    FROM day_total
    WHERE settlement_date = :day AND acquirer_code = :acquirer AND (CAST(:terminal AS text) IS NULL OR terminal_code = :terminal)
    GROUP BY kind
""")

_REVERSED = text("""
    SELECT count(*) AS sales, CAST(coalesce(sum(paid_centavos), 0) AS bigint) AS centavos FROM parked_token
    WHERE settlement_date = :day AND acquirer_code = :acquirer AND (CAST(:terminal AS text) IS NULL OR terminal_code = :terminal)
""")

_OPEN_OF_TERMINAL = text("""
    SELECT kind, state, count(*) AS sales, CAST(sum(paid_centavos) AS bigint) AS centavos FROM sale
    WHERE terminal_code = :terminal AND settlement_date = :day AND acquirer_code = :acquirer AND state <> 'void'
    GROUP BY kind, state
""")

_OPEN_OF_ALL = text("""
    SELECT kind, state, count(*) AS sales, CAST(sum(paid_centavos) AS bigint) AS centavos FROM sale
    WHERE settlement_date = :day AND acquirer_code = :acquirer AND state <> 'void'
    GROUP BY kind, state
""")

_WRITE = text("""
    INSERT INTO reconciliation (acquirer_code, terminal_code, settlement_date, theirs, ours, agrees, asked_at)
    VALUES (:acquirer, :terminal, :day, CAST(:theirs AS jsonb), CAST(:ours AS jsonb), :agrees, :at)
""")


def compare_totals(engine: Engine, orders: Sequence[TotalsOrder]) -> list[TotalsResult]:
    """Journal requests for reconciliation and compare each with the books; each in a transaction of its own.

    A request seen before whose answer is not stored yet is compared anew: nothing was told about it.

    Raises:
        LedgerUnavailable: nothing was written for the order it was at.
        LedgerOutcomeUnknown: send the same again.
    """

    def compare(order: TotalsOrder) -> TotalsResult:
        return transact(engine, lambda connection, _attempt: _compare(connection, order))

    return [compare(order) for order in orders]


def our_totals(connection: Connection, acquirer_id: str, terminal_id: str | None, day: date) -> OurTotals:
    """Return what the books say of one settlement day of a terminal, or (None) of all terminals of its network."""
    values = {"acquirer": acquirer_id, "terminal": terminal_id, "day": day}
    is_closed = connection.execute(_IS_CLOSED, values).first() is not None
    sold = _OPEN_OF_ALL if terminal_id is None else _OPEN_OF_TERMINAL
    sums: dict[tuple[str, str], Sum] = {
        (row.state, row.kind): Sum(row.sales, row.centavos)
        for row in connection.execute(_CLOSED if is_closed else sold, values)
    }
    nothing = Sum()
    if not is_closed:
        row = connection.execute(_REVERSED, values).one()
        sums["posted", "reversal"] = Sum(row.sales, row.centavos)
    return OurTotals(
        totals=DayTotals(
            recharges=sums.get(("posted", "recharge"), nothing),
            payments=sums.get(("posted", "payment"), nothing),
            reversed=sums.get(("posted", "reversal"), nothing),
        ),
        open=sums.get(("reserved", "recharge"), nothing) + sums.get(("reserved", "payment"), nothing),
        is_closed=is_closed,
    )


def _compare(connection: Connection, order: TotalsOrder) -> TotalsResult:
    row = connection.execute(_KNOWN, journal.key_arrays([order.key])).first()
    if row is not None:
        again = journal.answer_to_repeat(
            order.digest, known_digest=row.digest, code=row.code, sale_id=None, answer=row.answer
        )
        if again is not None:
            assert isinstance(again, TotalsResult), "a comparison reserves nothing"
            return again
    values = {"acquirer": order.key.acquirer_id, "terminal": order.key.terminal_id}
    terminal = connection.execute(_TERMINAL, values).first()
    ours = our_totals(connection, order.key.acquirer_id, order.terminal_id, order.settlement_date)
    is_equal = agrees(order.theirs, ours.totals)
    available: Centavos | None = None
    if terminal is None:
        code = ResponseCode.TERMINAL_UNKNOWN
    else:
        available = Centavos(terminal.available_centavos)
        code = ResponseCode.APPROVED if is_equal else ResponseCode.TOTALS_DIFFER
        connection.execute(_WRITE, _columns(order, ours, is_equal=is_equal))
    if row is None and not journal.write(connection, [_line(order)]):
        raise Retry("a journal key was taken meanwhile")
    return Compared(code=code, ours=ours, available_centavos=available)


def _line(order: TotalsOrder) -> journal.Line:
    return journal.Line(order.key, order.digest, order.rrn, order.request, None, None, None, order.received_at)


def _columns(order: TotalsOrder, ours: OurTotals, *, is_equal: bool) -> dict[str, Any]:
    return {
        "acquirer": order.key.acquirer_id,
        "terminal": order.terminal_id,
        "day": order.settlement_date,
        "theirs": json.dumps(theirs_as_json(order.theirs)),
        "ours": json.dumps(ours_as_json(ours)),
        "agrees": is_equal,
        "at": order.received_at,
    }


def theirs_as_json(theirs: TheirTotals) -> dict[str, Any]:
    """Return totals that were sent as the table ``reconciliation`` keeps them."""
    found = {"sales": _sum(theirs.sales), "reversed": _sum(theirs.reversed)}
    if theirs.by_kind is not None:
        found["recharge"], found["payment"] = _sum(theirs.by_kind[0]), _sum(theirs.by_kind[1])
    return found


def ours_as_json(ours: OurTotals) -> dict[str, Any]:
    """Return the totals of the books as the table ``reconciliation`` keeps them."""
    totals = ours.totals
    return {
        "sales": _sum(totals.sales),
        "reversed": _sum(totals.reversed),
        "recharge": _sum(totals.recharges),
        "payment": _sum(totals.payments),
        "open": _sum(ours.open),
        "is_closed": ours.is_closed,
    }


def _sum(found: Sum) -> dict[str, int]:
    return {"count": found.count, "centavos": found.centavos}
