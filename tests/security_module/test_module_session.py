"""One conversation in memory: roles, mints, MACs, refusals, and the group commit behind it."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from messages.security_module import (
    AcceptClock,
    AcceptLease,
    AskLease,
    CloseLease,
    Command,
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    EngineeringKind,
    EngineeringRequest,
    FindMints,
    FindMintsReply,
    FrameReader,
    GenerateMac,
    Identify,
    IdentifyReply,
    KeyChangeRequest,
    LinkError,
    ListMints,
    ListMintsReply,
    ListWork,
    ListWorkReply,
    MacKey,
    MacReply,
    MacVerified,
    MakeSessionKey,
    MintReply,
    MintRequest,
    ReadCounters,
    ReadLease,
    Refused,
    Reply,
    Request,
    RetireKey,
    RevokeTerminal,
    Status,
    TakeSessionKey,
    VerifyMac,
    VerifyToken,
    VerifyTokenReply,
    WorkRecord,
    decode_reply,
    encode_request,
)
from security_module import group_commit, session
from security_module.main import assemble
from security_module.mint_log import MintLog
from security_module.mint_store import IS_WORK, open_readonly
from security_module.registers import ModuleKeys
from security_module.roles import Role
from security_module.server import Links, stop
from security_module.session import Session
from sts.codes import BaseDate, EncryptionAlgorithm
from sts.decode import UnitCredit, decode
from sts.tables import load_tables
from sts.tid import tid_at
from tests.security_module.conftest import NOW
from vending.calendar import local_date
from vending.money import Centavos, Tenths
from vending.secret import Secret

PAN = "600727000000000009"
TID = tid_at(NOW, BaseDate.Y2014)
X919 = MacKey(register_id=10, scheme="X9.19", diversifier="T0000001")


def a_mint(request_id: int = 1, **changes: Any) -> MintRequest:
    first = MintRequest(
        request_id=request_id,
        register_id=1,
        pan=PAN,
        tariff_index=1,
        encryption_algorithm=11,
        subclass=0,
        tokens=((TID, Tenths(16383)), (TID + 1, Tenths(7))),
    )
    return replace(first, **changes)


@dataclass
class HeldThread:
    """A writer thread that runs when the test says so."""

    held: list[tuple[Callable[[], Any], "Deferred[Any]"]] = field(default_factory=list)

    def __call__(self, work: Callable[[], Any], /) -> "Deferred[Any]":
        self.held.append((work, Deferred()))
        return self.held[-1][1]

    def run(self) -> None:
        work, done = self.held.pop(0)
        try:
            result = work()
        except sqlite3.Error:
            done.errback()
        else:
            done.callback(result)


class Bench:
    """A module in memory with its writer thread held."""

    def __init__(self, keys: ModuleKeys, path: Path) -> None:
        self.path = path
        self.log = MintLog(path, keys.vending, lambda: NOW)
        self.thread = HeldThread()
        self.links: Links = assemble(keys, self.log, Clock(), self.thread, lambda: NOW)
        self.told: list[Session] = []

    def session(self, role: Role = Role.SWITCH) -> Session:
        return Session(self.links.module, role, self.told.append)

    def ask(self, request: Request, role: Role = Role.SWITCH) -> Reply:
        conversation = self.session(role)
        conversation.receive(encode_request(5, request))
        while self.thread.held:
            self.thread.run()
        ((correlation_id, reply),) = read(conversation)
        assert correlation_id == 5
        return reply


def read(conversation: Session) -> list[tuple[int, Reply]]:
    return [decode_reply(body) for body in FrameReader().receive(conversation.take_output())]


@pytest.fixture
def bench(keys: ModuleKeys, tmp_path: Path) -> Iterator[Bench]:
    """A fresh module."""
    made = Bench(keys, tmp_path / "mint.sqlite3")
    with closing(made.log):
        yield made


@pytest.mark.parametrize(("register_id", "algorithm", "subclass"), [(1, 11, 0), (1, 7, 1), (2, 7, 2), (4, 7, 0)])
def test_a_minted_token_opens_on_its_meter(bench: Bench, register_id: int, algorithm: int, subclass: int) -> None:
    """The decoder key that the manufacturer gets reads what the switch was sold, and so does the module itself."""
    meter: dict[str, Any] = {"register_id": register_id, "encryption_algorithm": algorithm}
    minted = bench.ask(a_mint(subclass=subclass, **meter))
    assert isinstance(minted, MintReply)
    given = bench.ask(DecoderKey(pan=PAN, tariff_index=1, **meter), Role.MANUFACTURER)
    assert isinstance(given, DecoderKeyReply)
    for token, (tid, units) in zip(minted.tokens, a_mint().tokens, strict=True):
        opened = decode(token.reveal(), given.key.reveal(), EncryptionAlgorithm(algorithm), load_tables())
        assert isinstance(opened, UnitCredit)
        assert (opened.subclass, opened.tid, opened.units_tenths) == (subclass, tid, units)
        asked = VerifyToken(pan=PAN, tariff_index=1, token=token, **meter)
        said = bench.ask(asked)
        assert isinstance(said, VerifyTokenReply)
        assert (said.token_class, said.subclass, said.tid, said.amount) == (0, subclass, tid, units)
        elsewhere = bench.ask(replace(asked, tariff_index=2))
        assert elsewhere == Refused(command=Command.VERIFY_TOKEN, status=Status.TOKEN_INVALID)


def test_the_same_request_gives_the_same_digits(bench: Bench, keys: ModuleKeys, tmp_path: Path) -> None:
    """Again, in another module with the same keys, and with nothing in memory; another id gives other random nibbles."""
    first = bench.ask(a_mint())
    assert bench.ask(a_mint()) == first
    other = Bench(keys, tmp_path / "other.sqlite3")
    with closing(other.log):
        assert other.ask(a_mint()) == first
        assert len({repr(reveal(other.ask(a_mint(each)))) for each in range(1, 9)}) > 1


def reveal(reply: Reply) -> list[str]:
    assert isinstance(reply, MintReply)
    return [token.reveal() for token in reply.tokens]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"register_id": 99}, Status.UNKNOWN_REGISTER),
        ({"register_id": 10}, Status.UNKNOWN_REGISTER),
        ({"pan": "600727000000000008"}, Status.PAN_INVALID),
        ({"encryption_algorithm": 9}, Status.REGISTER_CONTRADICTION),
        ({"register_id": 2}, Status.REGISTER_CONTRADICTION),
        ({"register_id": 4}, Status.REGISTER_CONTRADICTION),
        ({"subclass": 3}, Status.REGISTER_CONTRADICTION),
        ({"tokens": ((5, Tenths(1)),)}, Status.TID_OUTSIDE_WINDOW),
        ({"tokens": ((TID, Tenths(16384)),)}, Status.TOKEN_TOO_LARGE),
    ],
)
def test_a_refused_mint_is_answered_with_its_reason(bench: Bench, changes: dict[str, Any], status: Status) -> None:
    """No token leaves and nothing is counted."""
    assert bench.ask(a_mint(**changes)) == Refused(command=Command.MINT, status=status)
    assert status.is_refusal
    assert all(count.requests == 0 for count in bench.log.counts())


REQUESTS: dict[Command, Request] = {
    Command.MINT: a_mint(),
    Command.VERIFY_TOKEN: VerifyToken(
        register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=7, token=Secret("0" * 20)
    ),
    Command.GENERATE_MAC: GenerateMac(key=X919, data=b"data"),
    Command.VERIFY_MAC: VerifyMac(key=X919, mac=bytes(8), data=b"data"),
    Command.COUNTERS: ReadCounters(),
    Command.IDENTIFY: Identify(),
    Command.DECODER_KEY: DecoderKey(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=7),
    Command.LIST_MINTS: ListMints(day=NOW.date(), after_sequence=0),
    Command.LIST_WORK: ListWork(day=NOW.date(), after_sequence=0),
    Command.FIND_MINTS: FindMints(request_ids=(1, 2)),
    Command.ACCEPT_CLOCK: AcceptClock(),
    Command.ENGINEERING: EngineeringRequest(
        request_id=3,
        register_id=1,
        pan=PAN,
        tariff_index=1,
        encryption_algorithm=7,
        kind=EngineeringKind.CLEAR_TAMPER,
        value=0,
        tid=TID,
    ),
    Command.METER_KEY_CHANGE: KeyChangeRequest(
        request_id=4,
        from_register_id=1,
        to_register_id=5,
        pan=PAN,
        from_tariff_index=1,
        to_tariff_index=1,
        encryption_algorithm=7,
        sections=2,
    ),
    Command.MAKE_SESSION_KEY: MakeSessionKey(zone_register_id=12, generation=1),
    Command.TAKE_SESSION_KEY: TakeSessionKey(zone_register_id=12, generation=1, kcv="000000", wrapped=bytes(80)),
    Command.RETIRE_KEY: RetireKey(zone_register_id=12, key=X919, seconds=5),
    Command.ASK_LEASE: AskLease(statement=bytes(200)),
    Command.ACCEPT_LEASE: AcceptLease(lease=bytes(200)),
    Command.CLOSE_LEASE: CloseLease(),
    Command.READ_LEASE: ReadLease(),
    Command.REVOKE_TERMINAL: RevokeTerminal(terminal_id="T0000042"),
}
ALLOWED = {
    Role.SWITCH: "MT KC VT MG MV GK TK RK LA LC LR ID",
    Role.ENGINEER: "EN KC VT ID",
    Role.MANUFACTURER: "DK ID",
    Role.AUDITOR: "CT LM FM LW VT ID",
    Role.OPERATOR: "CT AC ID",
    Role.CUSTODIAN: "RT ID",
    Role.VENDOR_TERMINAL: "LE ID",
}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_ask_what_is_its_own(bench: Bench, role: Role) -> None:
    """Everything else is answered with `permission`, and does nothing; every command of the protocol is tried."""
    assert {*REQUESTS, Command.UNKNOWN} == set(Command)
    for command, request in REQUESTS.items():
        reply = bench.ask(request, role)
        is_refused = reply == Refused(command=command, status=Status.PERMISSION)
        assert is_refused is (command.value not in ALLOWED[role].split())


def test_macs(bench: Bench) -> None:
    """What was generated verifies; another terminal's, another message's and a changed one are a mismatch, not a fault."""
    made = bench.ask(GenerateMac(key=X919, data=b"data"))
    assert isinstance(made, MacReply)
    assert bench.ask(VerifyMac(key=X919, mac=made.mac, data=b"data")) == MacVerified()
    wrong = Refused(command=Command.VERIFY_MAC, status=Status.MAC_MISMATCH)
    changed = bytes([made.mac[0] ^ 1]) + made.mac[1:]
    other = replace(X919, diversifier="T0000002")
    for key, mac, data in ((X919, changed, b"data"), (X919, made.mac, b"date"), (other, made.mac, b"data")):
        assert bench.ask(VerifyMac(key=key, mac=mac, data=data)) == wrong
    unknown = bench.ask(GenerateMac(key=replace(X919, register_id=1), data=b""))
    assert unknown == Refused(command=Command.GENERATE_MAC, status=Status.UNKNOWN_REGISTER)


def test_macs_do_not_wait_for_the_disk(bench: Bench) -> None:
    """A MAC asked for behind a mint is answered while the mint is being written, and the mint only afterwards."""
    conversation = bench.session()
    conversation.receive(encode_request(1, a_mint()) + encode_request(2, GenerateMac(key=X919, data=b"data")))
    assert [correlation_id for correlation_id, _ in read(conversation)] == [2]
    bench.thread.run()
    assert [correlation_id for correlation_id, _ in read(conversation)] == [1]
    assert bench.told == [conversation]


def test_what_arrives_during_a_commit_goes_into_the_next_together(bench: Bench) -> None:
    """One transaction is under way at a time; the others gather behind it, of all links."""
    links = [bench.session() for _ in range(3)]
    for index, conversation in enumerate(links * 2):
        conversation.receive(encode_request(index, a_mint(index)))
    assert len(bench.thread.held) == 1
    bench.thread.run()
    assert len(bench.thread.held) == 1
    bench.thread.run()
    assert not bench.thread.held
    assert [len(read(conversation)) for conversation in links] == [2, 2, 2]


def test_a_disk_error_is_an_unknown_outcome(bench: Bench) -> None:
    """The client is told to ask again, and may."""
    bench.log.close()
    reply = bench.ask(a_mint())
    assert reply == Refused(command=Command.MINT, status=Status.INTERNAL_ERROR)
    assert not Status.INTERNAL_ERROR.is_refusal


@pytest.mark.parametrize("limit", ["link", "queue"])
def test_too_many_mints_are_told_to_come_back(bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Beyond the limit of a link or of the queue nothing is taken on; what was taken on is answered."""
    if limit == "link":
        monkeypatch.setattr(session, "MINTS_PER_LINK_MAX", 2)
    else:
        monkeypatch.setattr(group_commit, "WAITING_MAX", 2)
    conversation = bench.session()
    conversation.receive(b"".join(encode_request(each, a_mint(each)) for each in (1, 2, 3)))
    assert read(conversation) == [(3, Refused(command=Command.MINT, status=Status.OVERLOADED))]
    bench.thread.run()
    assert [correlation_id for correlation_id, _ in read(conversation)] == [1, 2]
    assert isinstance(bench.ask(a_mint(3)), MintReply)


