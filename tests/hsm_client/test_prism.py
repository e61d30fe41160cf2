"""The client of a PrismToken-style service against our own simulator of one, over real sockets and real TLS."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.ssl import CertificateOptions

from hsm_client.prism import amount_of, exact_units
from hsm_client.prism_errors import FAULTS, Meaning
from messages.prism import PrismCall, PrismFault, PrismMessages
from messages.security_module import LinkError
from security_module.ceremony import init
from security_module.registers import ModuleKeys
from sts.amount import EXACT_UNITS_MAX
from tests.hsm_client.prism_scene import (
    CREDIT,
    FETCH,
    NAME,
    Papers,
    Scene,
    clock,
    next_id,
    request,
    run,
    scene,
)
from vending.engineering import KeyChangeRequest
from vending.money import Tenths
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.secret import Secret


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ModuleKeys:
    """Test keys of the simulators."""
    return init(tmp_path_factory.mktemp("keys") / "module", seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def papers() -> Papers:
    """An authority and a certificate."""
    authority = trustme.CA()
    leaf = authority.issue_cert(NAME)
    key: Any = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    certificate: Any = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    return Papers(authority.cert_pem.bytes(), CertificateOptions(privateKey=key, certificate=certificate))


def test_a_token_is_made_as_asked(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """Meter, amount and identifier arrive exactly, and the auditor reads which module and key made it."""

    async def steps(scene: Scene) -> None:
        asked = request()
        (token,) = await scene.module.mint(asked)
        (made,) = scene.simulator.made
        ((tid, units),) = asked.tokens
        assert token.reveal() == made.tokenDec
        assert (made.pan, made.tid, exact_units(made.transferAmount)) == (asked.pan, tid, units)
        assert scene.news.made == [(asked.request_id, "SIMULATED", keys.vending[1].kcv, tid)]
        assert scene.news.moved == []
        verdict = await scene.module.verify_token(1, asked.pan, 1, 7, token)
        wrong = await scene.module.verify_token(1, asked.pan, 1, 7, Secret("0" * 20))
        assert (verdict, wrong) == ("EVerify.Ok", "EVerify.Crc")

    return run(keys, papers, steps)


@given(st.integers(1, EXACT_UNITS_MAX))
def test_an_amount_survives_as_a_floating_number(tenths: int) -> None:
    """The interface wants a double; the nearest one to a tenth is that tenth and no other."""
    assert exact_units(amount_of(Tenths(tenths))) == tenths


@pytest.mark.parametrize("amount", [49.15, 49.100000000000001 + 1e-9, float("nan"), float("inf")])
def test_what_is_no_tenth_is_none(amount: float) -> None:
    """A token for something that nobody asked for is not handed out."""
    assert exact_units(amount) is None


VERDICTS = sorted(code for code, fault in FAULTS.items() if fault.meaning is Meaning.VERDICT)
NOT_DONE = sorted(code for code, fault in FAULTS.items() if fault.meaning is Meaning.NOT_DONE)


@pytest.mark.parametrize("code", [*VERDICTS, "ESts.DrnOrPan.New"])
def test_a_refusal_for_what_was_asked_is_a_verdict(keys: ModuleKeys, papers: Papers, code: str) -> Deferred[None]:
    """The sale is given back, with a status of our own; asked before by somebody, the same answer proves nothing."""

    async def steps(scene: Scene) -> None:
        scene.trouble.refuse[CREDIT] = [code, code]
        refused = await scene.error_of(request())
        assert isinstance(refused, ModuleRefused)
        assert code in refused.meaning
        assert isinstance(await scene.error_of(request(may_be_minted=True)), ModuleOutcomeUnknown)
        assert scene.simulator.made == []

    return run(keys, papers, steps)


@pytest.mark.parametrize("code", NOT_DONE)
def test_a_refusal_for_another_reason_is_not_a_verdict(keys: ModuleKeys, papers: Papers, code: str) -> Deferred[None]:
    """The other service does it; where none does, nothing was minted and the sale may be asked for again."""

    async def steps(scene: Scene) -> None:
        scene.trouble.refuse[CREDIT] = [code, code]
        scene.services[1].simulator.trouble.refuse[CREDIT] = [None, code]
        assert len(await scene.module.mint(request())) == 1
        assert len(scene.services[1].simulator.made) == 1
        assert isinstance(await scene.error_of(request()), ModuleUnavailable)

    return run(keys, papers, steps, services=2)


@pytest.mark.parametrize("code", ["ESm", "ESm.Timeout", "ENew.Something", "ECacheMiss"])
def test_after_an_error_that_says_nothing_it_is_asked_what_became_of_it(
    keys: ModuleKeys, papers: Papers, code: str
) -> Deferred[None]:
    """By the sale's own id, at the same service, and made there if it was not."""

    async def steps(scene: Scene) -> None:
        scene.trouble.refuse[CREDIT] = [code]
        (token,) = await scene.module.mint(request())
        assert [each.tokenDec for each in scene.simulator.made] == [token.reveal()]
        assert [each for each in scene.simulator.calls if each != "ping"][1:] == [CREDIT, FETCH, CREDIT]
        assert scene.services[1].simulator.made == []
        scene.trouble.refuse[CREDIT] = [code] * 9
        assert isinstance(await scene.error_of(request()), ModuleOutcomeUnknown)

    return run(keys, papers, steps, services=2)


