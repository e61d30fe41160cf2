"""How a link speaks to a PrismToken-style service: it signs in first, and pings when it is quiet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hsm_client.session import RemoteProtocolError
from messages.prism import SEQUENCE_MAX, PrismCall, PrismFault, PrismMessages, PrismResult
from messages.security_module import LinkError
from vending.secret import Secret

PING = "ping"
SIGN_IN = "signInWithPassword"
_ECHO = "eudora"
_OPTIONS_VERSION = "1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the service knows us as."""

    realm: str
    username: str
    password: Secret[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """What a sign-in gave."""

    access_token: Secret[str]


class PrismWire:
    """A `hsm_client.session.Wire`.

    Args:
        messages: encodes and decodes.
        account: for signing in.
        new_id: makes ids for calls that mint nothing.
    """

    def __init__(self, messages: PrismMessages, account: Account, new_id: Callable[[], str]) -> None:
        self._messages = messages
        self._account = account
        self._new_id = new_id

    def encode(self, correlation_id: int, request: PrismCall) -> bytes:
        """See `hsm_client.session.Wire`."""
        if correlation_id > SEQUENCE_MAX:
            raise RemoteProtocolError("this link has used up its sequence numbers")
        return self._messages.encode_call(correlation_id, request)

    def decode(self, body: bytes) -> tuple[int, PrismResult | PrismFault]:
        """See `hsm_client.session.Wire`."""
        return self._messages.decode_answer(body)

    def check(self, request: PrismCall, reply: PrismResult | PrismFault) -> None:
        """See `hsm_client.session.Wire`."""
        if request.name != reply.name:
            raise RemoteProtocolError(f"an answer to {reply.name} where {request.name} was asked")
        if request.name == PING and isinstance(reply, PrismResult) and reply.value != _ECHO:
            raise LinkError("a ping came back changed")

    def probe(self, *, is_first: bool) -> PrismCall:
        """See `hsm_client.session.Wire`."""
        return self.sign_in() if is_first else PrismCall(name=PING, arguments={"sleepMs": 0, "echo": _ECHO})

    def sign_in(self) -> PrismCall:
        """Return the call for a new access token."""
        arguments = {
            "messageId": self._new_id(),
            "realm": self._account.realm,
            "username": self._account.username,
            "password": self._account.password,
            "sessionOpts": self._messages.structures.SessionOptions(version=_OPTIONS_VERSION),
        }
        return PrismCall(name=SIGN_IN, arguments=arguments)

    def identity(self, reply: Any) -> SignedIn | None:
        """See `hsm_client.session.Wire`."""
        if isinstance(reply, PrismResult) and reply.name == SIGN_IN:
            return SignedIn(access_token=Secret(str(reply.value)))
        return None

    def refusal(self, reply: Any) -> str | None:
        """See `hsm_client.session.Wire`."""
        return reply.code if isinstance(reply, PrismFault) else None
