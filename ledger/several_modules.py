"""Several security modules behind one ledger: each counts what it minted itself, and a sale that two of them minted is one sale.

Modules with the same keys give the same digits for the same request id, so after a failover a sale may stand in the counters and lists of
both. It is counted once here: lists are joined by id, and from the sums of the counters goes what more than one module minted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, text

from ledger.module_proof import CHUNK, Minted, ModuleDays
from ledger.work_proof import Work

_WITH_TOKENS = text("""
    SELECT id, tokens, units_tenths FROM (
        SELECT s.id, count(*) AS tokens, sum(t.units_tenths)::bigint AS units_tenths FROM sale AS s JOIN token AS t ON t.sale_id = s.id
        WHERE s.register_id = :register AND s.state IN ('posted', 'reserved') AND s.id > :after
        GROUP BY s.id
        UNION ALL
        SELECT mint_id, 1, units_tenths FROM adjustment_token
        WHERE register_id = :register AND units_tenths > 0 AND mint_id > :after
    ) AS sold ORDER BY id LIMIT :chunk
""")


class RegisterCount(Protocol):
    """What a key register of a security module says it minted since it exists, as the module's own reply has it."""

    @property
    def tokens(self) -> int:
        """How many tokens."""

    @property
    def units_tenths(self) -> int:
        """Their units together."""


class Sum(NamedTuple):
    """Tokens and units of one register, over several modules."""

    tokens: int
    units_tenths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleReport:
    """What one module says: its counters by register, and what it minted on some days."""

    counters: Mapping[int, RegisterCount]
    days: ModuleDays


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralModules:
    """What the check must know beyond sums and lists.

    Attributes:
        away: why a module did not answer, by its name. Without it nothing that it may have minted can be proved.
        shared_registers: registers in which more than one module minted something.
        modules_that_minted: how many modules minted each of some ids; ids that none minted are left out.
    """

    away: Mapping[str, str]
    shared_registers: frozenset[int]
    modules_that_minted: Callable[[Sequence[int]], Mapping[int, int]]


def join(
    reports: Mapping[str, ModuleReport], away: Mapping[str, str]
) -> tuple[Mapping[int, RegisterCount], ModuleDays, SeveralModules]:
    """Join what several modules say.

    Args:
        reports: by name of the module, all of the same days.
        away: why a module did not answer, by its name.

    Returns:
        The sums of their counters, what they minted by day with each id once, and what is needed to count each sale once.
    """
    sums: dict[int, Sum] = {}
    counting: dict[int, int] = {}
    for report in reports.values():
        for register_id, count in report.counters.items():
            old = sums.get(register_id, Sum(0, 0))
            sums[register_id] = Sum(old.tokens + count.tokens, old.units_tenths + count.units_tenths)
            counting[register_id] = counting.get(register_id, 0) + bool(count.tokens)

    def modules_that_minted(request_ids: Sequence[int]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for report in reports.values():
            for request_id in report.days.were_minted(request_ids):
                found[request_id] = found.get(request_id, 0) + 1
        return found

    several = SeveralModules(
        away=away,
        shared_registers=frozenset(register_id for register_id, modules in counting.items() if modules > 1),
        modules_that_minted=modules_that_minted,
    )
    return sums, _join_days({name: report.days for name, report in reports.items()}, modules_that_minted), several


def _join_days(days: Mapping[str, ModuleDays], were_minted: Callable[[Sequence[int]], Iterable[int]]) -> ModuleDays:
    joined: dict[date, list[Minted]] = {}
    # The same request on another day, around midnight, is the same sale; with other content it is a difference that is to be named.
    seen: set[tuple[int, int, int, int]] = set()
    minted_by: dict[int, tuple[str, ...]] = {}
    for name, of_module in days.items():
        for day, minted in of_module.minted.items():
            of_day = joined.setdefault(day, [])
            for each in minted:
                minted_by[each.request_id] = (*minted_by.get(each.request_id, ()), name)
                content = (each.request_id, each.register_id, each.tokens, each.units_tenths)
                if content not in seen:
                    seen.add(content)
                    of_day.append(each)
    return ModuleDays(minted=joined, were_minted=were_minted, minted_by=minted_by, work=_join_work(days.values()))


def _join_work(modules: Iterable[ModuleDays]) -> dict[date, list[Work]]:
    """Return what engineers were given by any module; what two gave under one id is looked up twice, and named twice if it is wrong."""
    joined: dict[date, list[Work]] = {}
    for of_module in modules:
        for day, work in (of_module.work or {}).items():
            joined.setdefault(day, []).extend(work)
    return joined


def minted_again(connection: Connection, several: SeveralModules, register_id: int) -> Sum:
    """Return what more than one module minted of the sales and adjustments of a register: what the sum of counters has too much.

    Asks for every sale of a register in which more than one module minted; no other register costs anything.
    """
    tokens = units_tenths = 0
    if register_id not in several.shared_registers:
        return Sum(0, 0)
    after = -1
    while rows := connection.execute(_WITH_TOKENS, {"register": register_id, "after": after, "chunk": CHUNK}).all():
        after = rows[-1].id
        modules = several.modules_that_minted([row.id for row in rows])
        for row in rows:
            again = max(modules.get(row.id, 0) - 1, 0)
            tokens += again * row.tokens
            units_tenths += again * row.units_tenths
    return Sum(tokens, units_tenths)
