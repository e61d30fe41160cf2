from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from acquirers.balance import write_balance
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from switch.batching import QueueFull
from switch.in_flight import REPEATS_WAITING_MAX
from switch.log import Event
from switch.meter_queue import WAITING_SALES_MAX
from switch.recharge import BUSY_RETRY_SECONDS
from tests.switch.sale_bench import (
    BUSY_SECONDS_MAX,
    DEADLINE_SECONDS,
    HANG,
    METER,
    PIN,
    TOKEN_ORDER,
    Bench,
    Fake,
    payment,
    recharge,
)
from vending.money import Centavos
from vending.order import AnswerRecord, Busy, Declined, OrderKind, Posted, SalePost, SaleVoid
from vending.ports import MintRequest, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode
from vending.secret import Secret

REFUSED = ModuleRefused("17", "register is retired")
NO_MODULE = [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply")]
NO_LEDGER = [LedgerUnavailable("no server"), LedgerOutcomeUnknown("lost at commit")]


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def test_a_recharge_is_reserved_minted_signed_and_posted_before_its_answer_leaves() -> None:
    """The order of events is the law of the house; the answer is the last of them."""
    bench = Bench()
    sent = bench.send(recharge())
    assert bench.events == [
        "verify asked",
        "verify done",
        "reserve asked",
        "reserve done",
        "mint asked",
        "mint done",
        "sign asked",
        "sign done",
        "post asked",
        "post done",
        "answer left",
    ]
    assert sent.code is ResponseCode.APPROVED
    assert sent.is_signed
    assert sent.message.text(62) == PIN
    assert len(bench.in_flight) == 0


def test_what_is_asked_of_the_ledger_and_the_module_is_what_was_asked_for() -> None:
    """Order, mint request and posting carry the sale, and the posting holds the very octets that leave."""
    bench = Bench()
    sent = bench.send(recharge())
    (order,) = bench.ledger.reserve.asked
    assert (order.kind, order.meter_number, order.paid_centavos) == (OrderKind.RECHARGE, METER.meter_number, 2_000_000)
    assert bench.module.minting.asked == [
        MintRequest(
            request_id=1_000_122,
            register_id=METER.register_id,
            pan=METER.pan,
            tariff_index=METER.tariff_index,
            encryption_algorithm=METER.encryption_algorithm,
            subclass=METER.service.value,
            tokens=((TOKEN_ORDER.tid, TOKEN_ORDER.units_tenths),),
            charged_centavos=bench.ledger.sales[order.key].quote.charged_centavos,
        )
    ]
    (posting,) = bench.ledger.postings
    assert posting == SalePost(sale=bench.ledger.sales[order.key], tokens=[Secret(PIN)], answer=sent.body)


def test_the_answer_waits_for_the_commit() -> None:
    """However long the second commit takes, nothing leaves before it has happened."""
    bench = Bench()
    bench.ledger.post.plan(HANG)
    sent = bench.send(recharge())
    bench.wait(DEADLINE_SECONDS - 0.1)
    assert not sent.is_answered
    bench.ledger.post.release()
    assert bench.events[-2:] == ["post done", "answer left"]
    assert sent.code is ResponseCode.APPROVED


def test_a_payment_is_posted_without_a_token() -> None:
    """Nothing is minted, and the answer has lines and no PIN."""
    bench = Bench()
    sent = bench.send(payment())
    assert sent.code is ResponseCode.APPROVED
    assert bench.module.minting.asked == []
    assert 62 not in sent.message
    assert first_value(parse_sub_elements(sent.message.text(63)), "RC") == "1000122"
    (posting,) = bench.ledger.postings
    assert isinstance(posting, SalePost)
    assert posting.tokens == ()


@pytest.mark.parametrize(
    "code",
    [ResponseCode.METER_UNKNOWN, ResponseCode.FLOAT_SHORT, ResponseCode.AMOUNT_TOO_LOW, ResponseCode.TERMINAL_BLOCKED],
)
def test_a_declined_sale_is_stored_before_its_answer_leaves(code: ResponseCode) -> None:
    """A refusal is as final as a sale: it is kept with its octets first, and the repeat gets the same octets."""
    bench = Bench()
    bench.ledger.reserve.plan(Declined(code=code))
    bench.ledger.post.plan(HANG)
    sent = bench.send(recharge())
    assert not sent.is_answered
    bench.ledger.post.release()
    assert sent.code is code
    assert sent.is_signed
    key = bench.ledger.reserve.asked[0].key
    assert bench.ledger.postings == [AnswerRecord(key=key, code=code, answer=sent.body)]
    assert bench.module.minting.asked == []
    assert bench.send(recharge("0201")).body == sent.body


def test_the_stored_answer_leaves_even_if_ours_differs() -> None:
    """Whoever posted first decided what the terminal is told."""
    bench = Bench()
    other = Bench()
    first = other.send(recharge(paid=3_000_000)).body
    bench.ledger.post.plan(Posted(answer=first, code=ResponseCode.APPROVED))
    assert bench.send(recharge()).body == first


def test_a_repeat_gets_the_stored_octets_and_sells_nothing(lines: list[MutableMapping[str, Any]]) -> None:
    """The same PINs come back, byte for byte, marked as a repeat in log and metrics."""
    bench = Bench()
    first = bench.send(recharge())
    again = bench.send(recharge("0201"))
    assert again.body == first.body
    assert len(bench.module.minting.asked) == len(bench.ledger.postings) == 1
    assert [line["is_repeat"] for line in lines if line["event"] is Event.SALE_COMPLETED] == [False, True]
    assert bench.value("replays_answered_total") == 1


def test_a_known_key_with_other_content_is_refused() -> None:
    """Another amount under the same key is not a repeat."""
    bench = Bench()
    bench.send(recharge())
    assert bench.send(recharge("0201", paid=2_000_100)).code is ResponseCode.DUPLICATE_CONFLICT
    assert len(bench.ledger.postings) == 1


def test_a_sale_without_a_known_outcome_is_not_answered_finally() -> None:
    """A repeat of a reserved sale asks the module again by its id; while that does not answer it is told to come back."""
    bench = Bench()
    bench.module.minting.plan(ModuleOutcomeUnknown("no reply"), ModuleOutcomeUnknown("no reply"))
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.send(recharge("0201")).code is ResponseCode.IN_PROGRESS
    assert [asked.request_id for asked in bench.module.minting.asked] == [1_000_122, 1_000_122]
    assert bench.ledger.postings == []


def test_a_meter_held_elsewhere_is_asked_for_again_until_it_is_free() -> None:
    """Another process ends its sale in a moment; ours waits for it."""
    bench = Bench()
    bench.ledger.reserve.plan(Busy(meter_id=7), Busy(meter_id=7))
    sent = bench.send(recharge())
    assert not sent.is_answered
    bench.clock.advance(BUSY_RETRY_SECONDS)
    assert not sent.is_answered
    bench.clock.advance(BUSY_RETRY_SECONDS)
    assert sent.code is ResponseCode.APPROVED
    assert len(bench.ledger.reserve.asked) == 3


def test_a_meter_held_elsewhere_for_too_long_is_a_refusal_and_frees_our_own_queue() -> None:
    """The limit is kept, nothing is taken, and the next sale on the meter is not held up by the one that gave up."""
    bench = Bench()
    bench.ledger.reserve.plan(*[Busy(meter_id=7)] * round(BUSY_SECONDS_MAX / BUSY_RETRY_SECONDS * 2))
    sent = bench.send(recharge())
    bench.wait(BUSY_SECONDS_MAX - 0.1)
    assert not sent.is_answered
    bench.wait(0.2)
    assert sent.code is ResponseCode.METER_BUSY
    assert bench.ledger.postings == []
    asked = len(bench.ledger.reserve.asked)
    other = bench.send(recharge(stan="000006"))
    assert len(bench.ledger.reserve.asked) == asked + 1
    assert not other.is_answered


def test_a_token_that_the_module_refuses_voids_the_sale() -> None:
    """The module says no and never will: everything is given back, and the answer is stored before it leaves."""
    bench = Bench()
    bench.module.minting.plan(REFUSED)
    bench.ledger.post.plan(HANG)
    sent = bench.send(recharge())
    assert not sent.is_answered
    bench.ledger.post.release()
    assert sent.code is ResponseCode.MODULE_REFUSED
    assert sent.is_signed
    assert 62 not in sent.message
    (sale,) = bench.ledger.sales.values()
    assert bench.ledger.postings == [SaleVoid(sale=sale, code=ResponseCode.MODULE_REFUSED, answer=sent.body)]


def test_a_sale_that_the_module_refuses_tells_what_stood_before_it() -> None:
    """Its money is back in the float, and the answer says so."""
    bench = Bench(tells_balance=True)
    bench.module.minting.plan(REFUSED)
    bench.ledger.left_centavos = Centavos(7_000_000)
    assert bench.send(recharge()).message.text(54) == write_balance(9_000_000)


def test_a_sale_finished_for_its_repeat_tells_what_stands_then_and_every_later_copy_the_same() -> None:
    """The sum of its own moment is gone; what was stored first stays, octet for octet, whatever the float does."""
    bench = Bench(tells_balance=True)
    bench.module.minting.plan(NO_MODULE[1])
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    bench.ledger.left_centavos = Centavos(5_000_000)
    finished = bench.send(recharge("0201"))
    assert (finished.code, finished.message.text(54)) == (ResponseCode.APPROVED, write_balance(5_000_000))
    bench.ledger.left_centavos = Centavos(1)
    assert bench.send(recharge("0201")).body == finished.body


@pytest.mark.parametrize("error", [*NO_MODULE, REFUSED], ids=repr)
def test_a_void_that_cannot_be_signed_waits_for_the_resolver(error: Exception) -> None:
    """Without an answer to store the sale is not voided either."""
    bench = Bench()
    bench.module.minting.plan(REFUSED)
    bench.module.signing.plan(error)
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []


@pytest.mark.parametrize("error", NO_MODULE, ids=repr)
def test_an_unknown_outcome_of_minting_leaves_the_sale_reserved(error: Exception) -> None:
    """A token may exist, so nothing is given back and nothing is final."""
    bench = Bench()
    bench.module.minting.plan(error)
    sent = bench.send(recharge())
    assert sent.code is ResponseCode.IN_PROGRESS
    assert sent.is_signed
    assert bench.ledger.postings == []
    assert len(bench.ledger.sales) == 1
    assert len(bench.in_flight) == 0


@pytest.mark.parametrize("error", [*NO_MODULE, REFUSED], ids=repr)
def test_a_token_that_cannot_be_signed_is_neither_posted_nor_voided(error: Exception) -> None:
    """A refusal to sign says nothing about the token, which exists."""
    bench = Bench()
    bench.module.signing.plan(error)
    sent = bench.send(recharge())
    assert sent.code is ResponseCode.IN_PROGRESS
    assert 62 not in sent.message
    assert bench.ledger.postings == []


@pytest.mark.parametrize("error", [*NO_MODULE, REFUSED], ids=repr)
def test_a_decline_that_cannot_be_signed_is_not_stored(error: Exception) -> None:
    """The repeat finds the decline in the journal and has it signed then."""
    bench = Bench()
    bench.ledger.reserve.plan(Declined(code=ResponseCode.METER_UNKNOWN))
    bench.module.signing.plan(error)
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NO_LEDGER[0], ResponseCode.LEDGER_UNAVAILABLE),
        (NO_LEDGER[1], ResponseCode.IN_PROGRESS),
        (QueueFull(), ResponseCode.OVERLOADED),
    ],
    ids=repr,
)
def test_what_fails_at_the_first_commit(error: Exception, code: ResponseCode) -> None:
    """Only where nothing can have been written is the answer final; the meter is free for the next."""
    bench = Bench()
    bench.ledger.reserve.plan(error)
    sent = bench.send(recharge())
    assert sent.code is code
    assert sent.is_signed
    assert bench.module.minting.asked == []
    assert bench.send(recharge(stan="000006")).code is ResponseCode.APPROVED


