"""The configuration changes while sockets are open: no link is lost, no sale is lost, and the change is seen."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from config.acquirer import AcquirerSection
from messages.codec import DATAFONO
from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso_message import IsoMessage
from switch.metrics import Metrics
from switch.networks import CannotApply, Networks
from switch.undelivered import UndeliveredAnswers
from tests.switch import sale_bench
from tests.switch.fakes import Fake
from tests.switch.sale_bench import CODES, TPDU, network, recharge, signed
from vending.ports import MacKey
from vending.response_code import ResponseCode

SOON_SECONDS = 10.0
NIGHT = {"hours": ["20:00-02:00"]}
SALES = 200
APPLIES = 20


class SlowModule(sale_bench.FakeModule):
    """Takes a moment over each MAC, so that changes meet requests in work."""

    reactor: Any = None

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """Later."""
        verify = super().verify_mac
        soon: Deferred[None] = deferLater(self.reactor, 0.01)
        return soon.addCallback(lambda _: verify(key, data, mac, timeout_seconds=timeout_seconds))


class Bench:
    """Networks on real sockets over a ledger and a module in memory."""

    def __init__(self) -> None:
        from twisted.internet import reactor  # noqa: TID251 - these tests are about real sockets

        self.reactor: Any = reactor
        self.sales = sale_bench.Bench()
        SlowModule.reactor = reactor
        self.metrics = Metrics(CollectorRegistry())
        self.lost: list[str] = []
        self.networks = Networks(
            replace(
                self.sales.shared,
                module=SlowModule(self.sales.events),
                reactor=reactor,
                monotonic=reactor.seconds,
                metrics=self.metrics,
            ),
            undelivered=UndeliveredAnswers(
                write=_Never(), lost=self.metrics.undelivered_lost, now=lambda: sale_bench.NOW
            ),
            reactor=reactor,
            drain_seconds=5.0,
        )

    def section(self, name: str = "banco", **changes: Any) -> AcquirerSection:
        """One network."""
        return AcquirerSection.model_validate({"id": name, "listen_port": 0, "mac": {"register_id": 5}, **changes})

    def apply(self, *sections: AcquirerSection) -> list[str]:
        """Serve exactly these; return what was kept."""
        return [str(each) for each in self.networks.apply({each.id: each for each in sections}, {})]

    def address(self, name: str = "banco") -> tuple[str, int]:
        """Where a network is served."""
        host, _, port = self.networks.addresses[name].rpartition(":")
        return host, int(port)

    def row(self, name: str = "banco") -> dict[str, object]:
        """What the health page says of a network."""
        (row,) = (row for row in self.networks.rows() if row["id"] == name)
        return row

    async def later(self) -> None:
        """Let the sockets move."""
        await deferLater(self.reactor, 0.02)


class _Never(Fake[Any, None]):
    """Nothing is ever undeliverable in these tests."""

    def __init__(self) -> None:
        super().__init__("undelivered", [], self._fail)

    @staticmethod
    def _fail(item: Any) -> None:
        raise AssertionError(f"undeliverable: {item}")

    def when_idle(self) -> Deferred[None]:
        """At once."""
        raise NotImplementedError


class Link:
    """A terminal's connection; its calls block, so they are made in a thread."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, SOON_SECONDS)
        self._reader = FrameReader(FrameStyle.BINARY_2, 4096)

    def ask(self, message: IsoMessage) -> ResponseCode:
        """Send one and wait for its answer."""
        self.tell(message)
        while True:
            data = self.socket.recv(4096)
            assert data, "the link was lost"
            for event in self._reader.receive(data):
                assert isinstance(event, Frame)
                answer = DATAFONO.decode(event.octets[5:])
                assert answer.text(11) == message.text(11)
                return CODES[answer.text(39)]

    def tell(self, message: IsoMessage) -> None:
        """Send one that nobody answers."""
        body = DATAFONO.encode(message) if message.mti[1] == "8" else signed(message)
        self.socket.sendall(write_frame(FrameStyle.BINARY_2, TPDU.octets + body))

    def is_ended(self) -> bool:
        """Whether the switch ended it."""
        self.socket.settimeout(SOON_SECONDS)
        try:
            return self.socket.recv(4096) == b""
        except ConnectionError:
            return True


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    pytest_twisted.blockon(made.networks.drain(0.2))


