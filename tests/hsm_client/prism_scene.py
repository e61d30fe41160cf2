"""A client of a PrismToken-style service with simulators before it, for tests: over real sockets and real TLS."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import deferLater

from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.prism import PrismModule, PrismRegister
from hsm_client.prism_wire import Account
from hsm_client.tls import client_tls, module_endpoint
from messages.prism import PrismMessages
from security_module.registers import ModuleKeys
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.hsm_client.fake_module import RecordingObserver
from tests.hsm_client.prism_simulator import (
    PASSWORD,
    SUPPLY_GROUP_BASE,
    USERNAME,
    PrismSimulator,
    SimulatorFactory,
)
from vending.money import Tenths
from vending.ports import MintRequest
from vending.secret import Secret

NAME = "token-service"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TIMEOUT_SECONDS = 1.5
CREDIT = "issueCreditToken"
FETCH = "fetchTokenResult"

_ids = count(1)


def next_id() -> int:
    """A number that no test had before."""
    return next(_ids)


def clock() -> Any:
    from twisted.internet import reactor  # noqa: TID251 - a test on real sockets

    return reactor


@dataclass(frozen=True)
class Papers:
    """The service's certificate and who signed it."""

    ca_pem: bytes
    server: Any


@dataclass
class Service:
    """A listening simulator that can be stopped and started again on its port."""

    simulator: PrismSimulator
    papers: Papers
    number: int = 0
    _port: Any = None
    _factory: Any = None

    async def start(self) -> None:
        self._factory = SimulatorFactory(self.simulator)
        endpoint = SSL4ServerEndpoint(clock(), self.number, self.papers.server, interface="127.0.0.1")
        self._port = await endpoint.listen(self._factory)
        self.number = self._port.getHost().port

    async def stop(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None
            for link in self._factory.links:
                if link.is_open:
                    link.transport.abortConnection()


@dataclass
class News:
    """What an auditor reads."""

    made: list[tuple[int, str, str, int]] = field(default_factory=list)
    moved: list[tuple[int, int, int]] = field(default_factory=list)

    def token_made(self, link: str, request_id: int, *, module_id: str, key_check_value: str, tid: int) -> None:
        self.made.append((request_id, module_id, key_check_value, tid))

    def tid_differs(self, link: str, request_id: int, *, asked: int, got: int) -> None:
        self.moved.append((request_id, asked, got))


@dataclass
class Scene:
    """Services and the client before them."""

    services: list[Service]
    module: PrismModule
    news: News
    observer: RecordingObserver

    @property
    def simulator(self) -> PrismSimulator:
        return self.services[0].simulator

    @property
    def trouble(self) -> Any:
        return self.simulator.trouble

    async def until(self, happens: Callable[[], object]) -> None:
        while not happens():
            await deferLater(clock(), 0.01)

    async def error_of(self, request: MintRequest) -> Exception:
        try:
            await self.module.mint(request)
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            return error
        raise AssertionError("it was minted")


@asynccontextmanager
async def scene(keys: ModuleKeys, papers: Papers, services: int = 1, password: str = PASSWORD) -> AsyncIterator[Scene]:
    """A client with its links up."""
    running = [Service(PrismSimulator(keys.vending), papers) for _ in range(services)]
    for each in running:
        await each.start()
    tls = client_tls(ca_pem=papers.ca_pem, client_pem=None, server_name=NAME, is_ours=False)
    news, observer = News(), RecordingObserver()
    module = PrismModule(
        [
            (str(at), module_endpoint(clock(), host="127.0.0.1", port=each.number, tls=tls))
            for at, each in enumerate(running)
        ],
        messages=PrismMessages(),
        account=Account(realm="local", username=USERNAME, password=Secret(password)),
        registers={
            each: PrismRegister(
                supply_group_code=SUPPLY_GROUP_BASE + each,
                key_revision_number=register.key_revision_number,
                key_expiry_number=255,
                base_date=BaseDate.Y2014,
            )
            for each, register in keys.vending.items()
        },
        carrier_type=2,
        news=news,
        new_id=lambda: f"question-{next(_ids)}",
        clock=clock(),
        random=lambda: 0.5,
        observer=observer,
        link_limits=LinkLimits(backoff_base_seconds=0.05, backoff_max_seconds=0.1, ping_interval_seconds=0.1),
        limits=PoolLimits(timeout_seconds=TIMEOUT_SECONDS),
    )
    module.start()
    try:
        made = Scene(running, module, news, observer)
        if password == PASSWORD:
            await made.until(lambda: all(state.value == "up" for state in module.states.values()))
        yield made
    finally:
        await module.stop()
        for each in running:
            await each.stop()


Steps = Callable[[Scene], Awaitable[None]]


def run(keys: ModuleKeys, papers: Papers, steps: Steps, services: int = 1) -> Deferred[None]:
    """Hand the steps of a test to the reactor."""

    async def all_of_it() -> None:
        async with scene(keys, papers, services) as made:
            await steps(made)

    return ensureDeferred(all_of_it()).addTimeout(20, clock())


def request(**changes: Any) -> MintRequest:
    """An order for 49.1 kWh under an id of its own."""
    made = MintRequest(
        request_id=next(_ids) + 1_000_000,
        register_id=1,
        pan="600727000000000009",
        tariff_index=1,
        encryption_algorithm=7,
        subclass=0,
        tokens=((tid_at(NOW, BaseDate.Y2014), Tenths(491)),),
    )
    return replace(made, **changes)
