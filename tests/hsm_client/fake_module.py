"""A security module in memory that speaks the real protocol, and an endpoint that leads to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.observer import LinkState
from hsm_client.pool import SecurityModulePool
from messages.security_module import Command as ModuleCommand
from messages.security_module import (
    FrameReader,
    GenerateMac,
    Identify,
    IdentifyReply,
    MacReply,
    MacVerified,
    MintReply,
    Refused,
    Reply,
    Request,
    Status,
    VerifyMac,
    decode_request,
    encode_reply,
)
from vending.money import Tenths
from vending.ports import MacKey, MintRequest
from vending.secret import Secret

T = TypeVar("T")

KEY = MacKey(register_id=7, scheme="AES-CMAC", diversifier="T0000001")


def mint_request(request_id: int = 1, tokens: int = 1) -> MintRequest:
    """A mint request for *tokens* tokens."""
    return MintRequest(
        request_id=request_id,
        register_id=1,
        pan="600727000000000009",
        tariff_index=1,
        encryption_algorithm=7,
        subclass=0,
        tokens=tuple((1000 + at, Tenths(50)) for at in range(tokens)),
    )


def digits_of(request: MintRequest) -> list[str]:
    """What the fake mints for *request*: a function of it alone, as the real one."""
    return [f"{request.request_id:010d}{tid:010d}" for tid, _ in request.tokens]


def mac_of(data: bytes) -> bytes:
    """What the fake says is the MAC of *data*."""
    return data[:8].ljust(8, b"\0")


def honest_reply(request: Request) -> Reply:
    """Answer as a healthy module."""
    match request:
        case MintRequest():
            return MintReply(tokens=tuple(Secret(digits) for digits in digits_of(request)))
        case GenerateMac():
            return MacReply(mac=mac_of(request.data))
        case VerifyMac():
            if request.mac == mac_of(request.data):
                return MacVerified()
            return Refused(command=ModuleCommand.VERIFY_MAC, status=Status.MAC_MISMATCH)
        case Identify():
            return IdentifyReply(module_id="fake", role="switch", clock_unix_milliseconds=0, check_values=())
        case _:
            raise AssertionError(request)


class ModuleTransport(StringTransport):
    """Ends the way a socket does: in a later turn of the reactor, by ``connectionLost``."""

    def __init__(self, clock: Clock, module: "FakeModule") -> None:
        super().__init__()
        self.clock = clock
        self.module = module
        self.protocol: IProtocol | None = None
        self.is_ended = False
        self.writes: list[bytes] = []
        self.reader = FrameReader()

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if not self.is_ended:
            self.module.receive(self, data)

    def loseConnection(self) -> None:
        if self.module.closes_in_order:
            self.clock.callLater(0, self.end, ConnectionDone())

    def abortConnection(self) -> None:
        self.clock.callLater(0, self.end, ConnectionLost("aborted"))

    def end(self, reason: Exception) -> None:
        """The connection ends now."""
        if not self.is_ended:
            self.is_ended = True
            assert self.protocol is not None
            self.protocol.connectionLost(Failure(reason))

    def deliver(self, data: bytes) -> None:
        """Octets come from the module."""
        if not self.is_ended:
            assert self.protocol is not None
            self.protocol.dataReceived(data)


@implementer(IStreamClientEndpoint)
class FakeModule:
    """A module and the way to it.

    Attributes:
        mode: what becomes of an attempt to connect: "accept", "refuse" or "hang".
        reply: makes the answer; None holds the request in ``held``.
        closes_in_order: whether the peer takes part in closing.
        requests: everything it ever read, without the identifications.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.mode = "accept"
        self.reply: Callable[[Request], Reply | None] = honest_reply
        self.closes_in_order = True
        self.attempts = 0
        self.factory: IProtocolFactory | None = None
        self.identifications = 0
        self.requests: list[Request] = []
        self.held: list[tuple[ModuleTransport, int, Request]] = []
        self.transports: list[ModuleTransport] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803 - the interface's name
        self.attempts += 1
        self.factory = protocolFactory
        if self.mode == "hang":
            return Deferred()
        if self.mode == "refuse":
            return fail(ConnectionRefusedError())
        return succeed(self.accept(protocolFactory))

    def accept(self, protocolFactory: IProtocolFactory) -> IProtocol:  # noqa: N803 - the interface's name
        """Make a connection."""
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 7300))
        assert protocol is not None
        transport = ModuleTransport(self.clock, self)
        transport.protocol = protocol
        self.transports.append(transport)
        protocol.makeConnection(transport)
        return protocol

    @property
    def transport(self) -> ModuleTransport:
        """The newest connection."""
        return self.transports[-1]

    def receive(self, transport: ModuleTransport, data: bytes) -> None:
        """Read requests; answer each in a later turn, or hold it."""
        for body in transport.reader.receive(data):
            correlation_id, request = decode_request(body)
            if isinstance(request, Identify):
                self.identifications += 1
            else:
                self.requests.append(request)
            reply = self.reply(request)
            if reply is None:
                self.held.append((transport, correlation_id, request))
            else:
                self.clock.callLater(0, transport.deliver, encode_reply(correlation_id, reply))

    def release(self) -> None:
        """Answer honestly what was held, the last first."""
        held, self.held = self.held, []
        for transport, correlation_id, request in reversed(held):
            transport.deliver(encode_reply(correlation_id, honest_reply(request)))


