from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed

from config.switch import SwitchSection
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.log import Event
from switch.resolver import Resolver
from tests.switch.sale_bench import HANG, NOW, PIN, Bench, recharge
from vending.order import ReservedSale, SalePost, SaleVoid, UnresolvedLook
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import ResponseCode
from vending.secret import Secret

Lines = list[MutableMapping[str, Any]]
SECTION = SwitchSection(resolver_interval_seconds=5.0, resolver_age_seconds=15.0, resolver_sales_max=3)


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


class ResolverBench(Bench):
    """A bench with a resolver beside its exchange; what it finds is the reservations without an answer."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.looks: list[tuple[datetime | None, int]] = []
        self.found: Deferred[Sequence[ReservedSale]] | None = None
        self.resolver = Resolver(
            SECTION,
            exchanges={"banco": self.exchange},
            find=self._find,
            in_flight=self.in_flight,
            metrics=self.metrics,
            reactor=self.clock,
            now=lambda: self.now,
            monotonic=self.clock.seconds,
        )

    def _find(self, look: UnresolvedLook) -> Deferred[Sequence[ReservedSale]]:
        self.looks.append((look.reserved_before, look.sales_max))
        if self.found is not None:
            found, self.found = self.found, None
            return found
        return succeed([sale for key, sale in self.ledger.sales.items() if key not in self.ledger.answers])

    def leave_reserved(self, count: int = 1) -> list[ReservedSale]:
        """Make sales that end without a known outcome."""
        self.module.minting.plan(*[ModuleOutcomeUnknown("no reply")] * count)
        for number in range(count):
            sent = self.send(recharge(stan=f"{number + 1:06d}"))
            assert sent.code is ResponseCode.IN_PROGRESS
        self.module.minting.asked.clear()
        return list(self.ledger.sales.values())

    def resolve(self) -> bool:
        """Look once; whether it ended."""
        ended: list[None] = []
        ensureDeferred(self.resolver.resolve()).addCallback(ended.append)
        return bool(ended)

    def resolved(self, outcome: str) -> float:
        """Return how many ended so."""
        return self.registry.get_sample_value("eudora_resolved_total", {"outcome": outcome}) or 0.0


def test_a_reserved_sale_is_minted_by_the_same_id_and_posted(lines: Lines) -> None:
    """As if it had just arrived; the repeat finds its answer, signed and with the PIN."""
    bench = ResolverBench()
    (sale,) = bench.leave_reserved()
    lines.clear()
    assert bench.resolve()
    assert [asked.request_id for asked in bench.module.minting.asked] == [sale.sale_id]
    (posting,) = bench.ledger.postings
    assert isinstance(posting, SalePost)
    assert (posting.sale, posting.tokens) == (sale, [Secret(PIN)])
    (line,) = lines
    assert (line["event"], line["sale_id"], line["code"]) == (
        Event.SALE_RESOLVED,
        sale.sale_id,
        ResponseCode.APPROVED,
    )
    assert bench.resolved("approved") == 1
    again = bench.send(recharge("0201", stan="000001"))
    assert again.body == posting.answer
    assert again.is_signed
    assert again.message.text(62) == PIN


def test_old_and_few_are_asked_for() -> None:
    """A young reservation belongs to its own request, and a town's worth of them is taken up in parts."""
    bench = ResolverBench()
    bench.resolve()
    assert bench.looks == [(NOW - timedelta(seconds=15), 3)]


def test_a_second_look_does_nothing_more() -> None:
    """What is finished is not found; found by two at once, the first posting stays."""
    bench = ResolverBench()
    (sale,) = bench.leave_reserved()
    bench.resolve()
    assert bench.resolve()
    assert len(bench.ledger.postings) == 1
    stored = bench.ledger.answers[sale.key]
    bench.found = succeed([sale])
    assert bench.resolve()
    assert bench.ledger.answers[sale.key] is stored
    assert [asked.request_id for asked in bench.module.minting.asked] == [sale.sale_id] * 2


def test_a_sale_that_the_module_refuses_is_voided() -> None:
    """Its end is an end, too."""
    bench = ResolverBench()
    (sale,) = bench.leave_reserved()
    bench.module.minting.plan(ModuleRefused("17", "retired"))
    bench.resolve()
    (posting,) = bench.ledger.postings
    assert isinstance(posting, SaleVoid)
    assert posting.sale is sale
    assert bench.resolved("module_refused") == 1


def test_a_sale_in_flight_is_left_to_its_own_request() -> None:
    """Slow is not lost."""
    bench = ResolverBench()
    bench.module.minting.plan(HANG)
    sent = bench.send(recharge())
    assert bench.resolve()
    assert len(bench.module.minting.asked) == 1
    bench.module.minting.release()
    assert sent.code is ResponseCode.APPROVED


