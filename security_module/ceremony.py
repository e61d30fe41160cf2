"""Making a module: its keys, its registers, its certificates. Nothing that exists is ever overwritten."""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from messages.security_module import MacScheme
from security_module.audit_chain import AUDIT_KEY_OCTETS
from security_module.certificates import Authority, spki_sha256
from security_module.key_store import seal, unseal, write_private
from security_module.layout import Layout
from security_module.registers import (
    FIRST_CLIENTS,
    MAC_KEY_OCTETS,
    SELECTION_SECRET_OCTETS,
    Client,
    MacRegister,
    ModuleKeys,
    VendingRegister,
    client_pairs,
    with_odd_parity,
)
from security_module.roles import Role
from security_module.sealed_store import Kek, RandomOctets, kek_from_passphrase
from sts.amount import EXACT_UNITS_MAX
from sts.codes import KEY_NEVER_EXPIRES, BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.decoder_key import DKGA02_VENDING_KEY_OCTETS, DKGA04_VENDING_KEY_OCTETS
from vending.secret import Secret

TEST_SUPPLY_GROUP = 201457
"""The supply group of the published test vectors."""
TID_WINDOW_MINUTES = 7 * 24 * 60
"""A sale that was reserved a week ago may still be minted; the field's modules use the same window."""
KEY_LOAD_KEY_OCTETS = 32
"""An X25519 private key is any 32 octets."""
_PASSPHRASE_OCTETS = 32


class AlreadyInitialised(Exception):
    """The directory holds a module, or part of one; it is left as it is."""


