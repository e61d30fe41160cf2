"""Entering keys under dual control: attributes by everybody, each component by another person alone, check values against the paper."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from messages.security_module import MacScheme
from security_module.ceremony import TID_WINDOW_MINUTES
from security_module.ceremony_texts import Say
from security_module.custody import CannotReplace, add_mac, add_vending
from security_module.dialogue import Ask, Clear, Dialogue, Refused, Show, ask
from security_module.lease_texts import describe_leases
from security_module.registers import (
    MAC_KEY_OCTETS,
    REGISTER_ID_MAX,
    SELECTION_SECRET_OCTETS,
    MacRegister,
    ModuleKeys,
    VendingRegister,
    client_pairs,
    mac_check_value,
    mac_key_octets,
    vending_check_value,
    with_odd_parity,
)
from security_module.sealed_store import RandomOctets
from sts.amount import EXACT_UNITS_MAX
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.decoder_key import DKGA02_VENDING_KEY_OCTETS, DKGA04_VENDING_KEY_OCTETS
from vending.secret import Secret

LIMIT_MAX = 10**15
"""Tenths of a unit, or centavos; a bound for typing errors only."""

_DES_WEAK_KEYS = frozenset(
    bytes.fromhex(key)
    for key in (
        *("0101010101010101", "fefefefefefefefe", "e0e0e0e0f1f1f1f1", "1f1f1f1f0e0e0e0e"),
        *("01fe01fe01fe01fe", "fe01fe01fe01fe01", "1fe01fe00ef10ef1", "e01fe01ff10ef10e"),
        *("01e001e001f101f1", "e001e001f101f101", "1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e"),
        *("011f011f010e010e", "1f011f010e010e01", "e0fee0fef1fef1fe", "fee0fee0fef1fef1"),
    )
)
"""Weak and semi-weak keys with odd parity. Source: NIST SP 800-67, section 3.3.2."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One attribute of a register: its name there, the text that asks for it, and how its line is read."""

    name: str
    text: str
    read: Callable[[str], Any]


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(line: str) -> int:
        if not line.isdecimal() or not line.isascii() or not low <= int(line) <= high:
            raise Refused(f"{low} - {high}")
        return int(line)

    return read


def _limit(line: str) -> int | None:
    return _number(0, LIMIT_MAX)(line) or None


def _numbers(line: str) -> frozenset[int]:
    return frozenset(int(part) for part in line.split(","))


def _subclasses(line: str) -> frozenset[int]:
    numbers = _numbers(line)
    if not numbers <= {0, 1, 2, 3}:
        raise Refused("0, 1, 2, 3")
    return numbers


def _supply_group(line: str) -> int:
    if len(line) != 6:
        raise Refused("6")
    return _number(0, 999_999)(line)


def read_day(line: str) -> datetime | None:
    """Read the midnight (UTC) that begins a day, YYYY-MM-DD; None for an empty line."""
    return datetime.strptime(line, "%Y-%m-%d").replace(tzinfo=UTC) if line else None


def _base_date(line: str) -> BaseDate:
    return {str(each.year): each for each in BaseDate}.get(line) or BaseDate(int(line) if len(line) == 2 else -1)


VENDING_FIELDS: tuple[_Field, ...] = (
    _Field("register_id", "register_id", _number(0, REGISTER_ID_MAX)),
    _Field("supply_group_code", "sgc", _supply_group),
    _Field("key_revision_number", "krn", _number(1, 9)),
    _Field("key_expiry_number", "ken", _number(0, 255)),
    _Field("base_date", "base_date", _base_date),
    _Field("key_type", "key_type", lambda line: KeyType(_number(0, 2)(line))),
    _Field("key_algorithm", "key_algorithm", lambda line: KeyAlgorithm(int(line))),
    _Field("encryption_algorithms", "ciphers", lambda line: frozenset(map(EncryptionAlgorithm, _numbers(line)))),
    _Field("subclasses", "subclasses", _subclasses),
    _Field("units_per_token_max_tenths", "per_token", _number(1, EXACT_UNITS_MAX)),
    _Field("units_per_day_limit_tenths", "per_day", _limit),
    _Field("units_limit_tenths", "in_all", _limit),
    _Field("money_per_day_limit_centavos", "money_per_day", _limit),
    _Field("money_limit_centavos", "money_in_all", _limit),
    _Field("floor_centavos_per_unit", "floor", _number(0, LIMIT_MAX)),
    _Field("issued_until", "issued_until", read_day),
    _Field("replaces", "replaces", lambda line: _number(0, REGISTER_ID_MAX)(line) if line else None),
)
_ONE_KEY, _KEY_OF_EACH, _ZONE_KEY, _BASE_KEY = "one key", "a key for each terminal", "zone key", "base derivation key"
_KINDS = {"0": _ONE_KEY, "1": _KEY_OF_EACH, "2": _ZONE_KEY, "3": _BASE_KEY}
MAC_FIELDS: tuple[_Field, ...] = (
    _Field("register_id", "register_id", _number(0, REGISTER_ID_MAX)),
    _Field("scheme", "scheme", lambda line: {"1": MacScheme.X9_19, "2": MacScheme.AES_CMAC, "3": MacScheme.X9_9}[line]),
    # The name is older than zone keys, and stands in key load files.
    _Field("is_diversified", "diversified", lambda line: _KINDS[line]),
)


