"""What the security module's share of whole sales costs, sold in bursts as a switch sends them.

    .venv/bin/python -m benchmarks.security_module [--seconds 2] [--repeats 5] [--directory ON_A_REAL_DISK]

Prints one JSON object: the module's own CPU time per sale, median of the repeats; so many verifications, then their mints, then the
MACs of their answers. Mints and MACs alone: `eudora bench security-module`.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from cli.bench_module import cpu_seconds, macs, mints, running_module, sell, switch_link

BURSTS = (1, 4, 16, 64)
"""Sales that a switch has at the same step at the same moment."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    report: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as scratch,
        running_module(Path(scratch)) as (port, pid),
        switch_link(Path(scratch), port) as link,
    ):
        verifications, orders = macs(10, "X9.19"), mints(11)
        for burst in BURSTS:
            costs = []
            for _ in range(options.repeats):
                before = cpu_seconds(pid)
                done = sell(link, verifications, orders, options.seconds, burst)
                costs.append((cpu_seconds(pid) - before) / done * 1e6)
            report[f"sale_in_bursts_of_{burst}_module_cpu_us"] = round(statistics.median(costs), 1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
