"""The JSON form of cases, and the command that runs a file of them."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.quote import quote_command
from vending.quote_cases import CaseError, answer_input, parse_input, run_cases
from vending.tariff import TariffError

CASES_FILE = Path(__file__).with_name("quote_cases.json")

MINIMAL: dict[str, Any] = {
    "paid": 100_000,
    "tariff": {"blocks": [{"up_to": None, "rate": 1_000_000, "full_rate": 1_000_000}]},
}
FULL: dict[str, Any] = {
    **MINIMAL,
    "carried_in": 10,
    "month_to_date": 1500,
    "limits": {"minimum_paid": 100_000, "maximum_paid": 50_000_000},
    "deductions": [
        {"id": "aseo", "kind": "charge", "priority": 10, "due": "2026-07-31", "owed": 6_000, "full": 9_000},
        {"id": "precarga", "kind": "emergency", "priority": 20, "due": "2026-07-01", "owed": 3_000},
        {
            "id": "mora",
            "kind": "obligation",
            "priority": 30,
            "due": "2026-03-31",
            "capital": 60_000,
            "interest": 100,
            "instalment_due": 0,
            "share": 1000,
            "share_overdue": None,
            "overdue": True,
            "minimum": 0,
            "disputed": False,
        },
    ],
    "cap": 4000,
    "voluntary": {"obligation": "mora", "amount": 1_000},
}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the full input with *change* made to it."""
    value = deepcopy(FULL)
    change(value)
    return value


def test_omitted_keys_have_their_defaults() -> None:
    """An input may leave out whatever has a default, and null means the same where a key may be absent."""
    spelled_out = {
        **MINIMAL,
        "carried_in": 0,
        "month_to_date": 0,
        "limits": None,
        "deductions": [],
        "cap": None,
        "voluntary": None,
    }
    assert parse_input(MINIMAL) == parse_input(spelled_out)


def test_deductions_have_their_defaults() -> None:
    """A charge costs what is owed in full, and an obligation without a share wants nothing."""
    value = {
        **MINIMAL,
        "deductions": [
            {"id": "aseo", "kind": "charge", "priority": 1, "due": "2026-07-31", "owed": 6_000},
            {"id": "mora", "kind": "obligation", "priority": 2, "due": "2026-07-31", "capital": 60_000},
        ],
    }
    output = answer_input(value)
    assert output["taken"] == [{"id": "aseo", "amount": 6_000, "left": 0, "subsidy": 0}]


def test_every_kind_of_line_has_its_own_keys() -> None:
    """Charges show their subsidy, obligations their interest and capital, emergency credit neither."""
    assert answer_input(FULL)["taken"] == [
        {"id": "aseo", "amount": 6_000, "left": 0, "subsidy": 3_000},
        {"id": "precarga", "amount": 3_000, "left": 0},
        {"id": "mora", "amount": 10_000, "interest": 100, "capital": 9_900, "left": 50_100},
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda v: v.pop("paid"), "input.paid: missing"),
        (lambda v: v.update(paid=True), "input.paid: not an integer"),
        (lambda v: v.update(paid=1.0), "input.paid: not an integer"),
        (lambda v: v.update(paid="1"), "input.paid: not an integer"),
        (lambda v: v.update(paid=-1), "input.paid: negative"),
        (lambda v: v.update(paid=2**63), "input.paid: larger"),
        (lambda v: v.update(carried_in=None), "input.carried_in: not an integer"),
        (lambda v: v.update(cap=-1), "input.cap: negative"),
        (lambda v: v.update(payed=1), "input: unknown key payed"),
        (lambda v: v.update(limits={"minimum_paid": 1}), "input.limits.maximum_paid: missing"),
        (lambda v: v.update(limits={"minimum_paid": 1, "maximum_paid": 2, "x": 3}), "input.limits: unknown key x"),
        (lambda v: v.update(deductions={}), "input.deductions: not a list"),
        (lambda v: v.update(deductions=[3]), "input.deductions[0]: not an object"),
        (lambda v: v["deductions"][0].update(kind="tax"), "input.deductions[0].kind: 'tax' is not"),
        (lambda v: v["deductions"][0].update(priority=True), "input.deductions[0].priority: not an integer"),
        (lambda v: v["deductions"][0].update(id=7), "input.deductions[0].id: not a text"),
        (lambda v: v["deductions"][1].update(full=7), "input.deductions[1]: unknown key full"),
        (lambda v: v["deductions"][2].update(overdue=1), "input.deductions[2].overdue: not true or false"),
        (lambda v: v["deductions"][2].update(owed=1), "input.deductions[2]: unknown key owed"),
        (lambda v: v["deductions"][2].update(due="2026-02-30"), "input.deductions[2].due: not a date"),
        (lambda v: v["deductions"][2].update(due="20260731"), "input.deductions[2].due: not a date"),
        (lambda v: v.update(voluntary={"obligation": "mora"}), "input.voluntary.amount: missing"),
        (lambda v: v["tariff"].update(name="x"), "input.tariff: unknown key name"),
        (lambda v: v["tariff"]["blocks"][0].pop("up_to"), "input.tariff.blocks[0].up_to: missing"),
        (lambda v: v["tariff"]["blocks"][0].update(rate=1.5), "input.tariff.blocks[0].rate: not an integer"),
    ],
)
def test_bad_inputs_are_refused_by_name(change: Callable[[dict[str, Any]], object], text: str) -> None:
    """Whoever wrote a case wrongly reads where and why."""
    with pytest.raises(CaseError) as caught:
        parse_input(changed(change))
    assert str(caught.value).startswith(text)


