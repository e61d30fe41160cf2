"""The ceremonies from first to last line: a new module, more keys, new custodians, a key load file, and opening with shares.

Each is a `Dialogue` that returns what is to be written; until then nothing is. In this order: people, keys, summary, shares, word.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from security_module.ceremony_texts import Say
from security_module.custody import Opened
from security_module.dialogue import Aborted, Ask, Clear, Dialogue, Refused, Show, ask
from security_module.fingerprints import fingerprints
from security_module.key_entry import alone, changed_limits, describe, enter_mac_key, enter_vending_key, yes
from security_module.lease_dialogue import enter_till, enter_vendor
from security_module.registers import Approver, Client, ModuleKeys, Sender
from security_module.sealed_store import (
    FROM_SHARES,
    FROM_TOKEN,
    Header,
    Kek,
    RandomOctets,
    StoreError,
    kek_for_custodians,
)
from security_module.shares import CUSTODIANS_MAX, THRESHOLD_MIN, Share, ShareError, read_share
from vending.secret import Secret

NAME_CHARACTERS_MAX = 60
QUOTA_MAX = 1_000_000
"""More in one day is no limit."""
SHOWN_TIMES_MAX = 3
"""How often a share is shown to a custodian who does not type it back rightly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a ceremony made: still in memory, to be written by whoever ran the dialogue."""

    opened: Opened
    protocol: str


def new_module(say: Say, *, now: datetime, random_octets: RandomOctets) -> Dialogue[Outcome]:
    """Make the first keys and the shares of a new module; its id is ``{module}`` until it is written."""
    yield from _title(say, "title_new", "")
    officer, names, threshold = yield from _custodians(say)
    empty = ModuleKeys(module_id="{module}", vending={}, mac={}, clients={})
    keys = yield from _enter_keys(say, empty, names, now, random_octets)
    yield from _agree(say, keys)
    kek = yield from _hand_out(say, names, threshold, random_octets)
    return (yield from _finish(say, "title_new", officer, names, Opened(keys=keys, kek=kek), now))


def more_keys(say: Say, opened: Opened, *, now: datetime, random_octets: RandomOctets) -> Dialogue[Outcome]:
    """Enter keys into a module that exists; its custodians and shares stay."""
    yield from _title(say, "title_keys", opened.keys.module_id)
    officer, names = yield from _two_people(say)
    keys = yield from _enter_keys(say, opened.keys, names, now, random_octets)
    yield from _agree(say, keys)
    return (yield from _finish(say, "title_keys", officer, names, replace(opened, keys=keys), now))


def new_custodians(say: Say, opened: Opened, *, now: datetime, random_octets: RandomOctets) -> Dialogue[Outcome]:
    """Make a new key encryption key and new shares of it; the old ones open the old file only."""
    yield from _title(say, "title_kek", opened.keys.module_id)
    officer, names, threshold = yield from _custodians(say)
    yield from _agree(say, opened.keys)
    kek = yield from _hand_out(say, names, threshold, random_octets)
    return (yield from _finish(say, "title_kek", officer, names, replace(opened, kek=kek), now))


def issue_client(
    say: Say, opened: Opened, with_client: ModuleKeys, client: Client, *, now: datetime
) -> Dialogue[Outcome]:
    """Have two people confirm a certificate that was made already; *with_client* is the store with it."""
    about = {"name": client.name, "role": client.role.value, "pin": client.spki_sha256}
    yield from _title(say, "title_client", opened.keys.module_id, **about)
    officer, names = yield from _two_people(say)
    for name in names:
        if not (yield from yes(say, "client_confirm", person=name, **about)):
            raise Aborted("client")
    yield from _agree(say, with_client)
    changed = replace(opened, keys=with_client)
    return (yield from _finish(say, "title_client", officer, names, changed, now, **about))


def take_key_load(say: Say, opened: Opened, loaded: ModuleKeys, sender: Sender, *, now: datetime) -> Dialogue[Outcome]:
    """Have two people confirm the keys of a file that was opened already; *loaded* is the store with them."""
    yield from _title(say, "title_load", opened.keys.module_id)
    officer = yield from _name(say, say("officer"), [])
    yield Show(say("load_from", serial=sender.last_serial, name=sender.name))
    before = describe(opened.keys)
    for line in describe(loaded):
        if line not in before:
            yield Show(line)
    names: list[str] = []
    for index in (1, 2):
        names.append((yield from _name(say, say("load_person", index=index), names)))
        if not (yield from yes(say, "load_confirm", name=names[-1])):
            raise Aborted("check values")
    return (yield from _finish(say, "title_load", officer, names, replace(opened, keys=loaded), now))


def unseal(say: Say, header: Header) -> Dialogue[Kek]:
    """Ask for as many shares as are needed; each is checked when it is given, the key when it is rebuilt.

    Raises:
        Aborted: too many wrong answers.
        StoreError: the shares are right and the key is not: the header was changed.
    """
    names = ", ".join(each["name"] for each in header.origin["custodians"])
    yield Show(say("unseal", set=header.origin["set"], threshold=header.threshold, names=names))
    shares: list[Share] = []

    def read(line: str) -> Share:
        try:
            share = read_share(Secret(line))
        except ShareError as error:
            raise Refused(say("share_unreadable")) from error
        if share.set_id != header.origin["set"]:
            raise Refused(say("share_of_other_set", given=share.set_id, wanted=header.origin["set"]))
        try:
            header.custodian(share)
        except ShareError as error:
            raise Refused(say("share_unknown")) from error
        if share.index in [each.index for each in shares]:
            raise Refused(say("gave_twice"))
        return share

    while len(shares) < header.threshold:
        question = Ask(say("give_share", index=len(shares) + 1, threshold=header.threshold), is_secret=True)
        shares.append((yield from ask(question, read, say("sorry"))))
        yield Clear()
        yield Show(say("gave", name=header.custodian(shares[-1])))
    try:
        return header.kek_from_shares(shares)
    except ShareError as error:
        raise StoreError(str(error)) from error


def _title(say: Say, what: str, module: str, **about: object) -> Dialogue[None]:
    yield Clear()
    yield Show(say("title", what=say(what, module=module, **about)))
    yield Show(say("rules"))


def _name(say: Say, text: str, taken: Sequence[str]) -> Dialogue[str]:
    def read(line: str) -> str:
        if not 1 <= len(line) <= NAME_CHARACTERS_MAX or not line.isprintable() or line in taken:
            raise Refused(say("name_rule"))
        return line

    return ask(Ask(text), read, say("sorry"))


def _how_many(say: Say, text: str, low: int, high: int) -> Dialogue[int]:
    def read(line: str) -> int:
        if not low <= int(line) <= high:
            raise Refused(say("number", low=low, high=high))
        return int(line)

    return ask(Ask(say(text)), read, say("sorry"))


def _custodians(say: Say) -> Dialogue[tuple[str, list[str], int]]:
    officer = yield from _name(say, say("officer"), [])
    count = yield from _how_many(say, "how_many", THRESHOLD_MIN, CUSTODIANS_MAX)
    threshold = yield from _how_many(say, "threshold", THRESHOLD_MIN, count)
    names: list[str] = []
    for index in range(1, count + 1):
        names.append((yield from _name(say, say("custodian", index=index), names)))
    return officer, names, threshold


def _two_people(say: Say) -> Dialogue[tuple[str, list[str]]]:
    officer = yield from _name(say, say("officer"), [])
    names: list[str] = []
    for index in (1, 2):
        names.append((yield from _name(say, say("custodian", index=index), names)))
    return officer, names


def _enter_keys(
    say: Say, keys: ModuleKeys, people: Sequence[str], now: datetime, random_octets: RandomOctets
) -> Dialogue[ModuleKeys]:
    while True:
        choice = yield from _how_many(say, "menu", 0, 8)
        if choice == 0:
            return keys
        if choice == 1:
            keys = yield from enter_vending_key(say, keys, people, now, random_octets)
        elif choice == 2:
            keys = yield from enter_mac_key(say, keys, people)
        elif choice == 3:
            keys = yield from _pin_sender(say, keys, people)
        elif choice == 4:
            keys = yield from _enrol_approver(say, keys, people)
        elif choice == 5:
            keys = yield from _set_quotas(say, keys)
        elif choice == 6:
            keys = yield from _set_limits(say, keys)
        else:
            keys = yield from _set_leases(say, keys, people, is_till=choice == 8)


def _public_key(say: Say, text: str, people: Sequence[str]) -> Dialogue[str | None]:
    """Ask for an Ed25519 public key, and two people for its fingerprint; None if one of them does not confirm it."""

    def read(line: str) -> str:
        digits = line.replace(" ", "").lower()
        if len(bytes.fromhex(digits)) != 32:
            raise Refused(say("hex_rule", digits=64))
        return digits

    public_key = yield from ask(Ask(say(text)), read, say("sorry"))
    shown = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()
    for person in people[:2]:
        if not (yield from yes(say, "sender_print", fingerprint=shown, name=person)):
            return None
    return public_key


def _enrol_approver(say: Say, keys: ModuleKeys, people: Sequence[str]) -> Dialogue[ModuleKeys]:
    """Enrol somebody whose signature counts; the same name again is a key more of the same person."""
    name = yield from _name(say, say("approver_name"), [])
    public_key = yield from _public_key(say, "approver_key", people)
    if public_key is None:
        return keys
    return replace(keys, approvers={**keys.approvers, public_key: Approver(name=name, public_key=public_key)})


def _which_register(say: Say, keys: ModuleKeys) -> Dialogue[int]:
    def read_register(line: str) -> int:
        if not line.isdecimal() or int(line) not in keys.vending:
            raise Refused(say("no_register"))
        return int(line)

    return ask(Ask(say("quota_register")), read_register, say("sorry"))


def _set_leases(say: Say, keys: ModuleKeys, people: Sequence[str], *, is_till: bool) -> Dialogue[ModuleKeys]:
    """Let a vendor terminal have leases, or change them; or make this the module of a till."""
    public_key = yield from _public_key(say, "head_end_key" if is_till else "vendor_key", people)
    if public_key is None:
        return keys
    return (yield from (enter_till if is_till else enter_vendor)(say, keys, public_key))


def _set_limits(say: Say, keys: ModuleKeys) -> Dialogue[ModuleKeys]:
    """Stop a register, let it go on, or give it other limits; its key and attributes stay."""
    register_id = yield from _which_register(say, keys)
    register = keys.vending[register_id]
    is_inhibited = yield from yes(say, "inhibit")
    changes = yield from changed_limits(say, register)
    return replace(keys, vending={**keys.vending, register_id: replace(register, is_inhibited=is_inhibited, **changes)})


def _set_quotas(say: Say, keys: ModuleKeys) -> Dialogue[ModuleKeys]:
    """Say what a register gives in one local day without two approvals."""

    def read_quota(line: str) -> int | None:
        if line and not (line.isdecimal() and line.isascii() and int(line) <= QUOTA_MAX):
            raise Refused(f"0 - {QUOTA_MAX}")
        return int(line) if line else None

    register_id = yield from _which_register(say, keys)
    unapproved = yield from ask(Ask(say("quota_unapproved")), read_quota, say("sorry"))
    changes = yield from ask(Ask(say("quota_key_changes")), read_quota, say("sorry"))
    register = replace(keys.vending[register_id], unapproved_per_day_max=unapproved, key_changes_per_day_max=changes)
    return replace(keys, vending={**keys.vending, register_id: register})


def _pin_sender(say: Say, keys: ModuleKeys, people: Sequence[str]) -> Dialogue[ModuleKeys]:
    name = yield from _name(say, say("sender_name"), [])
    public_key = yield from _public_key(say, "sender_key", people)
    if public_key is None:
        return keys
    before = keys.senders.get(public_key)
    sender = Sender(name=name, public_key=public_key, last_serial=before.last_serial if before else 0)
    return replace(keys, senders={**keys.senders, public_key: sender})


def _agree(say: Say, keys: ModuleKeys) -> Dialogue[None]:
    """Show what will be sealed, and go on only when the word is typed."""
    yield Show(say("summary"))
    for line in describe(keys):
        yield Show(line)
    for what, digest in fingerprints(keys).items():
        yield Show(f"{say(f'print_{what}')}: {digest}")
    yield from _word(say, "seal")


def _word(say: Say, text: str) -> Dialogue[None]:
    word = say("seal_word")

    def read(line: str) -> None:
        if line.upper() != word:
            raise Refused("")

    yield from ask(Ask(say(text, word=word)), read, say("sorry"))


def _hand_out(say: Say, names: Sequence[str], threshold: int, random_octets: RandomOctets) -> Dialogue[Kek]:
    """Show each custodian his share, alone, and have it typed back; the key is rebuilt once from what was typed."""
    kek, shares = kek_for_custodians(names, threshold=threshold, random_octets=random_octets)
    typed = []
    for name, share in zip(names, shares, strict=True):
        yield from alone(say, name)
        typed.append((yield from _show_and_type_back(say, name, share, len(names))))
        yield Ask(say("next"), is_pause=True)
    yield Clear()
    header = Header(origin=kek.origin, kcv=kek.kcv)
    for start in range(len(typed) - threshold + 1):
        assert header.kek_from_shares(typed[start : start + threshold]).key == kek.key
    return kek


def _show_and_type_back(say: Say, name: str, share: Share, total: int) -> Dialogue[Share]:
    digits = share.groups().reveal()
    for _ in range(SHOWN_TIMES_MAX):
        yield Show(say("share", index=share.index, total=total, name=name, threshold=share.threshold))
        groups = digits.split(" ")
        yield Show("\n" + "\n".join("    " + "  ".join(groups[at : at + 4]) for at in range(0, len(groups), 4)) + "\n")
        yield Show(say("write_down"))
        yield Ask(say("written"), is_pause=True)
        yield Clear()
        typed = yield Ask(say("type_back"), is_secret=True)
        try:
            read = read_share(Secret(typed))
        except ShareError:
            read = None
        if read == share:
            yield Show(say("share_right"))
            return share
        yield Show(say("share_wrong"))
    raise Aborted("share")


def _finish(
    say: Say, what: str, officer: str, names: Sequence[str], opened: Opened, now: datetime, **about: object
) -> Dialogue[Outcome]:
    """Ask for the word a last time; what is returned is written by the caller, at once."""
    protocol = write_protocol(say, what, officer, names, opened, now, **about)
    yield Show(protocol.replace("{module}", say("module_to_come")))
    yield from _word(say, "write_now")
    return Outcome(opened=opened, protocol=protocol)


def write_protocol(
    say: Say, what: str, officer: str, names: Sequence[str], opened: Opened, now: datetime, **about: object
) -> str:
    """Return the record that is printed and signed: who, when, which module, check values and hashes. Nothing in it is secret.

    *about* fills the text *what*, beside the module's id.
    """
    keys, origin = opened.keys, opened.kek.origin
    if origin["source"] == FROM_SHARES:
        custodians = origin["custodians"]
        custody = say("of", threshold=origin["threshold"], total=len(custodians), set=origin["set"])
        held = [f"  {each['index']}  {each['name']}  {each['digest']}" for each in custodians]
    elif origin["source"] == FROM_TOKEN:
        custody, held = say("in_token", token=origin["token"]), []
    else:
        custody, held = say("unattended"), []
    width = 32
    lines = [
        say("protocol"),
        "",
        f"{say('when'):{width}}{now:%Y-%m-%d %H:%M:%S}",
        f"{say('module'):{width}}{keys.module_id}",
        f"{say('what'):{width}}{say(what, module=keys.module_id, **about)}",
        f"{say('led_by'):{width}}{officer}",
        f"{say('people'):{width}}{', '.join(names) or '-'}",
        f"{say('custody'):{width}}{custody}",
        *held,
        f"{say('kek_kcv'):{width}}{opened.kek.kcv.upper()}",
        "",
        *describe(keys),
        "",
        say("legend"),
        "",
        *(f"{say(f'print_{what}')}\n  {digest}\n" for what, digest in fingerprints(keys).items()),
        say("signatures"),
        "",
        *(f"  {name:<40}______________________________\n" for name in (officer, *names)),
    ]
    return "\n".join(lines)
