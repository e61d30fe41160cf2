"""``eudora security-module audit``, ``proof`` and ``clock``: files and sentences; and its benchmark."""

import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import module_proof
from cli.bench_module import bench_module_command
from cli.security_module import security_module
from messages.security_module import EngineeringReply, MintReply
from security_module.key_store import to_public_document
from security_module.layout import Layout
from security_module.main import open_mint_log
from security_module.registers import ModuleKeys
from tests.security_module.conftest import ModuleProcess
from tests.security_module.test_security_module_process import Start, a_mint
from vending.calendar import local_date
from vending.engineering import EngineeringKind, EngineeringRequest


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(security_module, [str(each) for each in arguments])
    return result.exit_code, result.output


def run_once(directory: Path, keys: ModuleKeys) -> None:
    """What a start and a stop leave."""
    with closing(open_mint_log(Layout(directory), keys)) as log:
        log.start(to_public_document(keys))
        log.stop()


def test_export_verify_and_move_away(directory: Path, keys: ModuleKeys, tmp_path: Path) -> None:
    """Two files that follow one another, the first of them moved away; wrong orders and files end with a sentence."""
    key, first, second = tmp_path / "key.pem", tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    assert "never started" in call("audit", "public-key", "--directory", directory)[1]
    run_once(directory, keys)
    key.write_text(call("audit", "public-key", "--directory", directory)[1])
    assert call("audit", "export", "--directory", directory, "--output", first)[0] == 0
    assert "exists already" in call("audit", "export", "--directory", directory, "--output", first)[1]
    assert "records are only in" in call("audit", "move-away", first, "--directory", directory, "--public-key", key)[1]
    run_once(directory, keys)
    assert call("audit", "export", "--directory", directory, "--output", second)[0] == 0
    code, output = call("audit", "verify", first, second, "--public-key", key)
    assert code == 0
    assert [each["after"] for each in json.loads(output)] == [0, json.loads(output)[0]["last"]]
    assert "does not follow" in call("audit", "verify", second, first, "--public-key", key)[1]
    today = local_date(datetime.now(UTC))  # noqa: TID251 - the log is on the real clock
    assert call("audit", "verify", first, "--public-key", key, "--until", today - timedelta(days=1))[0] == 0
    assert "may be missing" in call("audit", "verify", first, "--public-key", key, "--until", today)[1]
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(first.read_bytes()[:-1])
    assert "cut off" in call("audit", "verify", cut, "--public-key", key)[1]
    assert "no record of these days" in call("audit", "export", "--directory", directory, "--from", "2030-01-01")[1]


def test_the_proof_of_a_day_and_the_clock(
    directory: Path, start_module: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a running module minted today, by register and id; and an operator's word on its clock."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    (home / "security-module").symlink_to(directory)
    monkeypatch.setattr(module_proof, "eudora_home", lambda: home)
    today = local_date(datetime.now(UTC))  # noqa: TID251
    assert "does not run" in call("proof", "--day", today)[1]
    module: ModuleProcess = start_module(directory)
    run: dict[str, Any] = {"host": "127.0.0.1", "port": module.port, "pid": module.child.pid}
    (home / "run" / "security-module.json").write_text(json.dumps(run))
    with ExitStack() as stack:
        link = module.connect(stack, Layout(directory).client("switch"))
        assert all(isinstance(link.ask(a_mint(each)), MintReply) for each in (5, 6))
        mint = a_mint(9)
        tamper = EngineeringRequest(
            request_id=9,
            register_id=1,
            pan=mint.pan,
            tariff_index=1,
            encryption_algorithm=11,
            kind=EngineeringKind.CLEAR_TAMPER,
            value=0,
            tid=mint.tokens[0][0],
        )
        engineer = module.connect(stack, Layout(directory).client("engineer"))
        assert isinstance(engineer.ask(tamper), EngineeringReply)
    code, output = call("proof", "--day", today, "--ids")
    assert code == 0
    assert json.loads(output) == {
        "day": today.isoformat(),
        "registers": [{"register": 1, "requests": 2, "tokens": 2, "units_tenths": 876, "charged_centavos": 0}],
        "engineers_tokens": [{"id": 9, "register": 1, "class": 2, "subclass": 5, "value": 0, "approvals": 0}],
        "key_changes": 0,
        "ids": [{"id": 5, "register": 1}, {"id": 6, "register": 1}],
        "key_change_ids": [],
    }
    assert "accepted" in call("clock", "accept")[1]


def test_the_benchmark_measures_a_module(tmp_path: Path) -> None:
    """Every figure is there and none is zero."""
    arguments = ["--seconds", "0.1", "--repeats", "1", "--json", "--directory", str(tmp_path)]
    result = CliRunner().invoke(bench_module_command, arguments)
    report = json.loads(result.output)
    assert len(report) == 30
    assert all(report[f"{name}_in_batches_per_second"] > 0 for name in ("tokens_ea11", "tokens_ea07", "macs_x9_19"))
