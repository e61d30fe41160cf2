"""How amounts are typed and printed in Colombia: points between the thousands, a comma before the decimals. Integers only."""

import re

from vending.money import Centavos, RateE4, Tenths

PESOS_MAX = 9_999_999_999
"""Data element 4 has twelve digits of centavos, so ten of pesos."""

_GROUPED = re.compile(r"[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+")
_FRACTION = re.compile(r"[0-9][0-9.]*,[0-9]+|[0-9]+\.[0-9]+")


class AmountError(ValueError):
    """What was typed is not a whole, positive number of pesos; the text says what to type instead."""


def parse_pesos(text: str) -> Centavos:
    """Read whole pesos as a cashier types them: ``20000`` or ``20.000``.

    Args:
        text: ASCII digits, optionally in groups of three parted by points.

    Raises:
        AmountError: letters, fractions, a sign, zero or more than data element 4 holds.

    >>> parse_pesos("20.000")
    2000000
    """
    if _GROUPED.fullmatch(text):
        pesos = int(text.replace(".", ""))
        if pesos == 0:
            raise AmountError(f"{text!r}: the amount must be at least 1 peso")
        if pesos > PESOS_MAX:
            raise AmountError(f"{text!r}: the amount is too large, at most {group_thousands(PESOS_MAX)} pesos")
        return Centavos(pesos * 100)
    if _FRACTION.fullmatch(text):
        raise AmountError(f"{text!r}: whole pesos only, without centavos; type 20000 or 20.000")
    raise AmountError(f"{text!r} is not an amount; type whole pesos, 20000 or 20.000")


def group_thousands(number: int) -> str:
    """Write a whole number with points between its thousands.

    >>> group_thousands(1234567)
    '1.234.567'
    """
    return f"{number:,}".replace(",", ".")


def format_centavos(amount: Centavos) -> str:
    """Write money; the centavos only where they are not zero.

    >>> format_centavos(Centavos(2000000)), format_centavos(Centavos(1997300 + 5)), format_centavos(Centavos(-50))
    ('$ 20.000', '$ 19.973,05', '-$ 0,50')
    """
    pesos, centavos = divmod(abs(amount), 100)
    sign = "-" if amount < 0 else ""
    fraction = f",{centavos:02}" if centavos else ""
    return f"{sign}$ {group_thousands(pesos)}{fraction}"


def format_units(units: Tenths, unit: str) -> str:
    """Write units with their one decimal, which is the resolution of a token.

    >>> format_units(Tenths(12345), "kWh")
    '1.234,5 kWh'
    """
    whole, tenth = divmod(units, 10)
    return f"{group_thousands(whole)},{tenth} {unit}"


def format_rate(rate: RateE4) -> str:
    """Write a rate in pesos per unit: at least two decimals, up to the four it is kept with.

    >>> format_rate(RateE4(3600000)), format_rate(RateE4(3612345))
    ('360,00', '361,2345')
    """
    whole, fraction = divmod(rate, 10_000)
    decimals = f"{fraction:04}"
    if decimals.endswith("00"):
        decimals = decimals[:2]
    elif decimals.endswith("0"):
        decimals = decimals[:3]
    return f"{group_thousands(whole)},{decimals}"