def test_a_register_that_vanished_is_no_verdict(keys: ModuleKeys, tmp_path: Path) -> None:
    """What was minted under a key that is gone cannot be given again, and must not be taken for never minted."""
    before = Bench(keys, tmp_path / "mint.sqlite3")
    with closing(before.log):
        before.ask(a_mint())
    after = Bench(replace(keys, vending={2: keys.vending[2]}), tmp_path / "mint.sqlite3")
    with closing(after.log):
        assert after.ask(a_mint()) == Refused(command=Command.MINT, status=Status.INTERNAL_ERROR)


def test_decoder_keys_of_production_registers_stay(keys: ModuleKeys, tmp_path: Path) -> None:
    """Only a register marked as test gives a key away."""
    guarded = replace(keys, vending={1: replace(keys.vending[1], is_test=False)})
    bench = Bench(guarded, tmp_path / "mint.sqlite3")
    with closing(bench.log):
        reply = bench.ask(REQUESTS[Command.DECODER_KEY], Role.MANUFACTURER)
        assert reply == Refused(command=Command.DECODER_KEY, status=Status.REGISTER_CONTRADICTION)


def test_identify_and_counters(bench: Bench, keys: ModuleKeys) -> None:
    """Who it is, what time it has, which keys it holds, what it minted."""
    bench.ask(a_mint())
    assert bench.ask(Identify(), Role.AUDITOR) == IdentifyReply(
        module_id=keys.module_id,
        role="auditor",
        clock_unix_milliseconds=1_772_366_400_000,
        check_values=keys.check_values(),
    )
    counters = bench.ask(ReadCounters(), Role.AUDITOR)
    assert isinstance(counters, CountersReply)
    assert [(each.register_id, each.requests, each.tokens, each.units_tenths) for each in counters.counts] == [
        (1, 1, 2, 16390),
        (2, 0, 0, 0),
        (3, 0, 0, 0),
        (4, 0, 0, 0),
        (5, 0, 0, 0),
    ]


