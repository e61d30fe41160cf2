"""How the files of a state directory are written: whole or not at all."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

Result = TypeVar("Result")

OWNER_ONLY = 0o600
"""State files hold keys and PINs."""


def replace_durably(path: Path, content: bytes) -> None:
    """Write *path* anew, mode 0600: the old content or the new one is there after a power cut, never half of one.

    When this returns the new content is on the disk. The directory must exist.
    """
    fill_durably(path, lambda file: file.write(content))


def fill_durably(path: Path, fill: Callable[[BinaryIO], Result], mode: int = OWNER_ONLY) -> Result:
    """Write *path* anew as `replace_durably` does, with what *fill* writes; return what *fill* returns.

    When *fill* raises, the old content stays.
    """
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            result = fill(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The new name must be on the disk as well, or the old file may come back.
        os.fsync(directory)
    finally:
        os.close(directory)
    return result


def write_run_file(path: Path, addresses: Mapping[str, Any]) -> None:
    """Say as JSON who this process is (``pid``) and where it listens; whoever waits for the file sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps({"pid": os.getpid(), **addresses}, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
