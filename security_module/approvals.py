"""Two people's signatures behind one request: made from a person's key file, and judged by the module itself.

Whoever holds the switch's machine, or an engineer's certificate, can ask; only the keys of two enrolled people make what goes beyond the
register's quota. What is signed is `vending.engineering.approval_octets`.
"""

from collections.abc import Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from messages.security_module import MintRequest
from security_module.registers import Approver
from vending.engineering import APPROVALS_NEEDED, Approval, EngineeringRequest, KeyChangeRequest, approval_octets
from vending.secret import Secret

APPROVAL_SECONDS_MAX = 7 * 24 * 3600
"""A signature that was valid for longer would lie in a drawer until somebody finds it."""
PASSPHRASE_CHARACTERS_MIN = 12

Approvable = MintRequest | EngineeringRequest | KeyChangeRequest


class PersonKeyError(Exception):
    """A key file cannot be used; the text says why and shows nothing of it."""


def approved_by(request: Approvable, approvers: Mapping[str, Approver], now: datetime) -> tuple[str, ...]:
    """Return the names of the people who approve *request* at *now*, sorted; none if its approvals do not count.

    All of them must be good: a wrong one beside two right ones is a sign of something that nobody should smooth over.

    Args:
        request: with its approvals.
        approvers: the enrolled people by public key, in hexadecimal.
        now: the module's clock.
    """
    names: set[str] = set()
    seconds = now.timestamp()
    for approval in request.approvals:
        person = approvers.get(approval.public_key.hex())
        if person is None or not seconds < approval.expires_unix_seconds <= seconds + APPROVAL_SECONDS_MAX:
            return ()
        signed = approval_octets(request, approval.expires_unix_seconds)
        try:
            Ed25519PublicKey.from_public_bytes(approval.public_key).verify(approval.signature, signed)
        except InvalidSignature:
            return ()
        names.add(person.name)
    # By name and not by key: somebody with two keys is one person.
    return tuple(sorted(names)) if len(names) >= APPROVALS_NEEDED else ()


def sign_approval(request: Approvable, key: Ed25519PrivateKey, expires_unix_seconds: int) -> Approval:
    """Return one person's word for *request*."""
    return Approval(
        public_key=key.public_key().public_bytes_raw(),
        expires_unix_seconds=expires_unix_seconds,
        signature=key.sign(approval_octets(request, expires_unix_seconds)),
    )


def make_person_key(passphrase: Secret[str]) -> tuple[bytes, str]:
    """Make a person's key.

    Returns:
        The private key as PEM (PKCS#8, encrypted under *passphrase*), and the public key in hexadecimal, for the enrolment.

    Raises:
        PersonKeyError: the passphrase is too short.
    """
    if len(passphrase.reveal()) < PASSPHRASE_CHARACTERS_MIN:
        raise PersonKeyError(f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters")
    key = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.reveal().encode("utf-8"))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return pem, key.public_key().public_bytes_raw().hex()


def read_person_key(pem: bytes, passphrase: Secret[str]) -> Ed25519PrivateKey:
    """Open a person's key file.

    Raises:
        PersonKeyError: no such key, not encrypted, or another passphrase.
    """
    try:
        key = load_pem_private_key(pem, passphrase.reveal().encode("utf-8"))
    except TypeError:
        raise PersonKeyError("this key file is not under a passphrase") from None
    except ValueError:
        raise PersonKeyError("this is no key file, or the passphrase is wrong") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PersonKeyError("this is no Ed25519 key")
    return key
