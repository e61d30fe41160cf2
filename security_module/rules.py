"""May this register mint this, now? Pure, in the order in which refusals are answered."""

from datetime import datetime

from messages.security_module import MintRequest, RegisterCount, Status
from security_module.registers import VendingRegister
from sts.codes import KEY_NEVER_EXPIRES, KeyType
from sts.tid import base_instant


def find_refusal(
    register: VendingRegister, request: MintRequest, *, now: datetime, count: RegisterCount
) -> Status | None:
    """Return why *register* may not do *request* at *now*, or None if it may.

    Args:
        register: the one that the request names.
        request: as decoded; its PAN and sub-class are well formed.
        now: the module's clock, aware.
        count: what the register has minted up to now, for its limit.
    """
    if register.key_type is not KeyType.UNIQUE:
        return Status.REGISTER_CONTRADICTION  # A default or initialisation key opens no credit on any meter.
    if (
        request.encryption_algorithm not in register.encryption_algorithms
        or request.subclass not in register.subclasses
    ):
        return Status.REGISTER_CONTRADICTION
    if register.is_inhibited:
        return Status.VENDING_INHIBITED
    if now < register.active_from:
        return Status.NOT_ACTIVE_YET
    if register.expires_at is not None and now >= register.expires_at:
        return Status.REGISTER_EXPIRED
    return _tid_refusal(register, request, now) or _limit_refusal(register, request, count)


def _tid_refusal(register: VendingRegister, request: MintRequest, now: datetime) -> Status | None:
    tids = [tid for tid, _ in request.tokens]
    if len(set(tids)) != len(tids):
        return Status.TID_OUTSIDE_WINDOW  # Two tokens with one identifier: the meter takes only one of them.
    if register.key_expiry_number != KEY_NEVER_EXPIRES and max(tids) >> 16 > register.key_expiry_number:
        return Status.REGISTER_EXPIRED
    window = register.tid_window_minutes
    if window is None:
        return None
    # Not `sts.tid.tid_at`: it refuses a clock beyond the 24 bits of the base date, which here is simply outside the window.
    minute = int((now - base_instant(register.base_date)).total_seconds()) // 60
    if min(tids) < minute - window or max(tids) > minute + window:
        return Status.TID_OUTSIDE_WINDOW
    return None


def _limit_refusal(register: VendingRegister, request: MintRequest, count: RegisterCount) -> Status | None:
    units = [units_tenths for _, units_tenths in request.tokens]
    if max(units) > register.units_per_token_max_tenths:
        return Status.LIMIT_EXCEEDED
    limit = register.units_limit_tenths
    if limit is not None and count.units_tenths + sum(units) > limit:
        return Status.LIMIT_EXCEEDED
    return None
