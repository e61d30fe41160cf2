"""One exchange, in memory: what counts as an answer, when the request is repeated, when patience ends."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.framing import FrameStyle, write_keep_alive
from messages.iso_message import IsoMessage
from pos import requests
from pos.dialogue import (
    ATTEMPTS_MAX,
    BAD_ANSWERS_MAX,
    OF_FIRST_COPIES,
    Dialogue,
    Fault,
    Final,
    Pause,
    Relink,
    Send,
    Unknown,
    Wait,
)
from pos.mac import signer
from pos.requests import Moment
from tests.pos.fake_switch import (
    IDENTITY,
    PIN,
    Behaviour,
    FakeSwitch,
    MemoryLink,
    approve,
    chunks,
    decline,
    garbage,
    noise,
    silent,
    to_another,
    unsigned,
    wrongly_signed,
)
from vending.money import Centavos
from vending.ports import MacScheme

MOMENT = Moment(stan="000042", transmitted_at=datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC))
RECHARGE = requests.recharge(IDENTITY, MOMENT, meter_number="37000000002", paid_centavos=Centavos(2_000_000))
SIGNER = signer(IDENTITY.mac_scheme, IDENTITY.mac_key)


def run(
    *script: Behaviour, request: IsoMessage = RECHARGE, was_sent: bool = False
) -> tuple[Final | Unknown, FakeSwitch]:
    switch = FakeSwitch(list(script))
    outcome = MemoryLink(switch).run(Dialogue(request, SIGNER, was_sent=was_sent))
    assert isinstance(outcome, Final | Unknown)
    return outcome, switch


def test_a_recharge_is_what_the_dialect_says() -> None:
    """Every data element of the first message, in the right place, with a right MAC."""
    outcome, switch = run(approve)
    assert isinstance(outcome, Final)
    assert outcome.is_approved
    assert switch.macs_right == [True]
    sent = switch.requests[0]
    assert sent.mti == "0200"
    assert {number: value for number, value in sent.fields.items() if number != 64} == {
        2: "37000000002",
        3: "500000",
        4: "000002000000",
        7: "1123160509",
        11: "000042",
        12: "110509",
        13: "1123",
        24: "001",
        41: "T0000001",
        42: "TIENDA0000001  ",
        49: "170",
    }
    assert outcome.answer.text(62) == PIN


def test_aes_cmac_serves_as_well() -> None:
    """A terminal keyed for AES-CMAC signs and checks with it."""
    switch = FakeSwitch([approve], scheme=MacScheme.AES_CMAC)
    dialogue = Dialogue(RECHARGE, signer(MacScheme.AES_CMAC, IDENTITY.mac_key))
    assert isinstance(MemoryLink(switch).run(dialogue), Final)
    assert switch.macs_right == [True]


def test_a_decline_is_final() -> None:
    """A refusal ends the exchange at once, with its code."""
    outcome, switch = run(decline("51"))
    assert isinstance(outcome, Final)
    assert (outcome.code, outcome.is_approved, len(switch.requests)) == ("51", False, 1)


def test_in_progress_is_asked_again_under_the_same_key() -> None:
    """After 09 the terminal repeats as 0201 with the same STAN and time until another code comes."""
    outcome, switch = run(decline("09"), decline("09"), approve)
    assert isinstance(outcome, Final)
    assert [request.mti for request in switch.requests] == ["0200", "0201", "0201"]
    keys = {(request.text(7), request.text(11), request.text(41), request.text(4)) for request in switch.requests}
    assert len(keys) == 1
    assert all(switch.macs_right)


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        (unsigned, Fault.NO_MAC),
        (wrongly_signed, Fault.WRONG_MAC),
        (noise, Fault.FORMAT),
        (to_another(de11="000043"), Fault.NOT_OURS),
        (to_another(de7="1123160510"), Fault.NOT_OURS),
        (to_another(de41="T0000002"), Fault.NOT_OURS),
        (to_another(de4="000009999999"), Fault.NOT_OURS),
        (to_another(de2="37000000010"), Fault.NOT_OURS),
    ],
)
def test_what_is_not_authentic_is_no_answer(behaviour: Behaviour, fault: Fault) -> None:
    """An approval that is not ours, or not proved, is passed over; the terminal repeats and takes the real one."""
    outcome, switch = run(behaviour, approve)
    assert isinstance(outcome, Final)
    assert [request.mti for request in switch.requests] == ["0200", "0201"]
    only_bad, _ = run(behaviour)
    assert isinstance(only_bad, Unknown)
    assert {rejected.fault for rejected in only_bad.rejected} == {fault}


def test_a_right_answer_of_the_wrong_type_is_none() -> None:
    """A 0110 or a rejection (0620) never ends a sale."""

    def other_type(switch: FakeSwitch, request: IsoMessage) -> bytes:
        return switch.signed(IsoMessage(mti="0620", fields={**request.without_fields(64).fields, 39: "00"}))

    outcome, _ = run(other_type)
    assert isinstance(outcome, Unknown)
    assert {rejected.fault for rejected in outcome.rejected} == {Fault.WRONG_MTI}


def test_silence_ends_as_unknown_after_all_attempts() -> None:
    """The terminal is patient for a bounded number of repeats and then says that it does not know."""
    outcome, switch = run(silent)
    assert isinstance(outcome, Unknown)
    assert len(switch.requests) == ATTEMPTS_MAX
    assert outcome.rejected == ()


def test_an_exchange_that_may_have_been_sent_starts_as_a_repeat() -> None:
    """After a restart the first message is a 0201 already."""
    _, switch = run(approve, was_sent=True)
    assert [request.mti for request in switch.requests] == ["0201"]


def test_inquiries_and_echoes_have_no_repeat_form() -> None:
    """They move nothing, so the same message goes out again."""
    inquiry = requests.inquiry(IDENTITY, MOMENT, meter_number="37000000002", trial_centavos=None)
    _, switch = run(silent, approve, request=inquiry)
    assert [request.mti for request in switch.requests] == ["0100", "0100"]
    _, switch = run(silent, decline("00"), request=requests.network(IDENTITY, MOMENT, requests.ECHO))
    assert [request.mti for request in switch.requests] == ["0800", "0800"]


def test_a_reversal_names_its_original() -> None:
    """Data element 90 holds MTI, STAN and time of the sale, and the MAC moves to 128."""
    later = Moment(stan="000043", transmitted_at=MOMENT.transmitted_at)
    outcome, switch = run(silent, decline("00"), request=requests.reversal(IDENTITY, later, RECHARGE))
    assert isinstance(outcome, Final)
    assert [request.mti for request in switch.requests] == ["0400", "0401"]
    assert switch.requests[0].text(90) == "0200" + "000042" + "1123160509" + "0" * 22
    assert 128 in switch.requests[0]
    assert all(switch.macs_right)


@given(cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_an_answer_may_come_in_pieces(cuts: list[int]) -> None:
    """Wherever the network cuts the stream, the answer is the same, and keep-alives between do not matter."""
    switch = FakeSwitch([approve])
    dialogue = Dialogue(RECHARGE, SIGNER)
    octets = write_keep_alive(FrameStyle.BINARY_2) + switch.receive(dialogue.start().octets)
    *pieces, last = [piece for piece in chunks(octets, cuts) if piece]
    assert all(isinstance(dialogue.received(piece), Wait) for piece in pieces)
    assert isinstance(dialogue.received(last), Final)


def test_half_an_answer_is_forgotten_with_its_link() -> None:
    """What a lost link left behind does not spoil the answer on the next."""
    switch = FakeSwitch([approve])
    dialogue = Dialogue(RECHARGE, SIGNER)
    answer = switch.receive(dialogue.start().octets)
    assert isinstance(dialogue.received(answer[:30]), Wait)
    dialogue.link_opened()
    repeat = dialogue.repeat()
    assert isinstance(repeat, Send)
    assert isinstance(dialogue.received(switch.receive(repeat.octets)), Final)


def test_a_stream_without_frames_asks_for_a_new_link() -> None:
    """After octets that are no frame the link is useless and is closed."""
    dialogue = Dialogue(RECHARGE, SIGNER)
    dialogue.start()
    assert isinstance(dialogue.received(garbage(FakeSwitch([silent]), RECHARGE)), Relink)


def test_a_flood_of_false_answers_ends() -> None:
    """Somebody who plays with the line cannot keep the terminal busy for ever."""
    switch = FakeSwitch([wrongly_signed])
    dialogue = Dialogue(RECHARGE, SIGNER)
    answer = switch.receive(dialogue.start().octets)
    results = [dialogue.received(answer) for _ in range(BAD_ANSWERS_MAX + 1)]
    assert isinstance(results[-2], Wait)
    assert isinstance(results[-1], Unknown)


def test_in_progress_must_be_authentic_too() -> None:
    """A 09 without a MAC is counted as no answer, and its code is told but not believed."""
    outcome, _ = run(
        lambda switch, request: unsigned(switch, request).replace(b"00" + b"T0000001", b"09" + b"T0000001")
    )
    assert isinstance(outcome, Unknown)
    assert {rejected.code for rejected in outcome.rejected} == {"09"}
    assert isinstance(Dialogue(RECHARGE, SIGNER).received(b""), Wait)


def test_pause_is_returned_for_in_progress() -> None:
    """The caller is told to let time pass instead of asking at once."""
    switch = FakeSwitch([decline("09")])
    dialogue = Dialogue(RECHARGE, SIGNER)
    assert isinstance(dialogue.received(switch.receive(dialogue.start().octets)), Pause)


@pytest.mark.parametrize("code", sorted(OF_FIRST_COPIES))
def test_a_refusal_of_the_moment_ends_the_first_copy_only(code: str) -> None:
    """It ends a request that was sent once. Once the repeat is out it may be the late answer to the first, while the repeat is sold."""
    outcome, _ = run(decline(code))
    assert isinstance(outcome, Final)
    assert outcome.code == code
    outcome, switch = run(silent, decline(code), approve)
    assert isinstance(outcome, Final)
    assert outcome.is_approved
    assert [request.mti for request in switch.requests] == ["0200", "0201", "0201"]


def test_a_question_that_is_asked_again_may_be_refused_for_the_moment() -> None:
    """It has no repeat form, and nothing is sold."""
    question = requests.inquiry(IDENTITY, MOMENT, meter_number="37000000002", trial_centavos=None)
    outcome, _ = run(silent, decline("92"), request=question)
    assert isinstance(outcome, Final)
    assert outcome.code == "92"


def test_another_terminals_key_does_not_open_ours() -> None:
    """An answer that is signed with another key is none."""
    other = replace(IDENTITY, mac_key=type(IDENTITY.mac_key)(bytes(range(16))))
    dialogue = Dialogue(RECHARGE, signer(other.mac_scheme, other.mac_key))
    assert isinstance(MemoryLink(FakeSwitch([approve])).run(dialogue), Unknown)
