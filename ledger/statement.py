"""The statement of a network: what its float and its commission did on each settlement day, proved against the balances of the books.

The days come from what was sold (totals of closed days, sales of open ones) and from the few entries that no sale made; the closing balances
come from the accounts, which only postings move. Both must meet, or there is no statement.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger.database import allow_scans, transact

_NETWORK = text("""
    SELECT a.code, a.name, a.float_account_id, a.commission_account_id, -f.balance_centavos AS float_centavos,
        -c.balance_centavos AS commission_centavos, (SELECT count(*) FROM archived_month WHERE table_name = 'posting') AS archived
    FROM acquirer AS a JOIN account AS f ON f.id = a.float_account_id JOIN account AS c ON c.id = a.commission_account_id
    WHERE a.code = :acquirer
""")

_DAYS = text("""
    SELECT settlement_date AS day, kind, CAST(sum(sales) AS bigint) AS times, CAST(sum(paid_centavos) AS bigint) AS paid,
        CAST(sum(commission_centavos) AS bigint) AS commission, CAST(sum(commission_tax_centavos) AS bigint) AS tax
    FROM (
        SELECT settlement_date, kind, sales, paid_centavos, commission_centavos, commission_tax_centavos FROM day_total
        WHERE acquirer_code = :acquirer
        UNION ALL
        SELECT s.settlement_date, s.kind, 1, s.paid_centavos, s.commission_centavos, s.commission_tax_centavos FROM sale AS s
        WHERE s.acquirer_code = :acquirer AND s.state = 'posted' AND s.settlement_date >= :first_open AND NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = s.settlement_date AND c.acquirer_code = s.acquirer_code
        )
        UNION ALL
        SELECT p.settlement_date, 'reversal', 1, p.paid_centavos, s.commission_centavos, s.commission_tax_centavos
        FROM parked_token AS p JOIN sale AS s ON s.id = p.sale_id
        WHERE p.acquirer_code = :acquirer AND NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = p.settlement_date AND c.acquirer_code = p.acquirer_code
        )
    ) AS all_days GROUP BY settlement_date, kind
""")

# Days are closed in order, except those that a reserved sale holds open.
_FIRST_OPEN = text("""
    SELECT min(day)::date FROM (
        SELECT max(settlement_date) + 1 AS day FROM closed_day WHERE acquirer_code = :acquirer
        UNION ALL
        SELECT CAST(day AS date) FROM (
            SELECT min(settlement_date) AS first, max(settlement_date) AS last FROM closed_day WHERE acquirer_code = :acquirer
        ) AS begun, generate_series(begun.first, begun.last, interval '1 day') AS day WHERE NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = CAST(day AS date) AND c.acquirer_code = :acquirer
        )
    ) AS open
""")

_RARE = text("""
    SELECT e.local_date AS day, e.kind, p.account_id, CAST(-sum(p.amount_centavos) AS bigint) AS centavos
    FROM entry AS e JOIN posting AS p ON p.entry_id = e.id AND p.posted_on = e.local_date
    WHERE e.kind IN ('deposit', 'billing', 'adjustment') AND p.account_id IN (:float_id, :commission_id)
    GROUP BY e.local_date, e.kind, p.account_id
