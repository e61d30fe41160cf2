"""Requests to the security module: encode and decode."""

import struct
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from messages.security_module_engineering import (
    decode_approvals,
    decode_engineering,
    decode_key_change,
    encode_approvals,
    encode_engineering,
    encode_key_change,
)
from messages.security_module_frame import (
    CHARGED_CENTAVOS_MAX,
    CREDIT_SUBCLASS_MAX,
    FRAME_OCTETS_MAX,
    HEADER,
    IDS_PER_REQUEST_MAX,
    LENGTH,
    MAC_OCTETS,
    PAN_DIGITS,
    PROTOCOL_VERSION,
    TARIFF_INDEX_MAX,
    TID_MAX,
    TOKEN_DIGITS,
    TOKENS_PER_REQUEST_MAX,
    UNITS_TENTHS_MAX,
    read_digits,
    read_header,
    require,
    write_digits,
)
from messages.security_module_keys import REQUESTS as KEY_REQUESTS
from messages.security_module_keys import read_mac_key, write_key_name, write_scheme
from messages.security_module_leases import REQUESTS as LEASE_REQUESTS
from messages.security_module_shapes import (
    AcceptClock,
    Command,
    DecoderKey,
    FieldError,
    FindMints,
    GenerateMac,
    Identify,
    ListMints,
    LocalFieldError,
    ReadCounters,
    Request,
    Status,
    VerifyMac,
    VerifyToken,
)
from messages.security_module_work import decode_list_work, encode_list_work
from messages.security_module_work_shapes import ListWork
from vending.engineering import Approval, EngineeringRequest, KeyChangeRequest
from vending.money import Centavos
from vending.ports import MintRequest
from vending.secret import Secret

_MINT = struct.Struct(">QH18sBBBB")
_TOKEN_ORDER = struct.Struct(">II")
_VERIFY_TOKEN = struct.Struct(">H18sBB20s")
_GENERATE_MAC = struct.Struct(">HBB")
_VERIFY_MAC = struct.Struct(">HBB8s")
_DECODER_KEY = struct.Struct(">H18sBB")
_CHARGED = struct.Struct(">Q")
_LIST_MINTS = struct.Struct(">HBBQ")
_ID_COUNT = struct.Struct(">H")
_REQUEST_ID = struct.Struct(">Q")


def _encode_mint(request: MintRequest) -> bytes:
    orders = request.tokens
    if not 1 <= len(orders) <= TOKENS_PER_REQUEST_MAX:
        raise LocalFieldError(f"{len(orders)} tokens, not 1 to {TOKENS_PER_REQUEST_MAX}")
    head = _MINT.pack(
        request.request_id,
        request.register_id,
        write_digits(request.pan, PAN_DIGITS, "pan"),
        request.tariff_index,
        request.encryption_algorithm,
        request.subclass,
        len(orders),
    )
    tail = b"" if request.charged_centavos is None else _CHARGED.pack(request.charged_centavos)
    if request.approvals:
        if not tail:
            raise LocalFieldError("a credit that is approved says what was charged")
        tail += encode_approvals(request.approvals)
    return head + b"".join([_TOKEN_ORDER.pack(tid, units) for tid, units in orders]) + tail


def _encode_verify_token(request: VerifyToken) -> bytes:
    return _VERIFY_TOKEN.pack(
        request.register_id,
        write_digits(request.pan, PAN_DIGITS, "pan"),
        request.tariff_index,
        request.encryption_algorithm,
        write_digits(request.token.reveal(), TOKEN_DIGITS, "token"),
    )


def _encode_generate_mac(request: GenerateMac) -> bytes:
    name = write_key_name(request.key)
    head = _GENERATE_MAC.pack(request.key.register_id, write_scheme(request.key), len(name))
    return head + name + request.data


def _encode_verify_mac(request: VerifyMac) -> bytes:
    if len(request.mac) != MAC_OCTETS:
        raise LocalFieldError("mac is not 8 octets")
    name = write_key_name(request.key)
    head = _VERIFY_MAC.pack(request.key.register_id, write_scheme(request.key), len(name), request.mac)
    return head + name + request.data


def _encode_decoder_key(request: DecoderKey) -> bytes:
    pan = write_digits(request.pan, PAN_DIGITS, "pan")
    return _DECODER_KEY.pack(request.register_id, pan, request.tariff_index, request.encryption_algorithm)


def _encode_list_mints(request: ListMints) -> bytes:
    day = request.day
    return _LIST_MINTS.pack(day.year, day.month, day.day, request.after_sequence)


