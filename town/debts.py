"""What people of the town owe: old bills with interest, agreements in instalments, emergency credit, aseo, water's fixed charge.

Amounts are whole pesos except interest, which is simple, half a percent for each month (Código Civil, 6 % a year).
"""

from datetime import date, timedelta
from random import Random

from vending.calendar import month_start
from vending.deductions import Charge, Deduction, Emergency, Obligation
from vending.money import BasisPoints, Centavos
from vending.service import Service, UserClass

CHARGE_PRIORITY = 10
EMERGENCY_PRIORITY = 20
FINANCING_PRIORITY = 25
ARREARS_PRIORITY = 30

ARREARS_SHARE = BasisPoints(1_000)
"""Ten percent of each recharge goes to an old debt."""

ASEO_CENTAVOS: dict[int, tuple[int, int]] = {
    0: (1_703_900, 1_419_900),
    1: (425_900, 1_419_900),
    2: (851_900, 1_419_900),
    3: (1_206_900, 1_419_900),
    4: (1_419_900, 1_419_900),
    5: (1_703_900, 1_419_900),
    6: (1_703_900, 1_419_900),
}
"""The month's aseo by stratum (0: other than residential): what is owed and the full cost."""

WATER_FIXED_CENTAVOS: dict[int, tuple[int, int]] = {
    0: (1_423_900, 949_300),
    1: (379_700, 949_300),
    2: (588_600, 949_300),
    3: (825_900, 949_300),
    4: (949_300, 949_300),
    5: (1_423_900, 949_300),
    6: (1_518_900, 949_300),
}
"""The month's fixed charge of water by stratum: what is owed and the full cost."""


def months_before(day: date, count: int) -> date:
    """Return the first day of the month *count* months before that of *day*.

    >>> months_before(date(2026, 1, 15), 3)
    datetime.date(2025, 10, 1)
    """
    months = day.year * 12 + day.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)


def month_end(day: date) -> date:
    """Return the last day of the month of *day*.

    >>> month_end(date(2026, 2, 3))
    datetime.date(2026, 2, 28)
    """
    return months_before(day, -1) - timedelta(days=1)


def arrears(
    day: date, *, months: int, capital_centavos: int, share: BasisPoints = ARREARS_SHARE, is_disputed: bool = False
) -> Obligation:
    """Return the unpaid bill of *months* months ago, with the interest since."""
    billed = months_before(day, months)
    return Obligation(
        id=f"mora-{billed:%Y-%m}",
        priority=ARREARS_PRIORITY,
        due=month_end(billed),
        capital_centavos=Centavos(capital_centavos),
        interest_centavos=Centavos(capital_centavos * 5 * months // 1000),
        share_basis_points=share,
        is_overdue=True,
        is_disputed=is_disputed,
    )


def owed_on(random: Random, service: Service, user_class: UserClass, stratum: int, day: date) -> tuple[Deduction, ...]:
    """Return what is owed on a meter of that service and class."""
    if service is Service.WATER:
        return _water(random, stratum, day)
    if service is Service.GAS:
        return (arrears(day, months=random.randint(1, 6), capital_centavos=_pesos(random, 15, 90)),) * (
            random.random() < 0.1
        )
    owed: list[Deduction] = []
    if random.random() < 0.4:
        owed.append(_charge("aseo", month_start(day), ASEO_CENTAVOS[stratum]))
    if user_class is UserClass.RESIDENTIAL:
        owed += _debts_of_a_home(random, stratum, day)
    elif random.random() < 0.15:
        owed.append(arrears(day, months=random.randint(1, 4), capital_centavos=_pesos(random, 200, 2_500)))
    return tuple(owed)


def _debts_of_a_home(random: Random, stratum: int, day: date) -> list[Deduction]:
    owed: list[Deduction] = []
    is_poor = stratum <= 3
    if is_poor and random.random() < 0.06:
        owed.append(
            Emergency(
                id="precarga-1",
                priority=EMERGENCY_PRIORITY,
                due=day - timedelta(days=random.randint(1, 20)),
                owed_centavos=Centavos(random.choice((300_000, 500_000, 1_000_000))),
            )
        )
    if random.random() < (0.3 if is_poor else 0.06):
        newest = random.randint(1, 16)
        owed.append(arrears(day, months=newest, capital_centavos=_pesos(random, 20, 400)))
        if random.random() < 0.3:
            # A second unpaid bill waits until the first is gone: it has no share of its own.
            owed.append(arrears(day, months=newest + 1, capital_centavos=_pesos(random, 20, 400), share=BasisPoints(0)))
    if random.random() < 0.12:
        owed.append(_financing(random, day))
    return owed


def _water(random: Random, stratum: int, day: date) -> tuple[Deduction, ...]:
    months = 2 if 1 <= stratum <= 3 and random.random() < 0.2 else 1
    charges = [_charge("fijo", months_before(day, back), WATER_FIXED_CENTAVOS[stratum]) for back in range(months)]
    if random.random() < 0.15:
        return (*charges, arrears(day, months=random.randint(2, 12), capital_centavos=_pesos(random, 15, 180)))
    return tuple(charges)


def _charge(name: str, month: date, amounts_centavos: tuple[int, int]) -> Charge:
    owed, full = amounts_centavos
    return Charge(
        id=f"{name}-{month:%Y-%m}",
        priority=CHARGE_PRIORITY,
        due=month_end(month),
        owed_centavos=Centavos(owed),
        full_centavos=Centavos(full),
    )


def _financing(random: Random, day: date) -> Obligation:
    instalment = _pesos(random, 4, 24)
    is_overdue = random.random() < 0.25
    return Obligation(
        id="financiacion-1",
        priority=FINANCING_PRIORITY,
        due=months_before(day, 1) + timedelta(days=14) if is_overdue else month_end(day),
        capital_centavos=Centavos(instalment * random.randint(3, 24)),
        instalment_due_centavos=Centavos(instalment * (2 if is_overdue else 1)),
        share_overdue_basis_points=BasisPoints(1_500) if random.random() < 0.5 else None,
        is_overdue=is_overdue,
        minimum_centavos=Centavos(200_000),
    )


def _pesos(random: Random, least_thousands: int, most_thousands: int) -> int:
    """Return between so many thousands of pesos, in centavos."""
    return random.randint(least_thousands * 10, most_thousands * 10) * 10_000