def init(
    directory: Path,
    *,
    seed_test_keys: bool,
    now: datetime,
    random_octets: RandomOctets = secrets.token_bytes,
) -> ModuleKeys:
    """Make a module in *directory*: passphrase, sealed keys, authority, server and client certificates (mode 0600).

    Args:
        directory: made if missing, mode 0700.
        seed_test_keys: make random keys in the test registers 1 to 5 (vending) and 10 to 17 (MAC; 14 and 15 zone keys, 16 and 17 base derivation keys); else no register at all.
        now: aware; the keys are active and the certificates valid from here.
        random_octets: a cryptographic source.

    Returns:
        What was sealed.

    Raises:
        AlreadyInitialised: there is something already.
    """
    layout = Layout(directory)
    if layout.store.exists() or layout.passphrase.exists() or layout.tls.exists() or layout.mint_log.exists():
        raise AlreadyInitialised(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    module_id, clients = _make_identity(layout, now, random_octets, FIRST_CLIENTS)
    vending = _test_vending_registers(now, random_octets) if seed_test_keys else ()
    mac = _test_mac_registers(random_octets) if seed_test_keys else ()
    keys = ModuleKeys(
        module_id=module_id,
        vending={register.register_id: register for register in vending},
        mac={register.register_id: register for register in mac},
        clients=clients,
        key_load_key=Secret(random_octets(KEY_LOAD_KEY_OCTETS)),
        audit_key=Secret(random_octets(AUDIT_KEY_OCTETS)),
    )
    passphrase = Secret(random_octets(_PASSPHRASE_OCTETS).hex().encode("ascii"))
    write_private(layout.passphrase, passphrase.reveal() + b"\n")
    write_private(layout.store, seal(keys, kek_from_passphrase(passphrase, random_octets), random_octets))
    return keys


def establish(
    directory: Path,
    content: ModuleKeys,
    kek: Kek,
    *,
    now: datetime,
    protocol: str | None = None,
    random_octets: RandomOctets = secrets.token_bytes,
) -> ModuleKeys:
    """Make a module with given registers in *directory*: all of it is there when this returns, or nothing is.

    Module id, certificates, the key for key load files and the audit key are new in every module. Of the clients in *content* each name and
    role gets one certificate of the new module; where there are none, each role gets one.

    Args:
        directory: must not exist, or be empty.
        content: registers, senders, approvers, and names and roles of the clients.
        kek: what the store is sealed under.
        now: aware; the certificates are valid from here.
        protocol: printed record of the ceremony, kept beside the store; ``{module}`` in it becomes the module's id.
        random_octets: a cryptographic source.

    Returns:
        What was sealed.

    Raises:
        AlreadyInitialised: there is something already.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise AlreadyInitialised(directory)
    draft = directory.with_name(directory.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)  # Left by a power cut; it was never a module.
    draft.mkdir(mode=0o700, parents=True)
    try:
        layout = Layout(draft)
        module_id, clients = _make_identity(layout, now, random_octets, client_pairs(content))
        load_key = Secret(random_octets(KEY_LOAD_KEY_OCTETS))
        audit_key = Secret(random_octets(AUDIT_KEY_OCTETS))
        keys = replace(content, module_id=module_id, clients=clients, key_load_key=load_key, audit_key=audit_key)
        sealed = seal(keys, kek, random_octets)
        assert unseal(sealed, kek) == keys
        write_private(layout.store, sealed)
        if protocol is not None:
            write_private(layout.protocol(now), protocol.replace("{module}", module_id).encode("utf-8"))
        draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return keys


def _make_identity(
    layout: Layout, now: datetime, random_octets: RandomOctets, pairs: Sequence[tuple[str, Role]]
) -> tuple[str, Mapping[str, Client]]:
    """Make what no two modules share: an id, and an authority with its certificates."""
    module_id = f"eudora-{random_octets(4).hex()}"
    clients = _write_certificates(layout, module_id, now, pairs)
    return module_id, {client.spki_sha256: client for client in clients}


def _write_certificates(
    layout: Layout, module_id: str, now: datetime, pairs: Sequence[tuple[str, Role]]
) -> list[Client]:
    layout.tls.mkdir(mode=0o700)
    layout.client("any").parent.mkdir(mode=0o700)
    authority = Authority(f"{module_id} authority", now)
    write_private(layout.authority, authority.certificate_pem)
    server = authority.server(module_id)
    write_private(layout.server, server.key_pem.reveal() + server.certificate_pem)
    clients = []
    for name, role in pairs:
        identity = authority.client(name, role.value)
        write_private(layout.client(name), identity.key_pem.reveal() + identity.certificate_pem)
        pin = spki_sha256(x509.load_pem_x509_certificate(identity.certificate_pem))
        clients.append(Client(name=name, role=role, spki_sha256=pin))
    return clients


def _test_vending_registers(now: datetime, random_octets: RandomOctets) -> tuple[VendingRegister, ...]:
    both = frozenset({EncryptionAlgorithm.STA, EncryptionAlgorithm.MISTY1})
    sta = frozenset({EncryptionAlgorithm.STA})

    def register(
        register_id: int,
        algorithm: KeyAlgorithm,
        ciphers: frozenset[EncryptionAlgorithm],
        base_date: BaseDate,
        *,
        revision: int = 1,
        replaces: frozenset[int] = frozenset(),
    ) -> VendingRegister:
        is_des = algorithm is KeyAlgorithm.DKGA02
        key = random_octets(DKGA02_VENDING_KEY_OCTETS if is_des else DKGA04_VENDING_KEY_OCTETS)
        return VendingRegister(
            register_id=register_id,
            supply_group_code=TEST_SUPPLY_GROUP,
            key_revision_number=revision,
            key_expiry_number=KEY_NEVER_EXPIRES,
            base_date=base_date,
            key_type=KeyType.UNIQUE,
            key_algorithm=algorithm,
            encryption_algorithms=ciphers,
            subclasses=frozenset({0, 1, 2}),
            active_from=now,
            expires_at=None,
            tid_window_minutes=TID_WINDOW_MINUTES,
            units_per_token_max_tenths=EXACT_UNITS_MAX,
            units_limit_tenths=None,
            is_inhibited=False,
            is_test=True,
            key=Secret(with_odd_parity(key) if is_des else key),
            selection_secret=Secret(random_octets(SELECTION_SECRET_OCTETS)),
            replaces=replaces,
        )

    return (
        register(1, KeyAlgorithm.DKGA04, both, BaseDate.Y2014),
        register(2, KeyAlgorithm.DKGA04, sta, BaseDate.Y2014),
        # Identifiers of base date 1993 ran out on 2024-11-24: this one can verify tokens and give keys, and mints no more.
        register(3, KeyAlgorithm.DKGA02, sta, BaseDate.Y1993),
        register(4, KeyAlgorithm.DKGA02, sta, BaseDate.Y2014),
        # What meters of the first two move to when their key is changed.
        register(5, KeyAlgorithm.DKGA04, both, BaseDate.Y2014, revision=2, replaces=frozenset({1, 2})),
    )


def _test_mac_registers(random_octets: RandomOctets) -> tuple[MacRegister, ...]:
    def register(
        register_id: int, scheme: str, *, is_diversified: bool = False, is_zone: bool = False, is_dukpt: bool = False
    ) -> MacRegister:
        key = random_octets(MAC_KEY_OCTETS)
        return MacRegister(
            register_id=register_id,
            scheme=scheme,
            is_diversified=is_diversified,
            is_test=True,
            key=Secret(key if scheme == MacScheme.AES_CMAC else with_odd_parity(key)),
            is_zone=is_zone,
            is_dukpt=is_dukpt,
        )

    return (
        register(10, MacScheme.X9_19, is_diversified=True),
        register(11, MacScheme.AES_CMAC, is_diversified=True),
        register(12, MacScheme.X9_19),
        register(13, MacScheme.AES_CMAC),
        register(14, MacScheme.X9_19, is_zone=True),
        register(15, MacScheme.AES_CMAC, is_zone=True),
        register(16, MacScheme.X9_19, is_dukpt=True),
        register(17, MacScheme.AES_CMAC, is_dukpt=True),
        register(19, MacScheme.X9_9, is_diversified=True),
    )
