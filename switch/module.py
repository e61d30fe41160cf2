"""The security module of a switch, as its configuration has it."""

import random
from typing import Any

from config.security_module import SecurityModuleSection
from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.observer import LinkObserver
from hsm_client.pool import SecurityModulePool
from hsm_client.tls import client_tls, module_endpoint


def module_pool(section: SecurityModuleSection, reactor: Any, observer: LinkObserver) -> SecurityModulePool:
    """Return the modules of *section* behind one port, not started.

    Raises:
        OSError, ValueError: a certificate cannot be read.
    """
    endpoints = []
    for endpoint in section.endpoints:
        certificates = section.certificates_of(endpoint)
        tls = client_tls(
            ca_pem=certificates.ca_file.read_bytes(),
            client_pem=certificates.client_pem.read_bytes(),
            server_name=section.server_name,
        )
        endpoints.append((str(endpoint), module_endpoint(reactor, host=endpoint.host, port=endpoint.port, tls=tls)))
    return SecurityModulePool(
        endpoints,
        clock=reactor,
        random=random.SystemRandom().random,
        observer=observer,
        link_limits=LinkLimits(
            connect_timeout_seconds=section.connect_timeout_seconds,
            ping_interval_seconds=section.ping_interval_seconds,
            in_flight_max=section.in_flight_max,
        ),
        limits=PoolLimits(timeout_seconds=section.request_timeout_seconds),
    )
