"""Section ``acquirers.<id>``: one network that sells for the utility, with a port and limits of its own."""

import re
from collections.abc import Mapping
from datetime import time
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from config.acquirer_links import LinksSection
from config.acquirer_notices import NoticesSection
from config.acquirer_sells import SellsSection
from config.acquirer_tls import TlsSection
from config.section import HomePath, ListenHost, PortNumber, Seconds, Section
from vending.response_code import ResponseCode

FRAME_OCTETS_CEILING = 4096
"""No port takes longer frames. Our longest message is near 1 300 octets, and a TLS hello or an HTTP request read as a two-octet
length asks for 5 635 octets or more, so below this ceiling it is known for what it is from its first two octets."""

ACQUIRER_ID_PATTERN = r"^[a-z][a-z0-9_-]{0,30}$"
"""Ids are keys of the ledger, labels of metrics and parts of environment variables, hence lower case and plain."""


CODE_NAMES = frozenset(code.value for code in ResponseCode)


def _is_code_name(name: str) -> str:
    if name not in CODE_NAMES:
        raise ValueError(f"no such response code; ours are {', '.join(code.value for code in ResponseCode)}")
    return name


CodeName = Annotated[str, AfterValidator(_is_code_name)]
"""The stable name of one of our response codes, `vending.response_code.ResponseCode`."""

CodeSpelling = Annotated[str, Field(pattern=r"^[0-9A-Z]{2,3}$")]
"""What stands in data element 39; the network's dialect says how long it is."""


def _is_printable(text: str) -> str:
    if not all(32 <= ord(character) < 127 or 160 <= ord(character) < 256 for character in text):
        raise ValueError("a terminal prints Latin-1, one line")
    return text


ResponseText = Annotated[str, Field(min_length=1, max_length=25), AfterValidator(_is_printable)]
"""What stands in data element 44 of a refusal."""


def _of_text(value: Any) -> Any:
    if not isinstance(value, str | IPv4Network | IPv6Network):
        raise ValueError('an address range is written "10.1.0.0/16", one address without the "/"')
    return value


PeerRange = Annotated[IPv4Network | IPv6Network, BeforeValidator(_of_text)]
"""Addresses as CIDR; host bits that are set are an error, because nobody can tell what was meant."""


def _of_time(value: Any) -> Any:
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a time of day is written "HH:MM"')
    if value == "00:00":
        raise ValueError("at midnight the day changes anyway; leave it out")
    return time(int(match[1]), int(match[2]))


CutOverTime = Annotated[
    time, BeforeValidator(_of_time), PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str)
]
"""A time of day in America/Bogota, ``"18:00"``."""

DialectName = Literal["datafono", "recargas", "loteria"]
"""Which message adapter serves a network."""

USUAL_FRAMES: Mapping[str, tuple[str, bool]] = {
    "datafono": ("binary2", True),
    "recargas": ("binary2", False),
    "loteria": ("ascii4", False),
}
"""``framing`` and ``has_tpdu`` of each dialect where a network's table does not say; docs/wire has a page on each."""


KSN_DIGITS = {"X9.19": 20, "AES-CMAC": 24}


def _is_initial_ksn(text: str) -> str:
    if int(text, 16) & (0x1FFFFF if len(text) == KSN_DIGITS["X9.19"] else 0xFFFFFFFF):
        raise ValueError("the counter, the last 21 bits of 20 digits or the last 32 of 24, is not 0")
    return text.upper()


KeySerialNumber = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{20}|[0-9A-Fa-f]{24})$"), AfterValidator(_is_initial_ksn)]
"""Of a DUKPT device before its first message. Sources: ANSI X9.24-1:2009, annex A; ANSI X9.24-3:2017."""


