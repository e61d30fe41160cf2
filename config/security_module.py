"""Section ``security_module``: how the switch reaches the module that holds the keys."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.section import Endpoint, EndpointText, HomePath, Seconds, SecretText, Section


class ModuleCertificates(Section):
    """Certificates towards one module that has an authority of its own, as every module has that a ceremony or a restore made.

    Attributes:
        ca_file: PEM of the authority that signed this module's certificate.
        client_pem: PEM with our certificate and its private key, for this module.
        auditor_pem: likewise with the role of an auditor.
    """

    ca_file: HomePath
    client_pem: HomePath
    auditor_pem: HomePath


class PrismRegisterSection(Section):
    """A key of the token service, under the number that the ledger knows it by.

    Attributes:
        supply_group_code: SGC.
        key_revision_number: KRN.
        key_expiry_number: KEN.
        base_year: base date of its token identifiers.
    """

    supply_group_code: int = Field(ge=0, le=999_999)
    key_revision_number: int = Field(ge=1, le=9)
    key_expiry_number: int = Field(default=255, ge=0, le=255)
    base_year: Literal[1993, 2014, 2035] = 2014


class PrismSection(Section):
    """A PrismToken-style service that makes the tokens in the place of our own module; needs the extra ``prism``.

    Attributes:
        endpoints: one to eight addresses. Another one is asked only for what was certainly not asked elsewhere.
        ca_file: PEM of the authority that signed the service's certificate; nothing else is trusted.
        client_pem: PEM with a certificate of ours and its key, where the service wants one; none: the password is all.
        server_name: the name that the service's certificate must carry.
        idl_file: the maker's interface file; none: this project's own, which is not the maker's.
        realm: for signing in.
        username: likewise.
        password: likewise.
        carrier_type: token carrier type of all meters; 2 is the keypad.
        registers: by the number of the register in the ledger.
    """

    endpoints: Annotated[tuple[EndpointText, ...], Field(min_length=1, max_length=8)]
    ca_file: HomePath
    client_pem: HomePath | None = None
    server_name: str = Field(min_length=1, max_length=253)
    idl_file: HomePath | None = None
    realm: str = Field(default="local", min_length=1, max_length=64)
    username: str = Field(min_length=1, max_length=64)
    password: SecretText
    carrier_type: int = Field(default=2, ge=1, le=99)
    registers: dict[int, PrismRegisterSection]


class SecurityModuleSection(Section):
    """Addresses and certificates of one or more modules that hold the same keys, in order of preference.

    Attributes:
        endpoints: one to eight addresses; with two or more the next one is used while the first is away.
        ca_file: PEM of the authority that signed the modules' certificates; nothing else is trusted.
        client_pem: PEM with our certificate and its private key; its role must be the switch's.
        auditor_pem: PEM with a certificate and its private key whose role is an auditor's; `eudora ledger check` and `eudora
            security-module proof` ask every module with it where there are several.
        certificates: by address as it stands in ``endpoints``, for modules that other authorities signed.
        server_name: the name that the modules' certificates must carry.
        connect_timeout_seconds: TCP and TLS together.
        request_timeout_seconds: after this a request's outcome counts as unknown and is asked again by the same id.
        ping_interval_seconds: a quiet link is asked for its identity this often.
        prism: another kind of module that makes the tokens; this one then makes MACs only.
        in_flight_max: requests on one link without an answer; more wait in the switch, where they can still be refused.
    """

    endpoints: Annotated[tuple[EndpointText, ...], Field(min_length=1, max_length=8)] = (
        Endpoint(host="127.0.0.1", port=7300),
    )
    ca_file: HomePath = Path("security-module/tls/ca.pem")
    client_pem: HomePath = Path("security-module/tls/clients/switch.pem")
    auditor_pem: HomePath = Path("security-module/tls/clients/auditor.pem")
    certificates: dict[str, ModuleCertificates] = Field(default_factory=dict)
    server_name: str = Field(default="security-module", min_length=1, max_length=253)
    connect_timeout_seconds: Seconds = 3.0
    request_timeout_seconds: Seconds = 2.0
    ping_interval_seconds: Seconds = 5.0
    in_flight_max: int = Field(default=1024, ge=1, le=65536)
    prism: PrismSection | None = None

    @model_validator(mode="after")
    def _certificates_have_a_module(self) -> Self:
        for address in self.certificates.keys() - {str(each) for each in self.endpoints}:
            raise ValueError(f"certificates: {address} is not among the endpoints")
        return self

    def certificates_of(self, endpoint: Endpoint) -> ModuleCertificates:
        """Return the certificates towards one of the modules."""
        common = ModuleCertificates(ca_file=self.ca_file, client_pem=self.client_pem, auditor_pem=self.auditor_pem)
        return self.certificates.get(str(endpoint), common)
