"""Leases between a head-end's module and a till's: over the protocol, on durable stores, restarted and killed."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from messages.security_module import (
    AcceptClock,
    AcceptLease,
    AskLease,
    CloseLease,
    EngineeringKind,
    EngineeringRequest,
    KeyChangeRequest,
    LeaseLeft,
    MintReply,
    ReadLease,
    RevokeTerminal,
    Status,
)
from security_module import mint_store
from security_module.audit_file import audit
from security_module.key_store import seal, unseal
from security_module.lease import Lease, Statement, prove, read_lease, read_statement
from security_module.mint_log import Candidate
from security_module.registers import ModuleKeys
from security_module.roles import Role
from security_module.sealed_store import kek_from_passphrase
from tests.security_module.conftest import NOW
from tests.security_module.lease_bench import (
    ANA,
    GROUPS,
    HOURS,
    LIMITS,
    LUZ,
    TERMINAL,
    HeadEnd,
    TillStation,
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


def test_a_till_sells_under_leases(head: HeadEnd, till: TillStation) -> None:
    """Nothing before the first; then up to its credit; closed it sells nothing; the next one begins anew. The audit has all of it."""
    assert till.sell(a_sale(1)) == [Status.LEASE_NEEDED]
    first = read_statement(till.close())
    lease = sync(head, till)
    assert read_lease(lease) == Lease(
        terminal_id=TERMINAL,
        epoch=1,
        not_before_unix_seconds=int(NOW.timestamp()) - 300,
        not_after_unix_seconds=int(NOW.timestamp()) + HOURS * 3600,
        limits=LIMITS,
        previous_link=first.link,
        supply_groups=GROUPS,
        zone="rio-2",
    )
    assert isinstance(till.ask(a_sale(2, 4_000)), MintReply)
    assert till.sell(a_sale(3, 4_000, pan=LUZ), a_sale(4, 2_001, pan=LUZ), a_sale(5, 2_000, pan=LUZ)) == [
        Status.OK,
        Status.LEASE_METER_LIMIT,
        Status.OK,
    ]
    assert till.sell(a_sale(6, 1)) == [Status.LEASE_MONEY_LIMIT]
    statement = read_statement(till.close())
    assert (statement.epoch, statement.sales, statement.charged_centavos, statement.units_tenths) == (
        1,
        3,
        10_000_00,
        30,
    )
    assert till.sell(a_sale(7)) == [Status.LEASE_NEEDED]
    assert read_lease(sync(head, till)).epoch == 2
    # A meter has its money for one day, whichever lease it was sold under.
    assert till.sell(a_sale(8, 1, pan=LUZ), a_sale(9, 2_000)) == [Status.LEASE_METER_LIMIT, Status.OK]
    assert [each["act"] for each in acts(till.path)] == [
        "till_registered",
        "leases_checked",
        *["lease_closed", "lease_accepted"] * 2,
    ]
    assert [each["details"]["epoch"] for each in acts(head.path) if each["act"] == "lease_issued"] == [1, 2]
    assert audit(till.path)[0].requests == 4


def test_what_was_decided_stays_decided(head: HeadEnd, till: TillStation) -> None:
    """A sale asked for again gets its digits and is counted once, also when its lease is closed; a refusal stays one."""
    sync(head, till)
    minted = till.ask(a_sale(1))
    assert till.ask(a_sale(1)) == minted
    assert till.left().sales == LIMITS.sales_max - 1
    assert till.sell(a_sale(2, 4_001)) == [Status.LEASE_SALE_LIMIT]
    till.close()
    assert till.ask(a_sale(1)) == minted
    sync(head, till)
    assert till.sell(a_sale(2, 4_001)) == [Status.LEASE_SALE_LIMIT]


def test_the_limits_count_within_one_batch(head: HeadEnd, till: TillStation) -> None:
    """Sales that are decided in one transaction see each other."""
    sync(head, till)
    sales = [a_sale(each, 2_500, pan=ANA if each % 2 else LUZ) for each in range(1, 7)]
    decided = till.log.decide([Candidate(request=sale) for sale in sales])
    assert [each.status for each in decided] == [Status.OK] * 4 + [Status.LEASE_METER_LIMIT] * 2
    assert till.left().centavos == 0


def test_nothing_but_credit_is_made_at_a_till(head: HeadEnd, till: TillStation) -> None:
    """Engineers' tokens, key changes and other keys than the lease names are refused; a till's clock is accepted by nobody."""
    sync(head, till)
    assert till.sell(a_sale(1, register_id=5)) == [Status.LEASE_FORBIDS]  # Key revision 2.
    engineering = EngineeringRequest(
        request_id=2,
        register_id=1,
        pan=ANA,
        tariff_index=1,
        encryption_algorithm=7,
        kind=EngineeringKind.CLEAR_TAMPER,
        value=0,
        tid=5,
    )
    assert till.status(engineering, Role.ENGINEER) is Status.LEASE_FORBIDS
    change = KeyChangeRequest(
        request_id=3,
        from_register_id=1,
        to_register_id=5,
        pan=ANA,
        from_tariff_index=1,
        to_tariff_index=1,
        encryption_algorithm=7,
        sections=2,
    )
    assert till.status(change) is Status.LEASE_FORBIDS
    assert till.status(AcceptClock(), Role.OPERATOR) is Status.WRONG_MODULE


def test_each_kind_of_module_has_its_own_commands(head: HeadEnd, till: TillStation) -> None:
    """A till gives no leases, a head-end accepts none."""
    assert till.status(AskLease(statement=till.close()), Role.VENDOR_TERMINAL) is Status.WRONG_MODULE
    assert till.status(RevokeTerminal(terminal_id=TERMINAL), Role.CUSTODIAN) is Status.WRONG_MODULE
    for request in (AcceptLease(lease=b"x"), CloseLease(), ReadLease()):
        assert head.status(request) is Status.WRONG_MODULE


def test_the_same_question_has_the_same_lease(head: HeadEnd, till: TillStation) -> None:
    """Asked again, also after a restart, it is the same lease, which is in the audit once; accepted again it is in force still."""
    statement = till.close()
    lease = head.lease_for(statement)
    assert head.lease_for(statement) == lease
    head.again()
    assert head.lease_for(statement) == lease
    assert [each["act"] for each in acts(head.path)].count("lease_issued") == 1
    assert [till.accept(lease), till.accept(lease)] == [Status.OK, Status.OK]
    till.sell(a_sale(1))
    assert till.accept(lease) is Status.OK
    assert till.left().sales == LIMITS.sales_max - 1


def test_a_till_killed_between_any_two_steps(head: HeadEnd, till: TillStation) -> None:
    """What was committed and not answered is answered alike after the start: closing, lease, acceptance, and what was sold."""
    lease = sync(head, till)
    till.sell(a_sale(1), a_sale(2, 3_000, pan=LUZ))
    left = till.left()
    till.again()
    assert (
        till.left()
        == left
        == LeaseLeft(
            epoch=1,
            is_in_force=True,
            sales=6,
            centavos=6_000_00,
            units_tenths=480,
            not_after_unix_seconds=read_lease(lease).not_after_unix_seconds,
        )
    )
    assert till.sell(a_sale(3, 3_001, pan=LUZ)) == [Status.LEASE_METER_LIMIT]
    statement = till.close()
    till.again()
    assert till.close() == statement
    assert till.accept(lease) is Status.LEASE_REPLAYED
    assert not till.left().is_in_force
    assert till.accept(head.lease_for(statement)) is Status.OK
    assert till.accept(lease) is Status.LEASE_REPLAYED


def test_a_lease_leaves_after_it_was_counted(head: HeadEnd, till: TillStation, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, no lease leaves; killed after the commit and before the answer, the same lease is given later."""
    statement = till.close()
    with sqlite3.connect(head.path) as other:
        head.log.database.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        assert head.refusal_of(statement) is Status.INTERNAL_ERROR
        other.execute("ROLLBACK")
    assert "lease_issued" not in [each["act"] for each in acts(head.path)]
    with monkeypatch.context() as patched:
        # As if the process were gone: the commit is there, the answer is not.
        patched.setattr(head.log, "record_with", _gone_after(head.log.record_with))
        assert head.refusal_of(statement) is Status.INTERNAL_ERROR
    head.again()
    lease = head.lease_for(statement)
    assert read_lease(lease).epoch == 1
    assert [each["act"] for each in acts(head.path)].count("lease_issued") == 1
    assert till.accept(lease) is Status.OK


