"""The whole configuration and how it is read.

Sources, the later one wins: defaults, the TOML file, the secrets directory, the environment. A key ``port`` of the table
``[acquirers.datafono]`` is ``EUDORA_ACQUIRERS__DATAFONO__PORT`` in the environment and the file ``acquirers__datafono__port`` in the
secrets directory (the form of systemd credentials). Lists are written as JSON there.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config.acquirer import AcquirerSection
from config.database import DatabaseSection
from config.errors import Complaint, ConfigError
from config.home import CONFIG_FILE, eudora_home
from config.log import LogSection
from config.nearest import known_keys, suggestion
from config.sale import SaleSection
from config.security_module import SecurityModuleSection
from config.switch import SwitchSection
from config.utility import UtilitySection

ENVIRONMENT_PREFIX = "EUDORA_"
"""Only variables that start so are ours."""

SECRETS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""systemd names the directory of a service's credentials here; it is read where no other is given."""

CONFIG_VARIABLE = "EUDORA_CONFIG"
"""Path of the TOML file; without it ``eudora.toml`` of the state directory is read, if there is one."""

_LEVELS = "__"

SHOWN_CHARACTERS_MAX = 40
"""Of a wrong value that an error repeats."""


class Settings(BaseSettings):
    """Every section. Made by `load`; keyword arguments here are the *weakest* source, below secrets and environment."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=_LEVELS,
        hide_input_in_errors=True,
        validate_default=True,
    )

    database: DatabaseSection = Field(default_factory=DatabaseSection)
    security_module: SecurityModuleSection = Field(default_factory=SecurityModuleSection)
    acquirers: dict[str, AcquirerSection] = Field(default_factory=dict, max_length=64)
    switch: SwitchSection = Field(default_factory=SwitchSection)
    sale: SaleSection = Field(default_factory=SaleSection)
    utility: UtilitySection = Field(default_factory=UtilitySection)
    log: LogSection = Field(default_factory=LogSection)

    @field_validator("acquirers", mode="before")
    @classmethod
    def _name_acquirers(cls, value: Any, _: ValidationInfo) -> Any:
        """Give each network the name of its table, so that there is one place to write it."""
        if not isinstance(value, Mapping):
            return value
        return {
            name: {**section, "id": section.get("id", name)} if isinstance(section, Mapping) else section
            for name, section in value.items()
        }

    @field_validator("acquirers", mode="after")
    @classmethod
    def _acquirers_agree(cls, value: dict[str, AcquirerSection]) -> dict[str, AcquirerSection]:
        _check_acquirers(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first; what `load` read from the file comes in as keyword arguments."""
        del settings_cls, dotenv_settings
        secrets = NestedSecretsSettingsSource(
            file_secret_settings, secrets_prefix="", secrets_nested_delimiter=_LEVELS, secrets_dir_missing="error"
        )
        return env_settings, secrets, init_settings


_ALL = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
"""Every address of the machine."""


def _check_acquirers(acquirers: Mapping[str, AcquirerSection]) -> None:
    taken: list[tuple[str, int, str]] = []
    for name, section in acquirers.items():
        if section.id != name:
            raise ValueError(f"the table {name!r} carries the id {section.id!r}; leave the id out")
        for host, port, other in taken:
            if (
                port
                and port == section.listen_port
                and (host == section.listen_host or {host, section.listen_host} & _ALL)
            ):
                raise ValueError(f"{name!r} and {other!r} listen on the same port {port}")
        taken.append((section.listen_host, section.listen_port, name))


def load(path: Path | None = None, *, secrets_directory: Path | None = None) -> Settings:
    """Read the configuration.

    Args:
        path: the TOML file. None: ``$EUDORA_CONFIG``, else ``eudora.toml`` in the state directory, else no file.
        secrets_directory: one file per secret, named like ``database__dsn``. None: ``$CREDENTIALS_DIRECTORY``, else none.

    Raises:
        ConfigError: with the path of every wrong key.
    """
    chosen = chosen_path(path)
    source = str(chosen) if chosen else "defaults and environment"
    table = _read_table(chosen) if chosen else {}
    secrets = secrets_directory or _directory_from_environment()
    if secrets is not None and not secrets.is_dir():
        raise ConfigError(str(secrets), [Complaint(key="", text="the secrets directory does not exist")])
    stray = _stray_variables(os.environ)
    if stray:
        raise ConfigError("environment", [Complaint(key=name, text="no such section") for name in stray])
    try:
        return Settings(**{"_secrets_dir": secrets, **table})
    except ValidationError as error:
        raise ConfigError(source, _complaints(error)) from None
    except SettingsError as error:
        # The cause quotes the text that is not JSON, which may be a secret; the message names only the key.
        raise ConfigError(source, [Complaint(key="", text=str(error))]) from None


def chosen_path(path: Path | None = None) -> Path | None:
    """Return the file that `load` reads when it is given *path*; None: there is none."""
    if path is not None:
        return path
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    usual = eudora_home() / CONFIG_FILE
    return usual if usual.is_file() else None


def _directory_from_environment() -> Path | None:
    named = os.environ.get(SECRETS_VARIABLE)
    return Path(named) if named else None


def _read_table(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(str(path), [Complaint(key="", text=error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [Complaint(key="", text=f"is not TOML: {error}")]) from None
    unknown = sorted(set(table) - set(Settings.model_fields))
    if unknown:
        # Said here because keyword arguments that start with an underscore mean something else to the library.
        raise ConfigError(str(path), [Complaint(key=name, text=_no_section(name)) for name in unknown])
    return table


def _no_section(name: str) -> str:
    return suggestion(name, Settings.model_fields).replace("no such key", "no such section")


def _stray_variables(environment: Iterable[str]) -> list[str]:
    """Return variables that look like ours and name no section; the library would silently pass them over."""
    sections = {name.upper() for name in Settings.model_fields}
    return sorted(
        name
        for name in environment
        if name.startswith(ENVIRONMENT_PREFIX)
        and _LEVELS in name
        and name.removeprefix(ENVIRONMENT_PREFIX).split(_LEVELS)[0].upper() not in sections
    )


def _complaints(error: ValidationError) -> list[Complaint]:
    found = []
    for detail in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in detail["loc"] if not _is_machinery(part))
        found.append(Complaint(key=key, text=_words(detail)))
    return found


def _words(detail: ErrorDetails) -> str:
    """Say what is wrong, and what is there where that cannot be a secret: a number, or a word of a choice."""
    path = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return suggestion(path[-1], known_keys(Settings, path[:-1]))
    text = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    is_harmless = isinstance(given, int | float) or (detail["type"] == "literal_error" and isinstance(given, str))
    return f"{text}; {given!r} is there" if is_harmless and len(repr(given)) <= SHOWN_CHARACTERS_MAX else text


def _is_machinery(part: int | str) -> bool:
    """Whether a step of an error's path is the library's own (``function-plain[...]``) and not a key."""
    return isinstance(part, str) and "[" in part and part.endswith("]")