def _encode_find_mints(request: FindMints) -> bytes:
    ids = request.request_ids
    if not 1 <= len(ids) <= IDS_PER_REQUEST_MAX:
        raise LocalFieldError(f"{len(ids)} request ids, not 1 to {IDS_PER_REQUEST_MAX}")
    return _ID_COUNT.pack(len(ids)) + b"".join([_REQUEST_ID.pack(each) for each in ids])


def _encode_nothing(_: ReadCounters | Identify | AcceptClock) -> bytes:
    return b""


# One look-up by type: three requests belong to every sale.
_REQUEST_ENCODERS: dict[type[Request], tuple[bytes, Callable[[Any], bytes]]] = {
    request: (command.value.encode("ascii"), encode)
    for request, command, encode in (
        (MintRequest, Command.MINT, _encode_mint),
        (VerifyMac, Command.VERIFY_MAC, _encode_verify_mac),
        (GenerateMac, Command.GENERATE_MAC, _encode_generate_mac),
        (VerifyToken, Command.VERIFY_TOKEN, _encode_verify_token),
        (ReadCounters, Command.COUNTERS, _encode_nothing),
        (Identify, Command.IDENTIFY, _encode_nothing),
        (DecoderKey, Command.DECODER_KEY, _encode_decoder_key),
        (ListMints, Command.LIST_MINTS, _encode_list_mints),
        (FindMints, Command.FIND_MINTS, _encode_find_mints),
        (ListWork, Command.LIST_WORK, encode_list_work),
        (AcceptClock, Command.ACCEPT_CLOCK, _encode_nothing),
        (EngineeringRequest, Command.ENGINEERING, encode_engineering),
        (KeyChangeRequest, Command.METER_KEY_CHANGE, encode_key_change),
    )
}
_REQUEST_ENCODERS.update(
    {request: (command.value.encode("ascii"), encode) for request, command, encode, _ in KEY_REQUESTS + LEASE_REQUESTS}
)


def encode_request(correlation_id: int, request: Request) -> bytes:
    """Write one request as a whole frame, length included.

    Args:
        correlation_id: 0 to 2**64 - 1, one of its own for every request under way on the link.
        request: what is asked.

    Raises:
        LocalFieldError: a field does not fit the protocol; our own fault, nothing may be sent.
    """
    letters, encode = _REQUEST_ENCODERS[type(request)]
    try:
        fields = encode(request)
        header = HEADER.pack(PROTOCOL_VERSION, correlation_id, letters)
    except struct.error as error:
        raise LocalFieldError(f"a number does not fit its field: {error}") from error
    octets = len(header) + len(fields)
    if octets > FRAME_OCTETS_MAX:
        raise LocalFieldError(f"frame of {octets} octets, more than {FRAME_OCTETS_MAX}")
    return LENGTH.pack(octets) + header + fields


def _decode_mint(fields: bytes) -> MintRequest:
    request_id, register_id, pan, tariff_index, algorithm, subclass, count = _MINT.unpack_from(fields)
    require(1 <= count <= TOKENS_PER_REQUEST_MAX, "token count")
    end = _MINT.size + count * _TOKEN_ORDER.size
    charged = None
    approvals: Sequence[Approval] = ()
    if len(fields) != end:
        require(len(fields) >= end + _CHARGED.size, "length")
        charged = Centavos(_CHARGED.unpack_from(fields, end)[0])
        require(charged <= CHARGED_CENTAVOS_MAX, "amount charged")
        if len(fields) != end + _CHARGED.size:
            approvals = decode_approvals(fields[end + _CHARGED.size :])
    require(tariff_index <= TARIFF_INDEX_MAX, "tariff index")
    require(subclass <= CREDIT_SUBCLASS_MAX, "sub-class")
    orders = tuple(_TOKEN_ORDER.iter_unpack(fields[_MINT.size : end]))
    for tid, units in orders:
        require(tid <= TID_MAX, "TID")
        require(1 <= units <= UNITS_TENTHS_MAX, "units")
    return MintRequest(
        request_id=request_id,
        register_id=register_id,
        pan=read_digits(pan, "PAN"),
        tariff_index=tariff_index,
        encryption_algorithm=algorithm,
        subclass=subclass,
        tokens=orders,
        charged_centavos=charged,
        approvals=approvals,
    )


