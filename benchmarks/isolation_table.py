"""What `benchmarks.isolation` says: how slow each network was, quiet and under each attack, and how the two compare."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cli.bench import percentile

RATIO_MAX = 2.0
"""The others' 99th percentile may be this much of its quiet value."""

SHARES = ("switch", "workers", "module", "postgres", "loads", "attacker", "others", "waited")
"""What is told of the processors; see `benchmarks.isolation_account.Reading.shares_since`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which one thing happened: ``target`` had ``fault``, or it was quiet (both empty). Readings of the monotonic clock."""

    target: str
    fault: str
    start: float
    end: float
    shares: Mapping[str, float]
    did: Mapping[str, Any]


Latencies = Sequence[tuple[float, float]]
"""When something was due, and how many milliseconds it took."""


def measured(phases: Sequence[Phase], latencies: Mapping[str, Latencies], machine: Latencies) -> list[dict[str, Any]]:
    """Return a row for each thing that happened: latencies of every network by when a sale was due; the first row is the quiet one.

    All quiet times are one; of several times of one attack the percentiles and ratios are the medians, and ``rounds_p99_ms`` has each.
    """
    kinds = list(dict.fromkeys((phase.target, phase.fault) for phase in phases))
    rows: list[dict[str, Any]] = []
    for target, fault in sorted(kinds, key=lambda kind: kind != ("", "")):
        parts = [phase for phase in phases if (phase.target, phase.fault) == (target, fault)]
        rounds = [[part] for part in parts] if target else [parts]
        row: dict[str, Any] = {
            "target": target,
            "fault": fault or "quiet",
            "shares": {name: median(part.shares.get(name, 0.0) for part in parts) for name in SHARES},
            "machine_p99_ms": percentile(_within(parts, machine), 99),
            "did": [phase.did for phase in parts if phase.did],
            "networks": {},
        }
        for network, points in latencies.items():
            quiet = rows[0]["networks"][network]["p99_ms"] if rows else None
            row["networks"][network] = _of_network([_within(each, points) for each in rounds], quiet)
        rows.append(row)
    return rows


def _of_network(rounds: Sequence[Sequence[float]], quiet_p99_ms: float | None) -> dict[str, Any]:
    p99s = [percentile(found, 99) for found in rounds]
    # A round in which nothing was sold is as slow as can be.
    p99 = median(float("inf") if each is None else each for each in p99s)
    is_known = p99 != float("inf")
    quiet = p99 if quiet_p99_ms is None else quiet_p99_ms
    return {
        "sales": sum(map(len, rounds)),
        "p50_ms": median(percentile(found, 50) or 0.0 for found in rounds),
        "p99_ms": p99 if is_known else None,
        "max_ms": max((each for found in rounds for each in found), default=None),
        "rounds_p99_ms": p99s,
        "ratio": round(p99 / quiet, 2) if is_known and quiet else None,
    }


def _within(phases: Sequence[Phase], points: Latencies) -> list[float]:
    return sorted(each for due, each in points if any(phase.start <= due < phase.end for phase in phases))


def others_ratio(row: Mapping[str, Any]) -> float:
    """Return the largest ratio in a row of a network that nothing was done to; infinite where one sold nothing."""
    found = row["networks"].items()
    return max((each["ratio"] or float("inf") for network, each in found if network != row["target"]), default=0.0)


def worst_of_others(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the largest ratio of a network that nothing was done to."""
    return max((others_ratio(row) for row in rows if row["target"]), default=0.0)


def above(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return target and fault of every row in which a network that nothing was done to was slower than `RATIO_MAX` allows."""
    return [(row["target"], row["fault"]) for row in rows if row["target"] and others_ratio(row) > RATIO_MAX]


def as_text(result: Mapping[str, Any]) -> str:
    """Return the result as a short table: for each attack and target the largest ratio of the two others."""
    rows = {(row["target"], row["fault"]): row for row in result["rows"]}
    targets = list(dict.fromkeys(target for target, _ in rows if target))
    faults = list(dict.fromkeys(fault for target, fault in rows if target))
    quiet = rows["", "quiet"]
    lines = ["quiet: " + "; ".join(_quiet(name, found) for name, found in quiet["networks"].items())]
    lines.append(f"{'':20}" + "".join(f"{target:>20}" for target in targets))
    for fault in faults:
        cells = (_cell(rows.get((target, fault))) for target in targets)
        lines.append(f"{fault:20}" + "".join(f"{cell:>20}" for cell in cells))
    lines.append(f"processors: {json.dumps(_shares(result['rows']))}")
    bad = result["above"]
    judged = sum(len(row["networks"]) - 1 for row in result["rows"] if row["target"])
    lines.append(f"above {RATIO_MAX:g} times quiet: {len(bad)} of {len(rows) - 1} rows ({judged} figures)")
    lines += [f"  {target} {fault}: {json.dumps(rows[target, fault]['shares'])}" for target, fault in bad]
    lines.append(
        f"settlement differences: {result['settlement_differences']}; ledger check agrees: {result['ledger_check']['agrees']}"
    )
    return "\n".join(lines)


def _quiet(name: str, found: Mapping[str, Any]) -> str:
    return f"{name} p50 {found['p50_ms'] or 0:.0f} ms, p99 {found['p99_ms'] or 0:.0f} ms"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    of_others = [each for name, each in row["networks"].items() if name != row["target"]]
    slowest = max(each["p99_ms"] or float("inf") for each in of_others)
    rounds = len(of_others[0]["rounds_p99_ms"])
    return f"{slowest:.0f} ms {others_ratio(row):.2f}" + (f" ({rounds})" if rounds > 1 else "    ")


def _shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the processors' shares in quiet and, the highest, under attack."""
    attacked = [row["shares"] for row in rows if row["target"]] or [rows[0]["shares"]]
    return {"quiet": rows[0]["shares"], "highest": {name: max(each[name] for each in attacked) for name in SHARES}}
