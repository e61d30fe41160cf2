"""Runs certification cases against a port, one link for each case, and keeps what was said for the report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final

from messages.framing import KeepAlive, write_frame, write_keep_alive
from messages.iso_message import IsoMessage
from messages.subfields import SubElementError
from messages.tpdu import Tpdu
from partner.case import (
    Again,
    Ask,
    Case,
    Gets,
    Hostile,
    Need,
    Reaction,
    Step,
    Sums,
    Terminal,
    Throw,
    Together,
    Wish,
    Words,
)
from partner.composer import Composer, Made, Sold
from partner.judge import Received, judge, read_answer
from partner.link import Link, Nothing
from partner.network import Partner
from partner.setting import Setting
from partner.sold import added, counted, read_totals, undone
from pos.answers import AnswerMalformed
from pos.tally import Sold as SoldOne
from pos.tally import Tally
from vending.calendar import local_date
from vending.response_code import ResponseCode
from vending.settlement import DayTotals, settlement_day

IN_PROGRESS_SECONDS_MAX: Final = 10.0
"""How long a case asks again while the outcome is not known."""

PAUSE_SECONDS: Final = 0.5

SOURCE: Final = "0123"
"""The TPDU's source: a concentrator would have numbered its terminals."""

_HOSTILE: Final = {
    Hostile.HTTP: b"GET / HTTP/1.1\r\nHost: eudora\r\n\r\n",
    Hostile.TLS: bytes.fromhex("1603010200010001fc0303") + bytes(32),
    Hostile.TOO_LONG: b"9999" + b"0" * 12,
}


class Outcome(Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Octets that went over the line: ``is_sent`` by us, else received."""

    is_sent: bool
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case, how it ended, and why.

    Attributes:
        case: what was tried.
        outcome: how it ended.
        faults: what was wrong, in order.
        missing: what a skipped case lacked.
        said: everything on the line.
        milliseconds: how long it took.
    """

    case: Case
    outcome: Outcome
    faults: tuple[Words, ...] = ()
    missing: tuple[Need, ...] = ()
    said: tuple[Said, ...] = field(default=(), repr=False)
    milliseconds: int = 0


@dataclass(slots=True)
class _Going:
    """What one case remembers while it runs."""

    link: Link
    made: dict[str, Made] = field(default_factory=dict)
    answers: dict[str, Received] = field(default_factory=dict)
    faults: list[Words] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)