@pytest.mark.parametrize(
    ("error", "outcome", "event"),
    [
        (ModuleUnavailable("no link"), "waiting", Event.SALE_OUTCOME_UNKNOWN),
        (ModuleOutcomeUnknown("no reply"), "waiting", Event.SALE_OUTCOME_UNKNOWN),
        (RuntimeError("planted"), "failed", Event.RESOLVER_FAILED),
    ],
    ids=repr,
)
def test_one_sale_that_cannot_be_finished_does_not_keep_the_others(
    error: Exception, outcome: str, event: Event, lines: Lines
) -> None:
    """It is found again at the next look."""
    bench = ResolverBench()
    one, two, three = bench.leave_reserved(3)
    bench.module.minting.plan([Secret(PIN)], error)
    lines.clear()
    assert bench.resolve()
    assert set(bench.ledger.answers) == {one.key, three.key}
    assert (bench.resolved("approved"), bench.resolved(outcome)) == (2, 1)
    assert [line["sale_id"] for line in lines if line["event"] is event] == [two.sale_id]
    bench.resolve()
    assert two.key in bench.ledger.answers


def test_a_sale_of_a_network_that_is_not_configured_waits(lines: Lines) -> None:
    """It is reported, and nothing is minted without knowing how to answer."""
    bench = ResolverBench()
    (sale,) = bench.leave_reserved()
    lines.clear()
    bench.found = succeed([replace(sale, key=replace(sale.key, acquirer_id="gone"))])
    assert bench.resolve()
    assert bench.module.minting.asked == []
    assert bench.resolved("no_exchange") == 1
    assert [line["event"] for line in lines] == [Event.RESOLVER_FAILED]


def test_a_request_that_cannot_be_read_any_more_is_a_fault(lines: Lines) -> None:
    """It once was served, so somebody must look."""
    bench = ResolverBench()
    (sale,) = bench.leave_reserved()
    lines.clear()
    bench.found = succeed([replace(sale, request=sale.request[:-20])])
    assert bench.resolve()
    assert bench.resolved("failed") == 1
    assert bench.ledger.postings == []
    assert "cannot be read any more" in lines[0]["failure"]


def test_how_many_wait_and_for_how_long_is_shown() -> None:
    """The alarm of an operator; zero when there is nothing."""
    bench = ResolverBench()
    bench.leave_reserved(2)
    bench.module.minting.plan(ModuleUnavailable("no link"), ModuleUnavailable("no link"))
    bench.now = NOW + timedelta(seconds=40)
    bench.resolve()
    value = bench.registry.get_sample_value
    assert value("eudora_unresolved") == 2
    assert value("eudora_unresolved_oldest_seconds") == 40
    bench.resolve()
    bench.resolve()
    assert (value("eudora_unresolved"), value("eudora_unresolved_oldest_seconds")) == (0, 0)


def test_it_looks_at_start_and_then_every_interval_one_look_at_a_time() -> None:
    """A look that takes long delays the next; after the stop there is none."""
    bench = ResolverBench()
    slow: Deferred[Sequence[ReservedSale]] = Deferred()
    bench.found = slow
    bench.resolver.start()
    assert len(bench.looks) == 1
    bench.wait(20.0)
    assert len(bench.looks) == 1
    slow.callback([])
    bench.wait(10.1)
    assert len(bench.looks) == 3
    bench.resolver.stop()
    bench.resolver.stop()
    bench.wait(20.0)
    assert len(bench.looks) == 3
    assert bench.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (LedgerUnavailable("no server"), "warning"),
        (LedgerOutcomeUnknown("lost"), "warning"),
        (RuntimeError("planted"), "error"),
    ],
    ids=repr,
)
def test_a_look_that_fails_is_logged_and_the_next_one_comes(error: Exception, level: str, lines: Lines) -> None:
    """A database that is away for an hour must not end the resolver for ever."""
    bench = ResolverBench()
    bench.leave_reserved()
    lines.clear()
    bench.found = fail(error)
    bench.resolver.start()
    assert [(line["event"], line["log_level"]) for line in lines] == [(Event.RESOLVER_FAILED, level)]
    bench.wait(5.1)
    assert bench.resolved("approved") == 1
    bench.resolver.stop()


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_network_is_told_of_what_the_resolver_finished_if_it_wants_that(is_wanted: bool) -> None:
    """Nobody waits for that answer; the notice is written with the post, and with a void just so."""
    bench = ResolverBench(**({"notices": {"kinds": ["outcome"], "over_their_links": True}} if is_wanted else {}))
    bench.leave_reserved(2)
    bench.module.minting.plan(ModuleRefused("17", "retired"))
    assert bench.resolve()
    ended = [item for item in bench.ledger.post.asked if isinstance(item, SalePost | SaleVoid)]
    assert {type(item) for item in ended} == {SalePost, SaleVoid}
    assert {item.is_told for item in ended} == {is_wanted}
