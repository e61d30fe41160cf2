"""The recharge, and the payment without a token: reserve, mint, sign, post, answer. The answer leaves only after its commit."""

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import SaleCall
from acquirers.dialect import Dialect, Unreadable
from messages.iso_message import IsoMessage
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.meter_queue import MeterQueue, MeterQueueFull
from switch.seal import Seal
from switch.stages import Stages
from switch.steps import Books
from switch.stored_answer import store_answer
from vending.engineering import KeyChangeRequest
from vending.key_change import KeyChange
from vending.money import Centavos
from vending.order import (
    Busy,
    Conflict,
    Declined,
    Repeated,
    Reserved,
    ReservedSale,
    ReserveResult,
    SaleOrder,
    SalePost,
    SaleVoid,
    Unresolved,
)
from vending.ports import MintRequest, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable, SecurityModule
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret

BUSY_RETRY_SECONDS = 0.05
"""Pause before the ledger is asked again for a meter that another process holds; a sale there takes about that long."""


class Recharge:
    """The use case of one network.

    Args:
        busy_seconds_max: how long a sale waits for a meter that another process holds.
        tell_balance: puts the network's balance into its answers, where it wants to know.
        tells_outcome: whether the network is told what became of a sale that nobody waits for any more.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        seal: Seal,
        module: SecurityModule,
        books: Books,
        in_flight: InFlight,
        meters: MeterQueue,
        reactor: IReactorTime,
        busy_seconds_max: float,
        tell_balance: TellBalance = without_balance,
        tells_outcome: bool = False,
    ) -> None:
        self._tells_outcome = tells_outcome
        self._dialect = dialect
        self._seal = seal
        self._module = module
        self._books = books
        self._in_flight = in_flight
        self._meters = meters
        self._reactor = reactor
        self._busy_seconds_max = busy_seconds_max
        self._tell_balance = tell_balance

    async def sell(self, call: SaleCall, stages: Stages) -> Answered:
        """Sell, or find out what became of the same request before. Its MAC has been verified.

        Raises:
            Refusal: nothing is stored for this request; `IN_PROGRESS` is not final.
        """
        order = call.order
        if order.paid_centavos == 0:
            raise Refusal(ResponseCode.AMOUNT_INVALID, "zero")
        return await self._in_flight.once(order.key, order.digest, lambda: self._sell_on_meter(call, stages))

    async def resolve(self, sale: ReservedSale, stages: Stages) -> Answered:
        """Finish a sale that was reserved and left without an outcome; a repeat that comes meanwhile waits for it.

        Raises:
            Refusal: `IN_PROGRESS`; it stays reserved.
        """
        call = self._call_of(sale)
        return await self._in_flight.once(
            sale.key, call.order.digest, lambda: self.complete(call.message, sale, stages, may_be_minted=True)
        )

    def _call_of(self, sale: ReservedSale) -> SaleCall:
        """Read the request of *sale* again, so that whoever finishes it makes the answer that it would have got at first."""
        try:
            call = self._dialect.read(sale.request, acquirer_id=sale.key.acquirer_id, now=sale.reserved_at)
        except Unreadable as unreadable:
            raise AssertionError("a request that was once served cannot be read any more") from unreadable
        assert isinstance(call, SaleCall)
        return call

    async def _sell_on_meter(self, call: SaleCall, stages: Stages) -> Answered:
        order = call.order
        if call.message.is_repeat:
            # Its first copy may be what holds the meter, and then those who queue for it wait for this one.
            return await self._answer_for(call, await self._reserve(order, stages), stages)
        try:
            turn = self._meters.enter(order.meter_number, order.key.acquirer_id)
        except MeterQueueFull:
            raise Refusal(ResponseCode.METER_BUSY, "too many wait for this meter") from None
        if turn is not None:
            await turn
        try:
            if turn is not None and stages.is_too_late("meter_queue"):
                raise Refusal(ResponseCode.METER_BUSY, "waited for this meter past the deadline")
            return await self._answer_for(call, await self._reserve(order, stages), stages)
        finally:
            self._meters.leave(order.meter_number)

    async def _reserve(self, order: SaleOrder, stages: Stages) -> ReserveResult:
        stages.start()
        give_up_at = self._reactor.seconds() + self._busy_seconds_max
        result = await self._books.reserve(order, deadline=stages.deadline)
        while isinstance(result, Busy):
            if self._reactor.seconds() >= give_up_at or stages.is_too_late("reserve"):
                raise Refusal(ResponseCode.METER_BUSY, "held by another sale")
            await deferLater(self._reactor, BUSY_RETRY_SECONDS)
            result = await self._books.reserve(order, deadline=stages.deadline)
        stages.end("reserve")
        return result

    async def _answer_for(self, call: SaleCall, result: ReserveResult, stages: Stages) -> Answered:
        match result:
            case Reserved(sale=sale):
                return await self.complete(call.message, sale, stages)
            case Repeated(answer=answer, code=code):
                return Answered(code=code, body=answer, is_repeat=True)
            case Declined(code=code, available_centavos=available):
                return await self._decline(call, code, available, stages)
            case Unresolved(sale_id=sale_id):
                return await self._take_up(call, sale_id, stages)
            case Conflict():
                raise Refusal(ResponseCode.DUPLICATE_CONFLICT)
            case Busy():
                raise AssertionError("handled before")

    async def _take_up(self, call: SaleCall, sale_id: int, stages: Stages) -> Answered:
        """Finish, for its repeat, a sale that nobody here is working on. Should another process do the same, the first post counts."""
        if stages.is_too_late("take_up"):
            raise Refusal(ResponseCode.IN_PROGRESS, f"sale {sale_id} has no known outcome yet")
        sale = await self._books.unresolved(sale_id)
        if sale is not None:
            return await self.complete(self._call_of(sale).message, sale, stages, may_be_minted=True)
        result = await self._books.reserve(call.order, deadline=stages.deadline)
        if not isinstance(result, Repeated):
            raise Refusal(ResponseCode.IN_PROGRESS, f"sale {sale_id} has just ended")
        return Answered(code=result.code, body=result.answer, is_repeat=True)

    async def complete(
        self, message: IsoMessage, sale: ReservedSale, stages: Stages, *, may_be_minted: bool = False
    ) -> Answered:
        """Take a reserved sale to its durable answer; the resolver does the same for a sale found after a crash.

        Past its deadline no mint is begun: the sale stays reserved for its repeat or the resolver. What is minted is finished, because
        that costs less than to leave it and mint again. With *may_be_minted* (somebody asked a module before) the refusal of one module
        voids the sale only where there is no other.

        Raises:
            Refusal: `IN_PROGRESS`; the sale stays reserved and will be asked again by its id.
        """
        try:
            if sale.key_change is not None:
                sale = await self._change_key(sale, sale.key_change, stages, may_be_minted=may_be_minted)
            tokens = await self._mint(sale, stages, may_be_minted=may_be_minted)
            stages.start()
            approval = self._tell_balance(self._dialect.approve_sale(message, sale, tokens), sale.available_centavos)
            answer = await self._seal.sign(approval, sale.key.terminal_id)
            stages.end("sign")
        except _Refused as refused:
            return await self._void(message, sale, refused, is_told=self._is_told(stages))
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"security module: {error!r}") from error
        is_told = self._is_told(stages)
        posted = await self._books.post(SalePost(sale=sale, tokens=tokens, answer=answer, is_told=is_told))
        stages.end("post")
        return Answered(code=posted.code, body=posted.answer, sale=sale)

    async def _change_key(
        self, sale: ReservedSale, change: KeyChange, stages: Stages, *, may_be_minted: bool
    ) -> ReservedSale:
        """Get the tokens of the sale's key change, before its credit is minted: refused here, the sale can still be voided."""
        if stages.is_too_late("mint"):
            raise Refusal(ResponseCode.IN_PROGRESS, "reserved past its deadline, left for the repeat")
        meter = sale.meter
        request = KeyChangeRequest(
            request_id=change.mint_id,
            from_register_id=change.from_register_id,
            to_register_id=meter.register_id,
            pan=meter.pan,
            from_tariff_index=change.from_tariff_index,
            to_tariff_index=meter.tariff_index,
            encryption_algorithm=meter.encryption_algorithm,
            sections=change.sections,
            may_be_minted=may_be_minted,
        )
        try:
            tokens = await self._module.change_key(request, timeout_seconds=stages.left_seconds)
        except ModuleRefused as refused:
            raise _Refused(refused) from refused
        assert len(tokens) == change.sections
        return replace(sale, key_change=replace(change, tokens=tuple(tokens)))

    async def _mint(self, sale: ReservedSale, stages: Stages, *, may_be_minted: bool) -> Sequence[Secret[str]]:
        if not sale.token_orders:
            return ()
        if stages.is_too_late("mint"):
            raise Refusal(ResponseCode.IN_PROGRESS, "reserved past its deadline, left for the repeat")
        stages.start()
        meter = sale.meter
        request = MintRequest(
            request_id=sale.sale_id,
            register_id=meter.register_id,
            pan=meter.pan,
            tariff_index=meter.tariff_index,
            encryption_algorithm=meter.encryption_algorithm,
            subclass=meter.service.value,
            tokens=tuple((order.tid, order.units_tenths) for order in sale.token_orders),
            may_be_minted=may_be_minted,
            charged_centavos=sale.quote.charged_centavos,
        )
        try:
            tokens = await self._module.mint(request, timeout_seconds=stages.left_seconds)
        except ModuleRefused as refused:
            raise _Refused(refused) from refused
        stages.end("mint")
        assert len(tokens) == len(sale.token_orders)
        return tokens

    def _is_told(self, stages: Stages) -> bool:
        """Whether the network learns of the outcome by a notice: nobody waits for the answer, and it wants to know."""
        return self._tells_outcome and not stages.left_seconds

    async def _void(self, message: IsoMessage, sale: ReservedSale, refused: Exception, *, is_told: bool) -> Answered:
        """Give everything back: the module has said that no token exists and none will under this id."""
        answer = self._dialect.decline(message, ResponseCode.MODULE_REFUSED)
        assert answer is not None
        available = sale.available_centavos
        before = None if available is None else Centavos(available + sale.paid_centavos)
        try:
            body = await self._seal.sign(self._tell_balance(answer, before), sale.key.terminal_id)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"void: {error!r} after {refused!r}") from error
        posted = await self._books.post(
            SaleVoid(sale=sale, code=ResponseCode.MODULE_REFUSED, answer=body, is_told=is_told)
        )
        return Answered(code=posted.code, body=posted.answer, sale=sale)

    async def _decline(
        self, call: SaleCall, code: ResponseCode, available: Centavos | None, stages: Stages
    ) -> Answered:
        """Store the refusal's answer, then let it leave: a repeat of a refused request is refused with the same octets."""
        if stages.is_too_late("decline"):
            raise Refusal(ResponseCode.IN_PROGRESS, f"decline {code.value}: past its deadline, left for the repeat")
        answer = self._dialect.decline(call.message, code)
        assert answer is not None
        return await store_answer(
            self._tell_balance(answer, available), code, call.order.key, seal=self._seal, books=self._books
        )


class _Refused(Exception):
    """The module refused to mint; a refusal to sign is another matter and voids nothing."""
