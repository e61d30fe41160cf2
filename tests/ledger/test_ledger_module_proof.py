"""Minted = sold = posted by id: a real module's records against real books, with planted faults named exactly."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ledger.check import COUNTERS_CHECK
from ledger.key_changes import add_register, set_successor
from ledger.module_proof import MINTED_CHECK, POSTED_CHECK, ModuleDays
from ledger.work_proof import WORK_CHECK
from messages.security_module import (
    FindMints,
    FindMintsReply,
    ListMints,
    ListMintsReply,
    MintRecord,
    Status,
    encode_request,
)
from security_module.ceremony import init
from security_module.engineering_records import TokenRequest
from security_module.layout import Layout
from security_module.mint_log import Candidate, MintLog
from security_module.registers import ModuleKeys
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.ledger.books import PLAIN, Books, post_of, void_of
from tests.ledger.test_ledger_adjustments import approve, propose
from tests.ledger.test_ledger_key_changes import with_tokens
from tests.security_module.conftest import ModuleProcess, SyncClient
from vending.adjustment import AdjustmentKind
from vending.calendar import local_date
from vending.engineering import EngineeringRequest, KeyChangeRequest
from vending.money import Tenths
from vending.order import ReservedSale
from vending.ports import MintRequest


@pytest.fixture
def module(tmp_path: Path) -> tuple[Path, ModuleKeys]:
    """A made module."""
    directory = tmp_path / "module"
    return directory, init(directory, seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))


class Clock:
    """The module's clock."""

    def __init__(self, now: datetime) -> None:
        self.now = now


@pytest.fixture
def clock() -> Clock:
    """Today: posted sales end on the clock of the database."""
    return Clock(datetime.now(UTC))  # noqa: TID251


@pytest.fixture
def log(tmp_path: Path, module: tuple[Path, ModuleKeys], clock: Clock) -> Iterator[MintLog]:
    """The module's log; its register takes any token identifier, because the books live on a day of their own."""
    with closing(MintLog(tmp_path / "mint.sqlite3", free(module[1]).vending, lambda: clock.now)) as opened:
        yield opened


def free(keys: ModuleKeys) -> ModuleKeys:
    return replace(keys, vending={each: replace(of, tid_window_minutes=None) for each, of in keys.vending.items()})


def request_of(sale: ReservedSale) -> MintRequest:
    """Ask for its tokens as the switch does."""
    return MintRequest(
        request_id=sale.sale_id,
        register_id=sale.meter.register_id,
        pan=sale.meter.pan,
        tariff_index=sale.meter.tariff_index,
        encryption_algorithm=sale.meter.encryption_algorithm,
        subclass=sale.meter.service.value,
        tokens=tuple((order.tid, order.units_tenths) for order in sale.token_orders),
        charged_centavos=sale.quote.charged_centavos,
    )


def mint(log: MintLog, *sales: ReservedSale) -> None:
    """Have the module mint them."""
    decisions = log.decide([Candidate(request=request_of(sale)) for sale in sales])
    assert [decision.status for decision in decisions] == [Status.OK] * len(sales)


def days_of(log: MintLog, *moments: datetime) -> ModuleDays:
    """Read what a check reads."""
    return ModuleDays(
        minted={day: log.mints_of(day, 0) for day in {local_date(each) for each in moments}},
        were_minted=lambda ids: [each for each, status in log.verdicts(ids) if status is Status.OK],
    )


def orphans(books: Books, days: ModuleDays) -> list[tuple[str, int, str | None]]:
    """Check, name and why of each difference."""
    found = books.check(module_days=days).differences
    return [
        (each["check"], each["request_id"], each.get("why"))
        for each in found
        if each["check"] in (MINTED_CHECK, POSTED_CHECK)
    ]


def test_what_was_minted_and_posted_agrees(books: Books, log: MintLog, clock: Clock) -> None:
    """Posted and reserved sales, and a sale that was refused before it was minted, leave no orphan."""
    sales = [books.reserve_one(books.order(meter)) for meter in (6, 7, 8)]
    mint(log, *sales[:2])
    books.post(post_of(sales[0]), void_of(sales[2]))
    assert orphans(books, days_of(log, clock.now)) == []


