"""One network put together: its dialect, its MACs and its use cases over what all networks share.

The process, the simulation and the benchmarks call this, so that all of them run the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from twisted.internet.interfaces import IReactorTime

from acquirers.registry import DIALECTS
from config.acquirer import AcquirerSection
from switch.advice import Advice
from switch.exchange import Exchange
from switch.in_flight import InFlight
from switch.last_answer import LastAnswer
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.recharge import Recharge
from switch.reversal import Reversal, parking_limits
from switch.seal import Seal
from switch.steps import Books
from switch.totals import SettleStep, Totals
from vending.ports import SecurityModule


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the networks of one process share.

    Attributes:
        settle: the step of the ledger for everything about settlement days.
        now: our clock, aware UTC.
        monotonic: a clock in seconds that never steps.
    """

    module: SecurityModule
    books: Books
    settle: SettleStep
    in_flight: InFlight
    meters: MeterQueue
    metrics: Metrics
    reactor: IReactorTime
    now: Callable[[], datetime]
    monotonic: Callable[[], float]


def exchange_of(section: AcquirerSection, shared: Shared) -> Exchange:
    """Put the exchange of one network together."""
    dialect = DIALECTS[section.dialect]()
    books, in_flight, metrics = shared.books, shared.in_flight, shared.metrics.acquirer(section.id)
    seal = Seal(
        shared.module,
        dialect,
        register_id=section.mac.register_id,
        scheme=section.mac.scheme,
        is_diversified=section.mac.is_diversified_by_terminal,
    )
    return Exchange(
        section,
        dialect=dialect,
        seal=seal,
        books=books,
        recharge=Recharge(
            dialect=dialect,
            seal=seal,
            module=shared.module,
            books=books,
            in_flight=in_flight,
            meters=shared.meters,
            reactor=shared.reactor,
            busy_seconds_max=section.answer_deadline_seconds / 2,
        ),
        reversal=Reversal(
            dialect=dialect,
            seal=seal,
            books=books,
            in_flight=in_flight,
            parking=parking_limits(section),
            metrics=metrics,
        ),
        advice=Advice(dialect=dialect, seal=seal, books=books, in_flight=in_flight),
        last_answer=LastAnswer(
            dialect=dialect, seal=seal, books=books, in_flight=in_flight, count_reprint=metrics.reprints.inc
        ),
        totals=Totals(
            dialect=dialect,
            seal=seal,
            books=books,
            settle=shared.settle,
            in_flight=in_flight,
            network_terminals=section.network_terminals,
            metrics=metrics,
        ),
        metrics=metrics,
        reactor=shared.reactor,
        now=shared.now,
        monotonic=shared.monotonic,
    )
