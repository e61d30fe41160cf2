"""The line protocol of the security module: frames, requests, replies. Pure: octets in, objects out, and back.

Shape of a frame: length (4 octets, big-endian, of what follows) | version (1) | correlation id (8) | command (2 letters) | fields.
A reply carries the command with its second letter moved on by one (``MT`` -> ``MU``), then a status of two digits, then fields if
the status is ``00``. Frames may stand back to back in one write and replies may come in any order: the correlation id pairs them
on one link. The ``request_id`` of a mint request is something else: the sale's id, idempotent for ever and on every link.

Source: docs/wire/security-module.md, which describes each field and shows annotated frames.
"""

from messages.security_module_frame import (
    CREDIT_SUBCLASS_MAX,
    DIVERSIFIER_OCTETS_MAX,
    FRAME_OCTETS_MAX,
    MAC_OCTETS,
    PROTOCOL_VERSION,
    TARIFF_INDEX_MAX,
    TID_MAX,
    TOKENS_PER_REQUEST_MAX,
    UNITS_TENTHS_MAX,
    FrameReader,
)
from messages.security_module_replies import decode_reply, encode_reply
from messages.security_module_requests import decode_request, encode_request
from messages.security_module_shapes import (
    CheckValue,
    Command,
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    FieldError,
    GenerateMac,
    Identify,
    IdentifyReply,
    LinkError,
    LocalFieldError,
    MacReply,
    MacVerified,
    MintReply,
    ReadCounters,
    Refused,
    RegisterCount,
    Reply,
    Request,
    Status,
    VerifyMac,
    VerifyToken,
    VerifyTokenReply,
)
from vending.ports import MacKey, MacScheme, MintRequest

__all__ = [
    "CREDIT_SUBCLASS_MAX",
    "DIVERSIFIER_OCTETS_MAX",
    "FRAME_OCTETS_MAX",
    "MAC_OCTETS",
    "PROTOCOL_VERSION",
    "TARIFF_INDEX_MAX",
    "TID_MAX",
    "TOKENS_PER_REQUEST_MAX",
    "UNITS_TENTHS_MAX",
    "CheckValue",
    "Command",
    "CountersReply",
    "DecoderKey",
    "DecoderKeyReply",
    "FieldError",
    "FrameReader",
    "GenerateMac",
    "Identify",
    "IdentifyReply",
    "LinkError",
    "LocalFieldError",
    "MacKey",
    "MacReply",
    "MacScheme",
    "MacVerified",
    "MintReply",
    "MintRequest",
    "ReadCounters",
    "Refused",
    "RegisterCount",
    "Reply",
    "Request",
    "Status",
    "VerifyMac",
    "VerifyToken",
    "VerifyTokenReply",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
]
