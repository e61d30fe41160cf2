"""Against leases: forged and replayed ones, clocks that are set, copies and old images of a till's store, terminals that are revoked."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from messages.security_module import (
    ReadLease,
    RevokeTerminal,
    Status,
)
from security_module.audit_chain import AuditKey
from security_module.lease import LEASE_CONTEXT, read_lease, read_statement
from security_module.registers import ModuleKeys
from security_module.roles import Role
from tests.security_module.conftest import NOW
from tests.security_module.lease_bench import (
    HOURS,
    LIMITS,
    TERMINAL,
    HeadEnd,
    TillStation,
    Times,
    a_sale,
    a_vendor,
    acts,
    close_all,
    head_keys,
    public_key,
    sync,
    till_keys,
)
from vending.secret import Secret


@pytest.fixture
def head(keys: ModuleKeys, tmp_path: Path) -> Iterator[HeadEnd]:
    """A head-end that knows the terminal."""
    made = HeadEnd(head_keys(keys), tmp_path / "head.sqlite3")
    yield made
    close_all([made])


@pytest.fixture
def till(keys: ModuleKeys, tmp_path: Path, head: HeadEnd) -> Iterator[TillStation]:
    """A till without a lease, whose clock is the head-end's."""
    made = TillStation(till_keys(keys), tmp_path / "till.sqlite3", head.times)
    yield made
    close_all([made])


def test_forged_and_foreign_leases(head: HeadEnd, till: TillStation, keys: ModuleKeys, tmp_path: Path) -> None:
    """Another signature, a changed limit, another terminal's lease, and one that does not follow this till's chain."""
    statement = till.close()
    lease = head.lease_for(statement)
    richer = replace(read_lease(lease), limits=replace(LIMITS, credit_centavos=99_000_00))
    stranger = AuditKey("", Secret(bytes([9]) * 32))
    other_chain = replace(read_lease(lease), previous_link=bytes(32))
    ours = AuditKey("", head.keys.audit_key or Secret(b""))
    head.again(head_keys(keys, a_vendor(), a_vendor(terminal_id="T0000043", public_key=public_key(bytes([3]) * 32))))
    neighbour = TillStation(till_keys(keys, bytes([3]) * 32, "T0000043"), tmp_path / "other.sqlite3", head.times)
    of_neighbour = head.lease_for(neighbour.close())
    neighbour.log.close()
    for forged, expected in (
        (richer.octets() + lease[-64:], Status.LEASE_INVALID),
        (stranger.sign_octets(LEASE_CONTEXT, richer.octets()), Status.LEASE_INVALID),
        (statement, Status.LEASE_INVALID),
        (of_neighbour, Status.LEASE_INVALID),
        (ours.sign_octets(LEASE_CONTEXT, other_chain.octets()), Status.LEASE_CHAIN),
    ):
        assert till.accept(forged) is expected
    assert till.left().epoch == 0
    assert till.accept(lease) is Status.OK


def test_a_lease_is_not_accepted_over_an_open_one(head: HeadEnd, till: TillStation) -> None:
    """What was sold under the first must be said before there is a second."""
    first = read_lease(sync(head, till))
    ours = AuditKey("", head.keys.audit_key or Secret(b""))
    second = ours.sign_octets(LEASE_CONTEXT, replace(first, epoch=2).octets())
    assert till.accept(second) is Status.LEASE_OPEN


def test_a_lease_ends_by_the_clock(head: HeadEnd, till: TillStation) -> None:
    """At its hour nothing is minted any more; it can still be closed, and another follows."""
    sync(head, till)
    head.times.go_on(hours=HOURS, seconds=-1)
    assert till.sell(a_sale(1)) == [Status.OK]
    head.times.go_on(seconds=1)
    assert till.sell(a_sale(2)) == [Status.LEASE_NOT_VALID]
    assert read_statement(till.close()).sales == 1
    sync(head, till)
    assert till.sell(a_sale(3)) == [Status.OK]


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_locks_the_lease(head: HeadEnd, till: TillStation, step: timedelta) -> None:
    """Forward or back, at once and after a restart, whoever looked at the clock first; a new lease unlocks it."""
    till.times = Times()
    till.again()
    lease = head.lease_for(till.close())
    assert till.accept(lease) is Status.OK
    till.times.now += timedelta(seconds=500)
    assert till.sell(a_sale(1)) == [Status.OK]  # Less is not worth a lock, and is in the audit.
    till.times.now += step
    till.log.sign_head()
    expected = Status.LEASE_LOCKED if step > timedelta(0) else Status.CLOCK_IN_DOUBT
    assert till.sell(a_sale(2)) == [expected]
    till.again()
    assert till.sell(a_sale(3)) == [expected]
    till.times.now = NOW + timedelta(hours=2)
    assert till.sell(a_sale(4)) == [Status.LEASE_LOCKED]
    assert not till.left().is_in_force
    head.times.go_on(hours=2)
    assert [each["act"] for each in acts(till.path)].count("clock_step") == 3
    sync(head, till)
    assert till.sell(a_sale(5)) == [Status.OK]


