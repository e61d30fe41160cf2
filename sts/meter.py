"""The meter's own checks: a pure state machine over a frozen `MeterState`.

Order of checks, each with the result it can end in:

1. digits and 66 bits (FormatError), lockout (LockoutError);
2. class 1: checksum (CRCError), maker code (MfrCodeError), accepted;
3. classes 0 and 2: decrypted, checksum (CRCError: another meter, supply group, key revision, tariff index or a typing slip);
4. key-change sections: allowed key type (KeyTypeError), fields (RangeError), kept until the set is whole;
5. everything with an identifier: no credit under a default key (DDTKError), key expiry (KeyExpiredError), identifier in the store
   (UsedError) or below its smallest (OldError), function (FunctionError), value (RangeError), room in the register (OverflowError);
6. only on Accept is the identifier stored, in place of the smallest, and the token acted upon: one new state, all or nothing.

Source: IEC 62055-41 clauses 7.1.4, 7.3 and 8.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

from sts.codes import EncryptionAlgorithm, KeyType
from sts.decode import CurrencyCredit, DecodedToken, Management, MeterTest, UnitCredit, decode
from sts.errors import StsError, TokenCrcError, TokenFormatError, UnsupportedError, require_range
from sts.framing import from_digits, untranspose
from sts.key_change import KeySection
from sts.mint import CLEAR_ALL_REGISTERS, CLEAR_CREDIT, CLEAR_TAMPER, SET_PHASE_UNBALANCE, SET_POWER_LIMIT
from sts.tables import StaTables
from sts.tid import TID_MAX

TID_STORE_SIZE = 50
"""How many identifiers a meter remembers: enough for tokens bought ahead and typed out of order. One firmware keeps 20."""

REGISTERS = 8
"""One register per class 0 sub-class: 0 to 3 in tenths of a unit, 4 to 7 in hundred-thousandths of the currency."""

CREDIT_LIMIT_TENTHS = 999_999_999
"""What a display of eight digits and one decimal can show."""

CURRENCY_LIMIT = 99_999_999_99999
"""What a display of eight digits and five decimals can show."""

LOCKOUT_AFTER = 3
"""Wrong tokens in a row before the meter stops listening: guessing has to beat 16 bits of checksum at this rate."""

LOCKOUT_FIRST_SECONDS = 10
LOCKOUT_MAX_SECONDS = 1280


class MeterResult(Enum):
    """What a meter makes of a token; the value is the name that the standard (and the 3rd/4th section by its pattern) gives."""

    ACCEPT = "Accept"
    FIRST_KCT = "1stKCT"
    SECOND_KCT = "2ndKCT"
    THIRD_KCT = "3rdKCT"
    FOURTH_KCT = "4thKCT"
    CRC_ERROR = "CRCError"
    MFR_CODE_ERROR = "MfrCodeError"
    OLD_ERROR = "OldError"
    USED_ERROR = "UsedError"
    KEY_EXPIRED_ERROR = "KeyExpiredError"
    DDTK_ERROR = "DDTKError"
    OVERFLOW_ERROR = "OverflowError"
    KEY_TYPE_ERROR = "KeyTypeError"
    FORMAT_ERROR = "FormatError"
    RANGE_ERROR = "RangeError"
    FUNCTION_ERROR = "FunctionError"
    LOCKOUT_ERROR = "LockoutError"


SECTION_RESULTS = {
    1: MeterResult.FIRST_KCT,
    2: MeterResult.SECOND_KCT,
    3: MeterResult.THIRD_KCT,
    4: MeterResult.FOURTH_KCT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRules:
    """What the factory fixed.

    Attributes:
        encryption_algorithm: EA of its decoder.
        credit_registers: the registers it has; a credit for another one is not its function.
        maker_code: class 1 tokens of this maker and of maker 0 are taken.
        is_magnetic_card: only such meters take a common key.
        credit_limit_tenths: most that a unit register holds.
        currency_limit: most that a currency register holds.
        tid_store_size: identifiers it remembers.
        key_change_timeout_seconds: a set with no further section for so long is forgotten; None: never.
        has_lockout: it stops listening after wrong tokens.
    """

    encryption_algorithm: EncryptionAlgorithm
    credit_registers: frozenset[int] = frozenset({0})
    maker_code: int = 0
    is_magnetic_card: bool = False
    credit_limit_tenths: int = CREDIT_LIMIT_TENTHS
    currency_limit: int = CURRENCY_LIMIT
    tid_store_size: int = TID_STORE_SIZE
    key_change_timeout_seconds: int | None = None
    has_lockout: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKey:
    """The decoder key and its attributes. ``supply_group_code`` is None where no token ever told it."""

    decoder_key: bytes = field(repr=False)
    key_type: KeyType
    key_revision_number: int
    tariff_index: int
    key_expiry_number: int
    supply_group_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """Everything a meter remembers.

    Attributes:
        rules: fixed.
        key: the key in use; a new one replaces it when its last section is in.
        tid_store: ascending identifiers, always ``rules.tid_store_size`` of them.
        registers: credit by class 0 sub-class.
        power_limit_watts: None until a token sets it.
        phase_unbalance_watts: None until a token sets it.
        is_tampered: cleared by token.
        sections: of a key change under way.
        last_section_at_seconds: when the last of them came.
        wrong_tokens: in a row.
        locked_until_seconds: classes 0 and 2 are not read before.
    """

    rules: MeterRules
    key: MeterKey
    tid_store: tuple[int, ...]
    registers: tuple[int, ...] = (0,) * REGISTERS
    power_limit_watts: int | None = None
    phase_unbalance_watts: int | None = None
    is_tampered: bool = False
    sections: tuple[KeySection, ...] = ()
    last_section_at_seconds: int = 0
    wrong_tokens: int = 0
    locked_until_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What came of one token: the state after it, the result, and what the token said where it could be read."""

    state: MeterState
    result: MeterResult
    token: DecodedToken | None = None


