"""Keying a terminal of `eudora pos` whose network has a key for each message."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import context
from config.acquirer import AcquirerSection
from pos.store import TerminalIdentity, TerminalStore
from vending.secret import Secret

KSN = bytes.fromhex("FFFF9876543210E00000")
INITIAL_KEY = bytes.fromhex("6AC292FAA1315B4D858AB3A3D7D5933A")


def test_a_terminal_that_was_used_before_its_network_had_dukpt_is_keyed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in its memory is the one of before; signed from that, every message would have a wrong MAC."""
    section = AcquirerSection.model_validate(
        {
            "id": "recargas",
            "listen_port": 0,
            "mac": {
                "register_id": 16,
                "is_diversified_by_terminal": False,
                "dukpt_devices": {"R0000009": KSN.hex()},
            },
        }
    )
    asked: list[tuple[int, bytes]] = []

    def export(_keys: object, register_id: int, ksn: bytes) -> Secret[bytes]:
        asked.append((register_id, ksn))
        return Secret(INITIAL_KEY)

    monkeypatch.setattr(context, "settings", lambda: SimpleNamespace(acquirers={"recargas": section}))
    monkeypatch.setattr(context, "home", lambda: tmp_path)
    monkeypatch.setattr(context, "module_keys", object)
    monkeypatch.setattr(context, "export_initial_key", export)
    before = TerminalIdentity(
        terminal_id="R0000009",
        merchant_id="TIENDA000000001",
        nii="001",
        mac_scheme=section.mac.scheme,
        mac_key=Secret(bytes(16)),
    )
    TerminalStore.create(tmp_path / "pos", before)
    device = context.device("R0000009", "recargas")
    assert device is not None
    assert (asked, device.ksn) == ([(16, KSN)], KSN)
    text = (tmp_path / "pos" / "R0000009.dukpt.json").read_text(encoding="utf-8")
    assert INITIAL_KEY.hex() in text.lower()
    again = context.device("R0000009", "recargas")
    assert again is not None
    assert len(asked) == 1, "what counts already is not keyed again"
