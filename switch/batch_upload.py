"""The batch upload: requests that a till stored while it had no line, each done as if it had come alone.

Nothing of the batch itself is stored, because each record has a key of its own and its answer stands in the journal under it. So a batch
may come again, whole or in part, or its records one by one, and the answer is put together anew from the same stored answers.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from acquirers.calls import BatchCall, RecordCall, RecordResult, RefusedRecord, SaleCall
from acquirers.dialect import Dialect
from switch.answered import Answered
from switch.seal import Seal
from switch.stages import Stages
from vending.response_code import ResponseCode

RESERVED_FOR_ANSWER = 0.125
"""Part of the time that is left which is kept for signing the answer: 1.5 of 12 seconds, where a MAC takes milliseconds."""

Serve = Callable[[RecordCall | RefusedRecord, float | None], Awaitable[RecordResult]]
"""Does one record within so many seconds (None: no deadline) and tells what became of it; whatever goes wrong is a result."""


async def upload(
    call: BatchCall, serve: Serve, *, dialect: Dialect, seal: Seal, reactor: IReactorTime, stages: Stages
) -> Answered:
    """Answer an 0320 whose MAC has been verified.

    What does not end in time is told as not final and goes on; the till sends it again. No answer says of the whole that it is done
    while a record is open.
    """
    results: dict[int, RecordResult] = {}
    reserved_seconds = (stages.left_seconds or 0.0) * RESERVED_FOR_ANSWER

    def left_seconds() -> float | None:
        return None if stages.left_seconds is None else max(0.0, stages.left_seconds - reserved_seconds)

    enough: Deferred[None] = Deferred()
    until_answer = left_seconds()
    timer = None if until_answer is None else reactor.callLater(until_answer, enough.callback, None)

    async def serve_one(place: int) -> None:
        results[place] = await serve(call.records[place], left_seconds())

    async def serve_all() -> None:
        # All of a kind at once: the ledger takes them as one batch. First the payments, because what else is here may be about them.
        for places in _rounds(call):
            if not enough.called:
                await gatherResults([ensureDeferred(serve_one(place)) for place in places])
        if not enough.called:
            if timer is not None:
                timer.cancel()
            enough.callback(None)

    ensureDeferred(serve_all())
    await enough
    told = [results.get(place) or _not_known(call.records[place]) for place in range(len(call.records))]
    is_final = all(result.code.is_final for result in told)
    code = ResponseCode.APPROVED if is_final else ResponseCode.IN_PROGRESS
    answer = dialect.answer_batch(call.message, code, told)
    return Answered(code=code, body=await seal.sign_if_possible(answer, call.terminal_id))


def _rounds(call: BatchCall) -> tuple[list[int], list[int]]:
    """Return the places of the payments, and of all else."""
    places = range(len(call.records))
    payments = [place for place in places if isinstance(call.records[place], SaleCall)]
    return payments, [place for place in places if place not in payments]


def _not_known(record: RecordCall | RefusedRecord) -> RecordResult:
    return RecordResult(message=record.message, code=ResponseCode.IN_PROGRESS)
