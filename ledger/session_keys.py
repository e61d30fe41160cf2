"""Session keys of networks: read, offered, put in force. Everything here is rare and each item is a transaction of its own.

The row of the network is locked while its keys change, so that two processes never offer two keys under one generation.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.network_status import NOTE_ORDER, NetworkUnknown
from vending.session_key import (
    STATIC_GENERATION,
    ConfirmKey,
    KeptKey,
    KeyItem,
    KeyOrigin,
    KeysSeen,
    KeyState,
    LookAtKeys,
    OfferKey,
    SessionKey,
)

_LOCK = text("SELECT id FROM acquirer WHERE code = :code FOR NO KEY UPDATE")

_READ = text("""
    SELECT k.generation, k.origin, k.state, k.token, k.wrapped, k.kcv, k.changed_at, k.honoured_until
    FROM session_key AS k JOIN acquirer AS a ON a.id = k.acquirer_id
    WHERE a.code = :code ORDER BY k.generation
""")

_DROP = "UPDATE session_key SET state = 'dropped', changed_at = :at WHERE acquirer_id = :id AND state = 'offered' AND {which}"
_DROP_OF_MAKER = text(_DROP.format(which="origin = :origin"))
_DROP_OLDER = text(_DROP.format(which="generation < :generation"))

_OFFER = text("""
    INSERT INTO session_key (acquirer_id, generation, origin, state, token, wrapped, kcv, offered_at, changed_at)
    VALUES (:id, :generation, :origin, 'offered', :token, :wrapped, :kcv, :at, :at)
""")

_RETIRE = text("""
    UPDATE session_key SET state = 'retired', token = :token, changed_at = :at, honoured_until = :until
    WHERE acquirer_id = :id AND state = 'in_force'
""")

_RETIRE_STATIC = text("""
    INSERT INTO session_key
        (acquirer_id, generation, origin, state, token, wrapped, kcv, offered_at, changed_at, honoured_until)
    VALUES (:id, 0, 'static', 'retired', :token, '', :kcv, :at, :at, :until)
    ON CONFLICT (acquirer_id, generation) DO UPDATE SET state = 'retired', token = excluded.token, kcv = excluded.kcv,
        changed_at = excluded.changed_at, honoured_until = excluded.honoured_until
""")

_CONFIRM = text("""
    UPDATE session_key SET state = 'in_force', changed_at = :at
    WHERE acquirer_id = :id AND generation = :generation AND state = 'offered'
""")

_FORGET = text("""
    UPDATE session_key SET state = 'dropped', changed_at = :at, honoured_until = NULL
    WHERE acquirer_id = :id AND state <> 'dropped'
""")


def run_key_items(engine: Engine, items: Sequence[KeyItem]) -> list[KeysSeen]:
    """Do the items one after the other, and say of each how its network's keys stand afterwards.

    Raises:
        NetworkUnknown: of an item whose network the ledger does not have.
        LedgerUnavailable, LedgerOutcomeUnknown: as everywhere; any item may be done again.
    """
    return [_run(engine, item) for item in items]


def _run(engine: Engine, item: KeyItem) -> KeysSeen:
    def work(connection: Connection, _attempt: int) -> KeysSeen:
        if not isinstance(item, LookAtKeys):
            acquirer_id = _lock(connection, item.acquirer_id)
            seen = _read(connection, item.acquirer_id)
            if isinstance(item, OfferKey):
                _offer(connection, acquirer_id, item, seen)
            else:
                _confirm(connection, acquirer_id, item, seen)
        return _read(connection, item.acquirer_id)

    return transact(engine, work)


def forget_session_keys(engine: Engine, acquirer_code: str, *, user: str, why: str, at: datetime) -> bool:
    """Put the register's own key in force again, at once; for a partner who has lost his keys. Generations go on counting.

    Who ordered it is kept beside the other orders about the network. Returns False if no other key was there; then nothing is written.

    Raises:
        NetworkUnknown: there is none.
        LedgerUnavailable, LedgerOutcomeUnknown: as everywhere.
    """

    def work(connection: Connection, _attempt: int) -> bool:
        acquirer_id = _lock(connection, acquirer_code)
        if not connection.execute(_FORGET, {"id": acquirer_id, "at": at}).rowcount:
            return False
        order = {"id": acquirer_id, "action": "reset_key", "user": user, "why": why, "at": at}
        connection.execute(NOTE_ORDER, order)
        return True

    return transact(engine, work)


def _lock(connection: Connection, acquirer_code: str) -> int:
    found = connection.execute(_LOCK, {"code": acquirer_code}).scalar_one_or_none()
    if found is None:
        raise NetworkUnknown(acquirer_code)
    return int(found)


def _offer(connection: Connection, acquirer_id: int, item: OfferKey, seen: KeysSeen) -> None:
    if item.generation != seen.highest + 1:
        return  # Somebody was first, and what he wrote is what is seen.
    connection.execute(_DROP_OF_MAKER, {"id": acquirer_id, "at": item.at, "origin": item.origin.value})
    values = {
        "id": acquirer_id,
        "generation": item.generation,
        "origin": item.origin.value,
        "token": item.key.token,
        "wrapped": item.key.wrapped,
        "kcv": item.key.kcv,
        "at": item.at,
    }
    connection.execute(_OFFER, values)


def _confirm(connection: Connection, acquirer_id: int, item: ConfirmKey, seen: KeysSeen) -> None:
    if item.generation not in {key.generation for key in seen.offered}:
        return
    in_force = seen.in_force.generation if seen.in_force is not None else STATIC_GENERATION
    if in_force != item.retired_generation:
        return  # The caller's picture was old; he looks again.
    retired: dict[str, Any] = {
        "id": acquirer_id,
        "token": item.retired.token,
        "kcv": item.retired.kcv,
        "at": item.at,
        "until": item.honoured_until,
    }
    if in_force == STATIC_GENERATION:
        connection.execute(_RETIRE_STATIC, retired)
    else:
        connection.execute(_RETIRE, {name: value for name, value in retired.items() if name != "kcv"})
    confirmed = {"id": acquirer_id, "generation": item.generation, "at": item.at}
    connection.execute(_CONFIRM, confirmed)
    connection.execute(_DROP_OLDER, confirmed)


def _read(connection: Connection, acquirer_code: str) -> KeysSeen:
    kept = [
        KeptKey(
            generation=row.generation,
            origin=KeyOrigin(row.origin),
            state=KeyState(row.state),
            key=SessionKey(token=bytes(row.token), wrapped=bytes(row.wrapped), kcv=row.kcv),
            changed_at=row.changed_at,
            honoured_until=row.honoured_until,
        )
        for row in connection.execute(_READ, {"code": acquirer_code})
    ]
    retired = [key for key in kept if key.state is KeyState.RETIRED]
    return KeysSeen(
        highest=max((key.generation for key in kept), default=STATIC_GENERATION),
        in_force=next((key for key in kept if key.state is KeyState.IN_FORCE), None),
        offered=tuple(key for key in reversed(kept) if key.state is KeyState.OFFERED),
        retired=max(retired, key=lambda key: key.changed_at, default=None),
    )
