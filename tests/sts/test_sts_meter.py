"""The meter's own checks, as tables of tokens and results."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sts.codes import EncryptionAlgorithm, KeyType
from sts.errors import FieldRangeError
from sts.framing import build_block, encrypt_block, to_digits, transpose
from sts.key_change import NewKey, key_change_tokens
from sts.meter import MeterKey, MeterResult, MeterRules, MeterState, enter, manufacture
from sts.mint import credit_token, currency_token, management_token, meter_test_token
from sts.tables import load_tables

TABLES = load_tables()
STA = EncryptionAlgorithm.STA
MISTY1 = EncryptionAlgorithm.MISTY1
KEYS = {STA: bytes(range(8)), MISTY1: bytes(range(16))}
MADE_TID = 1000


def _meter(
    ea: EncryptionAlgorithm = STA, *, key_type: KeyType = KeyType.UNIQUE, ken: int = 255, **rules: object
) -> MeterState:
    key = MeterKey(
        decoder_key=KEYS[ea],
        key_type=key_type,
        key_revision_number=1,
        tariff_index=1,
        key_expiry_number=ken,
        supply_group_code=123456,
    )
    return manufacture(MeterRules(encryption_algorithm=ea, **rules), key, MADE_TID)  # type: ignore[arg-type]


def _credit(tid: int, units: int = 10, subclass: int = 0, ea: EncryptionAlgorithm = STA) -> str:
    return credit_token(KEYS[ea], ea, TABLES, subclass, 5, tid, units)


def _manage(subclass: int, tid: int, value: int) -> str:
    return management_token(KEYS[STA], STA, TABLES, subclass, 5, tid, value)


def _new_key(ea: EncryptionAlgorithm = STA, **fields: object) -> NewKey:
    new = NewKey(
        decoder_key=bytes(range(100, 100 + ea.key_octets)),
        supply_group_code=654321,
        key_revision_number=2,
        key_type=KeyType.UNIQUE,
        tariff_index=7,
        key_expiry_number=0xA5,
        is_rollover=False,
    )
    return replace(new, **fields)  # type: ignore[arg-type]


def _enter_all(state: MeterState, tokens: Sequence[str], at_seconds: int = 0) -> tuple[MeterState, list[str]]:
    results = []
    for token in tokens:
        entered = enter(state, token, TABLES, at_seconds)
        state = entered.state
        results.append(entered.result.value)
    return state, results


def test_the_same_token_is_accepted_once() -> None:
    """The second time the register does not move."""
    state, results = _enter_all(_meter(), [_credit(2000, 438), _credit(2000, 438)])
    assert results == ["Accept", "UsedError"]
    assert state.registers[0] == 438


@pytest.mark.parametrize(
    ("meter", "token", "result"),
    [
        (_meter(), _credit(MADE_TID), "UsedError"),
        (_meter(), _credit(MADE_TID - 1), "OldError"),
        (_meter(), _credit(MADE_TID + 1), "Accept"),
        (_meter(), _credit(2000, subclass=1), "FunctionError"),
        (_meter(credit_registers=frozenset({1})), _credit(2000, subclass=1), "Accept"),
        (_meter(ken=0), _credit(0xFFFF), "Accept"),
        (_meter(ken=0), _credit(0x10000), "KeyExpiredError"),
        (_meter(ken=254), _credit(0xFFFFFF), "KeyExpiredError"),
        (_meter(), _credit(0xFFFFFF), "Accept"),
        (_meter(key_type=KeyType.DEFAULT), _credit(2000), "DDTKError"),
        (_meter(key_type=KeyType.INITIALISATION), _credit(2000), "DDTKError"),
        (_meter(key_type=KeyType.DEFAULT), _manage(5, 2000, 0), "Accept"),
        (_meter(credit_limit_tenths=9), _credit(2000, 10), "OverflowError"),
        (_meter(credit_limit_tenths=10), _credit(2000, 10), "Accept"),
        (_meter(MISTY1), _credit(2000), "CRCError"),
        (_meter(MISTY1), _credit(2000, ea=MISTY1), "Accept"),
        (_meter(), "99999999999999999999", "FormatError"),
        (_meter(), "letters", "FormatError"),
        (_meter(), meter_test_token(0, 1, 0), "Accept"),
        (_meter(), meter_test_token(0, 1, 7), "MfrCodeError"),
        (_meter(maker_code=7), meter_test_token(0, 1, 7), "Accept"),
        (_meter(maker_code=700), meter_test_token(1, 1, 700), "Accept"),
        (_meter(), "00000000000150997585", "CRCError"),
        (_meter(), _manage(1, 2000, 8), "RangeError"),
        (_meter(), _manage(1, 2000, 4), "FunctionError"),
        (_meter(), _manage(5, 2000, 1), "RangeError"),
        (_meter(), _manage(2, 2000, 0), "FunctionError"),
        (_meter(), _manage(7, 2000, 0), "FunctionError"),
        (_meter(), _manage(10, 2000, 0), "FunctionError"),
    ],
)
def test_one_token_ends_in_one_result(meter: MeterState, token: str, result: str) -> None:
    """Each check of the standard ends in the name it gives; whatever is refused leaves the meter as it was."""
    entered = enter(meter, token, TABLES)
    assert entered.result.value == result
    if entered.result is not MeterResult.ACCEPT:
        assert entered.state == meter


def test_identifiers_are_shared_by_all_functions() -> None:
    """A credit and a management token of one minute collide: the second is used."""
    _, results = _enter_all(_meter(), [_credit(2000), _manage(5, 2000, 0)])
    assert results == ["Accept", "UsedError"]


def test_tokens_may_come_out_of_order_within_the_store() -> None:
    """A store of three takes an older token while it is above the smallest, and drops what falls below."""
    meter = _meter(tid_store_size=3)
    _, results = _enter_all(meter, [_credit(tid) for tid in (2003, 2001, 2005, 2002, 2001, 2000, 2004)])
    assert results == ["Accept", "Accept", "Accept", "Accept", "OldError", "OldError", "Accept"]


@given(st.lists(st.integers(MADE_TID - 5, MADE_TID + 40), max_size=40), st.integers(1, 6))
@settings(deadline=None, max_examples=40)
def test_no_identifier_is_ever_accepted_twice(tids: list[int], size: int) -> None:
    """Whatever the order and however small the store, one identifier moves the register once."""
    state = _meter(tid_store_size=size)
    accepted = []
    for tid in tids:
        entered = enter(state, _credit(tid, 1), TABLES)
        state = entered.state
        if entered.result is MeterResult.ACCEPT:
            accepted.append(tid)
        assert len(state.tid_store) == size
        assert list(state.tid_store) == sorted(state.tid_store)
    assert len(accepted) == len(set(accepted)) == state.registers[0]


def test_a_token_that_overflowed_can_be_used_later() -> None:
    """Refused for lack of room, accepted after the credit was cleared."""
    meter = _meter(credit_limit_tenths=15)
    tokens = [_credit(2000), _credit(2001), _manage(1, 2002, 0), _credit(2001)]
    state, results = _enter_all(meter, tokens)
    assert results == ["Accept", "OverflowError", "Accept", "Accept"]
    assert state.registers[0] == 10


def test_management_tokens_do_what_they_say() -> None:
    """Limits in watts, tamper and credit are set and cleared."""
    meter = replace(_meter(), is_tampered=True, registers=(5,) * 8)
    state, results = _enter_all(
        meter, [_manage(0, 2000, 3000), _manage(6, 2001, 500), _manage(5, 2002, 0), _manage(1, 2003, 0xFFFF)]
    )
    assert results == ["Accept"] * 4
    assert (state.power_limit_watts, state.phase_unbalance_watts, state.is_tampered) == (3000, 500, False)
    assert state.registers == (0,) * 8


def test_money_goes_to_its_own_register_and_may_be_taken_back() -> None:
    """A currency meter adds and subtracts hundred-thousandths, and has its own limit."""
    meter = _meter(credit_registers=frozenset({4}), currency_limit=500)
    tokens = [
        currency_token(KEYS[STA], STA, TABLES, 4, 2000 + i, amount) for i, amount in enumerate((400, -100, 201, 200))
    ]
    state, results = _enter_all(meter, tokens)
    assert results == ["Accept", "Accept", "OverflowError", "Accept"]
    assert state.registers[4] == 500


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 2, 0, 3, 1)])
def test_a_long_key_is_changed_in_any_order(order: Sequence[int]) -> None:
    """The old key works until the last section is in, then only the new one does."""
    tokens = key_change_tokens(KEYS[MISTY1], MISTY1, TABLES, _new_key(MISTY1))
    names = ["1stKCT", "2ndKCT", "3rdKCT", "4thKCT"]
    state, results = _enter_all(_meter(MISTY1), [tokens[i] for i in order[:-1]])
    assert results == [names[i] for i in order[:-1]]
    state, results = _enter_all(
        state, [_credit(2000, ea=MISTY1), tokens[order[-1]], _credit(2001, ea=MISTY1), tokens[0]]
    )
    assert results == ["Accept", "Accept", "CRCError", "CRCError"]
    new = _new_key(MISTY1)
    assert state.key == MeterKey(
        decoder_key=new.decoder_key,
        key_type=KeyType.UNIQUE,
        key_revision_number=2,
        tariff_index=7,
        key_expiry_number=0xA5,
        supply_group_code=654321,
    )
    assert state.sections == ()
    assert state.registers[0] == 10


@pytest.mark.parametrize(
    ("is_triplet", "order", "results", "supply_group_code"),
    [
        (False, (0, 1), ["1stKCT", "Accept"], 123456),
        (False, (1, 0), ["2ndKCT", "Accept"], 123456),
        (True, (0, 1, 2), ["1stKCT", "2ndKCT", "Accept"], 654321),
        (True, (2, 1, 0), ["3rdKCT", "2ndKCT", "Accept"], 654321),
    ],
)
def test_a_short_key_is_changed_by_two_or_three(
    is_triplet: bool, order: Sequence[int], results: list[str], supply_group_code: int
) -> None:
    """The first section says whether there is a third, which alone tells the supply group code."""
    tokens = key_change_tokens(KEYS[STA], STA, TABLES, _new_key(), is_triplet=is_triplet)
    state, got = _enter_all(_meter(), [tokens[i] for i in order])
    assert got == results
    assert state.key.decoder_key == _new_key().decoder_key
    assert state.key.supply_group_code == supply_group_code


def test_a_rollover_forgets_identifiers_and_keeps_credit() -> None:
    """With the base date moved on, small identifiers are new again."""
    state, _ = _enter_all(_meter(), [_credit(5000)])
    new = _new_key(is_rollover=True)
    state, results = _enter_all(state, key_change_tokens(KEYS[STA], STA, TABLES, new))
    assert results == ["1stKCT", "Accept"]
    assert state.tid_store == (0,) * 50
    token = credit_token(new.decoder_key, STA, TABLES, 0, 5, 3, 10)
    state, results = _enter_all(state, [token, token])
    assert (results, state.registers[0]) == (["Accept", "UsedError"], 20)


@pytest.mark.parametrize(
    ("old", "new", "is_magnetic", "result"),
    [
        (KeyType.UNIQUE, KeyType.INITIALISATION, False, "KeyTypeError"),
        (KeyType.INITIALISATION, KeyType.INITIALISATION, False, "1stKCT"),
        (KeyType.UNIQUE, KeyType.COMMON, False, "KeyTypeError"),
        (KeyType.UNIQUE, KeyType.COMMON, True, "1stKCT"),
        (KeyType.DEFAULT, KeyType.UNIQUE, False, "1stKCT"),
    ],
)
def test_key_types_change_by_rule(old: KeyType, new: KeyType, is_magnetic: bool, result: str) -> None:
    """Never back to the factory's key; a common key only for magnetic cards."""
    first, _ = key_change_tokens(KEYS[STA], STA, TABLES, _new_key(key_type=new))
    meter = _meter(key_type=old, is_magnetic_card=is_magnetic)
    entered = enter(meter, first, TABLES)
    assert entered.result.value == result
    assert bool(entered.state.sections) == (result == "1stKCT")


