"""What the person sees and what the caller's exit status is, for every way an exchange can end."""

from datetime import UTC, datetime

import pytest

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import SubElement, build_sub_elements
from pos.client import NotSent
from pos.dialogue import Fault, Final, Rejected, Unknown
from pos.display import (
    ExitStatus,
    Style,
    show_inquiry,
    show_network,
    show_nothing_to_repeat,
    show_open,
    show_refusal,
    show_reversal,
    show_sale,
)
from pos.store import ExchangeStatus
from pos.texts import ENGLISH, UtilityTexts
from tests.pos.fake_switch import ACCOUNT, LINES, PIN

STYLE = Style(utility=UtilityTexts(name="Energía del Río", tax_id="900123456-7", complaints_line="PQR: 018000"))
ENGLISH_STYLE = Style(utility=STYLE.utility, language=ENGLISH)
SOLD_AT = datetime(2026, 12, 1, 3, 30, 0, tzinfo=UTC)
GROUPED = "1234 5678 9012 3456 7890"


def final(code: str, mti: str = "0210", **fields: str) -> Final:
    more = {int(name.removeprefix("de")): value for name, value in fields.items()}
    base = {2: "37000000002", 4: "000002000000", 37: "633500000123", 41: "T0000001", 42: "TIENDA0000001  "}
    answer = IsoMessage(mti=mti, fields={**base, 39: code, **more})
    return Final(answer=answer, octets=DATAFONO.encode(answer))


APPROVED = final("00", de38="000123", de48=build_sub_elements(ACCOUNT), de62=PIN, de63=build_sub_elements(LINES))


def test_an_approved_sale_shows_its_ticket_in_local_time() -> None:
    """The ticket has the lines of the answer, and the date of Bogotá, where it is still the day before."""
    shown = show_sale(APPROVED, STYLE, sold_at=SOLD_AT)
    assert shown.status is ExitStatus.APPROVED
    for item in (
        GROUPED,
        "30/11/2026 22:30:00",
        "María Peñaloza Núñez",
        "49,9 kWh",
        "360,70",
        "$ 1,35",
        "mora-2026-03",
    ):
        assert item in shown.text, item
    assert "COPIA" not in shown.text


def test_a_kept_pin_is_told_apart() -> None:
    """The first of two PINs was paid for with part of the money; its units count in the total."""
    lines = build_sub_elements([*LINES, SubElement("PK", "150000;1001;1")])
    answer = final("00", de38="000123", de48=build_sub_elements(ACCOUNT), de62="5" * 20 + PIN, de63=lines)
    spanish, english = (show_sale(answer, style, sold_at=SOLD_AT).text for style in (STYLE, ENGLISH_STYLE))
    for text, words in ((spanish, "PIN guardado de venta anulada"), (english, "Kept PIN of an undone sale")):
        assert words in text
        assert text.index("5555 5555") < text.index(GROUPED)
        assert "100,1 kWh" in text
        assert "150,0 kWh" in text
        assert "$ 1.500" in text


def test_a_copy_from_memory_says_so() -> None:
    """The cashier sees that nobody was asked."""
    shown = show_sale(APPROVED, STYLE, sold_at=SOLD_AT, copy_number=1, is_from_memory=True)
    assert "COPIA 1" in shown.text
    assert "memoria del datáfono" in shown.text


@pytest.mark.parametrize(
    "broken",
    [
        {"de48": "HN999x"},
        {"de63": "PD00?"},
        {"de63": "UN003abc"},
        {"de63": "BK0031;2"},
        {"de63": "TK004a;b;"},
        {"de63": "PK0031;2"},
    ],
)
def test_the_customer_gets_the_pin_whatever_else_cannot_be_read(broken: dict[str, str]) -> None:
    """Lines that cannot be read never cost the customer his PIN."""
    shown = show_sale(final("00", **{"de62": PIN, **broken}), STYLE, sold_at=SOLD_AT)
    assert shown.status is ExitStatus.APPROVED
    assert GROUPED in shown.text
    assert "no se pudo leer" in shown.text


def test_a_pin_that_cannot_be_read_is_said() -> None:
    """Nothing that looks like a PIN is printed when it is not one."""
    shown = show_sale(final("00", de62="12345"), STYLE, sold_at=SOLD_AT)
    assert shown.status is ExitStatus.UNKNOWN
    assert "12345" not in shown.text