class _Refused(Exception):
    """A check that failed; carries its result up to `enter`."""

    def __init__(self, result: MeterResult) -> None:
        super().__init__(result.value)
        self.result = result


def manufacture(rules: MeterRules, key: MeterKey, made_tid: int) -> MeterState:
    """Return a new meter, its store filled with the minute of its making: nothing older is ever taken.

    Raises:
        FieldRangeError: the identifier is not 24 bits, or the store has no place.
    """
    require_range("token identifier of manufacture", made_tid, 0, TID_MAX)
    require_range("size of the identifier store", rules.tid_store_size, 1, TID_MAX)
    return MeterState(rules=rules, key=key, tid_store=(made_tid,) * rules.tid_store_size)


def enter(state: MeterState, token: str, tables: StaTables, at_seconds: int = 0) -> Entered:
    """Let a meter take a token.

    Args:
        state: before it.
        token: as typed; anything that is not a token of 66 bits changes nothing.
        tables: for EA07.
        at_seconds: the meter's own clock, for lockout and for key changes left half done.
    """
    try:
        _, token_class = untranspose(from_digits(token))
    except TokenFormatError:
        return Entered(state=state, result=MeterResult.FORMAT_ERROR)
    # Tests and displays (class 1) work through a lockout: they are not encrypted and give nothing away.
    if state.rules.has_lockout and token_class != 1 and at_seconds < state.locked_until_seconds:
        return Entered(state=state, result=MeterResult.LOCKOUT_ERROR)
    try:
        decoded = decode(token, state.key.decoder_key, state.rules.encryption_algorithm, tables)
    except TokenCrcError:
        return Entered(state=_count_wrong(state, at_seconds), result=MeterResult.CRC_ERROR)
    except UnsupportedError:
        return Entered(state=state, result=MeterResult.FUNCTION_ERROR)
    try:
        after, result = _act(state, decoded, at_seconds)
    except _Refused as refused:
        return Entered(state=state, result=refused.result, token=decoded)
    # A test proves no knowledge of the key: the best known one is printed everywhere, and must not give a guesser new tries.
    if not isinstance(decoded, MeterTest):
        after = replace(after, wrong_tokens=0, locked_until_seconds=0)
    return Entered(state=after, result=result, token=decoded)


def _count_wrong(state: MeterState, at_seconds: int) -> MeterState:
    if not state.rules.has_lockout:
        return state
    wrong = state.wrong_tokens + 1
    if wrong < LOCKOUT_AFTER:
        return replace(state, wrong_tokens=wrong)
    seconds = min(LOCKOUT_FIRST_SECONDS << min(wrong - LOCKOUT_AFTER, 7), LOCKOUT_MAX_SECONDS)
    return replace(state, wrong_tokens=wrong, locked_until_seconds=at_seconds + seconds)


def _act(state: MeterState, token: DecodedToken, at_seconds: int) -> tuple[MeterState, MeterResult]:
    if isinstance(token, MeterTest):
        if token.maker_code not in (0, state.rules.maker_code):
            raise _Refused(MeterResult.MFR_CODE_ERROR)
        return state, MeterResult.ACCEPT
    if isinstance(token, KeySection):
        return _take_section(state, token, at_seconds)
    _check_identifier(state, token)
    after = _manage(state, token) if isinstance(token, Management) else _credit(state, token)
    return replace(after, tid_store=tuple(sorted((*state.tid_store[1:], token.tid)))), MeterResult.ACCEPT


def _check_identifier(state: MeterState, token: UnitCredit | CurrencyCredit | Management) -> None:
    if not isinstance(token, Management) and state.key.key_type in (KeyType.INITIALISATION, KeyType.DEFAULT):
        raise _Refused(MeterResult.DDTK_ERROR)
    if token.tid >> 16 > state.key.key_expiry_number:
        raise _Refused(MeterResult.KEY_EXPIRED_ERROR)
    if token.tid in state.tid_store:
        raise _Refused(MeterResult.USED_ERROR)
    if token.tid < state.tid_store[0]:
        raise _Refused(MeterResult.OLD_ERROR)