def _gone_after(work: Callable[..., None]) -> Callable[..., None]:
    def do(*arguments: Any, **named: Any) -> None:
        work(*arguments, **named)
        raise sqlite3.OperationalError("gone")

    return do


def test_a_failed_write_takes_nothing_from_the_lease(head: HeadEnd, till: TillStation) -> None:
    """A mint that is not on the disk leaves the lease as it was."""
    sync(head, till)
    before = till.left()
    with sqlite3.connect(till.path) as other:
        till.log.database.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        assert till.sell(a_sale(1)) == [Status.INTERNAL_ERROR]
        other.execute("ROLLBACK")
    assert till.left() == before
    assert till.sell(a_sale(1)) == [Status.OK]
    assert till.left().sales == before.sales - 1


def test_a_write_whose_answer_was_lost_is_counted(
    head: HeadEnd, till: TillStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took the mint and said that it did not: what is left is what stands on the disk."""
    sync(head, till)
    with monkeypatch.context() as patched:
        patched.setattr(mint_store, "write", _gone_after(mint_store.write))
        assert till.sell(a_sale(1)) == [Status.INTERNAL_ERROR]
    assert till.left().sales == LIMITS.sales_max - 1
    assert till.sell(a_sale(1)) == [Status.OK]
    assert till.left().sales == LIMITS.sales_max - 1


def test_meters_of_days_that_are_over_are_forgotten(head: HeadEnd, till: TillStation) -> None:
    """The next day a meter may buy again, also after a restart, and the store holds that day only."""
    sync(head, till)
    assert till.sell(a_sale(1, 3_000), a_sale(2, 3_000), a_sale(3, 500, pan=LUZ)) == [Status.OK] * 3
    head.times.go_on(hours=24)
    till.again()
    assert till.sell(a_sale(4, 3_000)) == [Status.OK]
    till.again()
    assert till.sell(a_sale(5, 3_001)) == [Status.LEASE_METER_LIMIT]
    rows = till.log.database.execute("SELECT local_day, charged_centavos FROM till_meter").fetchall()
    assert rows == [("2026-03-02", 3_000_00)]


def test_other_limits_count_from_the_next_lease(head: HeadEnd, till: TillStation, keys: ModuleKeys) -> None:
    """What two people changed is in the audit at the start; the lease in force stays as it was signed."""
    sync(head, till)
    smaller = a_vendor(limits=replace(LIMITS, credit_centavos=500_00))
    head.again(head_keys(keys, smaller))
    (changed,) = [each["details"] for each in acts(head.path) if each["act"] == "terminal_changed"]
    assert changed["after"]["limits"]["credit_centavos"] == 500_00
    assert till.sell(a_sale(1, 600)) == [Status.OK]
    sync(head, till)
    assert till.sell(a_sale(2, 600), a_sale(3, 500)) == [Status.LEASE_MONEY_LIMIT, Status.OK]
    head.again()
    assert [each["act"] for each in acts(head.path)].count("terminal_changed") == 1


def test_a_closing_is_signed_over_the_chain(head: HeadEnd, till: TillStation) -> None:
    """The link of a statement is that of the record of the closing: who has the till's audit can prove one by the other."""
    sync(head, till)
    till.sell(a_sale(1))
    octets = till.close()
    statement: Statement = read_statement(octets)
    prove(octets, b"eudora lease closing\x00", public_key(bytes([2]) * 32))
    rows = sqlite3.connect(till.path).execute("SELECT line, link FROM record WHERE sequence = ?", (statement.sequence,))
    ((line, link),) = rows.fetchall()
    assert json.loads(line)["act"] == "lease_closed"
    assert link == statement.link
    assert json.loads(line)["details"] == {
        "epoch": 1,
        "sales": 1,
        "charged_centavos": 1_000_00,
        "units_tenths": 10,
    }


def test_terminals_and_tills_are_sealed(keys: ModuleKeys) -> None:
    """They come back out of the store as they were; a till gives no leases."""
    kek = kek_from_passphrase(Secret(b"a passphrase of tests"), bytes)
    for each in (head_keys(keys), till_keys(keys)):
        assert unseal(seal(each, kek, bytes), kek) == each
    with pytest.raises(ValueError, match="gives no leases"):
        replace(till_keys(keys), vendors={TERMINAL: a_vendor()})
