"""Adjustments from the command line, with the real security module and the virtual meter."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from cli.system import RunningSystem
from tests.flows.command import eudora
from tests.flows.conftest import Books
from tests.flows.raw_terminal import RawTerminal

ROOT = Path(__file__).parents[2]
FREE_METER = "m.service = 0 AND m.status = 'active' AND m.held_by IS NULL AND NOT EXISTS (SELECT 1 FROM adjustment a WHERE a.meter_id = m.id)"
IN_FOURS = re.compile(r"^PIN +((?:\d{4} ){4}\d{4})$", re.MULTILINE)

KILLED_BEFORE_THE_SECOND_COMMIT = """
import os, signal, sys
from ledger import adjustments
adjustments.store_token = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
from cli.main import main
main(sys.argv[1:])
"""
KILLED_BEFORE_THE_MODULE_IS_ASKED = """
import os, signal, sys
from cli import context
context.ask_module = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
from cli.main import main
main(sys.argv[1:])
"""


def run_program(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run *program* with its arguments, as a process that may be killed, in the system's home."""
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def propose(*words: str) -> str:
    """A proposal of ana; returns its number."""
    done = eudora("adjust", "propose", "--evidence", "acta 17 firmada", "--user", "ana", *words)
    assert done.exit_code == 0, done.stderr
    (number,) = re.findall(r"^Ajuste +(\d+):", done.stdout)
    return str(number)


def pin_of(output: str) -> str:
    """The only token on a page."""
    (pin,) = IN_FOURS.findall(output)
    return str(pin).replace(" ", "")


def test_a_free_token_needs_two_people_and_opens_its_meter_once(system: RunningSystem, books: Books) -> None:
    """Proposed, not approved by the same user, approved by another, typed twice."""
    number = books.meter(FREE_METER)
    before = books.float_centavos()
    adjustment = propose("--kind", "free-token", "--meter", number, "--units", "12,5")
    same = eudora("adjust", "approve", adjustment, "--user", "ANA")
    assert (same.exit_code, "same_person" in same.stderr) == (1, True)
    approved = eudora("adjust", "approve", adjustment, "--user", "luz")
    assert approved.exit_code == 0, approved.stderr
    pin = pin_of(approved.stdout)
    accepted = eudora("meter", "enter", "--meter", number, pin)
    assert (accepted.exit_code, "+12,5 kWh" in accepted.stdout) == (0, True), accepted.stdout
    again = eudora("meter", "enter", "--meter", number, pin)
    assert (again.exit_code, "UsedError" in again.stdout) == (1, True), again.stdout
    assert pin_of(eudora("adjust", "show", adjustment).stdout) == pin
    assert books.float_centavos() == before
    assert books.differences() == []
    checked = eudora("ledger", "check")
    assert checked.exit_code == 0, checked.stdout


def test_killed_between_its_commits_a_token_is_finished_and_there_is_one(system: RunningSystem, books: Books) -> None:
    """Killed before the module was asked, and after it answered: `finish` gives one token, which the meter takes."""
    for program in (KILLED_BEFORE_THE_MODULE_IS_ASKED, KILLED_BEFORE_THE_SECOND_COMMIT):
        number = books.meter(FREE_METER)
        adjustment = propose("--kind", "free-token", "--meter", number, "--units", "3")
        killed = run_program(program, "adjust", "approve", adjustment, "--user", "luz")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert books.value("SELECT state FROM adjustment WHERE id = :id", id=int(adjustment)) == "approved"
        assert "pendiente" in eudora("adjust", "list", "--state", "approved").stdout
        assert books.differences() == []
        finished = eudora("adjust", "finish", adjustment)
        assert finished.exit_code == 0, finished.stderr
        pin = pin_of(finished.stdout)
        again = eudora("adjust", "approve", adjustment, "--user", "luz")
        assert pin_of(again.stdout) == pin
        assert eudora("meter", "enter", "--meter", number, pin).exit_code == 0
        assert books.differences() == []


def test_a_replacement_and_a_refund_of_a_sale(terminal: RawTerminal, books: Books) -> None:
    """The units of a sale are minted anew for its meter; of its money no more goes back than was paid."""
    number = books.meter(FREE_METER)
    assert terminal.ask(terminal.recharge(number, 2_000_000)).text(39) == "00"
    sale_id, units = (
        books.value(
            f"SELECT {column} FROM sale s JOIN meter m ON m.id = s.meter_id WHERE m.meter_number = :n ORDER BY s.id DESC LIMIT 1",
            n=number,
        )
        for column in ("s.id", "s.units_tenths")
    )
    typed = f"{units // 10},{units % 10}"
    replacement = propose("--kind", "replacement-token", "--sale", str(sale_id), "--units", typed)
    approved = eudora("adjust", "approve", replacement, "--user", "luz")
    assert approved.exit_code == 0, approved.stderr
    entered = eudora("meter", "enter", "--meter", number, pin_of(approved.stdout))
    assert (entered.exit_code, f"+{typed} kWh" in entered.stdout) == (0, True), entered.stdout
    refund = propose("--kind", "refund", "--sale", str(sale_id), "--amount", "15.000")
    too_much = propose("--kind", "credit", "--sale", str(sale_id), "--amount", "5.001")
    assert eudora("adjust", "approve", refund, "--user", "luz").exit_code == 0
    refused = eudora("adjust", "approve", too_much, "--user", "luz", "--language", "en")
    assert (refused.exit_code, "above_paid" in refused.stderr) == (1, True)
    assert eudora("adjust", "reject", too_much, "--user", "luz").exit_code == 0
    assert books.differences() == []