def _credit(state: MeterState, token: UnitCredit | CurrencyCredit) -> MeterState:
    if token.subclass not in state.rules.credit_registers:
        raise _Refused(MeterResult.FUNCTION_ERROR)
    if isinstance(token, UnitCredit):
        added, limit = token.units_tenths, state.rules.credit_limit_tenths
    else:
        added, limit = token.hundred_thousandths, state.rules.currency_limit
    total = state.registers[token.subclass] + added
    if total > limit:
        raise _Refused(MeterResult.OVERFLOW_ERROR)
    return _with_register(state, token.subclass, total)


def _with_register(state: MeterState, register: int, amount: int) -> MeterState:
    registers = list(state.registers)
    registers[register] = amount
    return replace(state, registers=tuple(registers))


def _manage(state: MeterState, token: Management) -> MeterState:
    if token.subclass == SET_POWER_LIMIT:
        return replace(state, power_limit_watts=token.watts)
    if token.subclass == SET_PHASE_UNBALANCE:
        return replace(state, phase_unbalance_watts=token.watts)
    if token.subclass == CLEAR_TAMPER:
        if token.value != 0:
            raise _Refused(MeterResult.RANGE_ERROR)
        return replace(state, is_tampered=False)
    if token.subclass == CLEAR_CREDIT:
        return _clear_credit(state, token.value)
    raise _Refused(MeterResult.FUNCTION_ERROR)


def _clear_credit(state: MeterState, register: int) -> MeterState:
    if register == CLEAR_ALL_REGISTERS:
        return replace(state, registers=(0,) * REGISTERS)
    if register >= REGISTERS:
        raise _Refused(MeterResult.RANGE_ERROR)
    if register not in state.rules.credit_registers:
        raise _Refused(MeterResult.FUNCTION_ERROR)
    return _with_register(state, register, 0)


def _take_section(state: MeterState, section: KeySection, at_seconds: int) -> tuple[MeterState, MeterResult]:
    _check_section(state, section)
    timeout = state.rules.key_change_timeout_seconds
    is_stale = timeout is not None and at_seconds - state.last_section_at_seconds > timeout
    kept = () if is_stale else state.sections
    sections = {other.section: other for other in kept} | {section.section: section}
    new_key = _assemble(state, sections)
    if new_key is None:
        waiting = replace(state, sections=tuple(sections.values()), last_section_at_seconds=at_seconds)
        return waiting, SECTION_RESULTS[section.section]
    store = (0,) * state.rules.tid_store_size if sections[1].is_rollover else state.tid_store
    return replace(state, key=new_key, tid_store=store, sections=()), MeterResult.ACCEPT


def _check_section(state: MeterState, section: KeySection) -> None:
    new_type = section.key_type
    if new_type is KeyType.INITIALISATION and state.key.key_type is not KeyType.INITIALISATION:
        raise _Refused(MeterResult.KEY_TYPE_ERROR)
    if new_type is KeyType.COMMON and not state.rules.is_magnetic_card:
        raise _Refused(MeterResult.KEY_TYPE_ERROR)
    try:
        if section.key_revision_number is not None:
            require_range("key revision number", section.key_revision_number, 1, 9)
        if section.tariff_index is not None:
            require_range("tariff index", section.tariff_index, 0, 99)
    except StsError:
        raise _Refused(MeterResult.RANGE_ERROR) from None


def _assemble(state: MeterState, sections: dict[int, KeySection]) -> MeterKey | None:
    """The new key, once every section that it needs is in. Sections come in any order; the 1st says whether a 3rd is needed."""
    if 1 not in sections or 2 not in sections:
        return None
    first, second = sections[1], sections[2]
    assert first.key_type is not None
    assert first.key_expiry_high is not None
    assert first.key_revision_number is not None
    assert second.key_expiry_low is not None
    assert second.tariff_index is not None
    words = [first.key_word, second.key_word]
    supply_group_code = state.key.supply_group_code
    if state.rules.encryption_algorithm is EncryptionAlgorithm.MISTY1:
        if 3 not in sections or 4 not in sections:
            return None
        words[1:1] = [sections[3].key_word, sections[4].key_word]
        supply_group_code = (sections[4].sgc_part or 0) << 12 | (sections[3].sgc_part or 0)
    elif first.is_triplet:
        if 3 not in sections:
            return None
        supply_group_code = sections[3].sgc_part
    return MeterKey(
        decoder_key=b"".join((word or 0).to_bytes(4, "big") for word in words),
        key_type=first.key_type,
        key_revision_number=first.key_revision_number,
        tariff_index=second.tariff_index,
        key_expiry_number=first.key_expiry_high << 4 | second.key_expiry_low,
        supply_group_code=supply_group_code,
    )
