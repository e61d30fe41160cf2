"""What each network earns, and below which float somebody is warned: read and set by people, never by a sale."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import schema
from ledger.available import AVAILABLE
from ledger.database import transact
from vending.calendar import local_date
from vending.commission import CommissionTerms, CommissionTier
from vending.money import BasisPoints, Centavos

NOTICE = timedelta(hours=1)
"""Terms are written at least so long before their day begins, so that no sale of that day can have missed them."""

_LOCK = text("SELECT id, settlement_date FROM acquirer WHERE code = :acquirer FOR NO KEY UPDATE")

_FORGET = text("DELETE FROM commission_terms WHERE acquirer_id = :id AND valid_from = :day")

_READ = text("""
    SELECT t.* FROM commission_terms AS t JOIN acquirer AS a ON a.id = t.acquirer_id WHERE a.code = :acquirer
    ORDER BY t.valid_from, t.from_paid_centavos
""")

_WARN_BELOW = text("UPDATE acquirer SET float_warning_centavos = :centavos WHERE code = :acquirer")

_FLOATS = text(f"""
    SELECT a.code, a.name, a.status, a.float_warning_centavos, f.credit_line_centavos, -f.balance_centavos AS balance, f.pending_centavos,
        {AVAILABLE} AS available
    FROM acquirer AS a JOIN account AS f ON f.id = a.float_account_id ORDER BY a.code
""")  # noqa: S608 - constants only


class TermsRefused(Exception):
    """There is no such network, or the day is not far enough ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Float:
    """What a network may still sell. All sums are centavos."""

    acquirer_id: str
    name: str
    is_active: bool
    balance_centavos: int
    """Deposits less what was sold; below zero on credit."""
    pending_centavos: int
    """Of sales under way."""
    credit_line_centavos: int
    available_centavos: int
    warning_centavos: int
    """0: nobody is warned."""

    @property
    def is_low(self) -> bool:
        """Whether somebody should be warned."""
        return self.available_centavos < self.warning_centavos


def set_terms(engine: Engine, acquirer_id: str, terms: CommissionTerms, *, user: str, at: datetime) -> None:
    """Write what a network earns from a settlement day on; a version for the same day that has not begun is replaced.

    Raises:
        TermsRefused: nothing was written; sales of that day may exist already, and no sale is ever counted anew.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: set them again.
    """

    def work(connection: Connection, _attempt: int) -> None:
        # The lock keeps a cut-over from beginning the day meanwhile.
        acquirer = connection.execute(_LOCK, {"acquirer": acquirer_id}).one_or_none()
        if acquirer is None:
            raise TermsRefused(f"there is no network {acquirer_id!r}")
        if terms.valid_from <= max(local_date(at + NOTICE), acquirer.settlement_date):
            raise TermsRefused(f"{terms.valid_from.isoformat()} has begun, or begins within the hour")
        connection.execute(_FORGET, {"id": acquirer.id, "day": terms.valid_from})
        connection.execute(
            schema.commission_terms.insert(),
            [
                {
                    "acquirer_id": acquirer.id,
                    "valid_from": terms.valid_from,
                    "from_paid_centavos": tier.from_paid_centavos,
                    "share_basis_points": tier.share_basis_points,
                    "fixed_centavos": tier.fixed_centavos,
                    "tax_basis_points": terms.tax_basis_points,
                    "set_by": user,
                    "set_at": at,
                }
                for tier in terms.tiers
            ],
        )

    transact(engine, work)


def read_terms(engine: Engine, acquirer_id: str) -> list[CommissionTerms]:
    """Return every version of what a network earns, the oldest first; empty for an unknown network.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """

    def work(connection: Connection, _attempt: int) -> list[CommissionTerms]:
        rows = connection.execute(_READ, {"acquirer": acquirer_id})
        return [_terms_of(day, list(tiers)) for day, tiers in groupby(rows, key=lambda row: row.valid_from)]

    return transact(engine, work)


def warn_below(engine: Engine, acquirer_id: str, centavos: Centavos) -> None:
    """Set the float below which somebody is warned; 0 for never.

    Raises:
        TermsRefused: there is no such network.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: set it again.
    """
    values = {"acquirer": acquirer_id, "centavos": centavos}
    changed = transact(engine, lambda connection, _attempt: connection.execute(_WARN_BELOW, values).rowcount)
    if not changed:
        raise TermsRefused(f"there is no network {acquirer_id!r}")


def read_floats(engine: Engine) -> list[Float]:
    """Return the float of every network, as it is now.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    return transact(engine, lambda connection, _attempt: [_float_of(row) for row in connection.execute(_FLOATS)])


def _terms_of(day: date, rows: list[Any]) -> CommissionTerms:
    tiers = [
        CommissionTier(
            from_paid_centavos=Centavos(row.from_paid_centavos),
            share_basis_points=BasisPoints(row.share_basis_points),
            fixed_centavos=Centavos(row.fixed_centavos),
        )
        for row in rows
    ]
    return CommissionTerms(valid_from=day, tiers=tiers, tax_basis_points=BasisPoints(rows[0].tax_basis_points))


def _float_of(row: Any) -> Float:
    return Float(
        acquirer_id=row.code,
        name=row.name,
        is_active=row.status == "active",
        balance_centavos=row.balance,
        pending_centavos=row.pending_centavos,
        credit_line_centavos=row.credit_line_centavos,
        available_centavos=row.available,
        warning_centavos=row.float_warning_centavos,
    )
