"""Key changes with a sale: read with the meter in commit 1, posted with the sale in commit 2, where the meter's row gets its new key.

A meter's row says whether anything is due, so for all others none of this is executed. Every statement here runs while the meters' rows
are locked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, TextClause, text

from ledger import arrays
from ledger.database import transact
from ledger.meters import BASE_DATES, MeterState
from sts.codes import BaseDate
from vending.engineering import sections_of
from vending.key_change import KeyChange
from vending.order import ReservedSale
from vending.secret import Secret

SUCCESSORS_MAX = 16
"""Registers in one row of successors: a key revision has one digit, and a utility changes it every few years."""
TOKEN_DIGITS = 20

# The identifiers that were given out under the new register: those of sales that were voided. A new base date begins with them.
_READ_TARGETS = text("""
    WITH RECURSIVE wanted AS (
        SELECT m.id AS meter_id, m.register_id, coalesce(m.next_tariff_index, m.tariff_index) AS tariff_index
        FROM unnest(CAST(:meters AS bigint[])) AS o (id) JOIN meter AS m ON m.id = o.id
    ), path AS (
        SELECT register_id AS first_id, register_id AS id, 0 AS steps FROM wanted
        UNION
        SELECT p.first_id, r.successor_id, p.steps + 1 FROM path AS p JOIN key_register AS r ON r.id = p.id
        WHERE r.successor_id IS NOT NULL AND p.steps < :most
    ), newest AS (
        SELECT DISTINCT ON (first_id) first_id, id FROM path ORDER BY first_id, steps DESC
    )
    SELECT w.meter_id, n.id AS register_id, w.tariff_index, r.base_year, nextval('ledger_id') AS mint_id, (
        SELECT max(t.tid) FROM token AS t JOIN sale AS s ON s.id = t.sale_id WHERE t.meter_id = w.meter_id AND s.register_id = n.id
    ) AS last_tid
    FROM wanted AS w JOIN newest AS n ON n.first_id = w.register_id JOIN key_register AS r ON r.id = n.id
""")

_WRITE = text("""
    INSERT INTO sale_key_change (sale_id, mint_id, meter_id, from_register_id, from_tariff_index, to_register_id, to_tariff_index,
        sections, is_rollover)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:mints AS bigint[]), CAST(:meters AS bigint[]), CAST(:old_registers AS bigint[]),
        CAST(:old_indexes AS smallint[]), CAST(:new_registers AS bigint[]), CAST(:new_indexes AS smallint[]),
        CAST(:sections AS smallint[]), CAST(:rollovers AS boolean[]))
""")

_POST = text("""
    WITH o AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:digits AS text[]), CAST(:last_tids AS bigint[]))
            AS o (sale_id, digits, last_tid)
    ), stored AS (
        UPDATE sale_key_change AS k SET digits = o.digits FROM o WHERE k.sale_id = o.sale_id
        RETURNING k.meter_id, k.to_register_id, k.to_tariff_index, k.is_rollover, o.last_tid
    )
    UPDATE meter SET register_id = s.to_register_id, tariff_index = s.to_tariff_index,
        next_tariff_index = nullif(next_tariff_index, s.to_tariff_index),
        last_tid = CASE WHEN s.is_rollover THEN s.last_tid ELSE meter.last_tid END
    FROM stored AS s WHERE meter.id = s.meter_id
""")

_SET_SUCCESSOR = text("UPDATE key_register SET successor_id = :new WHERE id = :old")
_REGISTERS = text("SELECT id, successor_id FROM key_register ORDER BY id FOR NO KEY UPDATE")
_ADD_REGISTER = text("INSERT INTO key_register (id, base_year, description) VALUES (:id, :base_year, :description)")
_SET_INDEX = text("""
    UPDATE meter SET next_tariff_index = nullif(CAST(:index AS smallint), tariff_index) WHERE meter_number = :number
