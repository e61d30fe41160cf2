"""The protocol: round trips, any cut of the stream, garbage."""

import contextlib
import itertools
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages.security_module import (
    FRAME_OCTETS_MAX,
    AcceptClock,
    AcceptLease,
    Approval,
    AskLease,
    CheckValue,
    ClockAccepted,
    CloseLease,
    Command,
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    EngineeringKind,
    EngineeringReply,
    EngineeringRequest,
    FieldError,
    FindMints,
    FindMintsReply,
    FrameReader,
    GenerateMac,
    Identify,
    IdentifyReply,
    KeyChangeReply,
    KeyChangeRequest,
    LeaseAccepted,
    LeaseClosed,
    LeaseGiven,
    LeaseLeft,
    LinkError,
    ListMints,
    ListMintsReply,
    ListWork,
    ListWorkReply,
    LocalFieldError,
    MacKey,
    MacReply,
    MacVerified,
    MintRecord,
    MintReply,
    MintRequest,
    ReadCounters,
    ReadLease,
    Refused,
    RegisterCount,
    Reply,
    Request,
    RevokeTerminal,
    Status,
    TerminalRevoked,
    VerifyMac,
    VerifyToken,
    VerifyTokenReply,
    WorkRecord,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from vending.money import Centavos, Tenths
from vending.secret import Secret

U64 = st.integers(0, 2**64 - 1)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
SIGNED = st.binary(min_size=1, max_size=1024)
DIGITS_18 = st.text("0123456789", min_size=18, max_size=18)
DIGITS_20 = st.text("0123456789", min_size=20, max_size=20)
TARIFF_INDEX = st.integers(0, 99)
OCTET = st.integers(0, 255)
MAC_KEY = st.builds(
    MacKey,
    register_id=U16,
    scheme=st.sampled_from(["X9.19", "AES-CMAC"]),
    diversifier=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=16),
)
TOKENS = st.lists(st.tuples(st.integers(0, 0xFFFFFF), st.integers(1, 18_201_624).map(Tenths)), min_size=1, max_size=16)
METER = {"register_id": U16, "pan": DIGITS_18, "tariff_index": TARIFF_INDEX, "encryption_algorithm": OCTET}
APPROVALS = st.lists(
    st.builds(
        Approval,
        public_key=st.binary(min_size=32, max_size=32),
        expires_unix_seconds=st.integers(0, 2**40),
        signature=st.binary(min_size=64, max_size=64),
    ),
    max_size=4,
).map(tuple)
REQUESTS = st.one_of(
    st.builds(
        MintRequest,
        request_id=U64,
        subclass=st.integers(0, 3),
        tokens=TOKENS.map(tuple),
        charged_centavos=st.none() | st.integers(0, 10**15).map(Centavos),
        **METER,
    ),
    st.builds(
        MintRequest,
        request_id=U64,
        subclass=st.integers(0, 3),
        tokens=TOKENS.map(tuple),
        charged_centavos=st.just(Centavos(0)),
        approvals=APPROVALS,
        **METER,
    ),
    st.builds(VerifyToken, token=DIGITS_20.map(Secret), **METER),
    st.builds(GenerateMac, key=MAC_KEY, data=st.binary(max_size=300)),
    st.builds(VerifyMac, key=MAC_KEY, mac=st.binary(min_size=8, max_size=8), data=st.binary(max_size=300)),
    st.just(ReadCounters()),
    st.just(Identify()),
    st.builds(DecoderKey, **METER),
    st.builds(ListMints, day=st.dates(), after_sequence=U64),
    st.builds(ListWork, day=st.dates(), after_sequence=U64),
    st.builds(FindMints, request_ids=st.lists(U64, min_size=1, max_size=9).map(tuple)),
    st.just(AcceptClock()),
    st.builds(AskLease, statement=SIGNED),
    st.builds(AcceptLease, lease=SIGNED),
    st.sampled_from([CloseLease(), ReadLease()]),
    st.builds(ReadLease, journal=st.tuples(U32, U32)),
    st.builds(
        RevokeTerminal, terminal_id=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=16)
    ),
    st.builds(
        EngineeringRequest,
        request_id=U64,
        kind=st.sampled_from([kind for kind in EngineeringKind if not kind.is_test]),
        value=st.just(0),
        tid=st.integers(0, 0xFFFFFF),
        approvals=APPROVALS,
        **METER,
    ),
    st.builds(
        EngineeringRequest,
        request_id=U64,
        kind=st.just(EngineeringKind.TEST),
        value=st.integers(0, 2**36 - 1),
        tid=st.just(0),
        maker_code=OCTET,
        **METER,
    ),
    st.builds(
        KeyChangeRequest,
        request_id=U64,
        from_register_id=U16,
        to_register_id=U16,
        pan=DIGITS_18,
        from_tariff_index=TARIFF_INDEX,
        to_tariff_index=TARIFF_INDEX,
        encryption_algorithm=OCTET,
        sections=st.integers(2, 4),
        approvals=APPROVALS,
    ),
)
COUNTS = st.builds(RegisterCount, register_id=U16, requests=U64, tokens=U64, units_tenths=U64)
REPLIES = st.one_of(
    st.builds(MintReply, tokens=st.lists(DIGITS_20.map(Secret), min_size=1, max_size=16).map(tuple)),
    st.builds(
        VerifyTokenReply,
        token_class=OCTET,
        subclass=OCTET,
        tid=st.none() | st.integers(0, 0xFFFFFF),
        amount=st.integers(-(2**63), 2**63 - 1),
        words=st.text(max_size=60),
    ),
    st.builds(EngineeringReply, token=DIGITS_20.map(Secret)),
    st.builds(KeyChangeReply, tokens=st.lists(DIGITS_20.map(Secret), min_size=2, max_size=4).map(tuple)),
    st.builds(MacReply, mac=st.binary(min_size=8, max_size=8)),
    st.just(MacVerified()),
    st.builds(CountersReply, counts=st.lists(COUNTS, max_size=5).map(tuple)),
    st.builds(
        IdentifyReply,
        module_id=st.text(max_size=60),
        role=st.text(max_size=60),
        clock_unix_milliseconds=U64,
        check_values=st.lists(
            st.builds(CheckValue, register_id=U16, kcv=st.binary(min_size=3, max_size=3).map(bytes.hex)), max_size=5
        ).map(tuple),
    ),
    st.builds(
        ListMintsReply,
        mints=st.lists(
            st.builds(
                MintRecord,
                sequence=U64,
                request_id=U64,
                register_id=U16,
                tokens=OCTET,
                units_tenths=U64,
                charged_centavos=U64.map(Centavos),
            ),
            max_size=5,
        ).map(tuple),
    ),
    st.builds(
        ListWorkReply,
        work=st.lists(
            st.builds(
                WorkRecord,
                sequence=U64,
                request_id=U64,
                register_id=U16,
                from_register_id=U16,
                token_class=OCTET,
                subclass=OCTET,
                value=U64,
                approvals=OCTET,
            ),
            max_size=5,
        ).map(tuple),
    ),
    st.builds(FindMintsReply, found=st.lists(st.tuples(U64, st.sampled_from(Status)), max_size=5).map(tuple)),
    st.just(ClockAccepted()),
    st.builds(LeaseGiven, lease=SIGNED),
    st.builds(LeaseClosed, statement=SIGNED),
    st.sampled_from([LeaseAccepted(), TerminalRevoked()]),
    st.builds(
        LeaseLeft,
        epoch=U32,
        is_in_force=st.booleans(),
        sales=U32,
        centavos=U64,
        units_tenths=U64,
        not_after_unix_seconds=U64,
    ),
    st.builds(
        DecoderKeyReply,
        key=st.one_of(st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16)).map(Secret),
    ),
    st.builds(
        Refused,
        command=st.sampled_from(Command),
        status=st.sampled_from([each for each in Status if each is not Status.OK]),
    ),
)
MINT = MintRequest(
    request_id=0x0102030405060708,
    register_id=1,
    pan="600727000000000009",
    tariff_index=1,
    encryption_algorithm=7,
    subclass=0,
    tokens=((85740, Tenths(1)),),
)


