"""Minted = sold = posted, proved request by request: what the security module recorded against sales and adjustments, by id.

The day that a mint counts on and the day that its sale counts on differ around midnight and after a crash, so ids are compared and not
sums. Read the module's days first and the ledger after: a sale is committed before its mint is asked for, so whatever the module has
recorded by then has its sale in the later snapshot.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, text

from ledger.work_proof import Work
from vending.calendar import BOGOTA

MINTED_CHECK = "minted-tokens-are-sold"
POSTED_CHECK = "sold-tokens-were-minted"
CHUNK = 5_000
"""Ids of one statement."""
SALE_ID_MAX = 2**63 - 1
"""The module takes ids of 64 bits; no sale has one beyond this."""


class Minted(Protocol):
    """One mint request that was done, as the module's own reply has it."""

    @property
    def request_id(self) -> int:
        """The id of the sale, or the mint id of an adjustment."""

    @property
    def register_id(self) -> int:
        """The key register."""

    @property
    def tokens(self) -> int:
        """How many tokens."""

    @property
    def units_tenths(self) -> int:
        """Their units together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDays:
    """What was read from the security module before the ledger.

    Attributes:
        minted: by local day of the module.
        were_minted: tells which of some ids were ever minted; asked after the ledger was read.
        minted_by: names of the modules that minted an id on these days, where there are several.
        work: tokens that are no credit, likewise by day; None: not asked for.
    """

    minted: Mapping[date, Sequence[Minted]]
    were_minted: Callable[[Sequence[int]], Iterable[int]]
    minted_by: Mapping[int, Sequence[str]] = field(default_factory=dict)
    work: Mapping[date, Sequence[Work]] | None = None


# What is not exactly as it was minted; the rest is not of interest.
_NOT_SOLD = text("""
    SELECT m.id, m.register_id, m.tokens, m.units_tenths, s.state, a.adjustment_id,
        coalesce(a.register_id, s.register_id) AS sold_register_id, coalesce(a.tokens, t.tokens, 0) AS sold_tokens,
        coalesce(a.units_tenths, t.units_tenths, 0) AS sold_units_tenths
    FROM unnest(CAST(:ids AS bigint[]), CAST(:registers AS bigint[]), CAST(:tokens AS bigint[]), CAST(:units AS bigint[]))
        AS m (id, register_id, tokens, units_tenths)
    LEFT JOIN sale AS s ON s.id = m.id
    LEFT JOIN (
        SELECT sale_id, count(*) AS tokens, sum(units_tenths)::bigint AS units_tenths FROM token
        WHERE sale_id = ANY (CAST(:ids AS bigint[])) GROUP BY sale_id
    ) AS t ON t.sale_id = m.id
    LEFT JOIN (SELECT mint_id, adjustment_id, register_id, 1 AS tokens, units_tenths FROM adjustment_token) AS a ON a.mint_id = m.id
    WHERE (a.mint_id IS NULL AND s.state IS DISTINCT FROM 'posted' AND s.state IS DISTINCT FROM 'reserved')
        OR m.register_id <> coalesce(a.register_id, s.register_id)
        OR m.tokens <> coalesce(a.tokens, t.tokens, 0) OR m.units_tenths <> coalesce(a.units_tenths, t.units_tenths, 0)
    ORDER BY m.id
""")

_POSTED_ON_A_DAY = text("""
    SELECT s.id, s.register_id FROM sale AS s
    WHERE s.state = 'posted' AND s.ended_at >= :start AND s.ended_at < :end AND EXISTS (SELECT FROM token AS t WHERE t.sale_id = s.id)
    UNION ALL
    SELECT mint_id, register_id FROM adjustment_token WHERE minted_at >= :start AND minted_at < :end
    UNION ALL
    SELECT k.mint_id, k.to_register_id FROM sale_key_change AS k JOIN sale AS s ON s.id = k.sale_id
    WHERE s.state = 'posted' AND s.ended_at >= :start AND s.ended_at < :end
    ORDER BY 1
""")


def find_minted_without_sale(connection: Connection, days: ModuleDays) -> list[dict[str, Any]]:
    """Return what the module minted and the ledger did not sell, or sold otherwise.

    ``why`` is ``no_sale``, ``void_sale`` or ``differs``. A sale that is still reserved may have been minted; it is no orphan yet.
    """
    found: list[dict[str, Any]] = []
    for day, minted in days.minted.items():
        found += [_without_sale(day, each) for each in minted if each.request_id > SALE_ID_MAX]
        for start in range(0, len(minted), CHUNK):
            some = [each for each in minted[start : start + CHUNK] if each.request_id <= SALE_ID_MAX]
            asked = {
                "ids": [each.request_id for each in some],
                "registers": [each.register_id for each in some],
                "tokens": [each.tokens for each in some],
                "units": [each.units_tenths for each in some],
            }
            found += [_orphan(day, row) for row in connection.execute(_NOT_SOLD, asked)]
    for orphan in found:
        if orphan["request_id"] in days.minted_by:
            orphan["modules"] = list(days.minted_by[orphan["request_id"]])
    return found


def _without_sale(day: date, minted: Minted) -> dict[str, Any]:
    return {
        "check": MINTED_CHECK,
        "day": day.isoformat(),
        "request_id": minted.request_id,
        "register_id": minted.register_id,
        "minted_tokens": minted.tokens,
        "minted_units_tenths": minted.units_tenths,
        "why": "no_sale",
    }


def _orphan(day: date, row: Any) -> dict[str, Any]:
    orphan = {
        "check": MINTED_CHECK,
        "day": day.isoformat(),
        "request_id": row.id,
        "register_id": row.register_id,
        "minted_tokens": row.tokens,
        "minted_units_tenths": row.units_tenths,
    }
    if row.adjustment_id is None and row.state in (None, "void"):
        return {**orphan, "why": "no_sale" if row.state is None else "void_sale"}
    return {
        **orphan,
        "why": "differs",
        "sold_register_id": row.sold_register_id,
        "sold_tokens": row.sold_tokens,
        "sold_units_tenths": row.sold_units_tenths,
    }


def find_posted_without_mint(connection: Connection, days: ModuleDays) -> list[dict[str, Any]]:
    """Return the sales, adjustment tokens and key changes that the ledger posted on these days and the module never minted."""
    known = {each.request_id for minted in days.minted.values() for each in minted}
    found: list[dict[str, Any]] = []
    for day in days.minted:
        start = datetime.combine(day, time(), BOGOTA)
        asked = {"start": start, "end": start + timedelta(days=1)}
        posted = {row.id: row.register_id for row in connection.execute(_POSTED_ON_A_DAY, asked) if row.id not in known}
        # Minted on another day, before midnight or long before; or after the module was asked for this one.
        ids = list(posted)
        for first in range(0, len(ids), CHUNK):
            some = ids[first : first + CHUNK]
            minted = set(days.were_minted(some))
            found += [
                {"check": POSTED_CHECK, "day": day.isoformat(), "request_id": each, "register_id": posted[each]}
                for each in some
                if each not in minted
            ]
    return found
