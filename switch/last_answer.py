"""The last answer: a terminal asks what became of its last sale, or of one that it names, and gets the same digits once more."""

from collections.abc import Callable

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import LastAnswerCall
from acquirers.dialect import Dialect
from switch.answered import Answered
from switch.in_flight import InFlight
from switch.seal import Seal
from switch.steps import Books
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode


class LastAnswer:
    """The use case of one network.

    Args:
        count_reprint: told of each ticket that is handed out again.
        tell_balance: puts the network's balance into its answers, where it wants to know.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        seal: Seal,
        books: Books,
        in_flight: InFlight,
        count_reprint: Callable[[], None],
        tell_balance: TellBalance = without_balance,
    ) -> None:
        self._tell_balance = tell_balance
        self._dialect = dialect
        self._seal = seal
        self._books = books
        self._in_flight = in_flight
        self._count_reprint = count_reprint

    async def tell(self, call: LastAnswerCall) -> Answered:
        """Answer an 0100 with processing code 38 whose MAC has been verified.

        Raises:
            Refusal: `IN_PROGRESS` while the sale is open, `MODULE_UNAVAILABLE` when the answer cannot be signed: digits never leave
                in an answer that a terminal could not believe.
        """
        if self._is_in_flight(call):
            raise Refusal(ResponseCode.IN_PROGRESS, "the sale is being worked on")
        found = await self._books.last_answer(call.inquiry)
        if found.code is ResponseCode.IN_PROGRESS:
            raise Refusal(ResponseCode.IN_PROGRESS, "the sale has no known outcome yet")
        if found.sale is not None:
            # It is on disk by now, whether or not the answer arrives.
            self._count_reprint()
        answer = self._tell_balance(self._dialect.answer_last(call.message, found), found.available_centavos)
        try:
            body = await self._seal.sign(answer, call.terminal_id)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.MODULE_UNAVAILABLE, f"sign: {error!r}") from error
        return Answered(code=found.code, body=body)

    def _is_in_flight(self, call: LastAnswerCall) -> bool:
        inquiry = call.inquiry
        if inquiry.original is not None:
            return inquiry.original in self._in_flight
        return self._in_flight.has_sale_of(inquiry.acquirer_id, inquiry.terminal_id)
