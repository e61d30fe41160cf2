"""Data element 54 of an answer: what the network may still sell, in the form of both versions of the standard.

Shape: account type ``00``, amount type ``02`` (available), currency ``170``, ``C`` or ``D``, and 12 digits of centavos: 20 characters.
Source: ISO 8583:1987, additional amounts; ISO 8583:1993, amounts, additional.
"""

from collections.abc import Callable
from typing import Final

from messages.iso_message import IsoMessage
from vending.money import Centavos

BALANCE: Final = 54
_AVAILABLE_IN_PESOS: Final = "0002170"
_CENTAVOS_MAX: Final = 10**12 - 1


def write_balance(centavos: int) -> str:
    """Return the element's value; what does not fit into 12 digits is written as the most that does.

    >>> write_balance(1_234_500)
    '0002170C000001234500'
    """
    return f"{_AVAILABLE_IN_PESOS}{'D' if centavos < 0 else 'C'}{min(abs(centavos), _CENTAVOS_MAX):012}"


TellBalance = Callable[[IsoMessage, Centavos | None], IsoMessage]
"""Makes of an answer, and of what its network may still sell (None: not known), the answer that leaves."""


def with_balance(answer: IsoMessage, centavos: Centavos | None) -> IsoMessage:
    """Return *answer* with the balance; as it is where none is known."""
    return answer if centavos is None else answer.with_fields({BALANCE: write_balance(centavos)})


def without_balance(answer: IsoMessage, _centavos: Centavos | None) -> IsoMessage:
    """Return *answer* as it is: its network did not ask to be told."""
    return answer
