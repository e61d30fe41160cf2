"""The lanes of notices: one for each network, sent in order, by one process at a time.

A lane is held by a row with a moment until which nobody else may take it, by the database's clock. Whoever wants lanes takes those that
are free and not just being taken (``SKIP LOCKED``), so that none waits for another. A process that dies holds its lane until that moment.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import arrays
from ledger.database import transact
from ledger.notices import tell_outcome
from vending.notice import (
    DeadLetter,
    LaneRound,
    LaneStatus,
    LateAnswer,
    Notice,
    NoticeItem,
    NoticeKind,
    NoticeMoved,
    RoundDone,
    TellOutcome,
    TryEnded,
    facts_of,
)
from vending.notice_life import OPEN, NoticeEvent, NoticeState, next_state

ANSWERS = frozenset({NoticeEvent.ACCEPTED, NoticeEvent.REFUSED})
"""What counts whichever try it answers: all tries are one message."""

STANS = 999_999
"""Notices are numbered 1 to this by their ids, and then from 1 again; STAN and transmission time together name one."""

_ADD_LANES = text("""
    INSERT INTO notice_lane (acquirer_code, holder, held_until)
    SELECT o.code, '', '-infinity' FROM unnest(CAST(:codes AS text[])) AS o (code)
    WHERE NOT EXISTS (SELECT 1 FROM notice_lane AS l WHERE l.acquirer_code = o.code) ON CONFLICT DO NOTHING
""")

_TAKE_LANES = text("""
    SELECT acquirer_code FROM notice_lane WHERE acquirer_code = ANY (CAST(:codes AS text[])) AND held_until <= clock_timestamp()
    ORDER BY acquirer_code FOR UPDATE SKIP LOCKED
""")

_EXPIRE = text("""
    UPDATE network_notice AS n SET state = 'dead', ended_at = :at,
        reason = CASE WHEN n.tries - n.tries_before >= o.tries_max THEN 'too_many_tries' ELSE 'too_old' END
    FROM unnest(CAST(:codes AS text[]), CAST(:ages AS bigint[]), CAST(:tries AS bigint[])) AS o (code, age_max, tries_max)
    WHERE n.acquirer_code = o.code AND n.state IN ('waiting', 'sent')
        AND (n.counted_from < :at - o.age_max * interval '1 second' OR n.tries - n.tries_before >= o.tries_max)
    RETURNING n.acquirer_code, n.id, n.reason
""")

_CLAIM = text("""
    UPDATE network_notice AS n SET state = 'sent', claims = n.claims + 1, tries = n.tries + 1, tried_at = :at,
        stan = coalesce(n.stan, lpad(CAST(n.id % :stans + 1 AS text), 6, '0')),
        transmitted_at = coalesce(n.transmitted_at, date_trunc('second', CAST(:at AS timestamptz)))
    FROM unnest(CAST(:codes AS text[])) AS o (code)
    CROSS JOIN LATERAL (
        SELECT h.id, h.due_at FROM network_notice AS h WHERE h.acquirer_code = o.code AND h.state IN ('waiting', 'sent')
        ORDER BY h.id LIMIT 1
    ) AS head
    WHERE n.id = head.id AND (head.due_at <= :at OR n.state = 'sent')
    RETURNING n.id, n.acquirer_code, n.kind, n.facts, n.stan, n.transmitted_at, n.claims, n.tries, n.tries_before
""")

_HOLD = text("""
    UPDATE notice_lane AS l SET holder = :holder, held_until = clock_timestamp() + o.lease * interval '1 millisecond'
    FROM unnest(CAST(:codes AS text[]), CAST(:leases AS bigint[])) AS o (code, lease) WHERE l.acquirer_code = o.code
""")

_RELEASE = text("UPDATE notice_lane SET held_until = '-infinity' WHERE acquirer_code = :acquirer AND holder = :holder")

_STATUS = text("""
    SELECT acquirer_code, sum(depth) AS depth, min(oldest_at) AS oldest_at, sum(dead) AS dead FROM (
        SELECT acquirer_code, count(*) AS depth, min(created_at) AS oldest_at, 0 AS dead
        FROM network_notice WHERE state IN ('waiting', 'sent') GROUP BY acquirer_code
        UNION ALL
        SELECT acquirer_code, 0, NULL, count(*) FROM network_notice WHERE state = 'dead' GROUP BY acquirer_code
    ) AS each GROUP BY acquirer_code ORDER BY acquirer_code
""")

_LOCK = text("SELECT id, state, claims FROM network_notice WHERE id = :id FOR UPDATE")

_FIND = text("""
    SELECT id, state, claims FROM network_notice
    WHERE acquirer_code = :acquirer AND stan = :stan AND transmitted_at = :transmitted_at ORDER BY id DESC LIMIT 1 FOR UPDATE
""")

_MOVE = text("""
    UPDATE network_notice SET state = :state, code = coalesce(:code, code), due_at = coalesce(:due_at, due_at), ended_at = :ended_at,
        reason = CASE WHEN :state = 'dead' THEN 'refused' END, tries = tries - :taken_back
    WHERE id = :id