def test_planted_faults_are_named_exactly(books: Books, log: MintLog, clock: Clock) -> None:
    """A mint that nobody sold, one whose sale was voided, one of other content, one that was posted and never minted."""
    honest, void, other, unminted = (books.reserve_one(books.order(meter)) for meter in (6, 7, 8, 9))
    mint(log, honest, void)
    stolen = request_of(honest)
    planted = [
        replace(stolen, request_id=2**63 + 5),
        replace(stolen, request_id=999_999_999),
        replace(request_of(other), tokens=((1, Tenths(5)),)),
    ]
    log.decide([Candidate(request=each) for each in planted])
    books.post(post_of(honest), post_of(other), void_of(void), post_of(unminted))
    assert sorted(orphans(books, days_of(log, clock.now))) == [
        (MINTED_CHECK, void.sale_id, "void_sale"),
        (MINTED_CHECK, other.sale_id, "differs"),
        (MINTED_CHECK, 999_999_999, "no_sale"),
        (MINTED_CHECK, 2**63 + 5, "no_sale"),
        (POSTED_CHECK, unminted.sale_id, None),
    ]
    posted = "UPDATE sale SET state = 'posted', ended_at = now() WHERE id = :id"
    books.execute(posted, id=void.sale_id)
    assert (MINTED_CHECK, void.sale_id, "void_sale") not in orphans(books, days_of(log, clock.now))


def test_midnight_between_mint_and_post_is_no_orphan(books: Books, log: MintLog, clock: Clock) -> None:
    """Sums of the two days differ; ids do not."""
    sale = books.reserve_one(books.order())
    posted_at = clock.now
    clock.now -= timedelta(days=1)
    mint(log, sale)
    minted_at = clock.now
    books.post(post_of(sale))
    assert orphans(books, days_of(log, posted_at)) == []
    assert orphans(books, days_of(log, minted_at)) == []


def test_after_kill_of_the_module_in_mid_batch_the_orphans_are_those_that_were_recorded(
    books: Books, module: tuple[Path, ModuleKeys], tmp_path: Path
) -> None:
    """Sales whose outcome was unknown and that somebody voided by hand: exactly the minted ones are named."""
    directory, _keys = module
    sales = [books.reserve_one(books.order(meter)) for meter in (6, 7, 8, 9, 10, 11)]
    process = ModuleProcess(directory, tmp_path)
    now = datetime.now(UTC)  # noqa: TID251
    fresh = [_on_the_real_clock(sale, now) for sale in sales]
    with ExitStack() as stack:
        link = process.connect(stack, Layout(directory).client("switch"))
        link.connection.sendall(b"".join(encode_request(each.request_id, each) for each in fresh))
        link.read(1)
        process.end(signal.SIGKILL)
    process = ModuleProcess(directory, tmp_path)
    try:
        with ExitStack() as stack:
            auditor = process.connect(stack, Layout(directory).client("auditor"))
            minted = list(_listed(auditor, now))
            days = ModuleDays(minted={local_date(now): minted}, were_minted=_asker(auditor))
            assert orphans(books, days) == []
            books.execute("UPDATE sale SET state = 'void', ended_at = now() WHERE state = 'reserved'")
            assert sorted(orphans(books, days)) == [(MINTED_CHECK, each.request_id, "void_sale") for each in minted]
            assert minted
    finally:
        process.end()


def _on_the_real_clock(sale: ReservedSale, now: datetime) -> MintRequest:
    request = request_of(sale)
    tid = tid_at(now, BaseDate.Y2014)
    tokens = tuple((tid + index, units) for index, (_, units) in enumerate(request.tokens))
    return replace(request, tokens=tokens)


def _listed(auditor: SyncClient, now: datetime) -> Sequence[MintRecord]:
    reply = auditor.ask(ListMints(day=local_date(now), after_sequence=0))
    assert isinstance(reply, ListMintsReply)
    return reply.mints


def _asker(auditor: SyncClient) -> Callable[[Sequence[int]], list[int]]:
    def were_minted(ids: Sequence[int]) -> list[int]:
        reply = auditor.ask(FindMints(request_ids=tuple(ids)))
        assert isinstance(reply, FindMintsReply)
        return [each for each, status in reply.found if status is Status.OK]

    return were_minted


