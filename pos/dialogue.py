"""One exchange of a datáfono with its network, without a socket: octets in, the next step out.

The terminal sends, waits, and repeats under the same key until an answer is final or its patience ends. An answer counts only if it
is authentic: the right MTI, the request's own fields back, and a valid MAC. Anything else is no answer at all.
"""

from dataclasses import dataclass, field
from enum import Enum

from messages.framing import Frame, FrameError, FrameReader, write_frame
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MacAbsent, split_mac
from messages.tpdu import Tpdu, TpduError, split_tpdu
from messages.wire import DATAFONO_WIRE
from pos.mac import Signer
from pos.requests import as_repeat, carries_mac, seal
from pos.speech import DATAFONO_SPEECH, Speech
from vending.ports import MacMismatch

ATTEMPTS_MAX = 5
"""One request and four repeats: with the default timers little over a minute, which is what a customer waits at a counter."""

BAD_ANSWERS_MAX = 8
"""More unauthentic answers than this in one exchange end it as unknown: somebody plays with the line."""

TERMINAL_ADDRESS = "0000"
"""The TPDU's source: these terminals hang on no concentrator that would number them."""

IN_PROGRESS = "09"
BATCH_ANSWER = "0330"
APPROVED = "00"

OF_FIRST_COPIES = frozenset({"77", "79", "90", "91", "92", "96"})
"""Refusals that only a first copy can get. Once a repeat is out they end nothing: the repeat may be sold."""

_ECHOED = (2, 3, 4, 7, 11, 12, 13, 24, 41, 42)
"""Data elements that an answer must carry back unchanged, those of them that the request had."""


def tells_of_records(answer: IsoMessage) -> bool:
    """Whether it says what became of each record of a batch: then it is worth having, also where some are open yet."""
    return answer.mti == BATCH_ANSWER and 48 in answer


