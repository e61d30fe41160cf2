"""The terminal's memory: durable, atomic, private, and never two open sales."""

import json
import multiprocessing
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pos.store import (
    STAN_MAX,
    ExchangeKind,
    ExchangeOpen,
    ExchangeStatus,
    StoredExchange,
    StoreError,
    TerminalIdentity,
    TerminalStore,
)
from tests.pos.fake_switch import IDENTITY, KEY

SALE = StoredExchange(
    kind=ExchangeKind.SALE, transmitted_at=datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC), request=b"\x02\x00request"
)
REVERSAL = replace(SALE, kind=ExchangeKind.REVERSAL, request=b"\x04\x00request")


def reopened(store: TerminalStore) -> TerminalStore:
    return TerminalStore.open(store.path.parent, store.identity.terminal_id)


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """What was written is read back the same, key and answer included."""
    store = TerminalStore.create(tmp_path / "pos", IDENTITY)
    assert store.take_stan() == "000001"
    store.store_sale(SALE)
    store.settle_sale(ExchangeStatus.FINAL, b"answer")
    assert store.count_copy() == 1
    again = reopened(store)
    assert again.identity == IDENTITY
    assert again.identity.mac_key.reveal() == KEY
    assert again.sale == replace(SALE, status=ExchangeStatus.FINAL, answer=b"answer", copies=1)
    assert again.take_stan() == "000002"
    assert again.count_copy() == 2


def test_the_file_is_private_and_shows_no_key_in_a_repr(tmp_path: Path) -> None:
    """Only the owner reads it, and neither identity nor exchange prints a secret."""
    store = TerminalStore.create(tmp_path / "pos", IDENTITY)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    assert KEY.hex() not in repr(store.identity).lower()
    assert "12345678901234567890" not in repr(replace(SALE, answer=b"12345678901234567890"))


def test_no_sale_while_the_last_one_is_open(tmp_path: Path) -> None:
    """A sale without a final answer blocks the next one, also after a restart, until it is settled."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    store.store_sale(SALE)
    with pytest.raises(ExchangeOpen):
        reopened(store).store_sale(SALE)
    store.settle_sale(ExchangeStatus.FINAL, b"declined")
    reopened(store).store_sale(SALE)


def test_no_sale_while_a_reversal_is_open(tmp_path: Path) -> None:
    """A reversal whose outcome is unknown blocks as a sale does; settling it settles the sale in the same write."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    store.store_sale(SALE)
    store.settle_sale(ExchangeStatus.FINAL, b"approved")
    store.store_reversal(REVERSAL)
    with pytest.raises(ExchangeOpen, match="reversal"):
        reopened(store).check_may_sell()
    store.settle_reversal(ExchangeStatus.FINAL, b"answer", sale_status=ExchangeStatus.REVERSED)
    again = reopened(store)
    again.check_may_sell()
    assert again.sale is not None
    assert again.sale.status is ExchangeStatus.REVERSED
    again.store_sale(SALE)
    assert again.reversal is None


def test_the_trace_number_wraps_and_is_never_zero(tmp_path: Path) -> None:
    """After 999999 comes 000001."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    state = json.loads(store.path.read_text())
    store.path.write_text(json.dumps({**state, "last_stan": STAN_MAX - 1}))
    again = reopened(store)
    assert [again.take_stan(), again.take_stan()] == ["999999", "000001"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whether the power goes before, in or after the writing of the new file, the old one is still whole."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    store.store_sale(SALE)
    before = store.path.read_bytes()

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    if step == "replace":
        monkeypatch.setattr(Path, "replace", power_cut)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", power_cut)
    else:
        monkeypatch.setattr(os, "fdopen", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.settle_sale(ExchangeStatus.FINAL, b"answer")
    monkeypatch.undo()
    assert store.path.read_bytes() == before
    again = reopened(store)
    assert again.sale == SALE
    # A scratch file that was left behind is no obstacle.
    again.settle_sale(ExchangeStatus.FINAL, b"answer")
    assert reopened(store).sale == replace(SALE, status=ExchangeStatus.FINAL, answer=b"answer")


def test_every_write_is_synced_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is on the disk before it replaces the old one, and the directory after it."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    seen: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        seen.append("fsync")
        fsync(descriptor)

    def watched_replace(path: Path, target: Path) -> Path:
        seen.append("replace")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    store.take_stan()
    assert seen == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"version": 2}', b"{}", b'{"version": 1}', b'{"version": 1, "terminal_id": 5}'],
)
def test_a_damaged_memory_is_said_and_not_guessed(tmp_path: Path, content: bytes) -> None:
    """A file that cannot be read wholly is an error with its path, never a fresh start."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    store.path.write_bytes(content)
    with pytest.raises(StoreError, match=r"T0000001\.json"):
        reopened(store)


def test_a_damaged_key_is_not_quoted(tmp_path: Path) -> None:
    """The error of a bad key does not show the key."""
    store = TerminalStore.create(tmp_path, IDENTITY)
    state = json.loads(store.path.read_text())
    store.path.write_text(json.dumps({**state, "mac_key": KEY.hex()[:-1] + "z"}))
    with pytest.raises(StoreError) as caught:
        reopened(store)
    assert KEY.hex()[:8] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_terminal_that_was_never_keyed_is_an_error(tmp_path: Path) -> None:
    """Opening needs a file, making needs that there is none, and an id is never a path."""
    with pytest.raises(StoreError, match="never keyed"):
        TerminalStore.open(tmp_path, "T0000001")
    assert not TerminalStore.exists(tmp_path, "T0000001")
    TerminalStore.create(tmp_path, IDENTITY)
    assert TerminalStore.exists(tmp_path, "T0000001")
    with pytest.raises(StoreError, match="exists"):
        TerminalStore.create(tmp_path, IDENTITY)
    with pytest.raises(StoreError, match="8 letters"):
        TerminalStore.open(tmp_path, "../../..")


@pytest.mark.parametrize(
    ("field", "value"), [("terminal_id", "T1"), ("merchant_id", "shop"), ("nii", "1"), ("terminal_id", "T/000001")]
)
def test_an_identity_is_valid_when_made(field: str, value: str) -> None:
    """Ids that do not fit the message are refused when the terminal is keyed."""
    given = {
        "terminal_id": "T0000001",
        "merchant_id": "TIENDA000000001",
        "nii": "001",
        "mac_scheme": "X9.19",
        field: value,
    }
    with pytest.raises(ValueError, match=r"not '"):
        TerminalIdentity(**given, mac_key=IDENTITY.mac_key)


def _take_stans(directory: Path, count: int, taken: "multiprocessing.Queue[list[str]]") -> None:
    store = TerminalStore.open(directory, "T0000001")
    stans = []
    for _ in range(count):
        with store.exclusive():
            stans.append(store.take_stan())
    taken.put(stans)


def test_two_commands_at_once_never_share_a_trace_number(tmp_path: Path) -> None:
    """Processes that are the same terminal take turns and see each other's writes."""
    TerminalStore.create(tmp_path, IDENTITY)
    context = multiprocessing.get_context("spawn")
    taken: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=_take_stans, args=(tmp_path, 20, taken)) for _ in range(2)]
    for worker in workers:
        worker.start()
    stans = [stan for _ in workers for stan in taken.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert sorted(stans) == [f"{number:06}" for number in range(1, 41)]
