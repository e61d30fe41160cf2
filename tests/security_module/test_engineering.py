"""Tokens of engineers and key changes: what registers allow, that they do on a meter what they say, and once under their id."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.security_module import (
    Command,
    DecoderKey,
    DecoderKeyReply,
    EngineeringKind,
    EngineeringReply,
    EngineeringRequest,
    KeyChangeReply,
    KeyChangeRequest,
    MintReply,
    Refused,
    Reply,
    Status,
    VerifyToken,
    VerifyTokenReply,
)
from security_module.audit_file import audit
from security_module.engineering_rules import find_engineering_refusal, find_key_change_refusal
from security_module.minting import Mint
from security_module.registers import ModuleKeys, VendingRegister
from security_module.roles import Role
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.decode import Management, decode
from sts.errors import TokenCrcError
from sts.meter import MeterKey, MeterResult, MeterRules, MeterState, enter, manufacture
from sts.mint import currency_token, meter_test_token
from sts.tables import load_tables
from sts.tid import tid_at
from tests.security_module.conftest import NOW
from tests.security_module.test_module_session import PAN, TID, Bench, a_mint
from vending.secret import Secret

STA, MISTY1 = 7, 11


def an_order(request_id: int = 100, **changes: Any) -> EngineeringRequest:
    """A token that clears a tamper."""
    first = EngineeringRequest(
        request_id=request_id,
        register_id=1,
        pan=PAN,
        tariff_index=1,
        encryption_algorithm=STA,
        kind=EngineeringKind.CLEAR_TAMPER,
        value=0,
        tid=TID,
    )
    return replace(first, **changes)


def a_change(request_id: int = 200, **changes: Any) -> KeyChangeRequest:
    """One revision on."""
    first = KeyChangeRequest(
        request_id=request_id,
        from_register_id=1,
        to_register_id=5,
        pan=PAN,
        from_tariff_index=1,
        to_tariff_index=1,
        encryption_algorithm=STA,
        sections=2,
    )
    return replace(first, **changes)


@pytest.fixture
def bench(keys: ModuleKeys, tmp_path: Path) -> Iterator[Bench]:
    """A fresh module."""
    made = Bench(keys, tmp_path / "mint.sqlite3")
    with closing(made.log):
        yield made


def a_meter(bench: Bench, register: VendingRegister, ea: int, tariff_index: int = 1) -> MeterState:
    """The meter of `PAN` under a register, new."""
    asked = DecoderKey(register_id=register.register_id, pan=PAN, tariff_index=tariff_index, encryption_algorithm=ea)
    given_key = bench.ask(asked, Role.MANUFACTURER)
    assert isinstance(given_key, DecoderKeyReply)
    key = MeterKey(
        decoder_key=given_key.key.reveal(),
        key_type=register.key_type,
        key_revision_number=register.key_revision_number,
        tariff_index=tariff_index,
        key_expiry_number=register.key_expiry_number,
        supply_group_code=register.supply_group_code,
    )
    made = tid_at(NOW - timedelta(days=400), register.base_date)
    return replace(manufacture(MeterRules(encryption_algorithm=EncryptionAlgorithm(ea)), key, made), is_tampered=True)


def tokens_of(reply: Reply) -> list[str]:
    """The digits in an answer."""
    assert isinstance(reply, MintReply | KeyChangeReply | EngineeringReply), reply
    return [reply.token.reveal()] if isinstance(reply, EngineeringReply) else [each.reveal() for each in reply.tokens]


@pytest.mark.parametrize("ea", [STA, MISTY1])
@pytest.mark.parametrize(
    ("kind", "value", "attribute", "expected", "words"),
    [
        (EngineeringKind.POWER_LIMIT, 3000, "power_limit_watts", 3000, "power limit: 3000 W"),
        (EngineeringKind.PHASE_UNBALANCE, 20_000, "phase_unbalance_watts", 20_004, "phase unbalance limit: 20004 W"),
        (EngineeringKind.CLEAR_CREDIT, 0, "registers", (0,) * 8, "clear the credit of register 0"),
        (EngineeringKind.CLEAR_CREDIT, 0xFFFF, "registers", (0,) * 8, "clear all credit"),
        (EngineeringKind.CLEAR_TAMPER, 0, "is_tampered", False, "clear tamper"),
    ],
)
def test_an_engineers_token_does_on_the_meter_what_it_says(
    bench: Bench,
    keys: ModuleKeys,
    ea: int,
    kind: EngineeringKind,
    value: int,
    attribute: str,
    expected: Any,
    words: str,
) -> None:
    """The meter takes it once, the module says what it is, and large watts are rounded up as units are."""
    (token,) = tokens_of(bench.ask(an_order(kind=kind, value=value, encryption_algorithm=ea, tid=TID), Role.ENGINEER))
    meter = replace(a_meter(bench, keys.vending[1], ea), registers=(50, *(0,) * 7))
    taken = enter(meter, token, load_tables())
    assert taken.result is MeterResult.ACCEPT
    assert getattr(taken.state, attribute) == expected
    assert enter(taken.state, token, load_tables()).result is MeterResult.USED_ERROR
    said = bench.ask(
        VerifyToken(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=ea, token=Secret(token)), Role.AUDITOR
    )
    assert isinstance(said, VerifyTokenReply)
    assert (said.token_class, said.subclass, said.tid, said.words) == (2, kind.subclass, TID, words)


def test_a_test_is_the_published_one_and_needs_no_key(bench: Bench) -> None:
    """All tests, maker 0, is the token of the standard; it has no identifier."""
    everything = EngineeringKind.TEST.value_max
    (token,) = tokens_of(bench.ask(an_order(kind=EngineeringKind.TEST, value=everything, tid=0), Role.ENGINEER))
    assert token == "56493153725450313471"
    (wide,) = tokens_of(
        bench.ask(an_order(101, kind=EngineeringKind.WIDE_TEST, value=(1 << 28) - 1, tid=0), Role.ENGINEER)
    )
    assert wide == "02305843005052951967"
    asked = VerifyToken(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=STA, token=Secret(token))
    assert bench.ask(asked) == VerifyTokenReply(
        token_class=1, subclass=0, tid=None, amount=everything, words="test: everything"
    )


def test_money_and_other_tests_are_read_too(bench: Bench, keys: ModuleKeys) -> None:
    """A token in currency and a test of two things; a mistyped one is of no meter."""
    key = a_meter(bench, keys.vending[1], STA).key.decoder_key
    money = currency_token(key, EncryptionAlgorithm.STA, load_tables(), 4, TID, 100_000)
    asked = VerifyToken(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=STA, token=Secret(money))
    said = bench.ask(asked)
    assert isinstance(said, VerifyTokenReply)
    assert (said.token_class, said.subclass, said.words) == (0, 4, "credit: $ 1.00004 of electricity")
    said = bench.ask(replace(asked, token=Secret(meter_test_token(0, 0b1001, 3))))
    assert isinstance(said, VerifyTokenReply)
    assert said.words == "test: load switch, key revision, maker 3"
    typo = money[:-1] + str((int(money[-1]) + 1) % 10)
    assert bench.ask(replace(asked, token=Secret(typo))) == Refused(
        command=Command.VERIFY_TOKEN, status=Status.TOKEN_INVALID
    )


@pytest.mark.parametrize(("ea", "sections"), [(STA, 2), (STA, 3), (MISTY1, 4)])
def test_a_meter_takes_its_key_change_and_then_credit_under_the_new_key(
    bench: Bench, keys: ModuleKeys, ea: int, sections: int
) -> None:
    """Credit first is refused; every section is taken; then the credit is; and the sections again are of no use."""
    changing = tokens_of(bench.ask(a_change(encryption_algorithm=ea, sections=sections)))
    (credit, *_) = tokens_of(bench.ask(a_mint(register_id=5, encryption_algorithm=ea)))
    assert len(changing) == sections
    meter = a_meter(bench, keys.vending[1], ea)
    assert enter(meter, credit, load_tables()).result is MeterResult.CRC_ERROR
    state = meter
    for token in changing:
        said = bench.ask(
            VerifyToken(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=ea, token=Secret(token))
        )
        assert isinstance(said, VerifyTokenReply)
        assert said.words.startswith(f"key change, part {said.amount}")
        state = enter(state, token, load_tables()).state
    assert (state.key.key_revision_number, state.key.tariff_index) == (2, 1)
    assert state.tid_store == meter.tid_store
    assert enter(state, credit, load_tables()).result is MeterResult.ACCEPT
    assert enter(state, changing[0], load_tables()).result is MeterResult.CRC_ERROR


def test_a_new_base_date_makes_the_meter_forget_its_identifiers(keys: ModuleKeys) -> None:
    """From 1993 to 2014: the set says so, and then identifiers begin anew. Back is refused."""
    new = replace(keys.vending[4], replaces=frozenset({3}))
    registers = {3: keys.vending[3], 4: new}
    mint = Mint(registers, load_tables())
    change = a_change(from_register_id=3, to_register_id=4)
    assert find_key_change_refusal(registers[3], new, change, NOW) is None
    back = replace(keys.vending[3], replaces=frozenset({4}))
    assert find_key_change_refusal(new, back, change, NOW) is Status.KEY_CHANGE_FORBIDDEN
    old_key = mint.decoder_key(DecoderKey(register_id=3, pan=PAN, tariff_index=1, encryption_algorithm=STA)).reveal()
    key = MeterKey(
        decoder_key=old_key,
        key_type=KeyType.UNIQUE,
        key_revision_number=1,
        tariff_index=1,
        key_expiry_number=255,
        supply_group_code=1,
    )
    meter = manufacture(MeterRules(encryption_algorithm=EncryptionAlgorithm.STA), key, 16_700_000)
    for token in mint.key_change(change):
        meter = enter(meter, token.reveal(), load_tables()).state
    assert set(meter.tid_store) == {0}
    (credit,) = mint.tokens(a_mint(register_id=4, encryption_algorithm=STA, tokens=((TID, 5),)))
    assert enter(meter, credit.reveal(), load_tables()).result is MeterResult.ACCEPT


FORBIDDEN: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], Status | None]] = [
    ({}, {}, {}, None),
    ({}, {"replaces": frozenset()}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({"is_test": False}, {}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({}, {"is_test": False}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({"key_type": KeyType.DEFAULT}, {}, {}, None),
    ({}, {"key_type": KeyType.INITIALISATION}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({"key_type": KeyType.INITIALISATION}, {"key_type": KeyType.INITIALISATION}, {}, None),
    ({}, {"key_type": KeyType.COMMON}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({"base_date": BaseDate.Y1993}, {}, {}, None),
    ({"base_date": BaseDate.Y2035}, {}, {}, Status.KEY_CHANGE_FORBIDDEN),
    ({"is_inhibited": True, "expires_at": NOW, "issued_until": NOW}, {}, {}, None),
    ({}, {"is_inhibited": True}, {}, Status.VENDING_INHIBITED),
    ({}, {"expires_at": NOW}, {}, Status.REGISTER_EXPIRED),
    ({}, {"active_from": NOW + timedelta(seconds=1)}, {}, Status.NOT_ACTIVE_YET),
    ({}, {"issued_until": NOW}, {}, Status.ISSUE_ENDED),
    ({}, {"encryption_algorithms": frozenset({MISTY1})}, {}, Status.REGISTER_CONTRADICTION),
    ({}, {}, {"sections": 4}, Status.REGISTER_CONTRADICTION),
    ({}, {}, {"encryption_algorithm": MISTY1, "sections": 3}, Status.REGISTER_CONTRADICTION),
    ({}, {}, {"encryption_algorithm": 9}, Status.REGISTER_CONTRADICTION),
]


@pytest.mark.parametrize(("old", "new", "request_changes", "status"), FORBIDDEN)
def test_what_registers_say_of_a_key_change(
    keys: ModuleKeys,
    old: dict[str, Any],
    new: dict[str, Any],
    request_changes: dict[str, Any],
    status: Status | None,
) -> None:
    """The old register may be at its end, the new one must be good, and nothing goes back."""
    registers = replace(keys.vending[1], **old), replace(keys.vending[5], **new)
    assert find_key_change_refusal(*registers, a_change(**request_changes), NOW) is status


def test_a_tariff_index_changes_under_one_register(bench: Bench, keys: ModuleKeys) -> None:
    """Another index is another key; the same one is none."""
    changing = tokens_of(bench.ask(a_change(to_register_id=1, to_tariff_index=7)))
    state = a_meter(bench, keys.vending[1], STA)
    for token in changing:
        state = enter(state, token, load_tables()).state
    assert state.key.tariff_index == 7
    assert bench.ask(a_change(201, to_register_id=1)) == Refused(
        command=Command.METER_KEY_CHANGE, status=Status.KEY_CHANGE_FORBIDDEN
    )


@pytest.mark.parametrize(
    ("register", "changes", "status"),
    [
        ({}, {}, None),
        ({"management": frozenset({0})}, {}, Status.REGISTER_CONTRADICTION),
        ({"key_type": KeyType.DEFAULT}, {}, None),
        ({"key_type": KeyType.INITIALISATION}, {}, Status.REGISTER_CONTRADICTION),
        ({}, {"encryption_algorithm": 9}, Status.REGISTER_CONTRADICTION),
        ({"is_inhibited": True}, {}, Status.VENDING_INHIBITED),
        ({"expires_at": NOW}, {}, Status.REGISTER_EXPIRED),
        ({"issued_until": NOW}, {}, None),
        ({}, {"tid": 5}, Status.TID_OUTSIDE_WINDOW),
        ({"key_expiry_number": 1}, {}, Status.REGISTER_EXPIRED),
        ({"is_inhibited": True}, {"kind": EngineeringKind.TEST, "tid": 0}, Status.VENDING_INHIBITED),
        ({"key_type": KeyType.INITIALISATION}, {"kind": EngineeringKind.TEST, "tid": 0}, None),
    ],
)
def test_what_a_register_says_of_an_engineers_token(
    keys: ModuleKeys, register: dict[str, Any], changes: dict[str, Any], status: Status | None
) -> None:
    """Its functions, its key type, its life and its identifiers; the end of its credit is not the end of its meters."""
    assert find_engineering_refusal(replace(keys.vending[1], **register), an_order(**changes), NOW) is status


def test_one_id_is_one_request_whatever_it_asks_for(bench: Bench, keys: ModuleKeys, tmp_path: Path) -> None:
    """The same digits again, also from another module; the id with other content, or of another kind, is a conflict."""
    for request, other in (
        (an_order(), an_order(kind=EngineeringKind.POWER_LIMIT, value=1)),
        (a_change(), a_change(to_tariff_index=2)),
    ):
        command = Command.ENGINEERING if isinstance(request, EngineeringRequest) else Command.METER_KEY_CHANGE
        first = tokens_of(bench.ask(request, Role.ENGINEER))
        assert tokens_of(bench.ask(request, Role.ENGINEER)) == first
        conflict = Refused(command=command, status=Status.REQUEST_CONFLICT)
        assert bench.ask(other, Role.ENGINEER) == conflict
        assert bench.ask(a_mint(request.request_id)) == Refused(command=Command.MINT, status=Status.REQUEST_CONFLICT)
        second = Bench(keys, tmp_path / f"{request.request_id}.sqlite3")
        with closing(second.log):
            assert tokens_of(second.ask(request, Role.ENGINEER)) == first


def test_every_request_has_one_record_that_shows_no_digit(bench: Bench) -> None:
    """In the chain, before its tokens leave, and no counter of credit has moved."""
    digits = tokens_of(bench.ask(an_order(), Role.ENGINEER)) + tokens_of(bench.ask(a_change()))
    bench.ask(a_change())
    rows = bench.log._database.execute("SELECT line FROM record ORDER BY sequence").fetchall()
    records = [json.loads(line) for (line,) in rows]
    assert [each["kind"] for each in records] == ["engineering", "key_change"]
    assert records[0]["does"] == "clear_tamper"
    assert (records[1]["from"], records[1]["to"]) == ([1, 1], [5, 1])
    text = json.dumps(records)
    assert PAN not in text
    assert not any(each in text for each in digits)
    assert all(count.requests == 0 for count in audit(bench.path))
    assert bench.log.mints_of(NOW.date(), 0) == ()
    bench.ask(a_mint())
    assert [each.tokens for each in bench.log.mints_of(NOW.date(), 0)] == [2]


@settings(max_examples=40, deadline=None)
@given(
    change=st.sampled_from(["pan", "supply_group_code", "key_revision_number", "tariff_index"]),
    ea=st.sampled_from([STA, MISTY1]),
    value=st.integers(0, 16_000),
)
def test_a_token_opens_only_under_its_own_meter_group_revision_and_index(change: str, ea: int, value: int) -> None:
    """One thing changed is another key: not one of the engineers' tokens opens."""
    register = REGISTER
    other = (
        register if change in ("pan", "tariff_index") else replace(register, **{change: getattr(register, change) + 1})
    )
    mint, elsewhere = Mint({1: register}, load_tables()), Mint({1: other}, load_tables())
    order = an_order(kind=EngineeringKind.POWER_LIMIT, value=value, encryption_algorithm=ea)
    (token,) = mint.engineering(order)
    asked = DecoderKey(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=ea)
    if change == "pan":
        asked = replace(asked, pan="600727000000000082"[:17] + "2")
    elif change == "tariff_index":
        asked = replace(asked, tariff_index=2)
    key = elsewhere.decoder_key(asked).reveal()
    algorithm = EncryptionAlgorithm(ea)
    own = mint.decoder_key(DecoderKey(register_id=1, pan=PAN, tariff_index=1, encryption_algorithm=ea)).reveal()
    assert isinstance(decode(token.reveal(), own, algorithm, load_tables()), Management)
    with pytest.raises(TokenCrcError):
        decode(token.reveal(), key, algorithm, load_tables())


REGISTER = VendingRegister(
    register_id=1,
    supply_group_code=201_457,
    key_revision_number=1,
    key_expiry_number=255,
    base_date=BaseDate.Y2014,
    key_type=KeyType.UNIQUE,
    key_algorithm=KeyAlgorithm.DKGA04,
    encryption_algorithms=frozenset({EncryptionAlgorithm.STA, EncryptionAlgorithm.MISTY1}),
    subclasses=frozenset({0}),
    active_from=NOW,
    expires_at=None,
    tid_window_minutes=None,
    units_per_token_max_tenths=16_383,
    units_limit_tenths=None,
    is_inhibited=False,
    is_test=True,
    key=Secret(bytes(range(20))),
    selection_secret=Secret(bytes(32)),
)
