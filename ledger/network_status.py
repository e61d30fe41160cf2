"""The kill switch of a network: stopped, it makes no new sale from the next batch on, in every switch process at once.

Everything about sales made before goes on: reversals, advices, last answers, totals, settlement. Echo and sign-on never come here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger.available import AVAILABLE
from ledger.database import transact

_LOCK = text("SELECT id, status FROM acquirer WHERE code = :code FOR UPDATE")

_SET = text("UPDATE acquirer SET status = :status WHERE id = :id")

NOTE_ORDER = text("""
    INSERT INTO network_order (acquirer_id, action, ordered_by, why, ordered_at) VALUES (:id, :action, :user, :why, :at)
""")

_LIST = text(f"""
    SELECT a.code, a.name, a.status, {AVAILABLE} AS available_centavos,
        o.action, o.ordered_by, o.why, o.ordered_at
    FROM acquirer AS a JOIN account AS f ON f.id = a.float_account_id
    LEFT JOIN LATERAL (
        SELECT * FROM network_order AS n WHERE n.acquirer_id = a.id AND n.action <> 'reset_key' ORDER BY n.id DESC LIMIT 1
    ) AS o ON true
    ORDER BY a.code
""")  # noqa: S608 - constants only


class NetworkUnknown(Exception):
    """The ledger has no network of that id."""


class NetworkStatus(NamedTuple):
    """One network as the ledger sees it; the last four are of the last order, None: there was none."""

    id: str
    name: str
    is_stopped: bool
    available_centavos: int
    action: str | None
    ordered_by: str | None
    why: str | None
    ordered_at: datetime | None


def stop_network(engine: Engine, network_id: str, *, user: str, why: str, at: datetime) -> bool:
    """Stop a network. Returns False if it was stopped before; then nothing is written.

    Args:
        engine: of the ledger.
        network_id: ``acquirer.code``, the id that its table of the configuration has.
        user: who orders it.
        why: in words, not blank.
        at: our clock, aware.

    Raises:
        NetworkUnknown: there is none.
        LedgerUnavailable, LedgerOutcomeUnknown: as everywhere.
    """
    return _order(engine, network_id, "stop", user=user, why=why, at=at)


def start_network(engine: Engine, network_id: str, *, user: str, why: str, at: datetime) -> bool:
    """Let a network sell again; as `stop_network`."""
    return _order(engine, network_id, "start", user=user, why=why, at=at)


def read_networks(engine: Engine) -> Sequence[NetworkStatus]:
    """Return every network of the ledger, by id."""

    def work(connection: Connection, _attempt: int) -> list[NetworkStatus]:
        return [
            NetworkStatus(
                row.code,
                row.name,
                row.status != "active",
                row.available_centavos,
                row.action,
                row.ordered_by,
                row.why,
                row.ordered_at,
            )
            for row in connection.execute(_LIST)
        ]

    return transact(engine, work)


def _order(engine: Engine, network_id: str, action: str, *, user: str, why: str, at: datetime) -> bool:
    status = "stopped" if action == "stop" else "active"

    def work(connection: Connection, _attempt: int) -> bool:
        row = connection.execute(_LOCK, {"code": network_id}).one_or_none()
        if row is None:
            raise NetworkUnknown(network_id)
        if row.status == status:
            return False
        connection.execute(_SET, {"id": row.id, "status": status})
        connection.execute(NOTE_ORDER, {"id": row.id, "action": action, "user": user, "why": why, "at": at})
        return True

    return transact(engine, work)
