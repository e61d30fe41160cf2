"""Sends the notices of one network over its connections, one try at a time, and pairs what comes back with them.

No state of a notice is kept here: what a try came to goes to the ledger, which goes by `vending.notice_life`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from acquirers.dialect import Dialect
from acquirers.notices import NoticeAnswer
from config.acquirer import AcquirerSection
from config.acquirer_notices import NoticesSection
from messages.iso_message import IsoMessage
from messages.tpdu import TPDU_OCTETS, Tpdu
from messages.transmission_time import TransmissionTimeError, read_transmission_time
from switch.listener import AcquirerConnection, ConnectionContext
from switch.log import Event, log
from switch.metrics import AcquirerMetrics
from switch.seal import Seal
from vending.notice import LateAnswer, Notice
from vending.notice_life import NoticeEvent
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal

LATE_ANSWERS_MAX = 8
"""Late answers of one network whose MACs are looked at together; more come from a host that is broken or hostile, and are counted."""


class Speaker(Protocol):
    """What a network is spoken to by; `switch.exchange.Exchange` is one, and another after a change of configuration."""

    dialect: Dialect
    seal: Seal
    metrics: AcquirerMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class TryResult:
    """What one try came to; ``code`` is data element 39 of the answer, None without one."""

    event: NoticeEvent
    code: str | None = None
    code_label: str = ""


@dataclass(slots=True, kw_only=True)
class _Waiting:
    result: Deferred[TryResult]
    connection_id: int


class NoticeDesk:
    """See above.

    Args:
        section: the network's, with notices.
        speaker: its dialect and its MACs.
        ways: the connections that a notice may go over now, the best first.
        take_late: is given what answers no try that waits.
        clock: of the reactor.
        now: our clock, aware UTC.

    Attributes:
        section: and ``speaker``, ``ways``: as they are now; whoever changes the configuration sets them.
    """

    def __init__(
        self,
        section: AcquirerSection,
        speaker: Speaker,
        *,
        ways: Callable[[], list[AcquirerConnection]],
        take_late: Callable[[LateAnswer], None],
        clock: IReactorTime,
        now: Callable[[], datetime],
    ) -> None:
        self.section = section
        self.speaker = speaker
        self.ways = ways
        self._take_late = take_late
        self._clock = clock
        self._now = now
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._late_in_work = 0

    @property
    def notices(self) -> NoticesSection:
        """What the network is told, and how patiently."""
        assert self.section.notices is not None, "a desk is of a network with notices"
        return self.section.notices

    @property
    def is_sendable(self) -> bool:
        """Whether a notice could leave now."""
        return not self._waiting and bool(self.ways())

    async def send(self, notice: Notice, *, give_up_at: float) -> TryResult:
        """Try once.

        Args:
            notice: claimed, so it is durable that it may be on its way.
            give_up_at: on the clock; nothing leaves any more from then on, because the lane may be another process's.
        """
        message = self.speaker.dialect.notice(notice)
        try:
            body = await self.speaker.seal.sign(message, notice.facts.terminal_id)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused, Refusal) as error:
            return self._ended(message, TryResult(event=NoticeEvent.NOT_SENT), detail=repr(error))
        ways = self.ways()
        if not ways or self._clock.seconds() >= give_up_at:
            return self._ended(message, TryResult(event=NoticeEvent.NOT_SENT), detail="no way")
        pairing = (message.text(11), message.text(7))
        waiting = _Waiting(result=Deferred(), connection_id=ways[0].connection_id)
        self._waiting[pairing] = waiting
        if not ways[0].say(self._tpdu() + body):
            waiting.result.callback(TryResult(event=NoticeEvent.NOT_SENT))
        timer = self._clock.callLater(self.notices.answer_timeout_seconds, self._expire, waiting)
        try:
            return self._ended(message, await waiting.result)
        finally:
            if timer.active():
                timer.cancel()
            del self._waiting[pairing]

    def take(self, context: ConnectionContext, frame: bytes) -> bool:
        """Look at a frame that came; True: it answers a notice and there is nothing to serve."""
        body = frame[TPDU_OCTETS:] if self.section.has_tpdu else frame
        answer = self.speaker.dialect.notice_answer(body)
        if answer is None:
            return False
        if (answer.stan, answer.transmitted) not in self._waiting:
            if self._late_in_work >= LATE_ANSWERS_MAX:
                self._count(answer.message.mti, "ignored", answer.code_label)
                return True
            self._late_in_work += 1
            ensureDeferred(self._late(context, answer, body)).addBoth(self._late_done)
            return True
        ensureDeferred(self._answered(context, answer, body)).addErrback(self._fault)
        return True

    def connection_lost(self, connection_id: int) -> None:
        """From the port: a connection is gone."""
        for waiting in list(self._waiting.values()):
            if waiting.connection_id == connection_id and not waiting.result.called:
                waiting.result.callback(TryResult(event=NoticeEvent.LINK_LOST))

    # Inside.

    def _expire(self, waiting: _Waiting) -> None:
        if not waiting.result.called:
            waiting.result.callback(TryResult(event=NoticeEvent.UNANSWERED))

    async def _answered(self, context: ConnectionContext, answer: NoticeAnswer, body: bytes) -> None:
        is_right = await self._is_right(context, answer, body)
        waiting = self._waiting.get((answer.stan, answer.transmitted))
        if not is_right:
            return
        if waiting is not None and not waiting.result.called:
            waiting.result.callback(TryResult(event=answer.event, code=answer.code, code_label=answer.code_label))
        else:
            self._tell_late(answer)

    async def _late(self, context: ConnectionContext, answer: NoticeAnswer, body: bytes) -> None:
        if await self._is_right(context, answer, body):
            self._tell_late(answer)

    def _tell_late(self, answer: NoticeAnswer) -> None:
        now = self._now()
        try:
            transmitted_at = read_transmission_time(answer.transmitted, now)
        except TransmissionTimeError:
            return
        self._count(answer.message.mti, "late", answer.code_label)
        self._take_late(
            LateAnswer(
                acquirer_id=self.section.id,
                stan=answer.stan,
                transmitted_at=transmitted_at,
                event=answer.event,
                code=answer.code,
                at=now,
            )
        )

    async def _is_right(self, context: ConnectionContext, answer: NoticeAnswer, body: bytes) -> bool:
        """Whether the MAC of an answer is right: without it anybody on the line could swallow a notice."""
        try:
            await self.speaker.seal.verify(answer.message, body, answer.terminal_id)
        except Refusal as refusal:
            self._count(answer.message.mti, "unproven", answer.code_label)
            log.warning(
                Event.NOTICE_ANSWER_REFUSED,
                acquirer_id=self.section.id,
                peer=context.peer,
                stan=answer.stan,
                code=refusal.code,
            )
            return False
        return True

    def _late_done(self, result: object) -> None:
        self._late_in_work -= 1
        if isinstance(result, Failure):
            self._fault(result)

    def _fault(self, failure: Failure) -> None:
        log.error(Event.NOTICE_FAILED, acquirer_id=self.section.id, failure=failure.getTraceback())

    def _tpdu(self) -> bytes:
        if not self.section.has_tpdu:
            return b""
        links = self.section.links
        return Tpdu(destination="0000" if links is None else links.tpdu_destination, source="0000").octets

    def _ended(self, message: IsoMessage, result: TryResult, detail: str | None = None) -> TryResult:
        self._count(message.mti, result.event.value, result.code_label)
        log.info(
            Event.NOTICE_TRIED,
            acquirer_id=self.section.id,
            mti=message.mti,
            stan=message.text(11),
            outcome=result.event.value,
            code=result.code,
            detail=detail,
        )
        return result

    def _count(self, mti: str, outcome: str, code: str) -> None:
        self.speaker.metrics.notice_tried(mti, outcome, code)


def serving(
    desk: NoticeDesk, serve: Callable[[ConnectionContext, bytes], Awaitable[bytes | None]]
) -> Callable[[ConnectionContext, bytes], Awaitable[bytes | None]]:
    """Return *serve*, with answers to notices given to *desk* first."""

    async def take_or_serve(context: ConnectionContext, frame: bytes) -> bytes | None:
        if desk.take(context, frame):
            return None
        return await serve(context, frame)

    return take_or_serve
