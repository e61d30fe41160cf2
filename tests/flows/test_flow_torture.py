"""The real torture, short: processes are killed and stopped and links cut while terminals sell, and nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from torture.schedule import FaultKind, Target, target_of

ROOT = Path(__file__).parents[2]
SEED = 7
SECONDS = 12


@pytest.mark.long
def test_nothing_is_lost_when_everything_is_killed() -> None:
    """Switch, ledger workers, security module and PostgreSQL die in the middle of sales: books, answers and meters agree after it."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "cli.main", "torture", "--seed", str(SEED), "--seconds", str(SECONDS)),
            *("--terminals", "12", "--no-disk", "--json"),
        ],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    report = json.loads(run.stdout)
    assert report["verdict"] == "holds"
    assert report["sales_approved"] > 0
    assert report["pins_typed_twice"] > 0
    assert {target_of(FaultKind(name)) for name in report["faults"]} == set(Target)
    assert any(said.startswith("disk filled") for said in report["not_run"]), "left out, and said so"
