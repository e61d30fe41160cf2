"""The networks that one process serves, and how their configuration changes while it does.

An exchange is one network under one configuration and never changes. A change makes a new exchange and points the port at it; requests
in work end in the exchange that they began in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from functools import partial
from random import SystemRandom
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import CannotListenError

from config.acquirer import AcquirerSection
from config.errors import Complaint
from switch.exchange import Exchange
from switch.listener import Serve
from switch.log import Event, log
from switch.network import Shared, dialect_complaints, exchange_of, tells
from switch.network_links import NetworkLinks, endpoint_maker
from switch.notice_desk import NoticeDesk, serving
from switch.port import AcquirerPort
from switch.port_tls import PortTls, tls_context
from switch.supervised import ListeningSockets
from switch.undelivered import UndeliveredAnswers

Sections = Mapping[str, AcquirerSection]

FIXED_AT_ONE_ADDRESS = ("role", "links", "dialect", "framing", "has_tpdu")
"""Who opens connections and what they speak. At the same address it cannot change under them; at another address the network gets a new port."""


class CannotApply(Exception):
    """A configuration cannot be used; nothing was changed. ``complaints``: at least one."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        super().__init__("; ".join(map(str, complaints)))
        self.complaints = tuple(complaints)


@dataclass(slots=True)
class Served:
    """One network as it is served now. ``retiring`` are ports that it had before and that are not drained yet."""

    exchange: Exchange
    port: AcquirerPort
    host: str = ""
    port_number: int = 0
    retiring: list[AcquirerPort] = field(default_factory=list)


def tls_contexts(sections: Sections) -> dict[str, SSL.Context]:
    """Read the certificates of the networks that have some; it reads files, so not on the reactor's thread once that runs.

    Raises:
        CannotApply: some cannot be used.
    """
    contexts, complaints = {}, []
    for name, section in sections.items():
        if section.tls is None:
            continue
        try:
            contexts[name] = tls_context(section.tls)
        except (OSError, ValueError) as error:
            complaints.append(Complaint(key=f"acquirers.{name}.tls", text=str(error)))
    if complaints:
        raise CannotApply(complaints)
    return contexts


