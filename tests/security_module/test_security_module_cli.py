"""``eudora security-module``: what it prints, and what it never prints."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.security_module import security_module
from messages.security_module import MacScheme
from security_module.layout import Layout
from security_module.macs import derive_terminal_key
from security_module.registers import ModuleKeys
from security_module.terminal_keys import NotExportable, write_terminal_keys


def call(directory: Path, *arguments: str) -> tuple[int, str]:
    command, *rest = arguments
    result = CliRunner().invoke(security_module, [command, "--directory", str(directory), *rest])
    return result.exit_code, result.output


def test_show_names_every_register_by_its_check_value(directory: Path, keys: ModuleKeys) -> None:
    """Registers, check values and counters are there; keys are not."""
    code, output = call(directory, "show")
    shown = json.loads(output)
    assert code == 0
    assert {each["register"]: each["kcv"] for each in shown["vending"] + shown["mac"]} == {
        value.register_id: value.kcv for value in keys.check_values()
    }
    assert [each["tokens"] for each in shown["vending"]] == [0, 0, 0, 0, 0]
    secrets = [each.key for each in keys.vending.values()] + [each.key for each in keys.mac.values()]
    assert not any(each.reveal().hex() in output for each in secrets)


def test_terminal_key_is_exported_for_test_registers(directory: Path, keys: ModuleKeys) -> None:
    """The key that a terminal gets is the one the module derives; a vending register gives none."""
    code, output = call(directory, "terminal-key", "--register", "10", "--terminal", "T0000001")
    assert (code, output.strip()) == (0, derive_terminal_key(keys.mac[10], "T0000001").reveal().hex())
    code, output = call(directory, "terminal-key", "--register", "1", "--terminal", "T0000001")
    assert code == 1
    assert "no MAC register 1" in output


def test_a_terminal_key_file(keys: ModuleKeys, tmp_path: Path) -> None:
    """One private file with the keys of many terminals; bad ids are refused before anything is written."""
    path = tmp_path / "keys.json"
    with pytest.raises(NotExportable):
        write_terminal_keys(path, keys, 10, ["T0000001", ""])
    write_terminal_keys(path, keys, 10, ["T0000001", "T0000002"])
    written = json.loads(path.read_text())
    assert written["scheme"] == MacScheme.X9_19
    assert written["keys"]["T0000002"] == derive_terminal_key(keys.mac[10], "T0000002").reveal().hex()
    assert path.stat().st_mode & 0o077 == 0


def test_init_refuses_a_second_time(tmp_path: Path) -> None:
    """The first call makes the module, the next one leaves it alone and says so."""
    assert call(tmp_path / "module", "init", "--seed-test-keys")[0] == 0
    before = Layout(tmp_path / "module").store.read_bytes()
    code, output = call(tmp_path / "module", "init")
    assert code == 1
    assert "nothing was changed" in output
    assert Layout(tmp_path / "module").store.read_bytes() == before


def test_errors_are_sentences(directory: Path, tmp_path: Path) -> None:
    """A wrong address, a missing store and a wrong passphrase end with a message, not with a traceback."""
    assert "HOST:PORT" in call(directory, "run", "--listen", "nowhere")[1]
    assert "No such file" in call(tmp_path / "empty", "show")[1]
    shutil.copy(directory / "passphrase", directory / "old")
    (directory / "passphrase").write_text("quite another passphrase\n")
    code, output = call(directory, "show")
    assert code == 1
    assert "passphrase is wrong" in output
