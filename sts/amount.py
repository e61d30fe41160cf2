"""Amounts in tokens: a floating-point field of units (16 bits) and its wider brother for money (21 bits with the sign).

An exponent e and a mantissa m stand for ``10^e * m + 2^14 * (1 + 10 + ... + 10^(e-1))``: each exponent starts where the one below
it ended, so no amount has two codes. What lies between two codes is rounded in the customer's favour.
"""

from sts.errors import FieldRangeError, require_range

MANTISSA_BITS = 14
MANTISSA_MAX = (1 << MANTISSA_BITS) - 1

_UNIT_EXPONENTS = 4
_CURRENCY_EXPONENTS = 32


def _ranges(exponents: int) -> tuple[tuple[int, int], ...]:
    """Per exponent: its step and the first amount that it stands for."""
    rows: list[tuple[int, int]] = []
    step, offset = 1, 0
    for _ in range(exponents):
        rows.append((step, offset))
        offset += step << MANTISSA_BITS
        step *= 10
    return tuple(rows)


_UNIT_RANGES = _ranges(_UNIT_EXPONENTS)
_CURRENCY_RANGES = _ranges(_CURRENCY_EXPONENTS)


def _value(exponent: int, mantissa: int) -> int:
    step, offset = _CURRENCY_RANGES[exponent]
    return offset + step * mantissa


UNITS_MAX = _value(_UNIT_EXPONENTS - 1, MANTISSA_MAX)
"""18 201 624, the largest number of units (tenths, or watts) a field can hold."""

EXACT_UNITS_MAX = MANTISSA_MAX
"""16 383: up to here every amount has a code of its own and nothing is rounded."""

CURRENCY_MAX = _value(_CURRENCY_EXPONENTS - 1, MANTISSA_MAX)
"""The largest amount of money, in hundred-thousandths, of either sign."""


def _encode_up(amount: int, ranges: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Exponent and mantissa of the smallest code that is not below *amount*."""
    for exponent, (step, offset) in enumerate(ranges):
        mantissa = -((offset - amount) // step)
        if mantissa <= MANTISSA_MAX:
            return exponent, mantissa
    raise FieldRangeError("the amount is too large for its field")


def _encode_down(amount: int, ranges: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Exponent and mantissa of the largest code that is not above *amount*."""
    exponent = max(e for e, (_, offset) in enumerate(ranges) if offset <= amount)
    step, offset = ranges[exponent]
    return exponent, min((amount - offset) // step, MANTISSA_MAX)


def encode_units(units: int) -> int:
    """Return the 16-bit field of an amount of units, rounded up to the next that has a code.

    Args:
        units: tenths of a kWh, of a cubic metre or of a minute, or watts; 0 to `UNITS_MAX`.

    Raises:
        FieldRangeError: out of range.

    >>> f"{encode_units(1818623):04x}"
    'c000'
    """
    require_range("units", units, 0, UNITS_MAX)
    exponent, mantissa = _encode_up(units, _UNIT_RANGES)
    return exponent << MANTISSA_BITS | mantissa


def decode_units(field: int) -> int:
    """Return the units that a 16-bit field stands for.

    Raises:
        FieldRangeError: *field* is not 16 bits.
    """
    require_range("amount field", field, 0, 0xFFFF)
    return _value(field >> MANTISSA_BITS, field & MANTISSA_MAX)


def encode_currency(hundred_thousandths: int) -> tuple[int, int]:
    """Return the 16-bit field and the 4-bit field (in the place of the random number) of an amount of money.

    The four bits are the sign (1 is negative) and the upper three bits of the exponent. Both signs round toward the customer:
    a credit up, a debit down to the smaller one.

    Raises:
        FieldRangeError: beyond `CURRENCY_MAX`.

    >>> [f"{value:04X}/{extra:X}" for value, extra in map(encode_currency, (100_000, -100_000))]
    ['60AA/0', '60A9/8']
    """
    require_range("currency amount", hundred_thousandths, -CURRENCY_MAX, CURRENCY_MAX)
    if hundred_thousandths >= 0:
        exponent, mantissa = _encode_up(hundred_thousandths, _CURRENCY_RANGES)
        sign = 0
    else:
        exponent, mantissa = _encode_down(-hundred_thousandths, _CURRENCY_RANGES)
        sign = 8
    return (exponent & 3) << MANTISSA_BITS | mantissa, sign | exponent >> 2


def decode_currency(field: int, extra: int) -> int:
    """Return the amount of money, in hundred-thousandths, of a 16-bit and a 4-bit field.

    Raises:
        FieldRangeError: a field is wider than its bits.
    """
    require_range("amount field", field, 0, 0xFFFF)
    require_range("sign and exponent field", extra, 0, 0xF)
    exponent = (extra & 7) << 2 | field >> MANTISSA_BITS
    amount = _value(exponent, field & MANTISSA_MAX)
    return -amount if extra & 8 else amount
