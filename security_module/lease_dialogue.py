"""What two people say of a vendor terminal at a ceremony, once they have confirmed its public key."""

from collections.abc import Callable
from dataclasses import replace

from security_module.ceremony_texts import Say
from security_module.dialogue import Ask, Dialogue, Refused, Show, ask
from security_module.registers import ModuleKeys
from security_module.vendors import (
    AMOUNT_MAX,
    LEASE_HOURS_MAX,
    SALES_MAX,
    LeaseLimits,
    SupplyGroup,
    Till,
    VendorTerminal,
    is_terminal_id,
    require_supply_groups,
    require_zone,
)

_NUMBERS: tuple[tuple[str, str, int], ...] = (
    ("credit_centavos", "lease_credit", AMOUNT_MAX),
    ("units_tenths", "lease_units", AMOUNT_MAX),
    ("sales_max", "lease_sales", SALES_MAX),
    ("sale_max_centavos", "lease_sale", AMOUNT_MAX),
    ("meter_day_max_centavos", "lease_meter", AMOUNT_MAX),
)
"""Limits of a lease: name, text, largest. None of them may be left out: a lease without a limit bounds nothing."""


def enter_vendor(say: Say, keys: ModuleKeys, public_key: str) -> Dialogue[ModuleKeys]:
    """Ask what the leases of a terminal allow, and return *keys* with it. One that is there already gets other limits."""

    def read_id(line: str) -> str:
        terminal_id = _read_id(say, line)
        before = keys.vendors.get(terminal_id)
        if before is not None and before.public_key != public_key:
            raise Refused(say("terminal_of_other_key"))
        return terminal_id

    terminal_id = yield from ask(Ask(say("terminal_id")), read_id, say("sorry"))
    groups = yield from ask(Ask(say("lease_groups")), _read_groups, say("sorry"))
    numbers = {}
    for name, text, high in _NUMBERS:
        numbers[name] = yield from ask(Ask(say(text, high=high)), _number(high), say("sorry"))
    hours = yield from ask(Ask(say("lease_hours", high=LEASE_HOURS_MAX)), _number(LEASE_HOURS_MAX), say("sorry"))
    zone = yield from ask(Ask(say("lease_zone")), _read_zone, say("sorry"))
    vendor = VendorTerminal(
        terminal_id=terminal_id,
        public_key=public_key,
        supply_groups=groups,
        limits=LeaseLimits(**numbers),
        lease_hours=hours,
        zone=zone,
    )
    try:
        return replace(keys, vendors={**keys.vendors, terminal_id: vendor})
    except ValueError as error:
        yield Show(say("rejected", reason=error))
        return keys


def enter_till(say: Say, keys: ModuleKeys, public_key: str) -> Dialogue[ModuleKeys]:
    """Make this the module of a till of the head-end with *public_key*: from its next start it mints under leases only."""
    terminal_id = yield from ask(Ask(say("terminal_id")), lambda line: _read_id(say, line), say("sorry"))
    try:
        return replace(keys, till=Till(terminal_id=terminal_id, head_end_key=public_key))
    except ValueError as error:
        yield Show(say("rejected", reason=error))
        return keys


def _read_id(say: Say, line: str) -> str:
    if not is_terminal_id(line):
        raise Refused(say("terminal_id_rule"))
    return line


def _read_groups(line: str) -> tuple[SupplyGroup, ...]:
    pairs = [part.strip().split("/") for part in line.split(",")]
    groups = tuple(sorted((int(sgc), int(krn)) for sgc, krn in pairs))
    require_supply_groups(groups)
    return groups


def _read_zone(line: str) -> str:
    require_zone(line)
    return line


def _number(high: int) -> Callable[[str], int]:
    def read(line: str) -> int:
        if not line.isdecimal() or not line.isascii() or not 1 <= int(line) <= high:
            raise Refused(f"1 - {high}")
        return int(line)

    return read
