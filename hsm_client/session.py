"""One connection's worth of the security-module protocol, pure: requests in, octets out; octets in, paired answers out.

Nothing here knows a socket, a clock or a reactor: times are handed in. Answers may come in any order; each is given to the waiter of
its own request or to nobody.
"""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from messages.security_module import (
    AcceptClock,
    AcceptLease,
    AskLease,
    ClockAccepted,
    CloseLease,
    Command,
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    EngineeringReply,
    EngineeringRequest,
    FindMints,
    FindMintsReply,
    FrameReader,
    GenerateMac,
    Identify,
    IdentifyReply,
    KeyChangeReply,
    KeyChangeRequest,
    KeyRetired,
    LeaseAccepted,
    LeaseClosed,
    LeaseGiven,
    LeaseLeft,
    LinkError,
    ListMints,
    ListMintsReply,
    ListWork,
    ListWorkReply,
    MacReply,
    MacVerified,
    MakeSessionKey,
    MintReply,
    ReadCounters,
    ReadLease,
    Refused,
    Reply,
    Request,
    RetireKey,
    RevokeTerminal,
    SessionKeyMade,
    SessionKeyTaken,
    TakeSessionKey,
    TerminalRevoked,
    VerifyMac,
    VerifyToken,
    VerifyTokenReply,
    decode_reply,
    encode_request,
)
from vending.ports import MintRequest

W = TypeVar("W")

_ANSWERED_BY: dict[type[Request], tuple[type[Reply], Command]] = {
    MintRequest: (MintReply, Command.MINT),
    VerifyToken: (VerifyTokenReply, Command.VERIFY_TOKEN),
    GenerateMac: (MacReply, Command.GENERATE_MAC),
    VerifyMac: (MacVerified, Command.VERIFY_MAC),
    ReadCounters: (CountersReply, Command.COUNTERS),
    Identify: (IdentifyReply, Command.IDENTIFY),
    DecoderKey: (DecoderKeyReply, Command.DECODER_KEY),
    ListMints: (ListMintsReply, Command.LIST_MINTS),
    FindMints: (FindMintsReply, Command.FIND_MINTS),
    ListWork: (ListWorkReply, Command.LIST_WORK),
    AcceptClock: (ClockAccepted, Command.ACCEPT_CLOCK),
    EngineeringRequest: (EngineeringReply, Command.ENGINEERING),
    KeyChangeRequest: (KeyChangeReply, Command.METER_KEY_CHANGE),
    MakeSessionKey: (SessionKeyMade, Command.MAKE_SESSION_KEY),
    TakeSessionKey: (SessionKeyTaken, Command.TAKE_SESSION_KEY),
    RetireKey: (KeyRetired, Command.RETIRE_KEY),
    AskLease: (LeaseGiven, Command.ASK_LEASE),
    AcceptLease: (LeaseAccepted, Command.ACCEPT_LEASE),
    CloseLease: (LeaseClosed, Command.CLOSE_LEASE),
    ReadLease: (LeaseLeft, Command.READ_LEASE),
    RevokeTerminal: (TerminalRevoked, Command.REVOKE_TERMINAL),
}

_UNKNOWN = Command.UNKNOWN


class InFlightLimitError(Exception):
    """As many requests are under way on this link as it may have; nothing was sent."""


class RemoteProtocolError(Exception):
    """The module broke the protocol: nothing on this link can be trusted any more, drop it."""


class Wire(Protocol):
    """The language of a kind of module: how requests become frames and frames become answers. One for each link."""

    def encode(self, correlation_id: int, request: Any) -> bytes:
        """Return the frame of a request."""

    def decode(self, body: bytes) -> tuple[int, Any]:
        """Return correlation id and answer of a frame without its length; `LinkError` if it cannot be read."""

    def check(self, request: Any, reply: Any) -> None:
        """Raise `RemoteProtocolError` for an answer to another kind of question."""

    def probe(self, *, is_first: bool) -> Any:
        """Return the request that a link asks at its beginning, and later to hear whether it lives."""

    def identity(self, reply: Any) -> Any:
        """Return what the answer to a probe says of the module, None if nothing new."""

    def refusal(self, reply: Any) -> str | None:
        """Return why a probe was refused, None if it was not."""


class ModuleWire:
    """The language of this project's own security module."""

    def encode(self, correlation_id: int, request: Request) -> bytes:
        """See `Wire`."""
        return encode_request(correlation_id, request)

    def decode(self, body: bytes) -> tuple[int, Reply]:
        """See `Wire`."""
        return decode_reply(body)

    def check(self, request: Request, reply: Reply) -> None:
        """See `Wire`."""
        _check_answers(request, reply)

    def probe(self, *, is_first: bool) -> Request:
        """See `Wire`."""
        return Identify()

    def identity(self, reply: Reply) -> IdentifyReply | None:
        """See `Wire`."""
        return reply if isinstance(reply, IdentifyReply) else None

    def refusal(self, reply: Reply) -> str | None:
        """See `Wire`."""
        return f"{reply.status.code} {reply.status.meaning}" if isinstance(reply, Refused) else None


