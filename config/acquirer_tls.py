"""Section ``acquirers.<id>.tls``: encryption on one network's port, and who may come through it."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.section import HomePath, Section

CertificateName = Annotated[str, Field(min_length=1, max_length=253)]
"""A DNS name or common name as it stands in a certificate."""


class TlsSection(Section):
    """TLS 1.2 or later on the port.

    Attributes:
        certificate_file: PEM of our certificate, then of its intermediate certificates.
        key_file: PEM of its private key, without a password; only its owner may read the file.
        client_ca_file: PEM of the authority that signed the network's certificates. With it a client without one is refused in the
            handshake; without it anybody may connect.
        client_names: names of which the client's certificate must carry one (DNS name, or common name). Empty: any that the
            authority signed.
    """

    certificate_file: HomePath
    key_file: HomePath
    client_ca_file: HomePath | None = None
    client_names: Annotated[tuple[CertificateName, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _names_need_an_authority(self) -> Self:
        if self.client_names and self.client_ca_file is None:
            raise ValueError("client_names without client_ca_file: a name that nobody signed says nothing")
        return self
