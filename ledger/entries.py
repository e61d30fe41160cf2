"""Writing one entry that no sale makes: an adjustment, a deposit. Sales and parkings write theirs a batch at a time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from ledger import arrays, schema
from ledger.rules import PostingLine
from vending.calendar import local_date

# Given in ascending order and looked up one by one, so that they are locked in ascending order.
_MOVE_ACCOUNTS = text("""
    UPDATE account SET balance_centavos = balance_centavos + o.amount
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[])) AS o (id, amount) WHERE account.id = o.id
""")


def write_entry(
    connection: Connection,
    *,
    kind: str,
    at: datetime,
    memo: str,
    lines: Sequence[PostingLine],
    meter_id: int | None = None,
) -> int:
    """Write an entry with its postings and move the accounts, these last; return the entry's id.

    Args:
        connection: in a transaction, with the meter locked where there is one.
        kind: of the entry.
        at: aware; the entry stands on its local day.
        memo: for people.
        lines: that sum to zero, one for each account.
        meter_id: whose remainder the line with ``is_remainder`` moves.
    """
    assert sum(line.amount_centavos for line in lines) == 0, "the lines of an entry sum to zero"
    ordered = sorted(lines)
    day = local_date(at)
    entry_id: int = connection.execute(schema.ledger_id.next_value().select()).scalar_one()
    connection.execute(schema.entry.insert().values(id=entry_id, kind=kind, posted_at=at, local_date=day, memo=memo))
    connection.execute(
        schema.posting.insert(),
        [
            {
                "entry_id": entry_id,
                "line": number,
                "posted_on": day,
                "account_id": line.account_id,
                "amount_centavos": line.amount_centavos,
                "meter_id": meter_id if line.is_remainder else None,
            }
            for number, line in enumerate(ordered, 1)
        ],
    )
    values = {
        "ids": arrays.ints([line.account_id for line in ordered]),
        "amounts": arrays.ints([line.amount_centavos for line in ordered]),
    }
    moved = connection.execute(_MOVE_ACCOUNTS, values)
    assert moved.rowcount == len(ordered), "every account of a posting exists"
    return entry_id
