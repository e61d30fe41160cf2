"""Opening the sealed store as the process and the owner's commands do: what opens it, and where the passphrase is."""

from collections.abc import Mapping
from pathlib import Path

from security_module.key_store import NeedsCustodians, read_passphrase, read_store, unseal, unseal_with_passphrase
from security_module.layout import Layout
from security_module.registers import ModuleKeys
from security_module.sealed_store import FROM_PASSPHRASE, FROM_SHARES, FROM_TOKEN, read_header, version_of
from security_module.token_kek import kek_from_token, token_access
from vending.secret import Secret

PASSPHRASE_FILE_VARIABLE = "EUDORA_SECURITY_MODULE_PASSPHRASE_FILE"  # noqa: S105
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "security-module-passphrase"


def passphrase_file(directory: Path, environment: Mapping[str, str]) -> Path:
    """Find the passphrase: the file the environment names, a systemd credential, or the one beside the store."""
    named = environment.get(PASSPHRASE_FILE_VARIABLE)
    if named:
        return Path(named)
    credentials = environment.get(CREDENTIALS_VARIABLE)
    if credentials and (Path(credentials) / CREDENTIAL_NAME).exists():
        return Path(credentials) / CREDENTIAL_NAME
    return Layout(directory).passphrase


def find_passphrase(directory: Path, environment: Mapping[str, str]) -> Secret[bytes]:
    """Read the passphrase from where `passphrase_file` finds it; `StoreError` as `read_passphrase`."""
    path = passphrase_file(directory, environment)
    credentials = environment.get(CREDENTIALS_VARIABLE)
    return read_passphrase(path, is_credential=credentials is not None and path.parent == Path(credentials))


def opened_by(sealed: bytes) -> str:
    """Return what opens a store, as its header says: `FROM_PASSPHRASE`, `FROM_SHARES` or `FROM_TOKEN`."""
    return FROM_PASSPHRASE if version_of(sealed) == 1 else read_header(sealed).source


def open_keys(directory: Path, environment: Mapping[str, str]) -> ModuleKeys:
    """Open the sealed store of *directory* without people.

    Raises:
        NeedsCustodians: it is sealed under shares.
        StoreError: missing, damaged, readable by others, or the passphrase is wrong, or the token refuses.
    """
    sealed = read_store(Layout(directory).store)
    source = opened_by(sealed)
    if source == FROM_SHARES:
        threshold = read_header(sealed).threshold
        raise NeedsCustodians(f"{directory}: sealed under {threshold} shares of its custodians (--unseal)")
    if source == FROM_TOKEN:
        return unseal(sealed, kek_from_token(token_access(environment), read_header(sealed)))
    return unseal_with_passphrase(sealed, find_passphrase(directory, environment))