def yes(say: Say, text: str, **values: object) -> Dialogue[bool]:
    """Ask a question of yes or no."""

    def read(line: str) -> bool:
        if line.lower() not in (say("yes"), "n"):
            raise Refused(say("yes_no"))
        return line.lower() == say("yes")

    return ask(Ask(say(text, **values)), read, say("sorry"))


def alone(say: Say, name: str) -> Dialogue[None]:
    """Clear the screen and wait until *name* is alone at it."""
    yield Clear()
    yield Show(say("alone", name=name))
    yield Ask(say("ready", name=name), is_pause=True)


def enter_vending_key(
    say: Say, keys: ModuleKeys, people: Sequence[str], now: datetime, random_octets: RandomOctets
) -> Dialogue[ModuleKeys]:
    """Ask for one vending key; return *keys* with it, or *keys* as they are if it was not taken."""
    values = yield from _agreed_fields(say, VENDING_FIELDS, keys)
    replaces, until = values.pop("replaces"), values.pop("until", None)
    algorithm: KeyAlgorithm = values["key_algorithm"]
    is_des = algorithm is KeyAlgorithm.DKGA02
    octets = DKGA02_VENDING_KEY_OCTETS if is_des else DKGA04_VENDING_KEY_OCTETS
    key = yield from _key_of_components(say, people, octets, is_des, lambda key: vending_check_value(algorithm, key))
    if key is None:
        return keys
    try:
        register = make_vending_register(values, key, now, random_octets)
        changed = add_vending(keys, register, replaces, until)
    except (CannotReplace, ValueError) as error:
        yield Show(say("rejected", reason=error))
        return keys
    yield Show(say("taken", id=register.register_id, kcv=register.kcv))
    return changed


def changed_limits(say: Say, register: VendingRegister) -> Dialogue[dict[str, Any]]:
    """Ask for every limit of *register*; an empty line leaves it as it is. Return those that were given."""
    changes: dict[str, Any] = {}
    for each in VENDING_FIELDS:
        if not each.name.endswith(("_tenths", "_centavos", "_per_unit")):
            continue
        shown = say("keep", value=getattr(register, each.name) or 0)
        question = Ask(f"{say(each.text, high=EXACT_UNITS_MAX)}{shown} ")
        changes |= yield from ask(question, partial(_read_change, each), say("sorry"))
    return changes


def _read_change(field: _Field, line: str) -> dict[str, Any]:
    return {field.name: field.read(line)} if line else {}


def make_vending_register(
    values: Mapping[str, Any], key: Secret[bytes], now: datetime, random_octets: RandomOctets
) -> VendingRegister:
    """Make a register of what `VENDING_FIELDS` read (without ``replaces``) and its key; ValueError if they contradict each other."""
    return VendingRegister(
        **values,
        active_from=now,
        expires_at=None,
        tid_window_minutes=TID_WINDOW_MINUTES,
        is_inhibited=False,
        is_test=False,
        key=key,
        selection_secret=Secret(random_octets(SELECTION_SECRET_OCTETS)),
    )


