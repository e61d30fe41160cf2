"""Who may connect: a certificate more after the ceremony, and the list of those that are worth nothing any more.

The authority that signed a module's first certificates has no private key any more. So each later certificate is signed by an authority
made for it alone, whose key is thrown away likewise and whose own certificate stands with the pin in the sealed store.

A revocation must work at once, by one person, while the store is shut. So it is a file beside the store that holds no secret; the module
that runs reads it, and from then on its mint log keeps it, under the audit chain: deleting the file brings nobody back.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from config.state_files import replace_durably
from security_module.certificates import Authority, Identity, spki_sha256
from security_module.layout import Layout
from security_module.mint_store import open_readonly, read_revoked
from security_module.registers import Client, ModuleKeys
from security_module.roles import Role
from security_module.sealed_store import RandomOctets, StoreError

CLIENTS_MAX = 256
"""Certificates that one module knows, used or not: as many as it has links."""
REVOCATIONS_OCTETS_MAX = 1 << 20
"""Each takes some 300 octets."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
"""A client's name is also that of a file."""
REASON_CHARACTERS_MAX = 200
_PIN = re.compile(r"[0-9a-f]{64}\Z")


class CannotIssue(Exception):
    """No certificate can be made as asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One certificate that is worth nothing any more, and who said so.

    Attributes:
        spki_sha256: its pin.
        name: of the client.
        role: of the client, as written in its certificate.
        by: who asked for it.
        reason: why, in a person's words.
        asked_at: ISO 8601.
    """

    spki_sha256: str
    name: str
    role: str
    by: str
    reason: str
    asked_at: str

    def __post_init__(self) -> None:
        if not all(isinstance(each, str) for each in asdict(self).values()) or not _PIN.match(self.spki_sha256):
            raise ValueError("revocation")


def issue(
    keys: ModuleKeys, name: str, role: Role, *, now: datetime, days: int, random_octets: RandomOctets
) -> tuple[ModuleKeys, Client, Identity]:
    """Make a certificate with a key of its own for one client in one role.

    Args:
        keys: as they are; other certificates stay, those of the same name too.
        name: of the client.
        role: the only one that this certificate has.
        now: aware; valid from here.
        days: how long it is valid.
        random_octets: a cryptographic source.

    Returns:
        The keys with the client, the client, and its certificate with the private key, which is in neither.

    Raises:
        CannotIssue: the name cannot be one, or is that of a client in another role, or there are too many already.
    """
    if not NAME.match(name):
        raise CannotIssue("a client's name has 1 to 40 letters, digits, points, hyphens and underscores")
    if any(each.name == name and each.role is not role for each in keys.clients.values()):
        raise CannotIssue(f"{name} is the name of a client in another role")
    if len(keys.clients) >= CLIENTS_MAX:
        raise CannotIssue(f"there are {CLIENTS_MAX} certificates already; revoke what is not used")
    # A name of its own for each authority: a certificate's issuer is looked up by its name.
    authority = Authority(f"{keys.module_id} client authority {random_octets(8).hex()}", now, days)
    identity = authority.client(name, role.value)
    client = Client(
        name=name,
        role=role,
        spki_sha256=spki_sha256(x509.load_pem_x509_certificate(identity.certificate_pem)),
        expires_at=now + timedelta(days=days),
        authority_pem=authority.certificate_pem.decode("ascii"),
    )
    return replace(keys, clients={**keys.clients, client.spki_sha256: client}), client, identity


def without(keys: ModuleKeys, revoked: Iterable[str]) -> ModuleKeys:
    """Return *keys* without the clients whose pins are in *revoked*."""
    gone = frozenset(revoked)
    if not gone & keys.clients.keys():
        return keys
    return replace(keys, clients={pin: client for pin, client in keys.clients.items() if pin not in gone})


def to_document(keys: ModuleKeys) -> list[dict[str, str]]:
    """Return who may connect, as it stands in the audit, in ascending order."""
    clients = [
        {"name": each.name, "role": each.role.value, "spki_sha256": each.spki_sha256} for each in keys.clients.values()
    ]
    return sorted(clients, key=lambda each: (each["name"], each["role"], each["spki_sha256"]))


def read_revocations(path: Path) -> list[Revocation]:
    """Read the file of revocations; no file is none.

    Raises:
        StoreError: it cannot be read. Whoever goes on without it may let in whom somebody wanted out.
    """
    try:
        with path.open("rb") as file:
            content = file.read(REVOCATIONS_OCTETS_MAX + 1)
    except FileNotFoundError:
        return []
    try:
        if len(content) > REVOCATIONS_OCTETS_MAX:
            raise ValueError("octets")
        return [Revocation(**each) for each in json.loads(content)]
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged; write it anew with `clients revoke`, or mend it") from error


def add_revocation(path: Path, revocation: Revocation) -> None:
    """Add *revocation* to the file, durably; once for each pin. A ceremony that is under way does not hold it up."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # Two people who revoke at once: neither may lose what the other wrote.
        before = read_revocations(path)
        if revocation.spki_sha256 not in [each.spki_sha256 for each in before]:
            after = [asdict(each) for each in (*before, revocation)]
            replace_durably(path, json.dumps(after, indent=1).encode("utf-8"))
    finally:
        os.close(directory)


def revoked_pins(layout: Layout) -> frozenset[str]:
    """Return the pins that are worth nothing any more, by the file and by the mint log; `StoreError`, `MintLogError`."""
    pins = {each.spki_sha256 for each in read_revocations(layout.revocations)}
    if layout.mint_log.exists():
        with closing(open_readonly(layout.mint_log)) as database:
            pins |= read_revoked(database)
    return frozenset(pins)


def find(clients: Sequence[Mapping[str, Any]], wanted: str) -> list[Mapping[str, Any]]:
    """Return the clients that *wanted* may mean: a name, at least 8 first digits of a pin, or a whole pin that is not in *clients* yet."""
    by_name = [each for each in clients if each["name"] == wanted]
    if by_name:
        return by_name
    digits = wanted.lower()
    by_pin = [each for each in clients if len(digits) >= 8 and each["spki_sha256"].startswith(digits)]
    if not by_pin and _PIN.match(digits):
        return [{"name": "", "role": "", "spki_sha256": digits}]
    return by_pin
