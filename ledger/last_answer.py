"""The last answer: what became of a terminal's last sale, or of one that it names, with its digits once more.

Each time digits leave again a row says so, and it is durable before they do. A terminal sees only what it sold itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import arrays, journal
from ledger.available import AVAILABLE
from ledger.database import transact
from ledger.rounds import together
from ledger.stored_sales import StoredSale, read_sales
from vending.money import Centavos
from vending.order import LastAnswerFound, LastAnswerInquiry, RequestKey
from vending.response_code import ResponseCode

INQUIRIES_PER_BATCH_MAX = 1024
"""As for orders."""

# The last sale of a terminal is the last entry of its part of the index; terminals of two networks may have the same code, and those of
# the other one are passed over.
_ADMIT = text(f"""
    SELECT o.position, t.status AS terminal_status, l.id AS last_sale_id,
        {AVAILABLE} AS available_centavos
    FROM unnest(CAST(:acquirers AS text[]), CAST(:terminals AS text[])) WITH ORDINALITY AS o (acquirer_code, terminal_code, position)
    JOIN acquirer AS a ON a.code = o.acquirer_code
    JOIN account AS f ON f.id = a.float_account_id
    JOIN terminal AS t ON t.acquirer_id = a.id AND t.code = o.terminal_code
    LEFT JOIN LATERAL (
        SELECT s.id FROM sale AS s WHERE s.terminal_code = o.terminal_code AND s.acquirer_code = o.acquirer_code
        ORDER BY s.id DESC LIMIT 1
    ) AS l ON true
""")  # noqa: S608 - constants only

_LOOK_UP = text(f"""
    SELECT o.position, j.digest, j.code, j.rrn, j.sale_id
    FROM unnest({journal.KEY_ARRAYS}) WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, position) JOIN {journal.row_of_key("digest, code, rrn, sale_id")}
""")  # noqa: S608 - constants only

# Held until the commit, so that no two copies of a ticket get the same number and no sale is parked while its digits leave; in
# ascending order, as everywhere. An open sale is left alone: nothing of it leaves, and its posting must not wait.
_LOCK = text("""
    SELECT id FROM sale WHERE id = ANY (CAST(:ids AS bigint[])) AND state = :state ORDER BY id FOR NO KEY UPDATE
""")

_COUNT = text("""
    SELECT o.id AS sale_id, (SELECT count(*) FROM reprint AS r WHERE r.sale_id = o.id) AS reprints
    FROM unnest(CAST(:ids AS bigint[])) AS o (id)
""")

_WRITE = text("""
    INSERT INTO reprint (sale_id, acquirer_code, terminal_code, printed_at)
    SELECT * FROM unnest(CAST(:sale_ids AS bigint[]), CAST(:acquirers AS text[]), CAST(:terminals AS text[]),
        CAST(:printed AS timestamptz[]))
