"""Engineers' tokens and key changes by id: what the security module gave against what two people approved, or what came with a sale.

The proof of credit is in `ledger.module_proof`; read the module first and the ledger after, as there.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from sqlalchemy import Connection, text

from vending.adjustment import AdjustmentKind

WORK_CHECK = "engineers-tokens-are-approved"
CHUNK = 5_000
"""Ids of one statement."""
ID_MAX = 2**63 - 1
"""The module takes ids of 64 bits; nothing in the ledger has one beyond this."""


class Work(Protocol):
    """One request for tokens that are no credit, as the module's own reply has it."""

    @property
    def request_id(self) -> int:
        """The mint id of an adjustment, or of the key change of a sale."""

    @property
    def register_id(self) -> int:
        """The key register; of a key change the new one."""

    @property
    def from_register_id(self) -> int:
        """Of a key change the old one."""

    @property
    def token_class(self) -> int:
        """Of the standard."""

    @property
    def subclass(self) -> int:
        """Of the standard."""

    @property
    def value(self) -> int:
        """What it sets; of a key change its number of tokens."""

    @property
    def approvals(self) -> int:
        """How many signatures it carried."""

    @property
    def is_key_change(self) -> bool:
        """Whether it moves a meter to another key."""


_RECORDED = text("""
    SELECT w.id, a.kind, a.state, a.value, t.register_id, k.sale_id, k.from_register_id, k.to_register_id, k.sections
    FROM unnest(CAST(:ids AS bigint[])) AS w (id)
    LEFT JOIN adjustment_token AS t ON t.mint_id = w.id LEFT JOIN adjustment AS a ON a.id = t.adjustment_id
    LEFT JOIN sale_key_change AS k ON k.mint_id = w.id
""")


def find_work_without_record(connection: Connection, days: Mapping[date, Sequence[Work]]) -> list[dict[str, Any]]:
    """Return what engineers were given that the ledger knows nothing of, or knows otherwise.

    ``why`` is ``no_record``, ``not_approved`` or ``differs``. The key change of a sale that was void in the end is no orphan: it is
    made before the credit, which may be refused.
    """
    found: list[dict[str, Any]] = []
    for day, work in days.items():
        known = _recorded(connection, [each.request_id for each in work])
        for each in work:
            why = _why(each, known.get(each.request_id))
            if why is not None:
                found.append(
                    {
                        "check": WORK_CHECK,
                        "day": day.isoformat(),
                        "request_id": each.request_id,
                        "register_id": each.register_id,
                        "token_class": each.token_class,
                        "subclass": each.subclass,
                        "value": each.value,
                        "approvals": each.approvals,
                        "why": why,
                    }
                )
    return found


def _recorded(connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
    asked = [each for each in ids if each <= ID_MAX]
    found: dict[int, Any] = {}
    for start in range(0, len(asked), CHUNK):
        rows = connection.execute(_RECORDED, {"ids": asked[start : start + CHUNK]})
        found.update({row.id: row for row in rows})
    return found


def _why(work: Work, row: Any) -> str | None:
    """Return why *work* is an orphan, or None; *row* is what the ledger has under its id."""
    if row is None or (row.kind is None and row.sale_id is None):
        return "no_record"
    if row.sale_id is not None:
        recorded = (True, row.from_register_id, row.to_register_id, row.sections)
        given = (work.is_key_change, work.from_register_id, work.register_id, work.value)
        return None if given == recorded else "differs"
    if row.state != "approved":
        return "not_approved"
    kind = AdjustmentKind(row.kind).engineering
    if kind is None or work.is_key_change:
        return "differs"
    recorded_token = (kind.token_class, kind.subclass, row.value, row.register_id)
    return None if (work.token_class, work.subclass, work.value, work.register_id) == recorded_token else "differs"
