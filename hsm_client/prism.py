"""A PrismToken-style token service behind the port of the security module: it makes tokens, and no MACs.

**Which service an id belongs to.** Services do not know of each other, and each chooses the identifiers of its tokens. So an id whose outcome
is not known is asked again (``fetchTokenResult``) where it was asked, and one that may have been asked by whomever is looked for at all of
them before it is issued anywhere; while one is away that cannot be answered, and nothing is issued.

**One token for each sale.** The service makes one credit token in a call. Two calls could end differently, so an order for more than one is
refused before anything is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from hsm_client.limits import LinkLimits, PoolLimits
from hsm_client.link import Link
from hsm_client.observer import LinkObserver, LinkState
from hsm_client.prism_errors import Meaning, fault_of
from hsm_client.prism_wire import Account, PrismWire
from hsm_client.session import InFlightLimitError
from messages.prism import PrismCall, PrismFault, PrismMessages, PrismResult
from messages.security_module import Status
from sts.codes import BaseDate
from sts.pan import parse_pan
from sts.tid import instant_of
from vending.engineering import KeyChangeRequest
from vending.money import Tenths
from vending.ports import MintRequest, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.secret import Secret

EXTERNAL_CLOCK = 1
"""Flag: the time of the token is ours."""
CREDIT_CLASS = 0
MANAGEMENT_CLASS = 2
LOOK_SECONDS = 0.05
"""How often a call whose outcome is not known looks whether its link is there again."""
TOKEN_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismRegister:
    """What the service must be told of a key that the ledger knows by its register."""

    supply_group_code: int
    key_revision_number: int
    key_expiry_number: int
    base_date: BaseDate


class PrismNews(Protocol):
    """What an auditor wants to read of tokens that a service made. Must not raise, and must be quick."""

    def token_made(self, link: str, request_id: int, *, module_id: str, key_check_value: str, tid: int) -> None:
        """A token was made, by which module and key and with which identifier."""

    def tid_differs(self, link: str, request_id: int, *, asked: int, got: int) -> None:
        """The token has another identifier than the ledger's: the service moved it to keep it unique. The token is good."""


def amount_of(units: Tenths) -> float:
    """Return the number nearest to *units* in whole units, as the interface wants amounts; `exact_units` takes it back.

    >>> amount_of(Tenths(491))
    49.1
    """
    return float(f"{units // 10}.{units % 10}")


def exact_units(amount: float) -> Tenths | None:
    """Return the tenths that *amount* is the nearest number to, None if it is no tenth.

    >>> exact_units(49.1), exact_units(49.15)
    (491, None)
    """
    tenths = Decimal(repr(amount)) * 10
    return Tenths(int(tenths)) if tenths.is_finite() and tenths == int(tenths) else None


class _Unwritten(Exception):
    """The call certainly never left."""


class _Lost(Exception):
    """The call may have arrived, and no answer came."""


