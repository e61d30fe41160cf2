"""Reading meters with the account behind them and what they owe, for a whole batch at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from ledger import arrays
from ledger.rounds import Answer
from sts.codes import BaseDate
from vending.deductions import Charge, Deduction, Emergency, Obligation
from vending.money import BasisPoints, Centavos, Tenths
from vending.order import MeterAccount
from vending.service import AltitudeBand, Service, UserClass

OBLIGATIONS_PER_METER_MAX = 64
"""More open obligations than this on one meter are not read into a sale: the oldest by priority are; no ticket could show them."""

ACCOUNT_COLUMNS = """
    m.id AS meter_id, m.meter_number, m.pan, m.register_id, m.tariff_index, m.encryption_algorithm, m.service, m.user_class,
    m.stratum, m.altitude, h.account_number, h.name AS holder, h.address
"""
"""What `account_of` needs of a row, from ``meter AS m`` and ``account_holder AS h``."""

_METERS = f"""
    SELECT {ACCOUNT_COLUMNS}, m.status, m.held_by, m.last_tid, m.month, m.month_to_date_tenths, m.remainder_centavos, r.base_year,
        m.parked_tokens, r.successor_id IS NOT NULL OR m.next_tariff_index IS NOT NULL AS is_behind
    FROM meter AS m JOIN account_holder AS h ON h.id = m.holder_id JOIN key_register AS r ON r.id = m.register_id
    WHERE m.meter_number = ANY (CAST(:numbers AS text[]))
"""  # noqa: S608 - constants only
_READ_METERS = text(_METERS)
# Always in ascending order, so that two batches with the same meters wait for each other and never in a circle.
_LOCK_METERS = text(_METERS + "ORDER BY m.id FOR NO KEY UPDATE OF m")

_READ_OBLIGATIONS = text("""
    SELECT o.meter_id, o.code, o.kind, o.priority, o.due, o.capital_centavos, o.interest_centavos, o.full_centavos,
        o.instalment_due_centavos, o.share_basis_points, o.share_overdue_basis_points, o.overdue, o.minimum_centavos, o.disputed
    FROM meter AS wanted
    CROSS JOIN LATERAL (
        SELECT * FROM obligation
        WHERE obligation.meter_id = wanted.id AND obligation.status = 'open'
        ORDER BY priority, due, code LIMIT :most
    ) AS o
    WHERE wanted.meter_number = ANY (CAST(:numbers AS text[]))
""")

BASE_DATES = {base_date.year: base_date for base_date in BaseDate}
"""Base dates by the year that the ledger keeps."""
_SERVICES = {service.value: service for service in Service}
_USER_CLASSES = {user_class.value: user_class for user_class in UserClass}
_ALTITUDES = {altitude.value: altitude for altitude in AltitudeBand}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """A meter as a sale finds it.

    Attributes:
        account: what travels with the sale.
        is_blocked: no sales.
        held_by: the reserved sale that holds it.
        last_tid: highest token identifier given out under this base date; 0: none.
        base_date: where its register's identifiers count from.
        month: yyyymm of ``month_tenths``.
        month_tenths: bought in that month.
        remainder_centavos: carried to the next sale.
        parked_tokens: parked sales that nobody has claimed.
        is_behind: its key is to change: its register has a successor, or it gets another tariff index.
    """

    account: MeterAccount
    is_blocked: bool
    held_by: int | None
    last_tid: int
    base_date: BaseDate
    month: int
    month_tenths: int
    remainder_centavos: Centavos
    parked_tokens: int = 0
    is_behind: bool = False

    def month_to_date(self, on: date) -> Tenths:
        """Return what was bought in the local month of *on* so far; a clock that went back a month does not open a new one."""
        return Tenths(self.month_tenths if self.month >= month_number(on) else 0)


def month_number(day: date) -> int:
    """Return the month of *day* as ``meter.month`` holds it, yyyymm."""
    return day.year * 100 + day.month


class Accounts(NamedTuple):
    """Meters by number, and what is open on each by its id; meters that owe nothing are missing there."""

    meters: dict[str, MeterState]
    deductions: dict[int, list[Deduction]]


def account_statements(numbers: Collection[str], *, for_update: bool) -> list[tuple[TextClause, Mapping[str, object]]]:
    """Return the statements that read these meters and what is open on them, to be executed in this order.

    Args:
        numbers: as on the meter.
        for_update: lock the meters' rows until the transaction ends.
    """
    wanted = arrays.texts(sorted(numbers))
    return [
        (_LOCK_METERS if for_update else _READ_METERS, {"numbers": wanted}),
        (_READ_OBLIGATIONS, {"numbers": wanted, "most": OBLIGATIONS_PER_METER_MAX}),
    ]


def accounts_of(meters: Answer, obligations: Answer) -> Accounts:
    """Return what `account_statements` found."""
    found: dict[int, list[Deduction]] = {}
    for row in obligations.rows:
        found.setdefault(row.meter_id, []).append(_deduction_of(row))
    return Accounts({row.meter_number: _state_of(row) for row in meters.rows}, found)


def account_of(row: Any) -> MeterAccount:
    """Return the account in a row that has `ACCOUNT_COLUMNS`."""
    values: tuple[Any, ...] = tuple(row)
    meter_id, number, pan, register_id, index, algorithm, service, user_class, stratum, altitude = values[:10]
    account, holder, address = values[10:13]
    return MeterAccount(
        meter_id=meter_id,
        meter_number=number,
        pan=pan,
        register_id=register_id,
        tariff_index=index,
        encryption_algorithm=algorithm,
        service=_SERVICES[service],
        user_class=_USER_CLASSES[user_class],
        stratum=stratum,
        altitude=_ALTITUDES[altitude],
        account_number=account,
        holder=holder,
        address=address,
    )


def _state_of(row: Any) -> MeterState:
    values: tuple[Any, ...] = tuple(row)
    status, held_by, last_tid, month, month_tenths, remainder, base_year, parked, is_behind = values[13:]
    return MeterState(
        account=account_of(row),
        is_blocked=status != "active",
        held_by=held_by,
        last_tid=last_tid,
        base_date=BASE_DATES[base_year],
        month=month,
        month_tenths=month_tenths,
        remainder_centavos=remainder,
        parked_tokens=parked,
        is_behind=is_behind,
    )


def _deduction_of(row: Any) -> Deduction:
    if row.kind == "charge":
        return Charge(
            id=row.code,
            priority=row.priority,
            due=row.due,
            owed_centavos=Centavos(row.capital_centavos),
            full_centavos=Centavos(row.full_centavos),
        )
    if row.kind == "emergency":
        return Emergency(id=row.code, priority=row.priority, due=row.due, owed_centavos=Centavos(row.capital_centavos))
    overdue_share = row.share_overdue_basis_points
    return Obligation(
        id=row.code,
        priority=row.priority,
        due=row.due,
        capital_centavos=Centavos(row.capital_centavos),
        interest_centavos=Centavos(row.interest_centavos),
        instalment_due_centavos=Centavos(row.instalment_due_centavos),
        share_basis_points=BasisPoints(row.share_basis_points),
        share_overdue_basis_points=None if overdue_share is None else BasisPoints(overdue_share),
        is_overdue=row.overdue,
        minimum_centavos=Centavos(row.minimum_centavos),
        is_disputed=row.disputed,
    )
