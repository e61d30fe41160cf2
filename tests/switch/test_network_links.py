"""Links that we open to a network's hosts: on a clock with pipes in memory, and on real sockets with a host that sells over them."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from acquirers.link_states import LinkState
from acquirers.registry import DIALECTS
from config.acquirer import AcquirerSection
from config.section import Endpoint
from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.tpdu import turn_tpdu
from messages.wire import WIRES
from switch.listener import ConnectionContext
from switch.log import LINES_PER_SECOND_MAX, Event
from switch.metrics import Metrics
from switch.network_links import NetworkLinks
from switch.networks import tls_contexts
from tests.switch import sale_bench
from tests.switch.sale_bench import CODES, TPDU, recharge, signed
from tests.switch.test_networks import Bench
from tests.switch.test_port_tls import Papers
from vending.response_code import ResponseCode

HOSTS = ["host-a:5000", "host-b:5000"]


class Pipe(StringTransport):
    """One connection of the link under test, and the host's pen."""

    def __init__(self, host: str, protocol: Any, wire: str) -> None:
        super().__init__()
        self.host, self.protocol, self.wire = host, protocol, WIRES[wire]
        self.is_ended = False

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - the name is Twisted's
        """Nothing to do."""

    def loseWriteConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        """The host ends its half too."""
        self.end(ConnectionDone())

    def loseConnection(self) -> None:
        """Both halves end."""
        self.end(ConnectionDone())

    def abortConnection(self) -> None:
        """Both halves end."""
        self.end(ConnectionLost())

    def end(self, why: Exception) -> None:
        """The connection is gone."""
        if not self.is_ended:
            self.is_ended = True
            self.protocol.connectionLost(Failure(why))

    def asked(self) -> list[IsoMessage]:
        """What the link sent since the last look."""
        events = FrameReader(self.wire.frame_style).receive(self.value())
        self.clear()
        bodies = [event.octets for event in events if isinstance(event, Frame)]
        return [self.wire.codec.decode(body[5:] if self.wire.has_tpdu else body) for body in bodies]

    def say(self, message: IsoMessage) -> None:
        """The host sends a message."""
        body = self.wire.codec.encode(message)
        self.protocol.dataReceived(
            write_frame(self.wire.frame_style, TPDU.octets + body if self.wire.has_tpdu else body)
        )

    def answer(self, question: IsoMessage, code: str) -> None:
        """The host answers a question."""
        fields = {number: text for number, text in question.fields.items() if number in (7, 11, 12, 24, 70)}
        self.say(IsoMessage(mti=question.answer_mti, fields={**fields, 39: code}))


