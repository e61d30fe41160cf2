"""From 50 bits to 20 digits and back: checksum, encryption, and the class hidden in the middle of the number.

    50 bits: class(2) sub-class(4) body(44)       block, 64 bits: sub-class(4) body(44) checksum(16)

The class is in the checksum but not in the block. Source: IEC 62055-41 clauses 6.2 to 6.4.
"""

from sts import misty1, sta
from sts.codes import EncryptionAlgorithm
from sts.crc import token_crc
from sts.errors import TokenCrcError, TokenFormatError
from sts.tables import StaTables

TOKEN_DIGITS = 20
TOKEN_MAX = (1 << 66) - 1
BODY_BITS = 44

_CLASS_POSITION = 27
_CLASS_MASK = 3 << _CLASS_POSITION
_GROUP_DIGITS = 4


def transpose(block: int, token_class: int) -> int:
    """Return the 66-bit number of a 64-bit block: its bits 28 and 27 move to the top, the class takes their place."""
    return (block >> _CLASS_POSITION & 3) << 64 | block & ~_CLASS_MASK | token_class << _CLASS_POSITION


def untranspose(number: int) -> tuple[int, int]:
    """Return the 64-bit block and the class of a 66-bit number."""
    block = number & ((1 << 64) - 1) & ~_CLASS_MASK | number >> 64 << _CLASS_POSITION
    return block, number >> _CLASS_POSITION & 3


def to_digits(number: int) -> str:
    """Return the 20 digits of a 66-bit number."""
    return f"{number:020d}"


def from_digits(token: str) -> int:
    """Return the 66-bit number of a token as it is typed: 20 digits, or five groups of four with one space between.

    Raises:
        TokenFormatError: anything else, and numbers beyond 66 bits.
    """
    groups = token.strip(" ").split(" ")
    if len(groups) > 1 and any(len(group) != _GROUP_DIGITS for group in groups):
        raise TokenFormatError("a token is written in groups of four digits")
    digits = "".join(groups)
    if len(digits) != TOKEN_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise TokenFormatError(f"a token has {TOKEN_DIGITS} digits")
    number = int(digits)
    if number > TOKEN_MAX:
        raise TokenFormatError("a token is a number of 66 bits")
    return number


def build_block(token_class: int, subclass: int, body: int, *, is_currency: bool = False) -> int:
    """Return the clear 64-bit block with its checksum."""
    content = subclass << BODY_BITS | body
    return content << 16 | token_crc(token_class << 48 | content, is_currency=is_currency)


def verify_block(block: int, token_class: int, *, is_currency: bool = False) -> None:
    """Verify the checksum of a clear block.

    Raises:
        TokenCrcError: it does not fit.
    """
    if block & 0xFFFF != token_crc(token_class << 48 | block >> 16, is_currency=is_currency):
        raise TokenCrcError("the checksum of the token does not fit")


def encrypt_block(block: int, decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables) -> int:
    """Encrypt a block under a decoder key; *tables* are used by EA07 only.

    Raises:
        FieldRangeError: the key does not have the length that *ea* takes.
    """
    if ea is EncryptionAlgorithm.STA:
        return sta.encrypt(block, decoder_key, tables)
    return misty1.encrypt(block, decoder_key)


def decrypt_block(block: int, decoder_key: bytes, ea: EncryptionAlgorithm, tables: StaTables) -> int:
    """Decrypt a block under a decoder key; *tables* are used by EA07 only.

    Raises:
        FieldRangeError: the key does not have the length that *ea* takes.
    """
    if ea is EncryptionAlgorithm.STA:
        return sta.decrypt(block, decoder_key, tables)
    return misty1.decrypt(block, decoder_key)
