"""The invented town: always the same, of every kind of customer, with numbers and tariffs that hold."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sts.pan import is_luhn_valid, parse_pan
from town.debts import arrears, month_end, months_before
from town.generate import DEMO_METER_NUMBER, METERS_MAX, TERMINALS_MAX, generate, meter_number
from town.published import publish
from vending.deductions import Charge, Emergency, Obligation
from vending.money import BasisPoints, Centavos
from vending.quote import QuoteInput, quote
from vending.service import AltitudeBand, Service, UserClass
from vending.tariff import TariffBook

DAY = date(2026, 8, 14)
TOWN = generate(seed=1, day=DAY)
BOOK = TariffBook(TOWN.tariffs)


def test_the_same_seed_makes_the_same_town() -> None:
    """A bug seen in a town can be seen again by anybody with its seed."""
    assert generate(seed=1, day=DAY) == TOWN
    assert generate(seed=2, day=DAY).holders != TOWN.holders


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(), meters=st.integers(1, 60), terminals=st.integers(1, 20))
def test_a_town_of_any_size_is_sound(seed: int, meters: int, terminals: int) -> None:
    """There are as many meters and terminals as asked for, each with a holder, and the first customer never changes."""
    town = generate(seed=seed, meters=meters, terminals=terminals, day=DAY)
    assert len(town.meters) == meters
    assert len(town.network.terminals) == terminals
    assert {meter.account_number for meter in town.meters} == {holder.account_number for holder in town.holders}
    assert town.meters[0] == TOWN.meters[0]


@pytest.mark.parametrize(("meters", "terminals"), [(0, 1), (METERS_MAX + 1, 1), (1, 0), (1, TERMINALS_MAX + 1)])
def test_impossible_sizes_are_refused(meters: int, terminals: int) -> None:
    """A size that has no numbers for its meters or terminals is refused before anything is made."""
    with pytest.raises(ValueError, match="a town has"):
        generate(meters=meters, terminals=terminals, day=DAY)


def test_meter_numbers_are_valid_and_unique() -> None:
    """A till accepts every number of the town: eleven digits, right check digits, never twice."""
    numbers = [meter.meter_number for meter in TOWN.meters]
    assert len(set(numbers)) == len(numbers) == 2_000
    for meter in TOWN.meters:
        assert len(meter.meter_number) == 11
        assert is_luhn_valid(meter.meter_number)
        assert parse_pan(meter.pan).drn == meter.meter_number
    assert len(meter_number(Service.GAS, METERS_MAX - 1)) == 11


def test_the_first_customer() -> None:
    """The demonstration's meter has the documented number, stratum 1, and one small overdue debt."""
    meter = TOWN.meters[0]
    assert meter.meter_number == DEMO_METER_NUMBER
    assert (meter.service, meter.user_class, meter.stratum) == (Service.ENERGY, UserClass.RESIDENTIAL, 1)
    assert not meter.is_blocked
    assert meter.remainder_centavos == 0
    (debt,) = meter.deductions
    assert isinstance(debt, Obligation)
    assert debt.id == "mora-2026-05"
    assert debt.is_overdue
    assert debt.interest_centavos == debt.capital_centavos * 15 // 1000


def test_every_kind_of_customer_lives_there() -> None:
    """All classes, strata, services and altitudes are there, so that nothing is only true of one kind."""
    assert {meter.user_class for meter in TOWN.meters} == set(UserClass)
    assert {meter.service for meter in TOWN.meters} == set(Service)
    assert {meter.altitude for meter in TOWN.meters} == set(AltitudeBand)
    for meter in TOWN.meters:
        assert (meter.stratum in range(1, 7)) == (meter.user_class is UserClass.RESIDENTIAL)
        assert (meter.exemption is not None) == (meter.user_class is UserClass.INDUSTRIAL_EXEMPT)
        if meter.exemption is not None:
            assert meter.exemption.valid_from < DAY < meter.exemption.valid_to
    assert {meter.stratum for meter in TOWN.meters} == set(range(7))


def test_every_kind_of_debt_is_owed() -> None:
    """There are old debts, agreements, emergency credit, subsidised charges, and exactly one debt in dispute."""
    names = Counter(item.id.split("-")[0] for meter in TOWN.meters for item in meter.deductions)
    assert set(names) == {"mora", "financiacion", "precarga", "aseo", "fijo"}
    assert min(names.values()) > 20
    owed = [item for meter in TOWN.meters for item in meter.deductions]
    assert {type(item) for item in owed} == {Charge, Emergency, Obligation}
    assert sum(isinstance(item, Obligation) and item.is_disputed for item in owed) == 1
    assert any(isinstance(item, Charge) and item.full_centavos > item.owed_centavos for item in owed)
    assert any(isinstance(item, Charge) and item.full_centavos < item.owed_centavos for item in owed)
    for meter in TOWN.meters:
        codes = [item.id for item in meter.deductions]
        assert len(set(codes)) == len(codes)


