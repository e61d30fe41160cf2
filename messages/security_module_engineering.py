"""Engineering tokens and key changes in the security module's protocol, and the approvals behind a request: encode and decode."""

import struct
from collections.abc import Sequence

from messages.security_module_frame import (
    PAN_DIGITS,
    TARIFF_INDEX_MAX,
    TID_MAX,
    TOKEN_DIGITS,
    read_digits,
    require,
    write_digits,
)
from messages.security_module_shapes import EngineeringReply, KeyChangeReply, LocalFieldError
from vending.engineering import (
    APPROVALS_MAX,
    EXPIRES_UNIX_SECONDS_MAX,
    PUBLIC_KEY_OCTETS,
    SIGNATURE_OCTETS,
    Approval,
    EngineeringKind,
    EngineeringRequest,
    KeyChangeRequest,
)
from vending.secret import Secret

KEY_CHANGE_TOKENS = range(2, 5)
"""A key change takes two, three or four tokens."""

_ENGINEERING = struct.Struct(">QH18sBBBBIQH")
_KEY_CHANGE = struct.Struct(">QHH18sBBBB")
_APPROVAL = struct.Struct(f">{PUBLIC_KEY_OCTETS}sQ{SIGNATURE_OCTETS}s")
_KINDS = {(kind.token_class, kind.subclass): kind for kind in EngineeringKind}


def encode_approvals(approvals: Sequence[Approval]) -> bytes:
    """Write what stands behind a request: nothing without approvals, else how many, then each."""
    if not approvals:
        return b""
    if len(approvals) > APPROVALS_MAX:
        raise LocalFieldError(f"{len(approvals)} approvals, more than {APPROVALS_MAX}")
    for each in approvals:
        if len(each.public_key) != PUBLIC_KEY_OCTETS or len(each.signature) != SIGNATURE_OCTETS:
            raise LocalFieldError("a public key has 32 octets and a signature 64")
    rows = [_APPROVAL.pack(each.public_key, each.expires_unix_seconds, each.signature) for each in approvals]
    return bytes((len(rows),)) + b"".join(rows)


def decode_approvals(fields: bytes) -> tuple[Approval, ...]:
    """Read what `encode_approvals` wrote; `ValueError` if it is anything else."""
    if not fields:
        return ()
    count = fields[0]
    require(1 <= count <= APPROVALS_MAX and len(fields) == 1 + count * _APPROVAL.size, "approvals")
    rows = list(_APPROVAL.iter_unpack(fields[1:]))
    require(all(expires <= EXPIRES_UNIX_SECONDS_MAX for _, expires, _ in rows), "expiry of an approval")
    return tuple(
        Approval(public_key=key, expires_unix_seconds=expires, signature=signature) for key, expires, signature in rows
    )


def encode_engineering(request: EngineeringRequest) -> bytes:
    """Write the fields of ``EN``."""
    head = _ENGINEERING.pack(
        request.request_id,
        request.register_id,
        write_digits(request.pan, PAN_DIGITS, "pan"),
        request.tariff_index,
        request.encryption_algorithm,
        request.kind.token_class,
        request.kind.subclass,
        request.tid,
        request.value,
        request.maker_code,
    )
    return head + encode_approvals(request.approvals)


def decode_engineering(fields: bytes) -> EngineeringRequest:
    """Read the fields of ``EN``; `ValueError` or `struct.error` if they are not allowed."""
    request_id, register_id, pan, tariff_index, algorithm, *rest = _ENGINEERING.unpack_from(fields)
    token_class, subclass, tid, value, maker_code = rest
    kind = _KINDS.get((token_class, subclass))
    require(kind is not None, "class and sub-class")
    assert kind is not None
    require(tariff_index <= TARIFF_INDEX_MAX, "tariff index")
    require(kind.allows(value), "value")
    require(tid <= TID_MAX if not kind.is_test else tid == 0, "TID")
    require(maker_code <= (0xFFFF if kind is EngineeringKind.WIDE_TEST else 0xFF if kind.is_test else 0), "maker code")
    return EngineeringRequest(
        request_id=request_id,
        register_id=register_id,
        pan=read_digits(pan, "PAN"),
        tariff_index=tariff_index,
        encryption_algorithm=algorithm,
        kind=kind,
        value=value,
        tid=tid,
        maker_code=maker_code,
        approvals=decode_approvals(fields[_ENGINEERING.size :]),
    )


def encode_key_change(request: KeyChangeRequest) -> bytes:
    """Write the fields of ``KC``."""
    head = _KEY_CHANGE.pack(
        request.request_id,
        request.from_register_id,
        request.to_register_id,
        write_digits(request.pan, PAN_DIGITS, "pan"),
        request.from_tariff_index,
        request.to_tariff_index,
        request.encryption_algorithm,
        request.sections,
    )
    return head + encode_approvals(request.approvals)


def decode_key_change(fields: bytes) -> KeyChangeRequest:
    """Read the fields of ``KC``; `ValueError` or `struct.error` if they are not allowed."""
    request_id, old, new, pan, old_index, new_index, algorithm, sections = _KEY_CHANGE.unpack_from(fields)
    require(max(old_index, new_index) <= TARIFF_INDEX_MAX, "tariff index")
    require(sections in KEY_CHANGE_TOKENS, "number of tokens")
    return KeyChangeRequest(
        request_id=request_id,
        from_register_id=old,
        to_register_id=new,
        pan=read_digits(pan, "PAN"),
        from_tariff_index=old_index,
        to_tariff_index=new_index,
        encryption_algorithm=algorithm,
        sections=sections,
        approvals=decode_approvals(fields[_KEY_CHANGE.size :]),
    )


def encode_engineering_reply(reply: EngineeringReply) -> bytes:
    """Write the fields of ``EO``."""
    return write_digits(reply.token.reveal(), TOKEN_DIGITS, "token")


def decode_engineering_reply(fields: bytes) -> EngineeringReply:
    """Read the fields of ``EO``."""
    require(len(fields) == TOKEN_DIGITS, "length")
    return EngineeringReply(token=Secret(read_digits(fields, "token")))


def encode_key_change_reply(reply: KeyChangeReply) -> bytes:
    """Write the fields of ``KD``."""
    tokens = [write_digits(token.reveal(), TOKEN_DIGITS, "token") for token in reply.tokens]
    return bytes((len(tokens),)) + b"".join(tokens)


def decode_key_change_reply(fields: bytes) -> KeyChangeReply:
    """Read the fields of ``KD``."""
    count = fields[0] if fields else 0
    require(count in KEY_CHANGE_TOKENS and len(fields) == 1 + count * TOKEN_DIGITS, "token count")
    digits = read_digits(fields[1:], "tokens")
    cuts = range(0, len(digits), TOKEN_DIGITS)
    return KeyChangeReply(tokens=tuple(Secret(digits[cut : cut + TOKEN_DIGITS]) for cut in cuts))
