"""Messages of DUKPT terminals: verified under the key that each names, answered under the same, whoever stored the answer."""

from pathlib import Path
from typing import Any, cast

import pytest

from acquirers.iso1987 import DatafonoDialect
from messages.codec import DATAFONO
from messages.dukpt import initial_key
from messages.iso_message import IsoMessage
from messages.mac import split_mac
from messages.security_module import MacScheme
from messages.wire import DATAFONO_WIRE
from pos.dukpt import DukptSigner
from pos.requests import seal_said
from security_module.dukpt import DukptMacs
from security_module.macs import MacRefused
from security_module.registers import MacRegister
from switch.seal import Seal
from tests.switch.fakes import Fake
from tests.switch.key_bench import result
from tests.switch.sale_bench import recharge
from vending.ports import MacKey, MacMismatch, ModuleRefused, ModuleUnavailable, SecurityModule
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret

REGISTER = 16
BASE = MacRegister(
    register_id=REGISTER,
    scheme=MacScheme.X9_19,
    is_diversified=False,
    is_test=True,
    key=Secret(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")),
    is_dukpt=True,
)
DEVICES = {"TERM0001": bytes.fromhex("FFFF9876543210E00000"), "TERM0002": bytes.fromhex("FFFF9876543210C00000")}
ANSWER = IsoMessage(mti="0210", fields={11: "000005", 39: "00", 41: "TERM0001"})


class Module:
    """The module's real MACs."""

    def __init__(self) -> None:
        self.macs = DukptMacs({REGISTER: BASE})
        self.signing: Fake[tuple[MacKey, bytes], bytes] = Fake("sign", [], lambda asked: self.macs.generate(*asked))
        self.verifying: Fake[tuple[MacKey, bytes, bytes], None] = Fake("verify", [], self._verify)

    def generate_mac(self, key: MacKey, data: bytes) -> Any:
        """See `vending.ports.SecurityModule`."""
        return self.signing.submit((key, data))

    def verify_mac(self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None) -> Any:
        """See there."""
        return self.verifying.submit((key, data, mac))

    def _verify(self, asked: tuple[MacKey, bytes, bytes]) -> None:
        try:
            if not self.macs.is_right(*asked):
                raise MacMismatch
        except MacRefused as refused:
            raise ModuleRefused(refused.status.code, refused.status.meaning) from None


class Pair:
    """A terminal and the seal of its network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.module = Module()
        self.seal = Seal(
            cast("SecurityModule", self.module),
            DatafonoDialect(),
            register_id=REGISTER,
            scheme=MacScheme.X9_19,
            is_diversified=False,
            devices=DEVICES,
        )
        self.terminal = self.device("TERM0001")

    def device(self, terminal_id: str) -> DukptSigner:
        """A new terminal."""
        ksn = DEVICES[terminal_id]
        return DukptSigner.create(self.directory / f"{terminal_id}.json", initial_key(BASE.key, ksn), ksn)

    def say(self, mti: str = "0200", device: DukptSigner | None = None, terminal_id: str = "TERM0001") -> bytes:
        """One message of a terminal."""
        return seal_said(recharge(mti, terminal_id=terminal_id), device or self.terminal, DATAFONO_WIRE)

    def verify(self, body: bytes, terminal_id: str = "TERM0001") -> MacKey:
        """Return the key under which a message is right."""
        key: MacKey = result(self.seal.verify(DATAFONO.decode(body), body, terminal_id))
        return key

    def is_authentic(self, answer: bytes) -> bool:
        """Whether the terminal takes an answer."""
        sealed = split_mac(DATAFONO.decode(answer), answer)
        try:
            self.terminal.verify(sealed.covered, sealed.mac)
        except MacMismatch:
            return False
        return True


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A new terminal."""
    return Pair(tmp_path)


def _is_refused(pair: Pair, body: bytes, terminal_id: str = "TERM0001") -> bool:
    with pytest.raises(Refusal) as refused:
        pair.verify(body, terminal_id)
    return refused.value.code is ResponseCode.MAC_MISMATCH


def test_a_stored_answer_gets_its_mac_when_it_leaves(pair: Pair) -> None:
    """It is stored with zeros, and each repeat, with a counter of its own, gets it under its own key; nothing else differs."""
    stored = result(pair.seal.sign(ANSWER, "TERM0001"))
    assert stored[-8:] == bytes(8)
    assert not pair.is_authentic(stored)
    keys = [pair.verify(pair.say(mti)) for mti in ("0200", "0201", "0201")]
    answers = [result(pair.seal.for_request(stored, key)) for key in keys]
    assert all(map(pair.is_authentic, answers))
    assert len({key.ksn for key in keys}) == len(set(answers)) == 3
    assert {answer[:-8] for answer in answers} == {stored[:-8]}


def test_an_answer_that_was_signed_for_its_request_is_not_signed_twice(pair: Pair) -> None:
    """Refusals are signed with the key of their request at once."""
    key = pair.verify(pair.say())
    refusal = result(pair.seal.sign_if_possible(ANSWER, "TERM0001", key=key))
    assert result(pair.seal.for_request(refusal, key)) == refusal
    assert pair.is_authentic(refusal)
    assert len(pair.module.signing.asked) == 1


def test_a_lower_counter_is_taken(pair: Pair) -> None:
    """Messages overtake each other: what came late is right under its own key, and so is the same octets again."""
    first, second = pair.say(), pair.say("0201")
    assert pair.verify(second).ksn > pair.verify(first).ksn
    assert pair.verify(first) == pair.verify(first)


def test_a_terminal_speaks_only_for_itself(pair: Pair) -> None:
    """With the key serial number of another terminal, or as one that is not known, its MAC is wrong, and the module is not even asked."""
    other = pair.device("TERM0002")
    assert _is_refused(pair, pair.say(device=other))
    assert _is_refused(pair, pair.say(terminal_id="TERM0009"), "TERM0009")
    assert pair.module.verifying.asked == []
    assert pair.verify(pair.say(device=other, terminal_id="TERM0002"), "TERM0002").ksn[:8] == DEVICES["TERM0002"][:8]


def test_a_message_without_a_key_serial_number_or_with_another_counter_is_refused(pair: Pair) -> None:
    """The counter is under the MAC and part of the key; counter 0 belongs to no message."""
    body = pair.say()
    assert _is_refused(pair, DATAFONO.encode(DATAFONO.decode(body).without_fields(63)))
    assert _is_refused(pair, body.replace(b"E00001", b"E00002"))
    assert _is_refused(pair, body.replace(b"E00001", b"E00000"))


def test_without_a_module_an_answer_is_not_final(pair: Pair) -> None:
    """It is there, and the repeat gets it."""
    stored, key = result(pair.seal.sign(ANSWER, "TERM0001")), pair.verify(pair.say())
    pair.module.signing.plan(ModuleUnavailable("no link"))
    with pytest.raises(Refusal) as refused:
        result(pair.seal.for_request(stored, key))
    assert refused.value.code is ResponseCode.IN_PROGRESS
    assert pair.is_authentic(result(pair.seal.for_request(stored, key)))
