"""The security module as the switch sees it: several links, one of which answers.

**Which link.** The first usable one in the order of configuration; those that let a request expire and have not been heard since come
last. Not round robin: the modules count what they mint and remember what they were asked, so as long as the first one lives, one module
has the whole story; the others are there for when it does not. A full link passes the request on to the next.

**What the errors mean.** `ModuleUnavailable`: nothing was minted. `ModuleOutcomeUnknown`: only from `mint`; it was written to a module
and no answer came by the deadline. `ModuleRefused`: a module said no.
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint

from hsm_client.call import Call, MintCall, T
from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.link import Link
from hsm_client.observer import LinkObserver, LinkState, SilentObserver
from hsm_client.session import InFlightLimitError
from messages.security_module import (
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    GenerateMac,
    Identify,
    IdentifyReply,
    KeyRetired,
    LocalFieldError,
    MacReply,
    MacVerified,
    MakeSessionKey,
    ReadCounters,
    RegisterCount,
    Reply,
    Request,
    RetireKey,
    SessionKeyMade,
    SessionKeyTaken,
    Status,
    TakeSessionKey,
    VerifyMac,
    VerifyToken,
    VerifyTokenReply,
)
from vending.engineering import KeyChangeRequest
from vending.ports import MacKey, MintRequest, ModuleRefused
from vending.secret import Secret
from vending.session_key import SessionKey


class SecurityModulePool:
    """`vending.ports.SecurityModule` over the network.

    Every method takes ``timeout_seconds``, how long its caller still has; that, or the limit's if it is shorter, is how long a call
    may take, and the Deferred fires within that time.
    Cancelling it means that nobody wants the answer; it does not undo a mint.

    Args:
        endpoints: (name, endpoint) of each module in order of preference, one at least. All hold the same keys.
        clock: the reactor, or a `task.Clock`.
        random: draws evenly from [0, 1), for the jitter of reconnecting.
        observer: is told what happens on the links.
        link_limits: see there.
        limits: see there.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[str, IStreamClientEndpoint]],
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        observer: LinkObserver | None = None,
        link_limits: LinkLimits | None = None,
        limits: PoolLimits | None = None,
    ) -> None:
        assert endpoints, "a pool needs a module"
        self._clock = clock
        self._observer = observer or SilentObserver()
        self._limits = limits or PoolLimits()
        self._is_running = False
        self._ready: tuple[Link, ...] = ()
        self._waiting: dict[MintCall, IDelayedCall] = {}
        self._links = tuple(
            Link(
                name=name,
                endpoint=endpoint,
                clock=clock,
                random=random,
                limits=link_limits or LinkLimits(),
                observer=self._observer,
                on_change=self._links_changed,
            )
            for name, endpoint in endpoints
        )

    # --- for the owner ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect all links and keep them connected. Returns at once; see `is_up`."""
        self._is_running = True
        for link in self._links:
            link.start()

    def stop(self) -> Deferred[None]:
        """Close all links and stay closed; fires when nothing is left.

        What is under way fails: mint calls that were written as unknown, everything else as unavailable. Drain first.
        """
        self._is_running = False
        self._ready = ()
        self._resume_waiting()
        return gatherResults([link.stop() for link in self._links]).addCallback(lambda _: None)

    @property
    def is_up(self) -> bool:
        """Whether a request made now would be sent."""
        return bool(self._ready)

    @property
    def states(self) -> Mapping[str, LinkState]:
        """Where each link stands, by name, in order of preference."""
        return {link.name: link.state for link in self._links}

    @property
    def identities(self) -> Mapping[str, IdentifyReply | None]:
        """Who each module said it is, last time it was asked; None if it never was."""
        return {link.name: link.identity for link in self._links}

    # --- the port ---------------------------------------------------------------------------------------------------------

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Deferred[Sequence[Secret[str]]]:
        """Mint the tokens of one sale: 20 digits each, in the order asked for.

        Raises:
            ModuleUnavailable: nothing was minted.
            ModuleOutcomeUnknown: it may have been; ask again by the same id.
            ModuleRefused: nothing was minted and nothing will be under this id.
        """
        return self._start(MintCall(self, request, self._deadline(timeout_seconds), self._limits.mint_attempts_max))

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Deferred[Sequence[Secret[str]]]:
        """Make the tokens that move a meter to another key, in the order of entry. Raises as `mint`."""
        return self._start(MintCall(self, request, self._deadline(timeout_seconds), self._limits.mint_attempts_max))

    def generate_mac(self, key: MacKey, data: bytes, *, timeout_seconds: float | None = None) -> Deferred[bytes]:
        """Return 8 octets of MAC over *data*. Raises `ModuleUnavailable`, `ModuleRefused`."""
        return self._ask(GenerateMac(key=key, data=data), _read_mac, timeout_seconds)

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """Return if *mac* is right, else raise `MacMismatch`. Also raises `ModuleUnavailable`, `ModuleRefused`."""
        return self._ask(VerifyMac(key=key, data=data, mac=mac), _read_verified, timeout_seconds)

    def make_session_key(
        self, zone_register_id: int, generation: int, *, timeout_seconds: float | None = None
    ) -> Deferred[SessionKey]:
        """Return our session key of a generation, the same from any module. Raises `ModuleUnavailable`, `ModuleRefused`."""
        request = MakeSessionKey(zone_register_id=zone_register_id, generation=generation)
        return self._ask(request, _read_session_key, timeout_seconds)

    def take_session_key(
        self, zone_register_id: int, generation: int, wrapped: bytes, kcv: str, *, timeout_seconds: float | None = None
    ) -> Deferred[SessionKey]:
        """Take a partner's session key in. Raises `ModuleUnavailable`, `ModuleRefused` (status 55: not what *kcv* says)."""
        request = TakeSessionKey(zone_register_id=zone_register_id, generation=generation, kcv=kcv, wrapped=wrapped)
        return self._ask(request, _read_session_key, timeout_seconds)

    def retire_key(
        self, zone_register_id: int, key: MacKey, seconds: int, *, timeout_seconds: float | None = None
    ) -> Deferred[SessionKey]:
        """Return a token of *key* that ends *seconds* from now. Raises `ModuleUnavailable`, `ModuleRefused`."""
        request = RetireKey(zone_register_id=zone_register_id, key=key, seconds=seconds)
        return self._ask(request, _read_session_key, timeout_seconds)

    def verify_token(self, request: VerifyToken, *, timeout_seconds: float | None = None) -> Deferred[VerifyTokenReply]:
        """Return what a token holds. Raises `ModuleUnavailable`, `ModuleRefused` (status 02: it is no token of that meter)."""
        return self._ask(request, _read_verified_token, timeout_seconds)

    def counters(self, *, timeout_seconds: float | None = None) -> Deferred[Mapping[int, RegisterCount]]:
        """Return what each register of the answering module has minted, by its id. Raises `ModuleUnavailable`, `ModuleRefused`."""
        return self._ask(ReadCounters(), _read_counts, timeout_seconds)

    def identify(self, *, timeout_seconds: float | None = None) -> Deferred[IdentifyReply]:
        """Return who the answering module is. Raises `ModuleUnavailable`, `ModuleRefused`."""
        return self._ask(Identify(), _read_identity, timeout_seconds)

    def decoder_key(self, request: DecoderKey, *, timeout_seconds: float | None = None) -> Deferred[Secret[bytes]]:
        """Return one meter's decoder key, to be put into it. Raises `ModuleUnavailable`, `ModuleRefused`."""
        return self._ask(request, _read_key, timeout_seconds)

    # --- for the calls ----------------------------------------------------------------------------------------------------

    def place(self, call: Call[T], avoid: Sequence[Link], *, is_last: bool) -> Link | None:
        """See `hsm_client.call.Dispatcher`."""
        timeout_seconds = call.deadline_seconds - self._clock.seconds()
        ready = self._ready
        if timeout_seconds <= 0 or not ready:
            return None
        if not is_last and len(ready) > 1:
            timeout_seconds = min(timeout_seconds, self._limits.attempt_timeout_seconds)
        for link in ready:
            # A link may have fallen since, while others were being told.
            if link not in avoid and link.is_usable:
                try:
                    link.send(call.request, call, timeout_seconds)
                except InFlightLimitError:
                    continue
                if call.attempts:
                    self._observer.request_retried(link.name)
                call.attempts += 1
                return link
        return None

    @property
    def has_one_module(self) -> bool:
        """See `hsm_client.call.Dispatcher`."""
        return len(self._links) == 1

    def wait(self, call: MintCall) -> bool:
        """See `hsm_client.call.Dispatcher`."""
        left_seconds = call.deadline_seconds - self._clock.seconds()
        if not self._is_running or left_seconds <= 0 or len(self._waiting) >= self._limits.waiting_max:
            return False
        self._waiting[call] = self._clock.callLater(left_seconds, self._waited_in_vain, call)
        return True

    # --- inside -----------------------------------------------------------------------------------------------------------

    def _deadline(self, timeout_seconds: float | None) -> float:
        limit = self._limits.timeout_seconds
        return self._clock.seconds() + (limit if timeout_seconds is None else min(limit, timeout_seconds))

    def _ask(self, request: Request, read: Callable[[Reply], T], timeout_seconds: float | None) -> Deferred[T]:
        return self._start(Call(self, request, read, self._deadline(timeout_seconds)))

    def _start(self, call: Call[T]) -> Deferred[T]:
        try:
            call.start()
        except LocalFieldError as error:
            # What the protocol cannot even say, no module will ever do; nothing was sent.
            return fail(ModuleRefused(Status.FORMAT_ERROR.code, f"{Status.FORMAT_ERROR.meaning}: {error}"))
        return call.result

    def _links_changed(self) -> None:
        if not self._is_running:
            return
        usable = [link for link in self._links if link.is_usable]
        self._ready = tuple(sorted(usable, key=lambda link: link.is_suspect))
        if self._ready:
            self._resume_waiting()

    def _resume_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for call, timer in waiting.items():
            timer.cancel()
            call.resume()

    def _waited_in_vain(self, call: MintCall) -> None:
        del self._waiting[call]
        call.resume()


def _read_mac(reply: Reply) -> bytes:
    assert isinstance(reply, MacReply)
    return reply.mac


def _read_session_key(reply: Reply) -> SessionKey:
    assert isinstance(reply, SessionKeyMade | SessionKeyTaken | KeyRetired)
    return reply.key


def _read_verified(reply: Reply) -> None:
    assert isinstance(reply, MacVerified)


def _read_verified_token(reply: Reply) -> VerifyTokenReply:
    assert isinstance(reply, VerifyTokenReply)
    return reply


def _read_counts(reply: Reply) -> Mapping[int, RegisterCount]:
    assert isinstance(reply, CountersReply)
    return {count.register_id: count for count in reply.counts}


def _read_identity(reply: Reply) -> IdentifyReply:
    assert isinstance(reply, IdentifyReply)
    return reply


def _read_key(reply: Reply) -> Secret[bytes]:
    assert isinstance(reply, DecoderKeyReply)
    return reply.key
