"""The worker process of a step: what travels, what it answers, and what happens when it dies."""

import dataclasses
import socket
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable, SchemaTooNew
from switch import ledger_worker, worker_codec
from switch.ledger_worker import Tariffs, WorkerSettings, run_batch, serve, with_known_schema
from switch.worker_codec import DONE, FAULT, UNAVAILABLE, UNKNOWN, dump, load
from vending import order
from vending.money import Centavos
from vending.order import OrderKind, RequestKey, SaleOrder
from vending.policy import SalePolicy
from vending.secret import Secret
from vending.tariff import TariffBook

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
POLICY = SalePolicy(minimum_paid_centavos=Centavos(1), maximum_paid_centavos=Centavos(10), cap_basis_points=None)


def _order(stan: str) -> SaleOrder:
    key = RequestKey(acquirer_id="a", terminal_id="T1", transmitted_at=NOW, stan=stan, message_class="0200")
    return SaleOrder(
        key=key,
        digest=b"d" * 32,
        kind=OrderKind.RECHARGE,
        service=None,
        meter_number="37000000002",
        paid_centavos=Centavos(5),
        rrn="r",
        request=b"octets",
        received_at=NOW,
    )


def _example(annotation: Any) -> Any:
    """Some value of a field's type."""
    examples = {int: 7, str: "x", bytes: b"y", bool: True, datetime: NOW, date: NOW.date()}
    if annotation in examples:
        return examples[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(iter(annotation))
    return ("nested", None)


TRAVELLING = [each for each in vars(order).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]


@pytest.mark.parametrize("cls", TRAVELLING, ids=lambda cls: cls.__name__)
def test_every_shape_between_the_packages_travels_unchanged(cls: Any) -> None:
    """Each frozen object of `vending.order` arrives equal to what was sent, and none falls back to the slow way."""
    made = object.__new__(cls)
    for each in dataclasses.fields(cls):
        object.__setattr__(made, each.name, _example(each.type))
    data = dump(made)
    assert load(data) == made
    if cls.__module__ == "vending.order":
        assert b"restore_" + cls.__name__.encode() in data


def test_a_secret_travels_and_stays_masked() -> None:
    """A PIN arrives whole, and its repr still shows nothing."""
    arrived = load(dump([Secret("12345678901234567890")]))
    assert arrived == [Secret("12345678901234567890")]
    assert "1234" not in repr(arrived)


def test_a_batch_is_done_item_by_item_in_order() -> None:
    """A good batch gives a result for each item."""
    assert run_batch(lambda items: [item * 2 for item in items], [1, 2]) == [(DONE, 2), (DONE, 4)]


def test_a_bad_item_harms_only_itself() -> None:
    """When a batch fails for a reason of its own each item is run alone."""

    def run(items: Sequence[int]) -> Sequence[int]:
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 2 for item in items]

    outcomes = run_batch(run, [1, 13, 2])
    assert outcomes[0] == (DONE, 2)
    assert outcomes[2] == (DONE, 4)
    kind, text = outcomes[1]
    assert kind == FAULT
    assert "thirteen" in text


@pytest.mark.parametrize(
    ("error", "kind"), [(LedgerUnavailable("gone"), UNAVAILABLE), (LedgerOutcomeUnknown("lost"), UNKNOWN)]
)
def test_a_database_that_fails_fails_everybody_once(error: Exception, kind: str) -> None:
    """An outage is not tried again item by item."""
    calls: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        calls.append(len(items))
        raise error

    assert run_batch(run, [1, 2, 3]) == [(kind, str(error))] * 3
    assert calls == [3]


def test_the_worker_answers_until_its_switch_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings first, then batch after batch; it ends when the socket does."""
    told: list[WorkerSettings] = []

    def steps(given_settings: WorkerSettings, _: object) -> dict[str, Any]:
        told.append(given_settings)
        return {"reserve": lambda items: [each.key.stan for each in items]}

    monkeypatch.setattr(ledger_worker, "steps", steps)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in (WorkerSettings(dsn="d", policy=POLICY), ("reserve", [_order("1"), _order("2")])):
            data = dump(message)
            ours.sendall(struct.pack("!I", len(data)) + data)
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, lambda: 0.0)
        assert told == [WorkerSettings(dsn="d", policy=POLICY)]
        (length,) = struct.unpack("!I", ours.recv(4))
        assert load(ours.recv(length)) == [(DONE, "1"), (DONE, "2")]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 7))
def test_frames_are_found_wherever_the_stream_is_cut(frames: list[bytes], step: int) -> None:
    """Length-prefixed frames come out whole, whatever pieces they came in."""
    stream = b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for start in range(0, len(stream), step):
            ours.sendall(stream[start : start + step])
        ours.close()
        reader = ledger_worker._Frames(theirs)
        assert [reader.read() for _ in frames] == frames
        assert reader.read() is None


def test_tariffs_are_read_again_when_old_and_kept_when_they_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published tariff is taken up within the interval; without a database the present ones stay."""
    books = [TariffBook([]), TariffBook([])]
    answers: list[Any] = [books[0], LedgerUnavailable("gone"), books[1]]

    def read(_: object) -> TariffBook:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, TariffBook)
        return answer

    monkeypatch.setattr(ledger_worker, "load_tariffs", read)
    now = [0.0]
    tariffs = Tariffs(object(), lambda: now[0])  # type: ignore[arg-type]
    assert tariffs.book() is books[0]
    assert tariffs.book() is books[0], "not read again at once"
    now[0] = ledger_worker.TARIFF_RELOAD_SECONDS + 1
    assert tariffs.book() is books[0], "the database is away"
    now[0] *= 3
    assert tariffs.book() is books[1]


def test_a_database_of_a_newer_program_is_not_touched() -> None:
    """Before its first batch a worker looks at the schema; what it does not know it leaves alone, and what it knows it asks once."""
    verdicts: list[Exception | None] = [SchemaTooNew("0099"), None]

    @cache
    def look() -> None:
        verdict = verdicts.pop(0)
        if verdict is not None:
            raise verdict

    done: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        done.extend(items)
        return items

    checked = with_known_schema(look, run)
    assert [kind for kind, _ in run_batch(checked, [1])] == [FAULT]
    assert done == []
    assert run_batch(checked, [2]) == [(DONE, 2)]
    assert run_batch(checked, [3]) == [(DONE, 3)]
    assert verdicts == []


def test_every_result_a_step_may_give_can_travel() -> None:
    """The unions of `vending.order` name only registered shapes."""
    for union in (order.ReserveResult, order.Posting, order.ReversalResult, order.AdviceResult):
        for cls in get_args(union):
            assert cls in worker_codec._TRAVELLING
