"""How a simulated network gets its links: it calls our port, or it is the host that our switch calls. With TLS where the network has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS
from twisted.internet.task import deferLater

from cli.partner_setting import address_of, host_wait_seconds, listening_at
from config.acquirer import AcquirerSection
from partner.called_link import CalledLink, HostFactory
from partner.exchange import LINK_PAUSE_SECONDS, Concentrator, PartnerLink

CONNECT_SECONDS = 5
POLL_SECONDS = 0.1


class LinksMissing(Exception):
    """The switch opened no link in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTls:
    """What our end of an encrypted link shows, and what it takes.

    Attributes:
        authority: of the other end's certificate.
        identity: certificate and key of ours, by the names of `CertificateOptions`; empty: none.
    """

    authority: Certificate
    identity: dict[str, Any] = field(repr=False)


class PartnerLine:
    """The links of a simulated network.

    Args:
        where: for people.
        links: how many.
        tls: None: plain.
    """

    def __init__(self, where: str, links: int, tls: LineTls | None) -> None:
        self.where = where
        self._links = links
        self._tls = tls
        self._reactor: Any = None
        self._concentrator: Concentrator | None = None

    @property
    def concentrator(self) -> Concentrator:
        """Who sells over them."""
        assert self._concentrator is not None, "adopted before it is opened"
        return self._concentrator

    def adopt(self, reactor: Any, concentrator: Concentrator) -> None:
        """Say who sells over them."""
        self._reactor, self._concentrator = reactor, concentrator

    async def open(self) -> None:
        """Have the links. Raises `ConnectError`, `CannotListenError` or `LinksMissing`."""
        raise NotImplementedError

    def reopen(self) -> None:
        """Have another one for one that was lost."""

    def close(self) -> None:
        """Take no more."""


class CallingLine(PartnerLine):
    """Calls a port at *address*."""

    def __init__(self, address: tuple[str, int], links: int, tls: LineTls | None) -> None:
        super().__init__(f"{address[0]}:{address[1]}", links, tls)
        self._address = address

    async def open(self) -> None:
        """See `PartnerLine.open`."""
        for _ in range(self._links):
            await self._open_one()

    def reopen(self) -> None:
        """See `PartnerLine.reopen`."""
        if not self.concentrator.is_ending:
            self._reactor.callLater(
                LINK_PAUSE_SECONDS, lambda: self._open_one().addErrback(lambda _failure: self.reopen())
            )

    def _open_one(self) -> Deferred[PartnerLink]:
        endpoint: Any = TCP4ClientEndpoint(self._reactor, *self._address, timeout=CONNECT_SECONDS)
        if self._tls is not None:
            options = optionsForClientTLS(
                self._address[0], trustRoot=self._tls.authority, extraCertificateOptions=self._tls.identity
            )
            endpoint = wrapClientTLS(options, endpoint)
        opening: Deferred[PartnerLink] = connectProtocol(endpoint, PartnerLink(self.concentrator))
        return opening


class CalledLine(PartnerLine):
    """Waits at *addresses* for the links that the switch opens; reopening them is the switch's affair.

    Args:
        signs_on: whether the switch signs on.
        wait_seconds: how long they are waited for.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        links: int,
        tls: LineTls | None,
        *,
        signs_on: bool,
        wait_seconds: float,
    ) -> None:
        super().__init__(", ".join(f"{host}:{port}" for host, port in addresses), links, tls)
        self._addresses = addresses
        self._signs_on = signs_on
        self._wait_seconds = wait_seconds
        self._ports: list[Any] = []

    async def open(self) -> None:
        """See `PartnerLine.open`. Goes on with fewer links than were promised, if there are any."""
        factory = HostFactory(lambda: CalledLink(self.concentrator, signs_on=self._signs_on))
        for address in self._addresses:
            self._ports.append(await self._endpoint(*address).listen(factory))
        deadline = self._reactor.seconds() + self._wait_seconds
        while len(self.concentrator.links) < self._links and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, POLL_SECONDS)
        if not self.concentrator.links:
            raise LinksMissing(f"the switch opened no link and signed on within {self._wait_seconds:.0f} seconds")

    def close(self) -> None:
        """See `PartnerLine.close`."""
        for port in self._ports:
            port.stopListening()

    def _endpoint(self, host: str, port: int) -> IStreamServerEndpoint:
        if self._tls is None:
            return TCP4ServerEndpoint(self._reactor, port, interface=host)
        options = CertificateOptions(trustRoot=self._tls.authority, **self._tls.identity)
        return SSL4ServerEndpoint(self._reactor, port, options, interface=host)


def line_of(
    section: AcquirerSection,
    links: int,
    *,
    address: tuple[str, int] | None,
    listen: Sequence[tuple[str, int]],
    tls_ca: Path | None,
    tls_pem: Path | None,
) -> PartnerLine:
    """Return how the network of *section* gets its links.

    Args:
        section: of the network.
        links: how many to open.
        address: of the port to call; None: the running switch's.
        listen: where to wait for the switch instead; empty: as the role says.
        tls_ca: authority of the other end's certificate.
        tls_pem: our certificate and key.

    Raises:
        click.ClickException: the options do not fit the network, or a file is missing.
    """
    waits_at = listening_at(section, address, listen)
    tls = _tls_of(section, tls_ca, tls_pem, must_show=bool(waits_at))
    if not waits_at:
        return CallingLine(address_of(section, address), links, tls)
    assert section.links is not None
    return CalledLine(
        waits_at,
        section.links.count,
        tls,
        signs_on=section.links.signs_on,
        wait_seconds=host_wait_seconds(section),
    )


def _tls_of(section: AcquirerSection, ca: Path | None, pem: Path | None, *, must_show: bool) -> LineTls | None:
    if section.tls is None:
        return None
    if ca is None or (must_show and pem is None):
        wanted = "--tls-ca, the authority of the other end's certificate" + (
            ", and --tls-pem, our own" if must_show else ""
        )
        raise click.ClickException(f"these links are encrypted: say {wanted}")
    try:
        identity: dict[str, Any] = {}
        if pem is not None:
            octets = pem.read_bytes()
            certificate, *chain = load_pem_x509_certificates(octets)
            identity = {
                "certificate": certificate,
                "extraCertChain": chain,
                "privateKey": load_pem_private_key(octets, None),
            }
        return LineTls(authority=Certificate.loadPEM(ca.read_bytes()), identity=identity)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{ca} or {pem}: {error}") from error
