"""The last answer: the digits of an earlier sale once more, counted, and never unsigned."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from ledger.errors import LedgerUnavailable
from messages.codec import DATAFONO
from messages.subfields import first_value, parse_sub_elements
from tests.switch.sale_bench import HANG, NOW, PIN, Bench, last_answer, recharge, signed
from vending.order import LastAnswerFound, LastAnswerInquiry, RequestKey
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode
from vending.secret import Secret

KEY = RequestKey(
    acquirer_id="banco",
    terminal_id="TERM0001",
    transmitted_at=NOW.replace(second=30),
    stan="000005",
    message_class="0200",
)


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[dict[str, object]]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def _sold(bench: Bench) -> LastAnswerFound:
    bench.send(recharge())
    (sale,) = bench.ledger.sales.values()
    return LastAnswerFound(
        code=ResponseCode.APPROVED,
        original=KEY,
        original_code=ResponseCode.APPROVED,
        rrn=sale.rrn,
        sale=sale,
        tokens=[Secret(PIN)],
        reprint_count=3,
    )


def test_a_sale_comes_with_its_digits_and_says_which_it_is(lines: list[dict[str, object]]) -> None:
    """All that the ticket needs is there as in the first answer, and element 48 tells original and count; no log has the digits."""
    bench = Bench()
    bench.ledger.last_answer.plan(_sold(bench))
    first = bench.send(recharge("0201")).message
    sent = bench.send(last_answer())
    assert (sent.message.mti, sent.code, sent.is_signed) == ("0110", ResponseCode.APPROVED, True)
    assert [sent.message.get(number) for number in (38, 62, 63)] == [first.get(number) for number in (38, 62, 63)]
    assert sent.message.text(62) == PIN
    elements = parse_sub_elements(sent.message.text(48))
    told = {tag: first_value(elements, tag) for tag in ("OS", "OT", "OR", "OC", "RP")}
    assert told == {"OS": "000005", "OT": "1123163030", "OR": first.text(37), "OC": "00", "RP": "3"}
    assert sent.message.text(48).startswith(first.text(48))
    assert bench.value("reprints_total") == 1
    assert bench.ledger.last_answer.asked == [
        LastAnswerInquiry(acquirer_id="banco", terminal_id="TERM0001", original=None, asked_at=NOW)
    ]
    assert PIN not in str(lines)


def test_a_named_sale_is_asked_for_by_its_key() -> None:
    """Element 90 names it, as in a reversal; the terminal is always the one that asks."""
    bench = Bench()
    bench.send(last_answer(original="0000051123163030"))
    (inquiry,) = bench.ledger.last_answer.asked
    assert inquiry.original == KEY


def test_a_declined_sale_is_told_without_a_token() -> None:
    """00 says that it is known; OC says what became of it, and nothing counts as handed out."""
    bench = Bench()
    found = LastAnswerFound(
        code=ResponseCode.APPROVED, original=KEY, original_code=ResponseCode.FLOAT_SHORT, rrn="632716000005"
    )
    bench.ledger.last_answer.plan(found)
    sent = bench.send(last_answer())
    assert sent.code is ResponseCode.APPROVED
    assert sent.message.text(48) == "OS006000005OT0101123163030OR012632716000005OC00251"
    assert [number for number in (37, 38, 62, 63) if number in sent.message] == []
    assert bench.value("reprints_total") == 0


def test_nothing_known_is_not_found() -> None:
    """25, signed, with nothing to tell."""
    bench = Bench()
    sent = bench.send(last_answer())
    assert (sent.code, sent.is_signed) == (ResponseCode.ORIGINAL_NOT_FOUND, True)
    assert 48 not in sent.message


@pytest.mark.parametrize("original", [None, "0000051123163030"])
def test_a_sale_that_is_being_worked_on_is_not_told(original: str | None) -> None:
    """Neither as the last one nor by its name; not even the ledger is asked, which may not know it yet."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    bench.send(recharge())
    sent = bench.send(last_answer(original=original))
    assert (sent.code, sent.is_signed) == (ResponseCode.IN_PROGRESS, True)
    assert bench.ledger.last_answer.asked == []


def test_another_terminals_sale_in_work_hinders_nobody() -> None:
    """Only the asking terminal's own."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    bench.send(recharge(terminal_id="TERM0002"))
    assert bench.send(last_answer()).code is ResponseCode.ORIGINAL_NOT_FOUND


def test_an_open_sale_is_not_final() -> None:
    """Reserved: nobody can say yet what it becomes."""
    bench = Bench()
    bench.ledger.last_answer.plan(LastAnswerFound(code=ResponseCode.IN_PROGRESS))
    assert bench.send(last_answer()).code is ResponseCode.IN_PROGRESS


@pytest.mark.parametrize(
    "error",
    [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply"), ModuleRefused("17", "retired")],
    ids=repr,
)
def test_digits_never_leave_unsigned(error: Exception) -> None:
    """Without a MAC the terminal could not believe them; it asks again, and the count may be one too high, never too low."""
    bench = Bench()
    bench.ledger.last_answer.plan(_sold(bench))
    bench.module.signing.plan(error)
    sent = bench.send(last_answer())
    assert sent.code is ResponseCode.MODULE_UNAVAILABLE
    assert 62 not in sent.message
    assert bench.value("reprints_total") == 1


def test_a_wrong_mac_asks_nothing() -> None:
    """Who cannot prove that he is the terminal learns nothing and counts nothing."""
    bench = Bench()
    octets = signed(last_answer())
    sent = bench.send_octets(bytes.fromhex("6000030123") + octets[:-1] + bytes([octets[-1] ^ 1]))
    assert DATAFONO.decode(sent.body).text(39) == "63"
    assert bench.ledger.last_answer.asked == []


def test_without_a_ledger_nothing_is_told() -> None:
    """92; the question moves nothing and is asked again."""
    bench = Bench()
    bench.ledger.last_answer.plan(LedgerUnavailable("no server"))
    assert bench.send(last_answer()).code is ResponseCode.LEDGER_UNAVAILABLE