@pytest.mark.parametrize("error", [*NO_LEDGER, QueueFull()], ids=repr)
def test_what_fails_at_the_second_commit_is_never_final(error: Exception) -> None:
    """The token exists, so whatever happens to the commit the terminal must ask again."""
    bench = Bench()
    bench.ledger.post.plan(error)
    sent = bench.send(recharge())
    assert sent.code is ResponseCode.IN_PROGRESS
    assert 62 not in sent.message
    assert len(bench.in_flight) == 0


def test_a_module_that_mints_another_number_of_tokens_is_a_fault() -> None:
    """Nothing is posted and nothing final is said about a sale whose tokens cannot be right."""
    bench = Bench()
    bench.module.minting.plan([Secret(PIN), Secret(PIN)])
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []
    assert bench.value("serve_failures_total") == 1


def test_nothing_costs_nothing() -> None:
    """An amount of zero does not reach the ledger."""
    bench = Bench()
    assert bench.send(recharge(paid=0)).code is ResponseCode.AMOUNT_INVALID
    assert bench.ledger.reserve.asked == []


def test_a_repeat_in_flight_gets_the_answer_of_the_first(lines: list[MutableMapping[str, Any]]) -> None:
    """Two copies, one sale: both get the same octets when they are ready, and the second is marked as a repeat."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    first, again = bench.send(recharge()), bench.send(recharge("0201"))
    assert len(bench.ledger.reserve.asked) == 1
    assert not again.is_answered
    bench.module.minting.release()
    assert first.body == again.body
    assert first.code is ResponseCode.APPROVED
    assert sorted(line["is_repeat"] for line in lines if line["event"] is Event.SALE_COMPLETED) == [False, True]
    assert len(bench.ledger.postings) == 1


def test_other_content_in_flight_is_refused_and_harms_nobody() -> None:
    """The key is taken by the first, whatever the second says."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    first = bench.send(recharge())
    assert bench.send(recharge("0201", paid=5)).code is ResponseCode.DUPLICATE_CONFLICT
    bench.module.minting.release()
    assert first.code is ResponseCode.APPROVED


