"""One link in its bad days: connecting, proving itself, dying, coming back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_client.limits import LinkLimits, backoff_seconds
from hsm_client.observer import LinkState
from messages.security_module import Command, Identify, MacReply, Refused, Reply, Request, Status, encode_reply
from tests.hsm_client.fake_module import (
    KEY,
    Scene,
    error_of,
    honest_reply,
    mac_of,
    mint_request,
    only_identifies,
    result_of,
    silent,
)
from vending.ports import ModuleUnavailable


def _state(scene: Scene) -> LinkState:
    return scene.pool.states["a"]


def _is_up(scene: Scene) -> bool:
    return scene.pool.is_up


def test_a_socket_is_not_yet_a_link() -> None:
    """A link counts as up only when the module has said who it is."""
    scene = Scene(1)
    scene.modules[0].reply = silent
    scene.start()
    assert (_state(scene), scene.pool.is_up) == (LinkState.IDENTIFYING, False)
    scene.modules[0].release()
    assert (_state(scene), scene.pool.is_up) == (LinkState.UP, True)
    identity = scene.pool.identities["a"]
    assert identity is not None
    assert identity.module_id == "fake"
    scene.stop()


def test_a_module_that_never_identifies_itself_is_dropped_and_tried_again() -> None:
    """A black hole behind an open port does not hold the link for ever."""
    scene = Scene(1)
    scene.modules[0].reply = silent
    scene.start()
    scene.clock.advance(5.0)
    assert _state(scene) is LinkState.BACKING_OFF
    assert scene.observer.named("failed") == [("failed", "a", "no answer to the identification")]
    scene.modules[0].reply = only_identifies
    scene.clock.advance(1.0)
    assert _state(scene) is LinkState.UP
    scene.stop()


def test_a_module_that_refuses_to_identify_itself_is_not_used() -> None:
    """A client whose role the module does not accept never counts as connected."""
    scene = Scene(1)

    def refuse(_request: Request) -> Reply:
        return Refused(command=Command.IDENTIFY, status=Status.PERMISSION)

    scene.modules[0].reply = refuse
    scene.start()
    assert _state(scene) is LinkState.BACKING_OFF
    assert "98" in str(scene.observer.named("failed"))
    scene.stop()


def test_an_attempt_that_hangs_is_given_up() -> None:
    """Connecting has a time limit of its own."""
    scene = Scene(1)
    scene.modules[0].mode = "hang"
    scene.start()
    scene.clock.advance(4.9)
    assert _state(scene) is LinkState.CONNECTING
    scene.clock.advance(0.1)
    assert _state(scene) is LinkState.BACKING_OFF
    scene.stop()


def test_waits_double_up_to_the_bound_and_start_again_after_a_stable_link() -> None:
    """Reconnecting slows down while the module is away, and forgets that once the link has held for a while."""
    scene = Scene(1, link_limits=LinkLimits(backoff_base_seconds=1.0, backoff_max_seconds=6.0))
    module = scene.modules[0]
    module.mode = "refuse"
    scene.start()
    for _ in range(5):
        scene.clock.advance(6.0)
    waits = [event[3] for event in scene.observer.named("reconnect")]
    assert waits[:6] == [1.0, 2.0, 3.0, 3.0, 3.0, 3.0]  # half of 2, 4, 6 ...: the draw is 0.5

    module.mode = "accept"
    scene.clock.advance(6.0)
    module.transport.end(ConnectionError())  # fell at once: goes on slowly
    assert scene.observer.named("reconnect")[-1][3] == 3.0
    scene.clock.advance(3.0)
    for _ in range(11):
        scene.clock.advance(1.0)
    module.transport.end(ConnectionError())  # had held
    assert scene.observer.named("reconnect")[-1][2:] == (0, 0.5)
    scene.stop()


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_jitter_is_full_and_bounded(failures: int, draw: float) -> None:
    """Every wait lies between nothing and the bound of its attempt, evenly drawn."""
    limits = LinkLimits(backoff_base_seconds=0.1, backoff_max_seconds=10.0)
    bound = 10.0 if failures >= 7 else 0.1 * 2**failures
    assert backoff_seconds(failures, limits, lambda: draw) == pytest.approx(draw * bound)


def test_a_quiet_link_is_pinged_and_a_dead_one_dropped() -> None:
    """A module that vanished without a word is found out by the ping."""
    scene = Scene(1).start()
    module = scene.modules[0]
    scene.clock.advance(5.0)  # this interval had the identification in it
    assert module.identifications == 1
    scene.clock.advance(5.0)
    assert module.identifications == 2
    assert _state(scene) is LinkState.UP
    module.reply = silent
    scene.clock.advance(5.0)
    scene.clock.advance(5.0)
    scene.clock.advance(2.0)
    assert scene.observer.named("failed") == [("failed", "a", "no answer to a ping")]
    assert scene.observer.named("timed_out") == []  # a ping is nobody's request
    assert _state(scene) is LinkState.BACKING_OFF
    scene.stop()


def test_a_busy_link_is_not_pinged() -> None:
    """Answers are proof of life enough."""
    scene = Scene(1).start()
    for _ in range(20):
        scene.clock.advance(2.0)
        assert result_of_mac(scene) == mac_of(b"x")
    assert scene.modules[0].identifications == 1
    scene.stop()


def result_of_mac(scene: Scene) -> bytes:
    """One MAC made by way of the pool."""
    mac = scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    return result_of(mac)


def test_one_turn_is_one_write() -> None:
    """Requests made in one turn of the reactor leave together."""
    scene = Scene(1).start()
    transport = scene.modules[0].transport
    written = len(transport.writes)
    macs = [scene.pool.generate_mac(KEY, b"%d" % at) for at in range(50)]
    scene.settle()
    assert len(transport.writes) == written + 1
    assert [result_of(mac) for mac in macs] == [mac_of(b"%d" % at) for at in range(50)]
    scene.stop()


def test_garbage_from_the_module_drops_the_link() -> None:
    """What is no protocol ends the connection, names the cause and gets a new one."""
    scene = Scene(1).start()
    transport = scene.modules[0].transport
    transport.deliver(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    transport.deliver(encode_reply(1, honest_reply(Identify())))  # no longer listened to
    assert _is_up(scene) is False
    scene.settle()
    assert "protocol error" in str(scene.observer.named("failed"))
    scene.clock.advance(1.0)
    assert _is_up(scene) is True
    assert len(scene.modules[0].transports) == 2
    scene.stop()


def test_an_answer_whose_effect_ends_the_link() -> None:
    """A caller that reacts to an answer by ending everything does not upset the answers that came with it."""
    scene = Scene(1).start()
    module = scene.modules[0]
    macs = [scene.pool.generate_mac(KEY, b"%d" % at) for at in range(3)]
    macs[0].addCallback(lambda _: module.transport.end(ConnectionError()))
    replies = [encode_reply(2 + at, MacReply(mac=mac_of(b"%d" % at))) for at in range(3)]
    module.reply = only_identifies
    scene.settle()
    module.transport.deliver(b"".join(replies))
    assert [type(error_of(mac)) for mac in macs[1:]] == [ModuleUnavailable] * 2
    scene.stop()


def test_a_module_that_owes_too_many_answers_is_dropped() -> None:
    """A module that still answers pings but swallows requests does not fill the memory."""
    scene = Scene(1, link_limits=LinkLimits(abandoned_max=3))
    scene.modules[0].reply = only_identifies
    scene.start()
    macs = [scene.pool.generate_mac(KEY, b"x", timeout_seconds=1.0) for _ in range(4)]
    scene.settle()
    scene.clock.advance(1.0)
    assert all(isinstance(error_of(mac), ModuleUnavailable) for mac in macs)
    assert "too many" in str(scene.observer.named("failed"))
    scene.stop()


@pytest.mark.parametrize("state", list(LinkState))
def test_stopping_leaves_nothing_behind(state: LinkState) -> None:
    """In whatever state it is stopped, the link ends, says so, and leaves no timer and no connection."""
    scene = Scene(1)
    module = scene.modules[0]
    module.mode = {LinkState.CONNECTING: "hang", LinkState.BACKING_OFF: "refuse"}.get(state, "accept")
    if state is LinkState.IDENTIFYING:
        module.reply = silent
    if state is not LinkState.DOWN:
        scene.start()
    if state is LinkState.CLOSING:
        module.closes_in_order = False  # the peer never closes its side
        scene.pool.stop()
    assert _state(scene) is state
    scene.stop()
    assert _state(scene) is LinkState.DOWN
    assert all(transport.is_ended for transport in module.transports)


def test_a_stopped_pool_can_be_started_again() -> None:
    """Stopping is not the end of the object."""
    scene = Scene(1).start()
    scene.stop()
    scene.start()
    assert result_of_mac(scene) == mac_of(b"x")
    scene.stop()


def test_a_connection_after_the_attempt_was_given_up_is_cut() -> None:
    """An attempt that succeeds too late is not adopted and not left open."""
    scene = Scene(1)
    module = scene.modules[0]
    module.mode = "hang"
    scene.start()
    scene.clock.advance(5.0)
    assert _state(scene) is LinkState.BACKING_OFF
    assert module.factory is not None
    module.accept(module.factory)
    scene.settle()
    assert module.transport.is_ended
    assert _state(scene) is LinkState.BACKING_OFF
    scene.stop()


def test_what_happened_is_told_in_order() -> None:
    """The observer sees every change of state."""
    scene = Scene(1).start()
    scene.stop()
    changes = [event[2:] for event in scene.observer.named("changed")]
    assert changes == [
        ("down", "connecting"),
        ("connecting", "identifying"),
        ("identifying", "up"),
        ("up", "closing"),
        ("closing", "down"),
    ]


def test_pings_are_not_mixed_up_with_requests() -> None:
    """A ping under way neither takes a request's place nor its answer."""
    scene = Scene(1, link_limits=LinkLimits(in_flight_max=1)).start()
    module = scene.modules[0]
    module.reply = silent
    scene.clock.advance(5.0)
    scene.clock.advance(5.0)
    minted = scene.pool.mint(mint_request())
    scene.settle()
    assert isinstance(error_of(minted), ModuleUnavailable)  # the one place is taken by the ping
    assert [type(held[2]) for held in module.held] == [Identify]
    scene.stop()
