"""Making a town out of a seed. The same seed, size and day give the same town, to the last letter."""

from datetime import date, timedelta
from random import Random
from typing import Final

from sts.pan import luhn_digit, pan_of_meter
from town.debts import arrears, owed_on
from town.names import DISTRICTS, District, address, holder, shop
from town.published import publish
from town.shapes import Exemption, Holder, KeyRegister, Meter, Network, Terminal, Town
from vending.deductions import Deduction
from vending.money import BasisPoints, Centavos
from vending.service import Service, UserClass

DEFAULT_SEED = 1
DEFAULT_METERS = 2_000
DEFAULT_TERMINALS = 320

METERS_MAX = 1_000_000
"""A serial number has eight digits; a million leaves room for those, and is more than any utility here has."""
TERMINALS_MAX = 999_999

DEMO_METER_NUMBER = "37000000002"
"""The first meter of every town: energy, residential, stratum 1, below 1 000 m, with one small debt that is overdue."""

NETWORK_CODE = "datafonos"

OTHER_TERMINALS = 20
"""Of each of the other networks."""

KEY_REGISTERS = (
    # Identifiers that count from 1993 ran out in 2024, so both count from 2014.
    KeyRegister(register_id=1, encryption_algorithm=11, base_year=2014, description="EA11, Misty1"),
    KeyRegister(register_id=2, encryption_algorithm=7, base_year=2014, description="EA07, STA"),
)

_MANUFACTURER = {Service.ENERGY: "37", Service.WATER: "38", Service.GAS: "39"}
"""The first two digits of a meter number say who made it; the rest but the last is its serial number."""

_TARIFF_INDEX = {Service.ENERGY: 1, Service.WATER: 2, Service.GAS: 3}

_CLASSES = (
    (UserClass.RESIDENTIAL, 88),
    (UserClass.COMMERCIAL, 7),
    (UserClass.OFFICIAL, 2),
    (UserClass.INDUSTRIAL, 2),
    (UserClass.INDUSTRIAL_EXEMPT, 1),
)
_DISTRICT_WEIGHTS = (16, 16, 12, 18, 14, 10, 6, 3, 5)


def generate(
    *, seed: int = DEFAULT_SEED, meters: int = DEFAULT_METERS, terminals: int = DEFAULT_TERMINALS, day: date
) -> Town:
    """Make a town.

    Args:
        seed: any integer.
        meters: 1 to `METERS_MAX`; how many there are of all services together.
        terminals: 1 to `TERMINALS_MAX`.
        day: the local day it is on that day; debts and tariffs are dated from it.
    """
    if not 1 <= meters <= METERS_MAX:
        raise ValueError(f"a town has 1 to {METERS_MAX} meters")
    if not 1 <= terminals <= TERMINALS_MAX:
        raise ValueError(f"a town has 1 to {TERMINALS_MAX} terminals")
    random = Random(seed)  # noqa: S311 - the town must come out the same each time
    holders, made = _customers(random, meters, day)
    return Town(
        seed=seed,
        day=day,
        key_registers=KEY_REGISTERS,
        holders=tuple(holders),
        meters=tuple(made),
        network=_network(random, terminals),
        other_networks=OTHER_NETWORKS,
        tariffs=publish(day),
    )


def _other_network(code: str, name: str, letter: str, merchant: str) -> Network:
    terminals = tuple(
        Terminal(code=f"{letter}{number:07}", merchant=f"{merchant} {number}", is_blocked=False)
        for number in range(1, OTHER_TERMINALS + 1)
    )
    return Network(
        code=code,
        name=name,
        deposit_centavos=Centavos(20_000_000_000),
        commission_basis_points=BasisPoints(200),
        terminals=terminals,
    )


OTHER_NETWORKS: Final = (
    _other_network("recargas", "Recargas del Río", "R", "Punto de recarga"),
    _other_network("loteria", "Lotería de la Ribera", "L", "Agencia de lotería"),
)
"""They sell to the same meters; each speaks a dialect of its own."""


