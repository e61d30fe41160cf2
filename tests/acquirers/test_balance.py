"""Data element 54: what a network may still sell."""

import pytest

from acquirers.balance import with_balance, write_balance
from messages.iso_message import IsoMessage
from messages.wire import WIRES
from vending.money import Centavos


@pytest.mark.parametrize(
    ("centavos", "written"),
    [
        (0, "0002170C000000000000"),
        (1_234_500, "0002170C000001234500"),
        (-5, "0002170D000000000005"),
        (10**15, "0002170C999999999999"),
    ],
)
def test_a_balance_has_twenty_characters_whatever_it_is(centavos: int, written: str) -> None:
    """Account type, amount type 02 (available), currency, sign and twelve digits; more than fits is the most that fits."""
    assert write_balance(centavos) == written


@pytest.mark.parametrize("name", sorted(WIRES))
def test_every_dialect_has_a_place_for_it(name: str) -> None:
    """It is written and read back in each of them; without a balance the answer is as it was."""
    codec = WIRES[name].codec
    mti, code = ("1210", "000") if name == "loteria" else ("0210", "00")
    answer = IsoMessage(mti=mti, fields={11: "000001", 39: code})
    told = with_balance(answer, Centavos(77))
    assert codec.decode(codec.encode(told)).text(54) == "0002170C000000000077"
    assert with_balance(answer, None) is answer
