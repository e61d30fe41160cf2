"""Section ``security_module``: how the switch reaches the module that holds the keys."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.section import Endpoint, EndpointText, HomePath, Seconds, Section


class SecurityModuleSection(Section):
    """Addresses and certificates of one or more modules that hold the same keys, in order of preference.

    Attributes:
        endpoints: one to eight addresses; with two or more the next one is used while the first is away.
        ca_file: PEM of the authority that signed the modules' certificates; nothing else is trusted.
        client_pem: PEM with our certificate and its private key; its role must be the switch's.
        server_name: the name that the modules' certificates must carry.
        connect_timeout_seconds: TCP and TLS together.
        request_timeout_seconds: after this a request's outcome counts as unknown and is asked again by the same id.
        ping_interval_seconds: a quiet link is asked for its identity this often.
        in_flight_max: requests on one link without an answer; more wait in the switch, where they can still be refused.
    """

    endpoints: Annotated[tuple[EndpointText, ...], Field(min_length=1, max_length=8)] = (
        Endpoint(host="127.0.0.1", port=7300),
    )
    ca_file: HomePath = Path("security-module/tls/ca.pem")
    client_pem: HomePath = Path("security-module/tls/clients/switch.pem")
    server_name: str = Field(default="security-module", min_length=1, max_length=253)
    connect_timeout_seconds: Seconds = 3.0
    request_timeout_seconds: Seconds = 2.0
    ping_interval_seconds: Seconds = 5.0
    in_flight_max: int = Field(default=1024, ge=1, le=65536)
