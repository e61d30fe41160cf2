from collections.abc import Awaitable
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from acquirers.iso1987 import DatafonoDialect
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import split_mac
from switch.seal import Seal
from tests.switch.sale_bench import FakeModule, mac_key, mac_of, recharge, signed
from vending.ports import MacKey, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode

ANSWER = IsoMessage(mti="0210", fields={11: "000005", 39: "00", 41: "TERM0001"})
FAILURES = [ModuleUnavailable("no link"), ModuleOutcomeUnknown("no reply"), ModuleRefused("17", "retired")]


def _seal(module: FakeModule, *, is_diversified: bool = True) -> Seal:
    return Seal(module, DatafonoDialect(), register_id=5, scheme="X9.19", is_diversified=is_diversified)


def _result(work: Awaitable[Any]) -> Any:
    """Return what *work*, which waits for nothing, came to, or raise it."""
    results: list[object] = []
    ensureDeferred(work).addBoth(results.append)  # type: ignore[arg-type]
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def test_the_right_mac_passes_and_covers_all_that_stands_before_it() -> None:
    """The module gets the terminal's key, the octets and the MAC."""
    module = FakeModule([])
    body = signed(recharge())
    assert _result(_seal(module).verify(DATAFONO.decode(body), body, "TERM0001")) == mac_key()
    assert module.verifying.asked == [(mac_key(), body[:-8], body[-8:])]


def test_a_network_with_one_key_names_no_terminal() -> None:
    """The diversifier is empty, both ways."""
    module = FakeModule([])
    seal = _seal(module, is_diversified=False)
    key = MacKey(register_id=5, scheme="X9.19", diversifier="")
    body = _result(seal.sign(ANSWER, "TERM0001"))
    _result(seal.verify(DATAFONO.decode(body), body, "TERM0001"))
    assert [asked[0] for asked in module.signing.asked] == [key]
    assert [asked[0] for asked in module.verifying.asked] == [key]


def test_a_signature_is_the_last_element_of_the_answer() -> None:
    """The MAC stands in place of the zeros, over everything before it, its own bit included."""
    body = _result(_seal(FakeModule([])).sign(ANSWER, "TERM0001"))
    message = DATAFONO.decode(body)
    assert message.without_fields(64) == ANSWER
    sealed = split_mac(message, body)
    assert sealed.mac == mac_of(mac_key(), sealed.covered)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FAILURES[0], ResponseCode.MODULE_UNAVAILABLE),
        (FAILURES[1], ResponseCode.MODULE_UNAVAILABLE),
        (FAILURES[2], ResponseCode.SYSTEM_ERROR),
    ],
    ids=repr,
)
def test_why_a_mac_could_not_be_verified(error: Exception, code: ResponseCode) -> None:
    """Not knowing is not the same as wrong."""
    module = FakeModule([])
    module.verifying.plan(error)
    body = signed(recharge())
    with pytest.raises(Refusal) as caught:
        _result(_seal(module).verify(DATAFONO.decode(body), body, "TERM0001"))
    assert caught.value.code is code


@pytest.mark.parametrize("is_there", [True, False], ids=["wrong", "missing"])
def test_a_wrong_or_missing_mac_is_refused(is_there: bool) -> None:
    """A missing one does not even reach the module."""
    module = FakeModule([])
    body = signed(recharge())[:-8] + bytes(8) if is_there else DATAFONO.encode(recharge())
    with pytest.raises(Refusal) as caught:
        _result(_seal(module).verify(DATAFONO.decode(body), body, "TERM0001"))
    assert caught.value.code is ResponseCode.MAC_MISMATCH
    assert len(module.verifying.asked) == is_there


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_without_a_module_there_is_no_signature(error: Exception) -> None:
    """Who must have one is told; who need not gets the answer bare."""
    module = FakeModule([])
    module.signing.plan(error, error)
    with pytest.raises(type(error)):
        _result(_seal(module).sign(ANSWER, "TERM0001"))
    assert DATAFONO.decode(_result(_seal(module).sign_if_possible(ANSWER, "TERM0001"))) == ANSWER


def test_a_signature_is_made_if_it_can_be() -> None:
    """Bare is the exception."""
    seal = _seal(FakeModule([]))
    assert _result(seal.sign_if_possible(ANSWER, "TERM0001")) == _result(seal.sign(ANSWER, "TERM0001"))
