"""The kinds of MAC registers: entered by people, kept in the sealed store, and what of a test register leaves the module."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import security_module as commands
from messages.dukpt import initial_key
from messages.security_module import MacScheme
from security_module.key_entry import MAC_FIELDS, describe, make_mac_register, values_as_read
from security_module.key_store import _from_document, _to_document
from security_module.registers import MacRegister, ModuleKeys
from security_module.terminal_keys import NotExportable, export_initial_key, export_test_key
from vending.secret import Secret

KEY = Secret(bytes(range(16)))
KSN, AES_KSN = bytes.fromhex("FFFF9876543210E00000"), bytes.fromhex("123456789012345600000000")


def _entered(kind: str, scheme: str = "1", register_id: str = "40") -> MacRegister:
    lines = {"register_id": register_id, "scheme": scheme, "is_diversified": kind}
    return make_mac_register(values_as_read(MAC_FIELDS, lines), KEY)


def _keys(registers: Mapping[int, MacRegister]) -> ModuleKeys:
    return ModuleKeys(module_id="m", vending={}, mac=registers, clients={})


@pytest.mark.parametrize(
    ("kind", "told", "of"),
    [
        ("0", "MAC X9.19 ", (False, False, False)),
        ("1", "MAC X9.19*", (True, False, False)),
        ("2", "ZMK X9.19 ", (False, True, False)),
        ("3", "BDK X9.19 ", (False, False, True)),
    ],
)
def test_a_kind_is_entered_told_and_kept(kind: str, told: str, of: tuple[bool, bool, bool]) -> None:
    """As people see it in the summary of a ceremony, and again after the store was sealed and opened."""
    register = _entered(kind)
    keys = _keys({40: register})
    assert any(told in line for line in describe(keys))
    (read,) = _from_document(_to_document(keys)).mac.values()
    assert (read.is_diversified, read.is_zone, read.is_dukpt) == of
    assert read.key.reveal() == register.key.reveal()


def test_a_register_from_before_dukpt_is_written_as_it_was() -> None:
    """So the first start of a newer program records no change of it in the audit."""
    (document,) = _to_document(_keys({40: _entered("0")}))["mac"]
    assert set(document) == {"register_id", "scheme", "is_diversified", "is_test", "is_zone", "key"}


def _test_register(register_id: int, scheme: str, **kind: bool) -> MacRegister:
    return MacRegister(register_id=register_id, scheme=scheme, is_diversified=False, is_test=True, key=KEY, **kind)


def test_initial_keys_of_test_registers_leave_and_base_keys_never_do() -> None:
    """Of the right length only, and not from a register of production or of another kind."""
    keys = _keys(
        {
            16: _test_register(16, MacScheme.X9_19, is_dukpt=True),
            17: _test_register(17, MacScheme.AES_CMAC, is_dukpt=True),
            14: _test_register(14, MacScheme.X9_19, is_zone=True),
            40: _entered("3"),
        }
    )
    assert export_initial_key(keys, 16, KSN).reveal() == initial_key(KEY, KSN).reveal()
    assert export_initial_key(keys, 17, AES_KSN).reveal() == initial_key(KEY, AES_KSN).reveal()
    for register_id, ksn in ((16, AES_KSN), (17, KSN), (14, KSN), (40, KSN), (99, KSN)):
        with pytest.raises(NotExportable):
            export_initial_key(keys, register_id, ksn)
    with pytest.raises(NotExportable):
        export_test_key(keys, 16)


def test_the_command_prints_each_kind_of_test_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An initial key by its serial number, a zone key without any name; what contradicts itself is wrong use."""
    keys = _keys(
        {
            16: _test_register(16, MacScheme.X9_19, is_dukpt=True),
            14: _test_register(14, MacScheme.X9_19, is_zone=True),
        }
    )
    monkeypatch.setattr(commands, "_open", lambda directory: keys)

    def run(*words: str) -> tuple[int, str]:
        given = ["terminal-key", "--directory", str(tmp_path), *words]
        outcome = CliRunner().invoke(commands.security_module, given)
        return outcome.exit_code, outcome.output.strip()

    assert run("--register", "16", "--ksn", KSN.hex()) == (0, initial_key(KEY, KSN).reveal().hex())
    assert run("--register", "14") == (0, KEY.reveal().hex())
    assert run("--register", "16")[0] == 1
    assert run("--register", "16", "--ksn", "xyz")[0] == 2
    assert run("--register", "16", "--ksn", KSN.hex(), "--terminal", "T0000001")[0] == 2
