"""What a network earns: the worked cases, the rounding, and that no version leaves a sale without a tier."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.commission import TIERS_MAX, Commission, CommissionTerms, CommissionTier, commission_of
from vending.money import BasisPoints, Centavos

DAY = date(2026, 8, 1)
CASES = [
    # paid, share, fixed, tax -> commission, tax
    (2_000_000, 150, 0, 0, 30_000, 0),
    (2_000_000, 150, 0, 1900, 30_000, 5_700),
    (2_000_000, 0, 25_000, 1900, 25_000, 4_750),
    (2_000_000, 150, 25_000, 1900, 55_000, 10_450),
    (100, 150, 0, 1900, 1, 0),
    (66, 150, 0, 1900, 0, 0),
    (67, 150, 0, 0, 1, 0),
    (20_000, 0, 25_000, 1900, 20_000, 3_800),
    (500_050, 150, 0, 1900, 7_500, 1_425),
    (0, 10_000, 0, 10_000, 0, 0),
]
SUMS = st.integers(0, 10**14)
SHARES = st.integers(0, 10_000)
FIXED = st.integers(0, 10**8)


def tier(start: int = 0, share: int = 0, fixed: int = 0) -> CommissionTier:
    """A tier in one line."""
    return CommissionTier(
        from_paid_centavos=Centavos(start), share_basis_points=BasisPoints(share), fixed_centavos=Centavos(fixed)
    )


@pytest.mark.parametrize(("paid", "share", "fixed", "tax", "centavos", "tax_centavos"), CASES)
def test_the_worked_cases(paid: int, share: int, fixed: int, tax: int, centavos: int, tax_centavos: int) -> None:
    """Share, fixed sum, tax, rounding down twice, and never more than the sale."""
    assert commission_of(paid, share, fixed, tax) == (centavos, tax_centavos)


@given(paid=SUMS, share=SHARES, fixed=FIXED, tax=SHARES)
def test_a_commission_is_rounded_down_and_never_more_than_the_sale(paid: int, share: int, fixed: int, tax: int) -> None:
    """The fraction that is left out is less than a centavo, of the share and of the tax alike."""
    found = commission_of(paid, share, fixed, tax)
    assert 0 <= found.centavos <= paid
    if found.centavos < paid:
        assert 0 <= paid * share - (found.centavos - fixed) * 10_000 < 10_000
    assert 0 <= found.centavos * tax - found.tax_centavos * 10_000 < 10_000


def test_the_highest_tier_that_a_sale_reaches_counts_for_all_of_it() -> None:
    """Below, on and above the border; the order in which the tiers were written does not matter."""
    terms = CommissionTerms(
        valid_from=DAY,
        tiers=[tier(5_000_000, 100), tier(0, 200), tier(1_000_000, 150, 10_000)],
        tax_basis_points=BasisPoints(1900),
    )
    assert [terms.of(paid) for paid in (999_999, 1_000_000, 4_999_999, 5_000_000)] == [
        Commission(Centavos(19_999), Centavos(3_799)),
        Commission(Centavos(25_000), Centavos(4_750)),
        Commission(Centavos(84_999), Centavos(16_149)),
        Commission(Centavos(50_000), Centavos(9_500)),
    ]


@pytest.mark.parametrize(
    "tiers",
    [[], [tier(1)], [tier(0), tier(0, 5)], [tier(start) for start in range(TIERS_MAX + 1)]],
    ids=["none", "nothing for small sales", "two alike", "too many"],
)
def test_a_version_has_a_tier_for_every_sale(tiers: list[CommissionTier]) -> None:
    """And only one."""
    with pytest.raises(ValueError, match="tier"):
        CommissionTerms(valid_from=DAY, tiers=tiers)


@pytest.mark.parametrize(
    ("start", "share", "fixed"), [(-1, 0, 0), (0, -1, 0), (0, 10_001, 0), (0, 0, -1), (0, 0, 10**9)]
)
def test_a_slip_of_the_keyboard_is_no_tier(start: int, share: int, fixed: int) -> None:
    """Nor is a tax above the commission a tax."""
    with pytest.raises(ValueError, match=r"basis points|centavos|zero"):
        tier(start, share, fixed)
    with pytest.raises(ValueError, match="tax"):
        CommissionTerms(valid_from=DAY, tiers=[tier()], tax_basis_points=BasisPoints(10_001))
