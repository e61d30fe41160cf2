"""The delivery advice: confirmed and stored before it is answered, once."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from tests.switch.sale_bench import HANG, NOW, Bench, advice, recharge
from vending.order import Advised, AnswerRecord, RequestKey, Unresolved
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[object]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def test_a_confirmed_sale_is_stored_before_its_answer_leaves() -> None:
    """The advice names the sale by element 90, and its plain approval is journaled under its own key."""
    bench = Bench()
    bench.send(recharge())
    bench.ledger.postings.clear()
    bench.ledger.post.plan(HANG)
    sent = bench.send(advice())
    assert not sent.is_answered
    bench.ledger.post.release()
    assert bench.events[-2:] == ["post done", "answer left"]
    assert (sent.message.mti, sent.code, sent.is_signed) == ("0230", ResponseCode.APPROVED, True)
    assert 62 not in sent.message
    (order,) = bench.ledger.advise.asked
    assert (order.key.message_class, order.key.stan) == ("0220", "000020")
    assert order.original == RequestKey(
        acquirer_id="banco",
        terminal_id="TERM0001",
        transmitted_at=NOW.replace(second=30),
        stan="000005",
        message_class="0200",
    )
    assert bench.ledger.postings == [AnswerRecord(key=order.key, code=ResponseCode.APPROVED, answer=sent.body)]


def test_a_repeat_gets_the_stored_octets() -> None:
    """0221 is the same advice; nothing is asked of the module or written again."""
    bench = Bench()
    bench.send(recharge())
    first = bench.send(advice())
    postings = len(bench.ledger.postings)
    assert bench.send(advice("0221")).body == first.body
    assert len(bench.ledger.postings) == postings
    assert bench.value("replays_answered_total") == 1


def test_an_original_that_sold_nothing_is_not_found() -> None:
    """Unknown, declined or void: 25, stored like any answer."""
    bench = Bench()
    sent = bench.send(advice())
    assert (sent.code, sent.is_signed) == (ResponseCode.ORIGINAL_NOT_FOUND, True)
    assert [posting.answer for posting in bench.ledger.postings] == [sent.body]


def test_an_open_original_makes_the_advice_wait() -> None:
    """Reserved or being worked on: 09, nothing stored, and the repeat is judged anew."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    sale = bench.send(recharge())
    assert bench.send(advice()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.advise.asked == []
    bench.module.minting.release()
    assert sale.code is ResponseCode.APPROVED
    bench.ledger.postings.clear()
    bench.ledger.advise.plan(Unresolved(sale_id=7))
    assert bench.send(advice("0221")).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []
    assert bench.send(advice("0221")).code is ResponseCode.APPROVED
    assert len(bench.in_flight) == 0


def test_a_known_key_with_other_content_is_refused() -> None:
    """An advice's key is for ever, too."""
    bench = Bench()
    bench.send(recharge())
    bench.send(advice())
    changed = advice("0221").with_fields({90: "0200" + "000006" + "1123163030" + "0" * 22})
    assert bench.send(changed).code is ResponseCode.DUPLICATE_CONFLICT


def test_twins_in_flight_are_one() -> None:
    """One look, one posting, two equal answers."""
    bench = Bench()
    bench.ledger.advise.plan(HANG)
    first, again = bench.send(advice()), bench.send(advice("0221"))
    bench.ledger.advise.release()
    assert first.body == again.body
    assert len(bench.ledger.advise.asked) == len(bench.ledger.postings) == 1


@pytest.mark.parametrize(
    "error",
    [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply"), ModuleRefused("17", "retired")],
    ids=repr,
)
def test_an_answer_that_cannot_be_signed_is_not_stored(error: Exception) -> None:
    """The sale is confirmed all the same, and the repeat gets its answer then."""
    bench = Bench()
    bench.module.signing.plan(error)
    assert bench.send(advice()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []


@pytest.mark.parametrize("error", [LedgerUnavailable("no server"), LedgerOutcomeUnknown("lost"), QueueFull()], ids=repr)
def test_what_fails_when_the_answer_is_stored_is_never_final(error: Exception) -> None:
    """The advice is in the journal without an answer."""
    bench = Bench()
    bench.ledger.post.plan(error)
    assert bench.send(advice()).code is ResponseCode.IN_PROGRESS


@pytest.mark.parametrize(
    ("mti", "code"), [("0220", ResponseCode.LEDGER_UNAVAILABLE), ("0221", ResponseCode.IN_PROGRESS)]
)
def test_only_a_first_copy_is_told_of_our_state(mti: str, code: ResponseCode) -> None:
    """A repeat may have been done meanwhile, so it is told to come again."""
    bench = Bench()
    bench.ledger.advise.plan(LedgerUnavailable("no server"))
    assert bench.send(advice(mti)).code is code


def test_without_element_90_its_own_stan_and_time_are_meant() -> None:
    """As with a reversal."""
    bench = Bench()
    bench.ledger.advise.plan(Advised(code=ResponseCode.APPROVED))
    bench.send(advice().without_fields(90))
    (order,) = bench.ledger.advise.asked
    assert (order.original.stan, order.original.message_class) == ("000020", "0200")
    assert order.original.transmitted_at == order.key.transmitted_at
