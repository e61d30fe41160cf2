"""The port over several links: which one is asked, and what lost, late and refused requests mean."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hsm_client.limits import LinkLimits, PoolLimits
from messages.security_module import (
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    Identify,
    MintReply,
    RegisterCount,
    Reply,
    Request,
    Status,
    VerifyToken,
    VerifyTokenReply,
)
from tests.hsm_client.fake_module import (
    KEY,
    FakeModule,
    Scene,
    digits_of,
    error_of,
    honest_reply,
    mac_of,
    mint_request,
    only_identifies,
    refusing,
    result_of,
)
from vending.ports import (
    MacKey,
    MacMismatch,
    MintRequest,
    ModuleOutcomeUnknown,
    ModuleRefused,
    ModuleUnavailable,
    SecurityModule,
)
from vending.secret import Secret


def test_the_pool_is_the_port() -> None:
    """All three methods of the port work over the wire, as the core will call them."""
    scene = Scene().start()
    module: SecurityModule = scene.pool
    minted, made = scene.pool.mint(mint_request(5, 3)), scene.pool.generate_mac(KEY, b"data")
    right, wrong = module.verify_mac(KEY, b"data", mac_of(b"data")), scene.pool.verify_mac(KEY, b"data", bytes(8))
    scene.settle()
    assert [token.reveal() for token in result_of(minted)] == digits_of(mint_request(5, 3))
    assert result_of(made) == mac_of(b"data")
    assert result_of(right) is None  # type: ignore[arg-type]  # a Deferred, seen as the port shows it
    assert isinstance(error_of(wrong), MacMismatch)
    scene.stop()


def test_the_other_questions() -> None:
    """Tokens, counters, identity and decoder keys can be asked for."""
    count = RegisterCount(register_id=4, requests=1, tokens=2, units_tenths=3)
    answers: dict[str, Reply] = {
        "VerifyToken": VerifyTokenReply(token_class=0, subclass=0, tid=9, amount=5, words="credit"),
        "ReadCounters": CountersReply(counts=(count,)),
        "DecoderKey": DecoderKeyReply(key=Secret(b"01234567")),
        "Identify": honest_reply(Identify()),
    }
    scene = Scene(1)
    scene.modules[0].reply = lambda request: answers[type(request).__name__]
    scene.start()
    meter = {"register_id": 4, "pan": "600727000000000009", "tariff_index": 1, "encryption_algorithm": 7}
    token = scene.pool.verify_token(VerifyToken(**meter, token=Secret("0" * 20)))  # type: ignore[arg-type]
    counts, identity = scene.pool.counters(), scene.pool.identify()
    key = scene.pool.decoder_key(DecoderKey(**meter))  # type: ignore[arg-type]
    scene.settle()
    assert result_of(token) == answers["VerifyToken"]
    assert result_of(counts) == {4: count}
    assert result_of(identity) == answers["Identify"]
    assert result_of(key).reveal() == b"01234567"
    scene.stop()


def test_the_first_link_is_asked_and_the_next_one_when_it_is_away() -> None:
    """One module has the whole story while it lives; when it is back it is asked again."""
    scene = Scene().start()
    first, second = scene.modules
    for _ in range(3):
        scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    assert (len(first.requests), len(second.requests)) == (3, 0)
    first.mode = "refuse"
    first.transport.end(ConnectionError())
    scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    assert (len(first.requests), len(second.requests)) == (3, 1)
    first.mode = "accept"
    scene.clock.advance(10.0)
    scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    assert (len(first.requests), len(second.requests)) == (4, 1)
    scene.stop()


def test_nothing_up_is_unavailable_at_once() -> None:
    """Without a link nobody waits: the caller knows at once that nothing was minted."""
    scene = Scene()
    for module in scene.modules:
        module.mode = "refuse"
    scene.start()
    assert isinstance(error_of(scene.pool.mint(mint_request())), ModuleUnavailable)
    assert isinstance(error_of(scene.pool.generate_mac(KEY, b"x")), ModuleUnavailable)
    scene.stop()


def test_no_time_is_unavailable_at_once() -> None:
    """A caller whose time is over before the request is sent is told that nothing was minted."""
    scene = Scene().start()
    assert isinstance(error_of(scene.pool.mint(mint_request(), timeout_seconds=0)), ModuleUnavailable)
    scene.stop()


def test_full_links_pass_on_then_refuse() -> None:
    """The limit of requests in flight spills over to the next link, and then is said at once."""
    scene = Scene(link_limits=LinkLimits(in_flight_max=2)).start()
    for module in scene.modules:
        module.reply = only_identifies
    macs = [scene.pool.generate_mac(KEY, b"x") for _ in range(5)]
    scene.settle()
    assert [len(module.requests) for module in scene.modules] == [2, 2]
    assert isinstance(error_of(macs[4]), ModuleUnavailable)
    for module in scene.modules:
        module.release()
    assert [result_of(mac) for mac in macs[:4]] == [mac_of(b"x")] * 4
    scene.stop()


def test_failover_amid_pipelined_requests() -> None:
    """When the first module dies with many requests under way, the second answers every one of them, each with its own answer."""
    scene = Scene().start()
    first, second = scene.modules
    first.reply = only_identifies
    minted = [scene.pool.mint(mint_request(at, 1 + at % 3)) for at in range(40)]
    macs = [scene.pool.generate_mac(KEY, b"%d" % at) for at in range(40)]
    scene.settle()
    first.mode = "refuse"
    first.transport.end(ConnectionError())
    scene.settle()
    for at in range(40):
        assert [token.reveal() for token in result_of(minted[at])] == digits_of(mint_request(at, 1 + at % 3))
        assert result_of(macs[at]) == mac_of(b"%d" % at)
    assert len(second.requests) == 80
    assert len(scene.observer.named("retried")) == 80
    scene.stop()


def test_unwritten_requests_go_elsewhere_at_once_and_are_not_unknown() -> None:
    """A link lost in the very turn of the request never saw it: another is asked, and without one nothing was minted."""
    scene = Scene().start()
    first, second = scene.modules
    minted = scene.pool.mint(mint_request(1))
    mac = scene.pool.generate_mac(KEY, b"x")
    first.transport.end(ConnectionError())
    scene.settle()
    assert result_of(minted)[0].reveal() == digits_of(mint_request(1))[0]
    assert result_of(mac) == mac_of(b"x")
    assert first.requests == []

    first.mode = second.mode = "refuse"
    minted = scene.pool.mint(mint_request(2))
    second.transport.end(ConnectionError())
    assert isinstance(error_of(minted), ModuleUnavailable)
    scene.stop()


def test_a_mac_is_tried_twice_and_then_unavailable() -> None:
    """MACs leave nothing behind: asked once more elsewhere, then given up, never called unknown."""
    scene = Scene(3).start()
    for module in scene.modules:
        module.reply = only_identifies
    mac = scene.pool.generate_mac(KEY, b"x", timeout_seconds=3.0)
    scene.settle()
    scene.clock.advance(1.0)
    assert [len(module.requests) for module in scene.modules] == [1, 1, 0]
    assert not mac.called
    scene.clock.advance(2.0)
    assert isinstance(error_of(mac), ModuleUnavailable)
    assert [len(module.requests) for module in scene.modules] == [1, 1, 0]
    scene.stop()


def test_a_mac_that_fells_two_modules_is_not_shown_to_a_third() -> None:
    """The limit holds for lost links as for late answers."""
    scene = Scene(3).start()
    for module in scene.modules:
        module.reply = only_identifies
    mac = scene.pool.generate_mac(KEY, b"x")
    for module in scene.modules[:2]:
        scene.settle()
        module.transport.end(ConnectionError())
    assert isinstance(error_of(mac), ModuleUnavailable)
    scene.settle()
    assert [len(module.requests) for module in scene.modules] == [1, 1, 0]
    scene.stop()


def test_a_mac_on_the_only_link_has_all_the_time() -> None:
    """Where there is nowhere else to turn to, an attempt is not cut short."""
    scene = Scene(1).start()
    scene.modules[0].reply = only_identifies
    mac = scene.pool.generate_mac(KEY, b"x", timeout_seconds=4.0)
    scene.settle()
    scene.clock.advance(3.9)
    scene.modules[0].release()
    assert result_of(mac) == mac_of(b"x")
    scene.stop()


def test_a_timed_out_mint_is_unknown_and_its_late_answer_reaches_nobody() -> None:
    """At the deadline a written mint is unknown; the answer that comes afterwards is counted and given to no other request."""
    scene = Scene(1).start()
    module = scene.modules[0]
    module.reply = only_identifies
    minted = scene.pool.mint(mint_request(1), timeout_seconds=2.0)
    scene.settle()
    scene.clock.advance(2.0)
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    assert scene.observer.named("timed_out") == [("timed_out", "a")]
    other = scene.pool.mint(mint_request(2))
    module.release()
    assert scene.observer.named("late") == [("late", "a")]
    assert not other.called
    scene.settle()
    module.release()
    assert result_of(other)[0].reveal() == digits_of(mint_request(2))[0]
    scene.stop()


def test_a_mint_is_asked_again_by_the_same_id() -> None:
    """A slow module costs one attempt: the next is asked under the same request id, and the slow answer is dropped."""
    scene = Scene().start()
    first, second = scene.modules
    first.reply = only_identifies
    minted = scene.pool.mint(mint_request(9), timeout_seconds=5.0)
    scene.settle()
    scene.clock.advance(1.0)
    assert result_of(minted)[0].reveal() == digits_of(mint_request(9))[0]
    assert first.requests == second.requests == [mint_request(9)]
    first.release()
    assert scene.observer.named("late") == [("late", "a")]
    scene.stop()


def test_a_link_that_let_a_request_expire_comes_last_until_it_is_heard() -> None:
    """A black hole costs the requests under way, not each one after them."""
    scene = Scene().start()
    first, second = scene.modules
    first.reply = lambda _request: None
    scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    scene.clock.advance(1.0)
    scene.pool.generate_mac(KEY, b"y")
    scene.settle()
    assert (len(first.requests), len(second.requests)) == (1, 2)
    first.reply = honest_reply
    first.release()
    scene.pool.generate_mac(KEY, b"z")
    scene.settle()
    assert (len(first.requests), len(second.requests)) == (2, 2)
    scene.stop()


def test_a_written_mint_waits_for_a_link_within_its_deadline() -> None:
    """When every link is lost, a mint whose outcome is open is asked again as soon as one is back."""
    scene = Scene(1).start()
    module = scene.modules[0]
    module.reply = only_identifies
    minted = scene.pool.mint(mint_request(3), timeout_seconds=5.0)
    scene.settle()
    module.reply = honest_reply
    module.transport.end(ConnectionError())
    scene.settle()
    assert not minted.called
    scene.clock.advance(1.0)
    assert result_of(minted)[0].reveal() == digits_of(mint_request(3))[0]
    assert module.requests == [mint_request(3)] * 2
    scene.stop()


def test_a_written_mint_without_a_link_until_its_deadline_is_unknown() -> None:
    """Waiting ends at the deadline, to the second."""
    scene = Scene(1).start()
    module = scene.modules[0]
    module.reply = only_identifies
    minted = scene.pool.mint(mint_request(3), timeout_seconds=5.0)
    scene.settle()
    module.mode = "refuse"
    module.transport.end(ConnectionError())
    scene.clock.advance(4.9)
    assert not minted.called
    scene.clock.advance(0.1)
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    scene.stop()


def test_those_who_wait_are_limited() -> None:
    """More mints than the limit do not wait for a link: they are unknown at once."""
    scene = Scene(1, limits=PoolLimits(waiting_max=1)).start()
    module = scene.modules[0]
    module.reply = only_identifies
    minted = [scene.pool.mint(mint_request(at)) for at in range(3)]
    scene.settle()
    module.mode = "refuse"
    module.transport.end(ConnectionError())
    assert [each.called for each in minted] == [False, True, True]
    assert isinstance(error_of(minted[1]), ModuleOutcomeUnknown)
    assert isinstance(error_of(minted[2]), ModuleOutcomeUnknown)
    scene.pool.stop()
    assert isinstance(error_of(minted[0]), ModuleOutcomeUnknown)
    scene.stop()


def test_a_request_that_fells_modules_is_not_repeated_for_ever() -> None:
    """A mint is written a limited number of times, however much time is left."""
    scene = Scene(limits=PoolLimits(mint_attempts_max=3)).start()
    seen: list[MintRequest] = []

    def falling(module: FakeModule) -> Callable[[Request], Reply | None]:
        def fall(request: Request) -> Reply | None:
            if isinstance(request, MintRequest):
                seen.append(request)
                module.transport.abortConnection()
            return only_identifies(request)

        return fall

    for module in scene.modules:
        module.reply = falling(module)
    minted = scene.pool.mint(mint_request(1), timeout_seconds=1000.0)
    for _ in range(100):
        scene.clock.advance(1.0)
    assert len(seen) == 3
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    scene.stop()


REFUSALS = [
    # status, (error of a mint, error of a MAC), whether the second module is asked
    (Status.LIMIT_EXCEEDED, ModuleRefused, ModuleRefused, False),
    (Status.REQUEST_CONFLICT, ModuleRefused, ModuleRefused, False),
    (Status.UNKNOWN_REGISTER, ModuleRefused, ModuleRefused, False),
    (Status.PERMISSION, ModuleUnavailable, ModuleRefused, True),
    (Status.OVERLOADED, ModuleUnavailable, ModuleUnavailable, True),
    (Status.STOPPING, ModuleUnavailable, ModuleUnavailable, True),
    (Status.INTERNAL_ERROR, ModuleOutcomeUnknown, ModuleUnavailable, True),
]


@pytest.mark.parametrize(("status", "mint_error", "mac_error", "mint_goes_on"), REFUSALS)
def test_what_a_refusal_means(
    status: Status, mint_error: type[Exception], mac_error: type[Exception], mint_goes_on: bool
) -> None:
    """A refusal of the request is final; one that speaks only of the module is taken to the next, and then means what it can prove."""
    scene = Scene().start()
    for module in scene.modules:
        module.reply = refusing(status)
    minted = scene.pool.mint(mint_request())
    scene.settle()
    error = error_of(minted)
    assert type(error) is mint_error
    assert len(scene.modules[1].requests) == int(mint_goes_on)
    if isinstance(error, ModuleRefused):
        assert (error.status, error.meaning) == (status.code, status.meaning)
    mac = scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    assert type(error_of(mac)) is mac_error
    scene.stop()


@pytest.mark.parametrize("status", [Status.OVERLOADED, Status.STOPPING, Status.INTERNAL_ERROR, Status.PERMISSION])
def test_a_module_that_cannot_is_replaced_by_one_that_can(status: Status) -> None:
    """What one module will not do now, the next does."""
    scene = Scene().start()
    scene.modules[0].reply = refusing(status)
    minted = scene.pool.mint(mint_request(4))
    scene.settle()
    assert result_of(minted)[0].reveal() == digits_of(mint_request(4))[0]
    scene.stop()


def test_a_refusal_elsewhere_does_not_settle_an_open_mint() -> None:
    """If the first module may have minted, the second one's refusal proves nothing: the outcome stays unknown."""
    scene = Scene().start()
    scene.modules[0].reply = only_identifies
    scene.modules[1].reply = refusing(Status.LIMIT_EXCEEDED)
    minted = scene.pool.mint(mint_request(4))
    scene.settle()
    scene.clock.advance(1.0)
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    scene.stop()


