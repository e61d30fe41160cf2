"""Networks are certified and simulated against a running system, and a fourth one is brought up by its page as it is written."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from cli import context
from cli.system import RunningSystem
from tests.flows.command import eudora
from tests.flows.conftest import Books

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "new-network.md"
NETWORKS = ("datafonos", "recargas", "loteria")
RUN = (
    *("--rate", "25", "--seconds", "2", "--errors", "0.1", "--drop", "0.1", "--duplicates", "0.1", "--delay-ms", "20"),
    *("--terminals", "6"),
)
"""The first terminals of each network; the others belong to other tests on the same system, which count what theirs sold."""

DAY_CLOSED_SECONDS_MAX = 60.0


@pytest.fixture
def file(system: RunningSystem) -> Iterator[Path]:
    """The configuration file, which other tests find as it was."""
    path = system.home / "eudora.toml"
    before = path.read_text(encoding="utf-8")
    yield path
    path.write_text(before, encoding="utf-8")
    assert eudora("config", "apply").exit_code == 0


def _start(*words: str) -> subprocess.Popen[str]:
    """Run a command that needs a process of its own."""
    command = [sys.executable, "-m", "cli.main", *words]
    environment = {**os.environ, "EUDORA_DATABASE__DSN": context.database_dsn()}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _ended(process: subprocess.Popen[str]) -> str:
    """Wait for it; it must have ended well."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def test_three_networks_are_played_at_once_with_faults_and_nothing_is_wrong(
    system: RunningSystem, books: Books
) -> None:
    """Lost answers, duplicates, delays and wishes that must be refused: the repeats match, no PIN comes twice, the totals agree."""
    running = {name: _start("network", "run", name, "--json", "--seed", "7", *RUN) for name in NETWORKS}
    for name, process in running.items():
        result: dict[str, Any] = json.loads(_ended(process).splitlines()[-1])
        assert result["is_right"], (name, result["told"])
        assert result["pins"] > 5, name
        assert result["answers_lost_on_purpose"] > 0, name
        assert result["codes"]["totals"].keys() == {"00"}, name
    assert books.differences() == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_each_dialect_is_certified(system: RunningSystem, name: str) -> None:
    """Every case that can be run passes, and what was skipped says why."""
    ended = eudora("certify", name, "--json")
    report = json.loads(ended.output)
    failed = [(case["id"], case["faults"]) for case in report["cases"] if case["outcome"] == "failed"]
    assert (failed, ended.exit_code, report["is_certified"]) == ([], 0, True)
    assert report["passed"] > 40
    assert all(case["lacks"] for case in report["cases"] if case["outcome"] == "skipped")


def test_a_code_that_is_spelled_otherwise_than_agreed_fails_with_a_clear_line(
    system: RunningSystem, file: Path, tmp_path: Path
) -> None:
    """The switch says 15 where 14 was agreed: the case, both codes and the octets are in the report, and the exit code is 1."""
    agreed = tmp_path / "agreed.toml"
    agreed.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    planted = '[acquirers.recargas]\nresponse_codes = { meter_unknown = "15" }\n'
    text = file.read_text(encoding="utf-8").replace("[acquirers.recargas]\n", planted)
    assert planted in text
    file.write_text(text, encoding="utf-8")
    assert eudora("config", "apply").exit_code == 0
    page = tmp_path / "report.md"
    wanted = ("--config", str(agreed), "--case", "RE-01", "--case", "VE-01", "--report", str(page), "--language", "en")
    address = ":".join(map(str, system.network_address("recargas")))
    failed = eudora("certify", "recargas", *wanted, "--address", address)
    assert failed.exit_code == 1
    line = "element 39 is 15; it must be 14 (meter_unknown)"
    assert f"RE-01  FAILED     Unknown meter: {line}" in failed.output
    report = page.read_text(encoding="utf-8")
    assert "**NOT CERTIFIED** (2 cases: 1 PASSED, 1 FAILED, 0 skipped)" in report
    assert f"- {line}" in report
    assert re.search(r"^received  ([0-9A-F]{2} ){8}", report, re.MULTILINE)
    assert eudora("certify", "recargas", "--case", "RE-01").exit_code == 0, "with what was agreed it passes"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _commands() -> Iterator[str]:
    """The page's commands, one after the other."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def test_a_fourth_network_is_brought_up_by_the_page_as_it_is_written(
    system: RunningSystem, file: Path, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of docs/new-network.md does what the page says, in its order, on a running system."""
    assert file.exists()
    monkeypatch.setenv("EUDORA_HOME", str(system.home))
    port = str(_free_port())
    deposit, day, ran = "", "", []
    for line in _commands():
        command = line.replace("7215", port).replace("${EUDORA_HOME:-var}", str(system.home)).replace("$day", day)
        if command.startswith("day="):
            day = subprocess.run(
                ["date", "+%F"], env={"TZ": "America/Bogota"}, capture_output=True, text=True
            ).stdout.strip()
        elif command.startswith("sed "):
            subprocess.run(["bash", "-euc", command], cwd=ROOT, check=True)
        elif not command.startswith("sleep "):
            words = shlex.split(command)[1:]
            if words[:3] == ["network", "deposit", "confirm"]:
                words[3] = (
                    deposit  # The number that the command before it printed; other tests may have used up the first ones.
                )
            output = _run(words)
            found = re.match(r"\s*(\d+)\s+registrada", output)
            deposit = found[1] if found else deposit
            ran.append(" ".join(words[:2]))
    assert {"network add", "network terminal", "certify sorteos", "network run", "settle file", "network stop"} <= set(
        ran
    )
    assert "CERTIFICADA" in (system.home / "certificacion-sorteos.md").read_text(encoding="utf-8")
    assert books.differences() == []