class ClientSession(Generic[W]):
    """Pairs requests with answers on one connection.

    A *waiter* is whatever the caller wants back with the answer; the session never looks at it.

    Args:
        in_flight_max: see `hsm_client.limits.LinkLimits`.
        abandoned_max: likewise.
        wire: the module's language; None: our own module's.
    """

    __slots__ = ("_abandoned", "_abandoned_max", "_in_flight", "_in_flight_max", "_reader", "_wire", "next_id")

    def __init__(self, *, in_flight_max: int, abandoned_max: int, wire: Wire | None = None) -> None:
        self._wire: Wire = wire or ModuleWire()
        self._reader = FrameReader()
        self._in_flight: dict[int, tuple[W, Any, float]] = {}
        self._in_flight_max = in_flight_max
        # Ids given up on, so that their late answers are told from answers to what was never asked.
        self._abandoned: set[int] = set()
        self._abandoned_max = abandoned_max
        self.next_id = 1
        """Correlation id of the next request: ids rise by one, so every request written before has a smaller one."""

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return len(self._in_flight)

    @property
    def is_stalled(self) -> bool:
        """Whether the module owes so many answers that the link is to be dropped."""
        return len(self._abandoned) > self._abandoned_max

    def send(self, request: Any, waiter: W, *, expires_at_seconds: float, is_probe: bool = False) -> bytes:
        """Take a request under way.

        Args:
            request: what to ask.
            waiter: comes back with the answer.
            expires_at_seconds: on the caller's clock; see `expire`.
            is_probe: may exceed the limit: a full link must still be asked whether it lives. The caller has one at a time.

        Returns:
            The frame to be written.

        Raises:
            InFlightLimitError: try elsewhere.
            messages.security_module.LocalFieldError: the request cannot be said in this protocol.
        """
        if len(self._in_flight) >= self._in_flight_max and not is_probe:
            raise InFlightLimitError
        correlation_id = self.next_id
        frame = self._wire.encode(correlation_id, request)
        self.next_id = correlation_id + 1
        self._in_flight[correlation_id] = (waiter, request, expires_at_seconds)
        return frame

    def receive(self, data: bytes) -> Iterator[tuple[W | None, Any]]:
        """Take octets, cut anywhere, and yield each answer with its waiter; None stands for one that came too late.

        Raises:
            RemoteProtocolError: while iterating, after the good answers before it have been yielded.
        """
        try:
            for body in self._reader.receive(data):
                correlation_id, reply = self._wire.decode(body)
                entry = self._in_flight.get(correlation_id)
                if entry is not None:
                    self._wire.check(entry[1], reply)
                    del self._in_flight[correlation_id]
                    yield entry[0], reply
                elif correlation_id in self._abandoned:
                    self._abandoned.discard(correlation_id)
                    yield None, reply
                else:
                    raise RemoteProtocolError(f"an answer to {correlation_id}, which waits for none")
        except LinkError as error:
            raise RemoteProtocolError(str(error)) from error

    def expire(self, now_seconds: float) -> list[W]:
        """Give up every request whose time is over and return their waiters, oldest first. Late answers will be dropped."""
        over = [
            (correlation_id, entry[0]) for correlation_id, entry in self._in_flight.items() if entry[2] <= now_seconds
        ]
        for correlation_id, _ in over:
            del self._in_flight[correlation_id]
            self._abandoned.add(correlation_id)
        return [waiter for _, waiter in over]

    def next_expiry_seconds(self) -> float | None:
        """When the first of the requests under way expires, None without any."""
        return min((entry[2] for entry in self._in_flight.values()), default=None)

    def close(self) -> list[tuple[int, W]]:
        """Give up everything; return (correlation id, waiter) of what was under way, oldest first."""
        left = [(correlation_id, entry[0]) for correlation_id, entry in self._in_flight.items()]
        self._in_flight.clear()
        self._abandoned.clear()
        return left


def _check_answers(request: Request, reply: Reply) -> None:
    """Refuse an answer that belongs to another kind of question, before anybody takes one MAC for another thing."""
    reply_type, command = _ANSWERED_BY[type(request)]
    if type(reply) is Refused:
        if reply.command is not command and reply.command is not _UNKNOWN:
            raise RemoteProtocolError(f"a {reply.command.name} refusal to a {command.name} request")
    elif type(reply) is not reply_type:
        raise RemoteProtocolError(f"a {type(reply).__name__} to a {command.name} request")
    elif type(reply) is MintReply and type(request) is MintRequest and len(reply.tokens) != len(request.tokens):
        raise RemoteProtocolError(f"{len(reply.tokens)} tokens where {len(request.tokens)} were asked for")