def test_the_same_modules_refusal_settles_it() -> None:
    """Asked again by the same id after a fall, the same module's refusal is the truth about that id."""
    scene = Scene(1).start()
    module = scene.modules[0]
    module.reply = only_identifies
    minted = scene.pool.mint(mint_request(4))
    scene.settle()
    module.reply = refusing(Status.LIMIT_EXCEEDED)
    module.transport.end(ConnectionError())
    scene.clock.advance(1.0)
    assert isinstance(error_of(minted), ModuleRefused)
    scene.stop()


@pytest.mark.parametrize(("modules", "error"), [(1, ModuleRefused), (2, ModuleOutcomeUnknown)])
def test_a_refusal_settles_an_id_that_was_asked_before_only_where_one_module_is(
    modules: int, error: type[Exception]
) -> None:
    """An earlier call, of this process or another, may have had it minted by the module that is not asked now."""
    scene = Scene(modules).start()
    for module in scene.modules:
        module.reply = refusing(Status.LIMIT_EXCEEDED)
    minted = scene.pool.mint(replace(mint_request(4), may_be_minted=True))
    scene.settle()
    assert isinstance(error_of(minted), error)
    scene.stop()


def test_what_cannot_be_said_is_refused_and_never_sent() -> None:
    """A terminal id that the protocol cannot carry is a definite refusal, not an exception out of nowhere."""
    scene = Scene().start()
    mac = scene.pool.generate_mac(MacKey(register_id=1, scheme="AES-CMAC", diversifier="TIENDA-Ñ"), b"x")
    error = error_of(mac)
    assert isinstance(error, ModuleRefused)
    assert error.status == Status.FORMAT_ERROR.code
    scene.settle()
    assert scene.modules[0].requests == []
    scene.stop()


