"""Section ``acquirers.<id>``: one network that sells for the utility, with a port and limits of its own."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.section import ListenHost, PortNumber, Seconds, Section

FRAME_OCTETS_CEILING = 4096
"""No port takes longer frames. Our longest message is near 1 300 octets, and a TLS hello or an HTTP request read as a two-octet
length asks for 5 635 octets or more, so below this ceiling it is known for what it is from its first two octets."""

ACQUIRER_ID_PATTERN = r"^[a-z][a-z0-9_-]{0,30}$"
"""Ids are keys of the ledger, labels of metrics and parts of environment variables, hence lower case and plain."""


class MacSection(Section):
    """How messages of this network are authenticated.

    Attributes:
        scheme: MAC algorithm, by the name the security module knows it under.
        register_id: key register of the security module that holds the key.
        is_diversified_by_terminal: whether each terminal has a key of its own, derived from the register's by terminal id.
    """

    scheme: Literal["X9.19", "AES-CMAC"] = "X9.19"
    register_id: int = Field(ge=1, le=2**31 - 1)
    is_diversified_by_terminal: bool = True


class AcquirerSection(Section):
    """A network: its dialect, its port, what it may use of us.

    Attributes:
        id: the name of its table in the file, repeated here by the loader.
        dialect: which message adapter serves it.
        listen_host: local address of its port.
        listen_port: its TCP port; 0 lets the system choose one.
        framing: how a frame's length is written: ``binary2`` two octets, most significant first; ``ascii4`` four digits.
        has_tpdu: whether a 5-octet TPDU stands before the message.
        frame_octets_max: longest frame; a longer one ends the connection.
        mac: authentication; a network without it is not served.
        is_sign_on_required: whether financial messages are refused (77) before an 0800 sign-on on the same connection.
        network_terminals: terminals that speak for the whole network: only they may ask for its cut-over (0800/201) and its totals
            (0520). Without any, nobody may. In the environment: a JSON list.
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
    """

    id: str = Field(pattern=ACQUIRER_ID_PATTERN)
    dialect: Literal["datafono"] = "datafono"
    listen_host: ListenHost = "127.0.0.1"
    listen_port: PortNumber
    framing: Literal["binary2", "ascii4"] = "binary2"
    has_tpdu: bool = True
    frame_octets_max: int = Field(default=2048, ge=64, le=FRAME_OCTETS_CEILING)
    mac: MacSection
    is_sign_on_required: bool = False
    network_terminals: tuple[str, ...] = ()
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

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.connection_in_flight_max > self.in_flight_max:
            raise ValueError("connection_in_flight_max is above in_flight_max: one connection could use up the network")
        if self.idle_timeout_seconds < self.frame_timeout_seconds:
            raise ValueError("idle_timeout_seconds is below frame_timeout_seconds: the frame timer could never end")
        return self