def test_some_meters_and_terminals_are_blocked() -> None:
    """A few of each refuse, and a fifth of the meters have the other encryption algorithm."""
    assert sum(meter.is_blocked for meter in TOWN.meters) == 5
    assert sum(terminal.is_blocked for terminal in TOWN.network.terminals) == 3
    algorithms = Counter(meter.key_register.encryption_algorithm for meter in TOWN.meters)
    assert set(algorithms) == {7, 11}
    assert 0.15 < algorithms[7] / 2_000 < 0.25


def test_terminals_have_identifiers_of_eight_characters() -> None:
    """Each fits data element 41 and none is there twice."""
    codes = [terminal.code for terminal in TOWN.network.terminals]
    assert codes[0] == "T0000001"
    assert {len(code) for code in codes} == {8}
    assert len(set(codes)) == len(codes) == 320


def test_texts_can_be_sent_and_are_spanish() -> None:
    """Names and addresses have accents and ñ, and all of them fit the character set of the wire."""
    texts = [text for holder in TOWN.holders for text in (holder.name, holder.address)]
    texts += [terminal.merchant for terminal in TOWN.network.terminals]
    joined = "".join(texts)
    joined.encode("latin-1")
    assert set("ñáéíóúü") & set(joined) >= set("ñáéíóú")
    assert max(map(len, texts)) <= 80


def test_every_meter_can_buy() -> None:
    """20 000 pesos buy units on every meter in both months when deductions may take half of them."""
    for on in (DAY, months_before(DAY, 1)):
        for meter in TOWN.meters:
            version = BOOK.find(meter.service, meter.user_class, meter.stratum, meter.altitude, on)
            assert version is not None
            answer = quote(
                QuoteInput(
                    paid_centavos=Centavos(2_000_000),
                    carried_in_centavos=meter.remainder_centavos,
                    tariff=version.tariff,
                    deductions=meter.deductions,
                    cap_basis_points=BasisPoints(5_000),
                )
            )
            assert answer.units_tenths > 0


@pytest.mark.parametrize("service", Service)
def test_tariffs_keep_the_legal_limits(service: Service) -> None:
    """Subsidies stay under their maximum for the stratum, and nothing is subsidised above the first block."""
    maximum_percent = {
        Service.ENERGY: {1: 60, 2: 50, 3: 15},
        Service.WATER: {1: 70, 2: 40, 3: 15},
        Service.GAS: {1: 60, 2: 50, 3: 0},
    }[service]
    versions = [version for version in TOWN.tariffs if version.service is service]
    assert len(versions) == 40
    for version in versions:
        first, *others = version.tariff.blocks
        percent = maximum_percent.get(version.stratum, 0)
        assert first.rate_e4 * 100 >= first.full_rate_e4 * (100 - percent)
        assert all(block.rate_e4 == block.full_rate_e4 for block in others)
        pays_contribution = version.stratum in {5, 6} or version.user_class is UserClass.COMMERCIAL
        assert not pays_contribution or first.rate_e4 > first.full_rate_e4
        if service is Service.ENERGY:
            assert first.rate_e4 * 10 <= first.full_rate_e4 * 12 + 10
            if version.user_class is UserClass.INDUSTRIAL_EXEMPT:
                assert first.rate_e4 == first.full_rate_e4


def test_the_subsistence_block_goes_by_altitude() -> None:
    """Energy has 173 kWh below 1 000 m and 130 above, water 16 and 13 cubic metres."""
    found = {
        (service, altitude): version.tariff.blocks[0].up_to_tenths
        for service in (Service.ENERGY, Service.WATER)
        for altitude in AltitudeBand
        if (version := BOOK.find(service, UserClass.RESIDENTIAL, 1, altitude, DAY)) is not None
    }
    assert found == {
        (Service.ENERGY, AltitudeBand.LOW): 1730,
        (Service.ENERGY, AltitudeBand.HIGH): 1300,
        (Service.WATER, AltitudeBand.LOW): 160,
        (Service.WATER, AltitudeBand.HIGH): 130,
    }


@pytest.mark.parametrize("day", [date(2026, 1, 1), date(2026, 3, 31), date(2024, 2, 29), date(2026, 12, 31)])
def test_two_versions_whatever_the_day(day: date) -> None:
    """There is a version from the first of this month and one from the first of the last, also over a new year."""
    days = sorted({version.valid_from for version in publish(day)})
    assert days == [months_before(day, 1), months_before(day, 0)]
    assert generate(meters=200, day=day).day == day


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        (date(2026, 1, 31), 1, date(2025, 12, 1)),
        (date(2026, 12, 5), 0, date(2026, 12, 1)),
        (date(2026, 12, 5), -1, date(2027, 1, 1)),
        (date(2026, 3, 1), 27, date(2023, 12, 1)),
    ],
)
def test_months_before(day: date, count: int, expected: date) -> None:
    """Counting months backwards crosses years rightly."""
    assert months_before(day, count) == expected
    assert month_end(months_before(day, count + 1)).toordinal() + 1 == expected.toordinal()


def test_arrears_carry_simple_interest() -> None:
    """Four months at half a percent are two percent of the capital."""
    debt = arrears(DAY, months=4, capital_centavos=1_000_000)
    assert debt.interest_centavos == 20_000
    assert debt.due == date(2026, 4, 30)