""")


class RegisterRefused(Exception):
    """A register cannot follow another; the text says why."""


class Target(NamedTuple):
    """The key that a meter is to have, and the id under which its key change is minted."""

    register_id: int
    tariff_index: int
    base_date: BaseDate
    mint_id: int
    last_tid: int
    """Highest identifier that was given out under the new register; 0: none."""


class Moved(NamedTuple):
    """A meter as it will be, and the change that brings it there."""

    meter: MeterState
    change: KeyChange


def read_targets(connection: Connection, meter_ids: Collection[int]) -> dict[int, Target]:
    """Return, for meters that are behind, the key at the end of their row of successors."""
    if not meter_ids:
        return {}
    rows = connection.execute(_READ_TARGETS, {"meters": arrays.ints(sorted(meter_ids)), "most": SUCCESSORS_MAX})
    return {
        row.meter_id: Target(
            row.register_id, row.tariff_index, BASE_DATES[row.base_year], row.mint_id, row.last_tid or 0
        )
        for row in rows
    }


def moved(meter: MeterState, target: Target) -> Moved:
    """Return *meter* under the key of *target*; its identifiers begin anew where its base date changes."""
    account = meter.account
    is_rollover = target.base_date is not meter.base_date
    change = KeyChange(
        mint_id=target.mint_id,
        from_register_id=account.register_id,
        from_tariff_index=account.tariff_index,
        sections=sections_of(account.encryption_algorithm),
        is_rollover=is_rollover,
    )
    return Moved(
        meter=replace(
            meter,
            account=replace(account, register_id=target.register_id, tariff_index=target.tariff_index),
            base_date=target.base_date,
            last_tid=target.last_tid if is_rollover else meter.last_tid,
        ),
        change=change,
    )


def write_statements(sales: Sequence[ReservedSale]) -> list[tuple[TextClause, Mapping[str, object]]]:
    """Return what commit 1 writes for those of *sales* that change a key; nothing if none does."""
    changing = [(sale, sale.key_change) for sale in sales if sale.key_change is not None]
    if not changing:
        return []
    values = {
        "ids": arrays.ints([sale.sale_id for sale, _ in changing]),
        "mints": arrays.ints([change.mint_id for _, change in changing]),
        "meters": arrays.ints([sale.meter.meter_id for sale, _ in changing]),
        "old_registers": arrays.ints([change.from_register_id for _, change in changing]),
        "old_indexes": arrays.ints([change.from_tariff_index for _, change in changing]),
        "new_registers": arrays.ints([sale.meter.register_id for sale, _ in changing]),
        "new_indexes": arrays.ints([sale.meter.tariff_index for sale, _ in changing]),
        "sections": arrays.ints([change.sections for _, change in changing]),
        "rollovers": arrays.texts(["t" if change.is_rollover else "f" for _, change in changing]),
    }
    return [(_WRITE, values)]


def post_statements(sales: Sequence[ReservedSale]) -> list[tuple[TextClause, dict[str, str]]]:
    """Return what commit 2 writes for those of the posted *sales* that change a key: the digits, and the meter's new key."""
    changing = [(sale, sale.key_change) for sale in sales if sale.key_change is not None]
    if not changing:
        return []
    for _, change in changing:
        assert len(change.tokens) == change.sections, "every section of a key change is posted"
    values = {
        "ids": arrays.ints([sale.sale_id for sale, _ in changing]),
        "digits": arrays.texts(["".join(token.reveal() for token in change.tokens) for _, change in changing]),
        "last_tids": arrays.ints([sale.token_orders[-1].tid for sale, _ in changing]),
    }
    return [(_POST, values)]


def key_change_of(row: Any) -> KeyChange | None:
    """Return the key change in a row that has the columns of ``sale_key_change AS k``; None where the sale has none."""
    if row.mint_id is None:
        return None
    digits = row.key_digits or ""
    return KeyChange(
        mint_id=row.mint_id,
        from_register_id=row.from_register_id,
        from_tariff_index=row.from_tariff_index,
        sections=row.sections,
        is_rollover=row.is_rollover,
        tokens=tuple(Secret(digits[start : start + TOKEN_DIGITS]) for start in range(0, len(digits), TOKEN_DIGITS)),
    )


def add_register(engine: Engine, register_id: int, base_date: BaseDate, description: str) -> None:
    """Let the ledger know a register of the security module; one that it knows stays as it is.

    Raises:
        LedgerUnavailable, LedgerOutcomeUnknown: look before trying again.
    """

    def work(connection: Connection, _attempt: int) -> None:
        known = {row.id for row in connection.execute(_REGISTERS)}
        if register_id not in known:
            values = {"id": register_id, "base_year": base_date.year, "description": description}
            connection.execute(_ADD_REGISTER, values)

    transact(engine, work)


def set_successor(engine: Engine, old_id: int, new_id: int | None) -> None:
    """Say that the meters of one register move to another with their next sale; None: they stay.

    Raises:
        RegisterRefused: the ledger does not know one of them, or they would follow each other in a circle.
        LedgerUnavailable, LedgerOutcomeUnknown: look before trying again.
    """

    def work(connection: Connection, _attempt: int) -> None:
        successors = {row.id: row.successor_id for row in connection.execute(_REGISTERS)}
        for each in (old_id, new_id):
            if each is not None and each not in successors:
                raise RegisterRefused(f"the ledger knows no register {each}")
        following, seen = new_id, {old_id}
        while following is not None:
            if following in seen:
                raise RegisterRefused(f"registers {old_id} and {new_id} would follow each other in a circle")
            seen.add(following)
            following = successors[following]
        if len(seen) > SUCCESSORS_MAX:
            raise RegisterRefused(f"more than {SUCCESSORS_MAX} registers in a row")
        connection.execute(_SET_SUCCESSOR, {"old": old_id, "new": new_id})

    transact(engine, work)


def set_next_tariff_index(engine: Engine, meter_number: str, tariff_index: int) -> bool:
    """Say which tariff index a meter's key gets with its next sale; the one it has: none is due. False: no such meter.

    Raises:
        LedgerUnavailable, LedgerOutcomeUnknown: look before trying again.
    """

    def work(connection: Connection, _attempt: int) -> bool:
        return connection.execute(_SET_INDEX, {"number": meter_number, "index": tariff_index}).rowcount == 1

    return transact(engine, work)