def test_twenty_changes_under_load_lose_no_link_and_no_sale(bench: Bench) -> Deferred[None]:
    """Two hundred sales on eight links while twenty changes are applied; each one is answered, and the last change is in force."""

    async def scene() -> None:
        bench.apply(bench.section())
        links = [Link(bench.address()) for _ in range(8)]

        def sell(number: int) -> list[ResponseCode]:
            stans = range(number, SALES, len(links))
            return [
                links[number].ask(
                    recharge(stan=f"{stan + 1:06d}", meter=f"37{stan:09d}", terminal_id=f"TERM{number:04d}")
                )
                for stan in stans
            ]

        selling = DeferredList([deferToThread(sell, number) for number in range(len(links))], fireOnOneErrback=True)
        for number in range(APPLIES):
            await deferLater(bench.reactor, 0.01)
            bench.apply(bench.section(answer_deadline_seconds=10 + number, requests_per_second_max=100_000 - number))
        codes = [code for _, part in await selling for code in part]
        assert codes == [ResponseCode.APPROVED] * SALES
        assert len(bench.sales.ledger.sales) == SALES
        assert bench.row()["connections"] == len(links)
        bench.apply(bench.section(sells=NIGHT))
        assert await deferToThread(links[0].ask, recharge(stan="000999")) is ResponseCode.OUTSIDE_HOURS
        for link in links:
            link.socket.close()

    return Deferred.fromCoroutine(scene())


def test_a_link_stays_signed_on_across_a_change(bench: Bench) -> Deferred[None]:
    """A terminal need not notice that somebody edited a file."""

    async def scene() -> None:
        bench.apply(bench.section(is_sign_on_required=True))
        link = Link(bench.address())
        assert await deferToThread(link.ask, network("001")) is ResponseCode.APPROVED
        bench.apply(bench.section(is_sign_on_required=True, in_flight_max=100))
        assert await deferToThread(link.ask, recharge()) is ResponseCode.APPROVED
        link.socket.close()

    return Deferred.fromCoroutine(scene())


def test_networks_come_and_go(bench: Bench) -> Deferred[None]:
    """An added one gets a port; a removed one is drained, its port is closed, and its open sales can still be finished."""

    async def scene() -> None:
        bench.apply(bench.section())
        bench.apply(bench.section(), bench.section("red"))
        link, address = Link(bench.address("red")), bench.address("red")
        assert await deferToThread(link.ask, recharge()) is ResponseCode.APPROVED
        bench.apply(bench.section())
        assert await deferToThread(link.is_ended)
        link.socket.close()
        await bench.later()
        assert list(bench.networks.addresses) == ["banco"]
        assert [row["id"] for row in bench.networks.rows()] == ["banco"]
        assert set(bench.networks.exchanges) == {"banco", "red"}
        with pytest.raises(ConnectionRefusedError):
            await deferToThread(Link, address)

    return Deferred.fromCoroutine(scene())


def test_a_changed_port_is_opened_before_the_old_one_is_drained(bench: Bench) -> Deferred[None]:
    """Two addresses serve for a moment; the request in work on the old one is answered there."""

    async def scene() -> None:
        bench.apply(bench.section())
        old = bench.address()
        link = Link(old)
        asking = deferToThread(link.ask, recharge())
        while not bench.row()["in_flight"]:
            await deferLater(bench.reactor, 0.001)
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = free.getsockname()[1]
        assert bench.apply(bench.section(listen_port=number, framing="ascii4")) == []
        assert bench.address() == ("127.0.0.1", number)
        assert await asking is ResponseCode.APPROVED
        assert await deferToThread(link.is_ended)
        link.socket.close()
        await bench.later()
        with pytest.raises(ConnectionRefusedError):
            await deferToThread(Link, old)

    return Deferred.fromCoroutine(scene())


