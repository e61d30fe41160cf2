"""The TCP side on real loopback sockets: timers, lost links, links that never come."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pos import requests
from pos.client import NotSent, PosClient, Timers
from pos.dialogue import ATTEMPTS_MAX, Dialogue, Final, Unknown
from pos.mac import signer
from pos.requests import Moment
from tests.pos.fake_switch import IDENTITY, Behaviour, FakeSwitch, approve, decline, garbage, silent
from tests.pos.served_switch import Deliver, Served, whole
from vending.money import Centavos

RECHARGE = requests.recharge(
    IDENTITY,
    Moment(stan="000042", transmitted_at=datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC)),
    meter_number="37000000002",
    paid_centavos=Centavos(2_000_000),
)

Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Served] = []

    def start(*script: Behaviour, deliver: Deliver = whole) -> Served:
        running.append(Served(FakeSwitch(list(script)), deliver))
        return running[-1]

    yield start
    for served in running:
        served.close()


def run(address: tuple[str, int], *, sleeps: list[float] | None = None, **timers: Any) -> Any:
    def sleep(seconds: float) -> None:
        if sleeps is not None:
            sleeps.append(seconds)

    chosen = Timers(**{"connect_seconds": 2.0, "answer_seconds": 0.2, "pause_seconds": 0.01, **timers})
    client = PosClient(address, timers=chosen, monotonic=time.monotonic, sleep=sleep)
    return client.run(Dialogue(RECHARGE, signer(IDENTITY.mac_scheme, IDENTITY.mac_key)))


def test_a_sale_over_tcp(serve: Serve) -> None:
    """One request, one answer, one link."""
    served = serve(approve)
    outcome = run(served.address, answer_seconds=10.0)
    assert isinstance(outcome, Final)
    assert outcome.is_approved
    assert (served.links, len(served.switch.requests)) == (1, 1)


def test_an_answer_in_single_octets_is_read(serve: Serve) -> None:
    """TCP may cut an answer anywhere."""

    def drip(link: socket.socket, octets: bytes) -> bool:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in octets:
            link.sendall(bytes([octet]))
        return True

    served = serve(approve, deliver=drip)
    assert isinstance(run(served.address, answer_seconds=10.0), Final)


def test_silence_is_repeated_on_the_same_link(serve: Serve) -> None:
    """After the timer the repeat goes out; the link is still good."""
    served = serve(silent, silent, approve)
    assert isinstance(run(served.address), Final)
    assert [request.mti for request in served.switch.requests] == ["0200", "0201", "0201"]
    assert served.links == 1


def test_silence_ends_as_unknown(serve: Serve) -> None:
    """The number of attempts is bounded."""
    served = serve(silent)
    assert isinstance(run(served.address, answer_seconds=0.05), Unknown)
    assert len(served.switch.requests) == ATTEMPTS_MAX


def test_a_cut_answer_is_asked_for_again_on_a_new_link(serve: Serve) -> None:
    """Half an answer and a closed link are no answer; the repeat on the next link brings it."""
    answers: list[int] = []

    def cut_first(link: socket.socket, octets: bytes) -> bool:
        answers.append(len(octets))
        link.sendall(octets[: len(octets) // 2] if len(answers) == 1 else octets)
        return len(answers) > 1

    served = serve(approve, deliver=cut_first)
    assert isinstance(run(served.address, answer_seconds=10.0), Final)
    assert [request.mti for request in served.switch.requests] == ["0200", "0201"]
    assert served.links == 2


def test_a_stream_without_frames_gets_a_new_link(serve: Serve) -> None:
    """Something that does not speak our protocol is hung up on and called again."""
    served = serve(garbage, approve)
    assert isinstance(run(served.address, answer_seconds=10.0), Final)
    assert served.links == 2


def test_in_progress_is_waited_for_longer_each_time(serve: Serve) -> None:
    """The pauses double, so that a switch in trouble is not hurried."""
    sleeps: list[float] = []
    served = serve(decline("09"), decline("09"), decline("09"), approve)
    assert isinstance(run(served.address, sleeps=sleeps, answer_seconds=10.0, pause_seconds=0.5), Final)
    assert sleeps == [0.5, 1.0, 2.0]


def test_nobody_listening_means_that_nothing_was_sent() -> None:
    """Without a link there is certainty: nothing was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    sleeps: list[float] = []
    outcome = run(address, sleeps=sleeps)
    assert isinstance(outcome, NotSent)
    assert outcome.reason
    # One more try and then the person is told: nobody waits a minute to learn that the network is down.
    assert sleeps == [0.01]


def test_a_switch_that_restarts_is_called_again(serve: Serve) -> None:
    """The first link is refused, the second stands: the sale goes out once, and not as a repeat."""
    served = serve(approve)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    client = PosClient(
        nobody,
        timers=Timers(answer_seconds=10.0),
        monotonic=time.monotonic,
        sleep=lambda _: setattr(client, "_address", served.address),
    )
    assert isinstance(client.run(Dialogue(RECHARGE, signer(IDENTITY.mac_scheme, IDENTITY.mac_key))), Final)
    assert [request.mti for request in served.switch.requests] == ["0200"]


def test_a_switch_that_dies_after_the_request_leaves_the_outcome_unknown(serve: Serve) -> None:
    """Once octets have left, a network that is gone is no proof that nothing was done."""
    served = serve(approve, deliver=lambda _link, _octets: False)
    original = served.switch.serve

    def serve_and_stop_listening(frame: bytes) -> bytes:
        served.stop_listening()
        return original(frame)

    served.switch.serve = serve_and_stop_listening  # type: ignore[method-assign]
    assert isinstance(run(served.address), Unknown)


def test_the_timer_is_for_the_whole_answer(serve: Serve) -> None:
    """A peer that sends an octet now and then cannot hold the terminal for ever."""

    def trickle(link: socket.socket, octets: bytes) -> bool:
        for octet in octets[:100]:
            time.sleep(0.05)
            try:
                link.sendall(bytes([octet]))
            except OSError:
                return False
        return True

    served = serve(approve, deliver=trickle)
    started = time.monotonic()
    assert isinstance(run(served.address, answer_seconds=0.1), Unknown)
    # Five attempts of a tenth of a second; were the timer started anew by each octet, each would last the whole trickle.
    assert time.monotonic() - started < 3
