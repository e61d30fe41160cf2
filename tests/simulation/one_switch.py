"""One switch process of the simulation: what `switch.main` puts together, on the virtual clock, over a shared database and module."""

from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from config.acquirer import AcquirerSection
from config.switch import SwitchSection
from messages.codec import DATAFONO
from messages.tpdu import split_tpdu
from switch.batching import Batcher
from switch.in_flight import InFlight
from switch.listener import ConnectionContext
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.network import Shared, exchange_of
from switch.port import AcquirerPort
from switch.resolver import Resolver
from switch.steps import Books
from switch.undelivered import UndeliveredAnswers
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import CrashPoint
from tests.simulation.module import ModuleLink, SimulatedModule
from tests.simulation.process import Process
from tests.simulation.setting import OF_THE_MOMENT, Setting


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
        self._exchange = exchange_of(
            network,
            Shared(
                module=ModuleLink(module, process, setting),
                books=self._books,
                settle=self._batcher("settle"),
                in_flight=self._in_flight,
                meters=MeterQueue(),
                metrics=self._metrics,
                reactor=process.clock,
                now=setting.now,
                monotonic=setting.clock.seconds,
            ),
        )
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
        if answer is not None:
            self._note_refusal(answer)
        return answer

    def _note_refusal(self, octets: bytes) -> None:
        """Note a refusal of the moment that a terminal will believe: one with a MAC."""
        answer = DATAFONO.decode(split_tpdu(octets)[1])
        if answer.get(39) in OF_THE_MOMENT and 64 in answer:
            asked = f"{answer.mti[:2]}{int(answer.mti[2]) - 1}0"
            key = answer.text(41).rstrip(), answer.text(7), answer.text(11), asked
            self._setting.refused_by[key].add(self.process.name)
