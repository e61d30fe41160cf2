"""What commands need to know about this installation: where it lives, how it is configured, where its processes listen.

A command works whether `eudora up` is running or not: what runs is used, what does not run is started for the length of the command.
"""

import atexit
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path

import click
from sqlalchemy import Engine

from cli.module_call import ModuleCallError, ask
from cli.module_proof import read_minted, read_mints, read_work
from cli.processes import Process, read_run_file, start_process
from cli.several_modules import modules_to_ask, read_reports
from config.acquirer import AcquirerSection
from config.home import CONFIG_FILE, eudora_home
from config.settings import Settings, load
from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.module_proof import ModuleDays
from ledger.several_modules import RegisterCount, SeveralModules, join
from messages.security_module import CountersReply, ReadCounters, Reply, Request
from messages.security_module import RegisterCount as ModuleCount
from pos.dukpt import DukptSigner
from pos.session_key import HostKeys, SessionKeyFile
from pos.store import TerminalIdentity, TerminalStore
from security_module.open_store import open_keys
from security_module.registers import ModuleKeys
from security_module.roles import Role
from security_module.sealed_store import StoreError
from security_module.terminal_keys import NotExportable, export_initial_key, export_terminal_key, export_test_key
from vending.calendar import local_date

ACQUIRER_ID = "datafonos"
"""The network of the seeded town and of the one-machine configuration."""

DIALECT_NETWORKS = {"datafono": ACQUIRER_ID, "recargas": "recargas", "loteria": "loteria"}
"""The network of the one-machine configuration that speaks each dialect."""

DEMO_MERCHANT_ID = "TIENDA0000001".ljust(15)
DEMO_NII = "001"


def home() -> Path:
    """Return the state directory, made and configured when it is new."""
    directory = eudora_home()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / CONFIG_FILE
    if not configuration.exists():
        configuration.write_bytes(files("cli").joinpath("one_machine.toml").read_bytes())
    return directory


@cache
def settings() -> Settings:
    """Return the configuration of this installation."""
    home()
    return load()


def module_directory() -> Path:
    """Where the security module of this machine keeps its sealed keys and certificates."""
    return home() / "security-module"


def run_file(name: str) -> Path:
    """Where the process *name* writes its addresses."""
    return home() / "run" / f"{name}.json"


def log_file(name: str) -> Path:
    """Where the process *name* writes its log under `eudora up`."""
    return home() / "log" / f"{name}.jsonl"


@cache
def database_dsn() -> str:
    """Return the address of the ledger; the embedded server is started, until this command ends, if it is not running."""
    section = settings().database
    if section.dsn is not None:
        return section.dsn.reveal()
    server = EmbeddedPostgres(section.directory)
    if not server.is_running():
        server.start()
        atexit.register(_stop, server)
    return server.dsn


def _stop(server: EmbeddedPostgres) -> None:
    # A test or a benchmark has removed its state directory by now, and stopped the server before.
    if server.directory.exists():
        server.stop()


@cache
def engine() -> Engine:
    """Return an engine on the ledger."""
    return open_engine(database_dsn())


@cache
def module_address() -> tuple[str, int]:
    """Return where the security module of this machine listens; it is started, until this command ends, if it does not run."""
    run = read_run_file(run_file("security-module"))
    if run is None:
        process = start_security_module("127.0.0.1:0")
        atexit.register(process.stop)
        run = process.run
    return str(run["host"]), int(run["port"])


def start_security_module(listen: str) -> Process:
    """Start the security module of this machine."""
    return start_process(
        "security-module",
        [
            *("security-module", "run", "--directory", str(module_directory()), "--listen", listen),
            *("--run-file", str(run_file("security-module"))),
        ],
        run_file=run_file("security-module"),
        log_file=log_file("security-module"),
        environment={},
    )


def ask_module(role: Role, request: Request) -> Reply:
    """Ask the security module of this machine one question.

    Raises:
        click.ClickException: it does not answer, or refuses.
    """
    host, port = module_address()
    try:
        return ask(module_directory(), host, port, role, request)
    except ModuleCallError as error:
        raise click.ClickException(str(error)) from error


def module_counters() -> Mapping[int, ModuleCount]:
    """Return what the security module says it has minted, by register."""
    reply = ask_module(Role.AUDITOR, ReadCounters())
    assert isinstance(reply, CountersReply)
    return {count.register_id: count for count in reply.counts}


def last_days(days: int) -> list[date]:
    """Return so many local days, today first."""
    today = local_date(datetime.now(UTC))  # noqa: TID251 - the command line is where the clock comes from
    return [today - timedelta(days=back) for back in range(days)]


