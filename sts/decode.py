"""Reading tokens: what a token says, once it opens under a key."""

from dataclasses import dataclass

from sts.amount import decode_currency, decode_units
from sts.codes import CREDIT_CLASS, MANAGEMENT_CLASS, TEST_CLASS, EncryptionAlgorithm
from sts.errors import UnsupportedError
from sts.framing import BODY_BITS, decrypt_block, from_digits, untranspose, verify_block
from sts.key_change import SECTION_BY_SUBCLASS, KeySection, read_section
from sts.mint import CURRENCY_SUBCLASSES, TEST_MAKER_BITS, UNIT_SUBCLASSES, WATT_SUBCLASSES
from sts.tables import StaTables


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCredit:
    """Class 0, sub-classes 0 to 3: units (tenths) for the register of that number."""

    subclass: int
    rnd: int
    tid: int
    units_tenths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyCredit:
    """Class 0, sub-classes 4 to 7: money (times 100 000, of either sign) for the register of that number."""

    subclass: int
    tid: int
    hundred_thousandths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTest:
    """Class 1: a test or display; ``maker_code`` 0 is for everybody."""

    subclass: int
    control: int
    maker_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """Class 2 with an identifier: ``value`` is the 16-bit field, ``watts`` its meaning for the two power limits."""

    subclass: int
    rnd: int
    tid: int
    value: int

    @property
    def watts(self) -> int | None:
        """The limit that sub-classes 0 and 6 set; None for the others."""
        return decode_units(self.value) if self.subclass in WATT_SUBCLASSES else None


DecodedToken = UnitCredit | CurrencyCredit | MeterTest | Management | KeySection


def decode(token: str, decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables) -> DecodedToken:
    """Read a token of any class.

    Args:
        token: 20 digits, or five groups of four.
        decoder_key: of the meter; class 1 does not need it.
        ea: encryption algorithm of the meter.
        tables: for EA07.

    Raises:
        TokenFormatError: not a token.
        TokenCrcError: it does not open under this key.
        UnsupportedError: a class or sub-class that has no meaning here.
        FieldRangeError: the key does not have the length that *ea* takes.
    """
    block, token_class = untranspose(from_digits(token))
    if token_class == TEST_CLASS:
        return _read_test(block)
    if token_class not in (CREDIT_CLASS, MANAGEMENT_CLASS):
        raise UnsupportedError(f"class {token_class} has no meaning")
    clear = decrypt_block(block, decoder_key, ea, tables)
    subclass = clear >> 60
    is_currency = token_class == CREDIT_CLASS and subclass in CURRENCY_SUBCLASSES
    verify_block(clear, token_class, is_currency=is_currency)
    body = clear >> 16 & (1 << BODY_BITS) - 1
    if token_class == MANAGEMENT_CLASS and subclass in SECTION_BY_SUBCLASS:
        return read_section(subclass, body, ea)
    return _read_timed(token_class, subclass, body)


def _read_timed(token_class: int, subclass: int, body: int) -> DecodedToken:
    rnd, tid, value = body >> 40, body >> 16 & 0xFFFFFF, body & 0xFFFF
    if token_class == MANAGEMENT_CLASS:
        return Management(subclass=subclass, rnd=rnd, tid=tid, value=value)
    if subclass in UNIT_SUBCLASSES:
        return UnitCredit(subclass=subclass, rnd=rnd, tid=tid, units_tenths=decode_units(value))
    if subclass in CURRENCY_SUBCLASSES:
        return CurrencyCredit(subclass=subclass, tid=tid, hundred_thousandths=decode_currency(value, rnd))
    raise UnsupportedError(f"class 0 sub-class {subclass} has no meaning")


def _read_test(block: int) -> MeterTest:
    verify_block(block, TEST_CLASS)
    subclass = block >> 60
    maker_bits = TEST_MAKER_BITS.get(subclass)
    if maker_bits is None:
        raise UnsupportedError(f"class 1 sub-class {subclass} is the maker's own")
    body = block >> 16 & (1 << BODY_BITS) - 1
    return MeterTest(subclass=subclass, control=body >> maker_bits, maker_code=body & (1 << maker_bits) - 1)
