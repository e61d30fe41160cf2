"""May this register mint this, now? Pure, in the order in which refusals are answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from messages.security_module import MintRequest, Status
from security_module.registers import VendingRegister
from sts.codes import KEY_NEVER_EXPIRES, KeyType
from sts.tid import base_instant

_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Tally:
    """What a register has minted: in all its life, or in one local day.

    Attributes:
        requests: mint requests that were done.
        tokens: tokens in them.
        units_tenths: tenths of a unit in those tokens.
        charged_centavos: what they count for in the money limits.
    """

    requests: int = 0
    tokens: int = 0
    units_tenths: int = 0
    charged_centavos: int = 0

    def add(self, tokens: int, units_tenths: int, charged_centavos: int) -> None:
        """Count one more request."""
        self.requests += 1
        self.tokens += tokens
        self.units_tenths += units_tenths
        self.charged_centavos += charged_centavos


def units_of(request: MintRequest) -> int:
    """Return the tenths of a unit of all tokens of *request*."""
    return sum([units for _, units in request.tokens])


def counted_centavos(register: VendingRegister, request: MintRequest) -> int:
    """Return what *request* counts for in the money limits: what it says was charged, but no less than the register's floor.

    Whoever holds a stolen switch can say that nothing was charged; the floor is what makes a limit in money hold against him.
    """
    charged = request.charged_centavos or 0
    if not register.floor_centavos_per_unit:
        return charged
    units_tenths = units_of(request)
    return max(charged, -(-units_tenths * register.floor_centavos_per_unit // 10))


def find_refusal(
    register: VendingRegister, request: MintRequest, *, now: datetime, life: Tally, day: Tally
) -> Status | None:
    """Return why *register* may not do *request* at *now*, or None if it may.

    Args:
        register: the one that the request names.
        request: as decoded; its PAN and sub-class are well formed.
        now: the module's clock, aware.
        life: what the register has minted up to now, for its limits.
        day: likewise on the local day of *now*.
    """
    if register.key_type is not KeyType.UNIQUE:
        return Status.REGISTER_CONTRADICTION  # A default or initialisation key opens no credit on any meter.
    if (
        request.encryption_algorithm not in register.encryption_algorithms
        or request.subclass not in register.subclasses
    ):
        return Status.REGISTER_CONTRADICTION
    refusal = register_refusal(register, now)
    if refusal is not None:
        return refusal
    if register.issued_until is not None and now >= register.issued_until:
        return Status.ISSUE_ENDED
    tids = [tid for tid, _ in request.tokens]
    return tid_refusal(register, tids, now) or _limit_refusal(register, request, life, day)


def register_refusal(register: VendingRegister, now: datetime) -> Status | None:
    """Return why *register* may give nothing at all at *now*, or None if it may."""
    if register.is_inhibited:
        return Status.VENDING_INHIBITED
    if now < register.active_from:
        return Status.NOT_ACTIVE_YET
    if register.expires_at is not None and now >= register.expires_at:
        return Status.REGISTER_EXPIRED
    return None


def tid_refusal(register: VendingRegister, tids: Sequence[int], now: datetime) -> Status | None:
    """Return why tokens with these identifiers may not be given at *now*, or None if they may."""
    if len(tids) > 1 and len(set(tids)) != len(tids):
        return Status.TID_OUTSIDE_WINDOW  # Two tokens with one identifier: the meter takes only one of them.
    if register.key_expiry_number != KEY_NEVER_EXPIRES and max(tids) >> 16 > register.key_expiry_number:
        return Status.REGISTER_EXPIRED
    window = register.tid_window_minutes
    if window is None:
        return None
    # Not `sts.tid.tid_at`: it refuses a clock beyond the 24 bits of the base date, which here is simply outside the window.
    minute = (now - base_instant(register.base_date)) // _MINUTE
    if min(tids) < minute - window or max(tids) > minute + window:
        return Status.TID_OUTSIDE_WINDOW
    return None


def _limit_refusal(register: VendingRegister, request: MintRequest, life: Tally, day: Tally) -> Status | None:
    units = [units_tenths for _, units_tenths in request.tokens]
    if max(units) > register.units_per_token_max_tenths:
        return Status.TOKEN_TOO_LARGE
    total, charged = sum(units), counted_centavos(register, request)
    for limit, used, status in (
        (register.units_limit_tenths, life.units_tenths + total, Status.LIMIT_EXCEEDED),
        (register.units_per_day_limit_tenths, day.units_tenths + total, Status.DAY_LIMIT_EXCEEDED),
        (register.money_limit_centavos, life.charged_centavos + charged, Status.MONEY_LIMIT_EXCEEDED),
        (register.money_per_day_limit_centavos, day.charged_centavos + charged, Status.DAY_MONEY_LIMIT_EXCEEDED),
    ):
        if limit is not None and used > limit:
            return status
    return None
