"""Many terminals over few links, against a network in memory: lost answers are repeated, and what is wrong is counted."""

import random
from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac, with_placeholder
from partner.exchange import Chances, Concentrator, PartnerLink
from partner.network import Partner
from partner.notices import NoticeTaker
from partner.run_tally import RunTally, percentile
from partner.spoilt import SpoiltSigner
from pos import requests
from pos.dialogue import Dialogue, Final
from pos.mac import signer
from pos.requests import Moment
from tests.partner.test_partner_cases import IDENTITY, NOW, PIN, partner
from vending.money import Centavos

Answer = Callable[[IsoMessage, int], dict[int, str] | None]
"""The fields that answer a message that came for the n-th time (from 0); None: silence."""


class MemoryTransport:
    """Takes what a link writes and answers at once."""

    def __init__(self, network: Partner, answer: Answer) -> None:
        self.link: PartnerLink | None = None
        self.seen: list[IsoMessage] = []
        self.is_signing = True
        self._network = network
        self._answer = answer
        self._signer = signer(IDENTITY.mac_scheme, IDENTITY.mac_key)
        self._reader = FrameReader(FrameStyle.BINARY_2)

    def write(self, octets: bytes) -> None:
        """Take whole frames."""
        for event in self._reader.receive(octets):
            assert isinstance(event, Frame)
            message = self._network.wire.codec.decode(event.octets)
            self.seen.append(message)
            fields = self._answer(message, len(self.seen) - 1)
            if fields is not None and self.link is not None:
                self.link.dataReceived(write_frame(FrameStyle.BINARY_2, self._signed(message, fields)))

    def _signed(self, message: IsoMessage, fields: dict[int, str]) -> bytes:
        kept = {n: v for n, v in message.fields.items() if n in {2, 3, 4, 7, 11, 12, 13, 24, 41, 42}}
        answer = IsoMessage(mti=message.answer_mti, fields={**kept, **fields})
        codec, form = self._network.wire.codec, self._network.wire.mac_form
        if not self.is_signing:
            return codec.encode(answer)
        encoded = codec.encode(with_placeholder(answer))
        return splice_mac(encoded, self._signer.sign(covered(encoded, form)), form)


class Bench:
    """A concentrator over one memory link."""

    def __init__(self, answer: Answer, chances: Chances | None = None, *, notices: NoticeTaker | None = None) -> None:
        self.network = partner()
        self.clock = Clock()
        self.tally = RunTally()
        self.concentrator = Concentrator(
            self.network,
            self.clock,
            chances or Chances(),
            self.tally,
            random.Random(1),
            answer_seconds=15.0,
            reconnect=lambda: None,
            notices=notices,
        )
        self.transport = MemoryTransport(self.network, answer)
        link = PartnerLink(self.concentrator)
        self.transport.link = link
        link.makeConnection(self.transport)

    def sell(self, stan: str = "000001") -> list[Final | None]:
        """One recharge; returns where its outcome will stand."""
        message = requests.recharge(
            IDENTITY,
            Moment(stan=stan, transmitted_at=NOW),
            meter_number="37000000002",
            paid_centavos=Centavos(2_000_000),
        )
        dialogue = Dialogue(message, signer(IDENTITY.mac_scheme, IDENTITY.mac_key), speech=self.network.speech)
        outcome: list[Final | None] = []
        self.concentrator.ask("recharge", message, dialogue).addCallback(outcome.append)
        return outcome


def approve(_: IsoMessage, _n: int) -> dict[int, str]:
    """The same approval each time."""
    return {15: "1124", 38: "000001", 39: "00", 62: PIN}


def test_an_answer_ends_its_request() -> None:
    """One message out, one answer in, counted and timed."""
    bench = Bench(approve)
    (final,) = bench.sell()
    assert final is not None
    assert final.code == "00"
    assert (bench.concentrator.in_flight, bench.tally.answers, dict(bench.tally.faults)) == (0, 1, {})
    assert len(bench.tally.latencies_ms) == 1


def test_a_lost_answer_is_asked_for_again_and_must_be_the_same() -> None:
    """The repeat gets the same octets: nothing is wrong."""
    bench = Bench(approve, Chances(drop=1.0))
    outcome = bench.sell()
    assert outcome == []
    bench.clock.advance(0.5)
    assert [message.mti for message in bench.transport.seen] == ["0200", "0201"]
    assert len(outcome) == 1
    assert (bench.tally.lost, bench.tally.repeated, dict(bench.tally.faults)) == (1, 1, {})


