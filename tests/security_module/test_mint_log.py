"""The mint log: once is once, whatever is repeated, restarted or refused."""

import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages.security_module import MintRequest, RegisterCount, Status
from security_module.audit_file import audit
from security_module.keyed_hash import KeyedHash
from security_module.mint_log import Candidate, MintLog, MintLogError
from security_module.registers import ModuleKeys
from sts.codes import BaseDate
from sts.tid import tid_at
from vending.money import Tenths
from vending.secret import Secret

NOW = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
TID = tid_at(NOW, BaseDate.Y2014)


def a_request(request_id: int, *, register_id: int = 1, units: int = 100, tid: int = TID) -> Candidate:
    return Candidate(
        request=MintRequest(
            request_id=request_id,
            register_id=register_id,
            pan="600727000000000009",
            tariff_index=1,
            encryption_algorithm=7,
            subclass=0,
            tokens=((tid, Tenths(units)), (tid + 1, Tenths(1))),
        )
    )


@contextmanager
def opened(path: Path, keys: ModuleKeys) -> Iterator[MintLog]:
    log = MintLog(path, keys.vending, lambda: NOW)
    with closing(log):
        yield log


def statuses(log: MintLog, *candidates: Candidate) -> list[Status]:
    return [decision.status for decision in log.decide(candidates)]


def count_of(log: MintLog, register_id: int = 1) -> RegisterCount:
    return {count.register_id: count for count in log.counts()}[register_id]


def test_a_repeat_is_done_and_not_counted(keys: ModuleKeys, tmp_path: Path) -> None:
    """In the same batch, in the next, and after a restart: the same answer and the same counters."""
    path = tmp_path / "mint.sqlite3"
    with opened(path, keys) as log:
        assert statuses(log, a_request(1), a_request(1), a_request(2)) == [Status.OK] * 3
        assert [decision.is_repeat for decision in log.decide([a_request(1), a_request(3)])] == [True, False]
        before = log.counts()
        assert count_of(log) == RegisterCount(register_id=1, requests=3, tokens=6, units_tenths=303)
    with opened(path, keys) as log:
        assert statuses(log, a_request(2), a_request(1)) == [Status.OK] * 2
        assert log.counts() == before
    assert audit(path) == tuple(count for count in before if count.requests)


@pytest.mark.parametrize("change", [{"units": 101}, {"register_id": 2}, {"tid": TID + 5}])
def test_the_same_id_with_other_content_is_refused(keys: ModuleKeys, tmp_path: Path, change: dict[str, int]) -> None:
    """Whether it comes at once or later, the first content stands and nothing else is counted."""
    with opened(tmp_path / "mint.sqlite3", keys) as log:
        other = a_request(1, **change)
        assert statuses(log, a_request(1), other) == [Status.OK, Status.REQUEST_CONFLICT]
        assert statuses(log, other, a_request(1)) == [Status.REQUEST_CONFLICT, Status.OK]
        assert sum(count.requests for count in log.counts()) == 1


def test_a_verdict_outlives_the_rules_that_made_it(keys: ModuleKeys, tmp_path: Path) -> None:
    """What was minted is given out again after the register was stopped; what was refused stays refused after it was freed."""
    path = tmp_path / "mint.sqlite3"
    stopped = replace(keys, vending={**keys.vending, 1: replace(keys.vending[1], is_inhibited=True)})
    with opened(path, keys) as log:
        assert statuses(log, a_request(1)) == [Status.OK]
    with opened(path, stopped) as log:
        assert statuses(log, a_request(1), a_request(2)) == [Status.OK, Status.VENDING_INHIBITED]
    with opened(path, keys) as log:
        assert statuses(log, a_request(2), a_request(3)) == [Status.VENDING_INHIBITED, Status.OK]


def test_what_cannot_be_computed_is_refused_for_ever(keys: ModuleKeys, tmp_path: Path) -> None:
    """A wrong PAN or an unknown register is kept under its id like any other refusal."""
    with opened(tmp_path / "mint.sqlite3", keys) as log:
        wrong = replace(a_request(1), refusal=Status.PAN_INVALID)
        assert statuses(log, wrong, a_request(2, register_id=77)) == [Status.PAN_INVALID, Status.UNKNOWN_REGISTER]
        assert statuses(log, a_request(1)) == [Status.PAN_INVALID]


def test_a_limit_counts_within_a_batch(keys: ModuleKeys, tmp_path: Path) -> None:
    """The units of a register never pass its limit, not even inside one transaction."""
    limited = replace(keys, vending={1: replace(keys.vending[1], units_limit_tenths=250)})
    with opened(tmp_path / "mint.sqlite3", limited) as log:
        assert (
            statuses(log, *[a_request(each) for each in range(1, 5)]) == [Status.OK] * 2 + [Status.LIMIT_EXCEEDED] * 2
        )
        assert count_of(log).units_tenths == 202