def test_too_many_repeats_in_flight_are_not_told_that_nothing_was_taken() -> None:
    """The limit holds, and what it refuses is still the sale that is being made: the answer must not be final."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    first = bench.send(recharge())
    waiting = [bench.send(recharge("0201")) for _ in range(REPEATS_WAITING_MAX)]
    assert not any(sent.is_answered for sent in waiting)
    assert bench.send(recharge("0201")).code is ResponseCode.IN_PROGRESS
    bench.module.minting.release()
    assert {sent.body for sent in waiting} == {first.body}


def test_repeats_of_a_sale_that_ends_without_an_outcome_are_told_so() -> None:
    """Nobody is left waiting."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    first, again = bench.send(recharge()), bench.send(recharge("0201"))
    bench.module.minting.release(ModuleOutcomeUnknown("no reply"))
    assert first.code is again.code is ResponseCode.IN_PROGRESS
    assert len(bench.in_flight) == 0


def test_sales_on_one_meter_go_one_after_the_other() -> None:
    """The second is reserved when the first has been posted; another meter does not wait."""
    bench = Bench()
    bench.ledger.post.plan(HANG)
    one, two = bench.send(recharge(stan="000001")), bench.send(recharge(stan="000002"))
    other = bench.send(recharge(stan="000003", meter="37000000015"))
    assert [order.key.stan for order in bench.ledger.reserve.asked] == ["000001", "000003"]
    assert other.code is ResponseCode.APPROVED
    bench.ledger.post.release()
    assert one.code is two.code is ResponseCode.APPROVED
    assert [order.key.stan for order in bench.ledger.reserve.asked] == ["000001", "000003", "000002"]


