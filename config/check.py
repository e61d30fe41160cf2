"""Looks at a whole configuration before anything is started with it: what is wrong, and what is only unwise."""

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from config.errors import Complaint
from config.settings import Settings, chosen_path, load

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Everybody but the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found.

    Attributes:
        source: the file, or "defaults and environment".
        settings: as a process would run with them.
        complaints: what keeps a process from running.
        warnings: what works and should be otherwise.
    """

    source: str
    settings: Settings
    complaints: tuple[Complaint, ...]
    warnings: tuple[Complaint, ...]


def examine(path: Path | None = None, *, secrets_directory: Path | None = None) -> Examined:
    """Read the configuration and look at the files that it names.

    Raises:
        ConfigError: it cannot be read at all.
    """
    settings = load(path, secrets_directory=secrets_directory)
    chosen = chosen_path(path)
    complaints = [*_module_files(settings), *_network_files(settings)]
    warnings = [*_shared_registers(settings), *_secrets_in_file(chosen)]
    return Examined(
        source=str(chosen) if chosen else "defaults and environment",
        settings=settings,
        complaints=tuple(complaints),
        warnings=tuple(warnings),
    )


def _module_files(settings: Settings) -> list[Complaint]:
    section = settings.security_module
    return [
        *_file("security_module.ca_file", section.ca_file, is_secret=False),
        *_file("security_module.client_pem", section.client_pem, is_secret=True),
    ]


def _network_files(settings: Settings) -> list[Complaint]:
    found = []
    for name, section in settings.acquirers.items():
        directory = section.settlement_directory
        if directory is not None and not (directory.is_dir() and os.access(directory, os.W_OK)):
            text = f"{directory} is no directory that this account may write to"
            found.append(Complaint(key=f"acquirers.{name}.settlement_directory", text=text))
        tls = section.tls
        if tls is None:
            continue
        found += _file(f"acquirers.{name}.tls.certificate_file", tls.certificate_file, is_secret=False)
        found += _file(f"acquirers.{name}.tls.key_file", tls.key_file, is_secret=True)
        if tls.client_ca_file is not None:
            found += _file(f"acquirers.{name}.tls.client_ca_file", tls.client_ca_file, is_secret=False)
    return found


def _file(key: str, path: Path, *, is_secret: bool) -> list[Complaint]:
    """Complain of a file that is not there, cannot be read, or holds a key that others may read."""
    if not path.is_file():
        return [Complaint(key=key, text=f"{path} does not exist")]
    if not os.access(path, os.R_OK):
        return [Complaint(key=key, text=f"{path} cannot be read by this account")]
    mode = stat.S_IMODE(path.stat().st_mode)
    if is_secret and mode & OTHERS:
        return [Complaint(key=key, text=f"{path} holds a private key and has mode {mode:04o}; chmod 600 it")]
    return []


def _shared_registers(settings: Settings) -> list[Complaint]:
    holders: dict[int, str] = {}
    found = []
    for name, section in settings.acquirers.items():
        number = section.mac.register_id
        other = holders.setdefault(number, name)
        if other != name:
            text = f"register {number} is that of {other} too: whoever holds the keys of one can sign for the other"
            found.append(Complaint(key=f"acquirers.{name}.mac.register_id", text=text))
    return found


def _secrets_in_file(path: Path | None) -> list[Complaint]:
    if path is None:
        return []
    dsn = tomllib.loads(path.read_text(encoding="utf-8")).get("database", {}).get("dsn", "")
    user = dsn.partition("://")[2].rpartition("@")[0]
    if ":" not in user and "password=" not in dsn:
        return []
    return [
        Complaint(key="database.dsn", text="holds a password in the file; give it as the secret database__dsn instead")
    ]
