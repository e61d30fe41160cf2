"""The pool in any weather: links and modules do whatever they like."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_client.limits import LinkLimits
from messages.security_module import Status
from tests.hsm_client.fake_module import (
    Scene,
    digits_of,
    error_of,
    honest_reply,
    mint_request,
    only_identifies,
    refusing,
)
from vending.ports import MintRequest, ModuleOutcomeUnknown, ModuleUnavailable


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(5, 60))
def test_any_weather(seed: int, steps: int) -> None:
    """Whatever the modules and links do, every call ends once, in its time, truthfully, and nothing is left behind."""
    draw = random.Random(seed)
    scene = Scene(draw.choice((1, 2, 3)), link_limits=LinkLimits(in_flight_max=8, abandoned_max=8)).start()
    scene.draws = draw.random()
    calls = []
    for at in range(steps):
        module = draw.choice(scene.modules)
        match draw.randrange(7):
            case 0:
                module.reply = draw.choice([honest_reply, only_identifies, lambda _: None, refusing(Status.OVERLOADED)])
            case 1:
                module.mode = draw.choice(["accept", "refuse", "hang"])
            case 2 if module.transports:
                module.transport.end(ConnectionError())
            case 3:
                module.release()
            case 4:
                scene.clock.advance(draw.choice((0, 0.01, 0.7, 3.0)))
            case _:
                request = mint_request(at, draw.randint(1, 4))
                calls.append((request, scene.clock.seconds() + 2.0, scene.pool.mint(request, timeout_seconds=2.0)))
        for _, deadline_seconds, minted in calls:
            assert minted.called or scene.clock.seconds() < deadline_seconds
    for module in scene.modules:
        module.release()
    scene.clock.advance(2.0)
    written = {
        request.request_id
        for module in scene.modules
        for request in module.requests
        if isinstance(request, MintRequest)
    }
    for request, _, minted in calls:
        outcome = minted.result
        if isinstance(outcome, tuple):
            assert [token.reveal() for token in outcome] == digits_of(request)
            continue
        error = error_of(minted)
        assert isinstance(error, (ModuleUnavailable, ModuleOutcomeUnknown))
        assert isinstance(error, ModuleUnavailable) or request.request_id in written
    scene.stop()
