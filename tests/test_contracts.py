"""Who may import whom: the contracts of setup.cfg hold, and they would be broken by a planted violation."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _lint(directory: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import os, sys\n"
        "sys.path.insert(0, os.getcwd())\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(config_filename='setup.cfg', cache_dir=sys.argv[1]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(cache)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=300,
    )


def test_imports_point_downwards(tmp_path: Path) -> None:
    """Every contract is kept by the code as it is."""
    run = _lint(ROOT, tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


@pytest.fixture
def miniature(tmp_path: Path) -> Path:
    """The same contracts over packages with nothing in them."""
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    start = text.index("[importlinter]")
    (tmp_path / "setup.cfg").write_text(text[start:], encoding="utf-8")
    lines = text[start:].split("root_packages =")[1].split("include_external_packages")[0]
    for package in lines.split():
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    return tmp_path


def test_packages_with_nothing_in_them_keep_the_contracts(miniature: Path) -> None:
    """What is found broken below is broken by what was planted."""
    run = _lint(miniature, miniature / "cache")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("vending", "ledger", "Imports point downwards"),
        ("ledger", "acquirers", "Imports point downwards"),
        ("messages", "config", "Imports point downwards"),
        ("acquirers", "switch", "Imports point downwards"),
        ("vending", "sts", "Imports point downwards"),
        ("security_module", "switch", "Imports point downwards"),
        ("messages", "twisted.internet", "do no I/O"),
        ("sts", "socket", "do no I/O"),
        ("vending", "sqlalchemy", "do no I/O"),
    ],
)
def test_a_planted_violation_is_found(miniature: Path, module: str, imported: str, contract: str) -> None:
    """Each kind of forbidden import breaks a contract, by name."""
    (miniature / module / "planted.py").write_text(f"import {imported}\n")
    run = _lint(miniature, miniature / "cache")
    assert run.returncode != 0
    broken = [line for line in run.stdout.splitlines() if line.endswith("BROKEN")]
    assert len(broken) == 1
    assert contract in broken[0]
