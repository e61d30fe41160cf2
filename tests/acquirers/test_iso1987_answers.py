from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acquirers.iso1987 import DatafonoDialect
from acquirers.iso1987_answers import ECHOED_FIELDS
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import MAC_FIELDS, split_mac
from messages.subfields import DATA_ELEMENT_OCTETS_MAX, first_value, parse_sub_elements
from vending.deductions import Taken
from vending.money import Centavos, RateE4, Tenths
from vending.order import InquiryAnswer, MeterAccount, OrderKind, RequestKey, ReservedSale, TokenOrder
from vending.parked import ParkedSale
from vending.quote import Quote, QuotedBlock
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.service import AltitudeBand, Service, UserClass

NOW = datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)
DIALECT = DatafonoDialect()
RECHARGE = IsoMessage(
    mti="0201",
    fields={
        2: "37000000007",
        3: "500000",
        4: "000002000000",
        7: "1123163030",
        11: "000005",
        12: "113030",
        13: "1123",
        24: "003",
        41: "TERM01  ",
        42: "TIENDA LA ESQUI",
        49: "170",
        64: "00" * 8,
    },
)
REVERSAL = IsoMessage(mti="0400", fields={**RECHARGE.fields, 11: "000009"}).without_fields(64)
METER = MeterAccount(
    meter_id=7,
    meter_number="37000000007",
    pan="600727370000000074",
    register_id=3,
    tariff_index=1,
    encryption_algorithm=7,
    service=Service.GAS,
    user_class=UserClass.INDUSTRIAL_EXEMPT,
    stratum=6,
    altitude=AltitudeBand.HIGH,
    account_number="0077000001",
    holder="MARÍA PEÑA",
    address="CL 5 # 3-20 SUR",
)
TAKEN = Taken(
    id="aseo;2026",
    kind="charge",
    amount_centavos=Centavos(150_000),
    interest_centavos=Centavos(1),
    capital_centavos=Centavos(2),
    left_centavos=Centavos(3),
    subsidy_centavos=Centavos(-4),
)
VOLUNTARY = Taken(id="o-1", kind="obligation", amount_centavos=Centavos(50_000), left_centavos=Centavos(0))
QUOTE = Quote(
    paid_centavos=Centavos(2_000_000),
    carried_in_centavos=Centavos(11),
    units_tenths=Tenths(338),
    charged_centavos=Centavos(1_800_000),
    carried_out_centavos=Centavos(12),
    full_cost_centavos=Centavos(3_042_000),
    subsidy_centavos=Centavos(1_242_000),
    contribution_centavos=Centavos(13),
    voluntary=VOLUNTARY,
    taken=(TAKEN,),
    blocks=(
        QuotedBlock(units_tenths=Tenths(230), rate_e4=RateE4(3_600_000), full_rate_e4=RateE4(9_000_000)),
        QuotedBlock(units_tenths=Tenths(108), rate_e4=RateE4(9_000_000), full_rate_e4=RateE4(9_000_000)),
    ),
    token_units_tenths=(Tenths(338),),
    month_to_date_tenths=Tenths(1838),
)
SALE = ReservedSale(
    sale_id=1_000_122,
    key=RequestKey(acquirer_id="banco", terminal_id="TERM01", transmitted_at=NOW, stan="000005", message_class="0200"),
    request=b"",
    kind=OrderKind.RECHARGE,
    rrn="632716000005",
    paid_centavos=Centavos(2_000_000),
    meter=METER,
    quote=QUOTE,
    token_orders=(TokenOrder(tid=1, units_tenths=Tenths(338)),),
    reserved_at=NOW,
    local_date=date(2026, 11, 23),
    settlement_date=date(2026, 11, 23),
)
TOKENS = [Secret("1" * 20), Secret("2" * 20)]
ACCOUNT = "HN010MARÍA PEÑAAD015CL 5 # 3-20 SURAC0100077000001MT01137000000007SV0013CL017industrial-exemptST0016"


def test_an_approved_sale_says_everything() -> None:
    """What is carried back, the receipt, the account, the tokens in order, and every line of the quote."""
    answer = DIALECT.approve_sale(RECHARGE, SALE, TOKENS)
    assert answer.mti == "0210"
    assert dict(answer.fields) == {
        **{number: value for number, value in RECHARGE.fields.items() if number not in (49, 64)},
        15: "1123",
        37: "632716000005",
        38: "000122",
        39: "00",
        48: ACCOUNT,
        62: "1" * 20 + "2" * 20,
        63: "RC0071000122PD0072000000CI00211CO00212UN003338CH0071800000FC0073042000SB0071242000CN00213MD0041838"
        "BK019230;3600000;9000000BK019108;9000000;9000000VO028obligation;o-1;50000;0;0;0;0"
        "TK032charge;aseo,2026;150000;1;2;3;-4",
    }


