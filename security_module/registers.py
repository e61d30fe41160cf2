"""Key registers: a key together with everything that it may be used for. The attributes belong to the key, never to a request."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from Crypto.Cipher import AES, DES

from messages.security_module import CheckValue, MacScheme
from security_module.roles import Role
from security_module.vendors import VENDORS_MAX, Till, VendorTerminal
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.decoder_key import DKGA02_VENDING_KEY_OCTETS, DKGA04_VENDING_KEY_OCTETS
from vending.engineering import EngineeringKind
from vending.secret import Secret

REGISTERS_MAX = 1024
"""Registers of one module: their counters and check values must fit one reply frame; a utility has a handful."""
REGISTER_ID_MAX = 0xFFFF
SELECTION_SECRET_OCTETS = 32
MAC_KEY_OCTETS = 16
MANAGEMENT_SUBCLASSES = frozenset(kind.subclass for kind in EngineeringKind if not kind.is_test)
"""Every class 2 function that engineers may ask for."""
_CHECK_VALUE_OCTETS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VendingRegister:
    """A vending key and its rules.

    Attributes:
        register_id: 0 to 65 535.
        supply_group_code: SGC.
        key_revision_number: KRN, 1 to 9.
        key_expiry_number: KEN, compared with the high octet of a token identifier; 255 never expires.
        base_date: what token identifiers count from.
        key_type: KT; only UNIQUE registers sell credit.
        key_algorithm: DKGA02 or DKGA04.
        encryption_algorithms: which meters it may serve.
        subclasses: which services it may sell (STS credit sub-classes).
        active_from: aware; before it nothing is minted.
        expires_at: aware; from it on nothing is minted; None: never.
        tid_window_minutes: how far a token identifier may be behind the module's clock, and how far ahead; None: unlimited.
        units_per_token_max_tenths: largest single token.
        units_limit_tenths: most units that the register may mint in all its life; None: unlimited.
        units_per_day_limit_tenths: likewise in one local day of the module's clock.
        issued_until: aware; from it on the register issues no new credit, but tokens are still verified; None: no such end.
        money_limit_centavos: most money that the register may mint for in all its life; None: unlimited.
        money_per_day_limit_centavos: likewise in one local day.
        floor_centavos_per_unit: what a unit counts at least in the money limits, whatever the request says was charged.
        replaces: registers whose meters may be moved to this one by a key change.
        management: the class 2 functions that it may give (STS sub-classes).
        unapproved_per_day_max: tokens of engineers, and credit that nobody paid for, that it gives in one local day without the
            approvals of two people; None: unlimited.
        key_changes_per_day_max: key changes to it likewise.
        is_inhibited: an operator stopped it.
        is_test: its keys may leave the module for virtual meters and terminals.
        key: the vending key, 8 octets (DKGA02) or 20 (DKGA04).
        selection_secret: 32 octets that make the RND nibble of a token a function of its request.
    """

    register_id: int
    supply_group_code: int
    key_revision_number: int
    key_expiry_number: int
    base_date: BaseDate
    key_type: KeyType
    key_algorithm: KeyAlgorithm
    encryption_algorithms: frozenset[EncryptionAlgorithm]
    subclasses: frozenset[int]
    active_from: datetime
    expires_at: datetime | None
    tid_window_minutes: int | None
    units_per_token_max_tenths: int
    units_limit_tenths: int | None
    is_inhibited: bool
    is_test: bool
    key: Secret[bytes]
    selection_secret: Secret[bytes]
    issued_until: datetime | None = None
    units_per_day_limit_tenths: int | None = None
    money_limit_centavos: int | None = None
    money_per_day_limit_centavos: int | None = None
    floor_centavos_per_unit: int = 0
    replaces: frozenset[int] = frozenset()
    management: frozenset[int] = MANAGEMENT_SUBCLASSES
    unapproved_per_day_max: int | None = None
    key_changes_per_day_max: int | None = None

    def __post_init__(self) -> None:
        octets = len(self.key.reveal())
        is_des = self.key_algorithm is KeyAlgorithm.DKGA02
        if octets != (DKGA02_VENDING_KEY_OCTETS if is_des else DKGA04_VENDING_KEY_OCTETS):
            raise ValueError(f"register {self.register_id}: a vending key of {octets} octets")
        if is_des and not has_odd_parity(self.key.reveal()):
            raise ValueError(f"register {self.register_id}: a DES key without odd parity")
        if len(self.selection_secret.reveal()) != SELECTION_SECRET_OCTETS:
            raise ValueError(f"register {self.register_id}: selection secret")
        if not 0 <= self.register_id <= REGISTER_ID_MAX:
            raise ValueError(f"register {self.register_id} is not 16 bits")

    def rules(self) -> dict[str, Any]:
        """Return everything but the secrets, as it can be written down: to see from one start to the next what was changed."""
        return {
            "kcv": self.kcv,
            "supply_group_code": self.supply_group_code,
            "key_revision_number": self.key_revision_number,
            "key_expiry_number": self.key_expiry_number,
            "base_date": int(self.base_date),
            "key_type": int(self.key_type),
            "key_algorithm": int(self.key_algorithm),
            "encryption_algorithms": sorted(int(each) for each in self.encryption_algorithms),
            "subclasses": sorted(self.subclasses),
            "active_from": self.active_from.isoformat(),
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "issued_until": self.issued_until.isoformat() if self.issued_until else None,
            "tid_window_minutes": self.tid_window_minutes,
            "units_per_token_max_tenths": self.units_per_token_max_tenths,
            "units_limit_tenths": self.units_limit_tenths,
            "units_per_day_limit_tenths": self.units_per_day_limit_tenths,
            "money_limit_centavos": self.money_limit_centavos,
            "money_per_day_limit_centavos": self.money_per_day_limit_centavos,
            "floor_centavos_per_unit": self.floor_centavos_per_unit,
            "replaces": sorted(self.replaces),
            "management": sorted(self.management),
            "unapproved_per_day_max": self.unapproved_per_day_max,
            "key_changes_per_day_max": self.key_changes_per_day_max,
            "is_inhibited": self.is_inhibited,
            "is_test": self.is_test,
        }

    @property
    def kcv(self) -> str:
        """Key check value, 6 hexadecimal digits: DES of zeros (DKGA02), HMAC-SHA256 of one zero octet (DKGA04)."""
        return vending_check_value(self.key_algorithm, self.key.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class MacRegister:
    """A MAC key and its rules.

    Attributes:
        register_id: 0 to 65 535, apart from those of the vending registers.
        scheme: one of `MacScheme`.
        is_diversified: each terminal has a key of its own, derived from this one.
        is_test: a terminal's key may be exported.
        key: 16 octets.
        is_zone: it makes no MAC itself; session keys are wrapped under it and derived from it.
        is_dukpt: it is a base derivation key: each message of a device has a key of its own, derived by DUKPT.
    """

    register_id: int
    scheme: str
    is_diversified: bool
    is_test: bool
    key: Secret[bytes]
    is_zone: bool = False
    is_dukpt: bool = False

    def __post_init__(self) -> None:
        if len(self.key.reveal()) != MAC_KEY_OCTETS:
            raise ValueError(f"register {self.register_id}: a MAC key has {MAC_KEY_OCTETS} octets")
        if self.scheme not in (MacScheme.X9_9, MacScheme.X9_19, MacScheme.AES_CMAC):
            raise ValueError(f"register {self.register_id}: unknown scheme {self.scheme}")
        if self.is_zone and self.scheme == MacScheme.X9_9:
            raise ValueError(f"register {self.register_id}: no zone key is of single DES")
        if self.is_zone and self.is_diversified:
            raise ValueError(f"register {self.register_id}: a zone key is not of single terminals")
        if self.is_dukpt and (self.is_zone or self.is_diversified):
            raise ValueError(f"register {self.register_id}: a base derivation key is nothing else")
        if not 0 <= self.register_id <= REGISTER_ID_MAX:
            raise ValueError(f"register {self.register_id} is not 16 bits")

    @property
    def kcv(self) -> str:
        """Key check value, 6 hexadecimal digits: the cipher over zeros (two-key TDES as E-D-E of single DES)."""
        return mac_check_value(self.scheme, self.key.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A certificate that may connect, with the one role that it has.

    Attributes:
        name: of the client, as in its certificate.
        role: likewise.
        spki_sha256: its pin, SHA-256 of its public key (SubjectPublicKeyInfo) in hexadecimal.
        expires_at: aware; None: as the module's own certificate.
        authority_pem: the authority that signed it; empty: the one of the ceremony.
    """

    name: str
    role: Role
    spki_sha256: str
    expires_at: datetime | None = None
    authority_pem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who may send key load files: pinned by people, never learned from a file.

    Attributes:
        name: as the people call him.
        public_key: Ed25519, 32 octets in hexadecimal.
        last_serial: of the last file that was taken; an old file is not taken again.
    """

    name: str
    public_key: str
    last_serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Whose signature counts as one of the two that a request beyond a quota needs.

    Attributes:
        name: as the people call him; somebody with two keys is one person.
        public_key: Ed25519, 32 octets in hexadecimal.
    """

    name: str
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleKeys:
    """Everything that the sealed store holds.

    Attributes:
        module_id: who this module is.
        vending: registers with vending keys, by id.
        mac: registers with MAC keys, by id.
        clients: who may connect, by pin.
        key_load_key: X25519 private key, 32 octets, that key load files are encrypted to; None in stores of version 1.
        senders: who may send key load files, by public key.
        audit_key: Ed25519 private key, 32 octets, that signs the audit chain; None in stores of version 1.
        approvers: whose signatures count, by public key.
        vendors: the vendor terminals that may have leases of this module, by terminal id.
        till: whose till this is the module of; None: of none, it mints without a lease.
    """

    module_id: str
    vending: Mapping[int, VendingRegister]
    mac: Mapping[int, MacRegister]
    clients: Mapping[str, Client]
    key_load_key: Secret[bytes] | None = None
    senders: Mapping[str, Sender] = field(default_factory=dict)
    audit_key: Secret[bytes] | None = None
    approvers: Mapping[str, Approver] = field(default_factory=dict)
    vendors: Mapping[str, VendorTerminal] = field(default_factory=dict)
    till: Till | None = None

    def __post_init__(self) -> None:
        if len(self.vendors) > VENDORS_MAX:
            raise ValueError(f"more than {VENDORS_MAX} vendor terminals")
        if self.till is not None and self.vendors:
            raise ValueError("a till's module gives no leases")
        if self.vending.keys() & self.mac.keys():
            raise ValueError("a register is either a vending or a MAC register")
        if len(self.vending) + len(self.mac) > REGISTERS_MAX:
            raise ValueError(f"more than {REGISTERS_MAX} registers")

    def check_values(self) -> tuple[CheckValue, ...]:
        """Return the check value of every key, in ascending order of the register."""
        kcvs = {register_id: register.kcv for register_id, register in self.vending.items()}
        kcvs.update({register_id: register.kcv for register_id, register in self.mac.items()})
        return tuple(CheckValue(register_id=register_id, kcv=kcv) for register_id, kcv in sorted(kcvs.items()))