def test_a_bad_tariff_is_a_tariff_error() -> None:
    """A tariff is judged when it is read, not when something is sold by it."""
    with pytest.raises(TariffError, match="below 1"):
        parse_input(changed(lambda v: v["tariff"]["blocks"][0].update(rate=0)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: v.update(paid=99_999), "amount_below_minimum"),
        (lambda v: v.update(paid=50_000_001), "amount_above_maximum"),
        (lambda v: v["voluntary"].update(obligation="nope"), "unknown_obligation"),
        (lambda v: v["voluntary"].update(obligation="aseo"), "unknown_obligation"),
        (
            lambda v: v.update(voluntary=None, tariff={"blocks": [{"up_to": None, "rate": 10**9, "full_rate": 1}]}),
            "amount_too_low",
        ),
    ],
)
def test_declined_inputs(change: Callable[[dict[str, Any]], object], code: str) -> None:
    """A declined quote has its reason and nothing else."""
    assert answer_input(changed(change)) == {"declined": code}


@pytest.mark.parametrize("output", [{"declined": None}, {}, None, [], True, {"declined": "amount_too_low"}], ids=repr)
def test_wrong_expectations_fail(output: Any) -> None:
    """A case passes only when the whole output is as expected."""
    case: dict[str, Any] = {"id": "x", "input": MINIMAL, "output": output}
    report = run_cases([case], with_outputs=False)
    assert (report.cases, len(report.failed)) == (1, 1)
    assert report.failed[0]["expected"] == output


def test_numbers_compare_as_numbers_of_the_same_kind() -> None:
    """1.0 and true are not the integer 1, so a sloppy expectation does not pass."""
    output = answer_input(MINIMAL)
    assert not run_cases([{"id": "x", "input": MINIMAL, "output": output}], with_outputs=False).failed
    sloppy = {**output, "units": 100.0}
    assert run_cases([{"id": "x", "input": MINIMAL, "output": sloppy}], with_outputs=False).failed


@pytest.mark.parametrize(
    "case", [None, 3, "x", [], {"id": "x"}, {"input": 5}, {"input": MINIMAL, "extra": 1}], ids=repr
)
def test_what_is_no_case_fails_and_does_not_crash(case: Any) -> None:
    """A broken case is one failed case; the others still run."""
    good: dict[str, Any] = {"id": "good", "input": MINIMAL, "output": answer_input(MINIMAL)}
    report = run_cases([case, good], with_outputs=True)
    assert report.cases == 2
    assert len(report.failed) == 1
    assert isinstance(report.failed[0]["got"], str)


def run(path: Path, *arguments: str) -> tuple[int, Any]:
    """Run the command and return its exit code and what it printed, as JSON."""
    result = CliRunner().invoke(quote_command, [str(path), *arguments])
    return result.exit_code, json.loads(result.stdout) if result.exit_code in {
        0,
        1,
    } and result.stdout else result.output


def write(path: Path, cases: object) -> Path:
    """Write a cases file."""
    file = path / "cases.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    return file


def test_command_passes_the_worked_cases() -> None:
    """The shipped file passes whole and the command says so."""
    assert run(CASES_FILE) == (0, {"cases": 30, "passed": 30, "failed": []})


def test_command_reports_failures(tmp_path: Path) -> None:
    """One wrong case makes the exit code 1 and is shown with what came instead."""
    cases = json.loads(CASES_FILE.read_text(encoding="utf-8"))[:2]
    cases[1]["output"]["units"] += 1
    code, printed = run(write(tmp_path, cases))
    assert code == 1
    assert (printed["cases"], printed["passed"]) == (2, 1)
    assert printed["failed"][0]["id"] == cases[1]["id"]
    assert printed["failed"][0]["expected"] == cases[1]["output"]
    assert printed["failed"][0]["got"]["units"] == cases[1]["output"]["units"] - 1


def test_command_shows_an_invalid_input_as_a_failed_case(tmp_path: Path) -> None:
    """An input that cannot be read fails with the error's text as what came."""
    code, printed = run(write(tmp_path, [{"id": "bad", "input": {"paid": 1.5}, "output": {}}]))
    assert code == 1
    assert printed["failed"] == [{"id": "bad", "expected": {}, "got": "input.paid: not an integer"}]


def test_command_prints_missing_outputs(tmp_path: Path) -> None:
    """With --print an input without output is answered; without it, it is a case that fails."""
    file = write(tmp_path, [{"id": "question", "input": MINIMAL}])
    code, printed = run(file, "--print")
    assert code == 0
    assert printed == {
        "cases": 0,
        "passed": 0,
        "failed": [],
        "outputs": [{"id": "question", "output": answer_input(MINIMAL)}],
    }
    code, printed = run(file)
    assert code == 1
    assert printed["cases"] == 1


@pytest.mark.parametrize("text", ["", "{", "{}", "3"])
def test_command_refuses_what_is_no_cases_file(tmp_path: Path, text: str) -> None:
    """A file of another form is an error message, not a traceback."""
    file = tmp_path / "cases.json"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(quote_command, [str(file)])
    assert result.exit_code == 1
    assert "Error" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