def test_bad_fields_are_answered_and_bad_frames_end_the_link(bench: Bench) -> None:
    """A malformed request costs nothing but itself; what is no frame ends the link, after the answers before it."""
    conversation = bench.session()
    malformed = bytearray(encode_request(8, REQUESTS[Command.DECODER_KEY]))
    malformed[20] = ord("x")
    unknown = bytearray(encode_request(9, Identify()))
    unknown[13:15] = b"QQ"
    with pytest.raises(LinkError):
        conversation.receive(bytes(malformed + unknown) + b"\xff\xff\xff\xff")
    assert read(conversation) == [
        (8, Refused(command=Command.DECODER_KEY, status=Status.FORMAT_ERROR)),
        (9, Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_COMMAND)),
    ]


def test_a_client_of_another_version_is_told_ours_and_cut(bench: Bench) -> None:
    """It gets its own correlation id back in a frame of our version, behind the answers to what it said before, and no more."""
    conversation = bench.session()
    of_tomorrow = bytearray(encode_request(9, Identify()))
    of_tomorrow[4] = 2
    with pytest.raises(LinkError, match="version 2, not 1"):
        conversation.receive(encode_request(8, REQUESTS[Command.VERIFY_TOKEN]) + bytes(of_tomorrow) + of_tomorrow)
    first, told = read(conversation)
    assert first[0] == 8
    assert told == (9, Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_VERSION))