FIRST_CLIENTS = tuple((role.value, role) for role in Role)
"""Name and role of the clients of a new module: one for each role."""


def client_pairs(keys: ModuleKeys) -> tuple[tuple[str, Role], ...]:
    """Return name and role of each client, once, in order; before there are certificates, of those that a new module gets."""
    pairs = {(each.name, each.role) for each in keys.clients.values()} or set(FIRST_CLIENTS)
    return tuple(sorted(pairs, key=lambda pair: (pair[0], pair[1].value)))


def mac_key_octets(scheme: str, *, is_diversified: bool) -> int:
    """Return how many octets its custodians enter of a MAC key: 8 of a single DES key, which the register holds twice."""
    return MAC_KEY_OCTETS // 2 if scheme == MacScheme.X9_9 and not is_diversified else MAC_KEY_OCTETS


def has_odd_parity(key: bytes) -> bool:
    """Whether every octet of a DES key has an odd number of ones."""
    return all(octet.bit_count() & 1 for octet in key)


def with_odd_parity(key: bytes) -> bytes:
    """Set the lowest bit of each octet so that its number of ones is odd, as DES keys are written."""
    return bytes(octet if octet.bit_count() & 1 else octet ^ 1 for octet in key)


def vending_check_value(algorithm: KeyAlgorithm, key: bytes) -> str:
    """Return the check value of a vending key or of a component of one, 6 hexadecimal digits."""
    if algorithm is KeyAlgorithm.DKGA02:
        return DES.new(key, DES.MODE_ECB).encrypt(bytes(8))[:_CHECK_VALUE_OCTETS].hex()  # noqa: S304
    return hmac.digest(key, b"\x00", "sha256")[:_CHECK_VALUE_OCTETS].hex()


def mac_check_value(scheme: str, key: bytes) -> str:
    """Return the check value of a MAC key or of a component of one, 6 hexadecimal digits; of 8 octets it is that of single DES."""
    if scheme == MacScheme.AES_CMAC:
        return AES.new(key, AES.MODE_ECB).encrypt(bytes(16))[:_CHECK_VALUE_OCTETS].hex()
    left, right = DES.new(key[:8], DES.MODE_ECB), DES.new(key[-8:], DES.MODE_ECB)  # noqa: S304
    return left.encrypt(right.decrypt(left.encrypt(bytes(8))))[:_CHECK_VALUE_OCTETS].hex()
