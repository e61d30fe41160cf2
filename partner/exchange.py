"""Requests of many terminals over few links, as a concentrator has them: each is sent, repeated and judged until it has its answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from messages.framing import Frame, FrameError, FrameReader, write_frame
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MAC_FIELDS
from messages.tpdu import TPDU_OCTETS, Tpdu
from partner.link import FRAME_OCTETS_MAX
from partner.network import Partner
from partner.notices import NoticeTaker
from partner.run_tally import RunTally
from pos.dialogue import IN_PROGRESS, OF_FIRST_COPIES, TERMINAL_ADDRESS, Dialogue, Fault, Pause, Send, Unknown
from pos.dialogue import Final as FinalAnswer
from vending.response_code import ResponseCode

PAUSE_SECONDS: Final = 0.5
"""Before a repeat, after "in progress" or an answer that was lost on purpose."""

LINK_PAUSE_SECONDS: Final = 0.2
"""Before what has no link is tried again."""

ATTEMPTS_MAX: Final = 12

_HARMLESS: Final = frozenset({Fault.NO_MAC, Fault.OF_FIRST_COPY})
"""What may come without anybody being wrong: unsigned refusals of the moment, and late ones."""

STORED: Final = frozenset({"0200", "0220", "0400"})
"""Message classes whose repeats get the same octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What is made wrong, each as a share of all requests.

    Attributes:
        errors: wishes that must be refused, or with a wrong MAC; notices that are put off.
        drop: answers that are thrown away as if the line had lost them, those to notices too.
        duplicates: requests that are sent twice at once.
        delay_seconds: longest delay of a message on its way, evenly spread.
    """

    errors: float = 0.0
    drop: float = 0.0
    duplicates: float = 0.0
    delay_seconds: float = 0.0


class PartnerLink(StreamProtocol):
    """One link; whatever comes whole is handed on.

    Args:
        concentrator: takes its frames.
    """

    def __init__(self, concentrator: "Concentrator") -> None:
        self.is_up = False
        self._concentrator = concentrator
        self._reader = FrameReader(concentrator.partner.wire.frame_style, FRAME_OCTETS_MAX)

    def connectionMade(self) -> None:
        """Say that it stands."""
        self.is_up = True
        self._concentrator.link_is_up(self)

    def dataReceived(self, data: bytes) -> None:
        """Hand frames on."""
        try:
            events = self._reader.receive(data)
        except FrameError:
            self._concentrator.tally.fault("framing", "octets came that are no frame")
            cast("Any", self.transport).abortConnection()
            return
        for event in events:
            if isinstance(event, Frame):
                self.frame_received(event.octets)

    def frame_received(self, octets: bytes) -> None:
        """Hand one on: a notice to the host, anything else to whoever asked."""
        if not self._concentrator.told(self, octets):
            self._concentrator.received(octets)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say that it is gone."""
        self.is_up = False
        self._concentrator.link_is_lost(self)

    def write(self, octets: bytes) -> None:
        """Send."""
        cast("ITransport", self.transport).write(octets)

    def close(self) -> None:
        """End it."""
        cast("ITransport", self.transport).loseConnection()


@dataclass(slots=True, kw_only=True)
class Waiting:
    """One request without its answer yet."""

    kind: str
    message: IsoMessage
    dialogue: Dialogue
    link_number: int
    where: str
    done: Deferred[FinalAnswer | None]
    sent_at: float = 0.0
    must_lose: bool = False
    is_plain: bool = True
    lost: bytes | None = field(default=None, repr=False)
    timer: Any = None


