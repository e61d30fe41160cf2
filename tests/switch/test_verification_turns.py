"""Networks take turns at the security module: what one has asked for does not hold up the others."""

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from switch.verification_turns import PLACES, WAIT_SECONDS_MAX, InTurn, Turns, VerificationTurns
from vending.ports import MacKey, MacMismatch, MacScheme, ModuleUnavailable

KEY = MacKey(register_id=1, scheme=MacScheme.X9_19, diversifier="")


class Module:
    """A module that answers in the order in which it was asked, when it is told to."""

    def __init__(self) -> None:
        self.asked: deque[tuple[bytes, Deferred[None]]] = deque()
        self.timeouts: list[float | None] = []
        self.most_asked = 0

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """Take one."""
        answer: Deferred[None] = Deferred()
        self.asked.append((data, answer))
        self.timeouts.append(timeout_seconds)
        self.most_asked = max(self.most_asked, len(self.asked))
        return answer

    mint = change_key = generate_mac = verify_mac

    def answer(self, error: Exception | None = None) -> bytes:
        """Answer the oldest."""
        data, answer = self.asked.popleft()
        if error is None:
            answer.callback(None)
        else:
            answer.errback(error)
        return data


class Bench:
    """Networks that share a module."""

    def __init__(self, places: int = PLACES) -> None:
        self.clock = Clock()
        self.module = Module()
        self.turns = VerificationTurns(places)
        self.waits: Counter[str] = Counter()
        self.ended: list[tuple[str, object]] = []

    def ask(self, network: str, *, timeout_seconds: float | None = None) -> None:
        """Have a MAC of *network* looked at."""
        module = InTurn(
            self.module,  # type: ignore[arg-type]
            self.turns,
            network=network,
            now=self.clock.seconds,
            count_wait=lambda: self.waits.update([network]),
        )
        asked = module.verify_mac(KEY, network.encode(), b"", timeout_seconds=timeout_seconds)
        ensureDeferred(asked).addBoth(lambda outcome: self.ended.append((network, outcome)))


def test_a_flood_of_one_network_holds_up_anothers_request_by_what_is_under_way_and_no_more() -> None:
    """However many wait of the one, the other's is looked at after those under way and one more: networks take turns."""
    bench = Bench()
    for _ in range(4096):
        bench.ask("flood")
    assert bench.module.most_asked == PLACES
    bench.ask("quiet")
    served = [bench.module.answer(MacMismatch()) for _ in range(PLACES + 2)]
    assert served == [b"flood"] * (PLACES + 1) + [b"quiet"]
    assert bench.waits == {"flood": 4096 - PLACES, "quiet": 1}
    assert bench.module.most_asked == PLACES


def test_nobody_waits_while_there_is_a_place_and_every_place_comes_back() -> None:
    """Right, wrong or unknown, an answer gives the place to the next."""
    bench = Bench(places=2)
    for outcome in (None, MacMismatch(), ModuleUnavailable(), None):
        bench.ask("red")
        bench.ask("red")
        assert not bench.waits
        bench.module.answer(outcome)
        bench.module.answer(outcome)
    assert len(bench.ended) == 8
    assert not bench.module.asked


@pytest.mark.parametrize(("timeout_seconds", "most_seconds"), [(0.5, 0.5), (None, WAIT_SECONDS_MAX)])
def test_whose_turn_comes_too_late_is_not_sent(timeout_seconds: float | None, most_seconds: float) -> None:
    """Nobody waits for it any more; its place is the next one's at once, however many are late."""
    bench = Bench(places=1)
    bench.ask("red")
    for _ in range(5000):
        bench.ask("red", timeout_seconds=timeout_seconds)
    bench.ask("red", timeout_seconds=9.0)
    bench.clock.advance(most_seconds)
    bench.module.answer()
    outcomes = Counter(outcome.type if isinstance(outcome, Failure) else outcome for _, outcome in bench.ended)
    assert outcomes == {None: 1, ModuleUnavailable: 5000}
    assert len(bench.module.asked) == 1
    assert bench.module.timeouts[-1] == 9.0 - most_seconds


@given(st.lists(st.one_of(st.sampled_from("abc"), st.none()), max_size=200), st.integers(1, 5))
def test_whatever_comes_places_are_kept_and_turns_are_fair(happenings: list[str | None], places: int) -> None:
    """Never more under way than places, none idle while somebody waits, in order within a network, and nobody is passed over twice."""
    turns: Turns[int] = Turns(places)
    under_way = 0
    waiting: dict[str, deque[int]] = {name: deque() for name in "abc"}
    passed_over: Counter[str] = Counter()
    for number, name in enumerate(happenings):
        if name is not None and turns.begin():
            assert not any(waiting.values())
            under_way += 1
        elif name is not None:
            turns.wait(name, number)
            waiting[name].append(number)
        elif under_way:
            next_one = turns.end()
            (got,) = [each for each, items in waiting.items() if items and items[0] == next_one] or [""]
            assert bool(got) is any(waiting.values())
            if not got:
                under_way -= 1
                continue
            waiting[got].popleft()
            passed_over[got] = 0
            passed_over.update(each for each, items in waiting.items() if items and each != got)
            assert max(passed_over.values(), default=0) <= len(waiting) - 1
        assert under_way <= places
