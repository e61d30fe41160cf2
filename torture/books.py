"""Reading what is on disk when all is over: the ledger, and what the security module has minted."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from ledger.database import allow_scans
from security_module.mint_store import minted_ids
from torture.seen import BookedSale, Books, RequestKey, StoredAnswer

_JOURNAL = text("SELECT terminal_code, transmitted_at, stan, message_class, code, answer FROM journal")
_SALES = text("SELECT id, state, terminal_code, transmitted_at, stan, message_class FROM sale ORDER BY id")
_TOKENS = text("SELECT sale_id, digits FROM token ORDER BY sale_id, position")
_RESERVED = text("SELECT count(*) FROM sale WHERE state = 'reserved'")


def reserved_sales(engine: Engine) -> int:
    """Return how many sales have no outcome yet."""
    with engine.connect() as connection:
        return int(connection.execute(_RESERVED).scalar_one())


def read_books(engine: Engine, mint_logs: Iterable[Path]) -> Books:
    """Read everything.

    Args:
        engine: the ledger, quiet.
        mint_logs: of the security modules.
    """
    with engine.connect() as connection:
        allow_scans(connection)
        journal = {
            RequestKey(
                terminal_id=row.terminal_code,
                transmitted_at=row.transmitted_at,
                stan=row.stan,
                message_class=row.message_class,
            ): StoredAnswer(code=row.code, answer=None if row.answer is None else bytes(row.answer))
            for row in connection.execute(_JOURNAL)
        }
        return Books(
            journal=journal,
            sales=tuple(_sales(connection)),
            minted=frozenset(each for path in mint_logs for each in minted_ids(path)),
        )


def _sales(connection: Connection) -> Iterable[BookedSale]:
    digits: dict[int, list[str | None]] = defaultdict(list)
    for row in connection.execute(_TOKENS):
        digits[row.sale_id].append(row.digits)
    for row in connection.execute(_SALES):
        yield BookedSale(
            sale_id=row.id,
            key=RequestKey(
                terminal_id=row.terminal_code,
                transmitted_at=row.transmitted_at,
                stan=row.stan,
                message_class=row.message_class,
            ),
            state=row.state,
            digits=tuple(digits[row.id]),
        )
