"""``python -m tests.simulation --seed S [--sales N] [--trace]`` or ``--seeds COUNT``: run seeds on a PostgreSQL of their own."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ledger.database import open_engine
from ledger.embedded import DATABASE, EmbeddedPostgres
from ledger.upgrade import upgrade
from tests.quick_disk import quick_directory
from tests.simulation.run import Report, simulate


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--sales", type=int, default=300, help="sales begun in each")
    parser.add_argument("--trace", action="store_true", help="print what happened, last lines only for long runs")
    return parser.parse_args()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell_report(report: Report, *, is_traced: bool) -> None:
    if is_traced:
        for line in report.trace:
            _tell(line)
    found = report.found
    speed = found.posted / max(report.real_seconds, 0.001)
    _tell(
        f"seed {report.seed}: {'FAILED' if report.violations else 'ok'}, {found.posted} sold, {found.void} void, "
        f"{sum(report.faults.values())} faults, {report.virtual_seconds:.0f} virtual seconds, {speed:.0f} sales/s, "
        f"{found.sold_after_refusal} sold after a refusal, {report.fingerprint}"
    )
    if report.violations:
        _tell(str(report))


def main() -> int:
    """Run; return 1 if any seed failed."""
    arguments = _arguments()
    faults: Counter[str] = Counter()
    failed: list[int] = []
    ended: Counter[str] = Counter()
    sold = 0
    seconds = 0.0
    with tempfile.TemporaryDirectory(prefix="eudora-simulation-", dir=quick_directory()) as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            engine = open_engine(server.dsn)
            upgrade(engine)
            engine.dispose()
            for seed in range(arguments.seed, arguments.seed + arguments.seeds):
                report = simulate(seed, arguments.sales, server=server, template=DATABASE, is_kept=False)
                _tell_report(report, is_traced=arguments.trace)
                faults.update(report.faults)
                ended.update(report.found.ended or {})
                sold += report.found.posted
                seconds += report.real_seconds
                failed += [seed] if report.violations else []
        finally:
            server.stop()
    for name, times in sorted(faults.items()):
        _tell(f"{times:8} {name}")
    for name, times in sorted(ended.items()):
        _tell(f"{times:8} answers {name}")
    _tell(
        f"{arguments.seeds} seeds, {sold} sold, {sum(faults.values())} faults, {sold / max(seconds, 0.001):.0f} sales/s"
    )
    _tell(f"failed: {failed}" if failed else "failed: none")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
