"""The ticket, letter by letter. Expected texts stand in tests/pos/tickets; each was read by a person before it was put there."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.codec import DATAFONO
from pos import requests
from pos.display import Style
from pos.offline import show_provisional
from pos.paper import COLUMNS_MIN, COLUMNS_NARROW, COLUMNS_WIDE, Paper
from pos.requests import Moment
from pos.store import ExchangeKind, StoredExchange
from pos.texts import ENGLISH, LANGUAGES, SPANISH, UtilityTexts, answer_text
from pos.ticket import (
    MORE,
    AccountLines,
    InquirySlip,
    SaleLines,
    TakenLine,
    Ticket,
    block_values,
    group_pin,
    render_inquiry,
    render_ticket,
)
from tests.pos.fake_switch import IDENTITY
from vending.money import Centavos, RateE4, Tenths
from vending.quote import QuotedBlock
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import Service

TICKETS = Path(__file__).parent / "tickets"

UTILITY = UtilityTexts(
    name="Energía del Río S.A. E.S.P.",
    tax_id="900123456-7",
    complaints_line="PQR: 018000 123456",
    header=("Alumbramos la ribera",),
    footer=("Conserve este tiquete.",),
)
ACCOUNT = AccountLines(
    meter_number="37000000002",
    account_number="100000001",
    holder="María Peñaloza Núñez",
    address="Calle 7 # 3-21, Barrio La Ñapa",
    user_class="residential",
    stratum="1",
    service=Service.ENERGY,
)


def taken(kind: str, name: str, amount: int, *, interest: int = 0, left: int = 0, subsidy: int = 0) -> TakenLine:
    return TakenLine(
        kind=kind,
        id=name,
        amount_centavos=Centavos(amount),
        interest_centavos=Centavos(interest),
        capital_centavos=Centavos(amount - interest),
        left_centavos=Centavos(left),
        subsidy_centavos=Centavos(subsidy),
    )


def block(units: int, rate: int, full_rate: int) -> QuotedBlock:
    return QuotedBlock(units_tenths=Tenths(units), rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate))


RECHARGE = SaleLines(
    paid_centavos=Centavos(3_000_000),
    carried_in_centavos=Centavos(87),
    carried_out_centavos=Centavos(387),
    units_tenths=Tenths(438),
    charged_centavos=Centavos(2_099_700),
    full_cost_centavos=Centavos(3_942_000),
    subsidy_centavos=Centavos(1_842_300),
    contribution_centavos=Centavos(0),
    month_to_date_tenths=Tenths(1_938),
    blocks=(block(230, 990_000, 9_000_000), block(208, 9_000_000, 9_000_000)),
    taken=(
        taken("charge", "aseo-2026-07", 600_000, subsidy=150_000),
        taken("emergency", "precarga-1", 100_000, left=200_000),
        taken("obligation", "mora-2026-03", 150_000, interest=67_500, left=4_367_500),
        taken(MORE, "3", 30_000, left=990_000),
    ),
    voluntary=taken("obligation", "mora-2026-03", 20_000, left=4_347_500),
)
TICKET = Ticket(
    utility=UTILITY,
    receipt_number="359",
    issued_at=datetime(2026, 7, 15, 10, 32, 5),  # noqa: DTZ001 - a ticket shows local time
    merchant_id="TIENDA0000001",
    terminal_id="T0000001",
    approval="000359",
    account=ACCOUNT,
    sale=RECHARGE,
    pins=(Secret("12345678901234567890"),),
)
COMMERCIAL = replace(
    TICKET,
    account=replace(ACCOUNT, holder="Panadería El Trigal", user_class="commercial", stratum="0", service=Service.WATER),
    sale=replace(
        RECHARGE,
        paid_centavos=Centavos(150_000_000),
        carried_in_centavos=Centavos(0),
        carried_out_centavos=Centavos(0),
        units_tenths=Tenths(24_000),
        charged_centavos=Centavos(150_000_000),
        full_cost_centavos=Centavos(125_000_000),
        subsidy_centavos=Centavos(0),
        contribution_centavos=Centavos(25_000_000),
        month_to_date_tenths=Tenths(24_000),
        blocks=(block(24_000, 6_250_000, 5_208_333),),
        taken=(),
        voluntary=None,
    ),
    pins=(Secret("12345678901234567890"), Secret("00000000000000000001")),
)
CLAIMING = replace(
    TICKET,
    sale=replace(
        RECHARGE,
        paid_centavos=Centavos(5_000_000),
        claimed_centavos=Centavos(2_000_000),
        claimed_tenths=Tenths(338),
    ),
    pins=(Secret("55556666777788889999"), Secret("12345678901234567890")),
)
PAYMENT = replace(
    TICKET,
    sale=replace(
        RECHARGE,
        paid_centavos=Centavos(100_000),
        carried_in_centavos=Centavos(0),
        carried_out_centavos=Centavos(0),
        units_tenths=Tenths(0),
        blocks=(),
        taken=(taken("obligation", "mora-2026-03", 100_000, interest=67_550, left=4_267_500),),
        voluntary=None,
    ),
    pins=(),
)
TAKEN_OFFLINE = StoredExchange(
    kind=ExchangeKind.SALE,
    transmitted_at=datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC),
    request=DATAFONO.encode(
        requests.payment(
            IDENTITY,
            Moment(stan="000031", transmitted_at=datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC)),
            meter_number="37000000002",
            paid_centavos=Centavos(500_000),
            obligation="mora-2026-03",
        )
    ),
)
INQUIRY = InquirySlip(
    utility=UTILITY,
    account=ACCOUNT,
    owed_centavos=Centavos(4_567_500),
    overdue_centavos=Centavos(4_567_500),
    minimum_paid_centavos=Centavos(100_000),
    maximum_paid_centavos=Centavos(100_000_000),
    month_to_date_tenths=Tenths(1_500),
    trial=RECHARGE,
)

GOLDEN = {
    "recarga.txt": lambda: render_ticket(TICKET),
    "recarga_32.txt": lambda: render_ticket(TICKET, columns=COLUMNS_NARROW),
    "recharge_copy_english.txt": lambda: render_ticket(replace(TICKET, copy_number=2), language=ENGLISH),
    "recarga_pin_guardado.txt": lambda: render_ticket(CLAIMING),
    "recharge_kept_pin_english.txt": lambda: render_ticket(CLAIMING, language=ENGLISH),
    "agua_dos_pines.txt": lambda: render_ticket(COMMERCIAL),
    "pago.txt": lambda: render_ticket(PAYMENT),
    "pago_sin_linea.txt": lambda: show_provisional(TAKEN_OFFLINE, Style(utility=UTILITY)).text,
    "pago_sin_linea_32.txt": lambda: (
        show_provisional(TAKEN_OFFLINE, Style(utility=UTILITY, columns=COLUMNS_NARROW)).text
    ),
    "payment_without_line_english.txt": lambda: (
        show_provisional(TAKEN_OFFLINE, Style(utility=UTILITY, language=ENGLISH)).text
    ),
    "consulta.txt": lambda: render_inquiry(INQUIRY),
    "consulta_sin_valor.txt": lambda: render_inquiry(replace(INQUIRY, trial=None)),
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_ticket_is_exactly_the_expected_text(name: str) -> None:
    """Any change of a ticket is seen and judged by a person."""
    assert GOLDEN[name]() == (TICKETS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [COLUMNS_MIN, COLUMNS_NARROW, COLUMNS_WIDE, 48])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_wider_than_the_paper(columns: int, language: str) -> None:
    """Printers cut or wrap what is too long, so nothing is; long names go on in the next line and lose nothing."""
    long = "Asociación de Juntas de Acción Comunal de los Corregimientos del Río Grande de la Magdalena y sus Ciénagas"
    account = replace(ACCOUNT, holder=long, address="K" * 120, account_number="9" * 40)
    ticket = replace(
        TICKET, utility=replace(UTILITY, name=long), account=account, receipt_number="9" * 19, copy_number=12345
    )
    text = render_ticket(ticket, columns=columns, language=language)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert all(word in text for word in long.split())
    assert text.count("K") >= 120
    assert "1234 5678 9012 3456 7890" in text


def test_the_ticket_says_all_that_the_rules_want() -> None:
    """Every item of a prepaid ticket is on it, once for the PIN."""
    text = render_ticket(replace(TICKET, copy_number=1))
    for item in (
        *("Energía del Río S.A. E.S.P.", "NIT 900123456-7", "359", "15/07/2026 10:32:05", "TIENDA0000001", "T0000001"),
        *("37000000002", "100000001", "María Peñaloza Núñez", "Calle 7 # 3-21", "1 residencial", "Energía", "$ 30.000"),
        *(
            "mora-2026-03",
            "$ 43.675",
            "aseo-2026-07",
            "$ 6.000",
            "23,0 kWh",
            "99,00",
            "900,00",
            "$ 39.420",
            "-$ 18.423",
        ),
        *("$ 0,87", "$ 3,87", "43,8 kWh", "193,8 kWh", "PQR: 018000 123456", "Superintendencia", "COPIA"),
    ):
        assert item in text, item
    assert text.count("1234 5678 9012 3456 7890") == 1


def test_the_example_itself_is_true() -> None:
    """The numbers of the expected ticket keep the two identities of a quote, so that the text can be checked by hand."""
    sale = RECHARGE
    assert sale.voluntary is not None
    spent = sum(line.amount_centavos for line in (*sale.taken, sale.voluntary)) + sale.charged_centavos
    assert sale.paid_centavos + sale.carried_in_centavos == spent + sale.carried_out_centavos
    assert sale.charged_centavos + sale.subsidy_centavos == sale.full_cost_centavos
    assert sum(block_values(sale.blocks)) == sale.charged_centavos


def test_only_a_reprint_is_marked() -> None:
    """The first print is no copy; a copy says so at both ends and is otherwise the same."""
    first = render_ticket(TICKET)
    copy = render_ticket(replace(TICKET, copy_number=1))
    assert "COPIA" not in first
    assert copy.count("COPIA 1") == 2
    assert [line for line in copy.splitlines() if "COPIA" not in line] == first.splitlines()


def test_zeros_are_left_out() -> None:
    """What was not taken, carried, subsidised or contributed has no line."""
    text = render_ticket(COMMERCIAL)
    assert "Subsidio" not in text
    assert "DEUDAS" not in text
    assert "Saldo a favor" not in text
    assert "Contribución (+)" in text
    assert "Clase de uso                     comercial" in text


def test_a_ticket_does_not_show_its_pins_in_a_repr() -> None:
    """A ticket in a log or a traceback keeps the PIN to itself."""
    assert "12345678901234567890" not in repr(TICKET)
    assert "1234 5678" not in repr(TICKET)
    assert group_pin(TICKET.pins[0]) == "1234 5678 9012 3456 7890"


@given(st.lists(st.tuples(st.integers(1, 16_383), st.integers(1, 99_999_999)), min_size=1, max_size=6))
def test_block_values_add_up_to_the_charge(blocks: list[tuple[int, int]]) -> None:
    """A sale is rounded once; its lines show no other sum, and each is right to less than a centavo."""
    quoted = tuple(block(units, rate, rate) for units, rate in blocks)
    values = block_values(quoted)
    assert sum(values) == sum(units * rate for units, rate in blocks) // 1000
    for value, (units, rate) in zip(values, blocks, strict=True):
        assert abs(value * 1000 - units * rate) < 1000


def test_every_answer_code_has_a_text() -> None:
    """No refusal leaves the cashier with a bare number, in either language."""
    codes = [
        "00",
        "30",
        "40",
        "12",
        "63",
        "94",
        "03",
        "58",
        "57",
        "73",
        "74",
        "77",
        "14",
        "62",
        "56",
        "75",
        "76",
        "78",
        "13",
        "70",
        "61",
        "71",
        "72",
        "51",
        "25",
        "97",
        "21",
        "79",
        "93",
        "95",
        "09",
        "91",
        "92",
        "90",
        "96",
    ]
    assert len(codes) == len(ResponseCode)
    for language, unknown in ((SPANISH, "Declinada"), (ENGLISH, "Declined")):
        texts = [answer_text(code, language) for code in codes]
        assert len(set(texts)) == len(codes)
        assert unknown not in texts
        assert answer_text("ZZ", language) == unknown


def test_paper_too_narrow_for_a_pin_is_refused() -> None:
    """A PIN is never broken."""
    with pytest.raises(ValueError, match="too few"):
        Paper(COLUMNS_MIN - 1)


def test_a_key_change_stands_before_the_credit_and_says_so() -> None:
    """Its codes have titles of their own, in order, and nobody can take the credit for the first code."""
    codes = (Secret("11112222333344445555"), Secret("66667777888899990000"))
    ticket = replace(TICKET, pins=(*codes, *TICKET.pins), sale=replace(TICKET.sale, key_change_tokens=2))
    lines = [line.strip(" │║|") for line in render_ticket(ticket).splitlines()]
    text = " ".join(" ".join(lines).split())
    assert "PRIMERO digite estos códigos de cambio de clave, en orden, luego la recarga" in text
    wanted = [
        "PRIMERO digite",
        "CAMBIO DE CLAVE 1 DE 2",
        "1111 2222 3333 4444 5555",
        "CAMBIO DE CLAVE 2 DE 2",
        "6666 7777 8888 9999 0000",
        "DESPUÉS digite la recarga",
        "1234 5678 9012 3456 7890",
        "Antes del cambio de clave",
    ]
    places = [text.index(each) for each in wanted]
    assert places == sorted(places)
    assert "FIRST enter these key-change codes" in " ".join(render_ticket(ticket, language=ENGLISH).split())
