"""The rules of parked tokens, whatever the sums."""

from hypothesis import given
from hypothesis import strategies as st

from vending.money import Centavos, Tenths
from vending.parked import (
    CLAIMED_TOKENS_MAX,
    ParkedSale,
    Parking,
    ParkingLimits,
    claimable,
    judge_parking,
    keep_as_remainder,
)
from vending.secret import Secret

MONEY = st.integers(min_value=1, max_value=10_000_000)


@st.composite
def parked_sales(draw: st.DrawFn) -> list[ParkedSale]:
    """What waits on one meter, oldest first."""
    sums = draw(st.lists(MONEY, max_size=12))
    return [
        ParkedSale(
            sale_id=number,
            paid_centavos=Centavos(paid),
            units_tenths=Tenths(number + 1),
            tokens=[Secret("1" * 20)] * draw(st.integers(min_value=1, max_value=16)),
        )
        for number, paid in enumerate(sums)
    ]


@given(parked_sales(), st.integers(min_value=0, max_value=50_000_000))
def test_what_is_claimed_is_paid_for_and_as_much_as_can_be(parked: list[ParkedSale], paid: int) -> None:
    """The oldest, without a gap, never for more than the money, never too many for one answer; and one more would not fit."""
    claimed = claimable(parked, paid)
    count = len(claimed)
    assert list(claimed) == parked[:count]
    assert sum(sale.paid_centavos for sale in claimed) <= paid
    assert sum(len(sale.tokens) for sale in claimed) <= CLAIMED_TOKENS_MAX
    if count < len(parked):
        more = parked[: count + 1]
        money, tokens = sum(sale.paid_centavos for sale in more), sum(len(sale.tokens) for sale in more)
        assert money > paid or tokens > CLAIMED_TOKENS_MAX


@given(st.lists(MONEY, max_size=20), MONEY, MONEY)
def test_a_day_never_goes_above_its_cap(sums: list[int], sale_max: int, day_max: int) -> None:
    """Whatever is asked for in whatever order."""
    limits = ParkingLimits(sale_centavos_max=Centavos(sale_max), terminal_day_centavos_max=Centavos(day_max))
    today = 0
    for paid in sums:
        outcome = judge_parking(paid, today, limits)
        fits = paid <= sale_max and today + paid <= day_max
        assert outcome is (Parking.PARKED if fits else Parking.ABOVE_CAP)
        if outcome is Parking.PARKED:
            today += paid
    assert today <= day_max


@given(st.integers(min_value=0, max_value=10_000_000), st.integers(min_value=0, max_value=10_000_000))
def test_a_rest_is_kept_to_the_centavo(rest: int, carried_in: int) -> None:
    """What buys nothing is carried out whole."""
    kept = keep_as_remainder(Centavos(rest), carried_in_centavos=Centavos(carried_in), month_to_date_tenths=Tenths(17))
    assert kept.carried_out_centavos == rest + carried_in
    assert (kept.units_tenths, kept.taken, kept.token_units_tenths, kept.month_to_date_tenths) == (0, (), (), 17)


def test_the_digits_do_not_show() -> None:
    """A parked sale in a log or a traceback says nothing that opens a meter."""
    sale = ParkedSale(sale_id=1, paid_centavos=Centavos(1), units_tenths=Tenths(1), tokens=[Secret("9" * 20)])
    assert "9999" not in repr(sale)
