"""Answers that were committed and did not leave, because their connection was gone. The terminal's repeat gets the stored answer.

They are evidence and no money: they say which terminals lose answers, where, and why.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger import arrays, journal
from ledger.database import allow_scans, transact
from ledger.notices import tell_outcomes_by_key
from vending.order import UndeliveredAnswer

ANSWERS_PER_CALL_MAX = 10_000
"""A listing is read by a person."""

_WRITE = text(f"""
    INSERT INTO undelivered_answer ({journal.KEY_COLUMNS}, reason, noticed_at)
    SELECT * FROM unnest({journal.KEY_ARRAYS}, CAST(:reasons AS text[]), CAST(:noticed AS timestamptz[]))
""")  # noqa: S608 - constants only

_READ = text(f"""
    SELECT o.acquirer_code, o.terminal_code, o.transmitted_at, o.stan, o.message_class, o.reason, o.noticed_at,
        CASE WHEN a.month IS NULL THEN j.code ELSE coalesce(j.code, 'archived') END AS code, j.sale_id
    FROM (
        SELECT * FROM undelivered_answer
        WHERE noticed_at >= :since AND (CAST(:terminal AS text) IS NULL OR terminal_code = :terminal)
        ORDER BY noticed_at DESC, id DESC LIMIT :most
    ) AS o
    LEFT JOIN journal AS j ON {journal.KEY_EQUAL}
    LEFT JOIN archived_month AS a ON a.table_name = 'journal' AND a.number = 1
        AND a.month = CAST(date_trunc('month', o.transmitted_at AT TIME ZONE 'UTC') AS date)
    ORDER BY o.noticed_at DESC, o.id DESC
""")  # noqa: S608 - constants only


class UndeliveredRow(NamedTuple):
    """One of them, with what the journal says of its request: ``code`` None while that has no outcome, "archived" once its month left."""

    acquirer_code: str
    terminal_code: str
    transmitted_at: datetime
    stan: str
    message_class: str
    reason: str
    noticed_at: datetime
    code: str | None
    sale_id: int | None


def write_undelivered(engine: Engine, answers: Sequence[UndeliveredAnswer]) -> list[None]:
    """Write a batch down in one statement, and in another what networks that want it are told of those sales.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: they may stand there or not.
    """
    values = {
        **journal.key_arrays([answer.key for answer in answers]),
        "reasons": arrays.texts([answer.reason for answer in answers]),
        "noticed": arrays.times([answer.noticed_at for answer in answers]),
    }

    def work(connection: Connection, _attempt: int) -> None:
        connection.execute(_WRITE, values)
        if told:
            tell_outcomes_by_key(connection, told, max(answer.noticed_at for answer in answers))

    told = [answer.key for answer in answers if answer.is_told]
    transact(engine, work)
    return [None] * len(answers)


def read_undelivered(
    engine: Engine, *, since: datetime, terminal_id: str | None = None, limit: int = 100
) -> list[UndeliveredRow]:
    """Return those noticed from *since* on, the newest first.

    Args:
        engine: the ledger.
        since: aware.
        terminal_id: of one terminal only.
        limit: 1 to `ANSWERS_PER_CALL_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    assert 1 <= limit <= ANSWERS_PER_CALL_MAX, "a listing is bounded"

    def work(connection: Connection, _attempt: int) -> list[UndeliveredRow]:
        allow_scans(connection)
        rows = connection.execute(_READ, {"since": since, "terminal": terminal_id, "most": limit})
        return [UndeliveredRow(*row) for row in rows]

    return transact(engine, work)
