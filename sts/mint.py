"""Making tokens: 20 digits from a decoder key and what the meter is to do.

Nothing here chooses anything: the identifier comes from `sts.tid`, the random nibble from whoever holds the clock of the security
module, so that the same request always makes the same digits.
"""

from sts.amount import encode_currency, encode_units
from sts.codes import CREDIT_CLASS, MANAGEMENT_CLASS, TEST_CLASS, EncryptionAlgorithm
from sts.errors import UnsupportedError, require_range
from sts.framing import build_block, encrypt_block, to_digits, transpose
from sts.tables import StaTables
from sts.tid import TID_MAX

UNIT_SUBCLASSES = range(4)
CURRENCY_SUBCLASSES = range(4, 8)

SET_POWER_LIMIT = 0
CLEAR_CREDIT = 1
SET_TARIFF_RATE = 2
CLEAR_TAMPER = 5
SET_PHASE_UNBALANCE = 6
SET_WATER_FACTOR = 7
EXTENDED_SET = 10

WATT_SUBCLASSES = (SET_POWER_LIMIT, SET_PHASE_UNBALANCE)
KEY_CHANGE_SUBCLASSES = (3, 4, 8, 9)

CLEAR_ALL_REGISTERS = 0xFFFF

EXTENDED_FLAG_INDEX = 63
"""The control index under which the rest of an extended set is a flag's number and value."""

TEST_MAKER_BITS = {0: 8, 1: 16, 2: 8}
"""Per class 1 sub-class: the bits of the maker's code; the control field has the rest of the 44."""


def credit_token(
    decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables, subclass: int, rnd: int, tid: int, units_tenths: int
) -> str:
    """Make a token of class 0 in units.

    Args:
        decoder_key: 8 octets (EA07) or 16 (EA11).
        ea: encryption algorithm of the meter.
        tables: for EA07.
        subclass: 0 electricity, 1 water, 2 gas, 3 time.
        rnd: 0 to 15.
        tid: 24 bits, see `sts.tid.next_tids`.
        units_tenths: tenths of a kWh, cubic metre or minute; beyond 16 383 it is rounded up to the next that has a code.

    Returns:
        20 digits.

    Raises:
        UnsupportedError: another sub-class.
        FieldRangeError: a field or the key is out of range.
    """
    if subclass not in UNIT_SUBCLASSES:
        raise UnsupportedError(f"class 0 sub-class {subclass} does not carry units")
    return _timed_token(decoder_key, ea, tables, CREDIT_CLASS, subclass, rnd, tid, encode_units(units_tenths))


def currency_token(
    decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables, subclass: int, tid: int, hundred_thousandths: int
) -> str:
    """Make a token of class 0 in money; sign and exponent take the place of the random nibble.

    Args:
        decoder_key: 8 octets (EA07) or 16 (EA11).
        ea: encryption algorithm of the meter.
        tables: for EA07.
        subclass: 4 electricity, 5 water, 6 gas, 7 time.
        tid: 24 bits.
        hundred_thousandths: money times 100 000, of either sign, rounded toward the customer.

    Returns:
        20 digits.

    Raises:
        UnsupportedError: another sub-class.
        FieldRangeError: a field or the key is out of range.
    """
    if subclass not in CURRENCY_SUBCLASSES:
        raise UnsupportedError(f"class 0 sub-class {subclass} does not carry money")
    value, extra = encode_currency(hundred_thousandths)
    return _timed_token(decoder_key, ea, tables, CREDIT_CLASS, subclass, extra, tid, value)


def management_token(
    decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables, subclass: int, rnd: int, tid: int, value: int
) -> str:
    """Make a token of class 2 with an identifier (everything but key changes).

    Args:
        decoder_key: 8 octets (EA07) or 16 (EA11).
        ea: encryption algorithm of the meter.
        tables: for EA07.
        subclass: 0 power limit, 1 clear credit, 2 tariff rate, 5 clear tamper, 6 phase unbalance, 7 water factor,
            10 extended set, 11 to 15 proprietary.
        rnd: 0 to 15.
        tid: 24 bits.
        value: the 16-bit field as it stands; `encode_units` for sub-classes 0 and 6 (watts).

    Returns:
        20 digits.

    Raises:
        UnsupportedError: a sub-class that changes keys.
        FieldRangeError: a field or the key is out of range.
    """
    require_range("class 2 sub-class", subclass, 0, 15)
    if subclass in KEY_CHANGE_SUBCLASSES:
        raise UnsupportedError(f"class 2 sub-class {subclass} changes keys and has no identifier")
    return _timed_token(decoder_key, ea, tables, MANAGEMENT_CLASS, subclass, rnd, tid, value)


def _timed_token(
    decoder_key: bytes,
    ea: EncryptionAlgorithm,
    tables: StaTables,
    token_class: int,
    subclass: int,
    rnd: int,
    tid: int,
    value: int,
) -> str:
    require_range("random nibble", rnd, 0, 15)
    require_range("token identifier", tid, 0, TID_MAX)
    require_range("value", value, 0, 0xFFFF)
    body = rnd << 40 | tid << 16 | value
    is_currency = token_class == CREDIT_CLASS and subclass in CURRENCY_SUBCLASSES
    block = build_block(token_class, subclass, body, is_currency=is_currency)
    return to_digits(transpose(encrypt_block(block, decoder_key, ea, tables), token_class))


def extended_control(index: int, value: int) -> int:
    """Return the 16-bit value of an extended set: control *index* (0 to 62) and its 10-bit *value*.

    Raises:
        FieldRangeError: out of range.
    """
    require_range("control index", index, 0, EXTENDED_FLAG_INDEX - 1)
    require_range("control value", value, 0, 0x3FF)
    return index << 10 | value


def extended_flag(flag: int, *, is_set: bool) -> int:
    """Return the 16-bit value of an extended set that sets or clears *flag* (0 to 511).

    Raises:
        FieldRangeError: out of range.
    """
    require_range("flag index", flag, 0, 0x1FF)
    return EXTENDED_FLAG_INDEX << 10 | flag << 1 | is_set


def meter_test_token(subclass: int, control: int, maker_code: int) -> str:
    """Make a token of class 1: a test or display that every meter of the maker takes (maker 0: every meter). Not encrypted.

    Args:
        subclass: 0 (two-digit maker), 1 (four-digit maker), 2 (extended read).
        control: bit n-1 for test n, all ones for all: 36, 28 or 36 bits.
        maker_code: 8, 16 or 8 bits.

    Returns:
        20 digits.

    Raises:
        UnsupportedError: another sub-class.
        FieldRangeError: a field is wider than its bits.
    """
    maker_bits = TEST_MAKER_BITS.get(subclass)
    if maker_bits is None:
        raise UnsupportedError(f"class 1 sub-class {subclass} is not made here")
    require_range("control field", control, 0, (1 << 44 - maker_bits) - 1)
    require_range("maker code", maker_code, 0, (1 << maker_bits) - 1)
    return to_digits(transpose(build_block(TEST_CLASS, subclass, control << maker_bits | maker_code), TEST_CLASS))
