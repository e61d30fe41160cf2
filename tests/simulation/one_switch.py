"""One switch process of the simulation: what `switch.main` puts together, on the virtual clock, over the shared database and module."""

from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from acquirers.datafono import DatafonoDialect
from config.acquirer import AcquirerSection
from config.switch import SwitchSection
from switch.advice import Advice
from switch.batching import Batcher
from switch.exchange import Exchange
from switch.in_flight import InFlight
from switch.last_answer import LastAnswer
from switch.listener import AcquirerPort, ConnectionContext
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.recharge import Recharge
from switch.resolver import Resolver
from switch.reversal import Reversal
from switch.seal import Seal
from switch.steps import Books
from switch.totals import Totals
from switch.undelivered import UndeliveredAnswers
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import CrashPoint
from tests.simulation.module import ModuleLink, SimulatedModule
from tests.simulation.process import Process
from tests.simulation.setting import Setting


def _made(use_case: type[Any], **parts: Any) -> Any:
    return use_case(**parts)


class OneSwitch:
    """The object graph of one process; a crash drops it.

    Attributes:
        process: its life.
        port: what the network's connections are made of.
    """

    def __init__(
        self,
        process: Process,
        *,
        setting: Setting,
        section: SwitchSection,
        network: AcquirerSection,
        database: SimulatedDatabase,
        module: SimulatedModule,
        writers: int,
    ) -> None:
        self.process = process
        self._database = database
        self._section = section
        self._setting = setting
        self._metrics = Metrics(CollectorRegistry())
        self._in_flight = InFlight()
        self._find_unresolved = self._batcher("find_unresolved")
        self._books = Books(
            reserve=self._batcher("reserve", writers),
            post=self._batcher("post", writers),
            inquire=self._batcher("inquire"),
            find_original=self._batcher("find_original"),
            advise=self._batcher("advise"),
            last_answer=self._batcher("last_answer"),
            find_unresolved=self._find_unresolved,
        )
        self._exchange = self._exchange_of(network, ModuleLink(module, process, setting))
        undelivered = UndeliveredAnswers(
            write=self._batcher("undelivered"), lost=self._metrics.undelivered_lost, now=setting.now
        )
        self.port = AcquirerPort(
            section=network,
            clock=process.clock,
            serve=self._serve,
            metrics=self._metrics.acquirer(network.id),
            undeliverable=partial(undelivered.note, self._exchange),
        )
        self._resolver = Resolver(
            section,
            exchanges={network.id: self._exchange},
            find=self._find_unresolved.submit,
            in_flight=self._in_flight,
            metrics=self._metrics,
            reactor=process.clock,
            now=setting.now,
            monotonic=setting.clock.seconds,
        )

    def _exchange_of(self, network: AcquirerSection, link: ModuleLink) -> Exchange:
        dialect = DatafonoDialect()
        seal = Seal(
            link,
            dialect,
            register_id=network.mac.register_id,
            scheme=network.mac.scheme,
            is_diversified=network.mac.is_diversified_by_terminal,
        )
        metrics = self._metrics.acquirer(network.id)
        settle = self._batcher("settle")
        use_case = partial(_made, dialect=dialect, seal=seal, books=self._books, in_flight=self._in_flight)
        return Exchange(
            network,
            dialect=dialect,
            seal=seal,
            books=self._books,
            recharge=use_case(
                Recharge,
                module=link,
                meters=MeterQueue(),
                reactor=self.process.clock,
                busy_seconds_max=network.answer_deadline_seconds / 2,
            ),
            reversal=use_case(Reversal),
            advice=use_case(Advice),
            last_answer=use_case(LastAnswer, count_reprint=metrics.reprints.inc),
            totals=use_case(Totals, settle=settle, network_terminals=network.network_terminals, metrics=metrics),
            metrics=metrics,
            reactor=self.process.clock,
            now=self._setting.now,
            monotonic=self._setting.clock.seconds,
        )

    def start(self) -> None:
        """Begin to look for what an earlier process left."""
        self._resolver.start()

    def _batcher(self, name: str, workers: int = 1) -> Batcher[Any, Any]:
        return Batcher(
            [self._database.worker(name, self.process) for _ in range(workers)],
            at_end_of_turn=partial(self.process.clock.callLater, 0),
            now=self.process.clock.seconds,
            batch_items_max=self._section.batch_sales_max,
            queue_items_max=self._section.queue_sales_max,
        )

    async def _serve(self, context: ConnectionContext, frame: bytes) -> bytes | None:
        if self.process.dies_at(CrashPoint.FRAME_READ):
            await self.process.promise()
        answer = await self._exchange.serve(context, frame)
        if self.process.dies_at(CrashPoint.ANSWER_READY):
            await self.process.promise()
        return answer