def only_identifies(request: Request) -> Reply | None:
    """A module that answers pings and holds everything else."""
    return honest_reply(request) if isinstance(request, Identify) else None


def silent(_request: Request) -> Reply | None:
    """A module that holds everything: a black hole."""
    return None


def refusing(status: Status) -> Callable[[Request], Reply | None]:
    """A module that identifies itself and answers everything else by *status*."""
    commands = {
        MintRequest: ModuleCommand.MINT,
        GenerateMac: ModuleCommand.GENERATE_MAC,
        VerifyMac: ModuleCommand.VERIFY_MAC,
    }

    def reply(request: Request) -> Reply | None:
        if isinstance(request, Identify):
            return honest_reply(request)
        return Refused(command=commands[type(request)], status=status)

    return reply


@dataclass
class RecordingObserver:
    """Writes down all it is told."""

    events: list[tuple[object, ...]] = field(default_factory=list)

    def link_changed(self, link: str, old: LinkState, new: LinkState) -> None:
        self.events.append(("changed", link, old.value, new.value))

    def connection_failed(self, link: str, reason: str) -> None:
        self.events.append(("failed", link, reason))

    def reconnect_scheduled(self, link: str, failures: int, delay_seconds: float) -> None:
        self.events.append(("reconnect", link, failures, delay_seconds))

    def request_timed_out(self, link: str) -> None:
        self.events.append(("timed_out", link))

    def reply_late(self, link: str) -> None:
        self.events.append(("late", link))

    def request_retried(self, link: str) -> None:
        self.events.append(("retried", link))

    def named(self, name: str) -> list[tuple[object, ...]]:
        """The events of one name."""
        return [event for event in self.events if event[0] == name]


class Scene:
    """A pool over fake modules "a", "b", ... on one clock."""

    def __init__(
        self, modules: int = 2, *, link_limits: LinkLimits | None = None, limits: PoolLimits | None = None
    ) -> None:
        self.clock = Clock()
        self.observer = RecordingObserver()
        self.modules = [FakeModule(self.clock) for _ in range(modules)]
        self.draws = 0.5
        self.pool = SecurityModulePool(
            list(zip("abcdefgh", self.modules, strict=False)),
            clock=self.clock,
            random=lambda: self.draws,
            observer=self.observer,
            link_limits=link_limits,
            limits=limits,
        )

    def start(self) -> "Scene":
        """Start the pool and let its links come up."""
        self.pool.start()
        self.settle()
        return self

    def settle(self) -> None:
        """Let the reactor turn until nothing is left to do now."""
        self.clock.advance(0)

    def stop(self) -> None:
        """Stop the pool; nothing of it may be left on the clock."""
        stopped = self.pool.stop()
        self.settle()
        for _ in range(3):
            if not stopped.called:
                self.clock.advance(1.0)
        assert stopped.called
        assert self.clock.getDelayedCalls() == []


def result_of(deferred: Deferred[T]) -> T:
    """The result that *deferred* has now."""
    got: list[T] = []
    deferred.addCallback(got.append)
    assert deferred.called, "no result yet"
    assert got, "it failed"
    return got[0]


def error_of(deferred: Deferred[T]) -> BaseException:
    """The error that *deferred* has now; it is consumed."""
    got: list[BaseException] = []

    def take(failure: Failure) -> None:
        assert failure.value is not None
        got.append(failure.value)

    deferred.addErrback(take)
    assert deferred.called, "no result yet"
    assert got, "it succeeded"
    return got[0]