class Concentrator:
    """All links of a network and what is under way on them.

    Args:
        partner: the network.
        reactor: the clock of all timers.
        chances: what is made wrong.
        tally: counts everything.
        chance: of all choices.
        answer_seconds: how long an answer is waited for before the request is repeated.
        reconnect: opens another link for one that was lost.
        notices: the network's host, as far as it takes notices; None: it takes none.
    """

    def __init__(
        self,
        partner: Partner,
        reactor: IReactorTime,
        chances: Chances,
        tally: RunTally,
        chance: random.Random,
        *,
        answer_seconds: float,
        reconnect: Callable[[], None],
        notices: NoticeTaker | None = None,
    ) -> None:
        self._notices = notices
        self.partner = partner
        self.tally = tally
        self.links: list[PartnerLink] = []
        self.is_ending = False
        self.signing: Callable[[PartnerLink], None] = lambda _: None
        self._reactor = reactor
        self._chances = chances
        self._chance = chance
        self._answer_seconds = answer_seconds
        self._reconnect = reconnect
        self._waiting: dict[tuple[str, str], Waiting] = {}
        self._ended: dict[tuple[str, str], bytes] = {}
        self._spoilt: set[tuple[str, str]] = set()

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    def link_is_up(self, link: PartnerLink) -> None:
        """Take a link into use."""
        self.links.append(link)
        self.signing(link)

    def link_is_lost(self, link: PartnerLink) -> None:
        """Go on with the others; what was under way on it is repeated when its timer ends."""
        if link in self.links:
            self.links.remove(link)
        if not self.is_ending:
            self.tally.links_lost += 1
            self._reconnect()

    def ask(
        self, kind: str, message: IsoMessage, dialogue: Dialogue, *, is_plain: bool = False
    ) -> Deferred[FinalAnswer | None]:
        """Carry one request to its end; None: it has none, which is counted as a fault.

        Args:
            kind: a key of `partner.run_tally.RIGHT`.
            message: the request, as its terminal names it.
            dialogue: of the request, not started.
            is_plain: whether nothing is made wrong on its way.
        """
        can_lose = not is_plain and message.message_class in STORED
        terminal_id, stan = message.text(41).rstrip(), message.text(11)
        waiting = Waiting(
            kind=kind,
            message=message,
            dialogue=dialogue,
            link_number=self._chance.randrange(1 << 16),
            where=f"{message.mti} {terminal_id} {stan}",
            done=Deferred(),
            must_lose=can_lose and self._chance.random() < self._chances.drop,
            is_plain=is_plain,
        )
        self._waiting[terminal_id, stan] = waiting
        step = dialogue.start()
        self._send(waiting, step)
        if can_lose and self._chance.random() < self._chances.duplicates:
            self.tally.doubled += 1
            self._write(waiting, step.octets)
        return waiting.done

    def throw_spoilt(self, message: IsoMessage, body: bytes) -> None:
        """Send a request whose MAC is wrong: it must be refused, without a MAC, and nothing else may come of it."""
        if not self.links:
            return
        wire = self.partner.wire
        tpdu = Tpdu(destination=message.text(24).rjust(4, "0"), source=TERMINAL_ADDRESS).octets
        self.tally.spoilt += 1
        self._spoilt.add((message.text(41).rstrip(), message.text(11)))
        frame = tpdu + body if wire.has_tpdu else body
        self._chance.choice(self.links).write(write_frame(wire.frame_style, frame))

    def _send(self, waiting: Waiting, step: Send | Unknown) -> None:
        if isinstance(step, Unknown):
            self.tally.fault(
                "unanswered", f"{waiting.where}: no final answer after {waiting.dialogue.attempts} attempts"
            )
            self._end(waiting, None)
            return
        waiting.sent_at = self._reactor.seconds()
        self._wait(waiting, self._answer_seconds)
        self._write(waiting, step.octets)

    def _write(self, waiting: Waiting, octets: bytes) -> None:
        if not self.links:
            self._reactor.callLater(LINK_PAUSE_SECONDS, self._write, waiting, octets)
            return
        link = self.links[waiting.link_number % len(self.links)]
        delay_seconds = 0.0 if waiting.is_plain else self._chance.uniform(0.0, self._chances.delay_seconds)
        if delay_seconds:
            self._reactor.callLater(delay_seconds, self._write_late, link, octets)
        else:
            link.write(octets)

    def _write_late(self, link: PartnerLink, octets: bytes) -> None:
        if link.is_up:
            link.write(octets)

    def _wait(self, waiting: Waiting, seconds: float) -> None:
        if waiting.timer is not None and waiting.timer.active():
            waiting.timer.cancel()
        waiting.timer = self._reactor.callLater(seconds, self._repeat, waiting)

    def _repeat(self, waiting: Waiting) -> None:
        self.tally.repeated += 1
        self._send(waiting, waiting.dialogue.repeat())

    def told(self, link: PartnerLink, frame: bytes) -> bool:
        """Take a frame if it is a notice, and answer it over its link after the delay of the way."""
        said = None if self._notices is None else self._notices.take(frame)
        if said is None:
            return False
        if said.frame is not None:
            octets = write_frame(self.partner.wire.frame_style, said.frame)
            delay_seconds = self._chances.delay_seconds
            if delay_seconds:
                delay_seconds = self._chance.uniform(0.0, delay_seconds)
                self._reactor.callLater(delay_seconds, self._write_late, link, octets)
            else:
                link.write(octets)
        return True

    def received(self, frame: bytes) -> None:
        """Take one frame that came on any link."""
        body = frame[TPDU_OCTETS if self.partner.wire.has_tpdu else 0 :]
        try:
            said = self.partner.wire.codec.decode(body)
        except DecodeError as error:
            self.tally.fault("unreadable", f"an answer cannot be read: {error}")
            return
        key = (said.get(41) or "").rstrip(), said.get(11) or ""
        waiting = self._waiting.get(key)
        if key in self._spoilt:
            self._refused(key, said)
            return
        if waiting is None:
            self._late(key, said, body)
            return
        step = waiting.dialogue.received(write_frame(self.partner.wire.frame_style, frame))
        if isinstance(step, Pause):
            self._wait(waiting, PAUSE_SECONDS)
        elif isinstance(step, FinalAnswer):
            self._final(waiting, step, body)
        else:
            self._rejected(waiting)

    def _rejected(self, waiting: Waiting) -> None:
        last = waiting.dialogue.rejected[-1:]
        if last and last[0].fault not in _HARMLESS:
            self.tally.fault(last[0].fault.name.lower(), f"{waiting.where}: {last[0].fault.value}")

    def _final(self, waiting: Waiting, final: FinalAnswer, body: bytes) -> None:
        if waiting.must_lose:
            waiting.must_lose, waiting.lost = False, body
            self.tally.lost += 1
            self._wait(waiting, PAUSE_SECONDS)
            return
        if waiting.lost is not None and waiting.lost != body and not self._is_of_moment(waiting.lost):
            self.tally.fault("other_octets", f"{waiting.where}: the repeat got other octets than the first copy")
        if waiting.dialogue.attempts == 1:
            self.tally.timed((self._reactor.seconds() - waiting.sent_at) * 1000)
        self.tally.answered(waiting.kind, final.code, waiting.where)
        if waiting.message.message_class in STORED:
            self._ended[waiting.message.text(41).rstrip(), waiting.message.text(11)] = body
        self._end(waiting, final)

    def _end(self, waiting: Waiting, final: FinalAnswer | None) -> None:
        if waiting.timer is not None and waiting.timer.active():
            waiting.timer.cancel()
        del self._waiting[waiting.message.text(41).rstrip(), waiting.message.text(11)]
        waiting.done.callback(final)

    def _refused(self, key: tuple[str, str], said: IsoMessage) -> None:
        self._spoilt.discard(key)
        code = said.get(39) or ""
        self.tally.codes["wrong MAC", code] += 1
        right = {
            self.partner.spelled(each, said.mti[:2] + "00")
            for each in (ResponseCode.MAC_MISMATCH, ResponseCode.OVERLOADED)
        }
        if code not in right or any(number in said for number in MAC_FIELDS):
            self.tally.fault("spoilt_taken", f"{said.mti} {key[0]} {key[1]}: a request with a wrong MAC got {code}")

    def _late(self, key: tuple[str, str], said: IsoMessage, body: bytes) -> None:
        """A second copy's answer must be the first one's, unless it tells of the moment."""
        ended = self._ended.get(key)
        if ended is None:
            self.tally.fault("not_asked", f"{said.mti} {key[0]} {key[1]}: an answer to nothing that was asked")
        elif ended != body and not (self._is_of_moment(body) or self._is_of_moment(ended)):
            self.tally.fault("other_octets", f"{said.mti} {key[0]} {key[1]}: the second copy got other octets")

    def _is_of_moment(self, body: bytes) -> bool:
        code = self.partner.wire.codec.decode(body).get(39)
        moments = {self._own(each) for each in (*OF_FIRST_COPIES, IN_PROGRESS)}
        return code in moments

    def _own(self, code_of_1987: str) -> str:
        return next(
            self.partner.spelled(code, "0200") for code in ResponseCode if self.partner.is_1987(code, code_of_1987)
        )
