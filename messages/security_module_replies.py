"""Replies of the security module: encode and decode."""

import struct
from collections.abc import Callable
from typing import Any

from messages.security_module_engineering import (
    decode_engineering_reply,
    decode_key_change_reply,
    encode_engineering_reply,
    encode_key_change_reply,
)
from messages.security_module_frame import (
    FRAME_OCTETS_MAX,
    HEADER,
    IDS_PER_REQUEST_MAX,
    MAC_OCTETS,
    MINTS_PER_REPLY_MAX,
    PROTOCOL_VERSION,
    TOKEN_DIGITS,
    TOKENS_PER_REQUEST_MAX,
    read_digits,
    read_header,
    require,
    write_digits,
)
from messages.security_module_keys import REPLIES as KEY_REPLIES
from messages.security_module_leases import REPLIES as LEASE_REPLIES
from messages.security_module_shapes import (
    CheckValue,
    ClockAccepted,
    Command,
    CountersReply,
    DecoderKeyReply,
    EngineeringReply,
    FindMintsReply,
    IdentifyReply,
    KeyChangeReply,
    LinkError,
    ListMintsReply,
    LocalFieldError,
    MacReply,
    MacVerified,
    MintRecord,
    MintReply,
    Refused,
    RegisterCount,
    Reply,
    Status,
    VerifyTokenReply,
)
from messages.security_module_work import decode_list_work_reply, encode_list_work_reply
from messages.security_module_work_shapes import ListWorkReply
from vending.money import Centavos
from vending.secret import Secret

_VERIFIED_TOKEN = struct.Struct(">BBIq")
_NO_TID = 0xFFFFFFFF
_COUNT = struct.Struct(">H")
_REGISTER_COUNT = struct.Struct(">HQQQ")
_CHECK_VALUE = struct.Struct(">H3s")
_MINT_RECORD = struct.Struct(">QQHBQQ")
_FOUND = struct.Struct(">Q2s")
_CLOCK = struct.Struct(">Q")
_HEAD = struct.Struct(">IBQ2s2s")
"""Length, header and status of a reply, in one."""
_STATUS_OCTETS = 2
_FIELDS_START = HEADER.size + _STATUS_OCTETS
_DECODER_KEY_OCTETS = (8, 16)
_SHORT_TEXT_OCTETS_MAX = 255
_STATUS_BY_CODE = {status.code.encode("ascii"): status for status in Status}


def _short_text(text: str) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > _SHORT_TEXT_OCTETS_MAX:
        raise LocalFieldError(f"text of {len(raw)} octets, more than {_SHORT_TEXT_OCTETS_MAX}")
    return bytes((len(raw),)) + raw


def _encode_identify_reply(reply: IdentifyReply) -> bytes:
    values = [_CHECK_VALUE.pack(value.register_id, bytes.fromhex(value.kcv)) for value in reply.check_values]
    clock = _CLOCK.pack(reply.clock_unix_milliseconds)
    return b"".join((_short_text(reply.module_id), _short_text(reply.role), clock, _COUNT.pack(len(values)), *values))


def _encode_counters_reply(reply: CountersReply) -> bytes:
    rows = [
        _REGISTER_COUNT.pack(count.register_id, count.requests, count.tokens, count.units_tenths)
        for count in reply.counts
    ]
    return _COUNT.pack(len(rows)) + b"".join(rows)


def _encode_mint_reply(reply: MintReply) -> bytes:
    tokens = [write_digits(token.reveal(), TOKEN_DIGITS, "token") for token in reply.tokens]
    return bytes((len(tokens),)) + b"".join(tokens)


def _encode_list_mints_reply(reply: ListMintsReply) -> bytes:
    rows = [
        _MINT_RECORD.pack(
            mint.sequence, mint.request_id, mint.register_id, mint.tokens, mint.units_tenths, mint.charged_centavos
        )
        for mint in reply.mints
    ]
    return _COUNT.pack(len(rows)) + b"".join(rows)


def _encode_find_mints_reply(reply: FindMintsReply) -> bytes:
    rows = [_FOUND.pack(request_id, status.code.encode("ascii")) for request_id, status in reply.found]
    return _COUNT.pack(len(rows)) + b"".join(rows)


def _encode_nothing(_: MacVerified | ClockAccepted) -> bytes:
    return b""


def _encode_mac_reply(reply: MacReply) -> bytes:
    return reply.mac


def _encode_verify_token_reply(reply: VerifyTokenReply) -> bytes:
    tid = _NO_TID if reply.tid is None else reply.tid
    return _VERIFIED_TOKEN.pack(reply.token_class, reply.subclass, tid, reply.amount) + _short_text(reply.words)


