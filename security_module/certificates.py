"""The module's own certification authorities: one at its ceremony, and one for each client certificate that comes later."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vending.secret import Secret

VALIDITY_DAYS = 3650
"""As long as the register keys of a pilot; a production site brings certificates of its own."""
SERVER_NAME = "security-module"
"""What clients expect in the certificate, whatever the address they dial."""
_CLOCK_SKEW = timedelta(minutes=5)
_ORGANISATION = "eudora security module"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A private key and its certificate, as PEM."""

    certificate_pem: bytes
    key_pem: Secret[bytes]


class Authority:
    """Signs certificates. Its private key is never written anywhere: it signs nothing that is not made beside it."""

    def __init__(self, name: str, now: datetime, days: int = VALIDITY_DAYS) -> None:
        """Make the key and the self-signed certificate of the authority *name*; all it signs is valid *days* from *now* (aware)."""
        self._now = now
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name, "authority")
        self._certificate = (
            _builder(subject, subject, self._key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        """What peers trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, name: str) -> Identity:
        """Sign a server certificate for `SERVER_NAME`, ``localhost`` and the loopback addresses."""
        names: list[x509.GeneralName] = [
            x509.DNSName(SERVER_NAME),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        return self._sign(_name(name, "server"), ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names))

    def client(self, name: str, role: str) -> Identity:
        """Sign a client certificate whose organisational unit is *role*."""
        return self._sign(_name(name, role), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _sign(
        self, subject: x509.Name, usage: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), self._now, self._days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Identity(certificate_pem=certificate.public_bytes(serialization.Encoding.PEM), key_pem=Secret(key_pem))


def spki_sha256(certificate: x509.Certificate) -> str:
    """Return the pin of a certificate: SHA-256 over its SubjectPublicKeyInfo, in hexadecimal."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return digest.finalize().hex()


def _name(common_name: str, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
