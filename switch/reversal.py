"""The reversal under the policy ``stands``: a token that may be in a customer's hands is not taken back.

What was never sold has nothing to undo, so the reversal is approved. A sale that stands is declined with its tokens in the answer, so
that the till can print them. A sale whose outcome is not known yet gets the answer that is not final.
"""

from acquirers.calls import ReversalCall
from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.seal import Seal
from switch.steps import Books
from vending.order import AnswerRecord, Conflict, Declined, OriginalFound, Repeated, ReversalResult
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode


class Reversal:
    """The use case of one network."""

    def __init__(self, *, dialect: Dialect, seal: Seal, books: Books, in_flight: InFlight) -> None:
        self._dialect = dialect
        self._seal = seal
        self._books = books
        self._in_flight = in_flight

    async def reverse(self, call: ReversalCall) -> Answered:
        """Answer a 0400 whose MAC has been verified.

        Raises:
            Refusal: `IN_PROGRESS` while the original has no known outcome.
        """
        order = call.order
        if order.original in self._in_flight:
            raise Refusal(ResponseCode.IN_PROGRESS, "the original is being worked on")
        first = self._in_flight.begin(order.key, order.digest)
        if first is not None:
            return await first
        answered: Answered | None = None
        try:
            answered = await self._answer_for(call, await self._books.find_original(order))
            return answered
        finally:
            self._in_flight.end(order.key, answered)

    async def _answer_for(self, call: ReversalCall, result: ReversalResult) -> Answered:
        match result:
            case Repeated(answer=stored, code=code):
                return Answered(code=code, body=stored, is_repeat=True)
            case Conflict():
                raise Refusal(ResponseCode.DUPLICATE_CONFLICT)
            case Declined(code=code):
                refusal = self._dialect.decline(call.message, code)
                assert refusal is not None
                return await self._store(call, code, refusal)
            case OriginalFound(sale=None):
                return await self._store(call, ResponseCode.APPROVED, self._dialect.acknowledge(call.message))
            case OriginalFound(sale=sale, is_posted=True, tokens=tokens) if sale is not None:
                answer = self._dialect.decline_reversal(call.message, sale, tokens)
                return await self._store(call, ResponseCode.SALE_STANDS, answer)
            case OriginalFound():
                raise Refusal(ResponseCode.IN_PROGRESS, "the original has no known outcome yet")

    async def _store(self, call: ReversalCall, code: ResponseCode, answer: IsoMessage) -> Answered:
        try:
            body = await self._seal.sign(answer, call.terminal_id)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"sign: {error!r}") from error
        posted = await self._books.post(AnswerRecord(key=call.order.key, code=code, answer=body))
        return Answered(code=posted.code, body=posted.answer)
