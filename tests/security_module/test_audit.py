"""The audit: what is recorded, what a file of it proves with the public key alone, and what every kind of tampering ends with."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages.security_module import MintRequest, Status
from security_module import mint_log
from security_module.audit_chain import AuditError, AuditKey, canonical, mint_line, read_public_key
from security_module.audit_file import audit, export, move_away, verify, verify_following
from security_module.key_store import to_public_document
from security_module.mint_log import Candidate, MintLog, MintLogError
from security_module.registers import ModuleKeys
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.security_module.conftest import NOW
from vending.calendar import local_date
from vending.money import Centavos, Tenths
from vending.secret import Secret

PAN = "600727000000000009"
TODAY = local_date(NOW)


class Machine:
    """A clock and its ticks, which a test moves apart."""

    def __init__(self) -> None:
        self.now = NOW
        self.ticks = 1000.0

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.ticks += seconds

    def is_set(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def audit_key_of(keys: ModuleKeys) -> AuditKey:
    assert keys.audit_key is not None
    return AuditKey(keys.module_id, keys.audit_key)


def public_key_of(keys: ModuleKeys) -> Ed25519PublicKey:
    return read_public_key(audit_key_of(keys).public_pem())


@contextmanager
def opened(path: Path, keys: ModuleKeys, machine: Machine) -> Iterator[MintLog]:
    log = MintLog(
        path,
        keys.vending,
        lambda: machine.now,
        audit_key=audit_key_of(keys),
        ticks=lambda: machine.ticks,
    )
    with closing(log):
        yield log


def a_mint(request_id: int, now: datetime = NOW, *, charged: int | None = 5_000, register_id: int = 1) -> Candidate:
    return Candidate(
        request=MintRequest(
            request_id=request_id,
            register_id=register_id,
            pan=PAN,
            tariff_index=1,
            encryption_algorithm=7,
            subclass=0,
            tokens=((tid_at(now, BaseDate.Y2014), Tenths(100)),),
            charged_centavos=None if charged is None else Centavos(charged),
        )
    )


def statuses(log: MintLog, *candidates: Candidate) -> list[Status]:
    return [decision.status for decision in log.decide(candidates)]


@pytest.fixture
def machine() -> Machine:
    """A machine whose clock and ticks agree."""
    return Machine()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "mint.sqlite3"


@pytest.fixture
def lines(path: Path, keys: ModuleKeys, machine: Machine) -> list[str]:
    """The export of a log with a start, mints in three batches, a refusal, an act, two heads in the middle, and a stop."""
    with opened(path, keys, machine) as log:
        log.start(to_public_document(keys), unsealed_by="passphrase")
        log.decide([a_mint(1), a_mint(2), a_mint(3, register_id=77)])
        log.sign_head()
        log.decide([a_mint(4)])
        log.record("permission_refused", role="auditor", command="MT")
        log.sign_head()
        log.decide([a_mint(5, charged=None)])
        log.stop()
    return list(export(path, None, None))


def test_an_export_proves_what_was_minted(lines: list[str], keys: ModuleKeys) -> None:
    """Records, heads and their order; ids and units are there, and neither the whole meter number nor a digit of a token or key is."""
    verified = verify(lines, public_key_of(keys))
    records = [json.loads(line) for line in lines[1:]]
    assert (verified.module_id, verified.mints, verified.after) == (keys.module_id, 4, 0)
    assert verified.vouches_for(TODAY - timedelta(days=1))
    assert not verified.vouches_for(TODAY)
    mints = [each for each in records if each["kind"] == "mint"]
    assert [(each["id"], each["status"]) for each in mints] == [
        (1, "OK"),
        (2, "OK"),
        (3, "UNKNOWN_REGISTER"),
        (4, "OK"),
        (5, "OK"),
    ]
    assert mints[0]["meter"] == "600727********0009"
    assert [each["charged_centavos"] for each in mints] == [5_000] * 4 + [None]
    assert next(each["act"] for each in records if each["kind"] == "act") == "start"
    assert [each["act"] for each in records if each["kind"] == "act"][-2:] == ["permission_refused", "stop"]
    whole = "\n".join(lines)
    assert keys.audit_key is not None
    secrets = [keys.audit_key, *(each.key for each in keys.vending.values()), *(each.key for each in keys.mac.values())]
    assert not any(secret.reveal().hex() in whole for secret in secrets)
    assert PAN not in whole


TAMPERINGS: dict[str, Callable[[list[str]], list[str]]] = {
    "a record is removed": lambda lines: lines[:3] + lines[4:],
    "the first record is removed": lambda lines: lines[:1] + lines[2:],
    "a record is repeated": lambda lines: [*lines[:4], lines[3], *lines[4:]],
    "two records change places": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "units are changed": lambda lines: [line.replace(",100]]", ",900]]") for line in lines],
    "a refusal becomes a mint": lambda lines: [line.replace("UNKNOWN_REGISTER", "OK") for line in lines],
    "a record is put in and the rest renumbered": lambda lines: _renumbered([*lines[:4], lines[3], *lines[4:]]),
    "the end is cut off within a stretch": lambda lines: lines[:-2],
    "the last head is removed": lambda lines: lines[:-1],
    "a head says another time": lambda lines: [*lines[:-1], lines[-1].replace("2026-03-01", "2026-03-09")],
    "a head is of another module": lambda lines: [*lines[:-1], lines[-1].replace("eudora-", "budora-")],
    "the start is moved": lambda lines: [lines[0].replace('"after":0', '"after":1'), *lines[1:]],
    "the link at the start is another": lambda lines: [lines[0].replace("0000", "0001", 1), *lines[1:]],
    "the first line is missing": lambda lines: lines[1:],
    "there is nothing": lambda lines: [],
    "a line is garbage": lambda lines: [*lines[:3], "{", *lines[3:]],
}


def _renumbered(lines: list[str]) -> list[str]:
    number, result = 0, [lines[0]]
    for line in lines[1:]:
        fields = json.loads(line)
        number += fields["kind"] != "head"
        result.append(canonical({**fields, "n": number}))
    return result


@given(st.sampled_from(sorted(TAMPERINGS)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tampering_is_found_off_line(lines: list[str], keys: ModuleKeys, tampering: str) -> None:
    """With nothing but the public key: removed, changed, repeated, reordered, put in, cut off."""
    changed = TAMPERINGS[tampering](list(lines))
    assert changed != lines
    with pytest.raises(AuditError):
        verify(changed, public_key_of(keys))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_character_is_found(lines: list[str], keys: ModuleKeys, data: st.DataObject) -> None:
    """Whatever single character is another one, the file does not verify."""
    whole = "\n".join(lines)
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.sampled_from([each for each in "09afAF{}\"',: \n" if each != whole[at]]))
    with pytest.raises(AuditError):
        verify((whole[:at] + other + whole[at + 1 :]).split("\n"), public_key_of(keys))


def test_a_file_cut_at_an_earlier_head_is_whole_and_says_when_it_ends(lines: list[str], keys: ModuleKeys) -> None:
    """What the chain alone cannot show: the time of the last head does, and so does the next file, which does not follow."""
    heads = [index for index, line in enumerate(lines) if '"kind":"head"' in line]
    short = verify(lines[: heads[1] + 1], public_key_of(keys))
    assert short.last < verify(lines, public_key_of(keys)).last
    following = replace(short, after=short.last + 1, first_link="00" * 32)
    with pytest.raises(AuditError, match="does not follow"):
        verify_following([short, following])


def test_another_modules_key_verifies_nothing(lines: list[str]) -> None:
    """A file is proved by the key of the module that it is of."""
    other = AuditKey("eudora-00000000", Secret(bytes(32)))
    with pytest.raises(AuditError, match="signature"):
        verify(lines, read_public_key(other.public_pem()))
    with pytest.raises(AuditError):
        read_public_key(b"-----BEGIN PUBLIC KEY-----\n")


def test_a_mint_record_is_canonical() -> None:
    """The line that is written out for speed is the JSON of its fields."""
    request = a_mint(1, charged=None).request
    assert isinstance(request, MintRequest)
    line = mint_line(7, NOW.isoformat(), request, Status.OK, bytes(32))
    assert canonical(json.loads(line)) == line


def test_segments_end_with_a_head(
    path: Path, keys: ModuleKeys, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many records a head is signed in the same transaction; silence is signed too, and is proof of itself."""
    monkeypatch.setattr(mint_log, "SEGMENT_RECORDS", 3)
    with opened(path, keys, machine) as log:
        for start in range(1, 12, 2):
            log.decide([a_mint(start), a_mint(start + 1)])
        exported = list(export(path, None, None))
        assert verify(exported, public_key_of(keys)).heads == 4
        machine.passes(60)
        log.sign_head()
        assert verify(export(path, None, None), public_key_of(keys)).heads == 4
        machine.passes(24 * 3600)
        log.sign_head()
    verified = verify(export(path, None, None), public_key_of(keys))
    assert (verified.heads, verified.last) == (5, 12)
    assert verified.vouches_for(TODAY)


