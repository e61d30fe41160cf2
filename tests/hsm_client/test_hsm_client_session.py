"""Pairing of answers with requests on one connection, octet by octet."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_client.session import ClientSession, InFlightLimitError, RemoteProtocolError
from messages.security_module import (
    Command,
    FrameReader,
    GenerateMac,
    Identify,
    LocalFieldError,
    MacReply,
    MacVerified,
    MintReply,
    Refused,
    Reply,
    Request,
    Status,
    VerifyMac,
    decode_request,
    encode_reply,
)
from tests.hsm_client.fake_module import KEY, digits_of, honest_reply, mint_request
from vending.ports import MacKey
from vending.secret import Secret


def _session(in_flight_max: int = 100, abandoned_max: int = 100) -> ClientSession[str]:
    return ClientSession(in_flight_max=in_flight_max, abandoned_max=abandoned_max)


def _correlation_id(frame: bytes) -> int:
    (body,) = FrameReader().receive(frame)
    return decode_request(body)[0]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.randoms(use_true_random=False), st.data())
def test_answers_in_any_order_and_any_cut(sizes: list[int], order: random.Random, data: st.DataObject) -> None:
    """However the answers are ordered and cut, each waiter gets the answer to its own request."""
    session = _session()
    asked: dict[str, Request] = {}
    replies = []
    for at, size in enumerate(sizes):
        request = mint_request(at, size) if size else GenerateMac(key=KEY, data=b"%08d" % at)
        asked[f"w{at}"] = request
        frame = session.send(request, f"w{at}", expires_at_seconds=1.0)
        replies.append(encode_reply(_correlation_id(frame), honest_reply(request)))
    order.shuffle(replies)
    stream = b"".join(replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    got = {}
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        for waiter, reply in session.receive(stream[start:end]):
            assert waiter is not None
            got[waiter] = reply
    assert got == {waiter: honest_reply(request) for waiter, request in asked.items()}
    assert session.in_flight == 0


def test_the_limit_refuses_and_forgets() -> None:
    """A full session takes no request more, except the question whether the module lives, and takes one when there is room."""
    session = _session(in_flight_max=2)
    first = session.send(Identify(), "a", expires_at_seconds=1.0)
    session.send(Identify(), "b", expires_at_seconds=1.0)
    with pytest.raises(InFlightLimitError):
        session.send(Identify(), "c", expires_at_seconds=1.0)
    session.send(Identify(), "probe", expires_at_seconds=1.0, is_probe=True)
    list(session.receive(encode_reply(_correlation_id(first), honest_reply(Identify()))))
    assert session.in_flight == 2


def test_a_request_that_cannot_be_said_is_not_under_way() -> None:
    """A request of ours that does not fit the protocol leaves the session as it was."""
    session = _session()
    key = MacKey(register_id=1, scheme="AES-CMAC", diversifier="ñ")
    with pytest.raises(LocalFieldError):
        session.send(GenerateMac(key=key, data=b""), "a", expires_at_seconds=1.0)
    assert (session.in_flight, session.next_id) == (0, 1)


def test_a_late_answer_is_dropped_once() -> None:
    """An answer after its time goes to nobody; the same answer a second time breaks the protocol."""
    session = _session()
    late = session.send(mint_request(1), "late", expires_at_seconds=1.0)
    session.send(mint_request(2), "other", expires_at_seconds=9.0)
    assert session.expire(1.0) == ["late"]
    answer = encode_reply(_correlation_id(late), honest_reply(mint_request(1)))
    assert [waiter for waiter, _ in session.receive(answer)] == [None]
    assert session.in_flight == 1
    with pytest.raises(RemoteProtocolError):
        list(session.receive(answer))


def test_expiry_is_exact_and_in_order() -> None:
    """Only what is over expires, oldest first, and the next expiry is known."""
    session = _session()
    for waiter, expires_at_seconds in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 2.5)):
        session.send(Identify(), waiter, expires_at_seconds=expires_at_seconds)
    assert session.next_expiry_seconds() == 1.0
    assert session.expire(2.0) == ["b", "c"]
    assert session.next_expiry_seconds() == 2.5
    assert session.expire(2.4) == []
    assert session.expire(9.0) == ["a", "d"]
    assert session.next_expiry_seconds() is None


def test_too_many_owed_answers_stall() -> None:
    """A module that leaves more than the allowed number of requests unanswered is found out."""
    session = _session(abandoned_max=2)
    for waiter in "abc":
        assert not session.is_stalled
        session.send(Identify(), waiter, expires_at_seconds=0.0)
        session.expire(0.0)
    assert session.is_stalled


BROKEN: list[tuple[str, Request, Reply]] = [
    ("another kind", VerifyMac(key=KEY, mac=bytes(8), data=b""), MacReply(mac=bytes(8))),
    ("a verdict for a token", mint_request(), MacVerified()),
    ("a refusal of another kind", mint_request(), Refused(command=Command.VERIFY_MAC, status=Status.MAC_MISMATCH)),
    (
        "a token too many",
        mint_request(1, 1),
        MintReply(tokens=[Secret(each) for each in digits_of(mint_request(1, 2))]),
    ),
]


@pytest.mark.parametrize(("request_", "reply"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_an_answer_to_another_question_breaks_the_link(request_: Request, reply: Reply) -> None:
    """An answer that does not fit its request is never handed over, and its waiter is still told of the loss."""
    session = _session()
    correlation_id = _correlation_id(session.send(request_, "a", expires_at_seconds=1.0))
    with pytest.raises(RemoteProtocolError):
        list(session.receive(encode_reply(correlation_id, reply)))
    assert session.close() == [(correlation_id, "a")]


def test_a_command_the_module_does_not_know_is_a_refusal() -> None:
    """An older module that does not know a command answers so, and that reaches the waiter."""
    session = _session()
    correlation_id = _correlation_id(session.send(mint_request(), "a", expires_at_seconds=1.0))
    reply = Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_COMMAND)
    assert list(session.receive(encode_reply(correlation_id, reply))) == [("a", reply)]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(encode_reply(77, MacVerified()), id="an answer nobody asked for"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a web server"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="a TLS alert"),
        pytest.param(bytes(4), id="an empty frame"),
        pytest.param(b"\x00\x00\x00\x0d\x09" + bytes(12), id="another version"),
    ],
)
def test_what_is_not_the_protocol_breaks_the_link(octets: bytes) -> None:
    """Whatever else answers at that address is told apart from a module, after the good answers before it were given."""
    session = _session()
    correlation_id = _correlation_id(session.send(mint_request(), "a", expires_at_seconds=1.0))
    good = honest_reply(mint_request())
    answers = session.receive(encode_reply(correlation_id, good) + octets)
    assert next(answers) == ("a", good)
    with pytest.raises(RemoteProtocolError):
        next(answers)


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(octets: bytes) -> None:
    """Any octets at all are either an incomplete frame or a protocol error of the remote."""
    session = _session()
    session.send(Identify(), "a", expires_at_seconds=1.0)
    try:
        list(session.receive(octets))
    except RemoteProtocolError:
        return
    assert session.in_flight <= 1