def test_a_repeat_with_other_octets_is_a_fault() -> None:
    """Another PIN on the repeat is what this is there to find."""
    bench = Bench(lambda _, n: {15: "1124", 38: "000001", 39: "00", 62: str(n) * 20}, Chances(drop=1.0))
    bench.sell()
    bench.clock.advance(0.5)
    assert dict(bench.tally.faults) == {"other_octets": 1}
    assert "1" * 20 not in bench.tally.told[0]


def test_a_copy_sent_twice_must_get_the_same_answer_twice() -> None:
    """Both answers are compared, also the one that comes when the request has ended."""
    same = Bench(approve, Chances(duplicates=1.0))
    same.sell()
    assert (same.tally.doubled, dict(same.tally.faults)) == (1, {})
    other = Bench(lambda _, n: {15: "1124", 38: "000001", 39: "00", 62: str(n) * 20}, Chances(duplicates=1.0))
    other.sell()
    assert dict(other.tally.faults) == {"other_octets": 1}


def test_in_progress_is_asked_again_and_silence_too() -> None:
    """09 after a pause, silence after the port's own deadline and more."""
    bench = Bench(lambda _, n: {39: "09"} if n == 0 else None if n == 1 else approve(_, n))
    outcome = bench.sell()
    bench.clock.advance(0.5)
    assert outcome == []
    bench.clock.advance(15.0)
    assert len(outcome) == 1
    assert (bench.tally.repeated, dict(bench.tally.faults)) == (2, {})


def test_a_code_that_is_not_right_is_a_fault() -> None:
    """A sale on a good meter has no reason to be told that there is no such terminal."""
    bench = Bench(lambda _, _n: {39: "03"})
    bench.sell()
    assert dict(bench.tally.faults) == {"unexpected_code": 1}
    assert "terminal_unknown" in bench.tally.told[0]


def test_a_mac_that_is_wrong_is_a_fault() -> None:
    """An answer under another key ends nothing, and is counted."""
    bench = Bench(approve)
    bench.transport._signer = signer("X9.19", type(IDENTITY.mac_key)(bytes(16)))
    assert bench.sell() == []
    assert dict(bench.tally.faults) == {"wrong_mac": 1}


@pytest.mark.parametrize(("code", "faults"), [("63", {}), ("90", {}), ("00", {"spoilt_taken": 1})])
def test_a_request_with_a_wrong_mac_must_be_refused(code: str, faults: dict[str, int]) -> None:
    """63, or 90 above the agreed rate; an approval would be a switch that looks at no MAC."""
    bench = Bench(lambda _, _n: {39: code})
    bench.transport.is_signing = False
    message = requests.recharge(
        IDENTITY, Moment(stan="000009", transmitted_at=NOW), meter_number="37000000002", paid_centavos=Centavos(100)
    )
    signed = requests.seal(message, SpoiltSigner(signer(IDENTITY.mac_scheme, IDENTITY.mac_key)), bench.network.speech)
    bench.concentrator.throw_spoilt(message, signed)
    assert dict(bench.tally.faults) == faults
    assert dict(bench.tally.codes) == {("wrong MAC", code): 1}


def test_a_link_that_is_lost_is_opened_again_and_its_requests_are_repeated() -> None:
    """What was under way goes out again on another link, as a repeat."""
    opened: list[int] = []
    bench = Bench(lambda _, _n: None)
    bench.concentrator._reconnect = lambda: opened.append(1)  # the bench opens none by itself
    outcome = bench.sell()
    link = bench.transport.link
    assert link is not None
    link.connectionLost()
    assert (opened, bench.tally.links_lost) == ([1], 1)
    again = MemoryTransport(bench.network, approve)
    again.link = PartnerLink(bench.concentrator)
    again.link.makeConnection(again)
    bench.clock.advance(15.0)
    assert [message.mti for message in again.seen] == ["0201"]
    assert len(outcome) == 1
    assert dict(bench.tally.faults) == {}


def test_a_pin_of_another_sale_is_a_fault_and_a_reversed_sales_is_not() -> None:
    """One PIN, one sale; what was parked goes to the next one."""
    tally = RunTally()
    tally.pins("first", [PIN])
    tally.pins("first", [PIN])
    assert not tally.faults
    tally.pins("second", [PIN])
    assert dict(tally.faults) == {"pin_twice": 1}
    assert PIN not in tally.told[0]
    tally.forget_pins("first")
    tally.pins("third", [PIN])
    assert tally.faults.total() == 1


@pytest.mark.parametrize(("share", "value"), [(50, 50), (99, 99), (100, 100)])
def test_percentiles_are_values_that_were_seen(share: int, value: int) -> None:
    """By nearest rank, nothing between two values."""
    assert percentile([float(each) for each in range(1, 101)], share) == value
