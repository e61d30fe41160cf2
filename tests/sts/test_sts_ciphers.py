"""The two ciphers and the tables of the first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sts import misty1, sta
from sts.errors import FieldRangeError, UnsupportedError
from sts.tables import IEC_SAMPLE, PRODUCTION, load_tables, prepare_tables

blocks = st.integers(0, (1 << 64) - 1)
IDENTITY_16 = list(range(16))
IDENTITY_64 = list(range(64))


@given(blocks, st.binary(min_size=8, max_size=8), st.sampled_from([PRODUCTION, IEC_SAMPLE]))
@settings(deadline=None)
def test_sta_decrypts_what_it_encrypted(block: int, key: bytes, name: str) -> None:
    """Under every key and either set of tables, EA07 undoes itself."""
    tables = load_tables(name)
    assert sta.decrypt(sta.encrypt(block, key, tables), key, tables) == block


@given(blocks, st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_misty1_decrypts_what_it_encrypted(block: int, key: bytes) -> None:
    """Under every key EA11 undoes itself."""
    assert misty1.decrypt(misty1.encrypt(block, key), key) == block


def _sta_by_the_text(block: int, key: bytes, boxes: tuple[list[int], list[int]], permutation: list[int]) -> int:
    """EA07 nibble by nibble and bit by bit, as the standard tells it."""
    mask = (1 << 64) - 1
    word = ~int.from_bytes(key, "big") & mask
    word = word >> 12 | word << 52 & mask
    for _ in range(16):
        substituted = 0
        for nibble in range(16):
            box = boxes[word >> 4 * nibble + 3 & 1]
            substituted |= box[block >> 4 * nibble & 15] << 4 * nibble
        block = sum((substituted >> bit & 1) << permutation[bit] for bit in range(64))
        word = word << 1 & mask | word >> 63
    return block


@given(
    blocks,
    st.binary(min_size=8, max_size=8),
    st.permutations(IDENTITY_16),
    st.permutations(IDENTITY_16),
    st.permutations(IDENTITY_64),
)
@settings(deadline=None, max_examples=20)
def test_the_prepared_tables_equal_the_text(
    block: int, key: bytes, box_1: list[int], box_2: list[int], permutation: list[int]
) -> None:
    """Lookups by octet give what the standard's nibbles and bits give, whatever the tables are."""
    tables = prepare_tables("any", box_1, box_2, permutation)
    assert sta.encrypt(block, key, tables) == _sta_by_the_text(block, key, (box_1, box_2), permutation)


@pytest.mark.parametrize("octets", [0, 7, 9, 16])
def test_a_key_of_the_wrong_length_is_refused(octets: int) -> None:
    """EA07 takes 8 octets and EA11 takes 16, nothing is cut or padded."""
    with pytest.raises(FieldRangeError):
        sta.encrypt(0, bytes(octets), load_tables())
    with pytest.raises(FieldRangeError):
        misty1.decrypt(0, bytes(octets + 1))


@pytest.mark.parametrize(
    ("box", "permutation"),
    [([0, *IDENTITY_16[:-1]], IDENTITY_64), (IDENTITY_16[:-1], IDENTITY_64), (IDENTITY_16, [1, *IDENTITY_64[1:]])],
)
def test_tables_that_cannot_be_undone_are_refused(box: list[int], permutation: list[int]) -> None:
    """A value twice, a value missing: the set is refused when it is made, not when a token fails."""
    with pytest.raises(FieldRangeError):
        prepare_tables("bad", box, IDENTITY_16, permutation)


def test_an_unknown_set_of_tables_is_named_with_those_there_are() -> None:
    """A slip in the configuration says which names exist."""
    with pytest.raises(UnsupportedError, match="production, iec-sample"):
        load_tables("producton")


def test_tables_are_prepared_once() -> None:
    """Asking again for a set gives the same object."""
    assert load_tables(PRODUCTION) is load_tables(PRODUCTION)
