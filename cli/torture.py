"""``eudora torture``: break a running system for some time while virtual terminals sell, then prove that no money was hurt."""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cli import context
from cli.meter import open_meter
from cli.system import RunningSystem, running_system
from cli.torture_stage import ANSWER_DEADLINE_SECONDS, RealStage, postgres_panics
from config.settings import load
from ledger.check import check
from pos.store import TerminalIdentity
from security_module.layout import Layout
from security_module.terminal_keys import export_terminal_key
from torture.books import read_books, reserved_sales
from torture.disk import SmallDisk, why_impossible
from torture.faults import Torturer
from torture.processes import orphans_adopted
from torture.schedule import DISK_FAULTS, PROCESS_FAULTS, FaultKind, make_schedule
from torture.seen import Books, MeterEntry, Seen
from torture.terminals import Going, VirtualTerminal
from torture.verdict import APPROVED, Verdict, judge
from town.targets import buying_meters, selling_terminals

FINAL_SECONDS_MAX = 90.0
"""After the faults every terminal must have its final answer, and every sale its outcome, within this."""

METERS_TRIED_MAX = 60
PINS_PER_METER_MAX = 20
"""A meter remembers the identifiers of its last fifty tokens; what is typed in order is well within that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TortureOptions:
    """See the command's help."""

    seed: int
    seconds: float
    terminals: int
    with_disk: bool


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Decides what is broken when, and what is sold.")
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, help="Time under fault.")
@click.option("--terminals", type=click.IntRange(1, 300), default=24, show_default=True, help="That sell meanwhile.")
@click.option(
    "--disk/--no-disk", "with_disk", default=True, help="Also fill and freeze the database's disk (root only)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def torture(*, seed: int, seconds: float, terminals: int, with_disk: bool, as_json: bool) -> None:
    """Kill, stop, starve and disconnect a system of real processes while terminals sell; then prove every sale and every PIN.

    Everything happens in a temporary directory of its own. Exits 0 only if nothing was lost, sold twice or left over, every answer
    is the journal's, the ledger agrees with itself and with the security module, and the meters take each PIN exactly once.
    """
    options = TortureOptions(seed=seed, seconds=seconds, terminals=terminals, with_disk=with_disk)
    # Whoever ends us gets the same clean-up as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = run_torture(options)
    click.echo(json.dumps(report, ensure_ascii=False) if as_json else _as_text(report))
    sys.exit(0 if report["verdict"] == "holds" else 1)


def run_torture(options: TortureOptions) -> dict[str, Any]:
    """Do all of it; return what ``--json`` prints."""
    with ExitStack() as stack:
        stack.enter_context(orphans_adopted())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eudora-torture-")))
        disk, not_run = _disk_for(options, home, stack)
        system = stack.enter_context(_system(home, disk, options))
        stage = RealStage(system)
        stack.callback(stage.start_postgres)
        if disk is not None:
            stage.move_server_log()
        stage.move_to_fixed_ports()
        going = Going()
        terminals = _terminals(system, options, going)
        kinds = PROCESS_FAULTS | DISK_FAULTS if disk else PROCESS_FAULTS
        torturer = Torturer(stage, terminals, disk, time.monotonic)
        started_at = time.monotonic()
        unmended = _under_fault(torturer, terminals, going, options, kinds)
        settled_seconds = _wait_for_outcomes()
        seen = [each for terminal in terminals for each in terminal.seen]
        books = read_books(context.engine(), [Layout(context.module_directory()).mint_log])
        entries = _type_pins(books, random.Random(options.seed))  # noqa: S311 - which meters are tried is no secret
        differences = check(
            context.engine(), context.module_counters(), context.module_days(context.last_days(2))
        ).differences
        verdict = judge(seen, books, entries, differences)
        report = _report(options, seen, torturer, verdict)
        report["meters_tried"], report["pins_typed_twice"] = (
            len({entry.meter_number for entry in entries}),
            len(entries),
        )
        report["postgres_panics"] = postgres_panics()
        report["settled_after_seconds"] = round(settled_seconds, 1)
        report["duration_seconds"] = round(time.monotonic() - started_at, 1)
        report["not_run"] = not_run
        report["timeline"] = [
            f"{began:.1f} to {mended:.1f}: {kind.value}"
            for began, mended, kind in sorted(torturer.timeline, key=lambda each: each[0])
        ]
        report["not_mended"] = [*torturer.failures, *unmended]
        is_tortured = bool(torturer.counts) and report["sales_approved"] > 0
        holds = verdict.holds and is_tortured and not report["not_mended"]
        report["verdict"] = "holds" if holds else "broken"
        if not holds and (kept := os.environ.get("EUDORA_TORTURE_KEEP")):
            _keep_logs(home, Path(kept) / f"seed-{options.seed}")
    return report


def _disk_for(options: TortureOptions, home: Path, stack: ExitStack) -> tuple[SmallDisk | None, list[str]]:
    names = ", ".join(sorted(kind.value for kind in DISK_FAULTS))
    reason = why_impossible(home) if options.with_disk else "--no-disk"
    if reason is not None:
        return None, [f"{names}: {reason}"]
    disk = SmallDisk(home)
    stack.callback(disk.remove)
    disk.make()
    return disk, []


@contextmanager
def _system(home: Path, disk: SmallDisk | None, options: TortureOptions) -> Iterator[RunningSystem]:
    switch = {
        "EUDORA_ACQUIRERS__DATAFONOS__ANSWER_DEADLINE_SECONDS": str(ANSWER_DEADLINE_SECONDS),
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.5",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "1",
    }
    name = "EUDORA_DATABASE__DIRECTORY"
    before = os.environ.get(name)
    if disk is not None:
        os.environ[name] = str(disk.mount_point / "postgres")
    try:
        with running_system(
            home, on_free_ports=True, terminals=max(40, 2 * options.terminals), environment=switch
        ) as system:
            yield system
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _terminals(system: RunningSystem, options: TortureOptions, going: Going) -> list[VirtualTerminal]:
    terminal_ids = selling_terminals(context.engine(), options.terminals)
    numbers = list(buying_meters(context.engine()))
    mac = load().acquirers[context.ACQUIRER_ID].mac
    keys = context.module_keys()
    return [
        VirtualTerminal(
            TerminalIdentity(
                terminal_id=terminal_id,
                merchant_id=context.DEMO_MERCHANT_ID,
                nii=context.DEMO_NII,
                mac_scheme=mac.scheme,
                mac_key=export_terminal_key(keys, mac.register_id, terminal_id),
            ),
            system.switch_address,
            numbers,
            random=random.Random(f"{options.seed} {terminal_id}"),  # noqa: S311 - choices of a test, no secret
            now=lambda: datetime.now(UTC),  # noqa: TID251 - the command is where the clock comes from
            monotonic=time.monotonic,
            going=going,
        )
        for terminal_id in terminal_ids
    ]


def _under_fault(
    torturer: Torturer,
    terminals: Sequence[VirtualTerminal],
    going: Going,
    options: TortureOptions,
    kinds: frozenset[FaultKind],
) -> list[str]:
    """Sell and break for the time that was asked for, mend, and let the terminals come to an end.

    Returns:
        What could not be brought to an end.
    """
    going.is_selling.set()
    going.is_patient.set()
    threads = [threading.Thread(target=terminal.run, name="terminal") for terminal in terminals]
    failures: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda failed: failures.append(f"a terminal failed: {failed.exc_value!r}")
    try:
        for thread in threads:
            thread.start()
        torturer.start(make_schedule(options.seed, options.seconds, kinds))
        time.sleep(options.seconds)
        torturer.stop()
        going.is_selling.clear()
        deadline = time.monotonic() + FINAL_SECONDS_MAX
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:
        going.is_selling.clear()
        going.is_patient.clear()
        torturer.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        threading.excepthook = before
    return failures


def _wait_for_outcomes() -> float:
    """Wait until the resolver has left nothing reserved; return how long that took, at most `FINAL_SECONDS_MAX`."""
    started_at = time.monotonic()
    engine = context.engine()
    engine.dispose()
    while (waited := time.monotonic() - started_at) < FINAL_SECONDS_MAX:
        try:
            if reserved_sales(engine) == 0:
                break
        except DBAPIError:
            engine.dispose()
        time.sleep(0.2)
    return waited


def _type_pins(books: Books, chance: random.Random) -> list[MeterEntry]:
    """Type the first PINs of some meters into them, each twice, in the order of their identifiers."""
    statement = text(
        "SELECT m.meter_number, t.sale_id, t.digits FROM token t JOIN meter m ON m.id = t.meter_id"
        " WHERE t.digits IS NOT NULL ORDER BY t.meter_id, t.tid"
    )
    posted = {sale.sale_id for sale in books.sales if sale.state == "posted"}
    by_meter: dict[str, list[tuple[int, str]]] = {}
    with context.engine().connect() as connection:
        for row in connection.execute(statement):
            if row.sale_id in posted:
                by_meter.setdefault(row.meter_number, []).append((row.sale_id, row.digits))
    tried = chance.sample(sorted(by_meter), min(METERS_TRIED_MAX, len(by_meter)))
    entries = []
    for meter_number in tried:
        meter = open_meter(meter_number)
        for sale_id, digits in by_meter[meter_number][:PINS_PER_METER_MAX]:
            said = [meter.enter(digits, at=datetime.now(UTC)).result.value for _ in range(2)]  # noqa: TID251
            entries.append(MeterEntry(meter_number=meter_number, sale_id=sale_id, first=said[0], second=said[1]))
    return entries


def _report(options: TortureOptions, seen: Sequence[Seen], torturer: Torturer, verdict: Verdict) -> dict[str, Any]:
    sales = [each for each in seen if each.original is None]
    reversals = [each for each in seen if each.original is not None]
    found = verdict.as_json()
    return {
        "seed": options.seed,
        "seconds": options.seconds,
        "terminals": options.terminals,
        "faults": {kind.value: torturer.counts[kind] for kind in FaultKind if torturer.counts[kind]},
        "faults_in_all": torturer.counts.total(),
        "sales_tried": len(sales),
        "sales_approved": sum(each.code == APPROVED for each in sales),
        "sales_declined": sum(each.code not in {APPROVED, None} for each in sales),
        "sales_abandoned": sum(each.code is None for each in sales),
        "codes": dict(sorted(Counter(each.code for each in sales if each.code is not None).items())),
        "reversals": len(reversals),
        "repeats": sum(max(0, each.attempts - 1) for each in seen),
        "in_progress": sum(each.in_progress for each in seen),
        **{name: len(where) for name, where in found.items()},
        "findings": {name: where[:20] for name, where in found.items() if where},
    }


def _keep_logs(home: Path, target: Path) -> None:
    """Copy the processes' logs, which hold no secrets, out of a run that found something."""
    target.mkdir(parents=True, exist_ok=True)
    logs = [*(home / "log").glob("*"), context.settings().database.directory / "server.log"]
    for path in logs:
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())


def _as_text(report: Mapping[str, Any]) -> str:
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            lines += [name, *(f"    {key:42} {json.dumps(each, ensure_ascii=False)}" for key, each in value.items())]
        elif name == "not_run":
            lines += [f"not run: {each}" for each in value]
        elif name == "timeline":
            continue
        else:
            lines.append(f"{name:24} {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)
