"""The proof: postings, balances, subledgers, tokens, journal and the module's counters against each other.

Each check is one question to the database for rows that should not exist. All of them see one snapshot, so that sales going on
meanwhile do not disturb; only the module's counters are of their own moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger.check_questions import QUESTIONS
from ledger.database import allow_scans
from ledger.module_proof import (
    MINTED_CHECK,
    POSTED_CHECK,
    ModuleDays,
    find_minted_without_sale,
    find_posted_without_mint,
)
from ledger.several_modules import RegisterCount, SeveralModules, Sum, minted_again
from ledger.work_proof import WORK_CHECK, find_work_without_record

DIFFERENCES_PER_CHECK_MAX = 100
"""A broken ledger would fill the report; what matters is which checks fail and where to start looking."""

COUNTERS_CHECK = "module-counters-equal-posted-tokens"
ANSWERED_CHECK = "every-module-answered"

_TOKENS_BY_REGISTER = text("""
    SELECT register_id, state, count(*) AS tokens, sum(units_tenths)::bigint AS units_tenths FROM (
        SELECT s.register_id, s.state, t.units_tenths FROM token AS t JOIN sale AS s ON s.id = t.sale_id WHERE s.state IN ('posted', 'reserved')
        UNION ALL
        SELECT register_id, CASE WHEN digits IS NULL THEN 'reserved' ELSE 'posted' END, units_tenths FROM adjustment_token
        WHERE units_tenths > 0
    ) AS minted GROUP BY register_id, state
""")


class CheckResult(NamedTuple):
    """One check. ``is_run`` is False for those that compare with the module when nothing was read from it."""

    name: str
    agree: bool
    is_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The verdict.

    Attributes:
        agree: whether every check that ran agrees.
        checks: each with its verdict.
        differences: ``{"check": name, ...}`` with the ids and numbers that do not fit.
    """

    agree: bool
    checks: tuple[CheckResult, ...]
    differences: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return what ``eudora ledger check`` prints."""
        return {
            "agree": self.agree,
            "checks": [{"name": check.name, "agree": check.agree, "run": check.is_run} for check in self.checks],
            "differences": list(self.differences),
        }


def check(
    engine: Engine,
    counters: Mapping[int, RegisterCount] | None,
    module_days: ModuleDays | None = None,
    several: SeveralModules | None = None,
) -> CheckReport:
    """Prove the ledger.

    Args:
        engine: the ledger.
        counters: by key register, read from the security module while no sale is on its way; None: not compared. A sale that
            is still reserved may have been minted, so its tokens are allowed for.
        module_days: what the module minted on some days, read before; None: not compared one by one.
        several: where there are several modules, what counts a sale once that two of them minted, and which are away. While one is
            away nothing agrees: what it minted cannot be compared, and a sale that no other minted may be its own.

    Raises:
        sqlalchemy.exc.DBAPIError: the database cannot be reached.
    """
    checks: list[CheckResult] = []
    differences: list[dict[str, Any]] = []
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        allow_scans(connection)
        # Before the snapshot: whatever month leaves the database from here on waits.
        connection.execute(text("LOCK TABLE journal, posting IN ACCESS SHARE MODE"))
        for name, question in QUESTIONS.items():
            rows = connection.execute(text(f"{question} LIMIT {DIFFERENCES_PER_CHECK_MAX}")).mappings().all()
            checks.append(CheckResult(name, not rows, is_run=True))
            differences += [{"check": name, **{key: _plain(value) for key, value in row.items()}} for row in rows]
        found = [] if counters is None else _compare_counters(connection, counters, several)
        minted = [] if module_days is None else find_minted_without_sale(connection, module_days)
        work = None if module_days is None else module_days.work
        unapproved = [] if work is None else find_work_without_record(connection, work)
        is_posted_run = module_days is not None and not (several is not None and several.away)
        posted = find_posted_without_mint(connection, module_days) if is_posted_run and module_days else []
    away = (
        []
        if several is None
        else [{"check": ANSWERED_CHECK, "module": each, "why": why} for each, why in several.away.items()]
    )
    checks.append(CheckResult(ANSWERED_CHECK, not away, is_run=counters is not None))
    checks.append(CheckResult(COUNTERS_CHECK, not found, is_run=counters is not None))
    checks.append(CheckResult(MINTED_CHECK, not minted, is_run=module_days is not None))
    checks.append(CheckResult(WORK_CHECK, not unapproved, is_run=work is not None))
    checks.append(CheckResult(POSTED_CHECK, not posted, is_run=is_posted_run))
    differences += away + found
    differences += [each for some in (minted, unapproved, posted) for each in some[:DIFFERENCES_PER_CHECK_MAX]]
    return CheckReport(agree=not differences, checks=tuple(checks), differences=tuple(differences))


def _compare_counters(
    connection: Connection, counters: Mapping[int, RegisterCount], several: SeveralModules | None
) -> list[dict[str, Any]]:
    sold = {
        (row.register_id, row.state): (row.tokens, row.units_tenths) for row in connection.execute(_TOKENS_BY_REGISTER)
    }
    differences = []
    for register_id in sorted(counters.keys() | {register_id for register_id, _state in sold}):
        counted = counters.get(register_id)
        again = Sum(0, 0) if several is None else minted_again(connection, several, register_id)
        minted_tokens, minted_units = (0, 0) if counted is None else (counted.tokens, counted.units_tenths)
        minted_tokens, minted_units = minted_tokens - again.tokens, minted_units - again.units_tenths
        posted_tokens, posted_units = sold.get((register_id, "posted"), (0, 0))
        open_tokens, open_units = sold.get((register_id, "reserved"), (0, 0))
        # What a module that is away minted is missing from the sum, so then only too much is a difference.
        is_enough = (posted_tokens <= minted_tokens and posted_units <= minted_units) or (several and several.away)
        if is_enough and minted_tokens <= posted_tokens + open_tokens and minted_units <= posted_units + open_units:
            continue
        difference = {
            "check": COUNTERS_CHECK,
            "register_id": register_id,
            "minted_tokens": minted_tokens,
            "posted_tokens": posted_tokens,
            "reserved_tokens": open_tokens,
            "minted_units_tenths": minted_units,
            "posted_units_tenths": posted_units,
            "reserved_units_tenths": open_units,
        }
        differences.append(difference if several is None else {**difference, "minted_again_tokens": again.tokens})
    return differences


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    # Sums of bigint come back as Decimal.
    return value if value is None or isinstance(value, str | int) else int(str(value))
