"""Whole runs under seeds: nothing may be lost, sold twice or left open, and a broken rule must be found."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

import acquirers.iso1987_requests
import ledger.reversal
import switch.recharge
import switch.steps
from ledger import journal
from ledger.embedded import EmbeddedPostgres
from switch.first_copies import FirstCopies
from tests.conftest import RANDOM_SEEDS_VARIABLE, TEMPLATE
from tests.simulation.faults import CALM, ROUGH, CrashPoint
from tests.simulation.run import Report, simulate
from vending.order import Posted, RequestKey, ReversalOrder
from vending.ports import ModuleOutcomeUnknown, ModuleRefused
from vending.response_code import ResponseCode

SALES = 120
FIXED_SEEDS = (1, 2, 3, 4, 5, 6)
RANDOM_SEEDS = [int(seed) for seed in os.environ[RANDOM_SEEDS_VARIABLE].split()]
MUTANT_SEEDS = range(1, 9)

STORM = replace(
    ROUGH,
    crash=0.01,
    frame_lost=0.05,
    frame_twice=0.3,
    ledger_away=0.1,
    ledger_unknown=0.05,
    module_answer_lost=0.03,
    disturbance_seconds=20,
)
"""Mistakes show where much goes wrong."""

Run = Callable[..., Report]


@pytest.fixture
def run(postgres_server: EmbeddedPostgres) -> Run:
    """Runs one seed in a database of its own."""

    def run_one(seed: int, sales: int = SALES) -> Report:
        return simulate(seed, sales, server=postgres_server, template=TEMPLATE)

    return run_one


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_nothing_is_lost_and_nothing_is_sold_twice(run: Run, seed: int) -> None:
    """After crashes, outages, clock steps and a bad line, terminals, ledger and module agree."""
    report = run(seed)
    assert not report.violations, str(report)
    assert report.begun == SALES
    assert report.found.posted > 0, "nothing was sold, so nothing was proved"


@pytest.mark.parametrize("seed", RANDOM_SEEDS)
def test_seeds_that_nobody_chose(run: Run, seed: int) -> None:
    """Every run of the tests looks somewhere new; its first lines say where, so that a failure can be seen again."""
    report = run(seed)
    assert not report.violations, str(report)


def test_a_seed_decides_everything(run: Run) -> None:
    """The same seed gives the same run to the last line of its trace; another seed gives another."""
    first, again, other = run(7, 40), run(7, 40), run(8, 40)
    assert first.trace == again.trace
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (first.faults, first.found) == (again.faults, again.found)


def test_a_run_without_faults_sells_everything_and_injects_none(run: Run, postgres_server: EmbeddedPostgres) -> None:
    """What the faulty runs are measured against: no fault is counted, nothing is voided, every request is answered in first form."""
    report = simulate(11, 40, server=postgres_server, template=TEMPLATE, weather=replace(CALM))
    assert not report.violations, str(report)
    assert not [name for name in report.faults if not name.startswith(("reversal", "terminal"))]
    assert report.found.void == 0


def _answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    async def post(self: switch.steps.Books, posting: Any) -> Posted:
        written: Deferred[Posted] = self._post.submit(posting)
        written.addErrback(lambda _: None)
        return Posted(answer=posting.answer, code=getattr(posting, "code", ResponseCode.APPROVED))

    patch.setattr(switch.steps.Books, "post", post)


def _take_a_repeat_for_a_new_request(patch: pytest.MonkeyPatch) -> None:
    key_of = acquirers.iso1987_requests._key

    def forgetful(message: Any, *arguments: Any) -> RequestKey:
        return replace(key_of(message, *arguments), message_class=message.mti)

    patch.setattr(acquirers.iso1987_requests, "_key", forgetful)


def _sell_what_was_reversed_before_it_came(patch: pytest.MonkeyPatch) -> None:
    bar = ledger.reversal._bar

    def elsewhere(order: ReversalOrder) -> journal.Line:
        line = bar(order)
        return line._replace(key=replace(line.key, message_class="none"))

    patch.setattr(ledger.reversal, "_bar", elsewhere)


def _void_what_is_not_known(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(switch.recharge, "ModuleRefused", (ModuleRefused, ModuleOutcomeUnknown))


def _forget_what_first_copies_were_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FirstCopies, "meet", lambda *_, **__: None)


@pytest.mark.parametrize(
    "mutate",
    [
        _answer_before_the_commit,
        _take_a_repeat_for_a_new_request,
        _sell_what_was_reversed_before_it_came,
        _void_what_is_not_known,
        _forget_what_first_copies_were_told,
    ],
    ids=lambda mutate: mutate.__name__.strip("_"),
)
def test_a_broken_rule_is_found(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[Any], None]
) -> None:
    """The simulation can fail: within a few seeds it sees each of the mistakes it is there for."""
    mutate(monkeypatch)
    for seed in MUTANT_SEEDS:
        report = simulate(seed, 80, server=postgres_server, template=TEMPLATE, weather=STORM)
        if report.violations:
            assert f"--seed {seed} " in str(report), "a failing seed tells how to run it again"
            return
    pytest.fail(f"{mutate.__name__} survived {len(MUTANT_SEEDS)} seeds")


def test_every_place_to_die_at_is_reached(postgres_server: EmbeddedPostgres) -> None:
    """A crash point that no run passes would prove nothing; with a death at every twentieth step all of them are passed."""
    places = {f"crash: {point.value}" for point in CrashPoint}
    weather = replace(ROUGH, crash=0.05, disturbance_seconds=20)
    missed = set(places)
    for seed in MUTANT_SEEDS:
        report = simulate(seed, 60, server=postgres_server, template=TEMPLATE, weather=weather)
        assert not report.violations, str(report)
        missed -= report.faults.keys()
        if not missed:
            return
    pytest.fail(f"never reached: {sorted(missed)}")
