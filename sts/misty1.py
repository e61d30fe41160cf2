"""EA11, MISTY1: 64-bit block, 128-bit key, eight rounds of FO between layers of FL.

Source: RFC 2994, whose names (FI, FO, FL, EK) are kept.
"""

from array import array
from struct import Struct

from sts.errors import FieldRangeError
from sts.misty1_boxes import S7, S9

KEY_OCTETS = 16

# FI is two keyed halves: everything before its key is added, and everything after. Each is a function of 16 bits, so FI is
# two lookups: FI(x, k) = _AFTER[_BEFORE[x] ^ k].
_BEFORE = array("H", bytes(2 << 16))
for _high, _s9 in enumerate(S9):
    for _low, _s7 in enumerate(S7):
        _nine = _s9 ^ _low
        _BEFORE[_high << 7 | _low] = (_s7 ^ _nine & 0x7F) << 9 | _nine
_AFTER = array("H", [_seven << 9 | _s9 ^ _seven for _seven in range(128) for _s9 in S9])

_Keys = tuple[tuple[int, ...], list[int]]
_WORDS = Struct(">8H")


def _schedule(key: bytes) -> _Keys:
    """The words K of the key and K' made of them, each list twice in a row so that an index needs no modulo."""
    if len(key) != KEY_OCTETS:
        raise FieldRangeError(f"an EA11 key has {KEY_OCTETS} octets, not {len(key)}")
    words = _WORDS.unpack(key)
    before, after = _BEFORE, _AFTER
    mixed = [after[before[word] ^ behind] for word, behind in zip(words, words[1:] + words[:1], strict=True)]
    return words + words, mixed + mixed


def _fo(half: int, i: int, keys: _Keys) -> int:
    words, mixed = keys
    left, right = half >> 16, half & 0xFFFF
    left = _AFTER[_BEFORE[left ^ words[i]] ^ mixed[i + 5]] ^ right
    right = _AFTER[_BEFORE[right ^ words[i + 2]] ^ mixed[i + 1]] ^ left
    left = _AFTER[_BEFORE[left ^ words[i + 7]] ^ mixed[i + 3]] ^ right
    return (right ^ words[i + 4]) << 16 | left


def _fl_keys(i: int, keys: _Keys) -> tuple[int, int]:
    words, mixed = keys
    j = i >> 1
    return (mixed[j + 2], words[j + 4]) if i & 1 else (words[j], mixed[j + 6])


def _fl_inverse(half: int, i: int, keys: _Keys) -> int:
    and_key, or_key = _fl_keys(i, keys)
    left, right = half >> 16, half & 0xFFFF
    left ^= right | or_key
    return left << 16 | right ^ left & and_key


def encrypt(block: int, key: bytes) -> int:
    """Encrypt one 64-bit *block* under *key* (16 octets).

    FL and FO are written out on words of 16 bits, because every sale waits for this: a third less time than calling them. `decrypt`, which
    only meters and auditors wait for, calls them, so the two check each other.

    Raises:
        FieldRangeError: the key has another length.
    """
    words, mixed = _schedule(key)
    before, after = _BEFORE, _AFTER
    a, b, c, d = block >> 48, block >> 32 & 0xFFFF, block >> 16 & 0xFFFF, block & 0xFFFF
    for i in range(0, 8, 2):
        j = i >> 1
        b ^= a & words[j]
        a ^= b | mixed[j + 6]
        d ^= c & mixed[j + 2]
        c ^= d | words[j + 4]
        left = after[before[a ^ words[i]] ^ mixed[i + 5]] ^ b
        right = after[before[b ^ words[i + 2]] ^ mixed[i + 1]] ^ left
        d ^= after[before[left ^ words[i + 7]] ^ mixed[i + 3]] ^ right
        c ^= right ^ words[i + 4]
        left = after[before[c ^ words[i + 1]] ^ mixed[i + 6]] ^ d
        right = after[before[d ^ words[i + 3]] ^ mixed[i + 2]] ^ left
        b ^= after[before[left ^ words[i + 8]] ^ mixed[i + 4]] ^ right
        a ^= right ^ words[i + 5]
    b ^= a & words[4]
    a ^= b | mixed[10]
    d ^= c & mixed[6]
    c ^= d | words[8]
    return c << 48 | d << 32 | a << 16 | b


def decrypt(block: int, key: bytes) -> int:
    """Decrypt one 64-bit *block* under *key* (16 octets).

    Raises:
        FieldRangeError: the key has another length.
    """
    keys = _schedule(key)
    right, left = _fl_inverse(block >> 32, 9, keys), _fl_inverse(block & 0xFFFFFFFF, 8, keys)
    for i in range(6, -2, -2):
        left ^= _fo(right, i + 1, keys)
        right = _fl_inverse(right ^ _fo(left, i, keys), i + 1, keys)
        left = _fl_inverse(left, i, keys)
    return left << 32 | right