def test_too_few_tokens_are_no_answer() -> None:
    """A module that answers with fewer tokens than asked is dropped, and the outcome stays open."""
    scene = Scene(1, limits=PoolLimits(mint_attempts_max=1)).start()

    def short(request: Request) -> Reply | None:
        return MintReply(tokens=[Secret("0" * 20)]) if isinstance(request, MintRequest) else honest_reply(request)

    scene.modules[0].reply = short
    minted = scene.pool.mint(mint_request(1, 2))
    scene.settle()
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    scene.stop()


def test_stopping_settles_everything() -> None:
    """Whoever waits when the pool stops is told the truth: open mints unknown, the rest unavailable."""
    scene = Scene().start()
    for module in scene.modules:
        module.reply = only_identifies
    minted, mac = scene.pool.mint(mint_request()), scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    scene.stop()
    assert isinstance(error_of(minted), ModuleOutcomeUnknown)
    assert isinstance(error_of(mac), ModuleUnavailable)
    assert isinstance(error_of(scene.pool.mint(mint_request())), ModuleUnavailable)


def test_a_cancelled_call_is_not_repeated() -> None:
    """Whoever no longer wants an answer does not make the modules work for it."""
    scene = Scene().start()
    scene.modules[0].reply = only_identifies
    minted, mac = scene.pool.mint(mint_request()), scene.pool.generate_mac(KEY, b"x")
    scene.settle()
    for each in (minted, mac):
        each.addErrback(lambda _: None)
        each.cancel()
    scene.modules[0].release()  # the answers come all the same, and disturb nobody
    mac = scene.pool.generate_mac(KEY, b"y")
    mac.addErrback(lambda _: None)
    mac.cancel()
    scene.settle()
    scene.clock.advance(3.0)
    assert scene.modules[1].requests == []
    scene.stop()
