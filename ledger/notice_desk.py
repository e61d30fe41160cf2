"""Notices for people: listed, sent again, dropped. Nothing is ever deleted; who ordered it and why stand in the row."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger.database import allow_scans, transact
from vending.notice_life import NoticeEvent, NoticeState, next_state

NOTICES_PER_LIST_MAX = 1000
"""A list is for a person to read."""

_COLUMNS = (
    "id, acquirer_code, kind, subject, state, created_at, due_at, stan, transmitted_at, tries, tried_at, code, reason, ended_at,"
    " action, ordered_by, why, ordered_at"
)

_LIST = text(f"""
    SELECT {_COLUMNS} FROM network_notice
    WHERE (CAST(:network AS text) IS NULL OR acquirer_code = :network)
        AND state = ANY (CAST(:states AS text[]))
    ORDER BY acquirer_code, id LIMIT :most
""")  # noqa: S608 - constants only

_LOCK = text(f"SELECT {_COLUMNS} FROM network_notice WHERE id = :id FOR UPDATE")  # noqa: S608 - constants only

_ORDER = text(f"""
    UPDATE network_notice SET state = :state, action = :action, ordered_by = :user, why = :why, ordered_at = :at,
        reason = CASE WHEN :action = 'drop' THEN reason END, ended_at = CASE WHEN :action = 'drop' THEN CAST(:at AS timestamptz) END,
        due_at = CASE WHEN :action = 'retry' THEN CAST(:at AS timestamptz) ELSE due_at END,
        counted_from = CASE WHEN :action = 'retry' THEN CAST(:at AS timestamptz) ELSE counted_from END,
        tries_before = CASE WHEN :action = 'retry' THEN tries ELSE tries_before END
    WHERE id = :id RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only


class NoticeRefused(Exception):
    """The order cannot be followed; the text says why. Nothing was written."""


class NoticeRow(NamedTuple):
    """One notice as it is stored; the last four are of the last order of a person."""

    id: int
    network: str
    kind: str
    subject: str
    state: str
    created_at: datetime
    due_at: datetime
    stan: str | None
    transmitted_at: datetime | None
    tries: int
    tried_at: datetime | None
    code: str | None
    reason: str | None
    ended_at: datetime | None
    action: str | None
    ordered_by: str | None
    why: str | None
    ordered_at: datetime | None


def read_notices(engine: Engine, *, network_id: str | None = None, states: tuple[NoticeState, ...]) -> list[NoticeRow]:
    """Return notices in these states, by network and in the order of their lane; at most `NOTICES_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """

    def work(connection: Connection, _attempt: int) -> list[NoticeRow]:
        allow_scans(connection)
        values = {"network": network_id, "states": [state.value for state in states], "most": NOTICES_PER_LIST_MAX}
        return [NoticeRow(*row) for row in connection.execute(_LIST, values)]

    return transact(engine, work)


def retry(engine: Engine, notice_id: int, *, user: str, why: str, at: datetime) -> NoticeRow:
    """Have a dead letter sent again, in its old place in the lane; its age and its tries count anew.

    Args:
        engine: the ledger.
        notice_id: whose.
        user: who orders it, not blank.
        why: in words, not blank.
        at: now, aware.

    Raises:
        NoticeRefused: there is none, or it is no dead letter.
        LedgerUnavailable, LedgerOutcomeUnknown: as everywhere.
    """
    return _order(engine, notice_id, NoticeEvent.RETRIED, {"action": "retry", "user": user, "why": why, "at": at})


def drop(engine: Engine, notice_id: int, *, user: str, why: str, at: datetime) -> NoticeRow:
    """Decide that the network does not get a notice from us; as `retry`.

    Raises:
        NoticeRefused: there is none, or it is over.
        LedgerUnavailable, LedgerOutcomeUnknown: as everywhere.
    """
    return _order(engine, notice_id, NoticeEvent.DROPPED, {"action": "drop", "user": user, "why": why, "at": at})


def _order(engine: Engine, notice_id: int, event: NoticeEvent, values: dict[str, Any]) -> NoticeRow:
    assert values["user"].strip(), "who is never blank"
    assert values["why"].strip(), "why is never blank"

    def work(connection: Connection, _attempt: int) -> NoticeRow:
        row = connection.execute(_LOCK, {"id": notice_id}).one_or_none()
        if row is None:
            raise NoticeRefused(f"there is no notice {notice_id}")
        after = next_state(NoticeState(row.state), event)
        if after is None:
            raise NoticeRefused(f"notice {notice_id} is {row.state}: it cannot be {event.value}")
        return NoticeRow(*connection.execute(_ORDER, {**values, "id": notice_id, "state": after.value}).one())

    return transact(engine, work)
