"""What `eudora certify` and `eudora network run` work with: the network's section, its terminals with their keys, and meters of the ledger."""

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import text

from cli import context
from cli.address import Address
from config.acquirer import AcquirerSection
from config.errors import ConfigError
from config.settings import Settings, load
from partner.case import Meter, Terminal
from partner.network import Partner, partner_of
from pos.mac import Signer, signer
from pos.store import TerminalIdentity
from security_module.terminal_keys import NotExportable, export_terminal_key, export_test_key
from vending.money import Centavos
from vending.secret import Secret
from vending.service import Service

HOST_MARGIN_SECONDS = 5.0

UNREGISTERED_TERMINAL = "ZZ999999"
"""An id that no network gives out."""

_TERMINALS = text("""
    SELECT terminal.code, terminal.status FROM terminal JOIN acquirer ON acquirer.id = terminal.acquirer_id
    WHERE acquirer.code = :network ORDER BY terminal.code
""")

_FLOAT = text("""
    SELECT account.credit_line_centavos - account.balance_centavos - account.pending_centavos
    FROM acquirer JOIN account ON account.id = acquirer.float_account_id WHERE acquirer.code = :network
""")

_METERS = text("""
    SELECT meter_number FROM meter
    WHERE status = :status AND service = :service AND parked_tokens = 0 AND held_by IS NULL
        AND EXISTS (SELECT 1 FROM obligation WHERE meter_id = meter.id AND status = 'open') = :owes
    ORDER BY id DESC LIMIT :count
""")

_OWING = text("""
    SELECT meter.meter_number, sum(capital_centavos + interest_centavos) AS owed
    FROM obligation JOIN meter ON meter.id = obligation.meter_id
    WHERE meter.status = 'active' AND meter.service = :service AND obligation.status = 'open' AND obligation.kind = 'obligation'
        AND NOT disputed AND meter.held_by IS NULL
    GROUP BY meter.id, meter.meter_number ORDER BY owed DESC LIMIT 1
""")


_Command = TypeVar("_Command", bound=Callable[..., Any])


def line_options(command: _Command) -> _Command:
    """Add the options that say where the other end is: ``address``, ``listen``, ``tls_ca`` and ``tls_pem``."""
    file = click.Path(dir_okay=False, path_type=Path)
    for option in (
        click.option("--tls-pem", type=file, help="Our certificate and key for it."),
        click.option(
            "--tls-ca", type=file, help="Authority of the other end's certificate, where the line is encrypted."
        ),
        click.option(
            "--listen",
            type=Address(),
            multiple=True,
            help="Be the network's host there, and wait for the switch's links.",
        ),
        click.option("--address", type=Address(), help="Of the port; default: the switch that runs on this machine."),
    ):
        command = option(command)
    return command


def now() -> datetime:
    """The process's own clock."""
    return datetime.now(UTC)  # noqa: TID251