@pytest.mark.parametrize(
    ("style", "text"), [(STYLE, "DECLINADA 51: Cupo"), (ENGLISH_STYLE, "DECLINED 51: The network")]
)
def test_a_decline_shows_code_and_text(style: Style, text: str) -> None:
    """Code for the operator, words for the customer."""
    shown = show_sale(final("51"), style, sold_at=SOLD_AT)
    assert (shown.status, text in shown.text) == (ExitStatus.DECLINED, True)


def test_an_unknown_outcome_tells_what_to_do_and_what_came() -> None:
    """The person learns not to charge again; a code that was not proved is told as such."""
    shown = show_refusal(Unknown(rejected=(Rejected(fault=Fault.NO_MAC, code="03"), Rejected(fault=Fault.TPDU))), STYLE)
    assert shown.status is ExitStatus.UNKNOWN
    assert "eudora pos last" in shown.text
    assert "03 Datáfono no registrado (no MAC)" in shown.text


def test_no_link_is_a_decline_only_if_nothing_was_sent_before() -> None:
    """Nothing sent: nothing sold. Something sent earlier: still unknown."""
    assert show_refusal(NotSent(reason="refused"), STYLE).status is ExitStatus.DECLINED
    assert show_refusal(NotSent(reason="refused"), STYLE, is_still_open=True).status is ExitStatus.UNKNOWN
    assert show_open(STYLE).status is ExitStatus.UNKNOWN


def test_a_reversal_shows_what_became_of_the_money() -> None:
    """Undone: give it back. Stands: the ticket, as a copy."""
    undone = show_reversal(final("00", "0410"), STYLE, sold_at=SOLD_AT, copy_number=None)
    assert (undone.status, "devuelva el dinero" in undone.text) == (ExitStatus.APPROVED, True)
    stands = final("21", "0410", de48=build_sub_elements(ACCOUNT), de62=PIN, de63=build_sub_elements(LINES))
    shown = show_reversal(stands, STYLE, sold_at=SOLD_AT, copy_number=3)
    assert shown.status is ExitStatus.DECLINED
    assert GROUPED in shown.text
    assert "COPIA 3" in shown.text
    unknown = show_reversal(Unknown(rejected=()), STYLE, sold_at=SOLD_AT, copy_number=None)
    assert unknown.status is ExitStatus.UNKNOWN


@pytest.mark.parametrize(
    ("status", "text"),
    [(None, "no tiene una venta"), (ExchangeStatus.REVERSED, "fue anulada"), (ExchangeStatus.NOT_SENT, "no salió")],
)
def test_nothing_to_repeat_says_why(status: ExchangeStatus | None, text: str) -> None:
    """Three reasons, three texts."""
    assert text in show_nothing_to_repeat(status, STYLE).text


def test_an_inquiry_shows_debts_limits_and_the_trial() -> None:
    """Everything that the network told, and the refusal of the trial sum where there is one."""
    owed = build_sub_elements(ACCOUNT) + "OW0074567500OV0073000000MN006100000MX009100000000MD0041500"
    shown = show_inquiry(final("00", "0110", de48=owed, de63=build_sub_elements(LINES)), STYLE)
    assert shown.status is ExitStatus.APPROVED
    for item in ("$ 45.675", "$ 30.000", "$ 1.000", "$ 1.000.000", "150,0 kWh", "CON $ 20.000 RECIBE", "49,9 kWh"):
        assert item in shown.text, item
    refused = show_inquiry(final("70", "0110", de48=owed), STYLE)
    assert refused.status is ExitStatus.DECLINED
    assert "DECLINADA 70" in refused.text
    assert "María Peñaloza" in refused.text
    assert show_inquiry(final("14", "0110"), STYLE).text.startswith("DECLINADA 14")
    silent = show_inquiry(Unknown(rejected=()), STYLE)
    assert (silent.status, "cobre" in silent.text) == (ExitStatus.UNKNOWN, False)


def test_an_echo_says_that_the_switch_is_there() -> None:
    """A word for yes, the code for no."""
    assert show_network(final("00", "0810"), STYLE).text == "APROBADA\n"
    assert show_network(final("57", "0810"), STYLE).status is ExitStatus.DECLINED
