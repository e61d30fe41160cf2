"""Payments that are taken without a line: stored, provisional, sent until each has a final answer, counted once."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from acquirers.calls import BatchCall, SaleCall
from acquirers.iso1987 import RecargasDialect
from messages.codec import DATAFONO, RECARGAS
from messages.iso_message import IsoMessage
from messages.record_list import RECORDS_MAX, read_records
from messages.subfields import SubElement, build_sub_elements
from pos import requests
from pos.client import NotSent
from pos.dialogue import Final, Unknown
from pos.display import ExitStatus, Shown, Style
from pos.mac import signer
from pos.offline import show_upload
from pos.speech import speech_of
from pos.store import OFFLINE_KEPT_MAX, ExchangeOpen, OfflineFull, StoredExchange, TerminalStore
from pos.texts import ENGLISH, SPANISH, UtilityTexts, answer_text
from pos.upload import in_batches
from tests.pos.fake_switch import IDENTITY, Behaviour, answer_to, approve, decline, silent, told
from tests.pos.test_pos_till import METER, Desk
from vending.money import Centavos
from vending.settlement import Sum

STYLE = Style(utility=UtilityTexts(name="ESP", tax_id="1", complaints_line="116"))
DAY = date(2026, 11, 24)


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    return lambda *script: Desk(tmp_path, *script)


def take(at: Desk, *pesos: int) -> list[StoredExchange]:
    return [
        at.till.pay_offline(meter_number=f"3700000001{place}", paid_centavos=Centavos(100 * each))
        for place, each in enumerate(pesos)
    ]


def upload(at: Desk) -> Shown:
    """Upload and print, as the command does."""
    shown = show_upload(at.till.upload(), STYLE)
    at.till.upload_printed()
    return shown


def records_of(request: IsoMessage) -> list[IsoMessage]:
    return [DATAFONO.decode(record) for record in read_records(request.text(60))]


def on_disk(at: Desk) -> TerminalStore:
    return TerminalStore.open(at.store.path.parent, IDENTITY.terminal_id)


def test_a_payment_without_a_line_is_on_disk_and_not_sent(desk: Callable[..., Desk]) -> None:
    """Nothing leaves, and after a power cut it is there with its own trace number."""
    at = desk(approve)
    first, second = take(at, 5_000, 7_000)
    assert at.switch.requests == []
    assert on_disk(at).offline == (first, second)
    stans = [DATAFONO.decode(each.request).text(11) for each in (first, second)]
    assert stans == ["000001", "000002"]
    assert on_disk(at).take_stan() == "000003"


def test_the_records_are_the_requests_without_their_macs(desk: Callable[..., Desk]) -> None:
    """One signed 0320; payments first, then the advices that wait."""
    at = desk(approve, silent, told("00", "00"))
    at.sell()
    at.till.ticket_printed()
    at.till.send_advices()
    (payment,) = take(at, 5_000)
    upload(at)
    request = at.switch.requests[-1]
    assert (request.mti, request.text(71), request.text(72), at.switch.macs_right[-1]) == ("0320", "0001", "0001", True)
    first, second = records_of(request)
    assert first == DATAFONO.decode(payment.request).without_fields(64, 128)
    assert second.mti == "0220"
    assert (on_disk(at).offline, on_disk(at).advices) == ((), ())


def test_what_is_final_is_counted_once_and_forgotten(desk: Callable[..., Desk]) -> None:
    """Approved ones stand in the tally on the day that the network says; declined ones do not; open ones are kept."""
    at = desk(told("00", "78", "09"), told("00"))
    _, _, third = take(at, 5_000, 7_000, 9_000)
    shown = upload(at)
    assert shown.status is ExitStatus.UNKNOWN
    assert [line.split(": ", 1)[1] for line in shown.text.splitlines()[:3]] == [
        "REGISTRADO, recibo 1000",
        f"DECLINADO 78: {answer_text('78', SPANISH)}. Devuelva el dinero al cliente.",
        "SIN RESPUESTA FINAL, sigue guardado",
    ]
    assert "Registrados 1, declinados 1, por enviar 1" in shown.text
    assert on_disk(at).offline == (third,)
    assert on_disk(at).tally.of(DAY).payments == Sum(1, 500_000)
    assert upload(at).status is ExitStatus.APPROVED
    assert on_disk(at).offline == ()
    assert on_disk(at).tally.of(DAY).payments == Sum(2, 1_400_000)
    assert upload(at).text == "No hay pagos por enviar.\n"


def test_a_refusal_is_on_paper_before_it_is_forgotten(desk: Callable[..., Desk]) -> None:
    """The power fails between the answer and the paper: the next upload tells it again."""
    at = desk(told("78"))
    take(at, 5_000)
    at.till.upload()
    at.till = at.restarted()
    assert len(at.store.offline) == 1
    assert "DECLINADO 78" in upload(at).text
    assert on_disk(at).offline == ()


def results(*lines: str) -> Behaviour:
    """Tell whatever *lines* say, well signed."""
    elements = [SubElement("RS", line) for line in lines]
    return lambda switch, request: switch.signed(answer_to(request, "00", {48: build_sub_elements(elements)}))


NO_VERDICTS: dict[str, Behaviour] = {
    "silence": silent,
    "not final, without records": decline("09"),
    "refused as a whole": decline("40"),
    "another record": results("0200;999999;1123160609;00;1124;1000"),
    "another time": results("0200;000001;1123160610;00;1124;1000"),
    "another class": results("0220;000001;1123160609;00;;"),
    "one too many": results("0200;000001;1123160609;00;1124;1000", "0200;000002;1123160709;00;1124;1001"),
    "parts missing": results("0200;000001;00"),
}


@pytest.mark.parametrize("name", NO_VERDICTS)
def test_an_answer_that_tells_nothing_ends_nothing(desk: Callable[..., Desk], name: str) -> None:
    """Nothing, a refusal of the whole, or results that are not about these records: all are kept, and said to be."""
    at = desk(NO_VERDICTS[name])
    (payment,) = take(at, 5_000)
    shown = upload(at)
    assert (shown.status, "sigue guardado" in shown.text) == (ExitStatus.UNKNOWN, True)
    assert "nada se cobra dos veces" in shown.text
    assert on_disk(at).offline == (payment,)


def test_the_line_that_is_still_down_is_told(desk: Callable[..., Desk]) -> None:
    """Not an octet left: everything is kept."""
    at = desk(approve)
    take(at, 5_000, 7_000)
    at.link.run = lambda _dialogue: NotSent(reason="refused")  # type: ignore[method-assign, assignment]
    shown = upload(at)
    assert (shown.status, "No hay comunicación" in shown.text) == (ExitStatus.UNKNOWN, True)
    assert len(on_disk(at).offline) == 2


def test_many_go_in_several_batches_and_one_that_fails_stops_the_rest(desk: Callable[..., Desk]) -> None:
    """As many as fit into each, numbered; after a silence the rest is not tried and all that is open stays."""
    at = desk(told(*["00"] * 14), silent)
    for place in range(30):
        at.till.pay_offline(meter_number=f"370000000{place:02}", paid_centavos=Centavos(500_000))
    upload(at)
    first, second = at.switch.requests[0], at.switch.requests[1]
    assert [(each.text(71), each.text(72)) for each in (first, second)] == [("0001", "0003"), ("0002", "0003")]
    assert len(records_of(first)) == 14 <= RECORDS_MAX
    assert {request.text(71) for request in at.switch.requests} == {"0001", "0002"}
    assert [request.mti for request in at.switch.requests[1:3]] == ["0320", "0321"]
    assert len(on_disk(at).offline) == 16


def test_no_payment_goes_when_the_memory_is_full(desk: Callable[..., Desk]) -> None:
    """The money of the next one is not taken."""
    at = desk(approve)
    (payment,) = take(at, 5_000)
    for _ in range(OFFLINE_KEPT_MAX - 1):
        at.store.store_offline(payment)
    with pytest.raises(OfflineFull):
        take(at, 5_000)
    assert len(on_disk(at).offline) == OFFLINE_KEPT_MAX


def test_an_open_sale_bars_its_own_meter_only(desk: Callable[..., Desk]) -> None:
    """The same money might be taken twice; another customer can pay."""
    at = desk(silent)
    assert isinstance(at.sell(), Unknown)
    with pytest.raises(ExchangeOpen):
        at.till.pay_offline(meter_number=METER, paid_centavos=Centavos(500_000))
    assert len(take(at, 5_000)) == 1
    at.switch.script[:] = [approve]
    assert isinstance(at.till.repeat_last().outcome, Final)
    at.till.pay_offline(meter_number=METER, paid_centavos=Centavos(500_000))


def test_the_lines_in_english(desk: Callable[..., Desk]) -> None:
    """As on the ticket, the language is a switch."""
    at = desk(told("00", "78"))
    take(at, 5_000, 7_000)
    shown = show_upload(at.till.upload(), Style(utility=STYLE.utility, language=ENGLISH))
    assert shown.status is ExitStatus.DECLINED
    assert "meter 37000000010 $ 5.000: RECORDED, receipt 1000" in shown.text
    assert "DECLINED 78" in shown.text
    assert "Give the money back to the customer." in shown.text
    assert "Recorded 1, declined 1, to be sent 0" in shown.text


def test_each_network_gets_records_in_its_own_packing(desk: Callable[..., Desk]) -> None:
    """What the till stored is what a top-up network reads in the batch, octet for octet its own single message."""
    at = desk(approve)
    payment, _ = take(at, 5_000, 7_000)
    speech = speech_of("recargas", lambda: payment.transmitted_at)
    (batch,) = in_batches(at.store.offline, speech)
    moment = requests.Moment(stan="000009", transmitted_at=payment.transmitted_at)
    message = requests.batch_upload(IDENTITY, moment, batch.records, number=1, last=1)
    body = requests.seal(message, signer(IDENTITY.mac_scheme, IDENTITY.mac_key), speech)
    call = RecargasDialect().read(body, acquirer_id="recargas", now=payment.transmitted_at)
    assert isinstance(call, BatchCall)
    single = RECARGAS.encode(DATAFONO.decode(payment.request).without_fields(64, 128))
    assert [isinstance(record, SaleCall) for record in call.records] == [True, True]
    assert call.records[0] == RecargasDialect().read(single, acquirer_id="recargas", now=payment.transmitted_at)