def work_orphans(books: Books, log: MintLog, day: date) -> list[tuple[int, str]]:
    """Check; id and why of each engineer's token that nobody approved, and of each key change posted and never made."""
    days = ModuleDays(
        minted={day: log.mints_of(day, 0)},
        were_minted=lambda ids: [each for each, status in log.verdicts(ids) if status is Status.OK],
        work={day: log.work_of(day, 0)},
    )
    found = books.check(module_days=days).differences
    return [(each["request_id"], each.get("why", each["check"])) for each in found if "request_id" in each]


def key_change_of(sale: ReservedSale) -> KeyChangeRequest:
    """Ask for the codes of its key change as the switch does."""
    change = sale.key_change
    assert change is not None
    return KeyChangeRequest(
        request_id=change.mint_id,
        from_register_id=change.from_register_id,
        to_register_id=sale.meter.register_id,
        pan=sale.meter.pan,
        from_tariff_index=change.from_tariff_index,
        to_tariff_index=sale.meter.tariff_index,
        encryption_algorithm=sale.meter.encryption_algorithm,
        sections=change.sections,
    )


def test_engineers_tokens_and_key_changes_are_compared_by_id(books: Books, log: MintLog, clock: Clock) -> None:
    """What two people approved and what came with a sale agrees; what nobody approved, or otherwise, is named by its id."""
    approved = approve(books, propose(books, AdjustmentKind.POWER_LIMIT, meter=PLAIN, value=3000))
    other = approve(books, propose(books, AdjustmentKind.POWER_LIMIT, meter=6, value=500))
    add_register(books.engine, 5, BaseDate.Y2014, "newer")
    set_successor(books.engine, 1, 5)
    sold, void, forged = (books.reserve_one(books.order(meter)) for meter in (7, 8, 9))
    assert approved.token is not None
    assert other.token is not None
    honest, limit = approved.token.request, other.token.request
    assert isinstance(honest, EngineeringRequest)
    assert isinstance(limit, EngineeringRequest)
    changes = [key_change_of(each) for each in (sold, void, forged)]
    asked: list[TokenRequest] = [honest, *changes[:2]]
    assert [each.status for each in log.decide([Candidate(request=each) for each in asked])] == [Status.OK] * 3
    mint(log, sold)
    books.post(with_tokens(sold), void_of(void))
    day = local_date(clock.now)
    assert work_orphans(books, log, day) == []
    planted: list[TokenRequest] = [
        replace(honest, request_id=2**63 + 5),
        replace(honest, request_id=999_999_999),
        replace(limit, value=30_000),
        replace(changes[2], from_register_id=2),
        replace(changes[0], request_id=999_999_998),
    ]
    assert [each.status for each in log.decide([Candidate(request=each) for each in planted])] == [Status.OK] * 5
    assert work_orphans(books, log, day) == [
        (2**63 + 5, "no_record"),
        (999_999_999, "no_record"),
        (limit.request_id, "differs"),
        (changes[2].request_id, "differs"),
        (999_999_998, "no_record"),
    ]
    books.execute("UPDATE adjustment SET state = 'rejected' WHERE id = :id", id=approved.adjustment_id)
    assert (honest.request_id, "not_approved") in work_orphans(books, log, day)


def test_a_key_change_that_was_posted_and_never_made_is_named(books: Books, log: MintLog, clock: Clock) -> None:
    """Its codes on the ticket are not the module's."""
    add_register(books.engine, 5, BaseDate.Y2014, "newer")
    set_successor(books.engine, 1, 5)
    sale = books.reserve_one(books.order(7))
    mint(log, sale)
    books.post(with_tokens(sale))
    assert work_orphans(books, log, local_date(clock.now)) == [(key_change_of(sale).request_id, POSTED_CHECK)]


def test_nothing_is_compared_when_nothing_was_read(books: Books) -> None:
    """And the report says so."""
    checks = {check.name: check.is_run for check in books.check().checks}
    assert [checks[name] for name in (COUNTERS_CHECK, MINTED_CHECK, WORK_CHECK, POSTED_CHECK)] == [False] * 4
