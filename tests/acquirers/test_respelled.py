"""A network may spell our codes otherwise, as long as its terminals can still tell what to do."""

import pytest

from acquirers.iso1987 import DatafonoDialect
from acquirers.respelled import ACTED_UPON, respelled, spelling_faults
from acquirers.response_codes import ISO_1987
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from vending.response_code import ResponseCode

ECHO = IsoMessage(mti="0800", fields={7: "1123163200", 11: "000005", 41: "TERM0001", 70: "301"})


def _code(changes: dict[ResponseCode, str], code: ResponseCode) -> str:
    dialect = respelled(DatafonoDialect(), ISO_1987, changes)
    answer = dialect.decline(ECHO, code)
    assert answer is not None
    assert DATAFONO.decode(dialect.encode_for_mac(answer)).text(39) == DATAFONO.decode(dialect.encode(answer)).text(39)
    return DATAFONO.decode(dialect.encode(answer)).text(39)


def test_only_what_was_asked_for_is_spelled_otherwise() -> None:
    """Every other code is that of the dialect, with and without a MAC."""
    changes = {ResponseCode.FLOAT_SHORT: "61", ResponseCode.METER_UNKNOWN: "05"}
    for code in ResponseCode:
        assert _code(changes, code) == changes.get(code, ISO_1987[code])


@pytest.mark.parametrize("code", [code for code in ResponseCode if code in ACTED_UPON])
def test_what_a_terminal_acts_upon_shares_its_spelling_with_nothing(code: ResponseCode) -> None:
    """Neither does another code take its spelling, nor does it take another's; one of its own is fine."""
    assert spelling_faults(ISO_1987, {ResponseCode.FLOAT_SHORT: ISO_1987[code]})
    assert spelling_faults(ISO_1987, {code: ISO_1987[ResponseCode.FLOAT_SHORT]})
    assert not spelling_faults(ISO_1987, {code: "05"})


def test_refusals_may_share_a_spelling() -> None:
    """Many networks know one word for 'not enough money'."""
    assert not spelling_faults(ISO_1987, {ResponseCode.AMOUNT_ABOVE_MAXIMUM: "51"})


@pytest.mark.parametrize("text", ["5", "511", "A1"])
def test_a_spelling_has_the_length_of_its_dialect(text: str) -> None:
    """The fault is told under the code's name."""
    assert spelling_faults(ISO_1987, {ResponseCode.FLOAT_SHORT: text}).keys() == {"float_short"}
