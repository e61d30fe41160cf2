"""Writing a town into an empty ledger, in one transaction, set by set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from ledger.arrays import ints, texts, times
from ledger.database import transact
from ledger.opening import add_acquirer, add_terminals, analyze, deposit, open_chart, post_opening
from ledger.tariffs import blocks_as_json
from town.shapes import Holder, KeyRegister, Meter, Network, Town
from vending.deductions import Charge, Deduction, Obligation
from vending.tariff import TariffVersion


class TownAlreadyLoaded(Exception):
    """The ledger has meters already. A town is loaded into an empty ledger, once; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How much was written."""

    holders: int
    meters: int
    obligations: int
    terminals: int
    tariffs: int


_KEY_REGISTERS = text("""
    INSERT INTO key_register (id, base_year, description)
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:base_years AS int[]), CAST(:descriptions AS text[]))
    ON CONFLICT (id) DO NOTHING
""")

_HOLDERS = text("""
    INSERT INTO account_holder (account_number, name, address)
    SELECT * FROM unnest(CAST(:numbers AS text[]), CAST(:names AS text[]), CAST(:addresses AS text[]))
""")

_METERS = text("""
    INSERT INTO meter (meter_number, pan, holder_id, register_id, tariff_index, encryption_algorithm, service, user_class, stratum,
        altitude, status, remainder_centavos)
    SELECT new.number, new.pan, account_holder.id, new.register_id, new.tariff_index, new.algorithm, new.service, new.user_class,
        new.stratum, new.altitude, new.status, new.remainder
    FROM unnest(CAST(:numbers AS text[]), CAST(:pans AS text[]), CAST(:holders AS text[]), CAST(:register_ids AS bigint[]),
        CAST(:tariff_indexes AS int[]), CAST(:algorithms AS int[]), CAST(:services AS int[]), CAST(:user_classes AS text[]),
        CAST(:strata AS int[]), CAST(:altitudes AS text[]), CAST(:statuses AS text[]), CAST(:remainders AS bigint[]))
        AS new (number, pan, holder, register_id, tariff_index, algorithm, service, user_class, stratum, altitude, status, remainder)
    JOIN account_holder ON account_holder.account_number = new.holder
""")

_OBLIGATIONS = text("""
    INSERT INTO obligation (meter_id, code, kind, priority, due, capital_centavos, interest_centavos, full_centavos,
        instalment_due_centavos, share_basis_points, share_overdue_basis_points, overdue, minimum_centavos, disputed)
    SELECT meter.id, new.code, new.kind, new.priority, new.due, new.capital, new.interest, new.full_cost, new.instalment_due,
        new.share, new.share_overdue, new.overdue <> 0, new.minimum, new.disputed <> 0
    FROM unnest(CAST(:meters AS text[]), CAST(:codes AS text[]), CAST(:kinds AS text[]), CAST(:priorities AS int[]),
        CAST(:dues AS date[]), CAST(:capitals AS bigint[]), CAST(:interests AS bigint[]), CAST(:full_costs AS bigint[]),
        CAST(:instalments_due AS bigint[]), CAST(:shares AS int[]), CAST(:shares_overdue AS int[]), CAST(:overdues AS int[]),
        CAST(:minimums AS bigint[]), CAST(:disputes AS int[]))
        AS new (meter, code, kind, priority, due, capital, interest, full_cost, instalment_due, share, share_overdue, overdue, minimum,
            disputed)
    JOIN meter ON meter.meter_number = new.meter
""")

_TARIFFS = text("""
    INSERT INTO tariff_version (service, user_class, stratum, altitude, valid_from, publication, blocks)
    SELECT * FROM unnest(CAST(:services AS int[]), CAST(:user_classes AS text[]), CAST(:strata AS int[]), CAST(:altitudes AS text[]),
        CAST(:days AS date[]), CAST(:publications AS text[]), CAST(:blocks AS jsonb[]))
