"""The delivery advice: a terminal says that the customer has his token. The sale is confirmed and the answer stored before it leaves."""

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import AdviceCall
from acquirers.dialect import Dialect
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.seal import Seal
from switch.steps import Books
from switch.stored_answer import store_answer
from vending.money import Centavos
from vending.order import Advised, Conflict, Repeated, Unresolved
from vending.response_code import Refusal, ResponseCode


class Advice:
    """The use case of one network.

    Args:
        tell_balance: puts the network's balance into its answers, where it wants to know.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        seal: Seal,
        books: Books,
        in_flight: InFlight,
        tell_balance: TellBalance = without_balance,
    ) -> None:
        self._tell_balance = tell_balance
        self._dialect = dialect
        self._seal = seal
        self._books = books
        self._in_flight = in_flight

    async def confirm(self, call: AdviceCall) -> Answered:
        """Answer an 0220 whose MAC has been verified.

        Raises:
            Refusal: `IN_PROGRESS` while the original has no known outcome.
        """
        order = call.order
        if order.original in self._in_flight:
            raise Refusal(ResponseCode.IN_PROGRESS, "the original is being worked on")
        return await self._in_flight.once(order.key, order.digest, lambda: self._confirm(call))

    async def _confirm(self, call: AdviceCall) -> Answered:
        match await self._books.advise(call.order):
            case Repeated(answer=stored, code=code):
                return Answered(code=code, body=stored, is_repeat=True)
            case Conflict():
                raise Refusal(ResponseCode.DUPLICATE_CONFLICT)
            case Unresolved(sale_id=sale_id):
                raise Refusal(ResponseCode.IN_PROGRESS, f"sale {sale_id} has no known outcome yet")
            case Advised(code=code, available_centavos=available):
                return await self._store(call, code, available)

    async def _store(self, call: AdviceCall, code: ResponseCode, available: Centavos | None) -> Answered:
        answer = self._dialect.decline(call.message, code)
        if code.is_approved:
            answer = self._dialect.acknowledge(call.message)
        assert answer is not None, "a served request always has an answer"
        return await store_answer(
            self._tell_balance(answer, available), code, call.order.key, seal=self._seal, books=self._books
        )