def read_settings(config: Path | None) -> Settings:
    """Return the configuration of FILE, or of this installation.

    Raises:
        click.ClickException: it cannot be used.
    """
    if config is None:
        return context.settings()
    try:
        return load(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def section_of(settings: Settings, network_id: str) -> AcquirerSection:
    """Return a network's section.

    Raises:
        click.ClickException: there is none.
    """
    section = settings.acquirers.get(network_id)
    if section is None:
        known = ", ".join(sorted(settings.acquirers)) or "none"
        raise click.ClickException(f"no network {network_id!r} is configured; configured: {known}")
    return section


def read_partner(settings: Settings, network_id: str) -> Partner:
    """Return what was agreed on with a network."""
    return partner_of(section_of(settings, network_id), settings.sale, now)


def address_of(section: AcquirerSection, address: tuple[str, int] | None) -> tuple[str, int]:
    """Return where to call: the address that was given, the running switch's, or the configured one."""
    if address is not None:
        return address
    is_ours = section.id in context.settings().acquirers
    return context.switch_address(section.id) if is_ours else (section.listen_host, section.listen_port)


def listening_at(
    section: AcquirerSection, address: tuple[str, int] | None, listen: Sequence[tuple[str, int]]
) -> Sequence[tuple[str, int]]:
    """Return where the network waits for the links that the switch opens; empty: it calls the port.

    Raises:
        click.ClickException: the switch opens none, or only opens them.
    """
    if listen and section.links is None:
        raise click.ClickException(
            f"role {section.role}: the switch opens no links to {section.id}, so nothing would come"
        )
    if section.role != "we_connect" or section.links is None:
        return listen
    if address is not None:
        raise click.ClickException(f"role we_connect: {section.id} has no port to be called; give --listen instead")
    return listen or [(host.host, host.port) for host in section.links.hosts]


def host_wait_seconds(section: AcquirerSection) -> float:
    """Return how long a link of the switch is waited for: its longest back-off, and then the attempt itself."""
    assert section.links is not None, "only networks with links are waited for"
    return section.links.backoff_max_seconds + section.links.connect_timeout_seconds + HOST_MARGIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where terminals' MAC keys come from: a key file, else the test register of this machine's security module."""

    section: AcquirerSection
    file_keys: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether there is a key for any terminal id."""
        return self.file_keys is None

    def identity(self, terminal_id: str) -> TerminalIdentity:
        """Return a terminal with its key.

        Raises:
            click.ClickException: there is no key for it.
        """
        if self.file_keys is None:
            key = self._key_of_this_machine(terminal_id)
        elif terminal_id in self.file_keys:
            key = Secret(bytes.fromhex(self.file_keys[terminal_id]))
        else:
            raise click.ClickException(f"the key file has no key for terminal {terminal_id}")
        return TerminalIdentity(
            terminal_id=terminal_id,
            merchant_id=context.DEMO_MERCHANT_ID,
            nii=context.DEMO_NII,
            mac_scheme=self.section.mac.scheme,
            mac_key=key,
        )

    def _key_of_this_machine(self, terminal_id: str) -> Secret[bytes]:
        mac = self.section.mac
        if mac.dukpt_devices:
            raise click.ClickException(
                f"the terminals of {self.section.id} have a key for each message (DUKPT); only `eudora pos` plays such a terminal"
            )
        shared = context.host_keys(self.section.id)
        if shared is not None:
            return shared.keys.key
        try:
            if mac.is_diversified_by_terminal:
                return export_terminal_key(context.module_keys(), mac.register_id, terminal_id)
            return export_test_key(context.module_keys(), mac.register_id)
        except NotExportable as error:
            raise click.ClickException(f"{terminal_id}: {error}; give its key with --keys") from error


def signer_of(source: KeySource) -> Callable[[str], Signer | None]:
    """Return who finds the key of a terminal that the switch names in a notice; None for one that is not here."""

    @cache
    def find(terminal_id: str) -> Signer | None:
        try:
            identity = source.identity(terminal_id)
        except click.ClickException:
            return None
        return signer(identity.mac_scheme, identity.mac_key)

    return find


def key_source(section: AcquirerSection, keys_file: Path | None) -> KeySource:
    """Read a key file, ``{"scheme": ..., "keys": {terminal id: hexadecimal}}``.

    Raises:
        click.ClickException: it is no such file.
    """
    if keys_file is None:
        return KeySource(section=section)
    try:
        document: Any = json.loads(keys_file.read_text(encoding="ascii"))
        keys = {str(name): str(bytes.fromhex(value).hex()) for name, value in document["keys"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise click.ClickException(f"{keys_file} is no key file: {type(error).__name__}") from error
    return KeySource(section=section, file_keys=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger says of a network; empty where it knows nothing of it."""

    active: Sequence[str] = ()
    blocked: Sequence[str] = ()
    float_centavos: Centavos | None = None


def read_known(network_id: str) -> Known:
    """Return a network's terminals and what it may still sell."""
    with context.engine().connect() as connection:
        rows = connection.execute(_TERMINALS, {"network": network_id}).all()
        left = connection.execute(_FLOAT, {"network": network_id}).scalar()
    return Known(
        active=[row.code for row in rows if row.status == "active"],
        blocked=[row.code for row in rows if row.status == "blocked"],
        float_centavos=None if left is None else Centavos(left),
    )


def services_of(partner: Partner) -> list[Service]:
    """Return what a network sells, energy first."""
    return [each for each in Service if each.name.lower() in partner.services]


def read_meters(service: Service, *, owes: bool, count: int, is_blocked: bool = False) -> list[str]:
    """Return numbers of meters that nobody sells to at this moment."""
    values = {
        "status": "blocked" if is_blocked else "active",
        "service": service.value,
        "owes": owes,
        "count": count,
    }
    with context.engine().connect() as connection:
        return list(connection.execute(_METERS, values).scalars())


def read_owing(service: Service) -> tuple[str, Centavos] | None:
    """Return the meter that owes most, and how much; None: nobody owes."""
    with context.engine().connect() as connection:
        row = connection.execute(_OWING, {"service": service.value}).first()
    return None if row is None else (str(row.meter_number), Centavos(row.owed))


def tls_context(section: AcquirerSection, ca: Path | None, pem: Path | None) -> ssl.SSLContext | None:
    """Return how to call an encrypted port; None: it is plain.

    Raises:
        click.ClickException: a file that is needed was not given, or cannot be read.
    """
    if section.tls is None:
        return None
    if ca is None:
        raise click.ClickException("this port is encrypted: say --tls-ca, the authority of its certificate")
    try:
        found = ssl.create_default_context(cafile=str(ca))
        if pem is not None:
            found.load_cert_chain(str(pem))
    except OSError as error:
        raise click.ClickException(f"{ca}: {error}") from error
    return found


def host_tls_context(section: AcquirerSection, ca: Path | None, pem: Path | None) -> ssl.SSLContext | None:
    """Return how the network's host takes encrypted links; None: they are plain.

    Raises:
        click.ClickException: a file that is needed was not given, or cannot be read.
    """
    if section.tls is None:
        return None
    if ca is None or pem is None:
        raise click.ClickException(
            "these links are encrypted: say --tls-pem, certificate and key of the host, and --tls-ca, the authority of the switch's"
        )
    try:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(str(pem))
        found.load_verify_locations(str(ca))
    except OSError as error:
        raise click.ClickException(f"{pem} or {ca}: {error}") from error
    found.verify_mode = ssl.CERT_REQUIRED
    return found


def certification_terminals(
    keys: KeySource, known: Known, partner: Partner, chosen: str | None
) -> Mapping[Terminal, TerminalIdentity]:
    """Return the terminals that a certification uses; without *chosen* the last active one, which nobody uses by hand.

    Raises:
        click.ClickException: there is none.
    """
    candidates = [each for each in reversed(known.active) if each not in partner.speakers] or list(known.active)
    ordinary = chosen or next(iter(candidates), None)
    if ordinary is None:
        raise click.ClickException(
            f"the ledger has no active terminal of {partner.id}; register one: eudora network terminal add {partner.id} ID"
        )
    found = {Terminal.ORDINARY: keys.identity(ordinary)}
    if known.blocked and (keys.is_open or known.blocked[0] in (keys.file_keys or {})):
        found[Terminal.BLOCKED] = keys.identity(known.blocked[0])
    if keys.is_open:
        found[Terminal.UNKNOWN] = keys.identity(UNREGISTERED_TERMINAL)
    if partner.speakers and (keys.is_open or partner.speakers[0] in (keys.file_keys or {})):
        found[Terminal.SPEAKER] = keys.identity(partner.speakers[0])
    return found


def certification_meters(service: Service, chosen: str | None) -> tuple[dict[Meter, str], Centavos]:
    """Return the meters that a certification uses, and what the owing one owes.

    Raises:
        click.ClickException: there is none that sells.
    """
    clear = read_meters(service, owes=False, count=2)
    good = chosen or next(iter(clear), None)
    if good is None:
        raise click.ClickException("the ledger has no active meter without debts; give one with --meter")
    meters = {Meter.GOOD: good}
    if clear:
        meters[Meter.CLEAR] = clear[-1]
    blocked = read_meters(service, owes=False, count=1, is_blocked=True) or read_meters(
        service, owes=True, count=1, is_blocked=True
    )
    if blocked:
        meters[Meter.BLOCKED] = blocked[0]
    owing = read_owing(service)
    if owing is None:
        return meters, Centavos(0)
    meters[Meter.OWING] = owing[0]
    return meters, owing[1]
