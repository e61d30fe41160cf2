"""A settlement day as an operator sees it: what each terminal sold by the books, what it said last, and the difference."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger.database import allow_scans, transact
from vending.settlement import DayTotals, Sum

_OURS = text("""
    SELECT acquirer_code, terminal_code, kind, CAST(sales AS bigint) AS sales, CAST(centavos AS bigint) AS centavos FROM (
        SELECT acquirer_code, terminal_code, kind, sales, paid_centavos AS centavos FROM day_total WHERE settlement_date = :day
        UNION ALL
        SELECT acquirer_code, terminal_code, CASE state WHEN 'reserved' THEN 'open' ELSE kind END, count(*), sum(paid_centavos)
        FROM sale AS s WHERE settlement_date = :day AND state <> 'void' AND NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = s.settlement_date AND c.acquirer_code = s.acquirer_code
        ) GROUP BY 1, 2, 3
        UNION ALL
        SELECT acquirer_code, terminal_code, 'reversal', count(*), sum(paid_centavos)
        FROM parked_token AS p WHERE settlement_date = :day AND NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = p.settlement_date AND c.acquirer_code = p.acquirer_code
        ) GROUP BY 1, 2
    ) AS ours WHERE CAST(:acquirer AS text) IS NULL OR acquirer_code = :acquirer
""")

_THEIRS = text("""
    SELECT DISTINCT ON (acquirer_code, terminal_code) acquirer_code, terminal_code, theirs, agrees, asked_at FROM reconciliation
    WHERE settlement_date = :day AND (CAST(:acquirer AS text) IS NULL OR acquirer_code = :acquirer)
    ORDER BY acquirer_code, terminal_code, id DESC
""")

_CLOSED = text("SELECT acquirer_code FROM closed_day WHERE settlement_date = :day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The last totals that somebody sent for the day."""

    sales: Sum
    reversed: Sum
    agreed: bool
    """With the books of that moment."""
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """One terminal, or (None) a whole network, on one settlement day."""

    acquirer_id: str
    terminal_id: str | None
    is_closed: bool
    ours: DayTotals
    open: Sum
    theirs: Said | None

    @property
    def difference(self) -> tuple[Sum, Sum] | None:
        """Our sales and reversals less theirs, of now; None where nobody said anything."""
        if self.theirs is None:
            return None
        return self.ours.sales - self.theirs.sales, self.ours.reversed - self.theirs.reversed

    def as_json(self) -> dict[str, Any]:
        """Return what ``eudora ledger totals --json`` prints."""
        difference = self.difference
        return {
            "acquirer": self.acquirer_id,
            "terminal": self.terminal_id,
            "closed": self.is_closed,
            "recharges": _sum(self.ours.recharges),
            "payments": _sum(self.ours.payments),
            "reversals": _sum(self.ours.reversed),
            "open": _sum(self.open),
            "net_centavos": self.ours.net_centavos,
            "theirs": None
            if self.theirs is None
            else {
                "sales": _sum(self.theirs.sales),
                "reversals": _sum(self.theirs.reversed),
                "agreed": self.theirs.agreed,
                "asked_at": self.theirs.asked_at.isoformat(),
            },
            "difference": None
            if difference is None
            else {"sales": _sum(difference[0]), "reversals": _sum(difference[1])},
        }


def day_report(engine: Engine, day: date, acquirer_id: str | None = None) -> list[DayLine]:
    """Return the lines of a day: each network's sum first, then its terminals that sold or said something.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    return transact(engine, lambda connection, _attempt: _report(connection, day, acquirer_id))


def _report(connection: Connection, day: date, acquirer_id: str | None) -> list[DayLine]:
    allow_scans(connection)
    values = {"day": day, "acquirer": acquirer_id}
    closed = set(connection.scalars(_CLOSED, values))
    sums: dict[tuple[str, str | None], dict[str, Sum]] = {}
    for row in connection.execute(_OURS, values):
        for who in ((row.acquirer_code, row.terminal_code), (row.acquirer_code, None)):
            kinds = sums.setdefault(who, {})
            kinds[row.kind] = kinds.get(row.kind, Sum()) + Sum(row.sales, row.centavos)
    said = {(row.acquirer_code, row.terminal_code): _said(row) for row in connection.execute(_THEIRS, values)}
    everybody = sorted(sums.keys() | said.keys(), key=lambda who: (who[0], who[1] or ""))
    return [
        DayLine(
            acquirer_id=who[0],
            terminal_id=who[1],
            is_closed=who[0] in closed,
            ours=_totals(sums.get(who, {})),
            open=sums.get(who, {}).get("open", Sum()),
            theirs=said.get(who),
        )
        for who in everybody
    ]


def _totals(kinds: dict[str, Sum]) -> DayTotals:
    nothing = Sum()
    return DayTotals(
        recharges=kinds.get("recharge", nothing),
        payments=kinds.get("payment", nothing),
        reversed=kinds.get("reversal", nothing),
    )


def _said(row: Any) -> Said:
    sales, reversals = row.theirs["sales"], row.theirs["reversed"]
    return Said(
        sales=Sum(sales["count"], sales["centavos"]),
        reversed=Sum(reversals["count"], reversals["centavos"]),
        agreed=row.agrees,
        asked_at=row.asked_at,
    )


def _sum(found: Sum) -> dict[str, int]:
    return {"count": found.count, "centavos": found.centavos}
