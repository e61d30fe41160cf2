"""The security module of a switch, as its configuration has it: our own, or a token service and our own for the MACs."""

import random
import secrets
from typing import Any

from config.section import Endpoint
from config.security_module import PrismSection, SecurityModuleSection
from hsm_client.composed import ComposedModule
from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.pool import SecurityModulePool
from hsm_client.prism import PrismModule, PrismRegister
from hsm_client.prism_wire import Account
from hsm_client.tls import client_tls, module_endpoint
from messages.prism import PrismMessages
from sts.codes import BaseDate
from switch.observe_module import ModuleObserver


def security_module(
    section: SecurityModuleSection, reactor: Any, observer: ModuleObserver
) -> SecurityModulePool | ComposedModule:
    """Return the modules of *section* behind one port, not started.

    Raises:
        OSError, ValueError: a certificate cannot be read.
        ImportError: the section names a token service, and the extra ``prism`` is not installed.
    """
    limits = _limits(section)
    pool = SecurityModulePool(
        [(str(each), _endpoint(section, each, reactor)) for each in section.endpoints],
        clock=reactor,
        random=random.SystemRandom().random,
        observer=observer,
        link_limits=limits,
        limits=PoolLimits(timeout_seconds=section.request_timeout_seconds),
    )
    return pool if section.prism is None else ComposedModule(_prism(section, section.prism, reactor, observer), pool)


def _limits(section: SecurityModuleSection) -> LinkLimits:
    return LinkLimits(
        connect_timeout_seconds=section.connect_timeout_seconds,
        ping_interval_seconds=section.ping_interval_seconds,
        in_flight_max=section.in_flight_max,
    )


def _endpoint(section: SecurityModuleSection, endpoint: Endpoint, reactor: Any) -> Any:
    certificates = section.certificates_of(endpoint)
    tls = client_tls(
        ca_pem=certificates.ca_file.read_bytes(),
        client_pem=certificates.client_pem.read_bytes(),
        server_name=section.server_name,
    )
    return module_endpoint(reactor, host=endpoint.host, port=endpoint.port, tls=tls)


def _prism(section: SecurityModuleSection, prism: PrismSection, reactor: Any, observer: ModuleObserver) -> PrismModule:
    tls = client_tls(
        ca_pem=prism.ca_file.read_bytes(),
        client_pem=None if prism.client_pem is None else prism.client_pem.read_bytes(),
        server_name=prism.server_name,
        is_ours=False,
    )
    base_dates = {each.year: each for each in BaseDate}
    return PrismModule(
        [(str(each), module_endpoint(reactor, host=each.host, port=each.port, tls=tls)) for each in prism.endpoints],
        messages=PrismMessages(prism.idl_file),
        account=Account(realm=prism.realm, username=prism.username, password=prism.password),
        registers={
            register_id: PrismRegister(
                supply_group_code=each.supply_group_code,
                key_revision_number=each.key_revision_number,
                key_expiry_number=each.key_expiry_number,
                base_date=base_dates[each.base_year],
            )
            for register_id, each in prism.registers.items()
        },
        carrier_type=prism.carrier_type,
        news=observer,
        new_id=lambda: secrets.token_hex(16),
        clock=reactor,
        random=random.SystemRandom().random,
        observer=observer,
        link_limits=_limits(section),
        limits=PoolLimits(timeout_seconds=section.request_timeout_seconds),
    )
