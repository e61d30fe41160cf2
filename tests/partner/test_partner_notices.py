"""A simulated network as the host of notices: what it answers is what our own dialect takes for it, and what the switch does wrong is told."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from acquirers.registry import DIALECTS
from config.acquirer import AcquirerSection, MacSection
from config.sale import SaleSection
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.tpdu import TPDU_OCTETS, Tpdu
from messages.wire import WIRES
from partner.exchange import Chances
from partner.network import Partner, partner_of
from partner.notices import NoticeReply, NoticeTaker
from pos.mac import signer
from pos.requests import seal_said
from tests.messages.notice_examples import notice_examples
from tests.partner.test_partner_cases import IDENTITY, NOW
from tests.partner.test_partner_exchange import Bench
from vending.notice_life import NoticeEvent

KEY = signer(IDENTITY.mac_scheme, IDENTITY.mac_key)
OTHER_KEY = signer("AES-CMAC", IDENTITY.mac_key)
TOLD_TO = "TERM0001"


class Host:
    """One network's host, and what was counted."""

    def __init__(self, dialect: str, *, errors: float = 0.0, drop: float = 0.0) -> None:
        self.partner: Partner = partner_of(
            AcquirerSection.model_validate(
                {"id": "red", "dialect": dialect, "listen_port": 0, "mac": MacSection(register_id=1)}
            ),
            SaleSection(),
            lambda: NOW,
        )
        self.counts: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []
        self.taker = NoticeTaker(
            self.partner,
            lambda terminal_id: KEY if terminal_id == TOLD_TO else None,
            counts=self.counts,
            fault=lambda name, _words: self.faults.append(name),
            errors=errors,
            drop=drop,
            chance=random.Random(1),
        )
        self.adapter = DIALECTS[dialect]()
        self.examples = notice_examples(self.adapter.notice, "00")

    def tell(self, message: IsoMessage, key: object = KEY) -> NoticeReply | None:
        """Send the host a notice, under *key*."""
        body = seal_said(message, key, self.partner.wire)  # type: ignore[arg-type]
        tpdu = Tpdu(destination="0123", source="0000").octets if self.partner.wire.has_tpdu else b""
        return self.taker.take(tpdu + body)

    def events(self, *messages: IsoMessage) -> Sequence[NoticeEvent | None]:
        """What our own dialect makes of the answers; None: there is none."""
        found: list[NoticeEvent | None] = []
        for message in messages:
            reply = self.tell(message)
            assert reply is not None
            if reply.frame is None:
                found.append(None)
                continue
            body = reply.frame[TPDU_OCTETS:] if self.partner.wire.has_tpdu else reply.frame
            answer = self.adapter.notice_answer(body)
            assert answer is not None
            sealed = self.partner.wire.codec.decode(body)
            assert (answer.stan, answer.terminal_id, sealed.mti) == (message.text(11), TOLD_TO, message.answer_mti)
            found.append(answer.event)
        return found


@pytest.mark.parametrize("dialect", sorted(WIRES))
def test_every_notice_is_taken_and_its_repeat_known(dialect: str) -> None:
    """In each dialect, in the answer that the switch takes for an acceptance; nothing was wrong."""
    host = Host(dialect)
    names = ("notice-settlement", "notice-outcome", "notice-void", "notice-adjustment", "notice-settlement-repeated")
    assert host.events(*(host.examples[name] for name in names)) == [NoticeEvent.ACCEPTED] * 5
    assert sorted(outcome for _, outcome in host.counts.elements()) == ["accepted"] * 4 + ["known"]
    assert host.faults == []


@pytest.mark.parametrize("dialect", sorted(WIRES))
def test_a_notice_is_put_off_or_its_answer_lost_at_the_given_rates(dialect: str) -> None:
    """Put off as long as the rate says so; one whose answer was lost is known when it comes again."""
    late = Host(dialect, errors=1.0)
    first, repeat = late.examples["notice-settlement"], late.examples["notice-settlement-repeated"]
    assert late.events(first, repeat) == [NoticeEvent.PUT_OFF] * 2
    lossy = Host(dialect, drop=1.0)
    assert lossy.events(first, repeat) == [None, NoticeEvent.ACCEPTED]
    assert lossy.counts == {(first.mti, "lost"): 1, (repeat.mti, "known"): 1}
    assert late.faults + lossy.faults == []


def test_what_the_switch_does_wrong_with_notices_is_told() -> None:
    """A wrong MAC, another content under the same number, a second first copy, a terminal without a key; none but the first two is taken."""
    host = Host("recargas")
    first, repeat = host.examples["notice-settlement"], host.examples["notice-settlement-repeated"]
    wrong = host.tell(first, OTHER_KEY)
    assert wrong is not None
    assert wrong.frame is not None
    assert host.events(first, first) == [NoticeEvent.ACCEPTED] * 2
    host.tell(repeat.with_fields({48: "NK010settlement"}))
    stranger = host.tell(first.with_fields({41: "TERM0009"}))
    assert stranger == NoticeReply(frame=None)
    assert host.faults == ["notice_mac", "notice_twice", "notice_changed", "notice_key"]


def test_nothing_else_is_taken_for_a_notice() -> None:
    """Answers to terminals, noise, and what manages the network."""
    host = Host("datafono")
    answer = IsoMessage(mti="0210", fields={7: "1123163000", 11: "000001", 39: "00", 41: TOLD_TO})
    assert host.tell(answer) is None
    for frame in (b"", b"\x60\x00", b"GET / HTTP/1.1"):
        assert host.taker.take(frame) is None


def test_a_link_hands_notices_to_the_host_and_carries_its_answer_after_the_delay() -> None:
    """The terminals that share the link learn nothing of it."""
    host = Host("recargas")
    bench = Bench(lambda _message, _number: None, Chances(delay_seconds=5.0), notices=host.taker)
    body = seal_said(host.examples["notice-outcome"], KEY, host.partner.wire)
    assert bench.transport.link is not None
    bench.transport.link.dataReceived(write_frame(FrameStyle.BINARY_2, body))
    assert bench.transport.seen == []
    bench.clock.advance(5.0)
    assert [message.mti for message in bench.transport.seen] == ["0230"]
    assert (dict(bench.tally.faults), host.counts) == ({}, {("0220", "accepted"): 1})
