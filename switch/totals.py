"""Settlement: comparing totals with a terminal or a network, and the cut-over that a network asks for.

Neither moves money. What a comparison was answered is stored before it leaves, like every answer that a caller may act on; a cut-over
names the day that it closes, so asking twice does nothing twice and needs no stored answer.
"""

from collections.abc import Collection

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import CutOverCall, TotalsCall
from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.log import Event, log
from switch.metrics import AcquirerMetrics
from switch.seal import Seal
from switch.steps import Books, Step, ask_journaling
from switch.stored_answer import store_answer
from vending.order import Conflict, Declined, Repeated
from vending.response_code import Refusal, ResponseCode
from vending.settlement import (
    CloseDays,
    Compared,
    CutOver,
    CutOverOrder,
    DaysClosed,
    TotalsOrder,
    TotalsResult,
)

SettleStep = Step[TotalsOrder | CutOverOrder | CloseDays, TotalsResult | CutOver | DaysClosed]
"""One worker for everything about settlement days, so that reading a day never holds up a sale."""


class Totals:
    """The use case of one network.

    Args:
        settle: takes a `TotalsOrder` or `CutOverOrder`.
        network_terminals: those that speak for the whole network; nobody else may ask for its cut-over or its totals.
        tell_balance: puts the network's balance into the answers to comparisons, where it wants to know.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        seal: Seal,
        books: Books,
        settle: SettleStep,
        in_flight: InFlight,
        network_terminals: Collection[str],
        metrics: AcquirerMetrics,
        tell_balance: TellBalance = without_balance,
    ) -> None:
        self._tell_balance = tell_balance
        self._dialect = dialect
        self._seal = seal
        self._books = books
        self._settle = settle
        self._in_flight = in_flight
        self._network_terminals = network_terminals
        self._metrics = metrics

    async def compare(self, call: TotalsCall) -> Answered:
        """Answer a 0500 or 0520 whose MAC has been verified."""
        order = call.order
        if order.terminal_id is None:
            self._check_speaks_for_network(call.terminal_id)
        return await self._in_flight.once(order.key, order.digest, lambda: self._compare(call))

    async def cut_over(self, call: CutOverCall) -> Answered:
        """Answer an 0800 with code 201 whose MAC has been verified."""
        self._check_speaks_for_network(call.terminal_id)
        result = await ask_journaling(self._settle, call.order, "settlement queue")
        assert isinstance(result, CutOver), "a cut-over is answered as one"
        if not result.code.is_approved:
            raise Refusal(result.code, f"cut-over of {call.order.closing}")
        if result.is_moved:
            log.info(
                Event.DAY_CUT_OVER,
                acquirer_id=call.order.acquirer_id,
                terminal_id=call.terminal_id,
                settlement_date=call.order.closing.isoformat(),
            )
        answer = self._dialect.acknowledge_cut_over(call.message)
        return Answered(code=result.code, body=await self._seal.sign_if_possible(answer, call.terminal_id))

    def _check_speaks_for_network(self, terminal_id: str) -> None:
        if terminal_id not in self._network_terminals:
            raise Refusal(ResponseCode.TERMINAL_BLOCKED, "this terminal does not speak for its network")

    async def _compare(self, call: TotalsCall) -> Answered:
        result = await ask_journaling(self._settle, call.order, "settlement queue")
        match result:
            case Repeated(answer=stored, code=code):
                return Answered(code=code, body=stored, is_repeat=True)
            case Conflict():
                raise Refusal(ResponseCode.DUPLICATE_CONFLICT)
            case Compared(code=ResponseCode.TERMINAL_UNKNOWN) | Declined():
                refusal = self._dialect.decline(call.message, result.code)
                assert refusal is not None, "a served request always has an answer"
                return await self._store(call, result.code, refusal)
            case Compared(code=code, available_centavos=available):
                self._metrics.reconciled(is_equal=code.is_approved)
                answer = self._dialect.answer_totals(call.message, call.order, result)
                return await self._store(call, code, self._tell_balance(answer, available))
        raise AssertionError("a comparison is answered as one")

    async def _store(self, call: TotalsCall, code: ResponseCode, answer: IsoMessage) -> Answered:
        return await store_answer(answer, code, call.order.key, seal=self._seal, books=self._books)