def test_stopping_finishes_what_was_taken_on(bench: Bench) -> None:
    """At shutdown new mints are sent elsewhere, those under way are answered, and only then is the module gone."""
    conversation = bench.session()
    conversation.receive(encode_request(1, a_mint(1)))
    stopped: list[None] = []
    stop(bench.links, lambda: succeed(None)).addCallback(stopped.append)
    conversation.receive(encode_request(2, a_mint(2)))
    assert read(conversation) == [(2, Refused(command=Command.MINT, status=Status.STOPPING))]
    assert not stopped
    bench.thread.run()
    assert stopped == [None]
    assert [correlation_id for correlation_id, _ in read(conversation)] == [1]


def test_an_auditor_reads_what_was_minted(bench: Bench) -> None:
    """By day, on from a sequence, and by id; a refusal is no mint, and an id never asked is not known."""
    bench.ask(a_mint(1, charged_centavos=Centavos(700)))
    bench.ask(a_mint(2, register_id=99))
    bench.ask(a_mint(3))
    day = local_date(NOW)
    listed = bench.ask(ListMints(day=day, after_sequence=0), Role.AUDITOR)
    assert isinstance(listed, ListMintsReply)
    assert [(each.request_id, each.tokens, each.units_tenths, each.charged_centavos) for each in listed.mints] == [
        (1, 2, 16390, 700),
        (3, 2, 16390, 0),
    ]
    later = bench.ask(ListMints(day=day, after_sequence=listed.mints[0].sequence), Role.AUDITOR)
    assert later == ListMintsReply(mints=listed.mints[1:])
    assert bench.ask(ListMints(day=day + timedelta(days=1), after_sequence=0), Role.AUDITOR) == ListMintsReply(mints=())
    found = bench.ask(FindMints(request_ids=(1, 2, 3, 4)), Role.AUDITOR)
    assert isinstance(found, FindMintsReply)
    assert dict(found.found) == {1: Status.OK, 2: Status.UNKNOWN_REGISTER, 3: Status.OK}


