from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from switch.answered import Answered
from switch.in_flight import REPEATS_WAITING_MAX, InFlight
from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode

KEY = RequestKey(
    acquirer_id="banco",
    terminal_id="T1",
    transmitted_at=datetime(2026, 11, 23, tzinfo=UTC),
    stan="000001",
    message_class="0200",
)
ANSWERED = Answered(code=ResponseCode.APPROVED, body=b"answer")


def _waiting(table: InFlight) -> Deferred[Answered]:
    waiting = table.begin(KEY, b"digest")
    assert isinstance(waiting, Deferred)
    return waiting


def test_the_first_begins_and_is_there_until_it_ends() -> None:
    """The key is taken for as long as the work lasts, and free afterwards."""
    table = InFlight()
    assert table.begin(KEY, b"digest") is None
    assert KEY in table
    assert len(table) == 1
    table.end(KEY, ANSWERED)
    assert KEY not in table
    assert table.begin(KEY, b"other") is None


@pytest.mark.parametrize("field", ["acquirer_id", "terminal_id", "stan", "message_class"])
def test_every_part_of_the_key_counts(field: str) -> None:
    """Two terminals, two trace numbers, a sale and its reversal do not wait for each other."""
    table = InFlight()
    assert table.begin(KEY, b"digest") is None
    changes: dict[str, Any] = {field: "x"}
    assert table.begin(replace(KEY, **changes), b"digest") is None
    assert len(table) == 2


def test_every_repeat_gets_the_answer_of_the_first_marked_as_a_repeat() -> None:
    """All of them, at the moment the first ends."""
    table = InFlight()
    table.begin(KEY, b"digest")
    results: list[Answered] = []
    for _ in range(REPEATS_WAITING_MAX):
        _waiting(table).addCallback(results.append)
    assert results == []
    table.end(KEY, ANSWERED)
    assert results == [replace(ANSWERED, is_repeat=True)] * REPEATS_WAITING_MAX


def test_an_end_without_an_answer_is_not_final_for_the_repeats() -> None:
    """They are told to come again."""
    table = InFlight()
    table.begin(KEY, b"digest")
    waiting = _waiting(table)
    table.end(KEY, None)
    results: list[object] = []
    waiting.addBoth(results.append)
    (failure,) = results
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, Refusal)
    assert failure.value.code is ResponseCode.IN_PROGRESS


def test_other_content_and_too_many_repeats_are_refused() -> None:
    """Neither changes what is in flight, and only the first refusal is final."""
    table = InFlight()
    table.begin(KEY, b"digest")
    waiting = [_waiting(table) for _ in range(REPEATS_WAITING_MAX)]
    with pytest.raises(Refusal) as conflict:
        table.begin(KEY, b"other")
    assert conflict.value.code is ResponseCode.DUPLICATE_CONFLICT
    with pytest.raises(Refusal) as overflow:
        table.begin(KEY, b"digest")
    assert overflow.value.code is ResponseCode.IN_PROGRESS
    table.end(KEY, ANSWERED)
    assert all(repeat.called for repeat in waiting)