def bodies(stream: bytes) -> list[bytes]:
    return list(FrameReader().receive(stream))


@given(st.lists(st.tuples(U64, REQUESTS), max_size=6), st.lists(st.integers(0, 4000), max_size=8))
def test_requests_survive_any_cut(requests: list[tuple[int, Request]], cuts: list[int]) -> None:
    """However the network cuts the stream, the module reads exactly the requests that were written."""
    stream = b"".join(encode_request(correlation_id, request) for correlation_id, request in requests)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    read = [
        decode_request(body) for start, end in itertools.pairwise(edges) for body in reader.receive(stream[start:end])
    ]
    assert read == requests


@given(U64, REPLIES)
def test_replies_come_back(correlation_id: int, reply: Reply) -> None:
    """Every reply reads back as it was, whole or octet by octet."""
    frame = encode_reply(correlation_id, reply)
    reader = FrameReader()
    read = [decode_reply(body) for index in range(len(frame)) for body in reader.receive(frame[index : index + 1])]
    assert read == [(correlation_id, reply)]


@given(st.binary(max_size=200))
@example(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
def test_garbage_is_an_error_of_the_link_or_of_a_field(garbage: bytes) -> None:
    """Whatever comes, the two named errors are all that can happen."""
    reader = FrameReader()
    try:
        for body in reader.receive(garbage):
            decode_request(body)
    except (LinkError, FieldError):
        pass


@given(REQUESTS, st.data())
def test_a_changed_octet_never_breaks_the_decoder(request: Request, data: st.DataObject) -> None:
    """A damaged body is a request, a field error or a link error, never another exception; the same for replies."""
    body = bytearray(encode_request(7, request)[4:])
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(OCTET)
    for decoder in (decode_request, decode_reply):
        with contextlib.suppress(LinkError, FieldError):
            decoder(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize("length", [0, 10, FRAME_OCTETS_MAX + 1, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_refused_at_once(length: int) -> None:
    """The frame before it is still read; the impossible length then ends the link without waiting for its octets."""
    reader = FrameReader()
    read = reader.receive(encode_request(1, Identify()) + length.to_bytes(4, "big"))
    assert decode_request(next(read)) == (1, Identify())
    with pytest.raises(LinkError):
        next(read)


def test_after_a_broken_length_nothing_is_read_or_kept() -> None:
    """A stream that goes on behind a broken length fills no memory, and a good frame in it is not believed."""
    reader = FrameReader()
    good = encode_request(1, Identify())
    with pytest.raises(LinkError):
        list(reader.receive(good + b"\xff" * 4))
    for _ in range(3):
        with pytest.raises(LinkError):
            list(reader.receive(good * 1000))
        assert reader.held_octets == 0


def test_the_documented_frame() -> None:
    """The mint request of the wire document is what the encoder writes: it cannot change by accident."""
    assert encode_request(0x2A, MINT).hex() == (
        "0000003301000000000000002a4d54010203040506070800013630303732373030303030303030303030390107000100014eec00000001"
    )


@pytest.mark.parametrize(
    ("offset", "octets", "detail"),
    [
        (11 + 10, b"A", "PAN"),
        (11 + 28, b"\x64", "tariff index"),
        (11 + 30, b"\x04", "sub-class"),
        (11 + 31, b"\x00", "token count"),
        (11 + 31, b"\x02", "length"),
        (11 + 31, b"\x11", "token count"),
        (11 + 32, b"\x01", "TID"),
        (11 + 36, b"\x02", "units"),
        (11 + 36, b"\x00\x00\x00\x00", "units"),
    ],
)
def test_a_mint_request_out_of_range_names_its_field(offset: int, octets: bytes, detail: str) -> None:
    """Each field has its limits and the error says which one it was."""
    body = bytearray(encode_request(9, MINT)[4:])
    body[offset : offset + len(octets)] = octets
    with pytest.raises(FieldError) as caught:
        decode_request(bytes(body))
    assert (caught.value.correlation_id, caught.value.command, caught.value.status) == (
        9,
        Command.MINT,
        Status.FORMAT_ERROR,
    )
    assert detail in caught.value.detail


@pytest.mark.parametrize("octets", [0, 10, 12])
def test_any_scheme_with_any_name_is_a_key_or_a_format_error(octets: int) -> None:
    """A scheme that has no key serial numbers, said to have one, was neither."""

    def frame(scheme: str) -> bytes:
        key = MacKey(register_id=10, scheme=scheme, diversifier="0" * octets)
        return encode_request(3, GenerateMac(key=key, data=b"data"))[4:]

    body, other = bytearray(frame("X9.9")), frame("X9.19")
    (place,) = [at for at, octet in enumerate(other) if octet != body[at]]
    keys = 0
    for octet in range(256):
        body[place] = octet
        with suppress(FieldError):
            _, read = decode_request(bytes(body))
            assert isinstance(read, GenerateMac)
            keys += 1
    assert 0 < keys < 12


def test_unknown_command_and_version() -> None:
    """A command of tomorrow is answered; another version of the protocol is not understood at all."""
    body = bytearray(encode_request(3, Identify())[4:])
    body[9:11] = b"ZZ"
    with pytest.raises(FieldError) as caught:
        decode_request(bytes(body))
    assert (caught.value.command, caught.value.status) == (Command.UNKNOWN, Status.UNKNOWN_COMMAND)
    body[0] = 2
    with pytest.raises(LinkError, match="version 2"):
        decode_request(bytes(body))


@pytest.mark.parametrize(
    "request_",
    [
        GenerateMac(key=MacKey(register_id=1, scheme="HMAC", diversifier=""), data=b""),
        GenerateMac(key=MacKey(register_id=1, scheme="X9.19", diversifier="T" * 17), data=b""),
        GenerateMac(key=MacKey(register_id=1, scheme="X9.19", diversifier="Ñ"), data=b""),
        GenerateMac(key=MacKey(register_id=1, scheme="X9.19", diversifier=""), data=bytes(FRAME_OCTETS_MAX)),
        VerifyMac(key=MacKey(register_id=1, scheme="X9.19", diversifier=""), mac=b"short", data=b""),
        DecoderKey(register_id=1, pan="123", tariff_index=1, encryption_algorithm=7),
        DecoderKey(register_id=70_000, pan="6" * 18, tariff_index=1, encryption_algorithm=7),
    ],
)
def test_what_the_protocol_cannot_say_is_not_sent(request_: Request) -> None:
    """Our own faults are found before anything leaves."""
    with pytest.raises(LocalFieldError):
        encode_request(1, request_)


def test_codes_are_unique_and_refusals_are_marked() -> None:
    """Two digits mean one thing; only statuses that are a verdict on the request id let a sale be given up."""
    codes = [status.code for status in Status]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 2 and code.isdigit() for code in codes)
    undecided = {Status.OK, Status.MAC_MISMATCH, Status.TOKEN_INVALID, Status.OVERLOADED, Status.STOPPING}
    undecided |= {Status.PERMISSION, Status.INTERNAL_ERROR, Status.CLOCK_IN_DOUBT}
    undecided |= {Status.UNKNOWN_VERSION, Status.APPROVAL_NEEDED, Status.APPROVAL_INVALID}
    undecided |= {
        Status.LEASE_INVALID,
        Status.LEASE_REPLAYED,
        Status.LEASE_CHAIN,
        Status.LEASE_OPEN,
        Status.WRONG_MODULE,
    }
    undecided |= {Status.TERMINAL_UNKNOWN, Status.TERMINAL_REVOKED, Status.TERMINAL_FROZEN}
    assert {status for status in Status if not status.is_refusal} == undecided


def test_no_repr_shows_a_secret() -> None:
    """Tokens and keys do not reach a log through a repr."""
    token, key = Secret("12345678901234567890"), Secret(b"\xaa" * 16)
    text = f"{MintReply(tokens=(token,))!r} {DecoderKeyReply(key=key)!r}"
    assert "1234" not in text
    assert "xaa" not in text