class MacSection(Section):
    """How messages of this network are authenticated.

    Attributes:
        scheme: MAC algorithm, by the name the security module knows it under. ``X9.9`` is single DES, for partners who have nothing
            better.
        is_always_in_128: whether answers carry their MAC in data element 128 always; otherwise in 64 where no element above 64 is there.
            A request may have it in either, as its last element.
        register_id: key register of the security module that holds the key.
        is_diversified_by_terminal: whether each terminal has a key of its own, derived from the register's by terminal id.
        session_keys: whether the network and we change the key over the line (0800/161, 1804/811). The register's own key is in force
            before the first change. Only where the network has one key.
        zone_register_id: register of the security module with the zone key that session keys are wrapped under.
        overlap_seconds: how long the key before is honoured after a change, by the module's clock.
        age_warning_hours: a session key that is in force for longer is told of in the log.
        dukpt_devices: terminals with a key for each message (DUKPT, TDES or AES by the scheme): terminal id to its key serial number, 20
            hexadecimal digits (X9.19) or 24 (AES-CMAC), with the counter at 0. With any, ``register_id`` is a base derivation key, and a terminal that is not listed is not served.
    """

    scheme: Literal["X9.9", "X9.19", "AES-CMAC"] = "X9.19"
    is_always_in_128: bool = False
    register_id: int = Field(ge=1, le=2**31 - 1)
    is_diversified_by_terminal: bool = True
    session_keys: bool = False
    zone_register_id: Annotated[int, Field(ge=1, le=65535)] | None = None
    overlap_seconds: Annotated[int, Field(ge=4, le=86400)] = 600
    age_warning_hours: Annotated[int, Field(ge=1, le=8784)] = 48
    dukpt_devices: dict[str, KeySerialNumber] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _session_keys_have_a_zone(self) -> Self:
        if self.session_keys and self.scheme == "X9.9":
            raise ValueError("session_keys needs scheme X9.19 or AES-CMAC: no single DES key is sent over the line")
        if self.session_keys and self.zone_register_id is None:
            raise ValueError("session_keys needs zone_register_id, the register of the zone key")
        if self.session_keys and self.is_diversified_by_terminal:
            raise ValueError("session_keys is for a network with one key: set is_diversified_by_terminal = false")
        return self

    @model_validator(mode="after")
    def _devices_are_of_dukpt(self) -> Self:
        if self.dukpt_devices and (self.session_keys or self.is_diversified_by_terminal):
            raise ValueError("dukpt_devices goes with is_diversified_by_terminal = false and without session_keys")
        if any(len(ksn) != KSN_DIGITS[self.scheme] for ksn in self.dukpt_devices.values()):
            raise ValueError(f"a key serial number of scheme {self.scheme} has {KSN_DIGITS[self.scheme]} digits")
        if len(set(self.dukpt_devices.values())) != len(self.dukpt_devices):
            raise ValueError("two terminals have one key serial number")
        return self


