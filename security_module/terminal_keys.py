"""The MAC keys of test terminals, taken out of the module to be put into a virtual terminal. Production keys never leave."""

import json
from collections.abc import Iterable
from pathlib import Path

from messages.dukpt import KSN_OCTETS, initial_key
from messages.security_module import DIVERSIFIER_OCTETS_MAX
from security_module.key_store import write_private
from security_module.macs import derive_terminal_key
from security_module.registers import ModuleKeys
from vending.secret import Secret


class NotExportable(Exception):
    """There is no such MAC register, it is not for tests, or it has no keys of single terminals."""


def export_terminal_key(keys: ModuleKeys, register_id: int, terminal_id: str) -> Secret[bytes]:
    """Derive the 16-octet MAC key of *terminal_id* under a test register.

    Raises:
        NotExportable: see there.
    """
    register = keys.mac.get(register_id)
    if register is None:
        raise NotExportable(f"there is no MAC register {register_id}")
    if not register.is_test:
        raise NotExportable(f"register {register_id} is not for tests: its keys do not leave the module")
    if not register.is_diversified:
        raise NotExportable(f"register {register_id} has one key for everybody, not one per terminal")
    if not 1 <= len(terminal_id) <= DIVERSIFIER_OCTETS_MAX or not (terminal_id.isascii() and terminal_id.isprintable()):
        raise NotExportable("a terminal id has 1 to 16 printable ASCII characters")
    return derive_terminal_key(register, terminal_id)


def export_test_key(keys: ModuleKeys, register_id: int) -> Secret[bytes]:
    """Return the 16-octet key of a test register that is not of single terminals: one key for a network, or a zone key.

    Raises:
        NotExportable: see there.
    """
    register = keys.mac.get(register_id)
    if register is None:
        raise NotExportable(f"there is no MAC register {register_id}")
    if not register.is_test:
        raise NotExportable(f"register {register_id} is not for tests: its key does not leave the module")
    if register.is_diversified or register.is_dukpt:
        raise NotExportable(f"register {register_id} has a key for each terminal; its own stays inside")
    return register.key


def export_initial_key(keys: ModuleKeys, register_id: int, ksn: bytes) -> Secret[bytes]:
    """Return the initial key (16 octets) of the DUKPT device with *ksn* (10 octets for TDES, 12 for AES) under a test register.

    Raises:
        NotExportable: see there.
    """
    register = keys.mac.get(register_id)
    if register is None or not register.is_dukpt:
        raise NotExportable(f"there is no register {register_id} with a base derivation key")
    if not register.is_test:
        raise NotExportable(f"register {register_id} is not for tests: its keys do not leave the module")
    if len(ksn) != KSN_OCTETS[register.scheme]:
        raise NotExportable(f"a key serial number of register {register_id} has {KSN_OCTETS[register.scheme]} octets")
    return initial_key(register.key, ksn)


def write_terminal_keys(path: Path, keys: ModuleKeys, register_id: int, terminal_ids: Iterable[str]) -> None:
    """Write a key file of mode 0600 for virtual terminals: ``{"scheme": ..., "keys": {terminal id: hexadecimal}}``.

    Raises:
        NotExportable: as `export_terminal_key`.
        FileExistsError: there is one already.
    """
    exported = {each: export_terminal_key(keys, register_id, each).reveal().hex() for each in terminal_ids}
    document = {"scheme": keys.mac[register_id].scheme if exported else "", "keys": exported}
    write_private(path, json.dumps(document, indent=1).encode("ascii"))
