"""How a terminal speaks with networks of the other dialects."""

from datetime import UTC, datetime

import pytest

from messages.iso_message import IsoMessage
from messages.wire import WIRES
from pos.speech import LoteriaSpeech, speech_of

NOW = datetime(2027, 1, 1, 2, tzinfo=UTC)
SPEECH = LoteriaSpeech(lambda: NOW)
SALE = IsoMessage(
    mti="0201", fields={3: "500000", 7: "0101015959", 11: "000005", 12: "205959", 13: "1231", 24: "003", 41: "L0000001"}
)


def test_a_request_says_its_local_time_with_the_year() -> None:
    """Two in the morning UTC on 1 January is the evening of 31 December in Colombia, of the year before."""
    said = SPEECH.to_network(SALE)
    assert (said.mti, said.text(12), said.text(24), said.get(13)) == ("1201", "261231205959", "200", None)
    reversal = SALE.with_fields({90: "0200" + "000004" + "1231233000" + "0" * 22})
    said = SPEECH.to_network(IsoMessage(mti="0400", fields=reversal.fields))
    assert (said.text(24), said.text(25), said.text(56)) == ("400", "4000", "1200000004261231183000")


def test_an_answer_comes_back_in_the_terminals_own_words() -> None:
    """Codes, day, the request's own elements, and which sale a last answer is about."""
    fields = {
        11: "000005",
        12: "261231205959",
        24: "200",
        28: "261231",
        39: "923",
        48: "OT012261231205959OC003000",
        64: "0" * 16,
    }
    answer = SPEECH.from_network(IsoMessage(mti="1210", fields=fields), SALE)
    assert answer.mti == "0210"
    assert dict(answer.fields) == {
        11: "000005", 12: "205959", 13: "1231", 15: "1231", 24: "003", 39: "09", 48: "OT0100101015959OC00200",
    }  # fmt: skip


@pytest.mark.parametrize(("code", "said"), [("000", "00"), ("400", "00"), ("800", "00"), ("480", "21"), ("502", "97")])
def test_every_spelling_of_an_approval_is_one(code: str, said: str) -> None:
    """A till knows one word for done; what is declined keeps its meaning."""
    assert SPEECH.from_network(IsoMessage(mti="1210", fields={39: code}), SALE).text(39) == said


def test_a_code_that_is_not_ours_is_no_answer() -> None:
    """Nobody knows what it means for the money, so the terminal repeats."""
    with pytest.raises(ValueError, match="not ours"):
        SPEECH.from_network(IsoMessage(mti="1210", fields={39: "299"}), SALE)


def test_every_dialect_is_spoken() -> None:
    """The names are those of the configuration, and the plain ones say a message as it is."""
    assert {speech_of(name, lambda: NOW).wire.name for name in WIRES} == set(WIRES)
    assert speech_of("recargas", lambda: NOW).to_network(SALE) is SALE
