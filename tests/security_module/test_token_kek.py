"""A store under a key in a PKCS#11 token, as far as no token is needed; the rest is ``make softhsm``, with a real one."""

import os
from pathlib import Path

import pytest

from security_module.key_store import seal, unseal_with_passphrase
from security_module.layout import Layout
from security_module.open_store import open_keys
from security_module.registers import ModuleKeys
from security_module.sealed_store import Header, Kek, StoreError, read_header
from security_module.token_kek import CREDENTIAL_NAME, LIBRARY_VARIABLE, PIN_FILE_VARIABLE, kek_from_token, token_access
from vending.secret import Secret

ORIGIN = {"source": "pkcs11", "token": "eudora", "key_id": "01" * 8, "iv": "02" * 16, "wrapped": "03" * 48}
KEK = Kek(key=Secret(bytes(32)), origin=ORIGIN)


def pin_in(directory: Path, mode: int = 0o600) -> Path:
    """A PIN's file."""
    path = directory / CREDENTIAL_NAME
    path.write_text("271828\n")
    path.chmod(mode)
    return path


def test_library_and_pin_come_from_the_environment(tmp_path: Path) -> None:
    """By a file that the environment names, or a systemd credential; a line break is not part of the PIN."""
    path = pin_in(tmp_path)
    for where in ({PIN_FILE_VARIABLE: str(path)}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        access = token_access({LIBRARY_VARIABLE: "/usr/lib/x.so", **where})
        assert (access.library, access.pin.reveal()) == (Path("/usr/lib/x.so"), "271828")
        assert "271828" not in repr(access)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """No library, no PIN, and a PIN that others may read."""
    with pytest.raises(StoreError, match=LIBRARY_VARIABLE):
        token_access({PIN_FILE_VARIABLE: "x"})
    with pytest.raises(StoreError, match=PIN_FILE_VARIABLE):
        token_access({LIBRARY_VARIABLE: "x"})
    open_to_all = pin_in(tmp_path, 0o644)
    with pytest.raises(StoreError, match="others"):
        token_access({LIBRARY_VARIABLE: "x", PIN_FILE_VARIABLE: str(open_to_all)})


def test_a_library_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """Not a traceback, and no PIN in it."""
    access = token_access({LIBRARY_VARIABLE: "/nowhere.so", PIN_FILE_VARIABLE: str(pin_in(tmp_path))})
    with pytest.raises(StoreError, match="refuses: PKCS11Error") as error:
        kek_from_token(access, Header(origin=ORIGIN, kcv=KEK.kcv))
    assert "271828" not in str(error.value)


def test_no_passphrase_opens_it(keys: ModuleKeys, directory: Path) -> None:
    """And a start without a library says what is missing; the library is not taken from the store."""
    sealed = seal(keys, KEK, os.urandom)
    with pytest.raises(StoreError, match="PKCS#11"):
        unseal_with_passphrase(sealed, Secret(b"any passphrase"))
    Layout(directory).store.write_bytes(sealed)
    with pytest.raises(StoreError, match=LIBRARY_VARIABLE):
        open_keys(directory, {})


@pytest.mark.parametrize("part", ["token", "key_id", "iv", "wrapped"])
def test_a_header_with_a_part_missing_is_damaged(keys: ModuleKeys, part: str) -> None:
    """Found before any token is asked."""
    origin = {key: value for key, value in ORIGIN.items() if key != part}
    sealed = seal(keys, Kek(key=KEK.key, origin=origin), os.urandom)
    with pytest.raises(StoreError, match="header"):
        read_header(sealed)