def _encode_decoder_key_reply(reply: DecoderKeyReply) -> bytes:
    return reply.key.reveal()


# One look-up by type: three replies belong to every sale.
_REPLY_ENCODERS: dict[type[Reply], tuple[bytes, Callable[[Any], bytes]]] = {
    reply: (command.reply_letters.encode("ascii"), encode)
    for reply, command, encode in (
        (MintReply, Command.MINT, _encode_mint_reply),
        (MacVerified, Command.VERIFY_MAC, _encode_nothing),
        (MacReply, Command.GENERATE_MAC, _encode_mac_reply),
        (VerifyTokenReply, Command.VERIFY_TOKEN, _encode_verify_token_reply),
        (CountersReply, Command.COUNTERS, _encode_counters_reply),
        (IdentifyReply, Command.IDENTIFY, _encode_identify_reply),
        (DecoderKeyReply, Command.DECODER_KEY, _encode_decoder_key_reply),
        (ListMintsReply, Command.LIST_MINTS, _encode_list_mints_reply),
        (FindMintsReply, Command.FIND_MINTS, _encode_find_mints_reply),
        (ListWorkReply, Command.LIST_WORK, encode_list_work_reply),
        (ClockAccepted, Command.ACCEPT_CLOCK, _encode_nothing),
        (EngineeringReply, Command.ENGINEERING, encode_engineering_reply),
        (KeyChangeReply, Command.METER_KEY_CHANGE, encode_key_change_reply),
    )
}
_REPLY_ENCODERS.update(
    {
        reply: (command.reply_letters.encode("ascii"), encode)
        for reply, command, encode, _ in KEY_REPLIES + LEASE_REPLIES
    }
)
_OK_CODE = Status.OK.code.encode("ascii")


def encode_reply(correlation_id: int, reply: Reply) -> bytes:
    """Write one reply as a whole frame, length included.

    Raises:
        LocalFieldError: a field does not fit the protocol; a bug of the module.
    """
    try:
        if isinstance(reply, Refused):
            letters, code, fields = reply.command.reply_letters.encode("ascii"), reply.status.code.encode("ascii"), b""
        else:
            letters, encode = _REPLY_ENCODERS[type(reply)]
            code, fields = _OK_CODE, encode(reply)
        octets = _FIELDS_START + len(fields)
        head = _HEAD.pack(octets, PROTOCOL_VERSION, correlation_id, letters, code)
    except (struct.error, ValueError) as error:
        raise LocalFieldError(f"a reply does not fit its fields: {error}") from error
    if octets > FRAME_OCTETS_MAX:
        raise LocalFieldError(f"frame of {octets} octets, more than {FRAME_OCTETS_MAX}")
    return head + fields


def _decode_mint_reply(fields: bytes) -> Reply:
    count = fields[0]
    require(1 <= count <= TOKENS_PER_REQUEST_MAX and len(fields) == 1 + count * TOKEN_DIGITS, "token count")
    digits = read_digits(fields[1:], "tokens")
    cuts = range(0, len(digits), TOKEN_DIGITS)
    return MintReply(tokens=tuple([Secret(digits[cut : cut + TOKEN_DIGITS]) for cut in cuts]))


def _decode_verify_token_reply(fields: bytes) -> Reply:
    token_class, subclass, tid, amount = _VERIFIED_TOKEN.unpack_from(fields)
    words, end = _read_short_text(fields, _VERIFIED_TOKEN.size)
    require(end == len(fields), "length")
    return VerifyTokenReply(
        token_class=token_class, subclass=subclass, tid=None if tid == _NO_TID else tid, amount=amount, words=words
    )


def _decode_mac_reply(fields: bytes) -> Reply:
    require(len(fields) == MAC_OCTETS, "MAC length")
    return MacReply(mac=fields)


def _decode_mac_verified(fields: bytes) -> Reply:
    require(not fields, "length")
    return MacVerified()


def _decode_counters_reply(fields: bytes) -> Reply:
    (count,) = _COUNT.unpack_from(fields)
    require(len(fields) == _COUNT.size + count * _REGISTER_COUNT.size, "length")
    rows = _REGISTER_COUNT.iter_unpack(fields[_COUNT.size :])
    return CountersReply(
        counts=tuple(
            [
                RegisterCount(register_id=register_id, requests=requests, tokens=tokens, units_tenths=units)
                for register_id, requests, tokens, units in rows
            ]
        )
    )


def _read_short_text(fields: bytes, start: int) -> tuple[str, int]:
    end = start + 1 + fields[start]
    require(end <= len(fields), "text length")
    return fields[start + 1 : end].decode("utf-8"), end


