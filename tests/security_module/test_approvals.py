"""Two signatures behind a request: whose count, when, for what; and what a register gives without them."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.approval_file import ApprovalFileError, approval_text, read_approval
from messages.security_module import (
    Approval,
    Command,
    EngineeringReply,
    EngineeringRequest,
    KeyChangeReply,
    KeyChangeRequest,
    MintReply,
    MintRequest,
    Refused,
    Reply,
    Status,
)
from security_module.approvals import (
    APPROVAL_SECONDS_MAX,
    PersonKeyError,
    approved_by,
    make_person_key,
    read_person_key,
    sign_approval,
)
from security_module.audit_file import audit
from security_module.ceremony_dialogue import more_keys
from security_module.ceremony_texts import texts_in
from security_module.custody import Opened
from security_module.key_store import seal, unseal
from security_module.mint_log import Candidate, MintLog
from security_module.registers import Approver, ModuleKeys
from security_module.roles import Role
from security_module.sealed_store import kek_from_passphrase
from tests.security_module.conftest import NOW
from tests.security_module.people import Screen, lead
from tests.security_module.test_engineering import a_change, an_order
from tests.security_module.test_module_session import Bench, a_mint
from vending.money import Centavos
from vending.secret import Secret

ANA, LUZ, ANAS_OTHER, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32) for each in range(1, 5))
SOON = int(NOW.timestamp()) + 3600


def public(key: Ed25519PrivateKey) -> str:
    """As it is enrolled."""
    return key.public_key().public_bytes_raw().hex()


APPROVERS = {
    public(key): Approver(name=name, public_key=public(key))
    for key, name in ((ANA, "ana"), (LUZ, "luz"), (ANAS_OTHER, "ana"))
}
Approvable = EngineeringRequest | KeyChangeRequest | MintRequest


def signed(request: Any, *keys: Ed25519PrivateKey, expires: int = SOON) -> Any:
    """The request with approvals."""
    return replace(request, approvals=tuple(sign_approval(request, key, expires) for key in keys))


REQUESTS = [an_order(), a_change(), a_mint(charged_centavos=Centavos(0))]


@pytest.mark.parametrize("request_", REQUESTS, ids=["engineering", "key change", "free"])
def test_two_people_approve_one_request(request_: Approvable) -> None:
    """Two enrolled people, not one twice, not a stranger, not yesterday, not for another request."""
    assert approved_by(signed(request_, ANA, LUZ), APPROVERS, NOW) == ("ana", "luz")
    for keys in ((ANA,), (ANA, ANA), (ANA, ANAS_OTHER), (ANA, STRANGER), (ANA, LUZ, STRANGER)):
        assert approved_by(signed(request_, *keys), APPROVERS, NOW) == ()
    late = int(NOW.timestamp())
    assert approved_by(signed(request_, ANA, LUZ, expires=late), APPROVERS, NOW) == ()
    assert approved_by(signed(request_, ANA, LUZ, expires=late + APPROVAL_SECONDS_MAX + 1), APPROVERS, NOW) == ()
    assert approved_by(signed(request_, ANA, LUZ), APPROVERS, NOW + timedelta(hours=1)) == ()
    moved = replace(request_, approvals=signed(request_, ANA, LUZ).approvals, request_id=request_.request_id + 1)
    assert approved_by(moved, APPROVERS, NOW) == ()


@pytest.mark.parametrize(
    "changes",
    [{"value": 1}, {"pan": "600727000000000082"}, {"register_id": 2}, {"kind": a_change}],
    ids=["amount", "meter", "register", "kind"],
)
def test_a_signature_is_for_one_meter_kind_amount_and_register(changes: dict[str, Any]) -> None:
    """What somebody changed after it was signed is not approved."""
    order = an_order()
    approvals = signed(order, ANA, LUZ).approvals
    other = a_change(order.request_id) if "kind" in changes else replace(order, **changes)
    assert approved_by(replace(other, approvals=approvals), APPROVERS, NOW) == ()


@pytest.fixture
def bench(keys: ModuleKeys, tmp_path: Path) -> Iterator[Bench]:
    """A module whose registers give one of each without approvals."""
    limited = {
        each: replace(register, unapproved_per_day_max=1, key_changes_per_day_max=1)
        for each, register in keys.vending.items()
    }
    made = Bench(replace(keys, vending=limited), tmp_path / "mint.sqlite3")
    made.log._approvers = APPROVERS
    with closing(made.log):
        yield made


def is_done(reply: Reply) -> bool:
    """Whether tokens came."""
    return isinstance(reply, EngineeringReply | KeyChangeReply | MintReply)


def test_beyond_the_quota_only_approvals_help(bench: Bench) -> None:
    """The second of a day needs two people; it may be asked again with them; a repeat of the first needs none."""
    assert is_done(bench.ask(an_order(1), Role.ENGINEER))
    second = an_order(2)
    needed = Refused(command=Command.ENGINEERING, status=Status.APPROVAL_NEEDED)
    invalid = Refused(command=Command.ENGINEERING, status=Status.APPROVAL_INVALID)
    assert bench.ask(second, Role.ENGINEER) == needed
    assert bench.ask(signed(second, ANA, ANAS_OTHER), Role.ENGINEER) == invalid
    assert bench.ask(second, Role.ENGINEER) == needed
    first = bench.ask(signed(second, ANA, LUZ), Role.ENGINEER)
    assert is_done(first)
    assert bench.ask(second, Role.ENGINEER) == first
    assert is_done(bench.ask(an_order(1), Role.ENGINEER))
    assert bench.ask(an_order(3), Role.ENGINEER) == needed
    audit(bench.path)


def test_free_credit_counts_with_engineering_and_paid_credit_not_at_all(bench: Bench) -> None:
    """A stolen switch mints no free token beyond the quota, whether it says nothing or zero."""
    free = a_mint(1, tokens=a_mint().tokens[:1], charged_centavos=Centavos(0))
    assert is_done(bench.ask(free))
    for charged in (Centavos(0), None):
        again = replace(free, request_id=2, charged_centavos=charged)
        assert bench.ask(again) == Refused(command=Command.MINT, status=Status.APPROVAL_NEEDED)
    assert is_done(bench.ask(replace(free, request_id=3, charged_centavos=Centavos(5))))
    assert is_done(bench.ask(signed(replace(free, request_id=2), ANA, LUZ)))
    assert bench.ask(an_order(9), Role.ENGINEER) == Refused(command=Command.ENGINEERING, status=Status.APPROVAL_NEEDED)


def test_a_key_change_beyond_the_quota_is_refused_for_ever_under_its_id(bench: Bench) -> None:
    """So that a sale can be voided; under a new id two people may still have it."""
    assert is_done(bench.ask(a_change(1)))
    refused = Refused(command=Command.METER_KEY_CHANGE, status=Status.KEY_CHANGE_LIMIT_EXCEEDED)
    assert refused.status.is_refusal
    assert bench.ask(a_change(2)) == refused
    assert bench.ask(signed(a_change(2), ANA, LUZ)) == refused
    assert is_done(bench.ask(signed(a_change(3), ANA, LUZ)))


def test_the_quota_survives_a_restart_and_ends_with_the_day(keys: ModuleKeys, tmp_path: Path) -> None:
    """It is read back from the records of the day; those that were approved do not count."""
    registers = {1: replace(keys.vending[1], unapproved_per_day_max=2, tid_window_minutes=None)}
    now = NOW

    def decide(request: EngineeringRequest) -> Status:
        with closing(MintLog(tmp_path / "log", registers, lambda: now, approvers=APPROVERS)) as log:
            return log.decide([Candidate(request=request)])[0].status

    told = [decide(each) for each in (an_order(1), signed(an_order(2), ANA, LUZ), an_order(3), an_order(4))]
    assert told == [Status.OK, Status.OK, Status.OK, Status.APPROVAL_NEEDED]
    now = NOW + timedelta(days=1)
    assert decide(an_order(4)) is Status.OK


def test_a_persons_key_is_under_a_passphrase() -> None:
    """It opens with it alone, and is the key that was enrolled."""
    pem, enrolled = make_person_key(Secret("a long passphrase"))
    assert public(read_person_key(pem, Secret("a long passphrase"))) == enrolled
    assert b"ENCRYPTED" in pem
    for wrong in (pem, b"no key"):
        with pytest.raises(PersonKeyError):
            read_person_key(wrong, Secret("another passphrase"))
    with pytest.raises(PersonKeyError, match="at least 12"):
        make_person_key(Secret("short"))


def test_an_approval_travels_in_a_file(tmp_path: Path) -> None:
    """As it was, or not at all."""
    approval = sign_approval(an_order(), ANA, SOON)
    path = tmp_path / "ana.approval"
    path.write_text(approval_text(approval))
    assert read_approval(path) == approval
    for text in ("", "{}", "[1]", approval_text(approval).replace('"eudora_approval": 1', '"eudora_approval": 2')):
        path.write_text(text)
        with pytest.raises(ApprovalFileError):
            read_approval(path)
    short = Approval(public_key=b"1", expires_unix_seconds=1, signature=b"2")
    path.write_text(approval_text(short))
    with pytest.raises(ApprovalFileError):
        read_approval(path)


def test_people_enrol_those_who_approve_and_set_the_quotas(keys: ModuleKeys) -> None:
    """At the ceremony, with the fingerprint confirmed by two; it is sealed with the keys, and shown before."""
    kek = kek_from_passphrase(Secret(b"0123456789ab"), lambda count: bytes(count))
    lines = (
        "Olga",
        "Ana",
        "Beto",
        "4",
        "Ana Rojas",
        public(ANA),
        "s",
        "s",
        "5",
        "99",
        "5",
        "3",
        "",
        "0",
        "SELLAR",
        "SELLAR",
    )
    screen = Screen()
    outcome = lead(
        more_keys(
            texts_in("es"),
            Opened(keys=keys, kek=kek),
            now=datetime(2026, 3, 1, tzinfo=UTC),
            random_octets=lambda count: bytes(count),
        ),
        lines,
        screen,
    )
    changed = outcome.opened.keys
    assert changed.approvers == {public(ANA): Approver(name="Ana Rojas", public_key=public(ANA))}
    assert (changed.vending[5].unapproved_per_day_max, changed.vending[5].key_changes_per_day_max) == (3, None)
    assert "unapproved 3" in "".join(screen.pages)
    assert unseal(seal(changed, kek, lambda count: bytes(count)), kek) == changed