def test_a_new_lease_brings_a_clock_back_that_was_far_ahead(head: HeadEnd, till: TillStation) -> None:
    """A till whose records are of next year sells again once a lease of the head-end says which time it is."""
    sync(head, till)
    till.times = Times(NOW + timedelta(days=300))
    till.again()
    till.sell(a_sale(1))
    till.times.now = NOW
    till.again()
    assert till.sell(a_sale(2)) == [Status.CLOCK_IN_DOUBT]
    sync(head, till)
    assert till.sell(a_sale(2)) == [Status.OK]


def test_a_head_end_whose_clock_is_in_doubt_gives_no_lease(head: HeadEnd, till: TillStation) -> None:
    """Its hours would be wrong."""
    statement = till.close()
    head.times.now -= timedelta(hours=1)
    head.again()
    assert head.refusal_of(statement) is Status.CLOCK_IN_DOUBT


def test_one_live_lease(head: HeadEnd, till: TillStation) -> None:
    """An old question is refused; without the closing of the newest there is nothing more."""
    before = till.close()
    sync(head, till)
    between = till.close()
    sync(head, till)
    assert head.refusal_of(before) is Status.LEASE_REPLAYED
    assert read_lease(head.lease_for(between)).epoch == 2
    assert head.refusal_of(before) is Status.LEASE_REPLAYED


def test_a_copied_till_is_found_and_stopped(head: HeadEnd, till: TillStation, tmp_path: Path) -> None:
    """Two copies of one store sell under one lease; the second that closes it stops the terminal, also after a restart."""
    sync(head, till)
    till.log.close()
    shutil.copy(till.path, tmp_path / "copy.sqlite3")
    till.again()
    copy = TillStation(till.keys, tmp_path / "copy.sqlite3", head.times)
    till.sell(a_sale(1))
    copy.sell(a_sale(1), a_sale(2))
    lease = head.lease_for(till.close())
    assert head.refusal_of(copy.close()) is Status.TERMINAL_FROZEN
    assert copy.accept(lease) is Status.LEASE_CHAIN
    assert till.accept(lease) is Status.OK
    head.again()
    assert head.refusal_of(till.close()) is Status.TERMINAL_FROZEN
    found = [each["details"] for each in acts(head.path) if each["act"] == "terminal_frozen"]
    assert [(each["terminal"], each["closed"]["sales"]) for each in found] == [(TERMINAL, 2)]
    copy.log.close()


