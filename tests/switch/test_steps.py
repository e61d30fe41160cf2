from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from switch.steps import Books, network_of
from tests.switch.sale_bench import Fake
from vending.order import (
    AdviceOrder,
    AnswerRecord,
    Inquiry,
    LastAnswerInquiry,
    RequestKey,
    ReservedSale,
    ReversalOrder,
    SaleOrder,
    SalePost,
    SaleVoid,
    UndeliveredAnswer,
    UnresolvedLook,
)
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder, TotalsOrder

STEPS = ["reserve", "post", "inquire", "find_original", "advise", "last_answer"]
_KEY = RequestKey(
    acquirer_id="red",
    terminal_id="T0000001",
    transmitted_at=datetime(2026, 8, 3, 12, tzinfo=UTC),
    stan="000001",
    message_class="0200",
)
UNAVAILABLE, UNKNOWN, FULL = LedgerUnavailable("no server"), LedgerOutcomeUnknown("lost"), QueueFull()


def _books() -> tuple[Books, dict[str, Fake[Any, Any]]]:
    fakes: dict[str, Fake[Any, Any]] = {name: Fake(name, [], lambda item: f"result of {item}") for name in STEPS}
    looks: Fake[Any, Any] = Fake("find_unresolved", [], lambda look: [f"sale {look.sale_id}"])
    return Books(**fakes, find_unresolved=looks), {**fakes, "find_unresolved": looks}


def _ask(books: Books, step: str) -> Any:
    ask: Callable[[Any], Awaitable[Any]] = getattr(books, step)
    results: list[object] = []
    ensureDeferred(ask("item")).addBoth(results.append)  # type: ignore[arg-type]
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


@pytest.mark.parametrize("step", STEPS)
def test_each_question_goes_to_its_own_step(step: str) -> None:
    """One item in, its result out."""
    books, fakes = _books()
    assert _ask(books, step) == "result of item"
    assert {name: fake.asked for name, fake in fakes.items() if fake.asked} == {step: ["item"]}


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        ("reserve", FULL, ResponseCode.OVERLOADED),
        ("reserve", UNAVAILABLE, ResponseCode.LEDGER_UNAVAILABLE),
        ("reserve", UNKNOWN, ResponseCode.IN_PROGRESS),
        ("post", FULL, ResponseCode.IN_PROGRESS),
        ("post", UNAVAILABLE, ResponseCode.IN_PROGRESS),
        ("post", UNKNOWN, ResponseCode.IN_PROGRESS),
        ("inquire", FULL, ResponseCode.OVERLOADED),
        ("inquire", UNAVAILABLE, ResponseCode.LEDGER_UNAVAILABLE),
        ("inquire", UNKNOWN, ResponseCode.LEDGER_UNAVAILABLE),
        ("find_original", FULL, ResponseCode.OVERLOADED),
        ("find_original", UNAVAILABLE, ResponseCode.LEDGER_UNAVAILABLE),
        ("find_original", UNKNOWN, ResponseCode.IN_PROGRESS),
        ("advise", FULL, ResponseCode.OVERLOADED),
        ("advise", UNAVAILABLE, ResponseCode.LEDGER_UNAVAILABLE),
        ("advise", UNKNOWN, ResponseCode.IN_PROGRESS),
        ("last_answer", FULL, ResponseCode.OVERLOADED),
        ("last_answer", UNAVAILABLE, ResponseCode.LEDGER_UNAVAILABLE),
        ("last_answer", UNKNOWN, ResponseCode.LEDGER_UNAVAILABLE),
    ],
    ids=repr,
)
def test_a_failure_is_final_only_where_nothing_can_have_been_written(
    step: str, error: Exception, code: ResponseCode
) -> None:
    """Before a commit a failure costs nothing; once it may have happened nobody knows."""
    books, fakes = _books()
    fakes[step].plan(error)
    with pytest.raises(Refusal) as caught:
        _ask(books, step)
    assert caught.value.code is code


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_is_not_made_a_refusal(step: str) -> None:
    """It goes up to where faults are counted."""
    books, fakes = _books()
    fakes[step].plan(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        _ask(books, step)


@pytest.mark.parametrize(
    "item",
    [
        *(SaleOrder, AnswerRecord, ReversalOrder, AdviceOrder, TotalsOrder, UndeliveredAnswer),
        *(Inquiry, LastAnswerInquiry, CutOverOrder, SalePost, SaleVoid),
    ],
)
def test_every_item_that_a_network_causes_is_known_as_its_own(item: type) -> None:
    """Batches are shared out by network, so an item that nobody is named for would stand in the line of all."""
    names = {field.name for field in fields(item)}
    made: Any = object.__new__(item)
    if "key" in names:
        object.__setattr__(made, "key", _KEY)
    elif "sale" in names:
        sale = object.__new__(ReservedSale)
        object.__setattr__(sale, "key", _KEY)
        object.__setattr__(made, "sale", sale)
    else:
        object.__setattr__(made, "acquirer_id", _KEY.acquirer_id)
    assert network_of(made) == "red"


def test_what_belongs_to_no_network_stands_in_a_line_of_its_own() -> None:
    """The resolver's look and the closing of days are the process's own work."""
    assert network_of(UnresolvedLook(sale_id=1)) == ""
