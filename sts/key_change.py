"""Key-change sets: the new decoder key cut into tokens that open under the old one.

    1st (2/3)  KEN high 4 | KRN 4 | RO 1 | 3KCT 1 | KT 2 | key word 32
    2nd (2/4)  KEN low 4 | TI 8 | key word 32
    3rd (2/8)  64-bit keys: SGC 24 | zeros 20        128-bit keys: SGC low 12 | key word 32
    4th (2/9)  SGC high 12 | key word 32             128-bit keys only

A 64-bit key takes a pair, or a triplet when the supply group code is to be told too; a 128-bit key always takes four.
Source: IEC 62055-41 clause 6.2.7 and 6.5.2.
"""

from dataclasses import dataclass, field

from sts.codes import MANAGEMENT_CLASS, EncryptionAlgorithm, KeyType
from sts.errors import FieldRangeError, UnsupportedError, require_range
from sts.framing import build_block, encrypt_block, to_digits, transpose
from sts.tables import StaTables

SUBCLASS_BY_SECTION = {1: 3, 2: 4, 3: 8, 4: 9}
SECTION_BY_SUBCLASS = {subclass: section for section, subclass in SUBCLASS_BY_SECTION.items()}

_WORD = 0xFFFFFFFF
_WORD_BITS = 32
_TRIPLET_PAD_BITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What the meter is to become.

    Attributes:
        decoder_key: 8 or 16 octets.
        supply_group_code: 0 to 999 999.
        key_revision_number: 1 to 9.
        key_type: KT of the new key.
        tariff_index: 0 to 99.
        key_expiry_number: 0 to 255 (never).
        is_rollover: the base date moves on with this key, and the meter forgets the identifiers it took.

    Raises:
        FieldRangeError: when made with a value out of range.
    """

    decoder_key: bytes = field(repr=False)
    supply_group_code: int
    key_revision_number: int
    key_type: KeyType
    tariff_index: int
    key_expiry_number: int
    is_rollover: bool

    def __post_init__(self) -> None:
        if len(self.decoder_key) not in (8, 16):
            raise FieldRangeError("a decoder key has 8 or 16 octets")
        require_range("supply group code", self.supply_group_code, 0, 999_999)
        require_range("key revision number", self.key_revision_number, 1, 9)
        require_range("tariff index", self.tariff_index, 0, 99)
        require_range("key expiry number", self.key_expiry_number, 0, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySection:
    """One section of a key change, as read from its token; only what that section carries is set.

    ``sgc_part`` is the whole supply group code in the 3rd section of a 64-bit key, and 12 bits of it in the 3rd and 4th of a
    128-bit key.
    """

    section: int
    key_word: int | None = field(repr=False)
    key_expiry_high: int | None = None
    key_expiry_low: int | None = None
    key_revision_number: int | None = None
    is_rollover: bool | None = None
    is_triplet: bool | None = None
    key_type: KeyType | None = None
    tariff_index: int | None = None
    sgc_part: int | None = None


def key_change_tokens(
    old_decoder_key: bytes,
    ea: EncryptionAlgorithm,
    tables: StaTables,
    new: NewKey,
    *,
    is_triplet: bool = False,
) -> tuple[str, ...]:
    """Make the tokens that give a meter its new key, in the order of their sections.

    Args:
        old_decoder_key: what the meter has now.
        ea: encryption algorithm of the meter; both keys have its length.
        tables: for EA07.
        new: what it is to have.
        is_triplet: for 64-bit keys, add the section that tells the supply group code.

    Returns:
        Two, three or four times 20 digits.

    Raises:
        FieldRangeError: a key does not have the length that *ea* takes.
        UnsupportedError: a triplet of a 128-bit key.
    """
    if len(new.decoder_key) != ea.key_octets:
        raise FieldRangeError(f"a key of EA{ea:02d} has {ea.key_octets} octets, not {len(new.decoder_key)}")
    if ea is EncryptionAlgorithm.MISTY1 and is_triplet:
        raise UnsupportedError("a 128-bit key is changed by four tokens, never by three")
    tokens = []
    for section, body in enumerate(_bodies(new, is_triplet=is_triplet), start=1):
        block = build_block(MANAGEMENT_CLASS, SUBCLASS_BY_SECTION[section], body)
        tokens.append(to_digits(transpose(encrypt_block(block, old_decoder_key, ea, tables), MANAGEMENT_CLASS)))
    return tuple(tokens)


def _bodies(new: NewKey, *, is_triplet: bool) -> list[int]:
    words = [int.from_bytes(new.decoder_key[i : i + 4], "big") for i in range(0, len(new.decoder_key), 4)]
    first = new.key_expiry_number >> 4 << 8 | new.key_revision_number << 4
    first |= new.is_rollover << 3 | is_triplet << 2 | new.key_type
    second = (new.key_expiry_number & 15) << 8 | new.tariff_index
    bodies = [first << _WORD_BITS | words[0], second << _WORD_BITS | words[-1]]
    if is_triplet:
        bodies.append(new.supply_group_code << _TRIPLET_PAD_BITS)
    if len(words) > 2:
        bodies.append((new.supply_group_code & 0xFFF) << _WORD_BITS | words[1])
        bodies.append((new.supply_group_code >> 12) << _WORD_BITS | words[2])
    return bodies


def read_section(subclass: int, body: int, ea: EncryptionAlgorithm) -> KeySection:
    """Read the 44-bit body of a key-change token.

    Raises:
        UnsupportedError: a 4th section for a 64-bit key, which has none.
    """
    section = SECTION_BY_SUBCLASS[subclass]
    head, word = body >> _WORD_BITS, body & _WORD
    if section == 1:
        return KeySection(
            section=1,
            key_word=word,
            key_expiry_high=head >> 8,
            key_revision_number=head >> 4 & 15,
            is_rollover=bool(head & 8),
            is_triplet=bool(head & 4),
            key_type=KeyType(head & 3),
        )
    if section == 2:
        return KeySection(section=2, key_word=word, key_expiry_low=head >> 8, tariff_index=head & 0xFF)
    if ea is EncryptionAlgorithm.MISTY1:
        return KeySection(section=section, key_word=word, sgc_part=head)
    if section == 4:
        raise UnsupportedError("a 64-bit key has no 4th section")
    return KeySection(section=3, key_word=None, sgc_part=body >> _TRIPLET_PAD_BITS)