def test_a_port_that_cannot_be_opened_changes_nothing(bench: Bench) -> None:
    """Not the other networks of the same file either."""
    bench.apply(bench.section())
    before = bench.networks.exchanges["banco"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(CannotApply, match=r"acquirers\.red\.listen_port: cannot be opened"):
            bench.apply(bench.section(sells=NIGHT), bench.section("green"), bench.section("red", listen_port=number))
    assert bench.networks.exchanges == {"banco": before}
    assert list(bench.networks.addresses) == ["banco"]


def test_a_spelling_that_does_not_fit_changes_nothing(bench: Bench) -> None:
    """It is found before anything is done."""
    with pytest.raises(CannotApply, match=r"acquirers\.banco\.response_codes\.float_short"):
        bench.apply(bench.section(response_codes={"float_short": "00"}))
    assert bench.networks.exchanges == {}


def test_what_connections_speak_needs_a_restart_or_another_port(bench: Bench) -> Deferred[None]:
    """At the same address it is kept as it was, and said; the rest of the change is in force."""

    async def scene() -> None:
        bench.apply(bench.section())
        link = Link(bench.address())
        kept = bench.apply(bench.section(framing="ascii4", has_tpdu=False, sells=NIGHT))
        assert kept == [
            "acquirers.banco.framing: needs a restart, or another listen_port",
            "acquirers.banco.has_tpdu: needs a restart, or another listen_port",
        ]
        assert await deferToThread(link.ask, recharge()) is ResponseCode.OUTSIDE_HOURS
        link.socket.close()

    return Deferred.fromCoroutine(scene())


def test_a_draining_network_ends_its_links_and_serves_again_when_told(bench: Bench) -> Deferred[None]:
    """What is in work is answered, the health page says when it is done, and the way back needs no restart."""

    async def scene() -> None:
        bench.apply(bench.section())
        link, address = Link(bench.address()), bench.address()
        asking = deferToThread(link.ask, recharge())
        while not bench.row()["in_flight"]:
            await deferLater(bench.reactor, 0.001)
        bench.apply(bench.section(state="draining"))
        assert bench.row()["is_drained"] is False
        assert await asking is ResponseCode.APPROVED
        assert await deferToThread(link.is_ended)
        link.socket.close()
        for _ in range(200):
            if bench.row()["is_drained"]:
                break
            await bench.later()
        assert bench.row()["is_drained"] is True
        with pytest.raises(ConnectionRefusedError):
            await deferToThread(Link, address)
        bench.apply(bench.section(state="draining"))
        bench.apply(bench.section())
        again = Link(bench.address())
        assert await deferToThread(again.ask, recharge(stan="000002", meter="37000000015")) is ResponseCode.APPROVED
        again.socket.close()

    return Deferred.fromCoroutine(scene())


def test_a_network_that_begins_draining_has_no_port(bench: Bench) -> None:
    """It is known, and nobody can connect; later it serves."""
    bench.apply(bench.section(state="draining"))
    assert bench.row()["is_drained"] is True
    bench.apply(bench.section())
    assert bench.address()[1]


def test_nothing_is_opened_once_the_end_has_begun(bench: Bench) -> None:
    """A change that comes during the drain of the process must not begin to serve again."""
    bench.apply(bench.section())
    bench.networks.drain(0.2)
    with pytest.raises(CannotApply, match="the switch is ending"):
        bench.apply(bench.section(), bench.section("red"))
    assert list(bench.networks.addresses) == ["banco"]


def test_only_allowed_peers_connect_and_a_change_ends_the_others(bench: Bench) -> Deferred[None]:
    """Refused by name; who is not allowed any more is drained after his answers, the rest stays."""

    async def scene() -> None:
        bench.apply(bench.section(allowed_peers=["192.0.2.0/24"]))
        refused = Link(bench.address())
        assert await deferToThread(refused.is_ended)
        refused.socket.close()
        labels = {"acquirer": "banco", "reason": "not_allowed"}
        assert bench.metrics.registry.get_sample_value("eudora_connections_refused_total", labels) == 1
        bench.apply(bench.section(allowed_peers=["192.0.2.0/24", "127.0.0.1"]))
        link = Link(bench.address())
        assert await deferToThread(link.ask, recharge()) is ResponseCode.APPROVED
        bench.apply(bench.section(allowed_peers=["::1"]))
        assert await deferToThread(link.is_ended)
        link.socket.close()

    return Deferred.fromCoroutine(scene())


def test_limits_of_open_links_change(bench: Bench) -> Deferred[None]:
    """A link from before the change is ended by the new idle time."""

    async def scene() -> None:
        bench.apply(bench.section())
        link = Link(bench.address())
        await bench.later()
        bench.apply(bench.section(frame_timeout_seconds=0.05, idle_timeout_seconds=0.05))
        assert await deferToThread(link.is_ended)
        link.socket.close()

    return Deferred.fromCoroutine(scene())