class PrismModule:
    """The minting half of `vending.ports.SecurityModule`, over the network.

    Args:
        endpoints: (name, endpoint) of each service, in order of preference.
        messages: the interface.
        account: for signing in.
        registers: by the register's number in the ledger.
        carrier_type: of all meters: 2 where tokens are typed.
        news: is told of every token.
        new_id: makes ids for calls that mint nothing.
        clock, random, observer, link_limits, limits: as for `hsm_client.pool.SecurityModulePool`.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[str, IStreamClientEndpoint]],
        *,
        messages: PrismMessages,
        account: Account,
        registers: Mapping[int, PrismRegister],
        carrier_type: int,
        news: PrismNews,
        new_id: Callable[[], str],
        clock: IReactorTime,
        random: Callable[[], float],
        observer: LinkObserver,
        link_limits: LinkLimits,
        limits: PoolLimits,
    ) -> None:
        self._structures = messages.structures
        self._registers = registers
        self._carrier_type = carrier_type
        self._news = news
        self._new_id = new_id
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._signing_in = {name: DeferredLock() for name, _ in endpoints}
        self._wires = {name: PrismWire(messages, account, new_id) for name, _ in endpoints}
        self._links = tuple(
            Link(
                name=name,
                endpoint=endpoint,
                clock=clock,
                random=random,
                limits=link_limits,
                observer=observer,
                on_change=lambda: None,
                wire=self._wires[name],
            )
            for name, endpoint in endpoints
        )

    def start(self) -> None:
        """Connect all links, sign in, and stay so. Returns at once; see `is_up`."""
        for link in self._links:
            link.start()

    def stop(self) -> Deferred[None]:
        """Close all links; fires when nothing is left. What is under way becomes unknown."""
        return gatherResults([link.stop() for link in self._links]).addCallback(lambda _: None)

    @property
    def is_up(self) -> bool:
        """Whether a request made now would be sent."""
        return any(link.is_usable for link in self._links)

    @property
    def states(self) -> Mapping[str, LinkState]:
        """Where each link stands, by name, in order of preference."""
        return {link.name: link.state for link in self._links}

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Deferred[Sequence[Secret[str]]]:
        """See `vending.ports.SecurityModule`. Approvals and the amount charged are not for this kind of module, and not sent."""
        return ensureDeferred(self._mint(request, timeout_seconds))

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Deferred[Sequence[Secret[str]]]:
        """See `vending.ports.SecurityModule`."""
        return ensureDeferred(self._change_key(request, timeout_seconds))

    def verify_token(
        self, register_id: int, pan: str, tariff_index: int, encryption_algorithm: int, token: Secret[str]
    ) -> Deferred[str]:
        """Return what the service says of a token: ``EVerify.Ok``, ``EVerify.Crc``, ``EVerify.KeyExpired`` and so on.

        Raises:
            ModuleUnavailable, ModuleRefused: nobody said anything.
        """
        meter = self._meter(register_id, pan, tariff_index, encryption_algorithm)
        arguments = {"messageId": self._new_id(), "meterConfig": meter, "tokenDec": token}
        return ensureDeferred(self._verify(PrismCall(name="verifyToken", arguments=arguments)))

    async def _verify(self, call: PrismCall) -> str:
        deadline_seconds = self._deadline(None)
        for link in self._ready():
            try:
                reply = await self._ask(link, call, deadline_seconds)
            except (_Unwritten, _Lost):
                continue
            if isinstance(reply, PrismResult):
                return str(reply.value.validationResult)
            if reply.code.startswith("EVerify"):
                return reply.code
            if fault_of(reply.code).meaning is Meaning.VERDICT:
                raise _refused(reply)
        raise ModuleUnavailable("no service said anything of the token")

    async def _mint(self, request: MintRequest, timeout_seconds: float | None) -> Sequence[Secret[str]]:
        if len(request.tokens) != 1:
            raise ModuleRefused(Status.FORMAT_ERROR.code, "this kind of module makes one token for each sale")
        register = self._register(request.register_id)
        ((tid, units),) = request.tokens
        arguments = {
            "messageId": str(request.request_id),
            "meterConfig": self._meter(
                request.register_id, request.pan, request.tariff_index, request.encryption_algorithm
            ),
            "subclass": request.subclass,
            "transferAmount": amount_of(units),
            "tokenTime": int(instant_of(tid, register.base_date).timestamp()),
            "flags": EXTERNAL_CLOCK,
        }
        call = PrismCall(name="issueCreditToken", arguments=arguments)
        link, made = await self._issue(call, request.may_be_minted, self._deadline(timeout_seconds))
        if [each.tokenClass for each in made] != [CREDIT_CLASS]:
            # Key-change tokens in front would have to be typed first. We asked for none, and the books say that the meter needs none.
            classes = "/".join(f"{each.tokenClass}.{each.subclass}" for each in made)
            raise ModuleOutcomeUnknown(f"the service made tokens {classes} where one credit token was asked for")
        (token,) = made
        if exact_units(token.transferAmount) != units or token.subclass != request.subclass:
            raise ModuleOutcomeUnknown(
                f"the service made a token for {token.transferAmount} and not for {units} tenths"
            )
        if token.tid != tid:
            self._news.tid_differs(link.name, request.request_id, asked=tid, got=token.tid)
        return self._digits(link, request.request_id, made)

    async def _change_key(self, request: KeyChangeRequest, timeout_seconds: float | None) -> Sequence[Secret[str]]:
        to = self._register(request.to_register_id)
        meter = self._meter(
            request.from_register_id, request.pan, request.from_tariff_index, request.encryption_algorithm
        )
        meter.allow3Kct = request.sections == 3
        arguments = {
            "messageId": str(request.request_id),
            "meterConfig": meter,
            "newConfig": self._structures.MeterConfigAmendment(
                toSgc=to.supply_group_code, toKrn=to.key_revision_number, toTi=request.to_tariff_index
            ),
        }
        call = PrismCall(name="issueKeyChangeTokens", arguments=arguments)
        link, made = await self._issue(call, request.may_be_minted, self._deadline(timeout_seconds))
        if [each.tokenClass for each in made] != [MANAGEMENT_CLASS] * request.sections:
            raise ModuleOutcomeUnknown(f"the service made {len(made)} tokens where {request.sections} change the key")
        return self._digits(link, request.request_id, made)

    async def _issue(self, call: PrismCall, may_be_minted: bool, deadline_seconds: float) -> tuple[Link, Sequence[Any]]:
        """Have something made once, and return where it was and what it is."""
        if may_be_minted and (found := await self._find_anywhere(call, deadline_seconds)) is not None:
            return found
        for link in self._ready():
            try:
                reply = await self._ask(link, call, deadline_seconds)
            except _Unwritten:
                continue
            except _Lost:
                return await self._ask_until_known(link, call, deadline_seconds)
            if isinstance(reply, PrismResult):
                return link, reply.value
            meaning = fault_of(reply.code).meaning
            if meaning is Meaning.VERDICT:
                if may_be_minted:
                    # What a service says now is no proof that it did nothing before, if it forgot.
                    raise ModuleOutcomeUnknown(f"asked before, now {reply.code}")
                raise _refused(reply)
            if meaning in (Meaning.UNKNOWN, Meaning.NOT_KNOWN):
                return await self._ask_until_known(link, call, deadline_seconds)
        raise ModuleUnavailable("no service can take it")

    async def _find_anywhere(self, call: PrismCall, deadline_seconds: float) -> tuple[Link, Sequence[Any]] | None:
        for link in self._links:
            try:
                if not link.is_usable:
                    raise _Unwritten
                reply = await self._ask(link, self._fetch(call), deadline_seconds)
            except (_Unwritten, _Lost):
                raise ModuleUnavailable(f"{link.name}, which may have been asked before, is away") from None
            if isinstance(reply, PrismResult):
                return link, reply.value
            if fault_of(reply.code).meaning is not Meaning.NOT_KNOWN:
                raise ModuleUnavailable(f"{link.name}, which may have been asked before, says {reply.code}")
        return None

    async def _ask_until_known(
        self, link: Link, call: PrismCall, deadline_seconds: float
    ) -> tuple[Link, Sequence[Any]]:
        """Ask the service that may have done it what became of it; if it knows nothing of it, have it done there."""
        asked = self._fetch(call)
        reason = "no answer in time"
        for _ in range(self._limits.mint_attempts_max):
            while not link.is_usable and self._clock.seconds() < deadline_seconds:
                await self._pause(LOOK_SECONDS)
            try:
                self._observer.request_retried(link.name)
                reply = await self._ask(link, asked, deadline_seconds)
            except _Unwritten:
                continue
            except _Lost:
                asked = self._fetch(call)
                continue
            if isinstance(reply, PrismResult):
                return link, reply.value
            reason = reply.code
            meaning = fault_of(reply.code).meaning
            if meaning is Meaning.NOT_KNOWN and asked is not call:
                asked = call
            elif meaning is Meaning.VERDICT:
                break
            else:
                asked = self._fetch(call)
                await self._pause(LOOK_SECONDS)
        raise ModuleOutcomeUnknown(f"{link.name}: {reason}")

    def _fetch(self, call: PrismCall) -> PrismCall:
        arguments = {"messageId": self._new_id(), "reqMessageId": call.arguments["messageId"]}
        return PrismCall(name="fetchTokenResult", arguments=arguments)

    async def _ask(self, link: Link, call: PrismCall, deadline_seconds: float) -> PrismResult | PrismFault:
        """Ask on one link, with a new access token if the old one is over."""
        signed_in = link.identity
        reply = await self._ask_with(link, call, deadline_seconds)
        if not (isinstance(reply, PrismFault) and fault_of(reply.code).meaning is Meaning.SIGN_IN):
            return reply
        lock = self._signing_in[link.name]
        await lock.acquire()
        try:
            if link.identity is signed_in:
                await self._renew(link, deadline_seconds)
        finally:
            lock.release()
        return await self._ask_with(link, call, deadline_seconds)

    async def _renew(self, link: Link, deadline_seconds: float) -> None:
        wire = self._wires[link.name]
        try:
            reply = await self._send(link, wire.sign_in(), deadline_seconds)
        except _Lost:
            # The call that the access token is for was refused, so nothing was made.
            raise _Unwritten from None
        link.identity = wire.identity(reply) or link.identity

    async def _ask_with(self, link: Link, call: PrismCall, deadline_seconds: float) -> PrismResult | PrismFault:
        if not link.is_usable:
            raise _Unwritten
        arguments = {**call.arguments, "accessToken": link.identity.access_token}
        return await self._send(link, PrismCall(name=call.name, arguments=arguments), deadline_seconds)

    async def _send(self, link: Link, call: PrismCall, deadline_seconds: float) -> PrismResult | PrismFault:
        left_seconds = deadline_seconds - self._clock.seconds()
        if not link.is_usable or left_seconds <= 0:
            raise _Unwritten
        waiter = _Waiter()
        try:
            link.send(call, waiter, left_seconds)
        except InFlightLimitError:
            raise _Unwritten from None
        return await waiter.result

    def _pause(self, seconds: float) -> Deferred[None]:
        paused: Deferred[None] = Deferred()
        self._clock.callLater(seconds, paused.callback, None)
        return paused

    def _ready(self) -> Sequence[Link]:
        return [link for link in sorted(self._links, key=lambda link: link.is_suspect) if link.is_usable]

    def _deadline(self, timeout_seconds: float | None) -> float:
        limit = self._limits.timeout_seconds
        return self._clock.seconds() + (limit if timeout_seconds is None else min(limit, timeout_seconds))

    def _register(self, register_id: int) -> PrismRegister:
        register = self._registers.get(register_id)
        if register is None:
            raise ModuleRefused(Status.UNKNOWN_REGISTER.code, f"register {register_id} is not in the configuration")
        return register

    def _meter(self, register_id: int, pan: str, tariff_index: int, encryption_algorithm: int) -> Any:
        register = self._register(register_id)
        return self._structures.MeterConfigIn(
            drn=parse_pan(pan, is_compliance_test=True).drn,
            ea=encryption_algorithm,
            tct=self._carrier_type,
            sgc=register.supply_group_code,
            krn=register.key_revision_number,
            ti=tariff_index,
            ken=register.key_expiry_number,
            # Keys are changed when the ledger says so and never beside a sale.
            allowKrnUpdate=False,
            allow3Kct=False,
            allowKenUpdate=False,
        )

    def _digits(self, link: Link, request_id: int, made: Sequence[Any]) -> Sequence[Secret[str]]:
        for each in made:
            if len(each.tokenDec) != TOKEN_DIGITS or not (each.tokenDec.isascii() and each.tokenDec.isdigit()):
                raise ModuleOutcomeUnknown("the service made something that is no token")
            self._news.token_made(link.name, request_id, module_id=each.idSm, key_check_value=each.vkKcv, tid=each.tid)
        return tuple(Secret(each.tokenDec) for each in made)


def _refused(fault: PrismFault) -> ModuleRefused:
    status = fault_of(fault.code).status
    return ModuleRefused(status.code, f"{fault.code}: {status.meaning}")


class _Waiter:
    """A `hsm_client.link.Waiter` as a Deferred."""

    def __init__(self) -> None:
        self.result: Deferred[PrismResult | PrismFault] = Deferred()

    def answered(self, reply: PrismResult | PrismFault) -> None:
        if not self.result.called:
            self.result.callback(reply)

    def unwritten(self) -> None:
        self._fail(_Unwritten())

    def lost(self) -> None:
        self._fail(_Lost())

    def expired(self) -> None:
        self._fail(_Lost())

    def _fail(self, error: Exception) -> None:
        if not self.result.called:
            self.result.errback(error)
