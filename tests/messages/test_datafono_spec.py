"""The field table against two others: the stock iso87binary table and pyiso8583's own."""

import pytest
from iso8583.specs import default

from messages.specs.datafono import SPEC

FIXED_DIGITS = (
    {
        3: 6,
        7: 10,
        9: 8,
        10: 8,
        8: 8,
        11: 6,
        12: 6,
        25: 2,
        26: 2,
        27: 1,
        53: 16,
        66: 1,
        67: 2,
        71: 4,
        72: 4,
        73: 6,
        90: 42,
    }
    | dict.fromkeys((4, 5, 6, 82, 83, 84, 85), 12)
    | dict.fromkeys((13, 14, 15, 16, 17, 18), 4)
    | dict.fromkeys((19, 20, 21, 22, 23, 24, 68, 69, 70), 3)
    | dict.fromkeys(range(74, 82), 10)
    | dict.fromkeys((86, 87, 88, 89), 16)
)
SIGNED = {28: 8, 29: 8, 30: 8, 31: 8, 97: 16}
VARIABLE_DIGITS = {2: 19, 32: 11, 33: 11, 35: 37, 99: 11, 100: 11}
FIXED_CHARACTERS = {
    37: 12,
    38: 6,
    39: 2,
    40: 3,
    41: 8,
    42: 15,
    43: 40,
    49: 3,
    50: 3,
    51: 3,
    91: 1,
    92: 2,
    93: 6,
    94: 7,
    95: 42,
    98: 25,
}
CHARACTERS_TO_99 = {34: 28, 44: 25, 45: 76, 101: 17, 102: 28, 103: 28}
CHARACTERS_TO_999 = {36: 104, 54: 120, 104: 100} | dict.fromkeys((46, 47, 48, *range(55, 64), *range(105, 128)), 999)
BINARY = {52: 8, 64: 8, 96: 16, 128: 8}


@pytest.mark.parametrize(
    ("table", "packing"),
    [
        (FIXED_DIGITS, {"data_enc": "b", "len_type": 0, "len_count": "nibbles", "left_pad": "0"}),
        (VARIABLE_DIGITS, {"data_enc": "b", "len_enc": "bcd", "len_type": 1, "len_count": "nibbles", "right_pad": "0"}),
        (FIXED_CHARACTERS, {"data_enc": "latin-1", "len_type": 0}),
        (CHARACTERS_TO_99, {"data_enc": "latin-1", "len_enc": "bcd", "len_type": 1}),
        (CHARACTERS_TO_999, {"data_enc": "latin-1", "len_enc": "bcd", "len_type": 2}),
        (BINARY, {"data_enc": "b", "len_type": 0}),
    ],
    ids=["n", "n..", "ans", "ans..99", "ans...999", "b"],
)
def test_the_packing_is_that_of_the_stock_table(table: dict[int, int], packing: dict[str, object]) -> None:
    """Size and packing of every data element are those that stock iso87binary clients use."""
    for number, size in table.items():
        row = SPEC[str(number)]
        assert row["max_len"] == size, number
        assert {key: row.get(key) for key in packing} == packing, number


def test_signed_amounts_are_a_letter_and_digits() -> None:
    """An amount with a sign takes one octet for C or D and half an octet for each digit."""
    for number, digits in SIGNED.items():
        assert (SPEC[str(number)]["kind"], SPEC[str(number)]["max_len"]) == ("x+n", 1 + digits // 2)


def test_the_table_has_every_element_of_1987_and_no_third_bitmap() -> None:
    """128 elements, less the two bitmap bits, each in exactly one of the groups above."""
    groups = (FIXED_DIGITS, SIGNED, VARIABLE_DIGITS, FIXED_CHARACTERS, CHARACTERS_TO_99, CHARACTERS_TO_999, BINARY)
    numbers = sorted(number for group in groups for number in group)
    assert numbers == [number for number in range(2, 129) if number != 65]
    assert sorted(int(key) for key in SPEC if key.isdigit()) == [1, *numbers]


def test_where_pyiso8583s_table_is_otherwise_the_row_says_so() -> None:
    """Sizes equal pyiso8583's own default table, except in rows whose source names the difference."""
    for key, row in SPEC.items():
        if not key.isdigit():
            continue
        other = default[key]
        is_plain_octets = row["kind"] == "x+n"
        size = 2 * row["max_len"] - 1 if is_plain_octets else row["max_len"]
        assert size == other["max_len"] or "pyiso8583's default" in row["source"], key


def test_every_row_names_its_source_and_secrets_are_marked() -> None:
    """A row without a source is a guess; PINs, tracks and chip data are masked, and the meter number is not."""
    assert all(row["source"] and row["desc"] and row["notation"] for row in SPEC.values())
    assert {int(key) for key, row in SPEC.items() if row["is_masked"]} == {35, 36, 45, 52, 55, 62}
    with pytest.raises(TypeError):
        SPEC["2"]["max_len"] = 1  # type: ignore[index]