def test_a_sale_that_fails_leaves_its_meter_to_the_next() -> None:
    """Whatever becomes of the first, the second has its turn."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    one, two = bench.send(recharge(stan="000001")), bench.send(recharge(stan="000002"))
    bench.ledger.reserve.release(RuntimeError("fault"))
    assert (one.code, two.code) == (ResponseCode.IN_PROGRESS, ResponseCode.APPROVED)


def test_too_many_sales_on_one_meter_are_refused() -> None:
    """The line in front of a meter has an end."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    sent = [bench.send(recharge(stan=f"{stan:06d}")) for stan in range(WAITING_SALES_MAX + 1)]
    assert bench.send(recharge(stan="000099")).code is ResponseCode.METER_BUSY
    bench.ledger.reserve.release()
    assert [one.code for one in sent] == [ResponseCode.APPROVED] * len(sent)


def _stage(bench: Bench, name: str) -> Fake[Any, Any]:
    stages: dict[str, Fake[Any, Any]] = {
        "verify": bench.module.verifying,
        "reserve": bench.ledger.reserve,
        "mint": bench.module.minting,
        "sign": bench.module.signing,
        "post": bench.ledger.post,
    }
    return stages[name]


@pytest.mark.parametrize("stage", ["mint", "sign", "post"])
def test_past_the_deadline_what_is_being_minted_goes_on_and_the_repeat_finds_its_outcome(
    stage: str, lines: list[MutableMapping[str, Any]]
) -> None:
    """The terminal is told in time that nothing is known yet; the late sale leaves a line and one answer, in the journal."""
    bench = Bench()
    _stage(bench, stage).plan(HANG)
    sent = bench.send(recharge())
    bench.wait(DEADLINE_SECONDS - 0.1)
    assert not sent.is_answered
    bench.wait(0.2)
    assert sent.code is ResponseCode.IN_PROGRESS
    assert sent.is_signed == (stage != "verify")
    assert bench.value("unknown_outcomes_total") == 1
    assert bench.value("late_answers_total") == 0
    _stage(bench, stage).release()
    assert bench.value("late_answers_total") == 1
    assert len(sent.frames) == 1
    (posting,) = bench.ledger.postings
    assert bench.send(recharge("0201")).body == posting.answer
    assert len(bench.module.minting.asked) == 1
    assert [line["event"] for line in lines] == [Event.MESSAGE_REFUSED, Event.SALE_RESOLVED, Event.SALE_COMPLETED]
    assert bench.value("requests_total", mti="0200", code="approved") == 0


