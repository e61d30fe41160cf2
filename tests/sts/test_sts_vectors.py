"""The vector file, vector by vector, and the runner that strangers feed their own files to."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.sts import sts
from sts.vectors import run_vectors

VECTOR_FILE = Path(__file__).with_name("vectors.json")
DOCUMENT: dict[str, Any] = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))
BY_ID: dict[str, dict[str, Any]] = {vector["id"]: vector for vector in DOCUMENT["vectors"]}


@pytest.mark.parametrize("identity", list(BY_ID))
def test_a_vector_passes(identity: str) -> None:
    """Every published and derived value of the standard is reproduced, and what is invalid is refused."""
    assert run_vectors([BY_ID[identity]]) == {"vectors": 1, "passed": 1, "failed": []}


def _spoil(expected: object) -> object:
    if isinstance(expected, list):
        index = next(i for i, value in enumerate(expected) if value is not None)
        return [*expected[:index], _spoil(expected[index]), *expected[index + 1 :]]
    if isinstance(expected, bool):
        return not expected
    if isinstance(expected, int):
        return expected + 1
    assert isinstance(expected, str)
    return "0" + expected[1:] if expected[0] != "0" else "1" + expected[1:]


@pytest.mark.parametrize("identity", [i for i, vector in BY_ID.items() if vector["output"] is not None])
def test_a_vector_with_another_output_fails(identity: str) -> None:
    """The runner compares: one digit, one result or one truth value off, and the vector fails with both values shown."""
    vector = copy.deepcopy(BY_ID[identity])
    vector["output"] = _spoil(vector["output"])
    report = run_vectors([vector])
    assert report["passed"] == 0
    (failure,) = report["failed"]
    assert (failure["id"], failure["expected"]) == (identity, vector["output"])
    assert failure["got"] != vector["output"]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ({"id": "x", "algorithm": "AES", "inputs": {}, "output": "00"}, "unknown algorithm"),
        ({"id": "x", "algorithm": "AES", "inputs": {}, "output": None}, "unknown algorithm"),
        ({"id": "x", "algorithm": "TokenClass0-EA07-Rot13", "inputs": {}, "output": "0"}, "unknown part"),
        ({"id": "x", "algorithm": "AmountField", "inputs": {}, "output": None}, "KeyError"),
        ({"id": "x", "algorithm": "AmountField", "inputs": {"units": [1]}, "output": None}, "TypeError"),
        ({"id": "x", "algorithm": "AmountField", "output": "0001"}, "KeyError"),
        ({"id": "x", "inputs": {}, "output": "0001"}, "KeyError"),
        ("not a vector", "not an object"),
    ],
)
def test_a_vector_that_cannot_be_run_fails_with_its_reason(vector: object, reason: str) -> None:
    """A stranger's broken vector is a failure with a reason, even where a refusal was wanted, and never a crash."""
    report = run_vectors({"vectors": [vector, BY_ID["amount-1"]]})
    assert (report["vectors"], report["passed"]) == (2, 1)
    assert reason in report["failed"][0]["got"]


@pytest.mark.parametrize(
    ("output", "result", "passes"),
    [("error", None, True), ("invalid", None, True), ({"error": "too large"}, None, True), ("ffff", None, False)],
)
def test_a_refusal_is_wanted_in_several_spellings(output: object, result: str | None, passes: bool) -> None:
    """An amount beyond its field passes where the vector wants a refusal, and fails where it wants a value."""
    vector = {"id": "x", "algorithm": "AmountField", "inputs": {"units": 18201625}, "output": output, "result": result}
    assert run_vectors([vector])["passed"] == int(passes)


def test_a_value_where_a_refusal_is_wanted_fails() -> None:
    """A vector that must be refused fails when the package computes something."""
    report = run_vectors([{"id": "x", "algorithm": "AmountField", "inputs": {"units": 1}, "output": None}])
    assert report["failed"] == [{"id": "x", "expected": None, "got": "0001"}]


def test_the_name_and_the_inputs_must_agree() -> None:
    """A vector named for EA11 whose inputs say EA07 is not run under either."""
    vector = {**BY_ID["credit-ea07"], "algorithm": "TokenClass0-EA11-DKGA04"}
    assert "the name says ea 11" in run_vectors([vector])["failed"][0]["got"]


def test_the_command_prints_the_report_and_exits_zero() -> None:
    """`sts check` on the whole file prints its counts as JSON and exits 0."""
    outcome = CliRunner().invoke(sts, ["check", str(VECTOR_FILE)])
    count = len(DOCUMENT["vectors"])
    assert json.loads(outcome.output) == {"vectors": count, "passed": count, "failed": []}
    assert outcome.exit_code == 0


def test_the_command_exits_non_zero_when_one_vector_fails(tmp_path: Path) -> None:
    """`sts check` exits 1 and names the vector when a single one fails."""
    file = tmp_path / "spoiled.json"
    file.write_text(json.dumps({"vectors": [{**BY_ID["credit-ea07"], "output": "70630503470028726115"}]}))
    outcome = CliRunner().invoke(sts, ["check", str(file)])
    assert outcome.exit_code == 1
    assert json.loads(outcome.output)["failed"] == [
        {"id": "credit-ea07", "expected": "70630503470028726115", "got": "70630503470028726114"}
    ]


@pytest.mark.parametrize("content", ["{", "{}", "3"])
def test_the_command_refuses_what_is_no_vector_file(tmp_path: Path, content: str) -> None:
    """A file without a list of vectors ends in a message and a non-zero exit, not in a traceback."""
    file = tmp_path / "x.json"
    file.write_text(content)
    outcome = CliRunner().invoke(sts, ["check", str(file)])
    assert outcome.exit_code != 0
    assert "is not a vector file" in outcome.output