@pytest.mark.parametrize(("subclass", "head"), [(3, 0xF02), (3, 0xFA2), (4, 0xF64)])
def test_a_section_with_an_impossible_field_is_refused(subclass: int, head: int) -> None:
    """Key revision 0 or 10, tariff index 100: the section is refused and not kept."""
    block = encrypt_block(build_block(2, subclass, head << 32), KEYS[STA], STA, TABLES)
    entered = enter(_meter(), to_digits(transpose(block, 2)), TABLES)
    assert (entered.result, entered.state) == (MeterResult.RANGE_ERROR, _meter())


def test_a_fourth_section_is_not_for_a_short_key() -> None:
    """An EA07 meter has no use for a 4th section."""
    block = encrypt_block(build_block(2, 9, 0), KEYS[STA], STA, TABLES)
    assert enter(_meter(), to_digits(transpose(block, 2)), TABLES).result is MeterResult.FUNCTION_ERROR


def test_a_key_change_left_half_done_is_forgotten() -> None:
    """A section that comes too late starts a new set; in time it completes the old one."""
    first, second = key_change_tokens(KEYS[STA], STA, TABLES, _new_key())
    meter = _meter(key_change_timeout_seconds=120)
    waiting = enter(meter, first, TABLES, 1000).state
    assert enter(waiting, second, TABLES, 1120).result is MeterResult.ACCEPT
    late = enter(waiting, second, TABLES, 1121)
    assert late.result is MeterResult.SECOND_KCT
    assert enter(late.state, first, TABLES, 1200).result is MeterResult.ACCEPT


