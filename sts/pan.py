"""Meter numbers: the Luhn digit, the DRN that is printed on the meter and the 18-digit PAN behind it.

    PAN = IIN + DRN + check digit      600727 + 11 digits, or 0000 + 13 digits

The DRN itself ends in a Luhn digit over its own digits; the PAN's digit covers IIN and DRN.
"""

from dataclasses import dataclass

from sts.errors import FieldRangeError

PAN_DIGITS = 18

SHORT_DRN_DIGITS = 11
SHORT_DRN_IIN = "600727"
LONG_DRN_DIGITS = 13
LONG_DRN_IIN = "0000"

_ONCE = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def require_digits(name: str, text: str) -> None:
    """Refuse *text* unless it is one or more ASCII digits.

    Raises:
        FieldRangeError: with the name of the field.
    """
    if not (text.isascii() and text.isdigit()):
        raise FieldRangeError(f"{name} must be digits only")


def require_pan_digits(pan: str) -> None:
    """Refuse *pan* unless it is 18 ASCII digits; check digits are `parse_pan`'s matter.

    Raises:
        FieldRangeError: otherwise.
    """
    if len(pan) != PAN_DIGITS or not (pan.isascii() and pan.isdigit()):
        raise FieldRangeError(f"a PAN has {PAN_DIGITS} digits")


def luhn_digit(digits: str) -> int:
    """Return the check digit (0 to 9) that belongs behind *digits*.

    Raises:
        FieldRangeError: *digits* is empty or not digits only.

    >>> luhn_digit("5800007952")
    3
    """
    require_digits("a number with a check digit", digits)
    octets = digits.encode("ascii")
    # Every second digit counts doubled, the last one first.
    return -(sum(octets[-1::-2].translate(_DOUBLED)) + sum(octets[-2::-2].translate(_ONCE))) % 10


def is_luhn_valid(digits: str) -> bool:
    """Say whether the last of *digits* is the check digit of the others; anything but two or more digits is not valid."""
    if len(digits) < 2 or not (digits.isascii() and digits.isdigit()):
        return False
    return luhn_digit(digits[:-1]) == int(digits[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pan:
    """A meter primary account number, taken apart."""

    issuer: str
    drn: str
    check_digit: int

    def __str__(self) -> str:
        return f"{self.issuer}{self.drn}{self.check_digit}"


def parse_pan(pan: str, *, is_compliance_test: bool = False) -> Pan:
    """Take an 18-digit PAN apart and verify its check digits.

    Args:
        pan: 18 digits.
        is_compliance_test: do not verify check digits, for suites that use made-up numbers; never for a customer's meter.

    Raises:
        FieldRangeError: wrong length, a character that is no digit, an unknown issuer, or a wrong check digit.
    """
    require_pan_digits(pan)
    issuer = SHORT_DRN_IIN if pan.startswith(SHORT_DRN_IIN) else LONG_DRN_IIN
    if not pan.startswith(issuer):
        raise FieldRangeError(f"a PAN starts with {SHORT_DRN_IIN} or {LONG_DRN_IIN}")
    drn = pan[len(issuer) : -1]
    if not is_compliance_test:
        if not is_luhn_valid(pan):
            raise FieldRangeError("the check digit of the PAN is wrong")
        if not is_luhn_valid(drn):
            raise FieldRangeError("the check digit of the meter number is wrong")
    return Pan(issuer=issuer, drn=drn, check_digit=int(pan[-1]))


def pan_of_meter(drn: str, *, is_compliance_test: bool = False) -> str:
    """Return the 18-digit PAN of the meter number *drn* (11 or 13 digits, its own check digit included).

    *is_compliance_test* as in `parse_pan`.

    Raises:
        FieldRangeError: another length, a character that is no digit, or a wrong check digit.

    >>> pan_of_meter("58000079523")
    '600727580000795237'
    """
    require_digits("a meter number", drn)
    if len(drn) == SHORT_DRN_DIGITS:
        body = SHORT_DRN_IIN + drn
    elif len(drn) == LONG_DRN_DIGITS:
        body = LONG_DRN_IIN + drn
    else:
        raise FieldRangeError(f"a meter number has {SHORT_DRN_DIGITS} or {LONG_DRN_DIGITS} digits")
    pan = f"{body}{luhn_digit(body)}"
    parse_pan(pan, is_compliance_test=is_compliance_test)
    return pan