def test_claimed_tokens_come_first_and_their_money_is_told_apart() -> None:
    """The kept PINs stand before the new ones in every answer that has them; paid is what was handed over."""
    kept = [
        ParkedSale(sale_id=1, paid_centavos=Centavos(700), units_tenths=Tenths(5), tokens=[Secret("7" * 20)]),
        ParkedSale(sale_id=2, paid_centavos=Centavos(11), units_tenths=Tenths(2), tokens=[Secret("8" * 20)] * 2),
    ]
    sale = replace(SALE, paid_centavos=Centavos(2_000_711), claimed=kept)
    for answer in (DIALECT.approve_sale(RECHARGE, sale, TOKENS), DIALECT.decline_reversal(REVERSAL, sale, TOKENS)):
        assert answer.text(62) == "7" * 20 + "8" * 40 + "1" * 20 + "2" * 20
        elements = parse_sub_elements(answer.text(63))
        assert first_value(elements, "PK") == "711;7;3"
        assert (first_value(elements, "PD"), first_value(elements, "UN")) == ("2000711", "338")
    alone = DIALECT.approve_sale(RECHARGE, replace(sale, token_orders=()), ())
    assert alone.text(62) == "7" * 20 + "8" * 40
    assert "PK" not in DIALECT.approve_sale(RECHARGE, SALE, TOKENS).text(63)


def test_a_sale_without_tokens_has_no_element_62() -> None:
    """A payment has none to show."""
    assert 62 not in DIALECT.approve_sale(RECHARGE, SALE, ())


def test_the_reference_number_of_the_answer_is_the_callers_or_that_of_the_sale() -> None:
    """What came is carried back unchanged; where none came the sale's own is told, also in the answer of a reversal."""
    given_one = RECHARGE.with_fields({37: "  ABC123    "})
    assert DIALECT.approve_sale(given_one, SALE, TOKENS).text(37) == "  ABC123    "
    assert DIALECT.approve_sale(RECHARGE, replace(SALE, rrn="ABC123"), TOKENS).text(37) == "ABC123      "
    assert DIALECT.decline_reversal(REVERSAL, SALE, TOKENS).text(37) == "632716000005"


def test_a_declined_reversal_hands_the_tokens_out() -> None:
    """The sale stands, and the till can print it: the answer is that of the sale but for code and trace number."""
    answer = DIALECT.decline_reversal(REVERSAL, SALE, TOKENS)
    approved = DIALECT.approve_sale(RECHARGE, SALE, TOKENS)
    assert (answer.mti, answer.text(39), answer.text(11)) == ("0410", "21", "000009")
    for number in (38, 48, 62, 63):
        assert answer.text(number) == approved.text(number)


def test_an_inquiry_tells_account_debts_limits_and_the_trial() -> None:
    """The trial has the lines of a sale without a receipt."""
    request = IsoMessage(mti="0100", fields={2: "37000000007", 11: "000003", 41: "TERM01  "})
    inquired = InquiryAnswer(
        code=ResponseCode.AMOUNT_TOO_LOW,
        meter=METER,
        owed_centavos=Centavos(1),
        overdue_centavos=Centavos(2),
        minimum_paid_centavos=Centavos(3),
        maximum_paid_centavos=Centavos(4),
        month_to_date_tenths=Tenths(5),
        trial=QUOTE,
    )
    answer = DIALECT.answer_inquiry(request, inquired)
    assert (answer.mti, answer.text(39)) == ("0110", "71")
    assert answer.text(48) == ACCOUNT + "OW0011OV0012MN0013MX0014MD0015"
    assert answer.text(63).startswith("PD0072000000")
    unknown = DIALECT.answer_inquiry(request, InquiryAnswer(code=ResponseCode.METER_UNKNOWN))
    assert dict(unknown.fields) == {**request.fields, 39: "14"}


