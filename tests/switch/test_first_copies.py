"""A second copy of a frame that the line made or held back: it is not sold after a refusal, and not refused after a sale."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.errors import LedgerUnavailable
from switch.first_copies import REFUSED_SECONDS, SERVED_SECONDS, FirstCopies
from switch.recharge import BUSY_RETRY_SECONDS
from tests.switch.sale_bench import DEADLINE_SECONDS, Bench, recharge, reversal
from vending.order import Busy, RequestKey
from vending.ports import ModuleUnavailable
from vending.response_code import Refusal, ResponseCode

KEY = RequestKey(
    acquirer_id="banco",
    terminal_id="T1",
    transmitted_at=datetime(2026, 11, 23, tzinfo=UTC),
    stan="000001",
    message_class="0200",
)
AWAY = Refusal(ResponseCode.LEDGER_UNAVAILABLE, "away")
BUSY = Refusal(ResponseCode.METER_BUSY, "busy")

BUSY_ASKS = 4 + round(DEADLINE_SECONDS / 2 / BUSY_RETRY_SECONDS)
"""A little more often than the ledger is asked for a meter that another process holds before the sale is refused."""


class Clock:
    """A clock that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _told(copies: FirstCopies, key: RequestKey = KEY, *, digest: bytes = b"d", is_repeat: bool = False) -> str | None:
    try:
        copies.meet(key, digest, is_repeat=is_repeat)
    except Refusal as refusal:
        return refusal.code.value
    return None


def _never() -> None:
    pytest.fail("nothing had to be forgotten before its time")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(clock: Clock) -> FirstCopies:
    return FirstCopies(clock, _never)


# The memory.


def test_a_plain_copy_is_told_what_its_first_was_told(copies: FirstCopies, clock: Clock) -> None:
    """The same code, for as long as a frame can be on its way, and then no longer."""
    assert _told(copies) is None
    assert copies.refuse(KEY, b"d", AWAY) is AWAY
    clock.seconds = REFUSED_SECONDS - 1
    assert _told(copies) == "ledger_unavailable"
    clock.seconds = REFUSED_SECONDS
    assert _told(copies) is None


def test_what_was_told_first_stays(copies: FirstCopies, clock: Clock) -> None:
    """Neither another reason later nor another copy makes it longer or different: the terminal heard the first."""
    copies.refuse(KEY, b"d", AWAY)
    clock.seconds = 5.0
    copies.refuse(KEY, b"d", BUSY)
    assert _told(copies) == "ledger_unavailable"
    clock.seconds = REFUSED_SECONDS
    assert _told(copies) is None


def test_a_repeat_is_served_and_takes_the_refusal_back(copies: FirstCopies) -> None:
    """It says that its terminal does not know; from then on the journal answers the copies."""
    copies.refuse(KEY, b"d", AWAY)
    assert _told(copies, is_repeat=True) is None
    assert _told(copies) is None


@pytest.mark.parametrize("is_repeat", [False, True])
def test_other_content_under_the_same_key_is_not_our_business(copies: FirstCopies, *, is_repeat: bool) -> None:
    """The journal answers it, and what the first was told stays."""
    copies.refuse(KEY, b"d", AWAY)
    assert _told(copies, digest=b"other", is_repeat=is_repeat) is None
    assert _told(copies) == "ledger_unavailable"


def test_another_key_is_another_request(copies: FirstCopies) -> None:
    """A terminal that tries again with a new trace number is served."""
    copies.refuse(KEY, b"d", AWAY)
    assert _told(copies, replace(KEY, stan="000002")) is None


def test_what_was_served_is_not_refused_a_minute_long(copies: FirstCopies, clock: Clock) -> None:
    """It may be sold: a copy that meets trouble gets the answer that is not final, and nothing is noted as refused."""
    copies.serve(KEY)
    clock.seconds = SERVED_SECONDS - 1
    assert copies.refuse(KEY, b"d", AWAY).code is ResponseCode.IN_PROGRESS
    assert _told(copies) is None
    clock.seconds = SERVED_SECONDS
    assert copies.refuse(KEY, b"d", AWAY) is AWAY


def test_what_is_served_again_is_kept_from_then_on(copies: FirstCopies, clock: Clock) -> None:
    """The minute begins with the last time."""
    copies.serve(KEY)
    clock.seconds = SERVED_SECONDS - 1
    copies.serve(KEY)
    clock.seconds += SERVED_SECONDS - 1
    assert copies.refuse(KEY, b"d", AWAY).code is ResponseCode.IN_PROGRESS
    assert len(copies) == 1


