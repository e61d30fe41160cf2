"""The switch process: the one place where its parts are put together.

Read it as a map. A frame goes listener -> exchange -> recharge -> (batcher -> ledger, pool -> security module) and back the same way.
"""

import contextlib
import gc
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from config.settings import Settings, load
from config.state_files import write_run_file
from config.switch import SwitchSection
from switch.batching import Batcher, Run
from switch.day_closer import DayCloser
from switch.http_port import monitoring_site
from switch.in_flight import InFlight
from switch.key_watch import KeyWatch
from switch.ledger_worker import WorkerSettings
from switch.log import Event, bind, configure, lines_lost, log
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.module import security_module
from switch.network import KeyServices, Shared
from switch.network_watch import NetworkWatch
from switch.networks import Networks, tls_contexts
from switch.notice_lanes import NoticeLanes
from switch.observe_module import ModuleObserver
from switch.reconfigure import Reconfigurer
from switch.resolver import Resolver
from switch.steps import Books, network_of
from switch.supervised import HandedSockets, SupervisorLink
from switch.undelivered import UndeliveredAnswers
from switch.worker_link import WorkerLink
from vending.key_change import KeyChangePolicy
from vending.money import BasisPoints, Centavos
from vending.order import ReservedSale, UnresolvedLook
from vending.policy import SalePolicy

WORKERS_READY_SECONDS_MAX = 10.0
"""A database that does not answer must not keep the ports shut: what comes is told that it is away."""

MODULE_READY_SECONDS_MAX = 10.0
"""The same for the security module, where other processes serve meanwhile."""

LOOK_SECONDS = 0.05

TELL_SECONDS = 0.2
"""How often a process looks whether its supervisor must hear of a change: a rolling restart waits for that."""