class Fault(Enum):
    """Why octets that came were no answer."""

    FRAMING = "framing"
    TPDU = "tpdu"
    FORMAT = "format"
    WRONG_MTI = "wrong MTI"
    NOT_OURS = "answer to another request"
    NO_CODE = "no response code"
    NO_MAC = "no MAC"
    WRONG_MAC = "wrong MAC"
    OF_FIRST_COPY = "refusal of the first copy, which a repeat has overtaken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Something that came and was no answer; ``code`` is what it claimed, to be told but not believed."""

    fault: Fault
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send ``octets`` (a whole frame) and wait for what comes. ``attempt`` counts from 1."""

    octets: bytes = field(repr=False)
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing conclusive came: go on reading until the timer ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relink:
    """The stream has lost its frames: close the link, then call `Dialogue.repeat` on a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The outcome is not known yet over there: let some time pass, then call `Dialogue.repeat`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """An authentic, final answer. ``octets`` are the message without length and TPDU: as received, or as ``datafono`` would have it."""

    answer: IsoMessage
    octets: bytes = field(repr=False)

    @property
    def code(self) -> str:
        """Data element 39."""
        return self.answer.text(39)

    @property
    def is_approved(self) -> bool:
        """Whether it was done."""
        return self.code == APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No final answer, and patience has ended: it may have been done or not. ``rejected`` says what came instead."""

    rejected: tuple[Rejected, ...]


Step = Send | Wait | Relink | Pause | Final | Unknown


class Dialogue:
    """The exchange of one request.

    Call `start`, then feed `received`, `repeat` after a silence, a lost link or a `Pause`, until `Final` or `Unknown` is returned.
    After a new link was made call `link_opened` first, so that half a frame of the old one is forgotten.
    """

    def __init__(
        self,
        request: IsoMessage,
        signer: Signer,
        *,
        speech: Speech = DATAFONO_SPEECH,
        was_sent: bool = False,
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        """Prepare.

        Args:
            request: the first form of the message (0200, not 0201), without its MAC.
            signer: this terminal's.
            speech: of the network.
            was_sent: it may have reached the network before, so it goes out as a repeat at once.
            attempts_max: how often it is sent at most.
        """
        self._request = request
        self._signer = signer
        self._was_sent = was_sent
        self._attempts_max = attempts_max
        self._attempts = 0
        self._rejected: list[Rejected] = []
        self._speech = speech
        self._wire = speech.wire
        self._said = speech.to_network(request)
        self._tpdu = Tpdu(destination=request.text(24).rjust(4, "0"), source=TERMINAL_ADDRESS)
        self._reader = FrameReader(self._wire.frame_style)

    @property
    def attempts(self) -> int:
        """How often the request was handed out for sending."""
        return self._attempts

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """What came and was no answer, so far."""
        return tuple(self._rejected)

    def start(self) -> Send:
        """Return the first message to send."""
        assert self._attempts == 0
        return self._send()

    def link_opened(self) -> None:
        """Forget what an earlier link left unfinished."""
        self._reader = FrameReader(self._wire.frame_style)

    def received(self, data: bytes) -> Step:
        """Take octets from the link; returns `Wait`, `Relink`, `Pause`, `Final` or `Unknown`."""
        otherwise: Step = Wait()
        try:
            events = self._reader.receive(data)
        except FrameError as error:
            self._rejected.append(Rejected(fault=Fault.FRAMING))
            events = list(error.events)
            otherwise = Relink()
        for event in events:
            if not isinstance(event, Frame):
                continue
            verdict = self._judge(event.octets)
            if isinstance(verdict, Rejected):
                self._rejected.append(verdict)
            elif verdict.code in OF_FIRST_COPIES and self._has_repeated:
                self._rejected.append(Rejected(fault=Fault.OF_FIRST_COPY, code=verdict.code))
            elif verdict.code == IN_PROGRESS and not tells_of_records(verdict.answer):
                return Pause()
            else:
                return verdict
        if len(self._rejected) > BAD_ANSWERS_MAX:
            return self._unknown()
        return otherwise

    def repeat(self, *, was_sent: bool = True) -> Send | Unknown:
        """Return the repeat to send, or `Unknown` when the attempts are used up.

        Args:
            was_sent: False if it is certain that not an octet of any attempt has left; then it goes out in its first form.
        """
        self._was_sent = self._was_sent or was_sent
        return self._unknown() if self._attempts >= self._attempts_max else self._send()

    @property
    def _has_repeated(self) -> bool:
        return self._was_sent and as_repeat(self._request).mti != self._request.mti

    def _send(self) -> Send:
        self._attempts += 1
        message = as_repeat(self._request) if self._was_sent else self._request
        octets = seal(message, self._signer, self._speech)
        if self._wire.has_tpdu:
            octets = self._tpdu.octets + octets
        return Send(octets=write_frame(self._wire.frame_style, octets), attempt=self._attempts)

    def _unknown(self) -> Unknown:
        return Unknown(rejected=tuple(self._rejected))

    def _judge(self, octets: bytes) -> Final | Rejected:
        encoded, is_for_us = octets, True
        try:
            if self._wire.has_tpdu:
                tpdu, encoded = split_tpdu(octets)
                is_for_us = tpdu.destination == self._tpdu.source
            said = self._wire.codec.decode(encoded)
        except TpduError:
            return Rejected(fault=Fault.TPDU)
        except DecodeError:
            return Rejected(fault=Fault.FORMAT)
        code = said.get(39)
        if not is_for_us:
            return Rejected(fault=Fault.TPDU, code=code)
        if said.mti != self._said.answer_mti:
            return Rejected(fault=Fault.WRONG_MTI, code=code)
        if any(said.get(number) != self._said.get(number) for number in _ECHOED if number in self._said):
            return Rejected(fault=Fault.NOT_OURS, code=code)
        if code is None:
            return Rejected(fault=Fault.NO_CODE)
        if carries_mac(self._request):
            try:
                sealed = split_mac(said, encoded, self._wire.mac_form)
                self._signer.verify(sealed.covered, sealed.mac)
            except MacAbsent:
                return Rejected(fault=Fault.NO_MAC, code=code)
            except MacMismatch:
                return Rejected(fault=Fault.WRONG_MAC, code=code)
        return self._final(said, encoded)

    def _final(self, said: IsoMessage, encoded: bytes) -> Final | Rejected:
        """Keep an authentic answer in the form in which the terminal remembers all of them."""
        if self._wire is DATAFONO_WIRE:
            return Final(answer=said, octets=encoded)
        try:
            answer = self._speech.from_network(said, self._request)
            return Final(answer=answer, octets=DATAFONO_WIRE.codec.encode(answer))
        except ValueError:
            return Rejected(fault=Fault.FORMAT, code=said.get(39))