class Scene:
    """Links over pipes, and a clock that only goes when it is told to."""

    def __init__(self, dialect: str = "datafono", **links: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics(CollectorRegistry())
        self.pipes: list[Pipe] = []
        self.dead: set[str] = set()
        self.tried: list[str] = []
        self.served: list[bytes] = []
        section = AcquirerSection.model_validate(
            {
                "id": "banco",
                "role": "we_connect",
                "dialect": dialect,
                "mac": {"register_id": 5},
                "links": {"hosts": HOSTS, "backoff_min_seconds": 1, "backoff_max_seconds": 8, **links},
            }
        )
        self.links = NetworkLinks(
            section=section,
            clock=self.clock,
            serve=self._serve,
            metrics=self.metrics.acquirer("banco"),
            dialect=DIALECTS[dialect](),
            endpoint_of=lambda host: _Endpoint(self, host),  # type: ignore[arg-type, return-value]
            random=lambda: 1.0,
            now=lambda: sale_bench.NOW,
        )

    async def _serve(self, _: ConnectionContext, frame: bytes) -> bytes | None:
        self.served.append(frame)
        return frame

    @property
    def states(self) -> list[LinkState]:
        """Where the links stand."""
        return [link.state for link in self.links.links]

    def counted(self, name: str, **labels: str) -> float:
        """A metric's value, 0 if it was never counted."""
        return self.metrics.registry.get_sample_value(f"eudora_{name}", {"acquirer": "banco", **labels}) or 0.0

    def up(self) -> Pipe:
        """Bring one link up."""
        self.links.begin()
        (question,) = self.pipes[-1].asked()
        self.pipes[-1].answer(question, "00")
        assert self.states == [LinkState.SIGNED_ON]
        return self.pipes[-1]


class _Endpoint:
    def __init__(self, scene: Scene, host: Endpoint) -> None:
        self._scene, self._host = scene, str(host)

    def connect(self, factory: Factory) -> Deferred[Any]:
        scene = self._scene
        scene.tried.append(self._host)
        if self._host in scene.dead:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        pipe = Pipe(self._host, protocol, scene.links.section.dialect)
        scene.pipes.append(pipe)
        protocol.makeConnection(pipe)
        done: Deferred[Any] = Deferred()
        done.callback(protocol)
        return done


APPROVALS = {"datafono": "00", "recargas": "00", "loteria": "800"}


@pytest.mark.parametrize("dialect", APPROVALS)
def test_a_link_is_up_when_the_host_approved_and_not_before(dialect: str) -> None:
    """TCP up and signed on are two states; the host's approval in its own spelling makes the difference."""
    scene = Scene(dialect)
    scene.links.begin()
    assert scene.states == [LinkState.TCP_UP]
    assert scene.counted("network_links", state="tcp_up") == 1
    (question,) = scene.pipes[0].asked()
    assert question.get(70 if dialect != "loteria" else 24) == ("001" if dialect != "loteria" else "801")
    scene.pipes[0].answer(question, APPROVALS[dialect])
    assert scene.links.is_up
    assert (scene.counted("network_links", state="tcp_up"), scene.counted("network_links", state="signed_on")) == (0, 1)


def test_a_host_that_refuses_loses_the_link_and_the_next_is_tried() -> None:
    """Refused, silent, closed at once, unreachable: each is waited out, and each time with another host."""
    scene = Scene()
    scene.links.begin()
    (question,) = scene.pipes[0].asked()
    scene.pipes[0].answer(question, "91")
    assert scene.states == [LinkState.BACKING_OFF]
    scene.clock.advance(1)
    scene.clock.advance(10)  # host-b is silent
    assert scene.states == [LinkState.BACKING_OFF]
    scene.clock.advance(2)
    scene.pipes[2].end(ConnectionLost())
    scene.dead = set(HOSTS)
    scene.clock.advance(4)
    assert scene.tried == ["host-a:5000", "host-b:5000", "host-a:5000", "host-b:5000"]
    reasons = {reason: scene.counted("network_links_failed_total", reason=reason) for reason in
               ("refused", "unanswered", "peer_lost", "unreachable")}  # fmt: skip
    assert reasons["refused"] == reasons["unanswered"] == reasons["unreachable"] == 1
    assert reasons["peer_lost"] >= 1


def test_a_network_that_is_away_is_not_stormed() -> None:
    """An hour without a host: the waits double up to their bound, so the attempts are few and never stop."""
    scene = Scene(count=3)
    scene.dead = set(HOSTS)
    scene.links.begin()
    for _ in range(3600 // 8):
        scene.clock.advance(8)
    assert scene.states == [LinkState.BACKING_OFF] * 3
    assert 3 * (3600 // 8 - 10) <= len(scene.tried) <= 3 * (3600 // 8 + 10)


def test_links_are_dealt_out_and_move_away_from_a_dead_host() -> None:
    """Four links over two hosts stand two and two; when one host dies its links go to the other."""
    scene = Scene(count=4, signs_on=False)
    scene.links.begin()
    assert scene.tried == HOSTS * 2
    scene.dead = {HOSTS[0]}
    for pipe in list(scene.pipes):
        if pipe.host == HOSTS[0]:
            pipe.end(ConnectionLost())
    scene.clock.advance(1)
    assert scene.states == [LinkState.SIGNED_ON] * 4
    assert [row["host"] for row in scene.links.link_rows()] == [HOSTS[1]] * 4


def test_an_idle_link_is_asked_and_a_busy_one_is_not() -> None:
    """Only silence brings an echo; a host that does not answer it loses the link."""
    scene = Scene(echo_interval_seconds=60, answer_timeout_seconds=5)
    pipe = scene.up()
    for _ in range(10):
        scene.clock.advance(30)
        pipe.say(recharge())
    assert len(scene.served) == 10
    pipe.clear()
    scene.clock.advance(60)
    (echo,) = pipe.asked()
    assert echo.text(70) == "301"
    pipe.answer(echo, "00")
    scene.clock.advance(60)
    assert len(pipe.asked()) == 1
    scene.clock.advance(5)
    assert scene.states == [LinkState.BACKING_OFF]
    assert scene.counted("connections_closed_total", reason="host_failed") == 1


def test_a_late_answer_is_counted_and_changes_nothing() -> None:
    """An answer to what we ask no longer, or never asked, is neither served nor taken for another."""
    scene = Scene()
    scene.links.begin()
    (question,) = scene.pipes[0].asked()
    scene.pipes[0].answer(IsoMessage(mti="0800", fields={**question.fields, 11: "777777"}), "00")
    assert scene.states == [LinkState.TCP_UP]
    assert scene.counted("host_answers_total", outcome="late") == 1
    scene.pipes[0].answer(question, "00")
    scene.pipes[0].answer(question, "00")
    assert scene.states == [LinkState.SIGNED_ON]
    assert scene.counted("host_answers_total", outcome="late") == 2
    assert scene.served == []


def test_a_host_that_answers_what_nobody_asked_fills_no_log() -> None:
    """Each is counted, some are written down, and then how many were not."""
    scene = Scene()
    pipe = scene.up()
    with capture_logs() as lines:
        for _ in range(10 * LINES_PER_SECOND_MAX):
            pipe.answer(IsoMessage(mti="0800", fields={7: "1123170956", 11: "777777", 24: "001", 70: "301"}), "00")
        scene.clock.advance(1)
    assert scene.counted("host_answers_total", outcome="late") == 10 * LINES_PER_SECOND_MAX
    written = [line["event"] for line in lines]
    assert written.count(Event.NETWORK_LINK_ANSWER_UNPAIRED) == LINES_PER_SECOND_MAX
    assert written.count(Event.LINES_SUPPRESSED) == 1


def test_the_host_is_told_when_we_leave() -> None:
    """A drained link signs off, ends, and is gone from the metrics; nothing is left on the clock."""
    scene = Scene()
    pipe = scene.up()
    done = scene.links.drain(5)
    assert [message.text(70) for message in pipe.asked()] == ["002"]
    assert done.called
    assert scene.links.is_drained
    assert [scene.counted("network_links", state=state.value) for state in LinkState] == [0] * len(LinkState)
    assert scene.clock.getDelayedCalls() == []


@pytest.mark.parametrize("way", ["connecting", "tcp_up", "backing_off"])
def test_a_link_that_is_not_up_ends_as_well(way: str) -> None:
    """Whatever it was doing, a drain ends it and leaves no timer behind."""
    scene = Scene()
    if way == "connecting":
        scene.links.links[0]._endpoint_of = lambda _: _Never()  # type: ignore[assignment, return-value]
    scene.dead = set(HOSTS) if way == "backing_off" else set()
    scene.links.begin()
    assert [state.value for state in scene.states] == [way]
    assert scene.links.drain(5).called
    assert scene.states == [LinkState.DOWN]
    assert scene.clock.getDelayedCalls() == []


class _Never:
    def connect(self, _: Factory) -> Deferred[Any]:
        return Deferred()


class Host(Protocol):
    """A partner's host on a real socket: approves sign-ons, and sells over the link that was opened to it."""

    def __init__(self, codes: list[ResponseCode], sale: Callable[[], bytes]) -> None:
        self._reader = FrameReader(FrameStyle.BINARY_2, 4096)
        self._codes, self._sale = codes, sale

    def dataReceived(self, data: bytes) -> None:
        for event in self._reader.receive(data):
            assert isinstance(event, Frame)
            prefix, body = turn_tpdu(event.octets)
            message = WIRES["datafono"].codec.decode(body)
            if message.is_request:
                back = {number: text for number, text in message.fields.items() if number in (7, 11, 70)}
                answer = IsoMessage(mti=message.answer_mti, fields={**back, 39: "00"})
                self._write(prefix + WIRES["datafono"].codec.encode(answer))
                self._write(TPDU.octets + self._sale())
            else:
                self._codes.append(CODES[message.text(39)])

    def _write(self, frame: bytes) -> None:
        cast(Any, self.transport).write(write_frame(FrameStyle.BINARY_2, frame))


@pytest.mark.parametrize("role", ["we_connect", "both"])
def test_a_host_sells_over_the_link_that_we_opened(role: str) -> Deferred[None]:
    """Who opened the connection makes no difference to a sale; a host that drops it gets it back and sells again."""
    bench = Bench()
    codes: list[ResponseCode] = []
    hosts: list[Host] = []

    def build() -> Host:
        stan = f"{len(hosts) + 1:06d}"
        host = Host(codes, lambda: signed(recharge(stan=stan, meter=f"37{len(hosts):09d}")))
        hosts.append(host)
        return host

    async def until(condition: Callable[[], bool]) -> None:
        for _ in range(200):
            if condition():
                return
            await deferLater(bench.reactor, 0.02)
        raise AssertionError(f"did not come to it: {bench.row()} {codes}")

    async def scene() -> None:
        factory = Factory.forProtocol(build)
        factory.noisy = False
        listening = bench.reactor.listenTCP(0, factory, interface="127.0.0.1")
        host_address = f"127.0.0.1:{listening.getHost().port}"
        links = {"hosts": [host_address], "backoff_min_seconds": 0.05}
        extra: dict[str, Any] = {"listen_port": 0} if role == "both" else {}
        section = AcquirerSection.model_validate(
            {
                "id": "banco",
                "role": role,
                "links": links,
                "mac": {"register_id": 5},
                "is_sign_on_required": True,
                **extra,
            }
        )
        bench.apply(section)
        await until(lambda: codes == [ResponseCode.APPROVED])
        assert bench.row()["links"] == [{"host": host_address, "state": "signed_on"}]
        assert ("banco" in bench.networks.addresses) is (role == "both")
        cast(Any, hosts[0].transport).abortConnection()
        await until(lambda: len(codes) == 2)
        assert codes[1] is ResponseCode.APPROVED
        changed = section.model_copy(update={"in_flight_max": 100})
        assert bench.apply(changed) == []
        assert len(hosts) == 2, "a change of something else keeps the link"
        await bench.networks.drain(1)
        await listening.stopListening()

    return Deferred.fromCoroutine(scene())


@pytest.mark.parametrize(
    ("who", "outcome"), [("host", "signed_on"), ("other name", "refused"), ("stranger", "refused")]
)
def test_a_link_is_encrypted_and_only_to_the_network(who: str, outcome: str, tmp_path: Path) -> Deferred[None]:
    """Our certificate is shown; a host of another authority or name learns nothing and is tried again."""
    papers = Papers(tmp_path)
    leaf = {
        "host": papers.theirs.issue_cert("host.red.test"),
        "other name": papers.theirs.issue_cert("host.blue.test"),
        "stranger": papers.strangers.issue_cert("host.red.test"),
    }[who]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    papers.ours.configure_trust(context)
    leaf.configure_cert(context)
    bench = Bench()

    def host(listening: socket.socket) -> bytes:
        plain, _ = listening.accept()
        with plain:
            plain.settimeout(10)
            try:
                with context.wrap_socket(plain, server_side=True) as link:
                    received = link.recv(4096)
                    wire = WIRES["datafono"]
                    message = wire.codec.decode(received[7:])
                    fields = {number: message.text(number) for number in (7, 11, 70)}
                    body = wire.codec.encode(IsoMessage(mti="0810", fields={**fields, 39: "00"}))
                    link.sendall(write_frame(wire.frame_style, TPDU.octets + body))
                    link.recv(4096)  # the sign-off of the drain
                    return received
            except OSError:
                return b""

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            heard = deferToThread(host, listening)
            section = AcquirerSection.model_validate(
                {
                    "id": "red",
                    "role": "we_connect",
                    "links": {"hosts": [address], "backoff_min_seconds": 30, "backoff_max_seconds": 30},
                    "tls": papers.section(),
                    "mac": {"register_id": 5},
                }
            )
            bench.networks.apply({"red": section}, tls_contexts({"red": section}))
            registry = bench.metrics.registry
            labels = {"acquirer": "red", "reason": "tls_refused"}
            for _ in range(300):
                if bench.row("red")["links"] == [{"host": address, "state": "signed_on"}]:
                    found = "signed_on"
                    break
                if registry.get_sample_value("eudora_network_links_failed_total", labels):
                    found = "refused"
                    break
                await deferLater(bench.reactor, 0.02)
            else:
                raise AssertionError(str(bench.row("red")))
            await bench.networks.drain(1)
            assert found == outcome
            assert bool(await heard) is (outcome == "signed_on")

    return Deferred.fromCoroutine(scene())
