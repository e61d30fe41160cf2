"""May this register give this engineering token or key change, now? Pure, in the order in which refusals are answered."""

from datetime import datetime

from messages.security_module import Status
from security_module.registers import VendingRegister
from security_module.rules import register_refusal, tid_refusal
from sts.codes import EncryptionAlgorithm, KeyType
from vending.engineering import EngineeringRequest, KeyChangeRequest


def find_engineering_refusal(register: VendingRegister, request: EngineeringRequest, now: datetime) -> Status | None:
    """Return why *register* may not give an engineering token at *now*, or None if it may.

    A test needs no key: it is the same digits for every meter of its maker, so only the register's operator can stop it.
    """
    if request.kind.is_test:
        return Status.VENDING_INHIBITED if register.is_inhibited else None
    if (
        register.key_type not in (KeyType.UNIQUE, KeyType.DEFAULT)
        or request.encryption_algorithm not in register.encryption_algorithms
        or request.kind.subclass not in register.management
    ):
        return Status.REGISTER_CONTRADICTION
    return register_refusal(register, now) or tid_refusal(register, [request.tid], now)


def find_key_change_refusal(
    old: VendingRegister, new: VendingRegister, request: KeyChangeRequest, now: datetime
) -> Status | None:
    """Return why a meter may not move from *old* to *new* at *now*, or None if it may.

    The old register may be expired, inhibited or ended: to leave such a key is what a key change is for. The new one must be good for
    selling, and say itself whose meters it takes over.
    """
    if not {request.encryption_algorithm} <= old.encryption_algorithms & new.encryption_algorithms:
        return Status.REGISTER_CONTRADICTION
    is_four = request.encryption_algorithm == EncryptionAlgorithm.MISTY1
    if (request.sections == 4) is not is_four:
        return Status.REGISTER_CONTRADICTION
    if not _is_allowed(old, new, request):
        return Status.KEY_CHANGE_FORBIDDEN
    if new.issued_until is not None and now >= new.issued_until:
        return Status.ISSUE_ENDED
    return register_refusal(new, now)


def _is_allowed(old: VendingRegister, new: VendingRegister, request: KeyChangeRequest) -> bool:
    if old.register_id == new.register_id:
        return request.from_tariff_index != request.to_tariff_index
    return (
        old.register_id in new.replaces
        # The decoder keys of test registers leave the module: under one of them the key of a real meter could be read.
        and old.is_test is new.is_test
        and _may_follow(old.key_type, new.key_type)
        # A base date never goes back: the meter would take every token of its past again.
        and old.base_date.year <= new.base_date.year
    )


def _may_follow(old: KeyType, new: KeyType) -> bool:
    """Whether a meter may have a key of type *new* after one of type *old*: never back to the factory's, and no common keys."""
    if new is KeyType.COMMON or old is KeyType.COMMON:
        return False
    return new is not KeyType.INITIALISATION or old is KeyType.INITIALISATION
