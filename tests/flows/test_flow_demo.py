"""What a newcomer runs first."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_demonstration_goes_as_it_must_twice() -> None:
    """`eudora demo` ends well in an empty home, and again in the home that it left behind."""
    with tempfile.TemporaryDirectory(prefix="eudora-demo-") as home:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-m", "cli.main", "demo"],
                cwd=ROOT,
                env={**os.environ, "EUDORA_HOME": home},
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            for phrase in ("RECARGA DE ENERGÍA", "Accept", "UsedError", "CRCError", '"agree": true'):
                assert phrase in done.stdout, phrase


@pytest.mark.long
def test_the_benchmark_gets_every_answer() -> None:
    """`eudora bench` ends well only if every sale got an authentic answer and the books agree."""
    with tempfile.TemporaryDirectory(prefix="eudora-bench-") as home:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "cli.main",
                "bench",
                "--json",
                "--no-pgbench",
                "--home",
                home,
                "--clients",
                "4",
                "--seconds",
                "3",
                "--warm-up",
                "0",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout)
    assert measured["approved"] > 0
    assert (measured["unanswered"], measured["macs_wrong"]) == (0, 0)
    assert measured["pins_distinct"] == measured["pins"] == measured["approved_in_all"]