def test_ids_of_64_bits(keys: ModuleKeys, tmp_path: Path) -> None:
    """The whole range of the protocol's request ids is kept apart."""
    ids = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    with opened(tmp_path / "mint.sqlite3", keys) as log:
        assert statuses(log, *map(a_request, ids)) == [Status.OK] * 5
        assert all(decision.is_repeat for decision in log.decide(list(map(a_request, ids))))
    assert audit(tmp_path / "mint.sqlite3")[0].requests == 5


def test_a_failed_write_leaves_nothing(keys: ModuleKeys, tmp_path: Path) -> None:
    """When the disk refuses, neither rows nor counters move, and the next batch works."""
    path = tmp_path / "mint.sqlite3"
    with opened(path, keys) as log, closing(sqlite3.connect(path)) as other:
        log.decide([a_request(1)])
        log._database.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            log.decide([a_request(2)])
        assert count_of(log).requests == 1
        other.execute("ROLLBACK")
        assert statuses(log, a_request(2)) == [Status.OK]
    assert audit(path)[0].requests == 2


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE record SET line = replace(line, ',100]', ',9]') WHERE sequence = 2",
        "UPDATE record SET status = '00' WHERE sequence = 3",
        "UPDATE record SET content = zeroblob(32) WHERE sequence = 3",
        "UPDATE record SET request_id = 9 WHERE sequence = 3",
        "DELETE FROM record WHERE sequence = 2",
        "UPDATE counter SET tokens = tokens - 1",
        "DELETE FROM counter",
    ],
)
def test_tampering_is_found(keys: ModuleKeys, tmp_path: Path, tampering: str) -> None:
    """A changed, added or removed row, or a counter that was turned back, does not pass the audit."""
    path = tmp_path / "mint.sqlite3"
    with opened(path, keys) as log:
        log.decide([a_request(1), a_request(2), a_request(3, register_id=77), a_request(4)])
    audit(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(tampering)
    with pytest.raises(MintLogError):
        audit(path)


def test_a_log_of_another_version_is_refused(keys: ModuleKeys, tmp_path: Path) -> None:
    """An older program does not write into a newer log."""
    path = tmp_path / "mint.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(MintLogError, match="version 99"):
        MintLog(path, keys.vending, lambda: NOW)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=6), max_size=6))
def test_counters_equal_the_first_content_of_each_id(
    keys: ModuleKeys, tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]]
) -> None:
    """Any order of new, repeated and conflicting requests: each id counts once, with what it was first asked with."""
    path = tmp_path_factory.mktemp("log") / "mint.sqlite3"
    first: dict[int, int] = {}
    for batch in batches:
        with opened(path, keys) as log:
            got = statuses(log, *[a_request(each, units=units) for each, units in batch])
            expected = [
                Status.OK if first.setdefault(each, units) == units else Status.REQUEST_CONFLICT
                for each, units in batch
            ]
            assert got == expected
            assert count_of(log).units_tenths == sum(first.values()) + len(first)


def test_a_disk_that_fails_within_the_transaction_leaves_nothing(keys: ModuleKeys, tmp_path: Path) -> None:
    """Rows that were written before the failure are rolled back with it, and the chain goes on where it was."""
    path = tmp_path / "mint.sqlite3"
    with opened(path, keys) as log:
        log.decide([a_request(1)])
        log._database.execute("CREATE TRIGGER full BEFORE INSERT ON counter BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(sqlite3.Error):
            log.decide([a_request(2)])
        log._database.execute("DROP TRIGGER full")
        assert count_of(log).requests == 1
        assert [decision.is_repeat for decision in log.decide([a_request(2)])] == [False]
    assert audit(path)[0].requests == 2


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=200))
def test_a_keyed_hash_is_hmac_and_shows_no_key(key: bytes, message: bytes) -> None:
    """Set up once, asked twice: as HMAC-SHA256 of each message alone."""
    keyed = KeyedHash(Secret(key))
    assert [keyed.digest(message), keyed.digest(b"")] == [hmac.digest(key, each, "sha256") for each in (message, b"")]
    assert repr(keyed) == "KeyedHash(***)"


@pytest.mark.parametrize("count", [1, 15, 16, 127, 128, 129, 300])
def test_a_batch_of_any_size_is_recorded_whole_and_in_order(keys: ModuleKeys, tmp_path: Path, count: int) -> None:
    """However its rows are shared out among statements, the chain verifies and each id is known afterwards."""
    with opened(tmp_path / "mint.sqlite3", keys) as log:
        assert statuses(log, *[a_request(each, units=1) for each in range(1, count + 1)]) == [Status.OK] * count
        assert dict(log.verdicts(range(1, count + 2))) == dict.fromkeys(range(1, count + 1), Status.OK)
    assert audit(tmp_path / "mint.sqlite3")[0].requests == count
