"""The tables of the Standard Transfer Algorithm: data that configuration names, made ready for fast use once.

A round substitutes sixteen nibbles and permutes 64 bits. Both are one lookup per octet in a table of 256 words, and as the round key
picks a substitution for either nibble of an octet, there are four such tables per octet: eight lookups make a round.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from sts.errors import FieldRangeError, UnsupportedError

PRODUCTION = "production"
IEC_SAMPLE = "iec-sample"

_NIBBLES = 16
_BITS = 64

OctetTables = tuple[tuple[int, ...], ...]
"""One row of 256 words per selector. Selectors are 0x00, 0x01, 0x10 and 0x11: a key bit per nibble. The rest is empty."""

SELECTORS = (0x00, 0x01, 0x10, 0x11)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaTables:
    """One set of STA tables, prepared.

    Attributes:
        name: what configuration calls the set.
        encrypt: per octet (0 = least significant): by selector, the substituted and permuted octet in its place of 64 bits.
        decrypt: per octet: by selector, the octet substituted back and then permuted back.
        unpermute: per octet: the octet permuted back.
        unsubstitute: by selector: the octet substituted back.
    """

    name: str
    encrypt: tuple[OctetTables, ...] = field(repr=False)
    decrypt: tuple[OctetTables, ...] = field(repr=False)
    unpermute: tuple[tuple[int, ...], ...] = field(repr=False)
    unsubstitute: OctetTables = field(repr=False)


def prepare_tables(
    name: str, substitution_1: Sequence[int], substitution_2: Sequence[int], permutation: Sequence[int]
) -> StaTables:
    """Prepare a set of tables.

    Args:
        name: for messages.
        substitution_1: the nibble in place of 0 to 15 where the key bit is 0.
        substitution_2: the same where the key bit is 1.
        permutation: source bit i goes to bit ``permutation[i]``.

    Raises:
        FieldRangeError: a table is no permutation of its range, so it could not be undone.
    """
    for table, size in ((substitution_1, _NIBBLES), (substitution_2, _NIBBLES), (permutation, _BITS)):
        if sorted(table) != list(range(size)):
            raise FieldRangeError(f"a table of {name!r} is not a permutation of 0 to {size - 1}")
    inverse_permutation = [list(permutation).index(bit) for bit in range(_BITS)]
    forward = (tuple(substitution_1), tuple(substitution_2))
    backward = tuple(tuple(box.index(nibble) for nibble in range(_NIBBLES)) for box in forward)
    permute = [_spread(octet, permutation) for octet in range(8)]
    unpermute = [_spread(octet, inverse_permutation) for octet in range(8)]
    substitute = _octet_boxes(forward)
    unsubstitute = _octet_boxes(backward)
    return StaTables(
        name=name,
        encrypt=tuple(_compose(substitute, permute[octet]) for octet in range(8)),
        decrypt=tuple(_compose(unsubstitute, unpermute[octet]) for octet in range(8)),
        unpermute=tuple(unpermute),
        unsubstitute=unsubstitute,
    )


def _spread(octet: int, permutation: Sequence[int]) -> tuple[int, ...]:
    """Where the bits of each value of octet number *octet* land."""
    words = [0] * 256
    for value in range(256):
        for bit in range(8):
            if value >> bit & 1:
                words[value] |= 1 << permutation[8 * octet + bit]
    return tuple(words)


def _octet_boxes(boxes: Sequence[Sequence[int]]) -> OctetTables:
    rows: list[tuple[int, ...]] = [()] * (max(SELECTORS) + 1)
    for selector in SELECTORS:
        low, high = boxes[selector & 1], boxes[selector >> 4]
        rows[selector] = tuple(low[value & 15] | high[value >> 4] << 4 for value in range(256))
    return tuple(rows)


def _compose(boxes: OctetTables, spread: Sequence[int]) -> OctetTables:
    return tuple(tuple(spread[value] for value in row) for row in boxes)


@cache
def _table_file() -> dict[str, dict[str, list[int]]]:
    return tomllib.loads(files("sts").joinpath("sta_tables.toml").read_text(encoding="utf-8"))


@cache
def load_tables(name: str = PRODUCTION) -> StaTables:
    """Return the set of tables that ships under *name*, read and prepared once per process.

    Raises:
        UnsupportedError: no such set.
    """
    try:
        rows = _table_file()[name]
    except KeyError:
        raise UnsupportedError(f"no STA tables are named {name!r}; there are {', '.join(_table_file())}") from None
    return prepare_tables(name, rows["substitution_1"], rows["substitution_2"], rows["permutation"])
