"""What one load process is told and what it reports, as JSON. The keys of the terminals come over a pipe, never as arguments."""

import json
from dataclasses import dataclass, field
from typing import Any

from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One process's share of a load.

    Attributes:
        host: of the switch.
        port: of the switch.
        terminals: one client each; each opens its own connection and has one sale in flight at a time.
        meters: numbers to choose from, all equally likely.
        paid_centavos: amounts to choose from.
        warm_up_seconds: before the window; sales in it are done and not counted.
        window_seconds: in which completed sales are counted.
        prepared_sales: how many requests are built and signed before the clock starts, all clients together.
        sales_per_second: pace of this process; None: every client sells again as soon as it is answered.
        seed: of the choices.
    """

    host: str
    port: int
    terminals: tuple[TerminalIdentity, ...]
    meters: tuple[str, ...] = field(repr=False)
    paid_centavos: tuple[Centavos, ...]
    warm_up_seconds: float
    window_seconds: float
    prepared_sales: int
    sales_per_second: float | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What one load process saw.

    Attributes:
        latencies_ms: of the final answers in the window, from when the sale was due to its answer.
        codes: final data elements 39 in the window and how many of each.
        total_codes: the same over the whole run, warm-up and drain included.
        in_progress: answers "in progress" that were repeated.
        unanswered: sales without a final answer when the drain ended.
        links_lost: connections that ended before that.
        mismatched: answers that did not carry the request's fields back.
        macs_checked: answers whose MAC was checked.
        macs_wrong: those whose MAC was wrong.
        pins: PINs handed out.
        pins_distinct: how many different ones.
        late_prepared: requests that had to be built while the clock ran.
        cpu_seconds: of this process in the window.
    """

    latencies_ms: list[float] = field(repr=False)
    codes: dict[str, int]
    total_codes: dict[str, int]
    in_progress: int
    unanswered: int
    links_lost: int
    mismatched: int
    macs_checked: int
    macs_wrong: int
    pins: int
    pins_distinct: int
    late_prepared: int
    cpu_seconds: float


def write_plan(plan: LoadPlan) -> str:
    """Return the plan as one line of JSON; it holds keys."""
    state: dict[str, Any] = {name: getattr(plan, name) for name in LoadPlan.__slots__ if name != "terminals"}
    state["terminals"] = [
        {
            "terminal_id": identity.terminal_id,
            "merchant_id": identity.merchant_id,
            "nii": identity.nii,
            "mac_scheme": identity.mac_scheme,
            "mac_key": identity.mac_key.reveal().hex(),
        }
        for identity in plan.terminals
    ]
    return json.dumps(state)


def read_plan(line: str) -> LoadPlan:
    """Read what `write_plan` wrote."""
    state = json.loads(line)
    terminals = tuple(
        TerminalIdentity(**{**each, "mac_key": Secret(bytes.fromhex(each["mac_key"]))})
        for each in state.pop("terminals")
    )
    meters, paid = tuple(state.pop("meters")), tuple(state.pop("paid_centavos"))
    return LoadPlan(terminals=terminals, meters=meters, paid_centavos=paid, **state)


def write_report(report: LoadReport) -> str:
    """Return the report as one line of JSON."""
    return json.dumps({name: getattr(report, name) for name in LoadReport.__slots__})


def read_report(line: str) -> LoadReport:
    """Read what `write_report` wrote."""
    return LoadReport(**json.loads(line))
