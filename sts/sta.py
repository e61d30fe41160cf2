"""EA07, the Standard Transfer Algorithm: 64-bit block, 64-bit key, 16 rounds of substitution and permutation.

Source: IEC 62055-41 clause 6.5.4.2.
"""

from sts.errors import FieldRangeError
from sts.tables import StaTables

BLOCK_MAX = (1 << 64) - 1
KEY_OCTETS = 8
ROUNDS = 16

_KEY_ROTATION_BITS = 12
_FIRST_KEY_BIT = 3
_ONE_BIT_PER_NIBBLE = 0x1111111111111111


def _selectors(key: bytes) -> list[bytes]:
    """The key schedule: per round and octet (least significant first) the selector of the octet's tables."""
    if len(key) != KEY_OCTETS:
        raise FieldRangeError(f"an EA07 key has {KEY_OCTETS} octets, not {len(key)}")
    word = int.from_bytes(key, "big") ^ BLOCK_MAX
    # Rotating right by 12 for the start and by 3 more brings bit 3 of each nibble to its bit 0; one left per round.
    right = _KEY_ROTATION_BITS + _FIRST_KEY_BIT
    word = word >> right | word << 64 - right & BLOCK_MAX
    schedule = []
    for _ in range(ROUNDS):
        schedule.append((word & _ONE_BIT_PER_NIBBLE).to_bytes(8, "little"))
        word = word << 1 & BLOCK_MAX | word >> 63
    return schedule


def encrypt(block: int, key: bytes, tables: StaTables) -> int:
    """Encrypt one 64-bit *block* under *key* (8 octets).

    Raises:
        FieldRangeError: the key has another length.
    """
    t0, t1, t2, t3, t4, t5, t6, t7 = tables.encrypt
    for k0, k1, k2, k3, k4, k5, k6, k7 in _selectors(key):
        b0, b1, b2, b3, b4, b5, b6, b7 = block.to_bytes(8, "little")
        block = t0[k0][b0] | t1[k1][b1] | t2[k2][b2] | t3[k3][b3] | t4[k4][b4] | t5[k5][b5] | t6[k6][b6] | t7[k7][b7]
    return block


def decrypt(block: int, key: bytes, tables: StaTables) -> int:
    """Decrypt one 64-bit *block* under *key* (8 octets).

    Raises:
        FieldRangeError: the key has another length.
    """
    schedule = _selectors(key)
    # A round undone is: permute back, then substitute back. Regrouped as one permutation first, then fifteen times both in one
    # lookup per octet, then the last substitution alone.
    block = sum(table[octet] for table, octet in zip(tables.unpermute, block.to_bytes(8, "little"), strict=True))
    t0, t1, t2, t3, t4, t5, t6, t7 = tables.decrypt
    for k0, k1, k2, k3, k4, k5, k6, k7 in reversed(schedule[1:]):
        b0, b1, b2, b3, b4, b5, b6, b7 = block.to_bytes(8, "little")
        block = t0[k0][b0] | t1[k1][b1] | t2[k2][b2] | t3[k3][b3] | t4[k4][b4] | t5[k5][b5] | t6[k6][b6] | t7[k7][b7]
    boxes = tables.unsubstitute
    return int.from_bytes(
        bytes(boxes[k][octet] for k, octet in zip(schedule[0], block.to_bytes(8, "little"), strict=True)), "little"
    )