def _decode_identify_reply(fields: bytes) -> Reply:
    module_id, at = _read_short_text(fields, 0)
    role, at = _read_short_text(fields, at)
    (clock,) = _CLOCK.unpack_from(fields, at)
    (count,) = _COUNT.unpack_from(fields, at + _CLOCK.size)
    at += _CLOCK.size + _COUNT.size
    require(len(fields) == at + count * _CHECK_VALUE.size, "length")
    values = [CheckValue(register_id=each, kcv=kcv.hex()) for each, kcv in _CHECK_VALUE.iter_unpack(fields[at:])]
    return IdentifyReply(module_id=module_id, role=role, clock_unix_milliseconds=clock, check_values=tuple(values))


def _decode_decoder_key_reply(fields: bytes) -> Reply:
    require(len(fields) in _DECODER_KEY_OCTETS, "key length")
    return DecoderKeyReply(key=Secret(fields))


def _decode_list_mints_reply(fields: bytes) -> Reply:
    (count,) = _COUNT.unpack_from(fields)
    require(count <= MINTS_PER_REPLY_MAX and len(fields) == _COUNT.size + count * _MINT_RECORD.size, "length")
    return ListMintsReply(
        mints=tuple(
            [
                MintRecord(
                    sequence=sequence,
                    request_id=request_id,
                    register_id=register_id,
                    tokens=tokens,
                    units_tenths=units,
                    charged_centavos=Centavos(charged),
                )
                for sequence, request_id, register_id, tokens, units, charged in _MINT_RECORD.iter_unpack(
                    fields[_COUNT.size :]
                )
            ]
        )
    )


def _decode_find_mints_reply(fields: bytes) -> Reply:
    (count,) = _COUNT.unpack_from(fields)
    require(count <= IDS_PER_REQUEST_MAX and len(fields) == _COUNT.size + count * _FOUND.size, "length")
    rows = list(_FOUND.iter_unpack(fields[_COUNT.size :]))
    require(all(code in _STATUS_BY_CODE for _, code in rows), "status")
    return FindMintsReply(found=tuple([(request_id, _STATUS_BY_CODE[code]) for request_id, code in rows]))


def _decode_clock_accepted(fields: bytes) -> Reply:
    require(not fields, "length")
    return ClockAccepted()


_REPLY_DECODERS: dict[Command, Callable[[bytes], Reply]] = {
    Command.MINT: _decode_mint_reply,
    Command.VERIFY_TOKEN: _decode_verify_token_reply,
    Command.GENERATE_MAC: _decode_mac_reply,
    Command.VERIFY_MAC: _decode_mac_verified,
    Command.COUNTERS: _decode_counters_reply,
    Command.IDENTIFY: _decode_identify_reply,
    Command.DECODER_KEY: _decode_decoder_key_reply,
    Command.LIST_MINTS: _decode_list_mints_reply,
    Command.FIND_MINTS: _decode_find_mints_reply,
    Command.LIST_WORK: decode_list_work_reply,
    Command.ACCEPT_CLOCK: _decode_clock_accepted,
    Command.ENGINEERING: decode_engineering_reply,
    Command.METER_KEY_CHANGE: decode_key_change_reply,
    **{command: decode for _, command, _, decode in KEY_REPLIES + LEASE_REPLIES},
}
_REPLIES = {command.reply_letters.encode("ascii"): (command, _REPLY_DECODERS.get(command)) for command in Command}
_OK = Status.OK


def decode_reply(body: bytes) -> tuple[int, Reply]:
    """Read one reply.

    Args:
        body: one body from `FrameReader`, without its length.

    Returns:
        The correlation id and the reply; `Refused` for any status but ``00``.

    Raises:
        LinkError: it cannot be read. A module that sends such a thing cannot be trusted with the next; close the link, and
            take the outcome of everything under way on it as unknown.
    """
    correlation_id, letters = read_header(body)
    status = _STATUS_BY_CODE.get(body[HEADER.size : _FIELDS_START])
    if letters not in _REPLIES or status is None:
        raise LinkError("unknown reply or status")
    command, decoder = _REPLIES[letters]
    fields = body[_FIELDS_START:]
    if status is not _OK:
        if fields:
            raise LinkError("a refusal has no fields")
        return correlation_id, Refused(command=command, status=status)
    if decoder is None:
        raise LinkError("an unknown command cannot have been done")
    try:
        return correlation_id, decoder(fields)
    except (struct.error, ValueError, IndexError) as error:
        raise LinkError(f"{command.name} reply: {error}") from error