class Memory(RuleBasedStateMachine):
    """The memory beside lists that are searched from end to end: the same answers, and never more than its limit."""

    COPIES_MAX = 4

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.gone = 0
        self.copies = FirstCopies(self.clock, self._went, copies_max=self.COPIES_MAX)
        self.refused: list[tuple[RequestKey, bytes, ResponseCode, float]] = []
        self.served: list[tuple[RequestKey, float]] = []

    def _went(self) -> None:
        self.gone += 1

    keys = st.integers(0, 7).map(lambda number: replace(KEY, stan=f"{number:06}"))
    digests = st.sampled_from([b"a", b"a", b"b"])

    @rule(seconds=st.sampled_from([0.0, 1.0, SERVED_SECONDS / 2, SERVED_SECONDS, REFUSED_SECONDS / 2]))
    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(key=keys)
    def serve(self, key: RequestKey) -> None:
        self.copies.serve(key)
        now = self.clock.seconds
        alive = [each for each in self.served if each[1] > now and each[0] != key]
        self.served = [*alive[-(self.COPIES_MAX - 1) :], (key, now + SERVED_SECONDS)]

    @rule(key=keys, digest=digests, refusal=st.sampled_from([AWAY, BUSY]))
    def refuse(self, key: RequestKey, digest: bytes, refusal: Refusal) -> None:
        now = self.clock.seconds
        told = self.copies.refuse(key, digest, refusal)
        if any(each == key and until > now for each, until in self.served):
            assert told.code is ResponseCode.IN_PROGRESS
            return
        assert told is refusal
        self.refused = [each for each in self.refused if each[3] > now]
        if key not in [each[0] for each in self.refused]:
            alive = self.refused[-(self.COPIES_MAX - 1) :]
            self.refused = [*alive, (key, digest, refusal.code, now + REFUSED_SECONDS)]

    @rule(key=keys, digest=digests, is_repeat=st.booleans())
    def meet(self, key: RequestKey, digest: bytes, *, is_repeat: bool) -> None:
        found = [each for each in self.refused if each[:2] == (key, digest)]
        expected = [code.value for _, _, code, until in found if until > self.clock.seconds and not is_repeat]
        assert _told(self.copies, key, digest=digest, is_repeat=is_repeat) == (expected[0] if expected else None)
        if is_repeat:
            self.refused = [each for each in self.refused if each not in found]

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.copies) <= 2 * self.COPIES_MAX


TestMemory = Memory.TestCase


@given(st.lists(st.integers(0, 40), max_size=60))
def test_what_had_to_go_before_its_time_is_counted(numbers: list[int]) -> None:
    """So that an operator sees when the limit is too small."""
    gone: list[int] = []
    copies = FirstCopies(Clock(), lambda: gone.append(1), copies_max=8)
    for number in numbers:
        copies.serve(replace(KEY, stan=f"{number:06}"))
    assert len(copies) <= 8
    assert (len(gone) > 0) == (len(set(numbers)) > 8)


# In the exchange.


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (lambda bench: bench.ledger.reserve.plan(LedgerUnavailable("away")), ResponseCode.LEDGER_UNAVAILABLE),
        (lambda bench: bench.ledger.reserve.plan(*[Busy(meter_id=1)] * BUSY_ASKS), ResponseCode.METER_BUSY),
    ],
    ids=["ledger", "meter"],
)
def test_a_copy_of_a_refused_sale_is_not_sold(plan: Callable[[Bench], None], code: ResponseCode) -> None:
    """The customer was told no; the copy that comes when all is well again is told the same, signed. A new sale is sold."""
    bench = Bench()
    plan(bench)
    first = bench.send(recharge())
    bench.wait(10.0)
    assert first.code is code
    copy = bench.send(recharge())
    assert copy.code is code
    assert copy.is_signed
    assert bench.ledger.sales == {}
    other = bench.send(recharge(stan="000099"))
    bench.wait(1.0)
    assert other.code is ResponseCode.APPROVED


def test_the_repeat_of_a_refused_sale_is_sold_and_so_answers_its_copies() -> None:
    """Its terminal does not know what the first was told; after it the journal has the answer, for every copy."""
    bench = Bench()
    bench.ledger.reserve.plan(LedgerUnavailable("away"))
    assert bench.send(recharge()).code is ResponseCode.LEDGER_UNAVAILABLE
    repeat = bench.send(recharge("0201"))
    assert repeat.code is ResponseCode.APPROVED
    assert bench.send(recharge()).body == repeat.body
    assert len(bench.ledger.sales) == 1


def test_a_copy_of_a_sold_request_is_not_told_that_nothing_was_taken() -> None:
    """Its answer may be lost: the copy that meets a database that is away gets the answer that is not final."""
    bench = Bench()
    assert bench.send(recharge()).code is ResponseCode.APPROVED
    bench.ledger.reserve.plan(LedgerUnavailable("away"))
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.send(recharge("0201")).code is ResponseCode.APPROVED


def test_a_copy_of_a_refused_reversal_gives_no_money_back() -> None:
    """A terminal that was told that its reversal failed has not given its customer the money."""
    bench = Bench()
    bench.ledger.find_original.plan(LedgerUnavailable("away"))
    assert bench.send(reversal()).code is ResponseCode.LEDGER_UNAVAILABLE
    assert bench.send(reversal()).code is ResponseCode.LEDGER_UNAVAILABLE
    assert bench.send(reversal("0401")).code is ResponseCode.ORIGINAL_NOT_FOUND


def test_only_an_authentic_refusal_is_remembered() -> None:
    """Where nobody could look at the MAC the terminal takes the answer as none, and anybody could have sent the request."""
    bench = Bench()
    bench.module.verifying.plan(ModuleUnavailable("no link"))
    first = bench.send(recharge())
    assert first.code is ResponseCode.MODULE_UNAVAILABLE
    assert not first.is_signed
    assert bench.send(recharge()).code is ResponseCode.APPROVED