@pytest.mark.parametrize(
    ("mti", "answer_mti"),
    [
        ("0100", "0110"),
        ("0200", "0210"),
        ("0201", "0210"),
        ("0220", "0230"),
        ("0400", "0410"),
        ("0401", "0410"),
        ("0800", "0810"),
        ("0210", "0620"),
        ("0810", "0620"),
    ],
)
def test_a_refusal_carries_back_what_the_caller_sent(mti: str, answer_mti: str) -> None:
    """He matches it by his own fields; an answer sent to us is rejected instead."""
    every = {number: value for number, value in RECHARGE.fields.items() if number in ECHOED_FIELDS}
    every |= {37: "ABC123      ", 70: "301", 71: "0001", 72: "0002"}
    assert set(every) == set(ECHOED_FIELDS)
    message = IsoMessage(mti=mti, fields={**every, 48: "OB001x", 62: "secret", 128: "00" * 8})
    answer = DIALECT.decline(message, ResponseCode.METER_BUSY)
    assert answer is not None
    assert answer.mti == answer_mti
    assert dict(answer.fields) == {**every, 39: "79"}


@pytest.mark.parametrize("mti", ["0620", "0621", "0630", "0631"])
def test_a_rejection_is_never_answered(mti: str) -> None:
    """Two switches that reject each other's rejections would never stop."""
    assert DIALECT.decline(IsoMessage(mti=mti, fields={39: "30"}), ResponseCode.UNSUPPORTED_MESSAGE) is None


def test_what_could_not_be_read_at_all_gets_a_bare_rejection() -> None:
    """There is nothing to carry back."""
    answer = DIALECT.decline(None, ResponseCode.FORMAT_ERROR)
    assert answer == IsoMessage(mti="0620", fields={39: "30"})


def test_a_plain_approval_has_nothing_but_what_came_and_the_code() -> None:
    """A sign-on, or a reversal with nothing to undo."""
    answer = DIALECT.acknowledge(IsoMessage(mti="0800", fields={11: "000001", 70: "001"}))
    assert answer == IsoMessage(mti="0810", fields={11: "000001", 39: "00", 70: "001"})


def test_an_answer_is_encoded_bare_or_with_room_for_its_mac() -> None:
    """The placeholder is the last element and all zeros; without it there is no trace of one."""
    answer = DIALECT.approve_sale(RECHARGE, SALE, TOKENS)
    assert DATAFONO.decode(DIALECT.encode(answer)) == answer
    encoded = DIALECT.encode_for_mac(answer)
    message = DATAFONO.decode(encoded)
    assert message.without_fields(*MAC_FIELDS) == answer
    assert split_mac(message, encoded).mac == bytes(8)


def test_a_message_without_its_mac_cannot_be_verified() -> None:
    """Missing is as wrong as wrong."""
    bare = RECHARGE.without_fields(64)
    with pytest.raises(Refusal) as caught:
        DIALECT.sealed(bare, DATAFONO.encode(bare))
    assert caught.value.code is ResponseCode.MAC_MISMATCH
    body = DATAFONO.encode(RECHARGE)
    sealed = DIALECT.sealed(RECHARGE, body)
    assert (sealed.covered, sealed.mac) == (body[:-8], bytes(8))


def test_names_are_cut_to_what_a_ticket_can_print() -> None:
    """Other alphabets, controls and endless names must not stop a sale whose token exists."""
    meter = replace(METER, holder="Ωmega\nInc" + "x" * 200, address="é" * 300, account_number="9" * 50)
    answer = DIALECT.approve_sale(RECHARGE, replace(SALE, meter=meter), TOKENS)
    elements = parse_sub_elements(answer.text(48))
    assert first_value(elements, "HN") == ("?mega?Inc" + "x" * 200)[:80]
    assert first_value(elements, "AD") == "é" * 120
    assert first_value(elements, "AC") == "9" * 40
    DIALECT.encode_for_mac(answer)


def test_where_not_one_line_fits_all_are_summed() -> None:
    """A tariff of many blocks leaves room for the sum only."""
    sale = replace(SALE, quote=replace(QUOTE, blocks=QUOTE.blocks * 17, taken=(replace(TAKEN, id="i" * 40),) * 2))
    text = DIALECT.approve_sale(RECHARGE, sale, TOKENS).text(63)
    assert first_value(parse_sub_elements(text), "TK") == "more;2;300000;2;4;6;-8"


