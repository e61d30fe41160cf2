"""Leases of vendor terminals: what a head-end signs, and what a till signs back. Pure; what follows from them is `security_module.lease_rules`.

A lease lets one till's module mint up to limits and until an hour, without a line. When it is closed the till's module signs what was
minted under it; only against that statement is there another lease. So what can be lost with a till is one lease.

Both are octets in a fixed order (numbers big-endian, texts of ASCII behind one octet of length) and then 64 octets of an Ed25519
signature over a context and all before it. A value has one encoding, and nothing else is read.

Source: docs/security-module/leases.md; the layout octet by octet is in docs/wire/security-module.md.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from security_module.vendors import (
    LeaseLimits,
    SupplyGroup,
    is_terminal_id,
    require_supply_groups,
    require_zone,
)

LEASE_CONTEXT = b"eudora lease\x00"
STATEMENT_CONTEXT = b"eudora lease closing\x00"
LINK_OCTETS = 32
SIGNATURE_OCTETS = 64
EPOCH_MAX = 2**32 - 2

_VERSION = 1
_LEASE = struct.Struct(">IQQQQIQQ32s")
_SUPPLY_GROUP = struct.Struct(">IB")
_STATEMENT = struct.Struct(">IIQQQ32sQ")


class LeaseError(Exception):
    """Octets that are no lease or no statement, or whose signature is of somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a till may mint, and until when.

    Attributes:
        terminal_id: whose it is.
        epoch: 1 and up; each lease of a terminal has a higher one.
        not_before_unix_seconds: good from.
        not_after_unix_seconds: good up to and without.
        limits: what may be minted.
        previous_link: the till's chain at the closing statement that this lease answers, 32 octets.
        supply_groups: under which vending keys.
        zone: an opaque word.
    """

    terminal_id: str
    epoch: int
    not_before_unix_seconds: int
    not_after_unix_seconds: int
    limits: LeaseLimits
    previous_link: bytes
    supply_groups: tuple[SupplyGroup, ...]
    zone: str

    def __post_init__(self) -> None:
        if not is_terminal_id(self.terminal_id) or not 1 <= self.epoch <= EPOCH_MAX:
            raise ValueError("terminal or epoch")
        if not self.not_before_unix_seconds < self.not_after_unix_seconds or len(self.previous_link) != LINK_OCTETS:
            raise ValueError("times or link")
        require_supply_groups(self.supply_groups)
        require_zone(self.zone)

    def octets(self) -> bytes:
        """Return what is signed, behind `LEASE_CONTEXT`."""
        limits = self.limits
        fixed = _LEASE.pack(
            self.epoch,
            self.not_before_unix_seconds,
            self.not_after_unix_seconds,
            limits.credit_centavos,
            limits.units_tenths,
            limits.sales_max,
            limits.sale_max_centavos,
            limits.meter_day_max_centavos,
            self.previous_link,
        )
        groups = b"".join([_SUPPLY_GROUP.pack(*each) for each in self.supply_groups])
        return (
            bytes((_VERSION,))
            + _text(self.terminal_id)
            + fixed
            + bytes((len(self.supply_groups),))
            + groups
            + _text(self.zone)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a till's module says was minted under a lease that is closed. Epoch 0 is the time before the first lease.

    Attributes:
        terminal_id: whose.
        epoch: of the lease.
        sales: mints under it.
        charged_centavos: their money, as the limits counted it.
        units_tenths: their units.
        sequence: of the record of the closing in the till's audit chain.
        link: of that record, 32 octets.
        closed_unix_seconds: when.
    """

    terminal_id: str
    epoch: int
    sales: int
    charged_centavos: int
    units_tenths: int
    sequence: int
    link: bytes
    closed_unix_seconds: int

    def __post_init__(self) -> None:
        if not is_terminal_id(self.terminal_id) or not 0 <= self.epoch <= EPOCH_MAX or len(self.link) != LINK_OCTETS:
            raise ValueError("terminal, epoch or link")

    def octets(self) -> bytes:
        """Return what is signed, behind `STATEMENT_CONTEXT`."""
        fixed = _STATEMENT.pack(
            self.epoch,
            self.sales,
            self.charged_centavos,
            self.units_tenths,
            self.sequence,
            self.link,
            self.closed_unix_seconds,
        )
        return bytes((_VERSION,)) + _text(self.terminal_id) + fixed


Signed = TypeVar("Signed", Lease, Statement)


def _text(text: str) -> bytes:
    raw = text.encode("ascii")
    return bytes((len(raw),)) + raw


def _read_text(octets: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + octets[at]
    return octets[at + 1 : end].decode("ascii"), end


def _parse_lease(octets: bytes) -> Lease:
    terminal_id, at = _read_text(octets, 1)
    epoch, not_before, not_after, *limits, link = _LEASE.unpack_from(octets, at)
    groups_at = at + _LEASE.size + 1
    end = groups_at + octets[groups_at - 1] * _SUPPLY_GROUP.size
    groups = tuple((sgc, krn) for sgc, krn in _SUPPLY_GROUP.iter_unpack(octets[groups_at:end]))
    names = ("credit_centavos", "units_tenths", "sales_max", "sale_max_centavos", "meter_day_max_centavos")
    return Lease(
        terminal_id=terminal_id,
        epoch=epoch,
        not_before_unix_seconds=not_before,
        not_after_unix_seconds=not_after,
        limits=LeaseLimits(**dict(zip(names, limits, strict=True))),
        previous_link=link,
        supply_groups=groups,
        zone=_read_text(octets, end)[0],
    )


def _parse_statement(octets: bytes) -> Statement:
    terminal_id, at = _read_text(octets, 1)
    epoch, sales, charged, units, sequence, link, closed = _STATEMENT.unpack_from(octets, at)
    return Statement(
        terminal_id=terminal_id,
        epoch=epoch,
        sales=sales,
        charged_centavos=charged,
        units_tenths=units,
        sequence=sequence,
        link=link,
        closed_unix_seconds=closed,
    )


def read_lease(signed: bytes) -> Lease:
    """Read a lease without proving its signature.

    Raises:
        LeaseError: it is none.
    """
    return _read(signed, _parse_lease, "lease")


def read_statement(signed: bytes) -> Statement:
    """Read a closing statement without proving its signature: whose key that is to be it says itself.

    Raises:
        LeaseError: it is none.
    """
    return _read(signed, _parse_statement, "closing statement")


def _read(signed: bytes, parse: Callable[[bytes], Signed], what: str) -> Signed:
    """Read what stands before a signature; a value has one encoding, and nothing else is it."""
    body = signed[:-SIGNATURE_OCTETS]
    try:
        found = parse(body)
    except (ValueError, IndexError, struct.error) as error:
        raise LeaseError(f"this is no {what}") from error
    if found.octets() != body:
        raise LeaseError(f"this is no {what}")
    return found


def prove(signed: bytes, context: bytes, public_key: str) -> None:
    """Raise `LeaseError` unless the last 64 octets of *signed* are the signature of *public_key* (hexadecimal) over the rest."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    try:
        key.verify(signed[-SIGNATURE_OCTETS:], context + signed[:-SIGNATURE_OCTETS])
    except InvalidSignature as error:
        raise LeaseError("the signature is of somebody else") from error