def test_guessing_is_slowed_down() -> None:
    """After three wrong tokens the meter waits 10 s, then twice as long each time up to 1280 s; tests still work."""
    state = _meter(has_lockout=True)
    wrong = credit_token(bytes(8), STA, TABLES, 0, 5, 2000, 1)
    state, results = _enter_all(state, [wrong, wrong, wrong, _credit(2000), meter_test_token(0, 1, 7)])
    assert results == ["CRCError", "CRCError", "CRCError", "LockoutError", "MfrCodeError"]
    at_seconds, waits = 0, []
    for _ in range(10):
        waits.append(state.locked_until_seconds - at_seconds)
        assert enter(state, _credit(2000), TABLES, state.locked_until_seconds - 1).result is MeterResult.LOCKOUT_ERROR
        at_seconds = state.locked_until_seconds
        state = enter(state, wrong, TABLES, at_seconds).state
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 1280, 1280]
    entered = enter(state, _credit(2000), TABLES, state.locked_until_seconds)
    assert entered.result is MeterResult.ACCEPT
    assert (entered.state.wrong_tokens, entered.state.locked_until_seconds) == (0, 0)


def test_a_test_token_does_not_end_a_lockout() -> None:
    """The public test token, which anybody can type, gives no new tries."""
    wrong = credit_token(bytes(8), STA, TABLES, 0, 5, 2000, 1)
    tokens = [wrong, wrong, meter_test_token(0, 1, 0), wrong, meter_test_token(0, 1, 0), wrong]
    _, results = _enter_all(_meter(has_lockout=True), tokens)
    assert results == ["CRCError", "CRCError", "Accept", "CRCError", "Accept", "LockoutError"]


def test_a_meter_without_lockout_does_not_count() -> None:
    """Where the factory did not fit it, wrong tokens leave no trace."""
    wrong = credit_token(bytes(8), STA, TABLES, 0, 5, 2000, 1)
    meter = _meter()
    assert _enter_all(meter, [wrong] * 5) == (meter, ["CRCError"] * 5)


def test_the_key_does_not_show() -> None:
    """Printing a meter's state, also in the middle of a key change, shows neither the old key nor the new one."""
    state = enter(_meter(), key_change_tokens(KEYS[STA], STA, TABLES, _new_key())[0], TABLES).state
    shown = repr(state)
    assert "decoder_key" not in shown
    assert "key_word" not in shown


@pytest.mark.parametrize(("made_tid", "size"), [(-1, 50), (0x1000000, 50), (0, 0)])
def test_an_impossible_meter_is_not_made(made_tid: int, size: int) -> None:
    """The minute of making has 24 bits and the store has a place."""
    meter = _meter()
    with pytest.raises(FieldRangeError):
        manufacture(replace(meter.rules, tid_store_size=size), meter.key, made_tid)