def utc_now() -> datetime:
    """The process's clock."""
    return datetime.now(UTC)  # noqa: TID251 - the composition root owns the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process stands among several on this machine.

    Attributes:
        number: counts from 1.
        descriptor: of the socket to the supervisor.
    """

    number: int
    descriptor: int


class Switch:
    """Everything one switch process is made of."""

    def __init__(
        self,
        settings: Settings,
        *,
        dsn: str,
        reactor: Any,
        read: Callable[[], Settings],
        number: int | None = None,
        sockets: HandedSockets | None = None,
    ) -> None:
        """Put the parts together; nothing is opened before `start`.

        Args:
            settings: the whole configuration.
            dsn: of the ledger's database.
            reactor: Twisted's, with TCP, time and threads.
            read: reads the configuration again when it was changed.
            number: among several processes on this machine, from 1; None: it is the only one.
            sockets: where listening sockets come from; None: it binds its own.
        """
        self._number = number
        self._settings = settings
        self._reactor = reactor
        self._workers: list[WorkerLink] = []
        self._worker_settings = WorkerSettings(dsn=dsn, policy=_policy(settings))
        self.metrics = Metrics()
        self.metrics.log_lines_lost.set_function(lines_lost)
        self._is_draining = False
        self._batchers: list[Batcher[Any, Any]] = []
        self._pool = security_module(settings.security_module, reactor, ModuleObserver(self.metrics))
        find_unresolved: Batcher[UnresolvedLook, Sequence[ReservedSale]] = self._batcher("find_unresolved")
        rare = self._rare_batchers("advise", "last_answer", "undelivered", "session_keys", "notices")
        self._books = Books(
            reserve=self._batcher("reserve", workers=settings.database.writers),
            post=self._batcher("post", workers=settings.database.writers),
            inquire=self._batcher("inquire"),
            find_original=self._batcher("find_original"),
            advise=rare["advise"],
            last_answer=rare["last_answer"],
            find_unresolved=find_unresolved,
        )
        self._settle = self._batcher("settle")
        self._undelivered = UndeliveredAnswers(
            write=rare["undelivered"], lost=self.metrics.undelivered_lost, now=utc_now
        )
        self._in_flight = InFlight()
        self._lanes = self._notice_lanes(rare["notices"])
        self._threads = ThreadPool(minthreads=1, maxthreads=2, name="background")
        self._networks = Networks(
            self._shared(KeyServices(step=rare["session_keys"], module=self._pool)),
            undelivered=self._undelivered,
            reactor=reactor,
            drain_seconds=settings.switch.drain_seconds,
            sockets=sockets,
        )
        self.reconfigurer = self._make_reconfigurer(read)
        self._day_closer, self._network_watch = self._settlement_chores()
        self._key_watch = KeyWatch(self._networks.exchanges, reactor=reactor)
        self._resolver = self._make_resolver(find_unresolved)

    def _shared(self, session_keys: KeyServices) -> Shared:
        return Shared(
            module=self._pool,
            books=self._books,
            settle=self._settle,
            in_flight=self._in_flight,
            meters=MeterQueue(),
            metrics=self.metrics,
            reactor=self._reactor,
            now=utc_now,
            monotonic=time.perf_counter,
            session_keys=session_keys,
            teller=self._lanes,
        )

    def _notice_lanes(self, step: Batcher[Any, Any]) -> NoticeLanes:
        return NoticeLanes(
            step=step,
            desks=lambda: self._networks.notice_desks(),
            holder=secrets.token_hex(16),
            interval_seconds=self._settings.switch.notices_interval_seconds,
            random=random.SystemRandom().random,
            metrics=self.metrics,
            reactor=self._reactor,
            now=utc_now,
        )

    def _make_resolver(self, find: Batcher[UnresolvedLook, Sequence[ReservedSale]]) -> Resolver:
        return Resolver(
            self._settings.switch,
            exchanges=self._networks.exchanges,
            find=find.submit,
            in_flight=self._in_flight,
            metrics=self.metrics,
            reactor=self._reactor,
            now=utc_now,
            monotonic=time.perf_counter,
        )

    def _make_reconfigurer(self, read: Callable[[], Settings]) -> Reconfigurer:
        return Reconfigurer(
            self._networks,
            running=self._settings,
            read=read,
            in_thread=partial(deferToThreadPool, self._reactor, self._threads),
            now=utc_now,
            count=lambda is_applied: self.metrics.configurations.labels("applied" if is_applied else "refused").inc(),
        )

    def start(self) -> Deferred[Mapping[str, Any]]:
        """Start the workers, then open the links, the ports and the HTTP port; fires with their addresses.

        A port that is open serves: the workers have their database first. Where it is away the ports open all the same, and say so.
        """
        return ensureDeferred(self._start())

    async def _start(self) -> Mapping[str, Any]:
        # The workers first: they are copies of this process as long as it has one thread (switch.worker_process).
        for worker in self._workers:
            worker.start()
        self._threads.start()
        self._pool.start()
        ready = DeferredList([worker.when_ready() for worker in self._workers], consumeErrors=True)
        await ready.addTimeout(WORKERS_READY_SECONDS_MAX, self._reactor, onTimeoutCancel=lambda *_: None)
        if self._number is not None:
            await self._wait_for_module()
        await self._networks.prepare(self._settings.acquirers)
        return {} if self._is_draining else self._open()

    async def _wait_for_module(self) -> None:
        """Leave what connects to the other processes, or in the queue, until a sale can be made; where no module is, not for long."""
        give_up_at = self._reactor.seconds() + MODULE_READY_SECONDS_MAX
        while not (self._pool.is_up or self._is_draining or self._reactor.seconds() >= give_up_at):
            await deferLater(self._reactor, LOOK_SECONDS)

    def _open(self) -> Mapping[str, Any]:
        self._resolver.start()
        self._day_closer.start()
        self._network_watch.start()
        self._lanes.start()
        sections = self._settings.acquirers
        self._networks.apply(sections, tls_contexts(sections))
        self._networks.settle()
        self._key_watch.start()
        acquirers = self._networks.addresses
        section = self._settings.switch
        site = monitoring_site(
            registry=self.metrics.registry,
            health=self._health,
            in_thread=partial(deferToThreadPool, self._reactor, self._threads),
            clock=self._reactor,
        )
        port = metrics_port(section, self._number)
        monitoring = self._reactor.listenTCP(port, site, interface=section.metrics_host).getHost()
        log.info(Event.SWITCH_STARTED, acquirers=acquirers)
        return {"acquirers": acquirers, "metrics": f"{monitoring.host}:{monitoring.port}"}

    def drain(self) -> Deferred[None]:
        """Answer what is in work, begin nothing, and close everything."""
        return ensureDeferred(self._drain())

    async def _drain(self) -> None:
        log.info(Event.SWITCH_DRAINING, in_flight=len(self._in_flight))
        self._is_draining = True
        self._resolver.stop()
        self._day_closer.stop()
        self._network_watch.stop()
        self._key_watch.stop()
        self._lanes.stop()
        await self._networks.drain(self._settings.switch.drain_seconds)
        await self._lanes.when_idle()
        await DeferredList([batcher.when_idle() for batcher in self._batchers])
        await self._pool.stop()
        # What the end of the links made undeliverable is the last that is written.
        await self._undelivered.when_idle()
        for worker in self._workers:
            worker.stop()
        self._threads.stop()
        log.info(Event.SWITCH_STOPPED)

    @property
    def state(self) -> Mapping[str, Any]:
        """How it is now, in a word of which only "ready" is good, and where its networks are served."""
        status = "draining" if self._is_draining else "ready" if self._pool.is_up else "module_lost"
        return {"status": status, "acquirers": self._networks.addresses}

    def _health(self) -> Mapping[str, object]:
        links = {name: state.value for name, state in self._pool.states.items()}
        return {
            "status": self.state["status"],
            "process": self._number,
            "in_flight": len(self._in_flight),
            "module_links": links,
            "networks": self._networks.rows(),
            "notice_lanes": self._lanes.rows(),
            "configuration": self.reconfigurer.last.as_json(),
        }

    def _settlement_chores(self) -> tuple[DayCloser, NetworkWatch]:
        """What is done once in a while, on workers of their own."""
        interval_seconds = self._settings.switch.close_days_interval_seconds
        closer = DayCloser(
            settle=self._settle,
            interval_seconds=interval_seconds,
            metrics=self.metrics,
            reactor=self._reactor,
            now=utc_now,
            cut_overs=self._networks.cut_overs,
        )
        watch = NetworkWatch(
            watch=self._batcher("watch"),
            directories=self._networks.settlement_directories,
            told=self._networks.told_of_files,
            interval_seconds=interval_seconds,
            metrics=self.metrics,
            reactor=self._reactor,
            now=utc_now,
        )
        return closer, watch

    def _batcher(self, name: str, workers: int = 1) -> Batcher[Any, Any]:
        """One step with worker processes of its own, so that none waits behind another."""
        links = [WorkerLink(name, self._worker_settings, reactor=self._reactor) for _ in range(workers)]
        self._workers += links
        return self._batcher_on(name, [link.send for link in links])

    def _rare_batchers(self, *names: str) -> dict[str, Batcher[Any, Any]]:
        """Steps that come seldom, by name, on one worker process that they share."""
        link = WorkerLink("rare", self._worker_settings, reactor=self._reactor)
        self._workers.append(link)
        return {name: self._batcher_on(name, [partial(link.send, step=name)]) for name in names}

    def _batcher_on(self, name: str, workers: Sequence[Run]) -> Batcher[Any, Any]:
        section = self._settings.switch
        batcher: Batcher[Any, Any] = Batcher(
            workers,
            at_end_of_turn=partial(self._reactor.callLater, 0),
            now=time.perf_counter,
            network_of=network_of,
            observe_batch=self.metrics.batch_sales.labels(name).observe,
            observe_late=self.metrics.batch_late_items.labels(name).inc,
            batch_items_max=section.batch_sales_max,
            queue_items_max=section.queue_sales_max,
        )
        self.metrics.batch_queue.labels(name).set_function(lambda: batcher.waiting_items)
        self._batchers.append(batcher)
        return batcher


def run(settings: Settings, *, dsn: str, run_file: Path | None = None, place: Place | None = None) -> None:
    """Run a switch until SIGTERM or Ctrl-C; returns after its drain. SIGHUP has it read its configuration again.

    Args:
        settings: the whole configuration.
        dsn: of the ledger's database.
        run_file: where the addresses are written once the ports are open: JSON with ``pid``, ``acquirers``, ``metrics``.
        place: among several processes under a supervisor, which hears of the addresses in place of a file; it drains when that is gone.
    """
    from twisted.internet import reactor  # noqa: TID251 - importing it installs it, so only the process may

    assert IReactorCore.providedBy(reactor)
    assert IReactorFromThreads.providedBy(reactor)
    keep_time_steady(reactor)
    stream = sys.stdout if settings.log.file is None else settings.log.file.open("a", encoding="utf-8")
    configure(stream, settings.log.level)
    number, link = None, None
    if place is not None:
        number, link = place.number, SupervisorLink(lost=partial(_end, reactor))
        bind(process=number)
        link.attach(reactor, place.descriptor)
    sockets = None if link is None else HandedSockets(link)
    switch = Switch(settings, dsn=dsn, reactor=reactor, read=load, number=number, sockets=sockets)
    # Twisted leaves this signal alone; the reactor is woken by what it is asked to call.
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(switch.reconfigurer.ask))

    def begin(addresses: Mapping[str, Any]) -> None:
        # All that the start made lives as long as the process: a collector that walked it again and again would stop every sale
        # for a tenth of a second.
        gc.collect()
        gc.freeze()
        if link is not None and addresses:
            LoopingCall(lambda: link.tell({**addresses, **switch.state})).start(TELL_SECONDS)
        if run_file is not None and addresses:
            write_run_file(run_file, addresses)

    def fail(failure: Failure) -> None:
        log.error(Event.SWITCH_START_FAILED, failure=failure.getTraceback())
        failures.append(failure)
        reactor.stop()

    failures: list[Failure] = []
    reactor.callWhenRunning(lambda: switch.start().addCallback(begin).addErrback(fail))
    reactor.addSystemEventTrigger("before", "shutdown", switch.drain)
    reactor.run()
    if failures:
        failures[0].raiseException()


def _end(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def metrics_port(section: SwitchSection, number: int | None) -> int:
    """Return the HTTP port of a process: the configured one, those behind it for the second and further ones; 0 stays 0.

    >>> metrics_port(SwitchSection(metrics_port=9464), 3), metrics_port(SwitchSection(metrics_port=9464), None)
    (9466, 9464)
    """
    return section.metrics_port + (number or 1) - 1 if section.metrics_port else 0


def keep_time_steady(reactor: Any) -> None:
    """Have the reactor's timers run by a clock that never steps.

    Twisted takes the time of day. Set back by an hour, it would hold up every deadline, retry and look of the resolver for an hour.
    """
    reactor.seconds = time.monotonic


def _policy(settings: Settings) -> SalePolicy:
    sale = settings.sale
    return SalePolicy(
        minimum_paid_centavos=Centavos(sale.minimum_paid_centavos),
        maximum_paid_centavos=Centavos(sale.maximum_paid_centavos),
        cap_basis_points=None if sale.cap_basis_points is None else BasisPoints(sale.cap_basis_points),
        key_change=KeyChangePolicy(sale.key_change),
    )
