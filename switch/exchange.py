"""One network's exchange: from the octets of a frame to the octets of its answer.

Everything a message can run into is turned into an answer here, and only here: a refusal becomes its response code, a passed deadline
the answer that is not final, a fault of ours the same. Each request leaves one line in the log (of a flood of refusals some, and their
number) and one count in the metrics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from acquirers.balance import TellBalance
from acquirers.calls import (
    AdviceCall,
    BatchCall,
    BusinessCall,
    CutOverCall,
    InquiryCall,
    LastAnswerCall,
    MoneyCall,
    NetworkCall,
    NetworkRequest,
    RecordCall,
    RecordResult,
    RefusedRecord,
    ReversalCall,
    SaleCall,
    SessionKeyCall,
    TotalsCall,
)
from acquirers.dialect import Dialect, Unreadable
from config.acquirer import AcquirerSection
from messages.iso_message import IsoMessage
from messages.tpdu import TpduError, turn_tpdu
from switch.advice import Advice
from switch.answered import Answered
from switch.batch_upload import upload
from switch.deadlines import Deadlines
from switch.first_copies import FirstCopies
from switch.inquiry import inquire
from switch.last_answer import LastAnswer
from switch.listener import ConnectionContext
from switch.load import Load
from switch.log import Event, LineLimit, log, sale_completed
from switch.metrics import AcquirerMetrics
from switch.recharge import Recharge
from switch.reversal import Reversal
from switch.seal import Seal
from switch.session_key_change import SessionKeyChange
from switch.stages import Stages
from switch.steps import Books
from switch.totals import Totals
from vending.order import RequestKey, ReversalOrder, SaleOrder
from vending.permission import Permission
from vending.ports import MacKey
from vending.response_code import Refusal, ResponseCode


class Exchange:
    """Serves one network under one configuration. Another configuration is another exchange; what this one has begun it ends.

    Args:
        section: its configuration.
        load: what the network has in work, shared with the exchanges before and after this one.
        permission: what it may sell.
        now: our clock, aware UTC.
        monotonic: a clock in seconds that never steps.
        tell_late: has the network told what became of a sale whose caller got 09 before; None: it does not want to know.
    """

    def __init__(
        self,
        section: AcquirerSection,
        *,
        load: Load,
        permission: Permission,
        dialect: Dialect,
        seal: Seal,
        tell_balance: TellBalance,
        books: Books,
        recharge: Recharge,
        reversal: Reversal,
        advice: Advice,
        last_answer: LastAnswer,
        totals: Totals,
        session_key_change: SessionKeyChange,
        first_copies: FirstCopies,
        metrics: AcquirerMetrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        tell_late: Callable[[RequestKey], None] | None = None,
    ) -> None:
        self._section = section
        self._tell_late = tell_late
        self.dialect = dialect
        self.recharge = recharge
        self.metrics = metrics
        self.seal = seal
        self._tell_balance = tell_balance
        self._books = books
        self._reversal = reversal
        self._advice = advice
        self._last_answer = last_answer
        self._totals = totals
        self.session_key_change = session_key_change
        self.first_copies = first_copies
        self._now = now
        self._monotonic = monotonic
        self.load = load
        self._permission = permission
        self._reactor = reactor
        self._deadlines = Deadlines(reactor, section.answer_deadline_seconds)
        self._lines = LineLimit(reactor, section.id)

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
        self.load.in_work += 1
        try:
            answer = await self._answer(context, body, stages)
        finally:
            self.load.in_work -= 1
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
            self._check_load()
            if self._section.is_sign_on_required and not context.is_signed_on:
                raise Refusal(ResponseCode.NOT_SIGNED_ON)
            answered = await self._within_deadline(call, stages, proof)
            body = await self.seal.for_request(answered.body, proof.key)
        except Unreadable as unreadable:
            if unreadable.refusal.code is ResponseCode.FORMAT_ERROR:
                self._refuse_frame(context, "format", unreadable.refusal.private_detail)
            return await self._refuse(unreadable.message, unreadable.refusal, key=None)
        except Refusal as refusal:
            is_false = refusal.code is ResponseCode.MAC_MISMATCH
            context.false_macs += is_false
            context.is_proven = proof.key is not None or (context.is_proven and not is_false)
            refusal = self._tellable(message, refusal, proof.order)
            return await self._refuse(message, refusal, key=proof.key)
        except Exception:  # noqa: BLE001 - a fault must become an answer that is not final, whatever it is
            log.error(Event.SERVE_FAILED, acquirer_id=self._section.id, failure=Failure().getTraceback())
            self.metrics.serve_failures.inc()
            # Whether anything was taken is not known here, so the answer must not be a final one.
            fault = self._tellable(message, Refusal(ResponseCode.IN_PROGRESS, "fault"), proof.order)
            return await self._refuse(message, fault, key=proof.key)
        context.is_proven = True
        if proof.order is not None:
            self.first_copies.serve(proof.order.key)
        self._record(call, answered, stages)
        return body

    def _check_load(self) -> None:
        if self.load.in_work > self._section.in_flight_max:
            raise Refusal(ResponseCode.OVERLOADED, "in_flight_max of this network")
        if not self.load.is_within_rate(self._monotonic()):
            raise Refusal(ResponseCode.OVERLOADED, "requests_per_second_max of this network")

    def _permitted(self, call: SaleCall) -> SaleCall:
        """Write on a sale what its network may not do: the ledger declines it if it is new, and answers it if it was sold before."""
        refused, services = self._permission.refusal_of(call.order), self._permission.services
        if refused is None and services is None:
            return call
        return replace(call, order=replace(call.order, refused=refused, services=services))

    async def _work(self, call: MoneyCall, stages: Stages, proof: "_Proof") -> Answered:
        proof.key = await self.seal.verify(
            call.message, call.body, call.terminal_id, timeout_seconds=stages.left_seconds
        )
        stages.end("verify_mac")
        if isinstance(call, SaleCall | ReversalCall):
            order = call.order
            self.first_copies.meet(order.key, order.digest, is_repeat=call.message.is_repeat)
            proof.order = order
        if isinstance(call, SessionKeyCall):
            return await self.session_key_change.change(call, proof.key)
        return await self._do(call, stages)

    async def _do(self, call: BusinessCall, stages: Stages) -> Answered:
        match call:
            case SaleCall():
                return await self.recharge.sell(self._permitted(call), stages)
            case InquiryCall():
                return await inquire(
                    call,
                    dialect=self.dialect,
                    seal=self.seal,
                    books=self._books,
                    tell_balance=self._tell_balance,
                    deadline=stages.deadline,
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
            case BatchCall():
                return await upload(
                    call,
                    self._serve_record,
                    dialect=self.dialect,
                    seal=self.seal,
                    reactor=self._reactor,
                    stages=stages,
                )

    async def _serve_record(self, record: RecordCall | RefusedRecord, seconds: float | None) -> RecordResult:
        """Do one record of a batch. It counts as a request, and as a repeat: an earlier batch may have held it."""
        stages = Stages(self.metrics, self._monotonic, answer_seconds=inf if seconds is None else seconds)
        self.load.in_work += 1
        try:
            if isinstance(record, RefusedRecord):
                raise record.refusal
            self._check_load()
            answered = await self._do_again(record, stages)
        except Refusal as refusal:
            if refusal.code in _OF_THIS_MOMENT:
                refusal = Refusal(ResponseCode.IN_PROGRESS, f"{refusal.code.value}: {refusal.private_detail}")
            return self._record_refused(record, refusal)
        except Exception:  # noqa: BLE001 - as in `_answer`
            log.error(Event.SERVE_FAILED, acquirer_id=self._section.id, failure=Failure().getTraceback())
            self.metrics.serve_failures.inc()
            return self._record_refused(record, Refusal(ResponseCode.IN_PROGRESS, "fault"))
        finally:
            self.load.in_work -= 1
        self._record(record, answered, stages)
        return RecordResult(message=record.message, code=answered.code, answer=answered.body)

    async def _do_again(self, record: RecordCall, stages: Stages) -> Answered:
        order = record.order
        if not isinstance(order, SaleOrder | ReversalOrder):
            return await self._do(record, stages)
        self.first_copies.meet(order.key, order.digest, is_repeat=True)
        try:
            return await self._do(record, stages)
        finally:
            self.first_copies.serve(order.key)

    def _record_refused(self, record: RecordCall | RefusedRecord, refusal: Refusal) -> RecordResult:
        self._count_refusal(record.message, refusal)
        return RecordResult(message=record.message, code=refusal.code)

    @property
    def tells_outcome(self) -> bool:
        """Whether the network wants to be told what became of sales whose answer it did not get."""
        return self._tell_late is not None

    def session_key(self) -> dict[str, object] | None:
        """Say which session key is in force; None: the network has none."""
        return self.session_key_change.row()

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
            if self._lines.admits(Event.TERMINAL_SIGNED_ON.value):
                log.info(Event.TERMINAL_SIGNED_ON, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        elif call.request is NetworkRequest.SIGN_OFF:
            context.is_signed_on = False
            if self._lines.admits(Event.TERMINAL_SIGNED_OFF.value):
                log.info(Event.TERMINAL_SIGNED_OFF, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        else:
            log.debug(Event.ECHO_ANSWERED, acquirer_id=self._section.id, terminal_id=call.message.get(41))
        self.metrics.seen(self._now().timestamp(), is_approved=False)
        self.metrics.request(call.message.mti, ResponseCode.APPROVED)
        return self.dialect.encode(self.dialect.acknowledge(call.message))

    def _tellable(
        self, message: IsoMessage | None, refusal: Refusal, order: SaleOrder | ReversalOrder | None
    ) -> Refusal:
        """Keep a refusal of this moment from ending a request that may have been sold before, and remember those that do end one."""
        if refusal.code not in _OF_THIS_MOMENT:
            if order is not None:
                self.first_copies.serve(order.key)
            return refusal
        if message is not None and message.is_repeat:
            return Refusal(ResponseCode.IN_PROGRESS, f"repeat, {refusal.code.value}: {refusal.private_detail}")
        return refusal if order is None else self.first_copies.refuse(order.key, order.digest, refusal)

    async def _refuse(self, message: IsoMessage | None, refusal: Refusal, *, key: MacKey | None) -> bytes | None:
        """Log, count and make the answer. Only a request whose own MAC was right gets a MAC, under the same key; None: it was not.

        Otherwise whoever can write on the line could send a spoilt copy of a request and hand the terminal our signed refusal of it
        in place of the true answer.
        """
        self._count_refusal(message, refusal)
        answer = self.dialect.decline(message, refusal.code)
        if answer is None:
            return None
        if message is None or key is None:
            return self.dialect.encode(answer)
        return await self.seal.sign_if_possible(answer, message.text(41).rstrip(), key=key)

    def _count_refusal(self, message: IsoMessage | None, refusal: Refusal) -> None:
        mti = "unread" if message is None else message.mti
        self.metrics.request(mti, refusal.code)
        if not self._lines.admits(refusal.code.value):
            return
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

    def _refuse_frame(self, context: ConnectionContext, reason: str, detail: str) -> None:
        self.metrics.refuse_frame(reason)
        if reason == "tpdu" and self._lines.admits(reason):
            log.warning(Event.MESSAGE_REFUSED, acquirer_id=self._section.id, peer=context.peer, detail=detail)

    def _record(self, call: MoneyCall, answered: Answered, stages: Stages) -> None:
        message = call.message
        stages.end_whole()
        self.metrics.request(message.mti, answered.code)
        self.metrics.seen(self._now().timestamp(), is_approved=answered.code.is_approved)
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
            case _:
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
        """Tell what became of a request after its caller was told that nothing is known yet; its repeat finds the stored answer."""
        self.metrics.late_answers.inc()
        if isinstance(call, SaleCall) and answered.sale is not None:
            if self._tell_late is not None:
                self._tell_late(call.order.key)
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
    SessionKeyCall: Event.SESSION_KEY_ANSWERED,
    BatchCall: Event.BATCH_ANSWERED,
}


@dataclass(slots=True)
class _Proof:
    """What is certain of one request: the key its MAC is right under, and then what it wants done with money, unless it was only told again."""

    key: MacKey | None = None
    order: SaleOrder | ReversalOrder | None = None


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
