"""The store under a key in a token of a real PKCS#11 library, SoftHSM2. Run by ``make softhsm``; ``make test`` does not collect this file."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest
from click.testing import CliRunner

from cli.security_module import security_module
from security_module.fingerprints import fingerprint
from security_module.key_store import read_store
from security_module.layout import Layout
from security_module.open_store import open_keys
from security_module.registers import ModuleKeys
from security_module.sealed_store import StoreError, read_header
from security_module.token_kek import KEY_LABEL, LIBRARY_VARIABLE, PIN_FILE_VARIABLE
from tests.security_module.conftest import ModuleProcess

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "271828"
LABEL = "eudora test"


@dataclass
class Token:
    """A new token, and its PIN in a file."""

    pin_file: Path

    def keys(self) -> int:
        """How many keys of ours are in it."""
        with pkcs11.lib(str(LIBRARY)).get_token(token_label=LABEL).open(user_pin=PIN) as session:
            return len(list(session.get_objects({pkcs11.Attribute.LABEL: KEY_LABEL})))

    def try_to_take_out(self) -> bytes:
        """Ask for the octets of the key."""
        with pkcs11.lib(str(LIBRARY)).get_token(token_label=LABEL).open(user_pin=PIN) as session:
            key = next(iter(session.get_objects({pkcs11.Attribute.LABEL: KEY_LABEL})))
            return bytes(key[pkcs11.Attribute.VALUE])


@pytest.fixture(scope="module", autouse=True)
def _tokens(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SoftHSM reads its configuration once in a process, so all tests share one place for tokens, and one token."""
    directory = tmp_path_factory.mktemp("softhsm")
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "31415926"],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    """The token as the environment of a module names it."""
    pin_file = tmp_path / "pin"
    pin_file.touch(mode=0o600)
    pin_file.write_text(PIN + "\n")
    monkeypatch.setenv(LIBRARY_VARIABLE, str(LIBRARY))
    monkeypatch.setenv(PIN_FILE_VARIABLE, str(pin_file))
    return Token(pin_file)


def rotate(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run the command that moves a store."""
    result = CliRunner().invoke(security_module, ["rotate-kek", "--directory", str(directory), *arguments])
    return result.exit_code, result.output


def test_a_store_moves_to_a_token_and_its_module_starts_without_people(
    directory: Path, keys: ModuleKeys, token: Token, start_module: Callable[[Path], ModuleProcess]
) -> None:
    """The passphrase is gone, the registers are the same, and the audit says what opened the store."""
    code, output = rotate(directory, "--token", LABEL)
    assert code == 0, output
    Layout(directory).passphrase.unlink()
    assert fingerprint(open_keys(directory, os.environ)) == fingerprint(keys)
    module = start_module(directory)
    assert module.end() == 0
    runner = CliRunner()
    exported = directory / "audit.jsonl"
    result = runner.invoke(
        security_module, ["audit", "export", "--directory", str(directory), "--output", str(exported)]
    )
    assert result.exit_code == 0, result.output
    starts = [each for each in map(json.loads, exported.read_text().splitlines()) if each.get("act") == "start"]
    assert [each["details"]["unsealed_by"] for each in starts] == ["pkcs11"]


def test_the_store_says_where_its_key_is_and_holds_nothing_that_opens_it(directory: Path, token: Token) -> None:
    """The header names token and key; the library is not in it, and the key does not leave the token."""
    rotate(directory, "--token", LABEL)
    header = read_header(read_store(Layout(directory).store))
    assert (header.source, header.origin["token"]) == ("pkcs11", LABEL)
    assert str(LIBRARY).encode() not in Layout(directory).store.read_bytes()
    with pytest.raises(pkcs11.PKCS11Error):
        token.try_to_take_out()


def test_moved_twice_the_old_copy_still_opens(directory: Path, token: Token) -> None:
    """Every move makes a new key in the token, so a backup from before stays of use until its key is destroyed there."""
    rotate(directory, "--token", LABEL)
    backup = shutil.copytree(directory, directory.with_name("backup"))
    before = token.keys()
    assert rotate(directory, "--token", LABEL)[0] == 0
    assert token.keys() == before + 1
    assert fingerprint(open_keys(backup, os.environ)) == fingerprint(open_keys(directory, os.environ))
    ids = {read_header(read_store(Layout(each).store)).origin["key_id"] for each in (backup, directory)}
    assert len(ids) == 2


def test_it_moves_back_to_a_passphrase(directory: Path, keys: ModuleKeys, token: Token) -> None:
    """For when the token is to be replaced by another maker's."""
    rotate(directory, "--token", LABEL)
    code, output = rotate(directory, "--unattended")
    assert code == 0, output
    assert fingerprint(open_keys(directory, {})) == fingerprint(keys)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("pin", "PinIncorrect"),
        ("label", "NoSuchToken"),
        ("key", "NoSuchKey"),
        ("wrapped", "refuses|key check value"),
        ("passphrase", "opens with a PKCS#11 token|say its library"),
    ],
)
def test_what_does_not_open_says_why(directory: Path, token: Token, fault: str, sentence: str) -> None:
    """A wrong PIN, another token, a key that is gone, a header that was changed, a start without the library."""
    rotate(directory, "--token", LABEL)
    store = Layout(directory).store
    header = read_header(store.read_bytes())
    environment = dict(os.environ)
    replacements = {
        "label": (LABEL.encode(), b"eudora tesT"),
        "key": (header.origin["key_id"].encode(), b"00" * 8),
        "wrapped": (header.origin["wrapped"].encode(), header.origin["iv"].encode() * 3),
    }
    if fault == "pin":
        token.pin_file.write_text("000000")
    elif fault == "passphrase":
        del environment[LIBRARY_VARIABLE]
    else:
        old, new = replacements[fault]
        assert len(old) == len(new)
        store.write_bytes(store.read_bytes().replace(old, new))
    with pytest.raises(StoreError, match=sentence) as error:
        open_keys(directory, environment)
    assert PIN not in str(error.value)


def test_a_token_that_refuses_leaves_the_store_as_it_was(directory: Path, token: Token) -> None:
    """Nothing is written before the new way has opened."""
    before = Layout(directory).store.read_bytes()
    token.pin_file.write_text("000000")
    code, output = rotate(directory, "--token", LABEL)
    assert code == 1
    assert "PinIncorrect" in output
    assert Layout(directory).store.read_bytes() == before
