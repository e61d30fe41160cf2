"""Virtual datáfonos under torture: each sells, repeats until an answer is final, and remembers what it was told.

Like a datáfono in a shop, but less patient: its timers are short and it comes back at once, so that repeats meet what they repeat.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from random import Random

from messages.iso_message import IsoMessage
from pos import requests
from pos.answers import read_pins
from pos.dialogue import Dialogue, Final, Pause, Relink, Send, Step, Unknown, Wait
from pos.mac import signer
from pos.requests import Moment
from pos.store import TerminalIdentity
from torture.seen import RequestKey, Seen
from torture.verdict import APPROVED, UNDONE
from vending.money import Centavos

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 4.0
"""A little more than the deadline of the switch under torture."""

PAUSE_SECONDS_MAX = 1.0
ATTEMPTS_MAX = 1_000_000
UNKNOWN_METER = "37999999999"

PAID_CENTAVOS = tuple(Centavos(pesos * 100) for pesos in (5_000, 10_000, 20_000, 50_000))

_RECEIVE_OCTETS = 4096
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Manner(Enum):
    """How a sale goes."""

    PLAIN = "plain"
    AGAIN = "asked again after its final answer: the same octets must come"
    DOUBLED = "its repeat is sent right behind it"
    HALF = "half of it is sent, then the link is lost"
    DROPPED = "the link is lost right after it was sent"
    REVERSED = "reversed after its final answer"
    ABANDONED = "reversed before there is an answer"


_OFTEN = {
    Manner.PLAIN: 62,
    Manner.AGAIN: 10,
    Manner.DOUBLED: 8,
    Manner.HALF: 4,
    Manner.DROPPED: 6,
    Manner.REVERSED: 4,
    Manner.ABANDONED: 6,
}
"""In a hundred sales."""


@dataclass(slots=True)
class Going:
    """What tells terminals to go on; both may be set from another thread.

    Attributes:
        is_selling: cleared when no new sale is to be begun.
        is_patient: cleared when even open requests are given up.
    """

    is_selling: threading.Event = field(default_factory=threading.Event)
    is_patient: threading.Event = field(default_factory=threading.Event)


class VirtualTerminal:
    """One datáfono, run by one thread.

    Args:
        identity: who it is.
        address: of the switch.
        meters: numbers to sell to.
        random: of all its choices.
        now: the clock, aware.
        monotonic: the clock of its timers, seconds.
        going: see there.
        when_final: is told of every final answer as it arrives, from the terminal's thread.
    """

    def __init__(
        self,
        identity: TerminalIdentity,
        address: tuple[str, int],
        meters: Sequence[str],
        *,
        random: Random,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        going: Going,
        when_final: Callable[[Seen], None] | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self._identity = identity
        self._address = address
        self._meters = meters
        self._random = random
        self._now = now
        self._monotonic = monotonic
        self._going = going
        self._when_final = when_final
        self._signer = signer(identity.mac_scheme, identity.mac_key)
        self._stan = 0
        self._link: socket.socket | None = None
        self._pauses = threading.Event()

    def run(self) -> None:
        """Sell until it is told to stop."""
        try:
            while self._going.is_selling.is_set():
                self._sell()
                self._sleep(self._random.expovariate(20.0))
        finally:
            self._close()

    def cut(self) -> None:
        """Lose the link, from another thread."""
        link = self._link
        if link is not None:
            with contextlib.suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                link.shutdown(socket.SHUT_RDWR)

    def _sell(self) -> None:
        moment = self._moment()
        meter = UNKNOWN_METER if self._random.random() < 0.03 else self._random.choice(self._meters)
        message = requests.recharge(
            self._identity, moment, meter_number=meter, paid_centavos=self._random.choice(PAID_CENTAVOS)
        )
        seen = self._remember(message, moment)
        (manner,) = self._random.choices(list(_OFTEN), list(_OFTEN.values()))
        if manner is Manner.ABANDONED:
            self._ask(seen, message, attempts_max=1, answer_seconds=self._random.uniform(0.0, 0.05))
            if seen.code is None:
                self._reverse(seen, message)
            return
        self._ask(seen, message, manner=manner)
        if manner in {Manner.AGAIN, Manner.DOUBLED} and seen.code == APPROVED:
            self._ask(seen, message, was_sent=True)
        if manner is Manner.REVERSED and seen.code is not None:
            self._reverse(seen, message)

    def _reverse(self, sale: Seen, original: IsoMessage) -> None:
        moment = self._moment()
        message = requests.reversal(self._identity, moment, original)
        reversal = self._remember(message, moment, original=sale.key)
        self._ask(reversal, message)
        if sale.code is None and reversal.code not in UNDONE:
            # It stands, or the reversal was refused: the sale is still open.
            self._ask(sale, original, was_sent=sale.attempts > 0)

    def _remember(self, message: IsoMessage, moment: Moment, original: RequestKey | None = None) -> Seen:
        key = RequestKey(
            terminal_id=self._identity.terminal_id,
            transmitted_at=moment.transmitted_at,
            stan=moment.stan,
            message_class=message.message_class,
        )
        seen = Seen(key=key, original=original)
        self.seen.append(seen)
        return seen

    def _ask(
        self,
        seen: Seen,
        message: IsoMessage,
        *,
        was_sent: bool = False,
        manner: Manner = Manner.PLAIN,
        attempts_max: int = ATTEMPTS_MAX,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Send and repeat until there is a final answer, or the attempts are used up, or patience ends."""
        pause_seconds = 0.05
        attempts = 0
        while self._going.is_patient.is_set() and attempts < attempts_max:
            dialogue = Dialogue(message, self._signer, was_sent=was_sent, attempts_max=ATTEMPTS_MAX)
            step: Step = dialogue.start()
            while isinstance(step, Send) and self._going.is_patient.is_set():
                attempts += 1
                result, has_left = self._attempt(dialogue, step, manner, answer_seconds)
                seen.attempts += has_left
                was_sent = was_sent or has_left
                manner = Manner.PLAIN
                if isinstance(result, Final):
                    self._settle(seen, result)
                    return
                if isinstance(result, Unknown) or attempts >= attempts_max:
                    break
                if isinstance(result, Pause):
                    seen.in_progress += has_left
                    self._sleep(pause_seconds * self._random.uniform(0.5, 1.5))
                    pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)
                if isinstance(result, Relink):
                    self._close()
                step = dialogue.repeat(was_sent=was_sent)

    def _attempt(
        self, dialogue: Dialogue, step: Send, manner: Manner, answer_seconds: float
    ) -> tuple[Final | Unknown | Pause | Relink | Wait, bool]:
        """Send once and read; also return whether an octet may have left."""
        has_left = False
        try:
            link = self._open(dialogue)
            has_left = True
            if manner is Manner.HALF:
                link.sendall(step.octets[: len(step.octets) // 2])
                raise ConnectionResetError
            link.sendall(step.octets)
            if manner is Manner.DOUBLED:
                again = dialogue.repeat()
                assert isinstance(again, Send)
                link.sendall(again.octets)
            if manner is Manner.DROPPED:
                raise ConnectionResetError
            return self._read(dialogue, link, answer_seconds), True
        except OSError:
            self._close()
            return Pause(), has_left

    def _read(
        self, dialogue: Dialogue, link: socket.socket, answer_seconds: float
    ) -> Final | Unknown | Pause | Relink | Wait:
        deadline = self._monotonic() + answer_seconds
        while (left_seconds := deadline - self._monotonic()) > 0:
            link.settimeout(left_seconds)
            try:
                data = link.recv(_RECEIVE_OCTETS)
            except TimeoutError:
                break
            if not data:
                raise ConnectionResetError
            result = dialogue.received(data)
            if not isinstance(result, Wait):
                assert not isinstance(result, Send)
                return result
        return Wait()

    def _settle(self, seen: Seen, final: Final) -> None:
        if seen.code is not None:
            seen.other_answers += final.octets != seen.answer
            return
        seen.code, seen.answer = final.code, final.octets
        seen.pins = tuple(pin.reveal() for pin in read_pins(final.answer))
        if self._when_final is not None:
            self._when_final(seen)

    def _open(self, dialogue: Dialogue) -> socket.socket:
        if self._link is None:
            link = socket.create_connection(self._address, timeout=CONNECT_SECONDS)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._link = link
            dialogue.link_opened()
        self._link.settimeout(CONNECT_SECONDS)
        return self._link

    def _close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _moment(self) -> Moment:
        self._stan += 1
        return Moment(stan=f"{self._stan:06}", transmitted_at=self._now().replace(microsecond=0))

    def _sleep(self, seconds: float) -> None:
        self._pauses.wait(seconds)
