"""The steps of a request that touch the ledger, each gathered into batches, with the ledger's failures turned into refusals."""

from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from vending.order import (
    Inquiry,
    InquiryAnswer,
    Posted,
    Posting,
    ReserveResult,
    ReversalOrder,
    ReversalResult,
    SaleOrder,
)
from vending.response_code import Refusal, ResponseCode

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result")


class Step(Protocol[Item, Result]):
    """Something that takes one item now and answers later; `switch.batching.Batcher` is one."""

    def submit(self, item: Item) -> Deferred[Result]:
        """Put *item* in the next batch; raises `QueueFull`."""


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
    ) -> None:
        self._reserve = reserve
        self._post = post
        self._inquire = inquire
        self._find_original = find_original

    async def reserve(self, order: SaleOrder) -> ReserveResult:
        """Commit 1."""
        try:
            return await self._reserve.submit(order)
        except QueueFull:
            raise Refusal(ResponseCode.OVERLOADED, "reserve queue") from None
        except LedgerUnavailable as error:
            raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, str(error)) from error
        except LedgerOutcomeUnknown as error:
            raise Refusal(ResponseCode.IN_PROGRESS, str(error)) from error

    async def post(self, posting: Posting) -> Posted:
        """Commit 2. Whatever fails here leaves the request open: its answer has not left, its repeat will find it."""
        try:
            return await self._post.submit(posting)
        except (QueueFull, LedgerUnavailable, LedgerOutcomeUnknown) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"post: {error!r}") from error

    async def inquire(self, inquiry: Inquiry) -> InquiryAnswer:
        """Read an account."""
        try:
            return await self._inquire.submit(inquiry)
        except QueueFull:
            raise Refusal(ResponseCode.OVERLOADED, "inquiry queue") from None
        except (LedgerUnavailable, LedgerOutcomeUnknown) as error:
            raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, str(error)) from error

    async def find_original(self, order: ReversalOrder) -> ReversalResult:
        """Look up what a reversal wants to undo, and write the reversal in the journal."""
        try:
            return await self._find_original.submit(order)
        except QueueFull:
            raise Refusal(ResponseCode.OVERLOADED, "reversal queue") from None
        except LedgerUnavailable as error:
            raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, str(error)) from error
        except LedgerOutcomeUnknown as error:
            raise Refusal(ResponseCode.IN_PROGRESS, str(error)) from error
