"""Reversals: finding what is to be undone, and journaling that it was asked for.

A reversal that comes before its original (networks reorder) is answered "not found", and then the original must not be sold any
more: its key is journaled too, with an empty digest, so that when it comes it is refused as a conflict.

Where the network's policy is to park (`ledger.parking`), the original's money goes back in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from ledger import journal
from ledger.available import available_of, available_statement
from ledger.database import Retry, transact
from ledger.parking import ParkingBatch, Wish
from ledger.stored_sales import StoredSale, read_sales
from vending.money import Centavos
from vending.order import Conflict, Declined, OriginalFound, RequestKey, ReversalOrder, ReversalResult
from vending.parked import Parking
from vending.response_code import ResponseCode

REVERSALS_PER_BATCH_MAX = 1024
"""As for orders."""

_LOOK_UP = text(f"""
    SELECT o.position, j.digest, j.code, j.sale_id, j.answer, j.request
    FROM unnest({journal.KEY_ARRAYS}) WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, position) JOIN {journal.row_of_key("digest, code, sale_id, answer, request")}
""")  # noqa: S608 - constants only

_NOT_FOUND = Declined(code=ResponseCode.ORIGINAL_NOT_FOUND)


def find_originals(engine: Engine, orders: Sequence[ReversalOrder]) -> list[ReversalResult]:
    """Journal a batch of reversals and return what is known of their originals, in their order.

    A reversal seen before whose answer is not stored yet is looked at again: its original may have been posted since.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: send the same again.
    """
    assert len(orders) <= REVERSALS_PER_BATCH_MAX, "a batch is bounded"
    if not orders:
        return []
    return transact(engine, lambda connection, _attempt: _find(connection, orders))


def _find(connection: Connection, orders: Sequence[ReversalOrder]) -> list[ReversalResult]:
    known = _look_up(connection, [order.key for order in orders])
    originals = _look_up(connection, [order.original for order in orders])
    sales = read_sales(connection, sorted({row.sale_id for row in originals.values() if row.sale_id is not None}))
    results: dict[int, ReversalResult] = {}
    first: dict[RequestKey, int] = {}
    lines: dict[RequestKey, journal.Line] = {}
    for position, order in enumerate(orders):
        if first.setdefault(order.key, position) != position:
            continue
        row = known.get(order.key)
        if row is not None:
            again = journal.answer_to_repeat(
                order.digest, known_digest=row.digest, code=row.code, sale_id=None, answer=row.answer
            )
            if again is not None:
                assert isinstance(again, ReversalResult), "a reversal reserves nothing"
                results[position] = again
                continue
        original = originals.get(order.original)
        result = results[position] = _judge(order, original, sales)
        if row is None:
            lines[order.key] = _line(order, result, original)
        if original is None:
            lines[order.original] = _bar(order)
    parking = ParkingBatch(connection)
    _park(parking, orders, results)
    if lines and not journal.write(connection, list(lines.values())):
        raise Retry("a journal key was taken meanwhile")
    parking.write()
    _tell_balances(connection, orders, results)
    return [_result(orders, position, first[order.key], results) for position, order in enumerate(orders)]


def _park(parking: ParkingBatch, orders: Sequence[ReversalOrder], results: dict[int, ReversalResult]) -> None:
    """Park what the networks' policies and caps allow of the posted originals, and say so in the results."""
    wishes: dict[int, Wish] = {}
    for position, result in results.items():
        if isinstance(result, OriginalFound) and result.is_posted and result.parking is Parking.NOT_ASKED:
            assert result.sale is not None, "a posted original is a sale"
            if orders[position].parking is not None:
                wishes[position] = Wish(orders[position], result.sale)
    for position, outcome in zip(wishes, parking.decide(list(wishes.values())), strict=True):
        result = results[position]
        assert isinstance(result, OriginalFound)
        results[position] = replace(result, parking=outcome)


def _tell_balances(connection: Connection, orders: Sequence[ReversalOrder], results: dict[int, ReversalResult]) -> None:
    """Say for each reversal what its network may still sell behind it: from what is left now, backwards over what was parked."""
    fresh = [(position, result) for position, result in results.items() if isinstance(result, OriginalFound | Declined)]
    if not fresh:
        return
    left = available_of(
        connection.execute(*available_statement(orders[position].key.acquirer_id for position, _ in fresh))
    )
    for position, result in reversed(fresh):
        network = orders[position].key.acquirer_id
        if network not in left:
            continue
        results[position] = replace(result, available_centavos=left[network])
        if isinstance(result, OriginalFound) and result.sale is not None and result.parking is Parking.PARKED:
            left[network] = Centavos(left[network] - result.sale.paid_centavos)


def _result(
    orders: Sequence[ReversalOrder], position: int, first: int, results: dict[int, ReversalResult]
) -> ReversalResult:
    """Return the result of one order; one with the key of an earlier one in the batch is a repeat of it."""
    is_same = position == first or orders[position].digest == orders[first].digest
    return results[first] if is_same else Conflict()


def _look_up(connection: Connection, keys: Sequence[RequestKey]) -> dict[RequestKey, Row[Any]]:
    distinct = list(dict.fromkeys(keys))
    rows = connection.execute(_LOOK_UP, journal.key_arrays(distinct))
    return {distinct[row.position - 1]: row for row in rows}


def _judge(order: ReversalOrder, original: Row[Any] | None, sales: dict[int, StoredSale]) -> OriginalFound | Declined:
    if original is None or journal.is_bar(original):
        return _NOT_FOUND
    asked, theirs = order.key, order.original
    if (asked.acquirer_id, asked.terminal_id) != (theirs.acquirer_id, theirs.terminal_id):
        return Declined(code=ResponseCode.ORIGINAL_NOT_FOUND, private_detail="the original is another terminal's")
    code = None if original.code is None else journal.code_named(original.code)
    request = bytes(original.request)
    stored = None if original.sale_id is None else sales[original.sale_id]
    if stored is not None and order.paid_centavos not in (None, stored.sale.paid_centavos):
        return Declined(code=ResponseCode.ORIGINAL_NOT_FOUND, private_detail="the amount is not the original's")
    if stored is None or stored.state == "void":
        return OriginalFound(code=code, sale=None, is_posted=False, tokens=(), original_request=request)
    return OriginalFound(
        code=code,
        sale=stored.sale,
        is_posted=stored.state == "posted",
        tokens=stored.tokens,
        original_request=request,
        parking=Parking.PARKED_BEFORE if stored.is_parked else Parking.NOT_ASKED,
    )


def _line(order: ReversalOrder, result: OriginalFound | Declined, original: Row[Any] | None) -> journal.Line:
    code = result.code if isinstance(result, Declined) else None
    sale_id = original.sale_id if original is not None and isinstance(result, OriginalFound) else None
    return journal.Line(order.key, order.digest, order.rrn, order.request, code, None, sale_id, order.received_at)


def _bar(order: ReversalOrder) -> journal.Line:
    """The row that keeps an original out which comes after its reversal was answered."""
    return journal.Line(
        key=order.original,
        digest=journal.REVERSED_BEFORE_IT_CAME,
        rrn=order.rrn,
        request=b"",
        code=ResponseCode.ORIGINAL_NOT_FOUND,
        sale_id=None,
        reverses_sale_id=None,
        received_at=order.received_at,
    )
