"""Files of a state directory are written whole or not at all."""

import json
import os
import stat
from pathlib import Path

import pytest

from config.state_files import replace_durably, write_run_file


def test_a_file_is_replaced_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """The new content stands alone, with mode 0600 and nothing left beside it."""
    path = tmp_path / "state.json"
    replace_durably(path, b"old")
    replace_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk says no before the name changes, what was there is there."""
    path = tmp_path / "state.json"
    replace_durably(path, b"old")

    def refuse(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"):
        replace_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_run_file_names_the_process(tmp_path: Path) -> None:
    """Whoever reads it finds the process and its addresses."""
    path = tmp_path / "run" / "switch.json"
    write_run_file(path, {"metrics": "127.0.0.1:1"})
    assert json.loads(path.read_text()) == {"pid": os.getpid(), "metrics": "127.0.0.1:1"}