def _run(words: list[str]) -> str:
    """Run one command of the page; it must end well. What plays a network needs a process of its own."""
    if words[:2] == ["network", "run"]:
        return _ended(_start(*words))
    if words[:2] == ["settle", "file"]:
        return _when_closed(words)
    ended = eudora(*words)
    assert ended.exit_code == 0, (words, ended.output)
    return ended.output


def _when_closed(words: list[str]) -> str:
    """The page sleeps a minute until the day is closed; here it is looked for."""
    deadline = time.monotonic() + DAY_CLOSED_SECONDS_MAX
    while True:
        ended = eudora(*words)
        if ended.exit_code == 0 or time.monotonic() > deadline:
            assert ended.exit_code == 0, ended.output
            return ended.output
        time.sleep(0.2)


@pytest.mark.parametrize("dialect", ["datafono", "recargas", "loteria"])
def test_a_network_whose_host_waits_for_us_is_certified_and_played(
    system: RunningSystem, file: Path, books: Books, tmp_path: Path, dialect: str
) -> None:
    """Role we_connect: the cases and the traffic are the network's host, which the switch calls, one of them with mutual TLS."""
    name, terminal = f"anfitrion{dialect[0]}", f"{dialect[0].upper()}9000001"
    table = (ROOT / "config/examples/network-we-connect.toml").read_text(encoding="utf-8")
    hosts = json.dumps([f"127.0.0.1:{_free_port()}"])
    table = re.sub(r"^hosts = .*", f"hosts = {hosts}", table, flags=re.MULTILINE)
    table = table.replace("mired", name).replace('"loteria"', f'"{dialect}"').replace("V0000001", terminal)
    if dialect == "datafono":
        # A partner with single DES.
        table = table.replace("AES-CMAC", "X9.9").replace("register_id = 11", "register_id = 19")
    options: tuple[str, ...] = ()
    if dialect == "recargas":
        tls, options = _mutual_tls(tmp_path)
        table += f"\n[acquirers.{name}.tls]\n{tls}"
    if dialect == "loteria":
        table = table.replace('role = "we_connect"', 'role = "we_connect"\nsettlement_directory = "."')
        table += f'\n[acquirers.{name}.notices]\nkinds = ["settlement"]\nbackoff_min_seconds = 0.2\nbackoff_max_seconds = 1\n'
    file.write_text(file.read_text(encoding="utf-8") + table, encoding="utf-8")
    ended = None
    for words in (
        ("network", "add", name, "--name", "Anfitrión", "--commission", "150", "--user", "ana"),
        ("network", "terminal", "add", name, f"{terminal}..{terminal[:-1]}4"),
        (
            "network",
            "deposit",
            "register",
            name,
            "--amount",
            "9.000.000",
            "--reference",
            f"A-{dialect}",
            "--evidence",
            "x",
            "--user",
            "ana",
        ),
    ):
        ended = eudora(*words)
        assert ended.exit_code == 0, ended.output
    number = re.match(r"\s*(\d+)\s+registrada", "" if ended is None else ended.output)
    assert number
    assert eudora("network", "deposit", "confirm", number[1], "--user", "luz").exit_code == 0
    assert eudora("config", "apply").exit_code == 0
    certified = eudora("certify", name, "--json", *options)
    report = json.loads(certified.output.splitlines()[-1])
    assert [(each["id"], each["faults"]) for each in report["cases"] if each["outcome"] == "failed"] == []
    assert report["passed"] > 40
    more: tuple[str, ...] = ()
    if dialect == "loteria":
        closed = json.loads(eudora("certify", name, "--case", "CC-02", "--cut-over", "--json").output.splitlines()[-1])
        assert closed["is_certified"]
        _wait_for(
            lambda: books.value("SELECT count(*) FROM network_notice WHERE acquirer_code = :name", name=name) == 1
        )
        more = ("--seconds", "5")
    played = json.loads(
        _ended(_start("network", "run", name, "--json", "--seed", "9", *options, *RUN, *more)).splitlines()[-1]
    )
    assert (played["is_right"], played["told"]) == (True, [])
    # The settled day is told to whoever is the network's host at the time.
    assert (played["notices"].keys() <= {"1520", "1521"}, bool(played["notices"])) == (True, dialect == "loteria")
    assert books.differences() == []


def _wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DAY_CLOSED_SECONDS_MAX
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _mutual_tls(directory: Path) -> tuple[str, tuple[str, ...]]:
    """Return a table ``tls`` of the switch, and the options of the network's side; each takes only the other's authority."""
    authority = trustme.CA()
    ours, theirs = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    ca, certificate, key, pem = (directory / each for each in ("ca.pem", "switch.crt", "switch.key", "network.pem"))
    authority.cert_pem.write_to_path(str(ca))
    ours.cert_chain_pems[0].write_to_path(str(certificate))
    ours.private_key_pem.write_to_path(str(key))
    theirs.private_key_and_cert_chain_pem.write_to_path(str(pem))
    key.chmod(0o600)
    table = f'certificate_file = "{certificate}"\nkey_file = "{key}"\nclient_ca_file = "{ca}"\n'
    return table, ("--tls-ca", str(ca), "--tls-pem", str(pem))
