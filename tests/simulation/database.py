"""The ledger's steps as the switch's workers run them: the real code on a real PostgreSQL, at moments of the virtual clock."""

from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from ledger.database import open_engine
from messages.transmission_time import write_transmission_time
from switch import ledger_worker
from switch.batching import Run
from switch.ledger_worker import WorkerSettings, run_batch, steps
from switch.worker_codec import FAULT, UNAVAILABLE, UNKNOWN, Outcome, dump, load
from tests.simulation import town
from tests.simulation.faults import CrashPoint
from tests.simulation.process import Process
from tests.simulation.setting import Setting
from vending.order import AnswerRecord, Reserved, SaleOrder

_POINTS: Mapping[str, tuple[CrashPoint | None, CrashPoint | None]] = {
    "reserve": (CrashPoint.RESERVE_BEFORE, CrashPoint.RESERVE_COMMITTED),
    "post": (CrashPoint.POST_BEFORE, CrashPoint.POST_COMMITTED),
    "find_original": (CrashPoint.REVERSAL_BEFORE, CrashPoint.REVERSAL_COMMITTED),
    "find_unresolved": (None, CrashPoint.RESOLVER_LOOKING),
}
DONE_UNSEEN = "lost, done"
_OF_RECORDS = (CrashPoint.RECORD_BEFORE, CrashPoint.RECORD_COMMITTED)


class SimulatedDatabase:
    """The steps, each batch in one go on one connection.

    Attributes:
        is_away: whether the database is away altogether.
    """

    def __init__(self, dsn: str, setting: Setting) -> None:
        self._setting = setting
        self._engine = open_engine(dsn, pool_size=1)
        # The workers' own, so that it can be closed at the end.
        with patch.object(ledger_worker, "open_engine", lambda *_, **__: self._engine):
            self._steps = steps(WorkerSettings(dsn=dsn, policy=town.POLICY), setting.clock.seconds)
        self.is_away = False

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def worker(self, name: str, process: Process) -> Run:
        """Return one worker of a process for one step."""

        def run(items: Sequence[Any]) -> Deferred[Sequence[Outcome]]:
            return self._run(name, process, items)

        return run

    def _run(self, name: str, process: Process, items: Sequence[Any]) -> Deferred[Sequence[Outcome]]:
        setting = self._setting
        done: Deferred[Sequence[Outcome]] = process.promise()
        is_of_records = name == "post" and any(isinstance(item, AnswerRecord) for item in items)
        before, after = _OF_RECORDS if is_of_records else _POINTS.get(name, (None, None))
        if process.dies_at(before):
            return done
        sent = dump(items)

        def work() -> None:
            # A worker outlives its switch by the batch that it has begun.
            if not process.is_alive and setting.random.random() < 0.5:
                return
            outcomes = self._outcomes(name, load(sent))
            if name == "reserve":
                self._note_sellers(process, load(sent), outcomes)
            if not process.dies_at(after):
                process.clock.callLater(setting.latency(), done.callback, load(dump(outcomes)))

        setting.clock.callLater(setting.latency(), work)
        return done

    def _note_sellers(self, process: Process, orders: Sequence[SaleOrder], outcomes: Sequence[Outcome]) -> None:
        """Note which process reserved what, also where it does not learn of it."""
        for order, (_, value) in zip(orders, outcomes, strict=True):
            if isinstance(value, Reserved) or value == DONE_UNSEEN:
                key = order.key
                sent = write_transmission_time(key.transmitted_at)
                self._setting.reserved_by.setdefault((key.terminal_id, sent, key.stan, key.message_class), process.name)

    def _outcomes(self, name: str, items: Sequence[Any]) -> Sequence[Outcome]:
        setting, weather = self._setting, self._setting.weather
        if self.is_away or setting.happens(weather.ledger_away, f"ledger away before {name}"):
            return [(UNAVAILABLE, "away")] * len(items)
        is_unknown = setting.happens(weather.ledger_unknown, f"ledger lost during the commit of {name}")
        if is_unknown and setting.random.random() < 0.5:
            return [(UNKNOWN, "lost, not done")] * len(items)
        outcomes = run_batch(self._steps[name], items)
        for kind, text in outcomes:
            if kind == FAULT:
                setting.violation(f"step {name} failed: {text}")
        if name != "find_unresolved":
            setting.tell(f"{name} {len(items)}: {', '.join(_spoken(each) for each in outcomes)}")
        return [(UNKNOWN, DONE_UNSEEN)] * len(items) if is_unknown else outcomes


def _spoken(outcome: Outcome) -> str:
    kind, value = outcome
    sale = getattr(value, "sale", None)
    code = getattr(value, "code", None)
    what = (
        f"{type(value).__name__}{'' if sale is None else f' {sale.sale_id}'}{'' if code is None else f' {code.value}'}"
    )
    return what if kind == "done" else kind
