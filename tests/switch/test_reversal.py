from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from structlog.testing import capture_logs

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from tests.switch.sale_bench import DEADLINE_SECONDS, HANG, NOW, PIN, Bench, recharge, reversal
from vending.money import Centavos
from vending.order import AnswerRecord, OriginalFound, Posted, RequestKey, ReservedSale
from vending.parked import Parking, ParkingLimits
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode
from vending.secret import Secret


@pytest.fixture(autouse=True)
def lines() -> Iterator[None]:
    structlog.reset_defaults()
    with capture_logs():
        yield


def _sold(bench: Bench) -> ReservedSale:
    bench.send(recharge())
    (sale,) = bench.ledger.sales.values()
    bench.ledger.postings.clear()
    return sale


def _original(sale: ReservedSale | None, *, is_posted: bool) -> OriginalFound:
    return OriginalFound(
        code=ResponseCode.APPROVED if is_posted else None,
        sale=sale,
        is_posted=is_posted,
        tokens=[Secret(PIN)] if is_posted else (),
        original_request=b"",
    )


def test_a_sale_that_was_made_stands_and_its_tokens_come_along() -> None:
    """The refusal is stored before it leaves, and the till can print what the customer paid for."""
    bench = Bench()
    bench.ledger.find_original.plan(_original(_sold(bench), is_posted=True))
    bench.ledger.post.plan(HANG)
    sent = bench.send(reversal())
    assert not sent.is_answered
    bench.ledger.post.release()
    assert bench.events[-2:] == ["post done", "answer left"]
    assert sent.code is ResponseCode.SALE_STANDS
    assert sent.is_signed
    assert sent.message.text(62) == PIN
    (order,) = bench.ledger.find_original.asked
    assert bench.ledger.postings == [AnswerRecord(key=order.key, code=ResponseCode.SALE_STANDS, answer=sent.body)]
    assert order.original == RequestKey(
        acquirer_id="banco",
        terminal_id="TERM0001",
        transmitted_at=NOW.replace(second=30),
        stan="000005",
        message_class="0200",
    )


def test_what_was_never_sold_has_nothing_to_undo() -> None:
    """A declined or voided original makes the reversal an approval, stored like any answer."""
    bench = Bench()
    bench.ledger.find_original.plan(_original(None, is_posted=False))
    sent = bench.send(reversal())
    assert sent.code is ResponseCode.APPROVED
    assert sent.is_signed
    assert 62 not in sent.message
    assert [posting.answer for posting in bench.ledger.postings] == [sent.body]


def test_an_original_that_nobody_knows_is_not_found() -> None:
    """The verdict is stored; its repeat gets the same octets without another look."""
    bench = Bench()
    sent = bench.send(reversal())
    assert sent.code is ResponseCode.ORIGINAL_NOT_FOUND
    assert bench.send(reversal("0401")).body == sent.body
    assert len(bench.ledger.postings) == 1
    assert bench.value("replays_answered_total") == 1


