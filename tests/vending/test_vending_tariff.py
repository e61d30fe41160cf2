"""Tariffs: what is refused when loaded, and which version applies on a day."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.money import BasisPoints, Centavos, RateE4, Tenths
from vending.policy import Limits, SalePolicy
from vending.service import AltitudeBand, Service, UserClass
from vending.tariff import Tariff, TariffBlock, TariffBook, TariffError, TariffVersion


def block(limit: int | None, rate: int = 9_000_000, full_rate: int = 9_000_000) -> TariffBlock:
    """Return a block."""
    return TariffBlock(
        up_to_tenths=None if limit is None else Tenths(limit), rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate)
    )


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ((), "at least one"),
        ((block(100),), "last block"),
        ((block(100), block(200)), "last block"),
        ((block(None), block(None)), "only the last"),
        ((block(200), block(100), block(None)), "do not rise"),
        ((block(100), block(100), block(None)), "do not rise"),
        ((block(0), block(None)), "do not rise"),
        ((block(None, rate=0),), "below 1"),
        ((block(None, rate=-5),), "below 1"),
        ((block(100, full_rate=0), block(None)), "below 1"),
    ],
)
def test_bad_tariffs_are_refused_when_loaded(blocks: tuple[TariffBlock, ...], text: str) -> None:
    """A tariff that cannot be applied never reaches a sale."""
    with pytest.raises(TariffError, match=text):
        Tariff(blocks=blocks)


def version(valid_from: date, rate: int = 9_000_000, stratum: int = 1) -> TariffVersion:
    """Return an energy version."""
    return TariffVersion(
        service=Service.ENERGY,
        user_class=UserClass.RESIDENTIAL,
        stratum=stratum,
        altitude=AltitudeBand.LOW,
        valid_from=valid_from,
        publication="Diario 1",
        tariff=Tariff(blocks=(block(None, rate),)),
    )


def find(book: TariffBook, on: date, stratum: int = 1) -> TariffVersion | None:
    """Find the energy version of a stratum."""
    return book.find(Service.ENERGY, UserClass.RESIDENTIAL, stratum, AltitudeBand.LOW, on)


@given(
    st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=8), st.dates(date(2025, 12, 1), date(2027, 1, 31))
)
def test_the_newest_version_that_applies(days: set[date], on: date) -> None:
    """The version of a day is the newest that began by then, and there is none before the first."""
    book = TariffBook(version(day) for day in days)
    expected = max((day for day in days if day <= on), default=None)
    found = find(book, on)
    assert (found.valid_from if found else None) == expected


def test_versions_are_kept_apart_by_kind_of_user() -> None:
    """A stratum never gets another's tariff."""
    book = TariffBook([version(date(2026, 7, 1)), version(date(2026, 7, 1), 8_000_000, stratum=2)])
    found = find(book, date(2026, 7, 5), stratum=2)
    assert found is not None
    assert found.tariff.blocks[0].rate_e4 == 8_000_000
    assert find(book, date(2026, 7, 5), stratum=3) is None
    assert book.find(Service.GAS, UserClass.RESIDENTIAL, 1, AltitudeBand.LOW, date(2026, 7, 5)) is None


def test_two_versions_of_one_day_are_refused() -> None:
    """Which of two would apply is nobody's guess."""
    with pytest.raises(TariffError):
        TariffBook([version(date(2026, 7, 1)), version(date(2026, 7, 1), 8_000_000)])


def test_policy_gives_the_limits_of_the_quote() -> None:
    """The policy's limits reach the quote as they are."""
    policy = SalePolicy(
        minimum_paid_centavos=Centavos(100), maximum_paid_centavos=Centavos(500), cap_basis_points=BasisPoints(4000)
    )
    assert policy.limits == Limits(minimum_paid_centavos=Centavos(100), maximum_paid_centavos=Centavos(500))


@pytest.mark.parametrize(
    "change",
    [
        {"minimum_paid_centavos": Centavos(0)},
        {"minimum_paid_centavos": Centavos(501)},
        {"cap_basis_points": BasisPoints(10_001)},
        {"cap_basis_points": BasisPoints(-1)},
        {"tokens_max": 0},
        {"tokens_max": 17},
    ],
)
def test_policies_without_sense_are_refused(change: dict[str, int]) -> None:
    """A policy that would decline everything, or take more than was paid, is refused when made."""
    policy = SalePolicy(minimum_paid_centavos=Centavos(100), maximum_paid_centavos=Centavos(500), cap_basis_points=None)
    with pytest.raises(ValueError, match=r"limits|cap|tokens"):
        replace(policy, **change)  # type: ignore[arg-type]
