"""Networks whose notices are configured, changed and taken away while they are served."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from switch.networks import Networks
from switch.undelivered import UndeliveredAnswers
from tests.switch import sale_bench
from tests.switch.sale_bench import recharge, request
from tests.switch.test_networks import Bench, Link, _Never
from vending.notice import LateAnswer
from vending.notice_life import NoticeEvent
from vending.order import RequestKey
from vending.response_code import ResponseCode

NOTICES: dict[str, Any] = {"kinds": ["settlement", "outcome"], "over_their_links": True}
SETTLING: dict[str, Any] = {"network_terminals": ["TERM0009", "TERM0001"], "settlement_directory": "/tmp"}


class Told:
    """Who keeps the lanes."""

    def __init__(self) -> None:
        self.late: list[LateAnswer] = []
        self.outcomes: list[RequestKey] = []

    def tell_outcome(self, key: RequestKey) -> None:
        """Record it."""
        self.outcomes.append(key)

    def take_late(self, answer: LateAnswer) -> None:
        """Record it."""
        self.late.append(answer)


class NoticeBench(Bench):
    """Networks with somebody who sends notices."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.networks = Networks(
            replace(self.networks._shared, teller=self.told),
            undelivered=UndeliveredAnswers(
                write=_Never(), lost=self.metrics.undelivered_lost, now=lambda: sale_bench.NOW
            ),
            reactor=self.reactor,
            drain_seconds=5.0,
        )

    def tells_outcome(self) -> bool:
        """Whether the network is told of outcomes now."""
        return self.networks.exchanges["banco"].tells_outcome


@pytest.fixture
def bench() -> Iterator[NoticeBench]:
    made = NoticeBench()
    yield made
    pytest_twisted.blockon(made.networks.drain(0.2))


def test_notices_come_and_go_with_the_configuration(bench: NoticeBench) -> None:
    """On the port that is open; whoever has none has no desk, and is told of no file."""
    bench.apply(bench.section())
    assert bench.networks.notice_desks() == {}
    assert not bench.tells_outcome()
    assert bench.apply(bench.section(notices=NOTICES, **SETTLING)) == []
    assert list(bench.networks.notice_desks()) == ["banco"]
    assert bench.networks.told_of_files() == {"banco": "TERM0009"}
    assert bench.tells_outcome()
    desk = bench.networks.notice_desks()["banco"]
    bench.apply(bench.section(notices={**NOTICES, "kinds": ["adjustment"]}))
    assert bench.networks.notice_desks() == {"banco": desk}, "a try under way is not forgotten"
    assert desk.notices.kinds == ("adjustment",)
    assert bench.networks.told_of_files() == {}
    assert not bench.tells_outcome()
    bench.apply(bench.section())
    assert bench.networks.notice_desks() == {}


def test_a_port_with_notices_sells_and_knows_an_answer_from_a_request(bench: NoticeBench) -> Deferred[None]:
    """An answer that nobody waits for goes to its notice, and the terminals on the same port do not notice anything."""

    async def scene() -> None:
        bench.apply(bench.section(notices=NOTICES, **SETTLING))
        link = Link(bench.address())
        assert await deferToThread(link.ask, request("0800", {70: "001"})) is ResponseCode.APPROVED
        assert bench.networks.notice_desks()["banco"].ways() == [], "it signed on and proved nothing yet"
        assert await deferToThread(link.ask, recharge()) is ResponseCode.APPROVED
        assert len(bench.networks.notice_desks()["banco"].ways()) == 1
        late = request("0530", {39: "00"}, stan="000077")
        await deferToThread(link.tell, late)
        assert await deferToThread(link.ask, recharge(stan="000006")) is ResponseCode.APPROVED
        while not bench.told.late:
            await bench.later()
        (answer,) = bench.told.late
        assert (answer.acquirer_id, answer.stan, answer.event) == ("banco", "000077", NoticeEvent.ACCEPTED)
        link.socket.close()

    return Deferred.fromCoroutine(scene())