def module_days(days: Sequence[date]) -> ModuleDays:
    """Return what the security module says it minted on *days* (local); to be called before the ledger is read."""
    return ModuleDays(
        minted={day: read_mints(ask_module, day) for day in days},
        were_minted=lambda request_ids: read_minted(ask_module, request_ids),
        work={day: read_work(ask_module, day) for day in days},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleReading:
    """What the security module said, or all of them together; the arguments of `ledger.check.check`."""

    counters: Mapping[int, RegisterCount] | None
    module_days: ModuleDays | None
    several: SeveralModules | None


def read_modules(days: Sequence[date]) -> ModuleReading:
    """Return what was minted since ever and on *days* (local), by every configured module; to be called before the ledger is read.

    With one address in the configuration the module of this machine is meant, as everywhere; it is started if it does not run.
    """
    if settings().security_module.prism is not None:
        # It says nothing of what it minted, and our own module mints nothing: the checks are reported as not run.
        return ModuleReading(counters=None, module_days=None, several=None)
    modules = modules_to_ask(settings().security_module)
    if len(modules) == 1:
        of_days = module_days(days)
        return ModuleReading(counters=module_counters(), module_days=of_days, several=None)
    counters, joined, several = join(*read_reports(modules, days))
    return ModuleReading(counters=counters, module_days=joined, several=several)


@cache
def module_keys() -> ModuleKeys:
    """Open the sealed store of this machine's module, for what only its owner may do (keying test terminals and meters).

    Raises:
        click.ClickException: there is none, or its passphrase is not at hand.
    """
    try:
        return open_keys(module_directory(), os.environ)
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def switch_address(acquirer_id: str = ACQUIRER_ID) -> tuple[str, int]:
    """Return where the running switch serves a network; without a run file, where the configuration says it does."""
    run = read_run_file(run_file("switch"))
    if run is not None and acquirer_id in run["acquirers"]:
        host, _, port = str(run["acquirers"][acquirer_id]).rpartition(":")
        return host, int(port)
    section = settings().acquirers.get(acquirer_id)
    if section is None:
        raise click.ClickException(f"no network {acquirer_id!r} is configured; say --address host:port")
    return section.listen_host, section.listen_port


def terminal(terminal_id: str, acquirer_id: str = ACQUIRER_ID) -> TerminalStore:
    """Return the memory of a terminal; a new one is keyed from the security module's test register of its network first."""
    directory = home() / "pos"
    if TerminalStore.exists(directory, terminal_id):
        return TerminalStore.open(directory, terminal_id)
    section = settings().acquirers.get(acquirer_id)
    if section is None:
        raise click.ClickException(f"no network {acquirer_id!r} is configured")
    mac = section.mac
    try:
        if mac.dukpt_devices:
            key = export_initial_key(module_keys(), mac.register_id, _initial_ksn(section, terminal_id))
        elif mac.is_diversified_by_terminal:
            key = export_terminal_key(module_keys(), mac.register_id, terminal_id)
        else:
            key = export_test_key(module_keys(), mac.register_id)
    except NotExportable as error:
        raise click.ClickException(f"terminal {terminal_id} cannot be keyed here: {error}") from error
    identity = TerminalIdentity(
        terminal_id=terminal_id,
        merchant_id=DEMO_MERCHANT_ID,
        nii=DEMO_NII,
        mac_scheme=mac.scheme,
        mac_key=key,
    )
    return TerminalStore.create(directory, identity)


def device(terminal_id: str, acquirer_id: str) -> DukptSigner | None:
    """Return the DUKPT counter of a terminal, keyed from the module's test register when new; None: its network has none.

    The key is not taken from the terminal's memory: that may be older than the network's DUKPT, with the key of before.

    Raises:
        click.ClickException: the terminal has no key serial number, or the register is not for tests.
    """
    section = settings().acquirers.get(acquirer_id)
    if section is None or not section.mac.dukpt_devices:
        return None
    path = home() / "pos" / f"{terminal_id}.dukpt.json"
    if path.exists():
        return DukptSigner.open(path)
    ksn = _initial_ksn(section, terminal_id)
    try:
        initial_key = export_initial_key(module_keys(), section.mac.register_id, ksn)
    except NotExportable as error:
        raise click.ClickException(f"terminal {terminal_id} cannot be keyed here: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    return DukptSigner.create(path, initial_key, ksn)


def _initial_ksn(section: AcquirerSection, terminal_id: str) -> bytes:
    ksn = section.mac.dukpt_devices.get(terminal_id)
    if ksn is None:
        raise click.ClickException(f"terminal {terminal_id} is not among the dukpt_devices of {section.id}")
    return bytes.fromhex(ksn)


def host_keys(acquirer_id: str) -> SessionKeyFile | None:
    """Return the session keys that the terminals of a network share; made from the module's test registers when new. None: it has none.

    Raises:
        click.ClickException: its registers are not for tests.
    """
    section = settings().acquirers.get(acquirer_id)
    if section is None or not section.mac.session_keys:
        return None
    path = home() / "pos" / f"{acquirer_id}.session-keys.json"
    if path.exists():
        return SessionKeyFile.open(path)
    mac = section.mac
    assert mac.zone_register_id is not None, "checked when the configuration was read"
    try:
        keys = HostKeys(
            scheme=mac.scheme,
            zone_key=export_test_key(module_keys(), mac.zone_register_id),
            key=export_test_key(module_keys(), mac.register_id),
        )
    except NotExportable as error:
        raise click.ClickException(f"network {acquirer_id} cannot be keyed here: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    return SessionKeyFile.create(path, keys)