def _decode_verify_token(fields: bytes) -> VerifyToken:
    register_id, pan, tariff_index, algorithm, token = _VERIFY_TOKEN.unpack(fields)
    require(tariff_index <= TARIFF_INDEX_MAX, "tariff index")
    return VerifyToken(
        register_id=register_id,
        pan=read_digits(pan, "PAN"),
        tariff_index=tariff_index,
        encryption_algorithm=algorithm,
        token=Secret(read_digits(token, "token")),
    )


def _decode_generate_mac(fields: bytes) -> GenerateMac:
    register_id, scheme, octets = _GENERATE_MAC.unpack_from(fields)
    start = _GENERATE_MAC.size
    key = read_mac_key(register_id, scheme, fields[start : start + octets], octets)
    return GenerateMac(key=key, data=fields[start + octets :])


def _decode_verify_mac(fields: bytes) -> VerifyMac:
    register_id, scheme, octets, mac = _VERIFY_MAC.unpack_from(fields)
    start = _VERIFY_MAC.size
    key = read_mac_key(register_id, scheme, fields[start : start + octets], octets)
    return VerifyMac(key=key, mac=mac, data=fields[start + octets :])


def _decode_read_counters(fields: bytes) -> ReadCounters:
    require(not fields, "length")
    return ReadCounters()


def _decode_identify(fields: bytes) -> Identify:
    require(not fields, "length")
    return Identify()


def _decode_list_mints(fields: bytes) -> ListMints:
    year, month, day, after_sequence = _LIST_MINTS.unpack(fields)
    return ListMints(day=date(year, month, day), after_sequence=after_sequence)


def _decode_find_mints(fields: bytes) -> FindMints:
    (count,) = _ID_COUNT.unpack_from(fields)
    require(1 <= count <= IDS_PER_REQUEST_MAX, "id count")
    require(len(fields) == _ID_COUNT.size + count * _REQUEST_ID.size, "length")
    return FindMints(request_ids=tuple([each for (each,) in _REQUEST_ID.iter_unpack(fields[_ID_COUNT.size :])]))


def _decode_accept_clock(fields: bytes) -> AcceptClock:
    require(not fields, "length")
    return AcceptClock()


def _decode_decoder_key(fields: bytes) -> DecoderKey:
    register_id, pan, tariff_index, algorithm = _DECODER_KEY.unpack(fields)
    require(tariff_index <= TARIFF_INDEX_MAX, "tariff index")
    return DecoderKey(
        register_id=register_id,
        pan=read_digits(pan, "PAN"),
        tariff_index=tariff_index,
        encryption_algorithm=algorithm,
    )


# One look-up by letters, likewise.
_REQUEST_DECODERS: dict[bytes, tuple[Command, Callable[[bytes], Request]]] = {
    command.value.encode("ascii"): (command, decode)
    for command, decode in (
        (Command.MINT, _decode_mint),
        (Command.VERIFY_TOKEN, _decode_verify_token),
        (Command.GENERATE_MAC, _decode_generate_mac),
        (Command.VERIFY_MAC, _decode_verify_mac),
        (Command.COUNTERS, _decode_read_counters),
        (Command.IDENTIFY, _decode_identify),
        (Command.DECODER_KEY, _decode_decoder_key),
        (Command.LIST_MINTS, _decode_list_mints),
        (Command.FIND_MINTS, _decode_find_mints),
        (Command.LIST_WORK, decode_list_work),
        (Command.ACCEPT_CLOCK, _decode_accept_clock),
        (Command.ENGINEERING, decode_engineering),
        (Command.METER_KEY_CHANGE, decode_key_change),
    )
}
_REQUEST_DECODERS.update(
    {command.value.encode("ascii"): (command, decode) for _, command, _, decode in KEY_REQUESTS + LEASE_REQUESTS}
)


def decode_request(body: bytes) -> tuple[int, Request]:
    """Read one request.

    Args:
        body: one body from `FrameReader`, without its length.

    Returns:
        The correlation id and the request.

    Raises:
        LinkError: the header cannot be read; close the link.
        FieldError: a field cannot be read; answer its status. Anything else is a bug.
    """
    correlation_id, letters = read_header(body)
    found = _REQUEST_DECODERS.get(letters)
    if found is None:
        raise FieldError(correlation_id, Command.UNKNOWN, Status.UNKNOWN_COMMAND, "command")
    command, decode = found
    try:
        return correlation_id, decode(body[HEADER.size :])
    except (struct.error, ValueError) as error:
        raise FieldError(correlation_id, command, Status.FORMAT_ERROR, str(error)) from error
