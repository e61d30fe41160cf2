"""The reversal: what was never sold has nothing to undo; what was sold stands, or is parked where the network's policy says so.

A sale that stands is declined with its tokens in the answer, so that the till can print them. A parked one is approved: the ledger has
given the money back in the very step that journaled the reversal, and keeps the tokens for the next recharge on the meter. A sale whose
outcome is not known yet gets the answer that is not final.
"""

from dataclasses import replace

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import ReversalCall
from acquirers.dialect import Dialect
from config.acquirer import AcquirerSection
from messages.iso_message import IsoMessage
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.metrics import AcquirerMetrics
from switch.seal import Seal
from switch.steps import Books
from switch.stored_answer import store_answer
from vending.money import Centavos
from vending.order import Conflict, Declined, OriginalFound, Repeated, ReversalResult
from vending.parked import Parking, ParkingLimits
from vending.response_code import Refusal, ResponseCode


def parking_limits(section: AcquirerSection) -> ParkingLimits | None:
    """Return how much a network may park, None where its policy is that a sale stands."""
    if section.reversal_policy != "parked":
        return None
    return ParkingLimits(
        sale_centavos_max=Centavos(section.parked_sale_centavos_max),
        terminal_day_centavos_max=Centavos(section.parked_terminal_day_centavos_max),
    )


class Reversal:
    """The use case of one network.

    Args:
        dialect: its messages.
        seal: its MACs.
        books: the ledger.
        in_flight: what is being worked on.
        parking: how much it may park; None: its policy is that a sale stands.
        metrics: its counts.
        tell_balance: puts the network's balance into the answers, where it wants to know.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        seal: Seal,
        books: Books,
        in_flight: InFlight,
        parking: ParkingLimits | None,
        metrics: AcquirerMetrics,
        tell_balance: TellBalance = without_balance,
    ) -> None:
        self._tell_balance = tell_balance
        self._dialect = dialect
        self._seal = seal
        self._books = books
        self._in_flight = in_flight
        self._parking = parking
        self._metrics = metrics

    async def reverse(self, call: ReversalCall) -> Answered:
        """Answer a 0400 or 0420 whose MAC has been verified.

        Raises:
            Refusal: `IN_PROGRESS` while the original has no known outcome.
        """
        order = call.order
        if order.original in self._in_flight:
            raise Refusal(ResponseCode.IN_PROGRESS, "the original is being worked on")
        return await self._in_flight.once(order.key, order.digest, lambda: self._reverse(call))

    async def _reverse(self, call: ReversalCall) -> Answered:
        result = await self._books.find_original(replace(call.order, parking=self._parking))
        self._count(result)
        match result:
            case Repeated(answer=stored, code=code):
                return Answered(code=code, body=stored, is_repeat=True)
            case Conflict():
                raise Refusal(ResponseCode.DUPLICATE_CONFLICT)
            case Declined(code=code, available_centavos=available):
                refusal = self._dialect.decline(call.message, code)
                assert refusal is not None
                return await self._store(call, code, refusal, available)
            case (
                OriginalFound(sale=None, available_centavos=available)
                | OriginalFound(parking=Parking.PARKED | Parking.PARKED_BEFORE, available_centavos=available)
            ):
                answer = self._dialect.acknowledge(call.message)
                return await self._store(call, ResponseCode.APPROVED, answer, available)
            case OriginalFound(sale=sale, is_posted=True, tokens=tokens, available_centavos=available) if sale:
                answer = self._dialect.decline_reversal(call.message, sale, tokens)
                return await self._store(call, ResponseCode.SALE_STANDS, answer, available)
            case OriginalFound():
                raise Refusal(ResponseCode.IN_PROGRESS, "the original has no known outcome yet")

    def _count(self, result: ReversalResult) -> None:
        if not isinstance(result, OriginalFound) or result.sale is None:
            return
        if result.parking is Parking.PARKED:
            self._metrics.parked_sales.inc()
            self._metrics.parked_centavos.inc(result.sale.paid_centavos)
        elif result.parking is Parking.ABOVE_CAP:
            self._metrics.parking_cap_refusals.inc()

    async def _store(
        self, call: ReversalCall, code: ResponseCode, answer: IsoMessage, available: Centavos | None
    ) -> Answered:
        answer = self._tell_balance(answer, available)
        return await store_answer(answer, code, call.order.key, seal=self._seal, books=self._books)
