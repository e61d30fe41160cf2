"""Two modules behind one ledger: what both minted is one sale, and what an absent one minted is never taken as proved."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.check import ANSWERED_CHECK, COUNTERS_CHECK, CheckReport
from ledger.module_proof import MINTED_CHECK, POSTED_CHECK
from ledger.several_modules import ModuleReport, join
from messages.security_module import Status
from security_module.ceremony import init
from security_module.mint_log import Candidate, MintLog
from security_module.minting import Mint
from security_module.registers import ModuleKeys
from sts.tables import PRODUCTION, load_tables
from tests.ledger.books import Books, post_of, void_of
from tests.ledger.test_ledger_module_proof import Clock, days_of, free, mint, request_of

A, B = "a:7300", "b:7300"


@pytest.fixture
def keys(tmp_path: Path) -> ModuleKeys:
    """Of both modules; their registers take any token identifier, because the books live on a day of their own."""
    return free(init(tmp_path / "module", seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.fixture
def clock() -> Clock:
    """Today, of both modules."""
    return Clock(datetime.now(UTC))  # noqa: TID251


@pytest.fixture
def logs(tmp_path: Path, keys: ModuleKeys, clock: Clock) -> Iterator[dict[str, MintLog]]:
    """The logs of two modules with the same keys, which know nothing of each other."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                closing(MintLog(tmp_path / f"{name[0]}.sqlite3", keys.vending, lambda: clock.now))
            )
            for name in (A, B)
        }


def prove(books: Books, logs: dict[str, MintLog], *moments: datetime, away: tuple[str, ...] = ()) -> CheckReport:
    """Check the books against those modules that are there."""
    reports = {
        name: ModuleReport(counters={count.register_id: count for count in log.counts()}, days=days_of(log, *moments))
        for name, log in logs.items()
        if name not in away
    }
    counters, days, several = join(reports, dict.fromkeys(away, "no answer"))
    return books.check(counters=counters, module_days=days, several=several)


def failed(report: CheckReport) -> set[str]:
    """Names of the checks that do not agree."""
    return {check.name for check in report.checks if not check.agree}


def test_a_sale_minted_by_both_is_counted_once(books: Books, logs: dict[str, MintLog], clock: Clock) -> None:
    """In mid-batch the first module fell: some sales are in its log only, some in the other's only, some in both."""
    sales = [books.reserve_one(books.order(meter)) for meter in (6, 7, 8, 9)]
    mint(logs[A], *sales[:3])
    mint(logs[B], *sales[1:])
    books.post(*(post_of(sale) for sale in sales[:3]))
    assert failed(prove(books, logs, clock.now)) == set()
    counted = {name: sum(count.tokens for count in log.counts()) for name, log in logs.items()}
    assert counted[A] + counted[B] == books.value("SELECT count(*) FROM token") + 2


def test_both_modules_give_the_same_digits(books: Books, keys: ModuleKeys) -> None:
    """The digits are a function of the keys and the request, so it does not matter which of them printed."""
    first, second = (Mint(keys.vending, load_tables(PRODUCTION)) for _ in range(2))
    request = replace(request_of(books.reserve_one(books.order())), pan="600727000000000009")
    digits = [[each.reveal() for each in module.tokens(request)] for module in (first, second)]
    assert digits[0] == digits[1]
    assert digits[0]


def test_counted_twice_does_not_hide_a_sale_that_nobody_minted(
    books: Books, logs: dict[str, MintLog], clock: Clock
) -> None:
    """The sums alone would agree: one sale too much in the counters, one too little."""
    both, unminted = (books.reserve_one(books.order(meter)) for meter in (6, 7))
    mint(logs[A], both)
    mint(logs[B], both)
    books.post(post_of(both), post_of(unminted))
    report = prove(books, logs, clock.now)
    assert failed(report) == {COUNTERS_CHECK, POSTED_CHECK}
    (counters,) = [each for each in report.differences if each["check"] == COUNTERS_CHECK]
    assert (counters["minted_tokens"], counters["posted_tokens"], counters["minted_again_tokens"]) == (1, 2, 1)
    assert [each["request_id"] for each in report.differences if each["check"] == POSTED_CHECK] == [unminted.sale_id]


def test_an_orphan_is_named_once_with_the_modules_that_minted_it(
    books: Books, logs: dict[str, MintLog], clock: Clock
) -> None:
    """Minted by both, on two sides of midnight, and voided by hand."""
    void, honest = (books.reserve_one(books.order(meter)) for meter in (6, 7))
    mint(logs[B], honest)
    mint(logs[B], void)
    midnight, clock.now = clock.now, clock.now + timedelta(days=1)
    mint(logs[A], void)
    books.post(void_of(void), post_of(honest))
    report = prove(books, logs, midnight, clock.now)
    assert [
        (each["request_id"], each["why"], each["modules"])
        for each in report.differences
        if each["check"] == MINTED_CHECK
    ] == [(void.sale_id, "void_sale", [A, B])]
    assert COUNTERS_CHECK in failed(report)


def test_the_same_id_with_other_content_in_each_module_is_a_difference(
    books: Books, logs: dict[str, MintLog], clock: Clock
) -> None:
    """Nobody but a broken switch asks so; the module whose token was not sold is named by its number."""
    sale = books.reserve_one(books.order())
    mint(logs[A], sale)
    right = request_of(sale)
    ((tid, units),) = right.tokens
    other = type(right)(
        request_id=right.request_id,
        register_id=right.register_id,
        pan=right.pan,
        tariff_index=right.tariff_index,
        encryption_algorithm=right.encryption_algorithm,
        subclass=right.subclass,
        tokens=((tid, type(units)(units + 1)),),
    )
    assert [each.status for each in logs[B].decide([Candidate(request=other)])] == [Status.OK]
    books.post(post_of(sale))
    report = prove(books, logs, clock.now)
    assert failed(report) == {COUNTERS_CHECK, MINTED_CHECK}
    (named,) = [each for each in report.differences if each["check"] == MINTED_CHECK]
    assert (named["why"], named["minted_units_tenths"], named["sold_units_tenths"]) == ("differs", units + 1, units)


def test_while_one_is_away_nothing_agrees_and_nothing_is_called_an_orphan_for_that(
    books: Books, logs: dict[str, MintLog], clock: Clock
) -> None:
    """What the absent module minted is not known; what the other one minted without a sale still is."""
    first, second, void = (books.reserve_one(books.order(meter)) for meter in (6, 7, 8))
    mint(logs[A], first)
    mint(logs[B], second)
    books.post(post_of(first), post_of(second))
    report = prove(books, logs, clock.now, away=(B,))
    assert not report.agree
    assert report.differences == ({"check": ANSWERED_CHECK, "module": B, "why": "no answer"},)
    assert not {check.name: check.is_run for check in report.checks}[POSTED_CHECK]
    mint(logs[A], void)
    books.post(void_of(void))
    named = [each for each in prove(books, logs, clock.now, away=(B,)).differences if each["check"] == MINTED_CHECK]
    assert [each["request_id"] for each in named] == [void.sale_id]
