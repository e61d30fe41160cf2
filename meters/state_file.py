"""The file a virtual meter lives in: JSON, readable by its owner only, replaced whole and on disk before anybody is answered."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.state_files import OWNER_ONLY, replace_durably
from sts.codes import EncryptionAlgorithm, KeyType
from sts.key_change import KeySection
from sts.meter import MeterKey, MeterRules, MeterState

FORMAT_VERSION = 1
"""A file of another version is refused rather than guessed at."""

_OWNER_ONLY_DIRECTORY = 0o700


class MeterFileError(Exception):
    """The file of a virtual meter is missing, is there already, or does not hold a meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRecord:
    """Everything in the file: who the meter is, which tables it has, and what it remembers."""

    meter_number: str
    pan: str
    tables: str
    state: MeterState


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the meter for one reading and writing: a meter takes one token at a time, whoever types it."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_record(path: Path, record: MeterRecord) -> None:
    """Replace the file at *path* in one step; when this returns, the new content survives a power cut."""
    data = json.dumps(_to_json(record), ensure_ascii=False, indent=1).encode()
    path.parent.mkdir(mode=_OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)
    replace_durably(path, data)


def read_record(path: Path) -> MeterRecord:
    """Read the file at *path*.

    Raises:
        MeterFileError: there is no meter in it. The message holds no content of the file.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise MeterFileError(f"there is no virtual meter at {path}") from None
    except ValueError:
        raise MeterFileError(f"{path} is not the file of a virtual meter") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT_VERSION:
        raise MeterFileError(f"{path} is not the file of a virtual meter of format {FORMAT_VERSION}")
    try:
        return _from_json(document)
    except (KeyError, TypeError, ValueError):
        # Without its cause: that could show a key.
        raise MeterFileError(f"{path} does not hold a whole virtual meter") from None


def _to_json(record: MeterRecord) -> dict[str, Any]:
    state = asdict(record.state)
    state["rules"]["credit_registers"] = sorted(record.state.rules.credit_registers)
    state["key"]["decoder_key"] = record.state.key.decoder_key.hex()
    return {
        "format": FORMAT_VERSION,
        "meter_number": record.meter_number,
        "pan": record.pan,
        "tables": record.tables,
        "state": state,
    }


def _from_json(document: dict[str, Any]) -> MeterRecord:
    state = dict(document["state"])
    rules = dict(state.pop("rules"))
    rules["encryption_algorithm"] = EncryptionAlgorithm(rules["encryption_algorithm"])
    rules["credit_registers"] = frozenset(rules["credit_registers"])
    key = dict(state.pop("key"))
    key["decoder_key"] = bytes.fromhex(key["decoder_key"])
    key["key_type"] = KeyType(key["key_type"])
    sections = tuple(_section_from_json(section) for section in state.pop("sections"))
    return MeterRecord(
        meter_number=document["meter_number"],
        pan=document["pan"],
        tables=document["tables"],
        state=MeterState(
            rules=MeterRules(**rules),
            key=MeterKey(**key),
            sections=sections,
            tid_store=tuple(state.pop("tid_store")),
            registers=tuple(state.pop("registers")),
            **state,
        ),
    )


def _section_from_json(section: dict[str, Any]) -> KeySection:
    fields = dict(section)
    if fields["key_type"] is not None:
        fields["key_type"] = KeyType(fields["key_type"])
    return KeySection(**fields)