class Networks:
    """Serves networks.

    Args:
        shared: what they share.
        undelivered: is told of answers that did not leave.
        reactor: Twisted's, with TCP and time.
        drain_seconds: how long connections of a port that goes may take to end.
        sockets: where listening sockets come from; None: this process binds its own.

    Attributes:
        exchanges: by acquirer id, always as they are now; networks that are gone stay, so that their open sales can be finished.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        undelivered: UndeliveredAnswers,
        reactor: Any,
        drain_seconds: float,
        sockets: ListeningSockets | None = None,
    ) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self._shared = shared
        self._undelivered = undelivered
        self._reactor = reactor
        self._drain_seconds = drain_seconds
        self._sockets = sockets
        self._served: dict[str, Served] = {}
        self._leaving: list[Served] = []
        self._is_ending = False

    @property
    def addresses(self) -> dict[str, str]:
        """Where each network is served, ``host:port``."""
        return {
            name: f"{served.host}:{served.port_number}"
            for name, served in self._served.items()
            if served.port.section.role != "we_connect"
        }

    async def prepare(self, sections: Sections) -> None:
        """Get what `apply` of the same sections will need from elsewhere."""
        if self._sockets is not None:
            await self._sockets.prepare(
                [section for section in sections.values() if _listens(section) and self._needs_port(section)]
            )

    def settle(self) -> None:
        """Say where connections are accepted now; to be called after `apply`, whatever came of it."""
        if self._sockets is not None and not self._is_ending:
            served = [served.port for served in self._served.values()]
            self._sockets.settle([port.section for port in served if _listens(port.section) and not port.is_draining])

    def apply(self, sections: Sections, contexts: Mapping[str, SSL.Context]) -> list[Complaint]:
        """Serve exactly these networks from now on.

        New ports are opened before anything else is done, so that a configuration that cannot be used changes nothing.

        Returns:
            What kept its old value, because it cannot change while connections are open.

        Raises:
            CannotApply: nothing was changed.
        """
        if self._is_ending:
            raise CannotApply([Complaint(key="", text="the switch is ending")])
        faults = [complaint for section in sections.values() for complaint in dialect_complaints(section)]
        if faults:
            raise CannotApply(faults)
        kept: list[Complaint] = []
        sections = {name: self._possible(section, kept) for name, section in sections.items()}
        opened = self._open_new(sections, contexts)
        for name in [name for name in self._served if name not in sections]:
            self._remove(name)
        for name, section in sections.items():
            self._serve(section, opened.get(name), contexts.get(name))
        return kept

    def settlement_directories(self) -> dict[str, str]:
        """Where the settlement files of each network go; those that have no directory are not there."""
        sections = {name: served.port.section for name, served in self._served.items()}
        return {
            name: str(section.settlement_directory)
            for name, section in sections.items()
            if section.settlement_directory is not None
        }

    def cut_overs(self) -> tuple[tuple[str, time], ...]:
        """Which networks' days change before midnight, and when by local time."""
        times = ((name, served.port.section.cut_over_time) for name, served in self._served.items())
        return tuple((name, at) for name, at in times if at is not None)

    def told_of_files(self) -> dict[str, str]:
        """To which terminal each network is told of its settlement files; those that are not told are not there."""
        sections = {name: served.port.section for name, served in self._served.items()}
        return {
            name: section.network_terminals[0] for name, section in sections.items() if tells(section, "settlement")
        }

    def notice_desks(self) -> dict[str, NoticeDesk]:
        """Who sends notices to which network, of those that get any."""
        desks = {name: served.port.notices for name, served in self._served.items()}
        return {name: desk for name, desk in desks.items() if isinstance(desk, NoticeDesk)}

    def drain(self, timeout_seconds: float) -> Deferred[Any]:
        """End every port and open none any more; fires when all are over."""
        self._is_ending = True
        ports = [
            port for served in (*self._served.values(), *self._leaving) for port in (served.port, *served.retiring)
        ]
        return DeferredList([port.drain(timeout_seconds) for port in ports])

    def rows(self) -> list[dict[str, object]]:
        """Say how each network is, for people and for `eudora network list`."""
        return [self._row(name, served) for name, served in self._served.items()] + [
            {**self._row(served.port.section.id, served), "state": "leaving"}
            for served in self._leaving
            if not served.port.is_drained
        ]

    def _row(self, name: str, served: Served) -> dict[str, object]:
        ports = (served.port, *served.retiring)
        metrics = served.exchange.metrics
        return {
            "id": name,
            "dialect": served.port.section.dialect,
            "state": served.port.section.state,
            "address": f"{served.host}:{served.port_number}",
            "is_encrypted": served.port.tls is not None,
            "links": served.port.link_rows() if isinstance(served.port, NetworkLinks) else [],
            "connections": sum(port.connection_count for port in ports),
            "in_flight": served.exchange.load.in_work,
            "is_drained": all(port.is_drained for port in ports),
            "last_request": metrics.last_request_at,
            "last_approval": metrics.last_approval_at,
            "session_key": served.exchange.session_key(),
        }

    def _possible(self, section: AcquirerSection, kept: list[Complaint]) -> AcquirerSection:
        """Keep what cannot change at one address as it is, and say so."""
        served = self._served.get(section.id)
        if served is None or served.port.is_draining:
            return section
        running = served.port.section
        if not _is_at_same_address(running, section):
            return section
        held = {
            name: getattr(running, name)
            for name in FIXED_AT_ONE_ADDRESS
            if getattr(running, name) != getattr(section, name)
        }
        if (running.tls is None) is not (section.tls is None):
            held["tls"] = running.tls
        kept += [
            Complaint(key=f"acquirers.{section.id}.{name}", text="needs a restart, or another listen_port")
            for name in held
        ]
        return section.model_copy(update=held)

    def _open_new(self, sections: Sections, contexts: Mapping[str, SSL.Context]) -> dict[str, Served]:
        """Open the ports that are not open yet; what comes in before `apply` is done is served as configured."""
        opened: dict[str, Served] = {}
        for name, section in sections.items():
            if not self._needs_port(section):
                continue
            before = self.exchanges.get(name)
            exchange = exchange_of(section, self._shared, before)
            context = contexts.get(name)
            port = self._new_port(section, exchange, None if context is None else PortTls(context))
            try:
                host, number = port.listen(self._reactor, self._sockets) if _listens(section) else ("", 0)
            except CannotListenError as error:
                for other in opened.values():
                    other.port.drain(0)
                for old in (self._served[each] for each in sections if each in self._served):
                    old.exchange.load.adopt(old.port.section, self._shared.monotonic())
                raise CannotApply(
                    [Complaint(key=f"acquirers.{name}.listen_port", text=f"cannot be opened: {error.socketError}")]
                ) from error
            opened[name] = Served(exchange, port, host, number)
        for served in opened.values():
            if isinstance(served.port, NetworkLinks):
                served.port.begin()
        return opened

    def _new_port(self, section: AcquirerSection, exchange: Exchange, tls: PortTls | None) -> AcquirerPort:
        of_port: dict[str, Any] = {
            "section": section,
            "clock": self._reactor,
            "serve": exchange.serve,
            "metrics": exchange.metrics,
            "undeliverable": partial(self._undelivered.note, exchange),
            "tls": tls,
        }
        if section.links is not None:
            of_port |= {
                "dialect": exchange.dialect,
                "endpoint_of": endpoint_maker(self._reactor, tls),
                "random": SystemRandom().random,
                "now": self._shared.now,
            }
        desk = self._new_desk(section, exchange)
        if desk is not None and section.links is None:
            of_port["serve"] = serving(desk, exchange.serve)
        port = AcquirerPort(**of_port) if section.links is None else NetworkLinks(**of_port)
        if desk is not None:
            port.notices, desk.ways = desk, port.ways
        return port

    def _new_desk(self, section: AcquirerSection, exchange: Exchange) -> NoticeDesk | None:
        teller = self._shared.teller
        if section.notices is None or teller is None:
            return None
        return NoticeDesk(
            section, exchange, ways=list, take_late=teller.take_late, clock=self._reactor, now=self._shared.now
        )

    def _serving(self, port: AcquirerPort, section: AcquirerSection, exchange: Exchange) -> Serve:
        """Return who gets the frames of a port under another configuration."""
        desk = port.notices
        if section.notices is None or not isinstance(desk, NoticeDesk):
            desk = self._new_desk(section, exchange)
        if desk is None:
            port.notices = None
            return exchange.serve
        desk.section, desk.speaker, desk.ways = section, exchange, port.ways
        port.notices = desk
        return serving(desk, exchange.serve) if section.links is None else exchange.serve

    def _needs_port(self, section: AcquirerSection) -> bool:
        if section.state == "draining":
            return False
        served = self._served.get(section.id)
        return served is None or served.port.is_draining or not _is_at_same_address(served.port.section, section)

    def _serve(self, section: AcquirerSection, opened: Served | None, context: SSL.Context | None) -> None:
        served = self._served.get(section.id)
        if opened is not None:
            if served is not None:
                opened.retiring = [port for port in (served.port, *served.retiring) if not port.is_drained]
                served.port.drain(self._drain_seconds)
            self._served[section.id] = opened
            self.exchanges[section.id] = opened.exchange
            return
        exchange = exchange_of(section, self._shared, self.exchanges.get(section.id))
        self.exchanges[section.id] = exchange
        if served is None:  # begins drained: there is a network, and no port
            served = self._served[section.id] = Served(exchange, self._closed_port(section, exchange))
        served.exchange = exchange
        serve = self._serving(served.port, section, exchange)
        served.port.adopt(section, serve, partial(self._undelivered.note, exchange))
        if served.port.tls is not None and context is not None:
            served.port.tls.context = context
        if section.state == "draining" and not served.port.is_draining:
            log.info(Event.NETWORK_DRAINING, acquirer_id=section.id, in_flight=exchange.load.in_work)
            served.port.drain(self._drain_seconds).addCallback(
                lambda cut: log.info(Event.NETWORK_DRAINED, acquirer_id=section.id, cut=cut)
            )

    def _closed_port(self, section: AcquirerSection, exchange: Exchange) -> AcquirerPort:
        port = AcquirerPort(
            section=section,
            clock=self._reactor,
            serve=exchange.serve,
            metrics=self._shared.metrics.acquirer(section.id),
        )
        port.drain(0)
        return port

    def _remove(self, name: str) -> None:
        served = self._served.pop(name)
        self._leaving = [each for each in self._leaving if not each.port.is_drained]
        self._leaving.append(served)
        log.info(Event.NETWORK_DRAINING, acquirer_id=name, in_flight=served.exchange.load.in_work)
        served.port.drain(self._drain_seconds).addCallback(
            lambda cut: log.info(Event.NETWORK_DRAINED, acquirer_id=name, cut=cut)
        )


def _is_at_same_address(running: AcquirerSection, section: AcquirerSection) -> bool:
    if not (_listens(running) or _listens(section)):
        return running.links == section.links
    return (running.listen_host, running.listen_port) == (section.listen_host, section.listen_port)


def _listens(section: AcquirerSection) -> bool:
    return section.role != "we_connect"
