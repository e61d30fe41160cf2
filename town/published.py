"""The town's published tariffs, two months of them.

The utility is invented; the size of the figures is what Colombian companies publish in 2026. They stand here as they would in a
newspaper, to the fourth decimal of a peso, each one for itself: the percentage of a subsidy really applied moves every month, so no
rate is computed from another.
"""

from datetime import date, timedelta
from typing import NamedTuple

from vending.calendar import month_start
from vending.money import RateE4, Tenths
from vending.service import AltitudeBand, Service, UserClass
from vending.tariff import Tariff, TariffBlock, TariffVersion

SUBSISTENCE_TENTHS: dict[Service, dict[AltitudeBand, tuple[int, ...]]] = {
    # kWh-month: 173 below 1 000 m, 130 at or above (UPME 0355 of 2004).
    Service.ENERGY: {AltitudeBand.LOW: (1730,), AltitudeBand.HIGH: (1300,)},
    # m3-month, basic and complementary: 16 and 32 below 1 000 m, 13 and 26 above (CRA 750 of 2016).
    Service.WATER: {AltitudeBand.LOW: (160, 320), AltitudeBand.HIGH: (130, 260)},
    # m3-month, wherever it is.
    Service.GAS: {AltitudeBand.LOW: (200,), AltitudeBand.HIGH: (200,)},
}
"""The limits of the blocks, in tenths."""


class Published(NamedTuple):
    """One month of one service: the full cost, what the classes of users pay, and what strata pay in the first block.

    ``blocks`` has the strata with a subsidised first block (they pay the full cost above it), ``flat`` those without blocks.
    """

    full_rate_e4: int
    blocks: dict[int, int]
    flat: dict[tuple[UserClass, int], int]


def _flat(
    *, four: int, five: int, six: int, commercial: int, official: int, industrial: int, exempt: int
) -> dict[tuple[UserClass, int], int]:
    return {
        (UserClass.RESIDENTIAL, 4): four,
        (UserClass.RESIDENTIAL, 5): five,
        (UserClass.RESIDENTIAL, 6): six,
        (UserClass.COMMERCIAL, 0): commercial,
        (UserClass.OFFICIAL, 0): official,
        (UserClass.INDUSTRIAL, 0): industrial,
        (UserClass.INDUSTRIAL_EXEMPT, 0): exempt,
    }


LAST_MONTH: dict[Service, Published] = {
    Service.ENERGY: Published(
        full_rate_e4=8_746_312,
        blocks={1: 3_647_212, 2: 4_548_082, 3: 7_434_366},
        flat=_flat(
            four=8_746_312,
            five=10_495_574,
            six=10_495_574,
            commercial=10_495_574,
            official=8_746_312,
            industrial=10_495_574,
            exempt=8_746_312,
        ),
    ),
    Service.WATER: Published(
        full_rate_e4=31_845_200,
        blocks={1: 12_738_080, 2: 19_744_024, 3: 27_705_324},
        flat=_flat(
            four=31_845_200,
            five=47_767_800,
            six=50_952_320,
            commercial=47_767_800,
            official=31_845_200,
            industrial=41_398_760,
            exempt=41_398_760,
        ),
    ),
    Service.GAS: Published(
        full_rate_e4=29_187_450,
        blocks={1: 12_083_604, 2: 15_031_537},
        flat={
            (UserClass.RESIDENTIAL, 3): 29_187_450,
            **_flat(
                four=29_187_450,
                five=35_024_940,
                six=35_024_940,
                commercial=31_785_133,
                official=29_187_450,
                industrial=31_785_133,
                exempt=29_187_450,
            ),
        },
    ),
}

THIS_MONTH: dict[Service, Published] = {
    Service.ENERGY: Published(
        full_rate_e4=8_812_047,
        blocks={1: 3_665_811, 2: 4_573_452, 3: 7_490_240},
        flat=_flat(
            four=8_812_047,
            five=10_574_456,
            six=10_574_456,
            commercial=10_574_456,
            official=8_812_047,
            industrial=10_574_456,
            exempt=8_812_047,
        ),
    ),
    Service.WATER: Published(
        full_rate_e4=32_118_700,
        blocks={1: 12_847_480, 2: 19_913_594, 3: 27_943_269},
        flat=_flat(
            four=32_118_700,
            five=48_178_050,
            six=51_389_920,
            commercial=48_178_050,
            official=32_118_700,
            industrial=41_754_310,
            exempt=41_754_310,
        ),
    ),
    Service.GAS: Published(
        full_rate_e4=29_503_180,
        blocks={1: 12_184_813, 2: 15_164_634},
        flat={
            (UserClass.RESIDENTIAL, 3): 29_503_180,
            **_flat(
                four=29_503_180,
                five=35_403_816,
                six=35_403_816,
                commercial=32_128_963,
                official=29_503_180,
                industrial=32_128_963,
                exempt=29_503_180,
            ),
        },
    ),
}


def publish(day: date) -> tuple[TariffVersion, ...]:
    """Return every version, valid from the first of last month and from the first of the month of *day*."""
    this_month = month_start(day)
    last_month = month_start(this_month - timedelta(days=1))
    versions: list[TariffVersion] = []
    for valid_from, services in ((last_month, LAST_MONTH), (this_month, THIS_MONTH)):
        for service, published in services.items():
            for altitude in AltitudeBand:
                versions += _versions(service, altitude, valid_from, published)
    return tuple(versions)


def _versions(service: Service, altitude: AltitudeBand, valid_from: date, published: Published) -> list[TariffVersion]:
    tariffs: dict[tuple[UserClass, int], Tariff] = {
        (UserClass.RESIDENTIAL, stratum): _tariff_in_blocks(
            SUBSISTENCE_TENTHS[service][altitude], rate_e4, published.full_rate_e4
        )
        for stratum, rate_e4 in published.blocks.items()
    }
    for kind, rate_e4 in published.flat.items():
        tariffs[kind] = Tariff(blocks=(_block(None, rate_e4, published.full_rate_e4),))
    return [
        TariffVersion(
            service=service,
            user_class=user_class,
            stratum=stratum,
            altitude=altitude,
            valid_from=valid_from,
            publication=f"El Correo de la Ribera, {valid_from:%Y-%m-%d}, tarifas de {_SPANISH[service]}",
            tariff=tariff,
        )
        for (user_class, stratum), tariff in tariffs.items()
    ]


_SPANISH = {Service.ENERGY: "energía", Service.WATER: "acueducto", Service.GAS: "gas"}


def _tariff_in_blocks(limits_tenths: tuple[int, ...], rate_e4: int, full_rate_e4: int) -> Tariff:
    """Return a tariff whose first block is subsidised; all others cost what they cost."""
    first, *others = limits_tenths
    blocks = [_block(first, rate_e4, full_rate_e4)]
    blocks += [_block(limit, full_rate_e4, full_rate_e4) for limit in others]
    blocks.append(_block(None, full_rate_e4, full_rate_e4))
    return Tariff(blocks=tuple(blocks))


def _block(limit_tenths: int | None, rate_e4: int, full_rate_e4: int) -> TariffBlock:
    return TariffBlock(
        up_to_tenths=None if limit_tenths is None else Tenths(limit_tenths),
        rate_e4=RateE4(rate_e4),
        full_rate_e4=RateE4(full_rate_e4),
    )
