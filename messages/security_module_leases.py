"""Leases in the security module's protocol: encode and decode."""

import struct
from collections.abc import Callable
from typing import Any

from messages.security_module_frame import require
from messages.security_module_lease_shapes import (
    AcceptLease,
    AskLease,
    CloseLease,
    LeaseAccepted,
    LeaseClosed,
    LeaseGiven,
    LeaseLeft,
    ReadLease,
    RevokeTerminal,
    TerminalRevoked,
)
from messages.security_module_shapes import Command, LocalFieldError, Reply, Request

SIGNED_OCTETS_MAX = 1_024
"""A lease with the most supply groups and the longest names takes 284."""
TERMINAL_ID_OCTETS_MAX = 16

_JOURNAL = struct.Struct(">II")
_LEFT = struct.Struct(">IBIQQQ")


def _signed(octets: bytes) -> bytes:
    if not 0 < len(octets) <= SIGNED_OCTETS_MAX:
        raise LocalFieldError(f"{len(octets)} octets are no lease and no statement")
    return octets


def _read_signed(fields: bytes) -> bytes:
    require(0 < len(fields) <= SIGNED_OCTETS_MAX, "length")
    return fields


def _encode_nothing(_: object) -> bytes:
    return b""


def _encode_read(request: ReadLease) -> bytes:
    return b"" if request.journal is None else _JOURNAL.pack(*request.journal)


def _decode_read(fields: bytes) -> ReadLease:
    return ReadLease(journal=_JOURNAL.unpack(fields) if fields else None)


def _encode_revoke(request: RevokeTerminal) -> bytes:
    try:
        name = request.terminal_id.encode("ascii")
    except UnicodeEncodeError as error:
        raise LocalFieldError("a terminal id is of ASCII") from error
    if not 0 < len(name) <= TERMINAL_ID_OCTETS_MAX:
        raise LocalFieldError("a terminal id has 1 to 16 characters")
    return name


def _decode_revoke(fields: bytes) -> RevokeTerminal:
    require(0 < len(fields) <= TERMINAL_ID_OCTETS_MAX, "length")
    return RevokeTerminal(terminal_id=fields.decode("ascii"))


def _empty(made: Callable[[], Any]) -> Callable[[bytes], Any]:
    def decode(fields: bytes) -> Any:
        require(not fields, "length")
        return made()

    return decode


REQUESTS: tuple[tuple[type[Request], Command, Callable[[Any], bytes], Callable[[bytes], Request]], ...] = (
    (
        AskLease,
        Command.ASK_LEASE,
        lambda request: _signed(request.statement),
        lambda fields: AskLease(statement=_read_signed(fields)),
    ),
    (
        AcceptLease,
        Command.ACCEPT_LEASE,
        lambda request: _signed(request.lease),
        lambda fields: AcceptLease(lease=_read_signed(fields)),
    ),
    (CloseLease, Command.CLOSE_LEASE, _encode_nothing, _empty(CloseLease)),
    (ReadLease, Command.READ_LEASE, _encode_read, _decode_read),
    (RevokeTerminal, Command.REVOKE_TERMINAL, _encode_revoke, _decode_revoke),
)
"""How each request is written and read."""


def _encode_left(reply: LeaseLeft) -> bytes:
    return _LEFT.pack(
        reply.epoch,
        reply.is_in_force,
        reply.sales,
        reply.centavos,
        reply.units_tenths,
        reply.not_after_unix_seconds,
    )


def _decode_left(fields: bytes) -> LeaseLeft:
    epoch, is_in_force, sales, centavos, units, not_after = _LEFT.unpack(fields)
    require(is_in_force in (0, 1), "in force")
    return LeaseLeft(
        epoch=epoch,
        is_in_force=bool(is_in_force),
        sales=sales,
        centavos=centavos,
        units_tenths=units,
        not_after_unix_seconds=not_after,
    )


REPLIES: tuple[tuple[type[Reply], Command, Callable[[Any], bytes], Callable[[bytes], Reply]], ...] = (
    (
        LeaseGiven,
        Command.ASK_LEASE,
        lambda reply: _signed(reply.lease),
        lambda fields: LeaseGiven(lease=_read_signed(fields)),
    ),
    (LeaseAccepted, Command.ACCEPT_LEASE, _encode_nothing, _empty(LeaseAccepted)),
    (
        LeaseClosed,
        Command.CLOSE_LEASE,
        lambda reply: _signed(reply.statement),
        lambda fields: LeaseClosed(statement=_read_signed(fields)),
    ),
    (LeaseLeft, Command.READ_LEASE, _encode_left, _decode_left),
    (TerminalRevoked, Command.REVOKE_TERMINAL, _encode_nothing, _empty(TerminalRevoked)),
)
"""How each reply is written and read."""
