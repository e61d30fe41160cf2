"""The steps of a request that touch the ledger, each gathered into batches, with the ledger's failures turned into refusals."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull, TooLate
from vending.order import (
    AdviceOrder,
    AdviceResult,
    AnswerRecord,
    Inquiry,
    InquiryAnswer,
    LastAnswerFound,
    LastAnswerInquiry,
    Posted,
    Posting,
    ReservedSale,
    ReserveResult,
    ReversalOrder,
    ReversalResult,
    SaleOrder,
    SalePost,
    SaleVoid,
    UndeliveredAnswer,
    UnresolvedLook,
)
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder, TotalsOrder

_NETWORK: Mapping[type, Callable[[Any], str]] = {
    SalePost: attrgetter("sale.key.acquirer_id"),
    SaleVoid: attrgetter("sale.key.acquirer_id"),
    **dict.fromkeys((Inquiry, LastAnswerInquiry, CutOverOrder), attrgetter("acquirer_id")),
    **dict.fromkeys(
        (SaleOrder, AnswerRecord, ReversalOrder, AdviceOrder, TotalsOrder, UndeliveredAnswer),
        attrgetter("key.acquirer_id"),
    ),
}


def network_of(item: Any) -> str:
    """Return the network that an item of a step is of; what belongs to none (the resolver's look, a day to be closed) has one of its own."""
    found = _NETWORK.get(type(item))
    return "" if found is None else found(item)


TOO_LATE = "waited for a batch past its deadline"
"""The detail of a refusal whose answer nobody waits for any more."""

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result")


class Step(Protocol[Item, Result]):
    """Something that takes one item now and answers later; `switch.batching.Batcher` is one."""

    def submit(self, item: Item, *, deadline: float = inf) -> Deferred[Result]:
        """Put *item* in the next batch; raises `QueueFull`, and fails with `TooLate` if none begins before *deadline*."""


async def ask_journaling(step: Step[Item, Result], item: Item, queue: str, *, deadline: float = inf) -> Result:
    """Run a step that writes a request down. Where nothing was written it costs nothing; where a commit may have happened it is open.

    Raises:
        Refusal: `OVERLOADED` (the *queue* is full, or no batch began before *deadline*), `LEDGER_UNAVAILABLE`, `IN_PROGRESS`.
    """
    try:
        return await step.submit(item, deadline=deadline)
    except TooLate:
        raise Refusal(ResponseCode.OVERLOADED, TOO_LATE) from None
    except QueueFull:
        raise Refusal(ResponseCode.OVERLOADED, queue) from None
    except LedgerUnavailable as error:
        raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, str(error)) from error
    except LedgerOutcomeUnknown as error:
        raise Refusal(ResponseCode.IN_PROGRESS, str(error)) from error


async def _ask_reading(step: Step[Item, Result], item: Item, queue: str, *, deadline: float = inf) -> Result:
    """Run a step whose request is asked anew rather than repeated, so that nothing is open when its outcome is unknown."""
    try:
        return await ask_journaling(step, item, queue, deadline=deadline)
    except Refusal as refusal:
        if refusal.code is ResponseCode.IN_PROGRESS:
            raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, refusal.private_detail) from refusal
        raise


class Books:
    """The ledger as the use cases see it: one item in, one result out, or a refusal.

    Before anything is written a failure costs nothing (`LEDGER_UNAVAILABLE`). Once a commit may have happened the outcome is not
    known (`IN_PROGRESS`), and the repeat or the resolver finds it.
    """

    def __init__(
        self,
        *,
        reserve: Step[SaleOrder, ReserveResult],
        post: Step[Posting, Posted],
        inquire: Step[Inquiry, InquiryAnswer],
        find_original: Step[ReversalOrder, ReversalResult],
        advise: Step[AdviceOrder, AdviceResult],
        last_answer: Step[LastAnswerInquiry, LastAnswerFound],
        find_unresolved: Step[UnresolvedLook, Sequence[ReservedSale]],
    ) -> None:
        self._reserve = reserve
        self._post = post
        self._inquire = inquire
        self._find_original = find_original
        self._advise = advise
        self._last_answer = last_answer
        self._find_unresolved = find_unresolved

    async def reserve(self, order: SaleOrder, *, deadline: float = inf) -> ReserveResult:
        """Commit 1. An order that no batch takes before *deadline* costs nothing."""
        return await ask_journaling(self._reserve, order, "reserve queue", deadline=deadline)

    async def post(self, posting: Posting) -> Posted:
        """Commit 2. Whatever fails here leaves the request open: its answer has not left, its repeat will find it."""
        try:
            return await self._post.submit(posting)
        except (QueueFull, LedgerUnavailable, LedgerOutcomeUnknown) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"post: {error!r}") from error

    async def unresolved(self, sale_id: int) -> ReservedSale | None:
        """Read a sale as it was reserved; None: it has an outcome by now. Whatever fails here leaves it as it is."""
        try:
            (sale,) = await self._find_unresolved.submit(UnresolvedLook(sale_id=sale_id)) or (None,)
        except (QueueFull, LedgerUnavailable, LedgerOutcomeUnknown) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"find unresolved: {error!r}") from error
        return sale

    async def inquire(self, inquiry: Inquiry, *, deadline: float = inf) -> InquiryAnswer:
        """Read an account."""
        return await _ask_reading(self._inquire, inquiry, "inquiry queue", deadline=deadline)

    async def find_original(self, order: ReversalOrder) -> ReversalResult:
        """Look up what a reversal wants to undo, and write the reversal in the journal."""
        return await ask_journaling(self._find_original, order, "reversal queue")

    async def advise(self, order: AdviceOrder) -> AdviceResult:
        """Write an advice in the journal and confirm the sale that it names."""
        return await ask_journaling(self._advise, order, "advice queue")

    async def last_answer(self, inquiry: LastAnswerInquiry) -> LastAnswerFound:
        """Read what became of a sale, and count the ticket that is handed out again."""
        return await _ask_reading(self._last_answer, inquiry, "last answer queue")