def make_mac_register(values: Mapping[str, Any], key: Secret[bytes]) -> MacRegister:
    """Make a register of what `MAC_FIELDS` read and its key; ValueError if they contradict each other."""
    is_diversified = values["is_diversified"] == _KEY_OF_EACH
    if len(key.reveal()) == mac_key_octets(values["scheme"], is_diversified=is_diversified) < MAC_KEY_OCTETS:
        key = Secret(2 * key.reveal())
    return MacRegister(
        register_id=values["register_id"],
        scheme=values["scheme"],
        is_diversified=is_diversified,
        is_zone=values["is_diversified"] == _ZONE_KEY,
        is_dukpt=values["is_diversified"] == _BASE_KEY,
        is_test=False,
        key=key,
    )


def enter_mac_key(say: Say, keys: ModuleKeys, people: Sequence[str]) -> Dialogue[ModuleKeys]:
    """Ask for one MAC key; return *keys* with it, or *keys* as they are if it was not taken."""
    values = yield from _agreed_fields(say, MAC_FIELDS, keys)
    scheme: str = values["scheme"]
    is_des = scheme != MacScheme.AES_CMAC
    octets = mac_key_octets(scheme, is_diversified=values["is_diversified"] == _KEY_OF_EACH)
    key = yield from _key_of_components(say, people, octets, is_des, lambda key: mac_check_value(scheme, key))
    if key is None:
        return keys
    try:
        register = make_mac_register(values, key)
        changed = add_mac(keys, register)
    except (CannotReplace, ValueError) as error:
        yield Show(say("rejected", reason=error))
        return keys
    yield Show(say("taken", id=register.register_id, kcv=register.kcv))
    return changed


def _agreed_fields(say: Say, fields: Sequence[_Field], keys: ModuleKeys) -> Dialogue[dict[str, Any]]:
    """Ask for *fields* until the people say that all of them are right; with ``until`` where a register is replaced."""
    while True:
        values: dict[str, Any] = {}
        for each in fields:
            read = partial(_read_field, say, keys, each)
            values[each.name] = yield from ask(Ask(say(each.text, high=EXACT_UNITS_MAX)), read, say("sorry"))
        if values.get("replaces") is not None:
            values["until"] = yield from ask(Ask(say("until")), read_day, say("sorry"))
        if (yield from yes(say, "fields_right")):
            return values


def _read_field(say: Say, keys: ModuleKeys, field: _Field, line: str) -> Any:
    """Read one attribute; what only `add_vending` would find out is refused here, before anybody types a component."""
    try:
        value = field.read(line)
    except KeyError as error:
        raise Refused(line) from error
    if field.name == "register_id" and (value in keys.vending or value in keys.mac):
        raise Refused(say("number_taken"))
    if field.name == "replaces" and value is not None and value not in keys.vending:
        raise Refused(say("no_such_old"))
    return value


def _key_of_components(
    say: Say, people: Sequence[str], octets: int, is_des: bool, check_value: Callable[[bytes], str]
) -> Dialogue[Secret[bytes] | None]:
    """Return the exclusive or of the components, or None if the people give up a key that is not the one of the paper."""
    count = yield from ask(Ask(say("components")), _number(2, min(3, len(people))), say("sorry"))
    holders = yield from _holders(say, people, count)
    while True:
        key = yield from _combine(say, holders, octets, is_des, check_value)
        if key is not None or not (yield from yes(say, "once_more")):
            return key


def _combine(
    say: Say, holders: Sequence[str], octets: int, is_des: bool, check_value: Callable[[bytes], str]
) -> Dialogue[Secret[bytes] | None]:
    """Ask each holder for his component, alone; None if what they make is not the key that the paper names."""
    combined = bytes(octets)
    for index, name in enumerate(holders, 1):
        yield from alone(say, name)
        component = yield from _component(say, index, octets, is_des, check_value)
        combined = bytes(a ^ b for a, b in zip(combined, component.reveal(), strict=True))
        yield Clear()
    yield Show(say("all_back"))
    key = with_odd_parity(combined) if is_des else combined
    if not any(combined) or is_weak(key, is_des=is_des):
        yield Show(say("weak"))
        return None
    # Asked before it is shown: who reads it off the screen has compared nothing.
    expected = yield Ask(say("expected"))
    yield Show(say("combined", kcv=check_value(key).upper()))
    if expected.strip().lower() != check_value(key):
        yield Show(say("kcv_differs"))
        return None
    return Secret(key)