# A hundred thousand million pesos: more than any account of a town can owe.
CENTAVOS = st.integers(0, 10**13).map(Centavos)
DEDUCTIONS = st.builds(
    Taken,
    id=st.text(max_size=60),
    kind=st.sampled_from(["charge", "emergency", "obligation"]),
    amount_centavos=CENTAVOS,
    interest_centavos=CENTAVOS,
    capital_centavos=CENTAVOS,
    left_centavos=CENTAVOS,
    subsidy_centavos=st.integers(-(10**13), 10**13).map(Centavos),
)


def _wide(count: int, id_characters: int = 40) -> tuple[Taken, ...]:
    """Return deductions whose lines are as long as they can be, but for their ids."""
    money = Centavos(10**13)
    one = Taken(
        id="i" * id_characters,
        kind="obligation",
        amount_centavos=money,
        interest_centavos=money,
        capital_centavos=money,
        left_centavos=money,
        subsidy_centavos=Centavos(-(10**13)),
    )
    return (one,) * count


@pytest.mark.parametrize("id_characters", range(41))
def test_the_sum_of_large_amounts_fits_wherever_the_shown_lines_end(id_characters: int) -> None:
    """The line that sums up is long where the amounts are; its room is what it needs and not a guess."""
    sale = replace(SALE, quote=replace(QUOTE, taken=_wide(300, id_characters)))
    text = DIALECT.approve_sale(RECHARGE, sale, TOKENS).text(63)
    assert len(text) <= DATA_ELEMENT_OCTETS_MAX
    lines = [element for element in parse_sub_elements(text) if element.tag == "TK"]
    assert lines[-1].value.startswith(f"more;{300 - len(lines) + 1};")
    assert len(text) + lines[0].size_octets > DATA_ELEMENT_OCTETS_MAX


@given(taken=st.lists(DEDUCTIONS, max_size=60).map(tuple), voluntary=st.none() | DEDUCTIONS)
@example(taken=_wide(6), voluntary=None)
@example(taken=_wide(300), voluntary=_wide(1)[0])
def test_however_much_is_taken_the_lines_fit_and_their_sums_agree(
    taken: tuple[Taken, ...], voluntary: Taken | None
) -> None:
    """What does not fit is summed in one last line; the first lines stay as they are, and no more are summed than need be."""
    sale = replace(SALE, quote=replace(QUOTE, taken=taken, voluntary=voluntary))
    answer = DIALECT.approve_sale(RECHARGE, sale, TOKENS)
    assert DATAFONO.decode(DIALECT.encode_for_mac(answer)).text(63) == answer.text(63)
    text = answer.text(63)
    assert len(text) <= DATA_ELEMENT_OCTETS_MAX
    lines = [element.value.split(";") for element in parse_sub_elements(text) if element.tag == "TK"]
    assert all(len(line) == 7 for line in lines)
    numbers = [[int(number) for number in line[2:]] for line in lines]
    wanted = [
        [
            one.amount_centavos,
            one.interest_centavos,
            one.capital_centavos,
            one.left_centavos,
            one.subsidy_centavos,
        ]
        for one in taken
    ]
    assert [sum(column) for column in zip(*numbers, strict=True)] == [
        sum(column) for column in zip(*wanted, strict=True)
    ]
    summed = [line for line in lines if line[0] == "more"]
    shown = lines[: len(lines) - len(summed)]
    assert lines[len(shown) :] == summed
    assert len(shown) + sum(int(line[1]) for line in summed) == len(taken)
    assert [line[0] for line in shown] == [one.kind for one in taken[: len(shown)]]
    assert numbers[: len(shown)] == wanted[: len(shown)]


def test_one_line_more_than_fits_is_summed_with_its_neighbour() -> None:
    """The line that sums up is used only where it must be, and takes the fewest lines that it can."""
    one = replace(TAKEN, id="x", subsidy_centavos=Centavos(0))
    counts = {}
    for count in range(1, 60):
        sale = replace(SALE, quote=replace(QUOTE, taken=(one,) * count))
        elements = parse_sub_elements(DIALECT.approve_sale(RECHARGE, sale, TOKENS).text(63))
        lines = [element.value for element in elements if element.tag == "TK"]
        counts[count] = (len(lines), lines[-1].split(";")[0])
    fits = max(count for count, (lines, kind) in counts.items() if kind == "charge" and lines == count)
    assert counts[fits + 1] in {(fits, "more"), (fits - 1, "more")}
    assert all(kind == "more" for count, (_, kind) in counts.items() if count > fits)