def test_an_original_without_a_known_outcome_makes_the_reversal_wait() -> None:
    """Neither "undone" nor "stands" can be said of a sale that is only reserved."""
    bench = Bench()
    bench.ledger.find_original.plan(_original(_sold(bench), is_posted=False))
    assert bench.send(reversal()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []
    assert len(bench.in_flight) == 0


def test_an_original_that_is_being_worked_on_makes_the_reversal_wait() -> None:
    """The ledger is not even asked, and the sale goes on."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    sale = bench.send(recharge())
    assert bench.send(reversal()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.find_original.asked == []
    bench.module.minting.release()
    assert sale.code is ResponseCode.APPROVED
    assert bench.send(reversal("0401")).code is not ResponseCode.IN_PROGRESS


def test_a_known_key_with_other_content_is_refused() -> None:
    """A reversal's key is for ever, too."""
    bench = Bench()
    bench.send(reversal())
    assert bench.send(reversal("0401").with_fields({4: "000000000001"})).code is ResponseCode.DUPLICATE_CONFLICT
    assert len(bench.ledger.postings) == 1


def test_a_repeat_in_flight_gets_the_answer_of_the_first() -> None:
    """One look, one posting, two equal answers."""
    bench = Bench()
    bench.ledger.find_original.plan(HANG)
    first, again = bench.send(reversal()), bench.send(reversal("0401"))
    bench.ledger.find_original.release()
    assert first.body == again.body
    assert len(bench.ledger.find_original.asked) == len(bench.ledger.postings) == 1


@pytest.mark.parametrize(
    "error",
    [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply"), ModuleRefused("17", "retired")],
    ids=repr,
)
def test_an_answer_that_cannot_be_signed_is_not_stored(error: Exception) -> None:
    """The repeat finds the reversal in the journal and has it answered then."""
    bench = Bench()
    bench.module.signing.plan(error)
    assert bench.send(reversal()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerUnavailable("no server"), ResponseCode.LEDGER_UNAVAILABLE),
        (LedgerOutcomeUnknown("lost"), ResponseCode.IN_PROGRESS),
        (QueueFull(), ResponseCode.OVERLOADED),
    ],
    ids=repr,
)
def test_what_fails_when_the_original_is_looked_up(error: Exception, code: ResponseCode) -> None:
    """Final only where the journal cannot have been written."""
    bench = Bench()
    bench.ledger.find_original.plan(error)
    assert bench.send(reversal()).code is code
    assert len(bench.in_flight) == 0


@pytest.mark.parametrize("error", [LedgerUnavailable("no server"), LedgerOutcomeUnknown("lost"), QueueFull()], ids=repr)
def test_what_fails_when_the_answer_is_stored_is_never_final(error: Exception) -> None:
    """The reversal is in the journal without an answer."""
    bench = Bench()
    bench.ledger.post.plan(error)
    assert bench.send(reversal()).code is ResponseCode.IN_PROGRESS


def test_the_answer_that_was_stored_first_leaves() -> None:
    """Ours is thrown away if another process was quicker."""
    bench = Bench()
    first = bench.send(reversal(stan="000010")).body
    bench.ledger.post.plan(Posted(answer=first, code=ResponseCode.SALE_STANDS))
    assert bench.send(reversal()).body == first


@pytest.mark.parametrize("stage", ["find_original", "post"])
def test_past_the_deadline_the_repeat_finds_the_answer(stage: str) -> None:
    """In time the terminal is told to come again."""
    bench = Bench()
    (bench.ledger.find_original if stage == "find_original" else bench.ledger.post).plan(HANG)
    sent = bench.send(reversal())
    bench.wait(DEADLINE_SECONDS + 0.1)
    assert sent.code is ResponseCode.IN_PROGRESS
    (bench.ledger.find_original if stage == "find_original" else bench.ledger.post).release()
    assert len(sent.frames) == 1
    assert bench.send(reversal("0401")).code is ResponseCode.ORIGINAL_NOT_FOUND
    assert len(bench.ledger.postings) == 1


@pytest.mark.parametrize(
    ("mti", "answer_mti"), [("0400", "0410"), ("0401", "0410"), ("0420", "0430"), ("0421", "0430")]
)
def test_a_reversal_and_its_advice_get_their_own_answers(mti: str, answer_mti: str) -> None:
    """The advice of a sale that stands is declined with the token, too: nobody may believe that it was undone."""
    bench = Bench()
    bench.ledger.find_original.plan(_original(_sold(bench), is_posted=True))
    sent = bench.send(reversal(mti))
    assert (sent.message.mti, sent.code, sent.message.text(62)) == (answer_mti, ResponseCode.SALE_STANDS, PIN)
    assert sent.is_signed
    (posting,) = bench.ledger.postings
    assert isinstance(posting, AnswerRecord)
    assert posting.key.message_class == mti[:3] + "0"