def test_a_late_failure_is_only_logged(lines: list[MutableMapping[str, Any]]) -> None:
    """Nobody waits for it any more: a fault leaves its traceback, a refusal nothing more than was said."""
    bench = Bench()
    bench.module.minting.plan(HANG, HANG)
    bench.send(recharge())
    bench.send(recharge(stan="000006", meter="37000000015"))
    bench.wait(DEADLINE_SECONDS + 0.1)
    lines.clear()
    bench.module.minting.release(RuntimeError("late fault"))
    bench.module.minting.release(ModuleUnavailable("late refusal"))
    (line,) = lines
    assert line["event"] is Event.SERVE_FAILED
    assert "late fault" in line["failure"]
    assert len(bench.in_flight) == 0


@pytest.mark.parametrize("hanging", [recharge(stan="000001"), recharge("0201")], ids=["on the meter", "in flight"])
def test_waiting_for_another_ends_at_the_deadline_too(hanging: IsoMessage) -> None:
    """Whoever waits for the meter, or for the first copy, is told in time."""
    bench = Bench()
    bench.module.minting.plan(HANG)
    bench.send(recharge())
    bench.wait(5.0)
    waiting = bench.send(hanging)
    bench.wait(DEADLINE_SECONDS + 0.1)
    assert waiting.code is ResponseCode.IN_PROGRESS
    bench.module.minting.release()
    assert len(waiting.frames) == 1
    assert len(bench.in_flight) == 0