@pytest.mark.parametrize("trouble", ["cut", "garbage"])
def test_a_link_that_breaks_in_mid_answer(keys: ModuleKeys, papers: Papers, trouble: str) -> Deferred[None]:
    """The token was made; it is read again over the next link and made once only."""

    async def steps(scene: Scene) -> None:
        scene.trouble.after[CREDIT] = [trouble]
        (token,) = await scene.module.mint(request())
        assert [each.tokenDec for each in scene.simulator.made] == [token.reveal()]
        assert scene.simulator.calls.count("signInWithPassword") == 2
        assert scene.simulator.calls.count(FETCH) == 1

    return run(keys, papers, steps)


def test_silence_is_unknown_until_the_same_id_is_asked_again(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """The outcome is a state: the resolver asks again and gets the token that was made."""

    async def steps(scene: Scene) -> None:
        asked = request()
        scene.trouble.after[CREDIT] = ["silent"]
        assert isinstance(await scene.error_of(asked), ModuleOutcomeUnknown)
        (token,) = await scene.module.mint(replace(asked, may_be_minted=True))
        assert [each.tokenDec for each in scene.simulator.made] == [token.reveal()]

    return run(keys, papers, steps)


def test_what_may_be_minted_is_looked_for_everywhere_first(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """Made by the second service in another life of the switch; while one of them is away nothing is issued."""

    async def steps(scene: Scene) -> None:
        asked = request()
        scene.trouble.refuse[CREDIT] = ["EService.Disabled"]
        (token,) = await scene.module.mint(asked)
        again = replace(asked, may_be_minted=True)
        assert [each.reveal() for each in await scene.module.mint(again)] == [token.reveal()]
        assert scene.simulator.made == []
        await scene.services[1].stop()
        await scene.until(lambda: scene.module.states["1"].value != "up")
        assert isinstance(await scene.error_of(again), ModuleUnavailable)
        assert scene.simulator.made == []

    return run(keys, papers, steps, services=2)


def test_a_service_that_restarts(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """It is found again and signed in to; meanwhile nothing is minted and that is certain."""

    async def steps(scene: Scene) -> None:
        await scene.module.mint(request())
        await scene.services[0].stop()
        await scene.until(lambda: not scene.module.is_up)
        assert isinstance(await scene.error_of(request()), ModuleUnavailable)
        scene.simulator.tokens.clear()
        await scene.services[0].start()
        await scene.until(lambda: scene.module.is_up)
        assert len(await scene.module.mint(request())) == 1

    return run(keys, papers, steps)


def test_a_service_that_restarts_and_forgets_makes_a_token_that_the_meter_takes_once(
    keys: ModuleKeys, papers: Papers
) -> Deferred[None]:
    """Two tokens exist then and one is handed out. Its identifier is another one, which is said."""

    async def steps(scene: Scene) -> None:
        asked = request()
        scene.trouble.after[CREDIT] = ["silent"]
        assert isinstance(await scene.error_of(asked), ModuleOutcomeUnknown)
        scene.simulator.forget_results()
        (token,) = await scene.module.mint(replace(asked, may_be_minted=True))
        first, second = scene.simulator.made
        assert token.reveal() == second.tokenDec
        assert scene.news.moved == [(asked.request_id, first.tid, second.tid)]

    return run(keys, papers, steps)


def test_an_expired_access_token_is_renewed(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """Many calls find it expired at once; they sign in once, and each token is made once."""

    async def steps(scene: Scene) -> None:
        await scene.module.mint(request())
        scene.simulator.tokens.clear()
        calls = [scene.module.mint(request()) for _ in range(20)]
        assert len({(await each)[0].reveal() for each in calls}) == 20
        assert scene.simulator.calls.count("signInWithPassword") == 2
        assert len(scene.simulator.made) == 21

    return run(keys, papers, steps)


def test_a_wrong_password_never_comes_up(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """And no word of it is written down."""

    async def steps() -> None:
        async with scene(keys, papers, password="a wrong password") as made:
            await made.until(lambda: len(made.observer.named("failed")) >= 2)
            assert not made.module.is_up
            assert "ESignin" in str(made.observer.events)
            assert "wrong password" not in str(made.observer.events)

    return ensureDeferred(steps()).addTimeout(20, clock())


def test_a_quiet_link_is_pinged_and_dropped_when_it_is_deaf(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """The heartbeat of the interface."""

    async def steps(scene: Scene) -> None:
        await scene.until(lambda: scene.simulator.calls.count("ping") >= 2)
        assert scene.module.is_up
        scene.trouble.after["ping"] = ["silent"]
        await scene.until(lambda: scene.observer.named("failed"))
        assert "no answer to a ping" in str(scene.observer.named("failed"))
        await scene.until(lambda: scene.module.is_up)

    return run(keys, papers, steps)


def test_another_identifier_is_good_and_said(keys: ModuleKeys, papers: Papers) -> Deferred[None]:
    """The service keeps identifiers unique: a second token in the same minute gets a later one."""

    async def steps(scene: Scene) -> None:
        first, second = request(), request()
        await scene.module.mint(first)
        assert len(await scene.module.mint(second)) == 1
        ((tid, _),) = second.tokens
        assert scene.news.moved == [(second.request_id, tid, tid + 1)]

    return run(keys, papers, steps)


@pytest.mark.parametrize("fault", ["key_changes_in_front", "other_amount"])
def test_what_was_not_asked_for_is_not_handed_out(keys: ModuleKeys, papers: Papers, fault: str) -> Deferred[None]:
    """Key changes before the credit, or another amount: the sale stays open and somebody has to look."""

    async def steps(scene: Scene) -> None:
        setattr(scene.trouble, fault, True)
        assert isinstance(await scene.error_of(request()), ModuleOutcomeUnknown)

    return run(keys, papers, steps)


def test_more_than_one_token_and_an_unknown_register_are_refused_before_anything_is_asked(
    keys: ModuleKeys, papers: Papers
) -> Deferred[None]:
    """Two calls could end differently; a key that is not in the configuration cannot be named."""

    async def steps(scene: Scene) -> None:
        ((tid, units),) = request().tokens
        for wrong in (request(tokens=((tid, units), (tid + 1, units))), request(register_id=9)):
            assert isinstance(await scene.error_of(wrong), ModuleRefused)
        assert CREDIT not in scene.simulator.calls

    return run(keys, papers, steps)


@pytest.mark.parametrize(("algorithm", "sections"), [(7, 2), (7, 3), (11, 4)])
def test_a_key_change(keys: ModuleKeys, papers: Papers, algorithm: int, sections: int) -> Deferred[None]:
    """Its tokens come in the order of entry, and again when they are asked for again."""

    async def steps(scene: Scene) -> None:
        change = KeyChangeRequest(
            request_id=next_id() + 5_000_000,
            from_register_id=1,
            to_register_id=5,
            pan="600727000000000009",
            from_tariff_index=1,
            to_tariff_index=1,
            encryption_algorithm=algorithm,
            sections=sections,
        )
        scene.trouble.after["issueKeyChangeTokens"] = ["cut"]
        tokens = [each.reveal() for each in await scene.module.change_key(change)]
        assert len(tokens) == sections
        again = await scene.module.change_key(replace(change, may_be_minted=True))
        assert [each.reveal() for each in again] == tokens

    return run(keys, papers, steps)


def test_every_answer_that_is_cut_or_changed_is_read_or_refused(keys: ModuleKeys) -> None:
    """No octets of a service make anything but an answer or a `LinkError`."""
    messages = PrismMessages()
    result = messages.structures.TokenApi.issueCreditToken_result()
    result.ex = messages.structures.ApiException(eCode="ESm", eMsg="x")
    body = messages.encode(CREDIT, 2, 7, result)[4:]
    assert messages.decode_answer(body) == (7, PrismFault(name=CREDIT, code="ESm", message="x"))
    for at in range(len(body)):
        for broken in (body[:at], body[:at] + bytes((body[at] ^ 0xFF,)) + body[at + 1 :]):
            try:
                messages.decode_answer(broken)
            except LinkError:
                continue


def test_secrets_of_a_call_are_not_shown() -> None:
    """The password and the access token are in octets only."""
    call = PrismCall(name="x", arguments={"password": Secret("hidden"), "accessToken": "hidden"})
    assert "hidden" not in repr(call)


def test_another_interface_file_takes_the_place_of_ours(tmp_path: Path) -> None:
    """The client knows names only: numbers and order of fields are the file's."""
    own = Path("messages/prism.thrift").read_text()
    other = tmp_path / "maker.thrift"
    other.write_text(own.replace("1: i32 sleepMs, 2: string echo", "7: i32 sleepMs, 9: string echo"))
    call = PrismCall(name="ping", arguments={"sleepMs": 0, "echo": "e"})
    assert PrismMessages().encode_call(1, call) != PrismMessages(other).encode_call(1, call)