def test_the_repeat_of_an_advice_gets_its_stored_answer() -> None:
    """0421 is 0420 again; an 0400 with the same fields is another request."""
    bench = Bench()
    first = bench.send(reversal("0420"))
    assert bench.send(reversal("0421")).body == first.body
    assert len(bench.ledger.postings) == 1
    assert bench.send(reversal("0400")).message.mti == "0410"
    assert len(bench.ledger.postings) == 2


def test_an_advice_waits_for_an_original_that_is_being_worked_on() -> None:
    """During minting nothing can be said, and nothing is kept."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    sale = bench.send(recharge())
    sent = bench.send(reversal("0420"))
    assert (sent.message.mti, sent.code) == ("0430", ResponseCode.IN_PROGRESS)
    bench.module.minting.release()
    assert sale.code is ResponseCode.APPROVED
    assert bench.ledger.find_original.asked == []


@pytest.mark.parametrize("mti", ["0400", "0420"])
@pytest.mark.parametrize(
    "original", ["0" * 42, "0200" + "000005" + "0" * 32, "0100" + "000005" + "1123163030" + "0" * 22]
)
def test_an_element_90_that_names_nothing_is_a_fault_of_the_message(mti: str, original: str) -> None:
    """It is refused before anything is looked up, so nothing is barred, and the refusal is not signed."""
    bench = Bench()
    sent = bench.send(reversal(mti).with_fields({90: original}))
    assert sent.code is ResponseCode.FORMAT_ERROR
    assert not sent.is_signed
    assert bench.ledger.find_original.asked == []
    assert bench.ledger.postings == []


PARKING = {"reversal_policy": "parked", "parked_sale_centavos_max": 7, "parked_terminal_day_centavos_max": 11}


@pytest.mark.parametrize("mti", ["0400", "0420"])
@pytest.mark.parametrize(("parking", "counted"), [(Parking.PARKED, 1), (Parking.PARKED_BEFORE, 0)])
def test_a_parked_sale_is_approved_without_its_tokens(mti: str, parking: Parking, counted: int) -> None:
    """The money is back, so the answer has no PIN; it is stored before it leaves, and counted when the money moved."""
    bench = Bench(**PARKING)
    bench.ledger.find_original.plan(replace(_original(_sold(bench), is_posted=True), parking=parking))
    sent = bench.send(reversal(mti))
    assert sent.code is ResponseCode.APPROVED
    assert sent.is_signed
    assert not {48, 62, 63} & sent.message.fields.keys()
    assert [posting.answer for posting in bench.ledger.postings] == [sent.body]
    assert bench.value("parked_sales_total") == counted
    assert bench.value("parked_centavos_total") == 2_000_000 * counted
    (order,) = bench.ledger.find_original.asked
    assert order.parking == ParkingLimits(sale_centavos_max=Centavos(7), terminal_day_centavos_max=Centavos(11))


@pytest.mark.parametrize(("parking", "counted"), [(Parking.ABOVE_CAP, 1), (Parking.NOT_PARKABLE, 0)])
def test_what_is_not_parked_stands(parking: Parking, counted: int) -> None:
    """The fall-back is the other policy, with the token in the answer; a refusal by a cap is counted."""
    bench = Bench(**PARKING)
    bench.ledger.find_original.plan(replace(_original(_sold(bench), is_posted=True), parking=parking))
    sent = bench.send(reversal())
    assert (sent.code, sent.message.text(62)) == (ResponseCode.SALE_STANDS, PIN)
    assert bench.value("parking_cap_refusals_total") == counted
    assert bench.value("parked_sales_total") == 0


def test_by_default_nothing_is_parked() -> None:
    """A network must be set to it."""
    bench = Bench()
    bench.send(reversal())
    (order,) = bench.ledger.find_original.asked
    assert order.parking is None