""")

_BEGINNING = date(1, 1, 1)


class StatementDiffers(Exception):
    """The days do not add up to the balances of the books: `eudora ledger check` says where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementDay:
    """One settlement day; sums are zero or above, in centavos, but for deposits and adjustments, which may be below."""

    day: date
    sales: int = 0
    sales_centavos: int = 0
    reversals: int = 0
    reversals_centavos: int = 0
    deposits_centavos: int = 0
    adjustments_centavos: int = 0
    """What other entries put into the float."""
    commission_centavos: int = 0
    """Earned on the day, less what reversals gave back."""
    tax_centavos: int = 0
    """On that commission."""
    commission_adjustments_centavos: int = 0
    """What other entries put to what the network has earned."""

    @property
    def float_centavos(self) -> int:
        """By how much the day moved the float."""
        return self.reversals_centavos - self.sales_centavos + self.deposits_centavos + self.adjustments_centavos

    @property
    def earned_centavos(self) -> int:
        """By how much the day moved what the network has earned, tax and all."""
        return self.commission_centavos + self.tax_centavos + self.commission_adjustments_centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A network's statement from one settlement day to another, both included.

    The float is what the network still may sell of its deposits (below zero: what it owes of its credit line); what it earned is what
    the utility owes it for commissions with their tax.
    """

    acquirer_id: str
    name: str
    first: date
    last: date
    days: tuple[StatementDay, ...]
    opening_float_centavos: int
    opening_earned_centavos: int

    @property
    def closing_float_centavos(self) -> int:
        """The float at the end of the last day."""
        return self.opening_float_centavos + sum(day.float_centavos for day in self.days)

    @property
    def closing_earned_centavos(self) -> int:
        """What it had earned at the end of the last day."""
        return self.opening_earned_centavos + sum(day.earned_centavos for day in self.days)

    @property
    def total(self) -> StatementDay:
        """All days in one; its day is the last."""
        return _sum(self.last, self.days)


def read_statement(engine: Engine, acquirer_id: str, first: date, last: date) -> Statement:
    """Return the statement of a network for the settlement days *first* to *last*; sales still reserved are in none.

    Raises:
        LookupError: there is no such network.
        StatementDiffers: the days and the balances do not agree.
        LedgerUnavailable: the database cannot be reached.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    return transact(snapshot, lambda connection, _attempt: _read(connection, acquirer_id, first, last))


def _read(connection: Connection, acquirer_id: str, first: date, last: date) -> Statement:
    allow_scans(connection)
    network = connection.execute(_NETWORK, {"acquirer": acquirer_id}).one_or_none()
    if network is None:
        raise LookupError(f"there is no network {acquirer_id!r}")
    days = _days(connection, network)
    everything = _sum(last, days)
    apart = (
        network.float_centavos - everything.float_centavos,
        network.commission_centavos - everything.earned_centavos,
    )
    # Months that were archived took the postings of their deposits with them: what is missing stood there before.
    if apart != (0, 0) and not network.archived:
        raise StatementDiffers(f"{acquirer_id}: float {apart[0]}, earned {apart[1]} centavos apart from the books")
    before = _sum(first, [day for day in days if day.day < first])
    return Statement(
        acquirer_id=network.code,
        name=network.name,
        first=first,
        last=last,
        days=tuple(day for day in days if first <= day.day <= last),
        opening_float_centavos=before.float_centavos + apart[0],
        opening_earned_centavos=before.earned_centavos + apart[1],
    )


def _days(connection: Connection, network: Any) -> list[StatementDay]:
    """Return every day on which something happened, in order."""
    sums: dict[date, dict[str, int]] = {}

    def add(day: date, name: str, centavos: int) -> None:
        of_day = sums.setdefault(day, {})
        of_day[name] = of_day.get(name, 0) + centavos

    values = {"acquirer": network.code}
    first_open = connection.execute(_FIRST_OPEN, values).scalar_one() or _BEGINNING
    for row in connection.execute(_DAYS, {**values, "first_open": first_open}):
        is_reversal = row.kind == "reversal"
        add(row.day, "reversals" if is_reversal else "sales", row.times)
        add(row.day, "reversals_centavos" if is_reversal else "sales_centavos", row.paid)
        add(row.day, "commission_centavos", -row.commission if is_reversal else row.commission)
        add(row.day, "tax_centavos", -row.tax if is_reversal else row.tax)
    accounts = {"float_id": network.float_account_id, "commission_id": network.commission_account_id}
    for row in connection.execute(_RARE, accounts):
        if row.account_id == network.commission_account_id:
            add(row.day, "commission_adjustments_centavos", row.centavos)
        else:
            add(row.day, "deposits_centavos" if row.kind == "deposit" else "adjustments_centavos", row.centavos)
    return [StatementDay(day=day, **sums[day]) for day in sorted(sums)]


def _sum(day: date, days: Iterable[StatementDay]) -> StatementDay:
    names = [each.name for each in fields(StatementDay) if each.name != "day"]
    found = list(days)
    return StatementDay(day=day, **{name: sum(getattr(each, name) for each in found) for name in names})
