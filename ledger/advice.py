"""Delivery advices: a terminal says that the customer has what a sale sold. The first advice of a sale is kept, and each is journaled.

Being confirmed is a lifecycle beside the sale's own: it is a row of its own table and never touches the sale.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import arrays, journal
from ledger.available import available_of, available_statement
from ledger.database import Retry, transact
from ledger.rounds import together
from vending.order import AdviceOrder, AdviceResult, Advised, Conflict, Repeated, RequestKey, Unresolved
from vending.response_code import ResponseCode
from vending.sale import ConfirmationState, SaleEvent, advance

ADVICES_PER_BATCH_MAX = 1024
"""As for orders."""

_LOOK_UP = text(f"""
    SELECT o.position, j.digest, j.code, j.answer, j.sale_id, s.state
    FROM unnest({journal.KEY_ARRAYS}) WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, position)
    JOIN {journal.row_of_key("digest, code, answer, sale_id")} LEFT JOIN sale AS s ON s.id = j.sale_id
""")  # noqa: S608 - constants only

# A sale that is being parked is waited for, and one that is confirmed is not parked any more; in ascending order, as everywhere.
_LOCK = text("SELECT id FROM sale WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")

_READ_PARKED = text("SELECT sale_id FROM parked_token WHERE sale_id = ANY (CAST(:ids AS bigint[]))")

_CONFIRM = text("""
    INSERT INTO confirmation (sale_id, confirmed_at)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:confirmed AS timestamptz[])) ON CONFLICT DO NOTHING
""")


def confirm(engine: Engine, orders: Sequence[AdviceOrder]) -> list[AdviceResult]:
    """Journal a batch of advices and confirm the sales that they name; results stand in the order of *orders*.

    An advice whose sale is still open is not written down at all, so that its repeat is judged anew.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: send the same again.
    """
    assert len(orders) <= ADVICES_PER_BATCH_MAX, "a batch is bounded"
    if not orders:
        return []
    return transact(engine, lambda connection, _attempt: _confirm(connection, orders))


def _confirm(connection: Connection, orders: Sequence[AdviceOrder]) -> list[AdviceResult]:
    keys = [order.key for order in orders]
    originals = [order.original for order in orders]
    known, found, floats = together(
        connection,
        (_LOOK_UP, journal.key_arrays(keys)),
        (_LOOK_UP, journal.key_arrays(originals)),
        available_statement(key.acquirer_id for key in keys),
    )
    available = available_of(floats.rows)
    known_rows = {row.position - 1: row for row in known.rows}
    original_rows = {row.position - 1: row for row in found.rows}
    parked = _lock(connection, {row.sale_id for row in found.rows if row.state == "posted"})
    results: list[AdviceResult] = []
    first: dict[RequestKey, int] = {}
    lines: list[journal.Line] = []
    confirmed: dict[int, Any] = {}
    for position, order in enumerate(orders):
        twin = first.setdefault(order.key, position)
        if twin != position:
            results.append(results[twin] if orders[twin].digest == order.digest else Conflict())
            continue
        if position in known_rows:
            results.append(_answer_to_repeat(order, known_rows[position]))
            continue
        original = original_rows.get(position)
        result = _judge(order, original, parked)
        if isinstance(result, Unresolved):
            results.append(result)
            continue
        results.append(replace(result, available_centavos=available.get(order.key.acquirer_id)))
        lines.append(_line(order, result.code))
        if result.code.is_approved:
            assert original is not None
            assert advance(ConfirmationState.AWAITED, SaleEvent.ADVICE) is ConfirmationState.CONFIRMED
            confirmed.setdefault(original.sale_id, order.received_at)
    _write(connection, lines, confirmed)
    return results


def _answer_to_repeat(order: AdviceOrder, row: Any) -> AdviceResult:
    if bytes(row.digest) != order.digest:
        return Conflict()
    code = journal.code_named(row.code)
    if row.answer is None:
        return Advised(code=code, private_detail="judged before, the answer was not stored")
    return Repeated(answer=bytes(row.answer), code=code)


def _lock(connection: Connection, sale_ids: set[int]) -> set[int]:
    """Keep sales from being parked until the commit; return those that are."""
    if not sale_ids:
        return set()
    ids = {"ids": arrays.ints(sorted(sale_ids))}
    _, parked = together(connection, (_LOCK, ids), (_READ_PARKED, ids))
    return {row.sale_id for row in parked.rows}


def _judge(order: AdviceOrder, original: Any | None, parked: set[int]) -> Advised | Unresolved:
    if original is None or journal.is_bar(original):
        return Advised(code=ResponseCode.ORIGINAL_NOT_FOUND, private_detail="no such request")
    asked, theirs = order.key, order.original
    assert (asked.acquirer_id, asked.terminal_id) == (theirs.acquirer_id, theirs.terminal_id), "a terminal's own"
    if original.state == "reserved":
        return Unresolved(sale_id=original.sale_id)
    if original.state != "posted":
        return Advised(code=ResponseCode.ORIGINAL_NOT_FOUND, private_detail=f"nothing was sold: {original.code}")
    if original.sale_id in parked:
        return Advised(code=ResponseCode.ORIGINAL_NOT_FOUND, private_detail="parked: its money went back")
    return Advised(code=ResponseCode.APPROVED)


def _line(order: AdviceOrder, code: ResponseCode) -> journal.Line:
    return journal.Line(
        key=order.key,
        digest=order.digest,
        rrn=order.rrn,
        request=order.request,
        code=code,
        sale_id=None,
        reverses_sale_id=None,
        received_at=order.received_at,
    )


def _write(connection: Connection, lines: list[journal.Line], confirmed: dict[int, Any]) -> None:
    if not lines:
        return
    # Ascending, as locks are taken everywhere.
    ids = sorted(confirmed)
    values = {"ids": arrays.ints(ids), "confirmed": arrays.times([confirmed[sale_id] for sale_id in ids])}
    written, _ = together(connection, journal.write_statement(lines), (_CONFIRM, values))
    if written.rowcount != len(lines):
        raise Retry("a journal key was taken meanwhile")
