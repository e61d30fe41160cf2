"""Refusals with a text for the cashier."""

import pytest

from acquirers.registry import DIALECTS
from acquirers.worded import worded
from messages.iso_message import IsoMessage
from messages.wire import WIRES
from vending.response_code import ResponseCode


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_only_the_refusals_that_have_a_text_carry_it(name: str) -> None:
    """It goes over the line in every dialect, 25 characters long and with the letters of Spanish; the code stays as it is."""
    request = IsoMessage(
        mti="1200" if name == "loteria" else "0200", fields={7: "1123163200", 11: "000005", 41: "TERM0001"}
    )
    text = "Cupo agotado: pida más ñ."
    dialect = worded(DIALECTS[name](), {ResponseCode.FLOAT_SHORT: text})
    plain = DIALECTS[name]().decline(request, ResponseCode.FLOAT_SHORT)
    told = dialect.decline(request, ResponseCode.FLOAT_SHORT)
    assert plain is not None
    assert told is not None
    assert WIRES[name].codec.decode(dialect.encode(told)) == plain.with_fields({44: text})
    other = dialect.decline(request, ResponseCode.METER_UNKNOWN)
    assert other == DIALECTS[name]().decline(request, ResponseCode.METER_UNKNOWN)
    assert dialect.decline(None, ResponseCode.FLOAT_SHORT) == DIALECTS[name]().decline(None, ResponseCode.FLOAT_SHORT)