def set_back(till: TillStation, image: Path) -> None:
    """Put an old image in the place of the store."""
    till.log.close()
    for suffix in ("-wal", "-shm"):
        till.path.with_name(till.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(image, till.path)
    till.start()


def test_a_store_that_was_set_back(head: HeadEnd, till: TillStation, tmp_path: Path) -> None:
    """An image from before the last closing takes none of the leases of today, and its closing stops the terminal."""
    first = sync(head, till)
    till.log.close()
    shutil.copy(till.path, tmp_path / "image.sqlite3")
    till.again()
    till.sell(a_sale(1))
    second = sync(head, till)
    set_back(till, tmp_path / "image.sqlite3")
    assert till.accept(second) is Status.LEASE_OPEN
    head.times.go_on(seconds=1)
    statement = till.close()
    assert [till.accept(first), till.accept(second)] == [Status.LEASE_REPLAYED, Status.LEASE_CHAIN]
    assert head.refusal_of(statement) is Status.TERMINAL_FROZEN


@pytest.mark.parametrize("journal", [(1, 1), (1, 3), (0, 2), (2, 0)])
def test_a_journal_that_knows_of_other_sales_locks_the_lease(
    head: HeadEnd, till: TillStation, journal: tuple[int, int]
) -> None:
    """Behind or ahead, one of the two stores was set back: nothing is minted until the next lease, also after a restart."""
    sync(head, till)
    till.sell(a_sale(1), a_sale(2))
    assert till.status(ReadLease(journal=(1, 2))) is Status.OK
    assert [till.status(ReadLease(journal=journal)) for _ in range(2)] == [Status.LEASE_LOCKED] * 2
    assert till.sell(a_sale(3)) == [Status.LEASE_LOCKED]
    till.again()
    assert till.sell(a_sale(4)) == [Status.LEASE_LOCKED]
    found = [each["details"] for each in acts(till.path) if each["act"] == "journal_differs"]
    assert found == [{"journal": list(journal), "module": [1, 2]}]


def test_a_lease_that_the_journal_knew_is_not_accepted_once_more(
    head: HeadEnd, till: TillStation, tmp_path: Path
) -> None:
    """The store was set back to before it: the journal tells, and only a lease after that one is taken."""
    statement = till.close()
    till.log.close()
    shutil.copy(till.path, tmp_path / "image.sqlite3")
    till.start()
    lease = head.lease_for(statement)
    assert till.accept(lease) is Status.OK
    assert till.sell(a_sale(1), a_sale(2)) == [Status.OK] * 2
    set_back(till, tmp_path / "image.sqlite3")
    assert till.status(ReadLease(journal=(1, 2))) is Status.LEASE_LOCKED
    till.again()
    assert till.accept(lease) is Status.LEASE_REPLAYED
    assert till.status(ReadLease(journal=(2**32 - 1, 0))) is Status.LEASE_LOCKED  # Says nonsense, and changes nothing.
    head.times.go_on(hours=HOURS)
    later = head.lease_for(till.close())
    assert read_lease(later).epoch == 2
    assert till.accept(later) is Status.OK
    assert till.status(ReadLease(journal=(2, 0))) is Status.OK
    assert till.sell(a_sale(3)) == [Status.OK]


def test_a_till_that_begins_anew_is_not_taken_for_the_old_one(head: HeadEnd, till: TillStation) -> None:
    """A store that was thrown away does not make what was sold forgotten: no old lease fits, and there is no new one."""
    lease = sync(head, till)
    till.log.close()
    for suffix in ("", "-wal", "-shm"):
        till.path.with_name(till.path.name + suffix).unlink(missing_ok=True)
    head.times.go_on(seconds=1)
    till.start()
    statement = till.close()
    assert till.accept(lease) is Status.LEASE_CHAIN
    assert head.refusal_of(statement) is Status.TERMINAL_FROZEN


def test_a_lease_that_nobody_accepted_lapses(head: HeadEnd, till: TillStation) -> None:
    """The vendor came back too late: the same question gives another lease, and the first stays among what may be lost."""
    statement = till.close()
    late = head.lease_for(statement)
    head.times.go_on(hours=HOURS)
    assert till.accept(late) is Status.LEASE_NOT_VALID
    lease = head.lease_for(statement)
    assert read_lease(lease).epoch == 2
    assert till.accept(lease) is Status.OK
    assert till.accept(late) is Status.LEASE_REPLAYED


def test_who_is_not_known_gets_nothing(head: HeadEnd, till: TillStation, keys: ModuleKeys) -> None:
    """Garbage, another module's signature and a terminal that nobody registered are answered alike."""
    statement = till.close()
    stranger = AuditKey("", Secret(bytes([9]) * 32))
    forged = stranger.sign_octets(b"eudora lease closing\x00", statement[:-64])
    for octets in (b"x", statement[:-1], forged):
        assert head.refusal_of(octets) is Status.TERMINAL_UNKNOWN
    head.again(replace(head_keys(keys), vendors={}))
    assert head.refusal_of(statement) is Status.TERMINAL_UNKNOWN


def test_a_revoked_terminal_gets_no_lease(head: HeadEnd, till: TillStation, keys: ModuleKeys) -> None:
    """From then on, for ever, and once in the audit; also when people removed it from the store. One that is unknown cannot be."""
    sync(head, till)
    revoke = RevokeTerminal(terminal_id=TERMINAL)
    assert [head.status(revoke, Role.CUSTODIAN) for _ in range(2)] == [Status.OK] * 2
    assert head.refusal_of(till.close()) is Status.TERMINAL_REVOKED
    head.again(replace(head_keys(keys), vendors={}))
    assert head.status(revoke, Role.CUSTODIAN) is Status.OK
    head.again(head_keys(keys))
    assert head.refusal_of(till.close()) is Status.TERMINAL_REVOKED
    assert [each["act"] for each in acts(head.path)].count("terminal_revoked") == 1
    assert head.status(RevokeTerminal(terminal_id="T0000099"), Role.CUSTODIAN) is Status.TERMINAL_UNKNOWN
