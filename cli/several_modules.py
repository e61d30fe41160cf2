"""Asking every security module of the configuration, where there are several: what each minted, and which does not answer."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

from cli.module_call import Caller, ModuleCallError, ask_as
from cli.module_proof import Ask, read_minted, read_mints, read_work
from config.section import Endpoint
from config.security_module import SecurityModuleSection
from ledger.module_proof import ModuleDays
from ledger.several_modules import ModuleReport
from messages.security_module import CountersReply, ReadCounters, Reply, Request
from security_module.roles import Role


def modules_to_ask(section: SecurityModuleSection) -> Mapping[str, Ask]:
    """Return how to ask each configured module as auditor, by its address, in order of preference.

    Raises, when one is asked:
        ModuleCallError: no answer, or a refusal.
    """
    return {str(endpoint): partial(_ask_auditor, section, endpoint) for endpoint in section.endpoints}


def _ask_auditor(section: SecurityModuleSection, endpoint: Endpoint, role: Role, request: Request) -> Reply:
    assert role is Role.AUDITOR, "no other certificate is configured"
    certificates = section.certificates_of(endpoint)
    caller = Caller(ca_file=certificates.ca_file, client_pem=certificates.auditor_pem, server_name=section.server_name)
    return ask_as(caller, endpoint.host, endpoint.port, request)


def read_reports(
    modules: Mapping[str, Ask], days: Sequence[date]
) -> tuple[Mapping[str, ModuleReport], Mapping[str, str]]:
    """Return what each module says of *days* (local), and why others did not answer; to be called before the ledger is read."""
    reports: dict[str, ModuleReport] = {}
    away: dict[str, str] = {}
    for name, ask in modules.items():
        try:
            counters = ask(Role.AUDITOR, ReadCounters())
            assert isinstance(counters, CountersReply)
            minted = {day: read_mints(ask, day) for day in days}
            work = {day: read_work(ask, day) for day in days}
        except ModuleCallError as error:
            away[name] = str(error)
            continue
        reports[name] = ModuleReport(
            counters={count.register_id: count for count in counters.counts},
            days=ModuleDays(minted=minted, were_minted=partial(read_minted, ask), work=work),
        )
    return reports, away