class Examiner:
    """Runs cases.

    Args:
        partner: the network.
        setting: terminals and meters.
        connect: opens a link; raises `OSError`.
        now: the clock, aware.
        first_stan: the trace number before the first.
        answer_seconds: how long an answer is waited for; above the switch's own deadline.
        sleep: how time passes.
    """

    def __init__(
        self,
        partner: Partner,
        setting: Setting,
        connect: Callable[[], Link],
        *,
        now: Callable[[], datetime],
        first_stan: int,
        answer_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._partner = partner
        self._setting = setting
        self._connect = connect
        self._now = now
        self._answer_seconds = answer_seconds
        self._sleep = sleep
        self._composer = Composer(partner, setting, now, first_stan)
        self._day = local_date(now())
        self._before = DayTotals()
        self._network = DayTotals()
        self._tally = Tally()
        self._sales: dict[tuple[str, str], SoldOne] = {}

    def run(self, cases: Sequence[Case], when_done: Callable[[CaseResult], None] = lambda _: None) -> list[CaseResult]:
        """Run cases in order; *when_done* is told of each.

        Raises:
            OSError: the port cannot be reached at all.
        """
        self._read_before()
        results = []
        for case in cases:
            result = self._run_one(case)
            when_done(result)
            results.append(result)
        return results

    def _read_before(self) -> None:
        """Learn what the terminal had sold before, so that its totals can be counted on from there."""
        going = _Going(self._connect())
        try:
            self._sign_on(going)
            ask = Ask(
                wish=Wish.TOTALS, sums=Sums.WRONG, gets=Gets(code=ResponseCode.TOTALS_DIFFER, has_mac=None), name="t"
            )
            self._ask(ask, going)
            self._before = self._totals_told(going, "t")
        finally:
            going.link.close()

    def _run_one(self, case: Case) -> CaseResult:
        missing = self._setting.missing(case, self._partner)
        if missing:
            return CaseResult(case=case, outcome=Outcome.SKIPPED, missing=tuple(missing))
        started = time.monotonic()
        faults: list[Words] = []
        going: _Going | None = None
        try:
            going = _Going(self._connect())
            faults = going.faults
            self._sign_on(going)
            going.said.clear()
            for step in case.steps:
                self._step(step, going)
                if faults:
                    break
        except OSError as error:
            reason = error.strerror or str(error)
            faults.append(Words(f"el enlace no sirve: {reason}", f"the link is of no use: {reason}"))
        finally:
            if going is not None:
                going.link.close()
        return CaseResult(
            case=case,
            outcome=Outcome.FAILED if faults else Outcome.PASSED,
            faults=tuple(faults),
            said=() if going is None else tuple(going.said),
            milliseconds=int((time.monotonic() - started) * 1000),
        )

    def _sign_on(self, going: _Going) -> None:
        if self._partner.is_sign_on_required:
            self._ask(Ask(wish=Wish.SIGN_ON, gets=Gets(code=ResponseCode.APPROVED, has_mac=False)), going)

    def _step(self, step: Step, going: _Going) -> None:
        if isinstance(step, Throw):
            self._throw(step, going)
        elif isinstance(step, Together):
            self._together(step, going)
        else:
            self._ask(step, going)

    def _ask(self, ask: Ask, going: _Going) -> None:
        made = self._made(ask, going)
        if not ask.is_sent:
            return
        self._send(ask, made, going)
        received = self._receive(made, going)
        give_up_at = time.monotonic() + IN_PROGRESS_SECONDS_MAX
        while received is not None and self._is_open(made, received) and time.monotonic() < give_up_at:
            self._sleep(PAUSE_SECONDS)
            made = self._composer.make(replace(ask, of="now", again=Again.REPEAT), {"now": made}, self._sold())
            self._send(ask, made, going)
            received = self._receive(made, going)
        if received is not None:
            self._judge(ask, made, received, going)

    def _made(self, ask: Ask, going: _Going) -> Made:
        made = self._composer.make(ask, going.made, self._sold())
        if ask.name:
            going.made[ask.name] = made
        return made

    def _is_open(self, made: Made, received: Received) -> bool:
        told = None if received.message is None else received.message.get(39)
        return told == self._partner.spelled(ResponseCode.IN_PROGRESS, made.said.message_class)

    def _together(self, step: Together, going: _Going) -> None:
        made = [self._made(ask, going) for ask in step.asks]
        frames = [write_frame(self._partner.wire.frame_style, self._frame(each)) for each in made]
        self._throw_octets(b"".join(frames), going)
        waiting = {each.message.text(11): (ask, each) for ask, each in zip(step.asks, made, strict=True)}
        while waiting:
            received = self._receive(made[0], going)
            if received is None:
                return
            stan = "" if received.message is None else received.message.get(11) or ""
            found = waiting.pop(stan, None)
            if found is None:
                going.faults.append(Words("una respuesta a nada que se pidió", "an answer to nothing that was asked"))
                return
            self._judge(*found, received, going)

    def _throw(self, step: Throw, going: _Going) -> None:
        style = self._partner.wire.frame_style
        octets = write_keep_alive(style) if step.octets is Hostile.KEEP_ALIVE else _HOSTILE[step.octets]
        if step.octets is Hostile.TOO_LONG and style.prefix_octets == 2:
            octets = b"\xff" * 16
        self._throw_octets(octets, going)
        event = going.link.read(self._answer_seconds)
        if step.gets is Reaction.KEEP_ALIVE and not isinstance(event, KeepAlive):
            going.faults.append(Words("no vuelve una trama de longitud cero", "no frame of length zero comes back"))
        if step.gets is Reaction.CLOSED and event is not Nothing.CLOSED:
            going.faults.append(
                Words("el enlace no se cerró, o hubo respuesta", "the link was not closed, or something was answered")
            )

    def _send(self, ask: Ask, made: Made, going: _Going) -> None:
        octets = write_frame(self._partner.wire.frame_style, self._frame(made))
        if ask.in_pieces:
            for place in range(len(octets) - 1):
                going.link.throw(octets[place : place + 1])
            going.link.throw(octets[-1:])
            going.said.append(Said(is_sent=True, octets=octets))
        else:
            self._throw_octets(octets, going)
        if ask.is_half_closed:
            going.link.end_our_half()

    def _throw_octets(self, octets: bytes, going: _Going) -> None:
        going.link.throw(octets)
        going.said.append(Said(is_sent=True, octets=octets))

    def _frame(self, made: Made) -> bytes:
        return self._tpdu(made).octets + made.body if self._partner.wire.has_tpdu else made.body

    def _tpdu(self, made: Made) -> Tpdu:
        return Tpdu(destination=made.identity.nii.rjust(4, "0"), source=SOURCE)

    def _receive(self, made: Made, going: _Going) -> Received | None:
        """Read one answer; None and a fault where none came."""
        frame = going.link.read_frame(self._answer_seconds)
        if isinstance(frame, Nothing):
            words = {
                Nothing.SILENCE: Words(
                    f"sin respuesta en {self._answer_seconds:.0f} segundos",
                    f"no answer within {self._answer_seconds:.0f} seconds",
                ),
                Nothing.CLOSED: Words("el enlace se cerró sin respuesta", "the link was closed without an answer"),
                Nothing.NO_FRAME: Words("llegó algo que no es una trama", "what came is no frame"),
            }
            going.faults.append(words[frame])
            return None
        going.said.append(Said(is_sent=False, octets=write_frame(self._partner.wire.frame_style, frame)))
        return read_answer(frame, self._partner, self._tpdu(made))

    def _judge(self, ask: Ask, made: Made, received: Received, going: _Going) -> None:
        going.faults += judge(made.said, received, ask.gets, self._partner, made.signer, going.answers)
        if ask.name:
            going.answers[ask.name] = received
        answer = received.message
        if answer is None:
            return
        if ask.wish is Wish.NETWORK_TOTALS:
            self._network = self._read(made, answer)
        if made.identity != self._setting.terminals[Terminal.ORDINARY]:
            return
        if answer.get(39) == self._partner.spelled(ResponseCode.APPROVED, made.said.message_class):
            self._count(made, answer)

    def _count(self, made: Made, answer: IsoMessage) -> None:
        try:
            told = self._partner.speech.from_network(answer, made.message)
            found = counted(made.message, made.records, told, made.at)
        except (ValueError, AnswerMalformed):
            return
        key = (made.message.text(11), made.message.text(7))
        if made.message.message_class == "0400":
            back = undone(made.message, self._sales)
            found = [] if back is None else [back]
        elif key in self._sales:
            return
        for each in found:
            self._sales[key] = each
            self._tally = self._tally.with_sold(each)
            self._day = max(self._day, each.day)

    def _sold(self) -> Sold:
        return Sold(
            day=self._day,
            of_terminal=added(self._before, self._tally.of(self._day)),
            of_network=self._network,
        )

    def _totals_told(self, going: _Going, name: str) -> DayTotals:
        received = going.answers.get(name)
        if received is None or received.message is None:
            return DayTotals()
        return self._read(going.made[name], received.message)

    def _read(self, made: Made, answer: IsoMessage) -> DayTotals:
        try:
            told = self._partner.speech.from_network(answer, made.message)
            day = told.get(15)
            if day is not None:
                self._day = max(self._day, settlement_day(day, self._now()))
            return read_totals(told)
        except (ValueError, SubElementError):
            return DayTotals()
