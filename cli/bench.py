"""``eudora bench``: how many sales a second, how fast, and what each costs the machine; beside PostgreSQL's own benchmark."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from cli import context
from cli.bench_module import bench_module_command
from cli.pgbench import PgbenchError, run_pgbench
from cli.process_cpu import cpu_microseconds
from cli.system import running_system
from config.home import CONFIG_FILE
from config.settings import load
from ledger.database import open_engine
from pos.load_plan import LoadPlan, LoadReport, read_report, write_plan
from pos.store import TerminalIdentity
from security_module.open_store import open_keys
from security_module.terminal_keys import export_terminal_key
from town.generate import DEFAULT_METERS, DEFAULT_TERMINALS, METERS_MAX
from town.targets import buying_meters, selling_terminals
from vending.money import Centavos

PAID_CENTAVOS = tuple(Centavos(pesos * 100) for pesos in (5_000, 10_000, 20_000, 50_000))
"""What customers pay: small, round sums."""

PREPARED_SALES_PER_SECOND = 8_000
"""Requests are built ahead for this pace; what a faster switch needs beyond is built while the clock runs, and counted."""

PREPARED_SALES_MAX = 400_000
"""Of all processes together, about 200 MB; a longer run builds the rest while the clock runs."""

CLIENTS_PER_PROCESS = 100
LOAD_PROCESSES_MAX = 4

START_DELAY_SECONDS = 0.5
"""From "all are ready" to the common start."""

_SEED = 20_260_701


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is measured: see the command's help."""

    clients: int
    seconds: float
    warm_up: float
    rate: float | None
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All load processes together, and what the others used in the window, in microseconds of processor time."""

    reports: Sequence[LoadReport]
    cpu: Mapping[str, int]
    seconds: float


class LoadError(click.ClickException):
    """A load process failed; the text is what it said."""


@click.group(invoke_without_command=True)
@click.option(
    "--clients",
    type=click.IntRange(1, 2000),
    default=200,
    show_default=True,
    help="Datáfonos, one sale each at a time.",
)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=10.0, show_default=True, help="Measured time.")
@click.option("--warm-up", type=click.FloatRange(0, 600), default=2.0, show_default=True, help="Seconds before it.")
@click.option("--rate", type=click.FloatRange(1, 1_000_000), help="Sales per second; default: as many as are answered.")
@click.option("--load-processes", type=click.IntRange(1, 16), help="Default: one per 100 clients, at most 4.")
@click.option("--switches", type=click.IntRange(1, 16), help="Switch processes.  [default: one, without a supervisor]")
@click.option("--pgbench/--no-pgbench", "with_pgbench", default=True, help="Also run TPC-B on the same server.")
@click.option("--pgbench-clients", type=click.IntRange(1, 90), default=64, show_default=True, help="And the scale.")
@click.option(
    "--meters",
    type=click.IntRange(1, METERS_MAX),
    default=DEFAULT_METERS,
    show_default=True,
    help="Size of the town, when it is new.",
)
@click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), help="State directory; default: a new one, removed."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def bench(
    invocation: click.Context,
    *,
    clients: int,
    seconds: float,
    warm_up: float,
    rate: float | None,
    load_processes: int | None,
    switches: int | None,
    with_pgbench: bool,
    pgbench_clients: int,
    meters: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """Sell to random meters of a seeded town over TCP, with real processes and a durable ledger, and measure it.

    Exits 0 only if every sale got an authentic answer and the ledger agrees with itself afterwards.
    """
    if invocation.invoked_subcommand is not None:
        return
    options = BenchOptions(
        clients=clients,
        seconds=seconds,
        warm_up=warm_up,
        rate=rate,
        processes=min(load_processes or _processes_for(clients), clients),
    )
    with ExitStack() as stack:
        directory = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eudora-bench-")))
        system = stack.enter_context(
            running_system(
                directory, on_free_ports=True, meters=meters, terminals=_terminals_for(clients), switches=switches
            )
        )
        terminals, numbers = _targets(system.dsn, options.clients)
        measured = measure(system.switch_address, _identities(directory, terminals), numbers, system.pids, options)
        result = summarise(measured, options)
        result["ledger_check"] = ledger_check(directory)
        result |= _pgbench(system.dsn, pgbench_clients if with_pgbench else None, seconds)
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else _as_text(result))
    sys.exit(0 if _is_sound(result) else 1)


def _pgbench(dsn: str, clients: int | None, seconds: float) -> dict[str, Any]:
    if clients is None:
        return {"pgbench_tps": None, "pgbench_error": None}
    try:
        tps, error = run_pgbench(dsn, clients=clients, seconds=max(1, round(seconds))), None
    except PgbenchError as failed:
        tps, error = None, str(failed)
    return {"pgbench_tps": tps, "pgbench_error": error, "pgbench_clients": clients}


def measure(
    address: tuple[str, int],
    terminals: Sequence[TerminalIdentity],
    meters: tuple[str, ...],
    pids: Mapping[str, int],
    options: BenchOptions,
) -> Measured:
    """Run the load processes against a running switch.

    Args:
        address: of the switch.
        terminals: one for each client.
        meters: numbers to sell to.
        pids: of the processes whose cost is measured; "postgres" is its postmaster.
        options: how much and how long.

    Raises:
        LoadError: a load process failed.
    """
    with ExitStack() as stack:
        children = [stack.enter_context(_LoadProcess(plan)) for plan in _plans(address, terminals, meters, options)]
        for child in children:
            child.wait_until_ready()
        start_at = time.monotonic() + START_DELAY_SECONDS
        for child in children:
            child.start(start_at)
        _sleep_until(start_at + options.warm_up)
        before = _cpu_of(pids)
        _sleep_until(start_at + options.warm_up + options.seconds)
        after = _cpu_of(pids)
        reports = [child.report() for child in children]
    cpu = {name: after[name] - before[name] for name in pids}
    cpu["load"] = round(sum(report.cpu_seconds for report in reports) * 1_000_000)
    return Measured(reports=reports, cpu=cpu, seconds=options.seconds)


def summarise(measured: Measured, options: BenchOptions) -> dict[str, Any]:
    """Put the reports together.

    Returns:
        The object that ``--json`` prints, without the ledger's verdict and pgbench.
    """
    latencies = sorted(latency for report in measured.reports for latency in report.latencies_ms)
    codes: Counter[str] = Counter()
    total_codes: Counter[str] = Counter()
    for report in measured.reports:
        codes.update(report.codes)
        total_codes.update(report.total_codes)
    approved = codes.pop("00", 0)
    answered = len(latencies)
    return {
        "sales_per_second": round(approved / measured.seconds, 1),
        "p50_ms": percentile(latencies, 50),
        "p99_ms": percentile(latencies, 99),
        "max_ms": percentile(latencies, 100),
        "cpu_us_per_sale": {
            name: round(used / answered, 1) if answered else None for name, used in measured.cpu.items()
        },
        "clients": options.clients,
        "seconds": measured.seconds,
        "offered_per_second": options.rate,
        "load_processes": options.processes,
        "approved": approved,
        "declined": dict(sorted(codes.items())),
        "approved_in_all": total_codes["00"],
        "unanswered": _total(measured, "unanswered"),
        "in_progress": _total(measured, "in_progress"),
        "links_lost": _total(measured, "links_lost"),
        "mismatched": _total(measured, "mismatched"),
        "macs_checked": _total(measured, "macs_checked"),
        "macs_wrong": _total(measured, "macs_wrong"),
        "pins": _total(measured, "pins"),
        "pins_distinct": _total(measured, "pins_distinct"),
        "late_prepared": _total(measured, "late_prepared"),
    }


def percentile(ascending: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile, None of nothing.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([1.0, 2.0, 3.0, 4.0], 99)
    (2.0, 4.0)
    """
    if not ascending:
        return None
    rank = -(-len(ascending) * percent // 100)
    return round(ascending[max(rank, 1) - 1], 3)


class _LoadProcess:
    """One ``python -m pos.load``, spoken to over pipes."""

    def __init__(self, plan: LoadPlan) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "pos.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self._tell(write_plan(plan))

    def __enter__(self) -> "_LoadProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def wait_until_ready(self) -> None:
        self._said("ready")

    def start(self, at: float) -> None:
        self._tell(repr(at))

    def report(self) -> LoadReport:
        return read_report(self._said(""))

    def _tell(self, line: str) -> None:
        pipe: IO[str] | None = self._child.stdin
        assert pipe is not None
        pipe.write(line + "\n")
        pipe.flush()

    def _said(self, wanted: str) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline().strip()
        if not line or (wanted and line != wanted):
            raise LoadError(f"a load process ended early (exit status {self._child.poll()}); its error is above")
        return line


def _processes_for(clients: int) -> int:
    return min(LOAD_PROCESSES_MAX, -(-clients // CLIENTS_PER_PROCESS))


def _terminals_for(clients: int) -> int:
    """How many terminals a town needs: some of them are blocked."""
    return max(DEFAULT_TERMINALS, clients + clients // 10)


def _targets(dsn: str, clients: int) -> tuple[list[str], tuple[str, ...]]:
    """Return the ids of that many terminals that may sell, and the numbers of all meters that may buy."""
    engine = open_engine(dsn)
    found = selling_terminals(engine, clients), buying_meters(engine)
    engine.dispose()
    if len(found[0]) < clients:
        raise LoadError(f"the town has {len(found[0])} terminals that may sell, fewer than {clients} clients")
    return found


def _identities(directory: Path, terminal_ids: Sequence[str]) -> list[TerminalIdentity]:
    """Key the terminals from the security module's test register, opening its store only once."""
    section = load(directory / CONFIG_FILE).acquirers[context.ACQUIRER_ID].mac
    keys = open_keys(directory / "security-module", os.environ)
    return [
        TerminalIdentity(
            terminal_id=terminal_id,
            merchant_id=context.DEMO_MERCHANT_ID,
            nii=context.DEMO_NII,
            mac_scheme=section.scheme,
            mac_key=export_terminal_key(keys, section.register_id, terminal_id),
        )
        for terminal_id in terminal_ids
    ]


def _plans(
    address: tuple[str, int], terminals: Sequence[TerminalIdentity], meters: tuple[str, ...], options: BenchOptions
) -> list[LoadPlan]:
    pace = min(options.rate * 1.1, PREPARED_SALES_PER_SECOND) if options.rate else PREPARED_SALES_PER_SECOND
    prepared = min(round(pace * (options.warm_up + options.seconds)), PREPARED_SALES_MAX)
    plans = []
    for number in range(options.processes):
        share = tuple(terminals[number :: options.processes])
        plans.append(
            LoadPlan(
                host=address[0],
                port=address[1],
                terminals=share,
                meters=meters,
                paid_centavos=PAID_CENTAVOS,
                warm_up_seconds=options.warm_up,
                window_seconds=options.seconds,
                prepared_sales=prepared * len(share) // options.clients,
                sales_per_second=options.rate * len(share) / options.clients if options.rate else None,
                seed=_SEED + number,
            )
        )
    return plans


def _cpu_of(pids: Mapping[str, int]) -> dict[str, int]:
    return {name: cpu_microseconds(pid, with_children=name == "postgres") for name, pid in pids.items()}


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _total(measured: Measured, name: str) -> int:
    return sum(getattr(report, name) for report in measured.reports)


def ledger_check(directory: Path) -> Any:
    """Ask `eudora ledger check` of that state directory for its verdict."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "ledger", "check"],
        env={**os.environ, "EUDORA_HOME": str(directory)},
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {"error": (done.stderr or done.stdout).strip()[-2000:]}
    return {"agrees": done.returncode == 0, "report": said}


def _is_sound(result: Mapping[str, Any]) -> bool:
    flaws = ("unanswered", "links_lost", "mismatched", "macs_wrong")
    return bool(result["ledger_check"]["agrees"]) and result["approved"] > 0 and not any(result[name] for name in flaws)


def _as_text(result: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:20} {json.dumps(value, ensure_ascii=False)}" for name, value in result.items())


bench.add_command(bench_module_command)
