"""One network's exchange: from the octets of a frame to the octets of its answer.

Everything a message can run into is turned into an answer here, and only here: a refusal becomes its response code, a passed deadline
the answer that is not final, a fault of ours the same. Each request leaves one line in the log and one count in the metrics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from acquirers.calls import (
    AdviceCall,
    Call,
    CutOverCall,
    InquiryCall,
    LastAnswerCall,
    MoneyCall,
    NetworkCall,
    NetworkRequest,
    ReversalCall,
    SaleCall,
    TotalsCall,
)
from acquirers.dialect import Dialect, Unreadable
from config.acquirer import AcquirerSection
from messages.iso_message import IsoMessage
from messages.tpdu import TpduError, turn_tpdu
from switch.advice import Advice
from switch.answered import Answered
from switch.deadlines import Deadlines
from switch.inquiry import inquire
from switch.last_answer import LastAnswer
from switch.listener import ConnectionContext
from switch.log import Event, log, sale_completed
from switch.metrics import AcquirerMetrics
from switch.recharge import Recharge
from switch.reversal import Reversal
from switch.seal import Seal
from switch.stages import Stages
from switch.steps import Books
from switch.totals import Totals
from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode


class Exchange:
    """Serves one network.

    Args:
        section: its configuration.
        now: our clock, aware UTC.
        monotonic: a clock in seconds that never steps.
    """

    def __init__(
        self,
        section: AcquirerSection,
        *,
        dialect: Dialect,
        seal: Seal,
        books: Books,
        recharge: Recharge,
        reversal: Reversal,
        advice: Advice,
        last_answer: LastAnswer,
        totals: Totals,
        metrics: AcquirerMetrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._section = section
        self.dialect = dialect
        self.recharge = recharge
        self.metrics = metrics
        self._seal = seal
        self._books = books
        self._reversal = reversal
        self._advice = advice
        self._last_answer = last_answer
        self._totals = totals
        self._now = now
        self._monotonic = monotonic
        self._in_work = 0
        self._deadlines = Deadlines(reactor, section.answer_deadline_seconds)

    async def serve(self, context: ConnectionContext, frame: bytes) -> bytes | None:
        """Answer one frame (without its length). None: nothing is sent; where the frame made no sense the link is closed."""
        stages = Stages(self.metrics, self._monotonic, answer_seconds=self._section.answer_deadline_seconds)
        prefix, body = b"", frame
        if self._section.has_tpdu:
            try:
                prefix, body = turn_tpdu(frame)
            except TpduError as error:
                self._refuse_frame(context, "tpdu", str(error))
                context.is_to_close = True
                return None
        self._in_work += 1
        try:
            answer = await self._answer(context, body, stages)
        finally:
            self._in_work -= 1
        stages.end_whole()
        return None if answer is None else prefix + answer

    async def _answer(self, context: ConnectionContext, body: bytes, stages: Stages) -> bytes | None:
        message: IsoMessage | None = None
        proof = _Proof()
        try:
            call = self.dialect.read(body, acquirer_id=self._section.id, now=self._now())
            message = call.message
            stages.end("decode")
            if isinstance(call, NetworkCall):
                return self._manage(context, call)
            if self._in_work > self._section.in_flight_max:
                raise Refusal(ResponseCode.OVERLOADED, "in_flight_max of this network")
            if self._section.is_sign_on_required and not context.is_signed_on:
                raise Refusal(ResponseCode.NOT_SIGNED_ON)
            answered = await self._within_deadline(call, stages, proof)
        except Unreadable as unreadable:
            if unreadable.refusal.code is ResponseCode.FORMAT_ERROR:
                self._refuse_frame(context, "format", unreadable.refusal.private_detail)
            return await self._refuse(unreadable.message, unreadable.refusal, is_authentic=False)
        except Refusal as refusal:
            refusal = _not_final_for_a_repeat(message, refusal)
            return await self._refuse(message, refusal, is_authentic=proof.is_authentic)
        except Exception:  # noqa: BLE001 - a fault must become an answer that is not final, whatever it is
            log.error(Event.SERVE_FAILED, acquirer_id=self._section.id, failure=Failure().getTraceback())
            self.metrics.serve_failures.inc()
            # Whether anything was taken is not known here, so the answer must not be a final one.
            fault = Refusal(ResponseCode.IN_PROGRESS, "fault")
            return await self._refuse(message, fault, is_authentic=proof.is_authentic)
        self._record(call, answered, stages)
        return answered.body

    async def _work(self, call: MoneyCall, stages: Stages, proof: "_Proof") -> Answered:
        await self._seal.verify(call.message, call.body, call.terminal_id, timeout_seconds=stages.left_seconds)
        proof.is_authentic = True
        stages.end("verify_mac")
        match call:
            case SaleCall():
                return await self.recharge.sell(call, stages)
            case InquiryCall():
                return await inquire(
                    call, dialect=self.dialect, seal=self._seal, books=self._books, deadline=stages.deadline
                )
            case ReversalCall():
                return await self._reversal.reverse(call)
            case AdviceCall():
                return await self._advice.confirm(call)
            case LastAnswerCall():
                return await self._last_answer.tell(call)
            case TotalsCall():
                return await self._totals.compare(call)
            case CutOverCall():
                return await self._totals.cut_over(call)

    def answered_key(self, answer: bytes) -> RequestKey | None:
        """Return which journaled request an answer that `serve` gave belongs to; None: none, or it is not signed."""
        body = turn_tpdu(answer)[1] if self._section.has_tpdu else answer
        return self.dialect.answered_key(body, acquirer_id=self._section.id, now=self._now())

    def _within_deadline(self, call: MoneyCall, stages: Stages, proof: "_Proof") -> Deferred[Answered]:
        """Work on *call* until this network's deadline. Past it the work goes on, and its answer is found by the repeat."""
        result: Deferred[Answered] = Deferred()

        def expire() -> None:
            self.metrics.unknown_outcomes.inc()
            result.errback(Refusal(ResponseCode.IN_PROGRESS, "deadline"))

        deadline = self._deadlines.begin(expire)

        def finish(outcome: Answered | Failure) -> None:
            if not result.called:
                self._deadlines.end(deadline)
                result.callback(outcome)  # a Failure starts the errback chain
            elif isinstance(outcome, Answered):
                self._record_late(call, outcome)
            elif not outcome.check(Refusal):
                log.error(Event.SERVE_FAILED, acquirer_id=self._section.id, failure=outcome.getTraceback())

        ensureDeferred(self._work(call, stages, proof)).addBoth(finish)
        return result

    def _manage(self, context: ConnectionContext, call: NetworkCall) -> bytes:
        if call.request is NetworkRequest.SIGN_ON:
            context.is_signed_on = True
            log.info(Event.TERMINAL_SIGNED_ON, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        elif call.request is NetworkRequest.SIGN_OFF:
            context.is_signed_on = False
            log.info(Event.TERMINAL_SIGNED_OFF, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        else:
            log.debug(Event.ECHO_ANSWERED, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        self.metrics.last_request.set(self._now().timestamp())
        self.metrics.request(call.message.mti, ResponseCode.APPROVED)
        return self.dialect.encode(self.dialect.acknowledge(call.message))

    async def _refuse(self, message: IsoMessage | None, refusal: Refusal, *, is_authentic: bool) -> bytes | None:
        """Log, count and make the answer. Only a request whose own MAC was right gets a MAC.

        Otherwise whoever can write on the line could send a spoilt copy of a request and hand the terminal our signed refusal of it
        in place of the true answer.
        """
        mti = "unread" if message is None else message.mti
        fields = message.fields if message is not None else {}
        log.info(
            Event.MESSAGE_REFUSED,
            acquirer_id=self._section.id,
            terminal_id=fields.get(41),
            stan=fields.get(11),
            rrn=fields.get(37),
            mti=mti,
            code=refusal.code,
            detail=refusal.private_detail,
        )
        self.metrics.request(mti, refusal.code)
        answer = self.dialect.decline(message, refusal.code)
        if answer is None:
            return None
        if not is_authentic:
            return self.dialect.encode(answer)
        return await self._seal.sign_if_possible(answer, fields[41].rstrip())

    def _refuse_frame(self, context: ConnectionContext, reason: str, detail: str) -> None:
        self.metrics.refuse_frame(reason)
        if reason == "tpdu":
            log.warning(Event.MESSAGE_REFUSED, acquirer_id=self._section.id, peer=context.peer, detail=detail)

    def _record(self, call: Call, answered: Answered, stages: Stages) -> None:
        message = call.message
        stages.end_whole()
        self.metrics.request(message.mti, answered.code)
        now = self._now().timestamp()
        self.metrics.last_request.set(now)
        if answered.code.is_approved:
            self.metrics.last_approval.set(now)
        if answered.is_repeat:
            self.metrics.replays_answered.inc()
        match call:
            case SaleCall(order=order):
                sale = answered.sale
                sale_completed(
                    acquirer_id=self._section.id,
                    terminal_id=call.terminal_id,
                    stan=order.key.stan,
                    rrn=order.rrn,
                    mti=message.mti,
                    kind=order.kind.value,
                    code=answered.code,
                    paid_centavos=order.paid_centavos,
                    units_tenths=sale.quote.units_tenths if sale else 0,
                    token_count=len(sale.token_orders) if sale else 0,
                    meter_number=order.meter_number,
                    sale_id=sale.sale_id if sale else None,
                    is_repeat=answered.is_repeat,
                    stage_microseconds=stages.microseconds,
                )
            case InquiryCall() | ReversalCall() | AdviceCall() | LastAnswerCall() | TotalsCall() | CutOverCall():
                log.info(
                    Event.INQUIRY_ANSWERED if isinstance(call, InquiryCall) else _ANSWERED[type(call)],
                    acquirer_id=self._section.id,
                    terminal_id=call.terminal_id,
                    stan=message.get(11),
                    rrn=message.get(37),
                    mti=message.mti,
                    code=answered.code,
                    is_repeat=answered.is_repeat,
                )

    def _record_late(self, call: MoneyCall, answered: Answered) -> None:
        """Tell what became of a sale after its caller was told that nothing is known yet."""
        if isinstance(call, SaleCall) and answered.sale is not None:
            log.info(
                Event.SALE_RESOLVED,
                sale_id=answered.sale.sale_id,
                acquirer_id=self._section.id,
                terminal_id=call.terminal_id,
                stan=call.order.key.stan,
                rrn=call.order.rrn,
                code=answered.code,
            )


_ANSWERED: Mapping[type[MoneyCall], Event] = {
    ReversalCall: Event.REVERSAL_ANSWERED,
    AdviceCall: Event.ADVICE_ANSWERED,
    LastAnswerCall: Event.LAST_ANSWER_TOLD,
    TotalsCall: Event.TOTALS_ANSWERED,
    CutOverCall: Event.CUT_OVER_ANSWERED,
}


@dataclass(slots=True)
class _Proof:
    """Whether the MAC of one request has been found right."""

    is_authentic: bool = False


_OF_THIS_MOMENT = frozenset(
    {
        ResponseCode.NOT_SIGNED_ON,
        ResponseCode.METER_BUSY,
        ResponseCode.MODULE_UNAVAILABLE,
        ResponseCode.LEDGER_UNAVAILABLE,
        ResponseCode.OVERLOADED,
        ResponseCode.SYSTEM_ERROR,
    }
)
"""Refusals that tell of our state and not of what stands in the journal."""


def _not_final_for_a_repeat(message: IsoMessage | None, refusal: Refusal) -> Refusal:
    """Keep a refusal of this moment from ending a request that was sent before and may have been sold then."""
    if message is not None and message.is_repeat and refusal.code in _OF_THIS_MOMENT:
        return Refusal(ResponseCode.IN_PROGRESS, f"repeat, {refusal.code.value}: {refusal.private_detail}")
    return refusal
