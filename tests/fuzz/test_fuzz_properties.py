"""What must hold for octets that nobody meant, with the search of hypothesis: it shrinks what it finds to a few octets."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquirers.dialect import Unreadable
from acquirers.iso1987 import DatafonoDialect
from hsm_client.session import ClientSession, RemoteProtocolError
from messages.codec import DATAFONO
from messages.describe import describe
from messages.iso_message import IsoMessage
from messages.security_module import (
    Command,
    GenerateMac,
    Identify,
    IdentifyReply,
    MacKey,
    MacReply,
    MacVerified,
    Refused,
    Reply,
    Request,
    Status,
    VerifyMac,
    encode_reply,
)
from tests.fuzz.targets import TARGETS
from vending.response_code import ResponseCode

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
DIALECT = DatafonoDialect()
PIN = "98765432109876543210"

CALLERS_OWN = {7: "1123163030", 11: "000005", 12: "113030", 13: "1123", 37: "632716000005", 41: "TERM0001"}
CALLERS_OWN |= {42: "TIENDA LA ESQUI"}
"""By these a caller finds his request again."""
AROUND = {2: "37000000007", 3: "500000", 4: "000002000000", 24: "003", 48: "VO003xyzVA006100000", 49: "170", 61: "abc"}
"""Elements before, between and behind them."""


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=300))
def test_any_octets_at_all(name: str, octets: bytes) -> None:
    """Every reader takes any octets."""
    TARGETS[name].run(octets)


@settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(TARGETS)), st.data())
def test_good_octets_that_were_changed(name: str, data: st.DataObject) -> None:
    """Every reader takes good octets of which some were replaced, taken out, put in or cut off."""
    octets = bytearray(data.draw(st.sampled_from(TARGETS[name].seeds())))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(octets)))
        stop = data.draw(st.integers(start, min(len(octets), start + 8)))
        octets[start:stop] = data.draw(st.binary(max_size=8))
    TARGETS[name].run(bytes(octets))


@settings(deadline=None, max_examples=300)
@given(
    st.sets(st.sampled_from(sorted(CALLERS_OWN))),
    st.sets(st.sampled_from(sorted(AROUND))),
    st.sampled_from(["0100", "0200", "0201", "0400", "0401"]),
    st.data(),
)
def test_the_callers_own_fields_come_back_if_they_stand_before_the_fault(
    own: set[int], around: set[int], mti: str, data: st.DataObject
) -> None:
    """Wherever a message is cut, the answer carries 7, 11, 12, 13, 37, 41 and 42 as far as they were whole, and 30."""
    fields = {number: (CALLERS_OWN | AROUND)[number] for number in sorted(own | around)}
    message = IsoMessage(mti=mti, fields=fields | {64: "00" * 8})
    octets = DATAFONO.encode(message)
    places = {field.number: field.position_octets for field in describe(octets).fields}
    fault = data.draw(st.sampled_from(sorted(places)))
    ends = [*sorted(places.values()), len(octets)]
    end = next(each for each in ends if each > places[fault])
    cut = octets[: data.draw(st.integers(places[fault], end - 1))]
    with pytest.raises(Unreadable) as caught:
        DIALECT.read(cut, acquirer_id="datafonos", now=NOW)
    assert caught.value.refusal.code is ResponseCode.FORMAT_ERROR
    answer = DIALECT.decline(caught.value.message, ResponseCode.FORMAT_ERROR)
    assert answer is not None
    assert answer.text(39) == "30"
    for number in own:
        assert answer.get(number) == (CALLERS_OWN[number] if number < fault else None), number


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 7)), max_size=3), st.integers(0, 400), st.booleans())
def test_no_wrong_bit_uncovers_a_pin(flips: Sequence[tuple[int, int]], cut: int, is_cut: bool) -> None:
    """A message with PINs, with bits turned over or its end cut off, is described without the digits of a PIN in a row."""
    fields = {2: "37000000007", 39: "00", 48: "HN003Ana", 62: PIN + PIN, 63: "RC0071000122", 64: "00" * 8}
    octets = bytearray(DATAFONO.encode(IsoMessage(mti="0210", fields=fields)))
    for place, bit in flips:
        octets[place % len(octets)] ^= 1 << bit
    if is_cut:
        del octets[cut:]
    assert PIN not in "\n".join(describe(bytes(octets)).lines())


KEY = MacKey(register_id=10, scheme="X9.19", diversifier="T0000001")
ASKED: tuple[Request, ...] = (
    GenerateMac(key=KEY, data=b"1"),
    VerifyMac(key=KEY, data=b"2", mac=bytes(8)),
    Identify(),
    GenerateMac(key=KEY, data=b"3"),
)
REPLIES: tuple[tuple[Reply, type[Request] | None], ...] = (
    (MacReply(mac=bytes(8)), GenerateMac),
    (MacVerified(), VerifyMac),
    (IdentifyReply(module_id="m", role="switch", clock_unix_milliseconds=1, check_values=()), Identify),
    (Refused(command=Command.GENERATE_MAC, status=Status.UNKNOWN_REGISTER), GenerateMac),
    (Refused(command=Command.VERIFY_MAC, status=Status.MAC_MISMATCH), VerifyMac),
    (Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_COMMAND), None),
)
"""Replies, and what they can answer (None: anything)."""


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(REPLIES)), max_size=8),
    st.lists(st.integers(1, 60), max_size=20),
    st.sets(st.integers(1, 4)),
)
def test_a_client_takes_each_answer_once_and_only_to_its_own_question(
    said: list[tuple[int, tuple[Reply, type[Request] | None]]], sizes: list[int], expired: set[int]
) -> None:
    """Whatever order, repeats, wrong kinds and cuts: an answer reaches its own waiter, a late one nobody, any other ends the link."""
    session: ClientSession[int] = ClientSession(in_flight_max=8, abandoned_max=8)
    for number, request in enumerate(ASKED, 1):
        session.send(request, number, expires_at_seconds=0.0 if number in expired else 9.0)
    assert set(session.expire(1.0)) == expired
    asked: dict[int, Request] = dict(enumerate(ASKED, 1))
    expected: list[int | None] = []
    is_broken = False
    for number, (_, kind) in said:
        question = asked.pop(number, None)
        if question is None or (number not in expired and kind not in (None, type(question))):
            is_broken = True
            break
        expected.append(None if number in expired else number)
    stream = b"".join(encode_reply(number, reply) for number, (reply, _) in said)
    found: list[int | None] = []
    try:
        for size in [*sizes, len(stream)]:
            part, stream = stream[:size], stream[size:]
            found.extend(waiter for waiter, _ in session.receive(part))
    except RemoteProtocolError:
        assert is_broken
    else:
        assert not is_broken
    assert found == expected