""")


def run_notice_items(engine: Engine, items: Sequence[NoticeItem]) -> list[Any]:
    """Do one item after the other, each in its transaction; a lane is slow by nature and its batches are of one or two.

    Raises:
        LedgerUnavailable: those that were done stay done; each may be asked for again without harm.
        LedgerOutcomeUnknown: likewise.
    """
    return [_run(engine, item) for item in items]


def _run(engine: Engine, item: NoticeItem) -> RoundDone | NoticeMoved | None:
    match item:
        case LaneRound():
            return transact(engine, lambda connection, _attempt: _look(connection, item))
        case TryEnded():
            return transact(engine, lambda connection, _attempt: _end_try(connection, item))
        case LateAnswer():
            return transact(engine, lambda connection, _attempt: _take_late(connection, item))
        case TellOutcome():
            return tell_outcome(engine, [item])[0]


def _look(connection: Connection, order: LaneRound) -> RoundDone:
    by_code = {lane.acquirer_id: lane for lane in order.lanes}
    codes = arrays.texts(sorted(by_code))
    connection.execute(_ADD_LANES, {"codes": codes})
    free = [by_code[code] for code in connection.scalars(_TAKE_LANES, {"codes": codes})]
    expired = connection.execute(
        _EXPIRE,
        {
            "codes": arrays.texts([lane.acquirer_id for lane in free]),
            "ages": arrays.ints([int(lane.age_seconds_max) for lane in free]),
            "tries": arrays.ints([lane.tries_max for lane in free]),
            "at": order.at,
        },
    ).all()
    sendable = arrays.texts([lane.acquirer_id for lane in free if lane.is_sendable])
    claimed = [_notice(row) for row in connection.execute(_CLAIM, {"codes": sendable, "stans": STANS, "at": order.at})]
    if claimed:
        leases = [int(by_code[notice.acquirer_id].lease_seconds * 1000) for notice in claimed]
        held = arrays.texts([notice.acquirer_id for notice in claimed])
        connection.execute(_HOLD, {"holder": order.holder, "codes": held, "leases": arrays.ints(leases)})
    return RoundDone(
        claimed=tuple(claimed),
        expired=tuple(DeadLetter(acquirer_id=row[0], notice_id=row[1], reason=row[2]) for row in expired),
        lanes=tuple(_statuses(connection)),
    )


def _statuses(connection: Connection) -> list[LaneStatus]:
    return [
        LaneStatus(acquirer_id=row.acquirer_code, depth=int(row.depth), oldest_at=row.oldest_at, dead=int(row.dead))
        for row in connection.execute(_STATUS)
    ]


def _end_try(connection: Connection, ended: TryEnded) -> NoticeMoved:
    row = connection.execute(_LOCK, {"id": ended.notice_id}).one()
    is_mine = row.claims == ended.claims
    if is_mine:
        connection.execute(_RELEASE, {"acquirer": ended.acquirer_id, "holder": ended.holder})
    elif ended.event not in ANSWERS:
        # Another process has it by now: this one was so slow that its lease was over.
        return NoticeMoved(notice_id=row.id, state=None)
    taken_back = int(is_mine and ended.event is NoticeEvent.NOT_SENT)
    return _move(connection, row, ended.event, ended.code, ended.at, ended.due_at, taken_back)


def _take_late(connection: Connection, answer: LateAnswer) -> NoticeMoved:
    values = {"acquirer": answer.acquirer_id, "stan": answer.stan, "transmitted_at": answer.transmitted_at}
    row = connection.execute(_FIND, values).one_or_none()
    if row is None:
        return NoticeMoved(notice_id=None, state=None)
    if answer.event not in ANSWERS:
        return NoticeMoved(notice_id=row.id, state=None)
    return _move(connection, row, answer.event, answer.code, answer.at, None, 0)


def _move(
    connection: Connection,
    row: Any,
    event: NoticeEvent,
    code: str | None,
    at: datetime,
    due_at: datetime | None,
    taken_back: int,
) -> NoticeMoved:
    after = next_state(NoticeState(row.state), event)
    if after is None:
        return NoticeMoved(notice_id=row.id, state=None)
    connection.execute(
        _MOVE,
        {
            "id": row.id,
            "state": after.value,
            "code": code,
            "due_at": due_at if after in OPEN else None,
            "ended_at": None if after in OPEN else at,
            "taken_back": taken_back,
        },
    )
    return NoticeMoved(notice_id=row.id, state=after)


def _notice(row: Any) -> Notice:
    stored = row.facts if isinstance(row.facts, dict) else json.loads(row.facts)
    return Notice(
        notice_id=row.id,
        acquirer_id=row.acquirer_code,
        facts=facts_of(NoticeKind(row.kind), row.acquirer_code, stored),
        stan=row.stan,
        transmitted_at=row.transmitted_at,
        claims=row.claims,
        tries=row.tries - 1,
        failures=row.tries - 1 - row.tries_before,
    )