def is_weak(key: bytes, *, is_des: bool) -> bool:
    """Whether a key is one that no supplier would send: all zeros, weak DES, or TDES whose halves are equal."""
    if not any(key):
        return True
    halves = [key[at : at + 8] for at in range(0, len(key), 8)]
    return is_des and (any(half in _DES_WEAK_KEYS for half in halves) or (len(halves) == 2 and halves[0] == halves[1]))


def _holders(say: Say, people: Sequence[str], count: int) -> Dialogue[list[str]]:
    listed = ", ".join(f"{index} {name}" for index, name in enumerate(people, 1))
    holders: list[str] = []

    def read(line: str) -> str:
        name = people[_number(1, len(people))(line) - 1]
        if name in holders:
            raise Refused(say("holder_again"))
        return name

    for index in range(1, count + 1):
        name = yield from ask(Ask(say("holder", index=index, people=listed)), read, say("sorry"))
        holders.append(name)
    return holders


def _component(
    say: Say, index: int, octets: int, is_des: bool, check_value: Callable[[bytes], str]
) -> Dialogue[Secret[bytes]]:
    digits = 2 * octets

    def read(line: str) -> Secret[bytes]:
        try:
            component = bytes.fromhex(line.replace(" ", "").replace("-", ""))
        except ValueError:
            component = b""
        if len(component) != octets:
            raise Refused(say("hex_rule", digits=digits))
        return Secret(component)

    while True:
        question = Ask(say("component", index=index, digits=digits), is_secret=True)
        component = yield from ask(question, read, say("sorry"))
        shown = with_odd_parity(component.reveal()) if is_des else component.reveal()
        yield Show(say("component_kcv", index=index, kcv=check_value(shown).upper()))
        if (yield from yes(say, "matches")):
            return component


def describe(keys: ModuleKeys) -> list[str]:
    """Return a line or more for every register, for senders, approvers and clients, without secrets, for summary and printed record."""
    lines = []
    for _, each in sorted(keys.vending.items()):
        ciphers = ",".join(f"{int(ea):02d}" for ea in sorted(each.encryption_algorithms))
        lines.append(
            f"{each.register_id:5d}  SGC {each.supply_group_code:06d}  KRN {each.key_revision_number}  KEN {each.key_expiry_number}  "
            f"BDT {each.base_date.year}  KT {int(each.key_type)}  DKGA {int(each.key_algorithm):02d}  EA {ciphers}  "
            f"KCV {each.kcv.upper()}"
        )
        services = ",".join(map(str, sorted(each.subclasses)))
        until = f"{each.issued_until:%Y-%m-%d}" if each.issued_until else "-"
        lines.append(
            f"       {services}  max {each.units_per_token_max_tenths}  "
            f"units {each.units_per_day_limit_tenths or '-'}/{each.units_limit_tenths or '-'}  "
            f"money {each.money_per_day_limit_centavos or '-'}/{each.money_limit_centavos or '-'}  "
            f"floor {each.floor_centavos_per_unit}  until {until}{'  INHIBITED' if each.is_inhibited else ''}"
        )
        quotas = [each.unapproved_per_day_max, each.key_changes_per_day_max]
        if each.replaces or quotas != [None, None]:
            unapproved, changes = ("-" if quota is None else quota for quota in quotas)
            replaced = ",".join(map(str, sorted(each.replaces))) or "-"
            lines.append(f"       replaces {replaced}  unapproved {unapproved}  key changes {changes}")
    for _, mac in sorted(keys.mac.items()):
        derived = "*" if mac.is_diversified else ""
        kind = "ZMK" if mac.is_zone else "BDK" if mac.is_dukpt else "MAC"
        lines.append(f"{mac.register_id:5d}  {kind} {mac.scheme}{derived}  KCV {mac.kcv.upper()}")
    lines.extend(
        f"       Ed25519 {sender.name}: {sender.public_key}  #{sender.last_serial}" for sender in keys.senders.values()
    )
    lines.extend(f"       ** {each.name}: {each.public_key}" for each in keys.approvers.values())
    lines.extend(describe_leases(keys))
    lines.extend(f"       -> {name} ({role.value})" for name, role in client_pairs(keys))
    return lines


def values_as_read(fields: Sequence[_Field], lines: Mapping[str, str]) -> dict[str, Any]:
    """Read attributes from *lines* (name to text) by the rules that people's lines are read by; ValueError, `Refused` or KeyError."""
    return {each.name: each.read(lines[each.name]) for each in fields}