""")


def load_into(engine: Engine, town: Town, *, at: datetime) -> Loaded:
    """Write *town* with its opening entries, so that the books agree with what people owe and what the network paid in.

    Args:
        engine: of a ledger with the schema of this program and no meters.
        town: from `town.generate.generate`.
        at: aware; when the opening entries are made.

    Raises:
        TownAlreadyLoaded: there are meters; nothing was written.
        LedgerUnavailable: nothing was written.
    """

    def write(connection: Connection, _attempt: int) -> int:
        # Two loads at once: the second waits here and then finds the meters of the first.
        connection.execute(text("LOCK TABLE meter IN SHARE ROW EXCLUSIVE MODE"))
        if connection.execute(text("SELECT EXISTS (SELECT 1 FROM meter)")).scalar_one():
            raise TownAlreadyLoaded("the ledger has meters already")
        open_chart(connection)
        _write_key_registers(connection, town.key_registers)
        _write_holders(connection, town.holders)
        _write_meters(connection, town.meters)
        obligations = _write_obligations(connection, town.meters)
        _write_tariffs(connection, town.tariffs)
        for network in (town.network, *town.other_networks):
            _write_network(connection, network, at)
        post_opening(connection, at)
        return obligations

    obligations = transact(engine, write)
    analyze(engine)
    return Loaded(
        holders=len(town.holders),
        meters=len(town.meters),
        obligations=obligations,
        terminals=len(town.network.terminals),
        tariffs=len(town.tariffs),
    )


def _write_key_registers(connection: Connection, registers: Sequence[KeyRegister]) -> None:
    connection.execute(
        _KEY_REGISTERS,
        {
            "ids": ints(register.register_id for register in registers),
            "base_years": ints(register.base_year for register in registers),
            "descriptions": texts(register.description for register in registers),
        },
    )


def _write_holders(connection: Connection, holders: Sequence[Holder]) -> None:
    connection.execute(
        _HOLDERS,
        {
            "numbers": texts(holder.account_number for holder in holders),
            "names": texts(holder.name for holder in holders),
            "addresses": texts(holder.address for holder in holders),
        },
    )


def _write_meters(connection: Connection, meters: Sequence[Meter]) -> None:
    written = connection.execute(
        _METERS,
        {
            "numbers": texts(meter.meter_number for meter in meters),
            "pans": texts(meter.pan for meter in meters),
            "holders": texts(meter.account_number for meter in meters),
            "register_ids": ints(meter.key_register.register_id for meter in meters),
            "tariff_indexes": ints(meter.tariff_index for meter in meters),
            "algorithms": ints(meter.key_register.encryption_algorithm for meter in meters),
            "services": ints(meter.service.value for meter in meters),
            "user_classes": texts(meter.user_class.value for meter in meters),
            "strata": ints(meter.stratum for meter in meters),
            "altitudes": texts(meter.altitude.value for meter in meters),
            "statuses": texts("blocked" if meter.is_blocked else "active" for meter in meters),
            "remainders": ints(meter.remainder_centavos for meter in meters),
        },
    )
    if written.rowcount != len(meters):
        raise AssertionError("a meter of the town has no holder")


def _write_obligations(connection: Connection, meters: Sequence[Meter]) -> int:
    rows = [_row_of(meter.meter_number, deduction) for meter in meters for deduction in meter.deductions]
    connection.execute(
        _OBLIGATIONS,
        {
            "meters": texts(meter_number for meter_number, _, _ in rows),
            "codes": texts(deduction.id for _, deduction, _ in rows),
            "kinds": texts(deduction.kind for _, deduction, _ in rows),
            "priorities": ints(deduction.priority for _, deduction, _ in rows),
            "dues": times(deduction.due for _, deduction, _ in rows),
            "capitals": ints(terms.capital_centavos for _, _, terms in rows),
            "interests": ints(terms.interest_centavos for _, _, terms in rows),
            "full_costs": ints(
                deduction.full_centavos if isinstance(deduction, Charge) else 0 for _, deduction, _ in rows
            ),
            "instalments_due": ints(terms.instalment_due_centavos for _, _, terms in rows),
            "shares": ints(terms.share_basis_points for _, _, terms in rows),
            "shares_overdue": ints(terms.share_overdue_basis_points for _, _, terms in rows),
            "overdues": ints(terms.is_overdue for _, _, terms in rows),
            "minimums": ints(terms.minimum_centavos for _, _, terms in rows),
            "disputes": ints(terms.is_disputed for _, _, terms in rows),
        },
    )
    return len(rows)


def _row_of(meter_number: str, deduction: Deduction) -> tuple[str, Deduction, Obligation]:
    """Return the deduction beside the terms of its row; a charge or emergency credit is all capital and has no others."""
    if isinstance(deduction, Obligation):
        return meter_number, deduction, deduction
    terms = Obligation(
        id=deduction.id, priority=deduction.priority, due=deduction.due, capital_centavos=deduction.owed_centavos
    )
    return meter_number, deduction, terms


def _write_tariffs(connection: Connection, versions: Sequence[TariffVersion]) -> None:
    connection.execute(
        _TARIFFS,
        {
            "services": ints(version.service.value for version in versions),
            "user_classes": texts(version.user_class.value for version in versions),
            "strata": ints(version.stratum for version in versions),
            "altitudes": texts(version.altitude.value for version in versions),
            "days": times(version.valid_from for version in versions),
            "publications": texts(version.publication for version in versions),
            "blocks": texts(json.dumps(blocks_as_json(version.tariff)) for version in versions),
        },
    )


def _write_network(connection: Connection, network: Network, at: datetime) -> None:
    acquirer_id = add_acquirer(
        connection,
        code=network.code,
        name=network.name,
        commission_basis_points=network.commission_basis_points,
    )
    deposit(
        connection,
        acquirer_code=network.code,
        amount_centavos=network.deposit_centavos,
        at=at,
        memo="prepaid float",
    )
    add_terminals(connection, acquirer_id, ((each.code, each.merchant, each.is_blocked) for each in network.terminals))
