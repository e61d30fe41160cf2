from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from tests.switch.sale_bench import DEADLINE_SECONDS, HANG, NOW, PIN, Bench, recharge, reversal
from vending.order import AnswerRecord, OriginalFound, Posted, RequestKey, ReservedSale
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