""")


_REVERSED = LastAnswerFound(code=ResponseCode.ORIGINAL_NOT_FOUND)
"""A sale whose money went back: its digits wait for whoever pays for them and are shown to nobody else."""


def find_last_answers(engine: Engine, inquiries: Sequence[LastAnswerInquiry]) -> list[LastAnswerFound]:
    """Tell a batch of terminals what became of their sales, in their order, and keep a row of each ticket handed out again.

    Raises:
        LedgerUnavailable, LedgerOutcomeUnknown: nothing may be told.
    """
    assert len(inquiries) <= INQUIRIES_PER_BATCH_MAX, "a batch is bounded"
    if not inquiries:
        return []
    return transact(engine, lambda connection, _attempt: _find(connection, inquiries))


def _find(connection: Connection, inquiries: Sequence[LastAnswerInquiry]) -> list[LastAnswerFound]:
    who = {
        "acquirers": arrays.texts([inquiry.acquirer_id for inquiry in inquiries]),
        "terminals": arrays.texts([inquiry.terminal_id for inquiry in inquiries]),
    }
    named = [position for position, inquiry in enumerate(inquiries) if inquiry.original is not None]
    keys = [_original_of(inquiries[position]) for position in named]
    admitted, found = together(connection, (_ADMIT, who), (_LOOK_UP, journal.key_arrays(keys)))
    terminals = {row.position - 1: row for row in admitted.rows}
    originals = {named[row.position - 1]: row for row in found.rows}
    sale_ids = {position: row.last_sale_id for position, row in terminals.items()}
    sale_ids |= {position: originals[position].sale_id if position in originals else None for position in named}
    wanted = sorted({sale_id for sale_id in sale_ids.values() if sale_id is not None})
    locked: set[int] = set()
    if wanted:
        (held,) = together(connection, (_LOCK, {"ids": arrays.ints(wanted), "state": "posted"}))
        locked = {row.id for row in held.rows}
    sales = read_sales(connection, wanted)
    results = []
    for position, inquiry in enumerate(inquiries):
        refusal = _refusal(terminals.get(position))
        if refusal is not None:
            results.append(LastAnswerFound(code=refusal))
            continue
        sale_id = sale_ids[position]
        if sale_id is not None:
            found_last = _of_sale(sales[sale_id], is_locked=sale_id in locked)
        else:
            found_last = _of_request(inquiry, originals.get(position))
        results.append(replace(found_last, available_centavos=Centavos(terminals[position].available_centavos)))
    return _count_reprints(connection, inquiries, results)


def _original_of(inquiry: LastAnswerInquiry) -> RequestKey:
    key = inquiry.original
    assert key is not None
    assert (key.acquirer_id, key.terminal_id) == (inquiry.acquirer_id, inquiry.terminal_id), "a terminal's own"
    return key


def _refusal(terminal: Any | None) -> ResponseCode | None:
    """Who is not served is not shown digits either: a terminal is blocked because it was stolen.

    A stopped network is told: it sells nothing new, but the customers who paid before are owed their digits.
    """
    if terminal is None:
        return ResponseCode.TERMINAL_UNKNOWN
    return ResponseCode.TERMINAL_BLOCKED if terminal.terminal_status != "active" else None


def _of_sale(stored: StoredSale, *, is_locked: bool) -> LastAnswerFound:
    if stored.state == "reserved" or (stored.state == "posted" and not is_locked):
        # The latter was posted since it was to be locked: it is told the next time.
        return LastAnswerFound(code=ResponseCode.IN_PROGRESS)
    if stored.is_parked:
        return _REVERSED
    is_posted = stored.state == "posted"
    # A sale so old that its request is archived: posted was approved; why another was not is not known here any more.
    original_code = ResponseCode.APPROVED if is_posted else stored.code
    if original_code is None:
        return LastAnswerFound(code=ResponseCode.ORIGINAL_NOT_FOUND)
    return LastAnswerFound(
        code=ResponseCode.APPROVED,
        original=stored.sale.key,
        original_code=original_code,
        rrn=stored.sale.rrn,
        sale=stored.sale if is_posted else None,
        tokens=stored.tokens if is_posted else (),
    )


def _of_request(inquiry: LastAnswerInquiry, original: Any | None) -> LastAnswerFound:
    """A request that never became a sale, or that nobody knows."""
    if original is None or journal.is_bar(original):
        return LastAnswerFound(code=ResponseCode.ORIGINAL_NOT_FOUND)
    return LastAnswerFound(
        code=ResponseCode.APPROVED,
        original=inquiry.original,
        original_code=journal.code_named(original.code),
        rrn=original.rrn,
    )


def _count_reprints(
    connection: Connection, inquiries: Sequence[LastAnswerInquiry], results: list[LastAnswerFound]
) -> list[LastAnswerFound]:
    """Write down every ticket that is handed out again, and number it."""
    again = [(position, found.sale) for position, found in enumerate(results) if found.sale is not None]
    if not again:
        return results
    ids = {"ids": arrays.ints(sorted({sale.sale_id for _, sale in again}))}
    counted, _ = together(
        connection,
        (_COUNT, ids),
        (
            _WRITE,
            {
                "sale_ids": arrays.ints([sale.sale_id for _, sale in again]),
                "acquirers": arrays.texts([sale.key.acquirer_id for _, sale in again]),
                "terminals": arrays.texts([sale.key.terminal_id for _, sale in again]),
                "printed": arrays.times([inquiries[position].asked_at for position, _ in again]),
            },
        ),
    )
    counts = {row.sale_id: row.reprints for row in counted.rows}
    numbered = list(results)
    for position, sale in again:
        counts[sale.sale_id] += 1
        numbered[position] = replace(results[position], reprint_count=counts[sale.sale_id])
    return numbered
