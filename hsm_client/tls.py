"""Mutual TLS towards a security module: whom we trust, and who we are."""

from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, TLSVersion, optionsForClientTLS, trustRootFromCertificates

_CERTIFICATE_END = b"-----END CERTIFICATE-----"
_CERTIFICATE_BEGIN = b"-----BEGIN CERTIFICATE-----"


def client_tls(
    *, ca_pem: bytes, client_pem: bytes | None, server_name: str, is_ours: bool = True
) -> IOpenSSLClientConnectionCreator:
    """Make the client's side of mutual TLS.

    Nothing but the given authority is trusted, not even what the operating system trusts.

    Args:
        ca_pem: one or more certificates that sign the modules' certificates (more than one while an authority is being replaced).
        client_pem: our certificate and its private key in one file, in any order, then intermediate certificates if there are any.
            The module reads our role in the certificate. None: we show none, where the other end asks for a password.
        server_name: the name that stands in the modules' certificates, whatever address they are reached at.
        is_ours: TLS 1.3 only, because both ends are ours; else 1.2 too.

    Raises:
        ValueError: *ca_pem* holds no certificate, or *client_pem* not both a certificate and a key without a password.
    """
    authorities = [part + _CERTIFICATE_END for part in ca_pem.split(_CERTIFICATE_END) if _CERTIFICATE_BEGIN in part]
    if not authorities:
        raise ValueError("no certificate in the file of the authority")
    identity: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_3 if is_ours else TLSVersion.TLSv1_2}
    if client_pem is not None:
        identity |= _identity(client_pem)
    return optionsForClientTLS(
        server_name,
        trustRoot=trustRootFromCertificates([Certificate.loadPEM(each) for each in authorities]),
        extraCertificateOptions=identity,
    )


def _identity(client_pem: bytes) -> dict[str, Any]:
    # Given as objects of the cryptography package: what Twisted would make of the file itself, pyOpenSSL calls deprecated.
    certificate, *chain = load_pem_x509_certificates(client_pem)
    return {
        "certificate": certificate,
        "extraCertChain": chain,
        "privateKey": load_pem_private_key(client_pem, None),
    }


def module_endpoint(
    reactor: IReactorTime, *, host: str, port: int, tls: IOpenSSLClientConnectionCreator
) -> IStreamClientEndpoint:
    """Make the endpoint of one module: TCP to *host* (a name or an address) and *port*, TLS inside."""
    return wrapClientTLS(tls, HostnameEndpoint(reactor, host, port))