def _customers(random: Random, meters: int, day: date) -> tuple[list[Holder], list[Meter]]:
    holders = [
        Holder(account_number="100000001", name="María Peñaloza Núñez", address=f"Calle 7 # 3-21, {DISTRICTS[0].name}")
    ]
    made = [_demo_meter(day)]
    disputed_left = 1
    while len(made) < meters:
        account_number = f"{100_000_001 + len(holders)}"
        user_class = random.choices([name for name, _ in _CLASSES], [weight for _, weight in _CLASSES])[0]
        district = random.choices(DISTRICTS, _DISTRICT_WEIGHTS)[0]
        holders.append(
            Holder(account_number=account_number, name=holder(random, user_class), address=address(random, district))
        )
        stratum = random.choice(district.strata) if user_class is UserClass.RESIDENTIAL else 0
        for service in _services(random, user_class)[: meters - len(made)]:
            owed = owed_on(random, service, user_class, stratum, day)
            if disputed_left and service is Service.ENERGY:
                disputed_left -= 1
                owed = (arrears(day, months=5, capital_centavos=18_000_000, is_disputed=True),)
            made.append(_meter(random, len(made), account_number, service, user_class, stratum, district, owed, day))
    return holders, made


def _services(random: Random, user_class: UserClass) -> list[Service]:
    """Return what one customer has meters for: energy, and often water or gas too."""
    services = [Service.ENERGY]
    if random.random() < 0.28:
        services.append(Service.WATER)
    if user_class is not UserClass.OFFICIAL and random.random() < 0.16:
        services.append(Service.GAS)
    return services


def _meter(
    random: Random,
    serial: int,
    account_number: str,
    service: Service,
    user_class: UserClass,
    stratum: int,
    district: District,
    owed: tuple[Deduction, ...],
    day: date,
) -> Meter:
    number = meter_number(service, serial)
    return Meter(
        meter_number=number,
        pan=pan_of_meter(number),
        account_number=account_number,
        key_register=KEY_REGISTERS[random.random() < 0.2],
        tariff_index=_TARIFF_INDEX[service],
        service=service,
        user_class=user_class,
        stratum=stratum,
        altitude=district.altitude,
        # Every four-hundredth meter, so that any town of that size has a blocked one.
        is_blocked=serial % 400 == 399,
        remainder_centavos=Centavos(random.randint(1, 36_000) if random.random() < 0.05 else 0),
        deductions=owed,
        exemption=_exemption(random, day) if user_class is UserClass.INDUSTRIAL_EXEMPT else None,
    )


def _demo_meter(day: date) -> Meter:
    if meter_number(Service.ENERGY, 0) != DEMO_METER_NUMBER:
        raise AssertionError("the documented number is not the first meter's")
    return Meter(
        meter_number=DEMO_METER_NUMBER,
        pan=pan_of_meter(DEMO_METER_NUMBER),
        account_number="100000001",
        key_register=KEY_REGISTERS[0],
        tariff_index=_TARIFF_INDEX[Service.ENERGY],
        service=Service.ENERGY,
        user_class=UserClass.RESIDENTIAL,
        stratum=1,
        altitude=DISTRICTS[0].altitude,
        is_blocked=False,
        remainder_centavos=Centavos(0),
        deductions=(arrears(day, months=3, capital_centavos=4_500_000),),
        exemption=None,
    )


def meter_number(service: Service, serial: int) -> str:
    """Return the 11 digits of the meter of that service with that serial number, check digit included.

    >>> meter_number(Service.ENERGY, 0)
    '37000000002'
    """
    digits = f"{_MANUFACTURER[service]}{serial:08}"
    return f"{digits}{luhn_digit(digits)}"


def _exemption(random: Random, day: date) -> Exemption:
    granted = day - timedelta(days=random.randint(30, 700))
    return Exemption(
        document=f"EXE-{granted.year}-{random.randint(1, 9_999):04}",
        economic_activity=random.choice(("1051", "1040", "1511", "1610", "2392")),
        valid_from=granted,
        valid_to=granted + timedelta(days=3 * 365),
    )


def _network(random: Random, terminals: int) -> Network:
    return Network(
        code=NETWORK_CODE,
        name="Red de Datáfonos de la Ribera",
        # Twenty thousand million pesos: a town that is used for measuring must not run dry.
        deposit_centavos=Centavos(2_000_000_000_000),
        commission_basis_points=BasisPoints(150),
        terminals=tuple(
            # Every hundredth is blocked, so that the refusal can be seen.
            Terminal(code=f"T{number:07}", merchant=shop(random), is_blocked=number % 100 == 0)
            for number in range(1, terminals + 1)
        ),
    )