def test_days_are_exported_whole_and_follow_one_another(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """One file a day: each begins where the one before ended, and a day without records is no file."""
    with opened(path, keys, machine) as log:
        for day in range(3):
            log.decide([a_mint(day * 10 + each, machine.now) for each in range(3)])
            log.sign_head()
            machine.passes(24 * 3600)
        log.sign_head()
    days = [TODAY + timedelta(days=back) for back in range(3)]
    files = [verify(export(path, day, day), public_key_of(keys)) for day in days]
    verify_following(files)
    assert [each.mints for each in files] == [3, 3, 3]
    assert files[2].vouches_for(days[2])
    with pytest.raises(AuditError, match="follow"):
        verify_following([files[0], files[2]])
    with pytest.raises(AuditError, match="no record"):
        list(export(path, TODAY + timedelta(days=9), None))


def test_what_no_head_vouches_for_is_not_exported(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """An export never ends in the open."""
    with opened(path, keys, machine) as log:
        log.decide([a_mint(1)])
        with pytest.raises(AuditError, match="no head"):
            list(export(path, None, None))


def test_old_segments_move_away_and_the_chain_goes_on(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """Ids stay known, counters stay proved, the next export follows; and only what is safe in a file leaves."""
    with opened(path, keys, machine) as log:
        log.decide([a_mint(1), a_mint(2), a_mint(3, register_id=77)])
        log.sign_head()
        first = verify(export(path, None, None), public_key_of(keys))
        assert move_away(path, first) == 3
        assert statuses(log, a_mint(1), a_mint(3), a_mint(1, charged=1)) == [
            Status.OK,
            Status.REQUEST_CONFLICT,
            Status.OK,
        ]
        machine.passes(24 * 3600)
        log.decide([a_mint(4, machine.now)])
        log.sign_head()
        second = verify(export(path, None, None), public_key_of(keys))
        verify_following([first, second])
        with pytest.raises(AuditError, match="no such record"):
            move_away(path, first)
        later = replace(second, after=4)
        with pytest.raises(AuditError, match="does not begin"):
            move_away(path, later)
    assert [(each.requests, each.tokens) for each in audit(path)] == [(3, 3)]
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(2), a_mint(5, machine.now)) == [Status.OK, Status.OK]
        assert dict(log.verdicts([1, 3, 5, 99])) == {1: Status.OK, 3: Status.UNKNOWN_REGISTER, 5: Status.OK}
        assert [each.request_id for each in log.mints_of(TODAY + timedelta(days=1), 0)] == [4, 5]
        assert log.counts()[0].requests == 4
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE state SET value = '{}' WHERE name = 'moved'")
    with pytest.raises(MintLogError, match="counters"):
        audit(path)


def test_changed_registers_are_recorded_at_the_next_start(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """A key that was added, a limit that was changed and a key that is gone, whoever did it while the module was stopped."""
    changed = replace(keys.vending[1], units_limit_tenths=5)
    fewer = {each: register for each, register in keys.vending.items() if each != 4}
    with opened(path, keys, machine) as log:
        log.start(to_public_document(keys))
        log.start(to_public_document(replace(keys, vending={**fewer, 1: changed})))
        log.start(to_public_document(keys))
    acts = [json.loads(line) for line in export(path, None, None)][1:]
    seen = [(each["act"], each["details"].get("register")) for each in acts if each["kind"] == "act"]
    loaded = [("key_loaded", each) for each in (1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 19)]
    assert seen == [
        ("start", None),
        *loaded,
        ("start", None),
        ("rules_changed", 1),
        ("key_removed", 4),
        ("start", None),
        ("rules_changed", 1),
        ("key_loaded", 4),
    ]
    (there, _) = [each["details"] for each in acts if each.get("act") == "rules_changed"]
    assert there["changed"] == {"units_limit_tenths": [None, 5]}


def test_limits_of_a_day_and_of_a_life_survive_a_restart(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """The day's limit is free again the next local day, the life's never; both count what was minted before the restart."""
    rules = {"units_per_day_limit_tenths": 300, "units_limit_tenths": 500, "money_limit_centavos": 22_000}
    limited = replace(keys, vending={1: replace(keys.vending[1], **rules)})  # type: ignore[arg-type]
    with opened(path, limited, machine) as log:
        assert statuses(log, a_mint(1), a_mint(2)) == [Status.OK] * 2
    with opened(path, limited, machine) as log:
        assert statuses(log, a_mint(3), a_mint(4)) == [Status.OK, Status.DAY_LIMIT_EXCEEDED]
        machine.passes(24 * 3600)
        assert statuses(log, a_mint(5, machine.now)) == [Status.OK]
        assert statuses(log, a_mint(6, machine.now)) == [Status.MONEY_LIMIT_EXCEEDED]
        assert statuses(log, a_mint(7, machine.now, charged=None)) == [Status.OK]
        assert statuses(log, a_mint(8, machine.now, charged=None)) == [Status.LIMIT_EXCEEDED]


def test_the_amount_charged_belongs_to_the_content(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """The same id for another amount is refused; a switch that does not say the amount gets what was sold."""
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(1), a_mint(1, charged=1), a_mint(1, charged=None), a_mint(1)) == [
            Status.OK,
            Status.REQUEST_CONFLICT,
            Status.OK,
            Status.OK,
        ]


def test_a_clock_behind_the_records_mints_nothing_new(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """What was minted is given out again; new requests get no verdict and go on when the clock is right, or an operator says so."""
    machine.now += timedelta(days=2)
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(1, machine.now)) == [Status.OK]
    machine.now -= timedelta(days=2)
    for _ in range(2):  # A restart alone changes nothing.
        with opened(path, keys, machine) as log:
            log.start([])
            assert statuses(log, a_mint(1, NOW + timedelta(days=2)), a_mint(2)) == [Status.OK, Status.CLOCK_IN_DOUBT]
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(2)) == [Status.CLOCK_IN_DOUBT]
        log.accept_clock()
        assert statuses(log, a_mint(2), a_mint(3)) == [Status.OK, Status.OK]
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(4)) == [Status.OK]
        log.sign_head()
    acts = [json.loads(line).get("act") for line in export(path, None, None)]
    assert [each for each in acts if each is not None and each != "start"] == ["clock_in_doubt"] * 3 + [
        "clock_accepted"
    ]
    assert not Status.CLOCK_IN_DOUBT.is_refusal


def test_a_clock_that_becomes_right_again_mints_again(path: Path, keys: ModuleKeys, machine: Machine) -> None:
    """Set back by an hour while running: noticed as a step and in doubt; set right: noticed as well, and minting goes on."""
    with opened(path, keys, machine) as log:
        assert statuses(log, a_mint(1)) == [Status.OK]
        machine.is_set(-3600)
        assert statuses(log, a_mint(2)) == [Status.CLOCK_IN_DOUBT]
        machine.passes(10)
        assert statuses(log, a_mint(2)) == [Status.CLOCK_IN_DOUBT]
        machine.is_set(3600)
        assert statuses(log, a_mint(2)) == [Status.OK]
        log.sign_head()
    acts = [json.loads(line) for line in export(path, None, None)]
    seen = [(each["act"], each["details"].get("seconds")) for each in acts if each.get("act")]
    assert seen == [
        ("clock_step", -3600.0),
        ("clock_in_doubt", None),
        ("clock_step", 3600.0),
        ("clock_right_again", None),
    ]


@pytest.mark.parametrize(
    ("moves", "steps"),
    [
        ([(10, 0.0)] * 3, 0),
        ([(10, 1.9)], 0),
        ([(10, 2.1)], 1),
        ([(10, -2.1)], 1),
        ([(10, 0.5)] * 10, 2),
        ([(100_000, 40.0)], 0),
        ([(0.001, -1.0)] * 4, 1),
    ],
)
def test_steps_are_told_from_slewing(
    path: Path, keys: ModuleKeys, machine: Machine, moves: list[tuple[float, float]], steps: int
) -> None:
    """A smooth correction is none; a step is, and so are many small ones that add up."""
    with opened(path, keys, machine) as log:
        for seconds, step in moves:
            machine.passes(seconds)
            machine.is_set(step)
            log.decide([])
        log.stop()
    seen = [json.loads(line).get("act") for line in export(path, None, None)]
    assert seen.count("clock_step") == steps


def test_a_log_of_the_first_version_is_refused(path: Path, keys: ModuleKeys) -> None:
    """It is never written into."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=1")
    with pytest.raises(MintLogError, match="version 1"):
        MintLog(path, keys.vending, lambda: datetime.now(UTC))  # noqa: TID251
    with pytest.raises(MintLogError, match="version 1"):
        audit(path)
