"""What a newcomer runs first."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

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
