"""Registering a network and its terminals in a ledger that is in use."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.opening import add_acquirer, add_terminals
from vending.money import BasisPoints, Centavos

_LOCK = text("SELECT id FROM acquirer WHERE code = :code FOR UPDATE")
_IS_KNOWN = text("SELECT EXISTS (SELECT 1 FROM acquirer WHERE code = :code)")
_KNOWN_TERMINALS = text("SELECT code FROM terminal WHERE acquirer_id = :acquirer_id AND code = ANY(:codes)")
_SET_STATUS = text(
    "UPDATE terminal SET status = :status WHERE acquirer_id = :acquirer_id AND code = :code RETURNING id"
)
_LIST = text("""
    SELECT terminal.code, terminal.merchant, terminal.status FROM terminal JOIN acquirer ON acquirer.id = terminal.acquirer_id
    WHERE acquirer.code = :code ORDER BY terminal.code
""")


class NetworkKnown(Exception):
    """The ledger has a network of that id; nothing was written."""


class NetworkMissing(Exception):
    """The ledger has no network of that id; nothing was written."""


class TerminalMissing(Exception):
    """The network has no terminal of that id; nothing was written."""


def add_network(
    engine: Engine,
    network_id: str,
    *,
    name: str,
    credit_line_centavos: Centavos,
    commission_basis_points: BasisPoints,
    commission_tax_basis_points: BasisPoints,
    user: str,
    at: datetime,
) -> None:
    """Write a network with its accounts and first terms. It has no money yet: without a credit line it sells nothing before a deposit.

    Args:
        engine: of the ledger.
        network_id: the name of its table in the configuration.
        name: for people.
        credit_line_centavos: what it may sell beyond its deposits.
        commission_basis_points: of everything it sells.
        commission_tax_basis_points: of its commission.
        user: who does it.
        at: aware.

    Raises:
        NetworkKnown: see there.
    """

    def write(connection: Connection, _attempt: int) -> None:
        connection.execute(text("LOCK TABLE acquirer IN SHARE ROW EXCLUSIVE MODE"))
        if connection.execute(_IS_KNOWN, {"code": network_id}).scalar_one():
            raise NetworkKnown(network_id)
        add_acquirer(
            connection,
            code=network_id,
            name=name,
            credit_line_centavos=credit_line_centavos,
            commission_basis_points=commission_basis_points,
            commission_tax_basis_points=commission_tax_basis_points,
            set_by=user,
            set_at=at,
        )

    transact(engine, write)


def register_terminals(engine: Engine, network_id: str, terminal_ids: Sequence[str], merchant: str) -> list[str]:
    """Write the terminals that are not known yet, all active; return which those are.

    Raises:
        NetworkMissing: see there.
    """

    def write(connection: Connection, _attempt: int) -> list[str]:
        acquirer_id = _locked(connection, network_id)
        known = set(
            connection.execute(_KNOWN_TERMINALS, {"acquirer_id": acquirer_id, "codes": list(terminal_ids)}).scalars()
        )
        new = [each for each in dict.fromkeys(terminal_ids) if each not in known]
        add_terminals(connection, acquirer_id, [(each, merchant, False) for each in new])
        return new

    return transact(engine, write)


def set_terminal_blocked(engine: Engine, network_id: str, terminal_id: str, *, is_blocked: bool) -> None:
    """Block a terminal, or let it sell again.

    Raises:
        NetworkMissing, TerminalMissing: see there.
    """

    def write(connection: Connection, _attempt: int) -> None:
        values = {
            "acquirer_id": _locked(connection, network_id),
            "code": terminal_id,
            "status": "blocked" if is_blocked else "active",
        }
        if connection.execute(_SET_STATUS, values).first() is None:
            raise TerminalMissing(terminal_id)

    transact(engine, write)


def read_terminals(engine: Engine, network_id: str) -> list[tuple[str, str, str]]:
    """Return (id, merchant, status) of every terminal of a network."""
    with engine.connect() as connection:
        rows = connection.execute(_LIST, {"code": network_id}).all()
    return [(str(row.code), str(row.merchant), str(row.status)) for row in rows]


def _locked(connection: Connection, network_id: str) -> int:
    acquirer_id = connection.execute(_LOCK, {"code": network_id}).scalar()
    if acquirer_id is None:
        raise NetworkMissing(network_id)
    return int(acquirer_id)