class AcquirerSection(Section):
    """A network: its dialect, its port, what it may use of us.

    Attributes:
        id: the name of its table in the file, repeated here by the loader.
        role: who opens the connections: ``they_connect`` to our port; ``we_connect`` to the network's hosts, and there is no port; ``both``.
            Who opens them changes nothing about who asks: the network sells over either.
        dialect: which message adapter serves it.
        listen_host: local address of its port.
        listen_port: its TCP port; 0 lets the system choose one. Not with ``we_connect``.
        allowed_peers: addresses that may connect, as CIDR (``"10.1.0.0/16"``, ``"192.0.2.7"``). Empty: all.
        links: the connections that we open.
        notices: what the network is told of our own accord; without it, nothing.
        tls: encryption of the port and of the links; without it they are plain TCP.
        framing: how a frame's length is written: ``binary2`` two octets, most significant first; ``ascii4`` four digits. Unset: as is usual
            in the dialect.
        has_tpdu: whether a 5-octet TPDU stands before the message, likewise.
        both_bitmaps: whether every answer carries a second bitmap, empty where nothing is in it; for programs that always read 128 bits.
            What comes in may have an empty one in any case.
        frame_octets_max: longest frame; a longer one ends the connection.
        mac: authentication; a network without it is not served.
        state: ``serving``; ``stopped``: no new sale is made (57) while everything else goes on; ``draining``: moreover its connections
            are ended and its port is closed.
        sells: what it may sell, when, and for how much.
        response_codes: other spellings of our codes in its data element 39, ``{ float_short = "61" }``.
        response_texts: what a refusal says in data element 44 for the cashier to read, ``{ float_short = "Cupo agotado" }``: 1 to 25
            characters of Latin-1.
        tells_balance: whether answers about money (sales, inquiries, reversals, advices, last answers, totals, refusals of them) carry in
            data element 54 what the network may still sell: of a sale or reversal, right behind it.
        is_sign_on_required: whether financial messages are refused (77) before an 0800 sign-on on the same connection.
        network_terminals: terminals that speak for the whole network: only they may ask for its cut-over (0800/201) and its totals
            (0520). Without any, nobody may. In the environment: a JSON list.
        cut_over_time: when its settlement day changes, ``"18:00"`` by local time; the switch sees to it within
            ``close_days_interval_seconds``. Unset: at midnight. Its own cut-over (0800/201) may come before.
        settlement_directory: an existing directory into which the settlement file of each day is put once the day is closed. Without it
            files are only made by `eudora settle file`.
        reversal_policy: what a reversal does after a token exists. ``stands``: the sale stands and the refusal carries the token.
            ``parked``: the money goes back and the token waits on its meter for the next recharge, up to two caps; above them the sale
            stands.
        parked_sale_centavos_max: dearest sale that is parked.
        parked_terminal_day_centavos_max: most that one terminal parks on one local day, all its parked sales together.
        answer_deadline_seconds: an answer leaves by then, if need be "in progress, ask again"; below the terminal's own timer.
        frame_timeout_seconds: the rest of a begun frame must come within this.
        keep_alive_interval_seconds: at most one zero-length frame is answered per interval.
        idle_timeout_seconds: a connection on which nothing was asked for so long is closed.
        close_timeout_seconds: a closing connection whose peer does not take the rest is cut after this.
        send_timeout_seconds: a peer that takes none of its answers for so long, while more wait than may, is cut.
        send_buffer_octets_max: of answers that a peer does not take; once with us and once with the system. Reading pauses above it.
        connections_max: further connections are closed at once.
        connections_per_address_max: the same for those that come from one address, so that one host cannot use up the port.
        connection_in_flight_max: requests of one connection in work; reading pauses above it.
        in_flight_max: requests of the whole network in work; above it the answer is "overloaded" (90).
        requests_per_second_max: business requests in the long run; above it the answer is "overloaded" (90). Unset: no limit.
        requests_burst_max: so many may come at once before that rate counts.
    """

    id: str = Field(pattern=ACQUIRER_ID_PATTERN)
    role: Literal["they_connect", "we_connect", "both"] = "they_connect"
    dialect: DialectName = "datafono"
    listen_host: ListenHost = "127.0.0.1"
    listen_port: PortNumber
    allowed_peers: Annotated[tuple[PeerRange, ...], Field(max_length=256)] = ()
    links: LinksSection | None = None
    notices: NoticesSection | None = None
    tls: TlsSection | None = None
    framing: Literal["binary2", "ascii4"] = "binary2"
    has_tpdu: bool = True
    both_bitmaps: bool = False
    frame_octets_max: int = Field(default=2048, ge=64, le=FRAME_OCTETS_CEILING)
    mac: MacSection
    state: Literal["serving", "stopped", "draining"] = "serving"
    sells: SellsSection = Field(default_factory=SellsSection)
    response_codes: dict[CodeName, CodeSpelling] = Field(default_factory=dict)
    response_texts: dict[CodeName, ResponseText] = Field(default_factory=dict)
    tells_balance: bool = False
    is_sign_on_required: bool = False
    network_terminals: tuple[str, ...] = ()
    cut_over_time: CutOverTime | None = None
    settlement_directory: HomePath | None = None
    reversal_policy: Literal["stands", "parked"] = "stands"
    parked_sale_centavos_max: Annotated[int, Field(ge=0)] = 5_000_000
    parked_terminal_day_centavos_max: Annotated[int, Field(ge=0)] = 10_000_000
    answer_deadline_seconds: Seconds = 12.0
    frame_timeout_seconds: Seconds = 10.0
    keep_alive_interval_seconds: Seconds = 10.0
    idle_timeout_seconds: Seconds = 300.0
    close_timeout_seconds: Seconds = 5.0
    send_timeout_seconds: Seconds = 30.0
    send_buffer_octets_max: int = Field(default=65536, ge=4096, le=1 << 20)
    connections_max: Annotated[int, Field(ge=1, le=65536)] = 2000
    connections_per_address_max: Annotated[int, Field(ge=1, le=65536)] = 1000
    connection_in_flight_max: Annotated[int, Field(ge=1, le=4096)] = 64
    in_flight_max: Annotated[int, Field(ge=1, le=65536)] = 4096
    requests_per_second_max: Annotated[int, Field(ge=1, le=100_000)] | None = None
    requests_burst_max: Annotated[int, Field(ge=1, le=100_000)] = 100

    @model_validator(mode="before")
    @classmethod
    def _follow_the_dialect(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        usual = USUAL_FRAMES.get(str(value.get("dialect", "datafono")), USUAL_FRAMES["datafono"])
        # Without a port of its own it listens nowhere; the key stays required where there is one.
        nowhere = {"listen_port": 0} if value.get("role") == "we_connect" else {}
        return {"framing": usual[0], "has_tpdu": usual[1], **nowhere, **value}

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.connection_in_flight_max > self.in_flight_max:
            raise ValueError("connection_in_flight_max is above in_flight_max: one connection could use up the network")
        if self.idle_timeout_seconds < self.frame_timeout_seconds:
            raise ValueError("idle_timeout_seconds is below frame_timeout_seconds: the frame timer could never end")
        return self

    @model_validator(mode="after")
    def _notices_can_be_sent(self) -> Self:
        notices = self.notices
        if notices is None:
            return self
        if self.role == "they_connect" and not notices.over_their_links:
            raise ValueError("notices need links that we open, or notices.over_their_links = true")
        if "settlement" in notices.kinds and self.settlement_directory is None:
            raise ValueError("settlement notices tell of the file in settlement_directory, which is missing")
        if "settlement" in notices.kinds and not self.network_terminals:
            raise ValueError("settlement notices name the first of network_terminals, of which there is none")
        return self

    @model_validator(mode="after")
    def _links_fit_the_role(self) -> Self:
        if (self.links is None) is not (self.role == "they_connect"):
            raise ValueError(f"role {self.role} goes {'without' if self.links else 'with'} a table links")
        if self.role == "we_connect" and self.listen_port:
            raise ValueError("role we_connect has no port: leave listen_port out")
        if self.links is not None and self.tls is not None and self.tls.client_ca_file is None:
            raise ValueError(
                "tls.client_ca_file is missing: a host is only known by the authority that signed its certificate"
            )
        if self.links is not None and self.links.echo_interval_seconds >= self.idle_timeout_seconds:
            raise ValueError(
                "links.echo_interval_seconds is not below idle_timeout_seconds: every quiet link would be closed"
            )
        return self
