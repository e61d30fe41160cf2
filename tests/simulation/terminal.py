"""A datáfono that behaves: it keeps its request, repeats it until a final answer, and sometimes reverses before, during or after."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from twisted.internet.interfaces import IDelayedCall

from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.tpdu import Tpdu
from pos import requests
from pos.dialogue import TERMINAL_ADDRESS, Dialogue, Final, Pause, Relink, Send, Step, Unknown
from pos.mac import Signer
from pos.store import TerminalIdentity
from tests.simulation.network import Link, Network, Nobody
from tests.simulation.setting import Setting
from vending.money import Centavos

ANSWER_SECONDS = 15.0
BACKOFF_SECONDS_MAX = 30.0
AMOUNTS_CENTAVOS = (50_000, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 123_400, 60_000_000)
STAN_MAX = 999_999


@dataclass(slots=True)
class Job:
    """One request to be brought to its final answer. ``original`` is there for a reversal."""

    request: IsoMessage
    original: IsoMessage | None = None
    was_sent: bool = False
    dialogue: Dialogue | None = None
    octets: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a terminal knows in the end: a request and its final answer, without TPDU.

    ``is_first_copy``: every copy the terminal itself sent was in the first form. ``was_copied``: the line sent copies of its own.
    """

    request: IsoMessage
    original: IsoMessage | None
    answer: IsoMessage
    octets: bytes
    is_first_copy: bool
    was_copied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a terminal is used."""

    meter_numbers: tuple[str, ...]
    pause_seconds: float
    reverses: float
    restarts: float


class Terminal:
    """One terminal.

    Args:
        may_begin: asked before every new sale; False: the shop has closed.
    """

    def __init__(
        self,
        identity: TerminalIdentity,
        signer: Signer,
        *,
        network: Network,
        setting: Setting,
        habits: Habits,
        may_begin: Callable[[], bool],
    ) -> None:
        self.identity = identity
        self.ended: list[Ended] = []
        self.is_closed = False
        self._signer = signer
        self._network = network
        self._setting = setting
        self._habits = habits
        self._may_begin = may_begin
        self._clock_offset = timedelta(seconds=setting.random.uniform(-7200, 7200))
        self._stan = setting.random.randrange(STAN_MAX)
        self._jobs: deque[Job] = deque()
        self._link: Link | None = None
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Open the shop."""
        self._wait(self._setting.random.uniform(0, self._habits.pause_seconds), self._next)

    # One job after the other.

    def _next(self) -> None:
        if not self._jobs:
            if not self._may_begin():
                self.is_closed = True
                return
            self._begin_sale()
        job = self._jobs[0]
        job.dialogue = Dialogue(job.request, self._signer, was_sent=job.was_sent)
        self._send(job.dialogue.start())

    def _begin_sale(self) -> None:
        random, habits = self._setting.random, self._habits
        if random.random() < habits.restarts:
            self._setting.count("terminal restarted its STAN")
            self._stan = 0
            self._hang_up()
        kind = requests.payment if random.random() < 0.1 else requests.recharge
        request = kind(
            self.identity,
            self._moment(),
            meter_number=random.choice(habits.meter_numbers),
            paid_centavos=Centavos(random.choice(AMOUNTS_CENTAVOS)),
        )
        sale = Job(request)
        self._jobs.append(sale)
        chance = random.random() / habits.reverses if habits.reverses else 1.0
        if chance < 0.3:
            self._setting.count("reversal before its sale")
            self._jobs.appendleft(self._reversal_of(request))
        elif chance < 0.6:
            self._setting.count("reversal during its sale")
            reversal = self._reversal_of(request)
            reversal.was_sent = True
            self._jobs.append(reversal)
            octets = Tpdu(destination=f"0{self.identity.nii}", source=TERMINAL_ADDRESS).octets
            frame = write_frame(FrameStyle.BINARY_2, octets + requests.seal(reversal.request, self._signer))
            self._setting.clock.callLater(random.uniform(0, 0.02), self._send_unasked, frame)
        elif chance < 1.0:
            self._setting.count("reversal after its sale")
            self._jobs.append(self._reversal_of(request))

    def _reversal_of(self, original: IsoMessage) -> Job:
        return Job(requests.reversal(self.identity, self._moment(), original), original)

    def _moment(self) -> requests.Moment:
        self._stan = self._stan % STAN_MAX + 1
        return requests.Moment(stan=f"{self._stan:06}", transmitted_at=self._setting.true_now + self._clock_offset)

    # One dialogue.

    def _send(self, step: Send | Unknown) -> None:
        if isinstance(step, Unknown):
            self._give_up()
            return
        job = self._jobs[0]
        if self._link is None or not self._link.is_open:
            self._link = self._network.connect(self)
            assert job.dialogue is not None
            job.dialogue.link_opened()
        if self._link is None:
            self._wait(self._backoff(), partial(self._repeat, was_sent=job.was_sent))
            return
        job.octets.append(step.octets)
        job.was_sent = True
        form = "again" if _is_repeat(step.octets) else "first"
        self._setting.tell(f"{self.identity.terminal_id} {job.request.mti} {job.request.text(11)} sends {form}")
        self._wait(ANSWER_SECONDS, self._timed_out)
        self._network.send(self._link, step.octets)

    def _send_unasked(self, frame: bytes) -> None:
        link = self._network.connect(Nobody())
        if link is not None:
            self._network.send(link, frame)

    def _timed_out(self) -> None:
        if self._setting.random.random() < 0.3:
            self._hang_up()
        self._repeat()

    def _repeat(self, *, was_sent: bool = True) -> None:
        dialogue = self._jobs[0].dialogue
        assert dialogue is not None
        self._send(dialogue.repeat(was_sent=was_sent))

    def _give_up(self) -> None:
        """The attempts are used up: reverse, or go on later with the same request."""
        random, job = self._setting.random, self._jobs[0]
        if job.original is None and len(self._jobs) == 1 and random.random() < self._habits.reverses:
            self._setting.count("reversal of an unknown outcome")
            self._jobs.appendleft(self._reversal_of(job.request))
        self._wait(random.uniform(1, 20), self._next)

    def received(self, link: Link, data: bytes) -> None:
        """See `tests.simulation.network.Owner`."""
        if link is not self._link or not self._jobs or self._jobs[0].dialogue is None:
            return
        self._take(self._jobs[0].dialogue.received(data))

    def _take(self, step: Step) -> None:
        if isinstance(step, Pause):
            self._wait(self._backoff(), self._repeat)
        elif isinstance(step, Relink):
            self._hang_up()
            self._wait(self._backoff(), self._repeat)
        elif isinstance(step, Unknown):
            self._give_up()
        elif isinstance(step, Final):
            self._end(step)

    def _end(self, final: Final) -> None:
        job = self._jobs.popleft()
        copied = any(octets in self._network.copied for octets in job.octets)
        first = job.octets[0]
        is_first_copy = all(octets == first for octets in job.octets) and not _is_repeat(first)
        self.ended.append(Ended(job.request, job.original, final.answer, final.octets, is_first_copy, copied))
        identity = f"{self.identity.terminal_id} {job.request.mti} {job.request.text(11)}"
        self._setting.tell(f"{identity} ended with {final.code}")
        pause = 0.0 if self._jobs else self._setting.random.expovariate(1 / self._habits.pause_seconds)
        self._wait(pause, self._next)

    def lost(self, link: Link) -> None:
        """See `tests.simulation.network.Owner`."""
        if link is not self._link:
            return
        self._link = None
        if self._timer is not None and self._timer.active() and self._jobs and self._jobs[0].dialogue is not None:
            self._wait(self._backoff(), self._repeat)

    def _backoff(self) -> float:
        dialogue = self._jobs[0].dialogue
        attempts = 1 if dialogue is None else dialogue.attempts
        return min(BACKOFF_SECONDS_MAX, self._setting.random.uniform(0.5, 1.0) * 2.0 ** (attempts - 1))

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.hang_up()

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._setting.clock.callLater(seconds, call)


def _is_repeat(frame: bytes) -> bool:
    """Whether a frame (length, TPDU, message) is in the form of a repeat."""
    return frame[8] & 0x0F == 1
