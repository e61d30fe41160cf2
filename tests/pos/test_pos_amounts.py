"""Amounts as they are typed and printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos.amounts import PESOS_MAX, AmountError, format_centavos, format_rate, format_units, group_thousands, parse_pesos
from vending.money import Centavos, RateE4, Tenths


@pytest.mark.parametrize(
    ("typed", "centavos"), [("20000", 2_000_000), ("20.000", 2_000_000), ("1.250.000", 125_000_000), ("1", 100)]
)
def test_whole_pesos_are_read(typed: str, centavos: int) -> None:
    """A cashier may type the points between the thousands or leave them out."""
    assert parse_pesos(typed) == centavos


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "0",
        "-5",
        "+5",
        " 5",
        "5 ",
        "abc",
        "20k",
        "20.5",
        "20,000",
        "20000,50",
        "2.00",
        "20.0000",
        "1.00.000",
        "٣",
        "²",
        "1e3",
        "0x10",
        "$ 20",
    ],
)
def test_anything_else_is_refused_with_a_text(typed: str) -> None:
    """Letters, fractions, signs, zero and digits of other scripts never become money."""
    with pytest.raises(AmountError, match=r"."):
        parse_pesos(typed)


def test_a_fraction_is_told_apart_from_letters() -> None:
    """The text says what is wrong, so that the cashier can mend it."""
    with pytest.raises(AmountError, match="without centavos"):
        parse_pesos("20000,50")
    with pytest.raises(AmountError, match="not an amount"):
        parse_pesos("veinte")


def test_an_amount_that_data_element_4_cannot_hold_is_refused() -> None:
    """The largest amount fits into twelve digits of centavos, one peso more does not."""
    assert len(str(parse_pesos(str(PESOS_MAX)))) == 12
    with pytest.raises(AmountError, match="too large"):
        parse_pesos(str(PESOS_MAX + 1))


@given(st.integers(1, PESOS_MAX))
def test_what_is_printed_can_be_typed_again(pesos: int) -> None:
    """Printing groups by thousands exactly as typing accepts it."""
    assert parse_pesos(group_thousands(pesos)) == pesos * 100
    assert format_centavos(Centavos(pesos * 100)) == f"$ {group_thousands(pesos)}"


@pytest.mark.parametrize(
    ("centavos", "text"),
    [
        (0, "$ 0"),
        (5, "$ 0,05"),
        (1_997_300, "$ 19.973"),
        (1_997_350, "$ 19.973,50"),
        (-1_242_000, "-$ 12.420"),
        (-7, "-$ 0,07"),
    ],
)
def test_centavos_show_only_where_they_are(centavos: int, text: str) -> None:
    """Whole pesos stand alone; a rest is shown with two digits."""
    assert format_centavos(Centavos(centavos)) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(3_600_000, "360,00"), (3_612_300, "361,23"), (3_612_340, "361,234"), (12_345_678, "1.234,5678"), (1, "0,0001")],
)
def test_rates_keep_their_decimals(rate: int, text: str) -> None:
    """A published rate has up to four decimals and none is lost."""
    assert format_rate(RateE4(rate)) == text


def test_units_have_one_decimal() -> None:
    """A token counts tenths."""
    assert format_units(Tenths(10_005), "m³") == "1.000,5 m³"
