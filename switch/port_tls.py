"""TLS of one network's port: our certificate, whose certificates we take, and which names in them."""

from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate as TwistedCertificate
from twisted.internet.ssl import CertificateOptions, TLSVersion, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from config.acquirer_tls import TlsSection

_CERTIFICATE_END = b"-----END CERTIFICATE-----"


def tls_context(section: TlsSection) -> SSL.Context:
    """Read the files of *section* and make what handshakes are done with: TLS 1.2 or later.

    Raises:
        OSError: a file cannot be read.
        ValueError: it does not hold what it should, or key and certificate are not of one another.
    """
    certificate, *chain = load_pem_x509_certificates(section.certificate_file.read_bytes())
    # Given as objects of the cryptography package, as in `hsm_client.tls`.
    identity: dict[str, Any] = {
        "certificate": certificate,
        "extraCertChain": chain,
        "privateKey": load_pem_private_key(section.key_file.read_bytes(), None),
    }
    if section.client_ca_file is not None:
        text = section.client_ca_file.read_bytes()
        load_pem_x509_certificates(text)  # says so if there is none
        parts = [part + _CERTIFICATE_END for part in text.split(_CERTIFICATE_END) if b"BEGIN CERTIFICATE" in part]
        identity["trustRoot"] = trustRootFromCertificates([TwistedCertificate.loadPEM(part) for part in parts])
    options = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2, **identity)
    try:
        context: SSL.Context = options.getContext()
    except SSL.Error as error:
        raise ValueError("the private key does not belong to the certificate") from error
    if section.client_names:
        names = frozenset(section.client_names)

        def is_accepted(_connection: SSL.Connection, shown: X509, _error: int, depth: int, is_trusted: int) -> bool:
            return bool(is_trusted) and (depth > 0 or not names.isdisjoint(names_of(shown.to_cryptography())))

        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, is_accepted)
    return context


def names_of(certificate: Certificate) -> Iterable[str]:
    """Return the common names and DNS names that a certificate carries."""
    names = {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        alternative = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return names
    return names | set(alternative.get_values_for_type(DNSName))


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class PortTls:
    """Begins handshakes with the context of now, so that a renewed certificate needs no new port.

    Attributes:
        context: of the handshakes that begin from now on.
    """

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, _: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802 - the name is Twisted's
        """Begin one."""
        return SSL.Connection(self.context, None)

    def clientConnectionForTLS(self, _: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802 - the name is Twisted's
        """Begin one to a network's host: the same certificate of ours, and the same rules for the one that it shows."""
        connection = SSL.Connection(self.context, None)
        connection.set_connect_state()
        return connection