def test_an_auditor_reads_what_engineers_were_given(bench: Bench) -> None:
    """Each token that is no credit, by id, with what it does; a mint and a refusal are not among them; by day, on from a sequence."""
    order, change = REQUESTS[Command.ENGINEERING], REQUESTS[Command.METER_KEY_CHANGE]
    assert isinstance(order, EngineeringRequest)
    assert isinstance(change, KeyChangeRequest)
    bench.ask(a_mint(1))
    bench.ask(order, Role.ENGINEER)
    bench.ask(replace(order, request_id=9, register_id=99), Role.ENGINEER)
    bench.ask(change)
    day = local_date(NOW)
    listed = bench.ask(ListWork(day=day, after_sequence=0), Role.AUDITOR)
    assert isinstance(listed, ListWorkReply)
    engineers = WorkRecord(
        sequence=listed.work[0].sequence,
        request_id=3,
        register_id=1,
        from_register_id=1,
        token_class=2,
        subclass=5,
        value=0,
        approvals=0,
    )
    moved = replace(
        engineers, sequence=listed.work[1].sequence, request_id=4, register_id=5, subclass=3, value=change.sections
    )
    assert listed.work == (engineers, moved)
    assert (engineers.is_key_change, moved.is_key_change) == (False, True)
    later = bench.ask(ListWork(day=day, after_sequence=engineers.sequence), Role.AUDITOR)
    assert later == ListWorkReply(work=(moved,))
    assert bench.ask(ListWork(day=day + timedelta(days=1), after_sequence=0), Role.AUDITOR) == ListWorkReply(work=())


def test_the_list_of_work_reads_no_mint(tmp_path: Path, keys: ModuleKeys) -> None:
    """An old day is answered from an index of its own: mints must not wait while a year of them is read."""
    with closing(MintLog(tmp_path / "mint.sqlite3", keys.vending, lambda: NOW)):
        query = f"EXPLAIN QUERY PLAN SELECT line FROM record WHERE {IS_WORK} AND sequence >= 1 AND status = '00'"
        with closing(open_readonly(tmp_path / "mint.sqlite3")) as database:
            plan = " ".join(row[-1] for row in database.execute(query))
    assert "record_of_work" in plan


def test_a_refusal_because_of_the_role_is_in_the_audit_once(bench: Bench) -> None:
    """A client that goes on asking cannot fill the disk."""
    session_ = bench.session(Role.AUDITOR)
    for correlation_id in range(5):
        session_.receive(encode_request(correlation_id, a_mint(correlation_id)))
    while bench.thread.held:
        bench.thread.run()
    assert len(read(session_)) == 5
    rows = sqlite3.connect(bench.path).execute("SELECT line FROM record").fetchall()
    assert [json.loads(line)["details"] for (line,) in rows] == [{"role": "auditor", "command": "MT"}]


def test_questions_to_the_log_are_limited_on_each_link(bench: Bench) -> None:
    """An auditor cannot hold up the mints of everybody."""
    session_ = bench.session(Role.AUDITOR)
    for correlation_id in range(session.QUESTIONS_PER_LINK_MAX + 1):
        session_.receive(encode_request(correlation_id, FindMints(request_ids=(1,))))
    ((_, refused),) = read(session_)
    assert refused == Refused(command=Command.FIND_MINTS, status=Status.OVERLOADED)
    while bench.thread.held:
        bench.thread.run()
    assert len(read(session_)) == session.QUESTIONS_PER_LINK_MAX
