"""One network's load for `benchmarks.isolation`: ``python -m benchmarks.isolation_load``, a plan on standard input, then commands.

Open loop: sale n is due at its time whatever became of the ones before, and its latency counts from when it was due, so a stall shows in
every sale that it held up. Before a request leaves, it is written down in a file that only grows; whoever kills this process and starts it
again finds it asking for every open sale under the same key, as a till does after a power cut.
"""

import json
import os
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from benchmarks.isolation_host import CalledLink, Host
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from pos.dialogue import Dialogue, Final, Pause, Relink, Send, Step
from pos.mac import Signer, signer
from pos.requests import Moment
from pos.speech import speech_of
from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.secret import Secret

LINES = 60
"""Connections of a network; each has one sale under way at most."""

ANSWER_SECONDS = 15.0
RELINK_SECONDS = 0.1
PAUSE_SECONDS = 0.5
ATTEMPTS_MAX = 1_000_000
LATE_START_SECONDS = 0.2
"""After its start a process gives its connections this long before the first sale is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What one load process is told; ``keys`` are the terminals' MAC keys by terminal id, in hexadecimal digits.

    ``host`` and ``port`` are the switch's, or with ``is_host`` where the network waits for the switch's links.
    """

    network: str
    dialect: str
    host: str
    port: int
    keys: dict[str, str] = field(repr=False)
    mac_scheme: str
    merchant_id: str
    nii: str
    meters: list[str] = field(repr=False)
    paid_centavos: list[int]
    sales_per_second: float
    journal: str
    latencies: str
    seed: int
    is_host: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Of the switch, or of the network's host."""
        return self.host, self.port

    def as_line(self) -> str:
        """Return the plan as one line; it holds keys."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """One sale as the network wrote it down before it asked."""

    stan: str
    terminal_id: str
    transmitted_at: datetime
    meter_number: str
    paid_centavos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a network knows of a sale in the end; ``day`` (MMDD) and ``receipt`` stand on approved ones only."""

    sale: Sale
    code: str
    rrn: str
    day: str
    receipt: str


def read_journal(path: Path) -> tuple[dict[tuple[str, str], Sale], list[Outcome]]:
    """Return the sales without an outcome, by terminal and STAN, and the outcomes. A last line that was cut short is left out."""
    unfinished: dict[tuple[str, str], Sale] = {}
    outcomes: list[Outcome] = []
    if not path.exists():
        return unfinished, outcomes
    for line in path.read_text().split("\n")[:-1]:
        kind, terminal_id, stan, *rest = line.split(",")
        if kind == "ask":
            moment = datetime.fromisoformat(rest[0])
            unfinished[terminal_id, stan] = Sale(
                stan=stan,
                terminal_id=terminal_id,
                transmitted_at=moment,
                meter_number=rest[1],
                paid_centavos=int(rest[2]),
            )
        else:
            sale = unfinished.pop((terminal_id, stan))
            outcomes.append(Outcome(sale=sale, code=rest[0], rrn=rest[1], day=rest[2], receipt=rest[3]))
    return unfinished, outcomes


class Line(StreamProtocol):
    """One connection, made again whenever it ends, and the sale that is under way on it."""

    def __init__(self, load: "NetworkLoad") -> None:
        self._load = load
        self._link: StreamProtocol | None = None
        self._dialogue: Dialogue | None = None
        self._timer: Any = None
        self.sale: Sale | None = None
        self.due_at = 0.0

    def opened(self, link: StreamProtocol) -> None:
        """It is open: an interrupted sale is asked for again."""
        self._link = link
        if self._dialogue is not None:
            self._dialogue.link_opened()
            self._go_on(self._dialogue.repeat() if self._dialogue.attempts else self._dialogue.start())

    def lost(self) -> None:
        """It ended, or could not be opened."""
        self._link = None
        self._stop_timer()
        self._load.relink(self)

    def reset(self) -> None:
        """Cut it with a reset."""
        if self._link is not None:
            link = cast(Any, self._link.transport)
            link.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.abortConnection()

    def sell(self, sale: Sale, due_at: float, dialogue: Dialogue) -> None:
        """Begin a sale."""
        self.sale, self.due_at, self._dialogue = sale, due_at, dialogue
        if self._link is not None:
            self._dialogue.link_opened()
            self._go_on(dialogue.start())

    def received(self, data: bytes) -> None:
        """Take octets of the network."""
        if self._dialogue is not None:
            self._go_on(self._dialogue.received(data))

    def _go_on(self, step: Step) -> None:
        dialogue = self._dialogue
        assert dialogue is not None
        if isinstance(step, Send):
            assert self._link is not None
            cast(Any, self._link.transport).write(step.octets)
            self._start_timer(ANSWER_SECONDS)
        elif isinstance(step, Final):
            self._stop_timer()
            sale, self.sale, self._dialogue = self.sale, None, None
            assert sale is not None
            self._load.ended(self, sale, step)
        elif isinstance(step, Pause):
            self._start_timer(PAUSE_SECONDS)
        elif isinstance(step, Relink):
            self.reset()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._load.reactor.callLater(seconds, self._repeat)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _repeat(self) -> None:
        if self._dialogue is not None and self._link is not None:
            self._go_on(self._dialogue.repeat())


class _Link(StreamProtocol):
    """One TCP connection of a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def connectionMade(self) -> None:
        cast(Any, self.transport).setTcpNoDelay(True)
        self._line.opened(self)

    def dataReceived(self, data: bytes) -> None:
        self._line.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._line.lost()


class _LinkFactory(ClientFactory):
    """Makes the next TCP connection of a line."""

    noisy = False

    def __init__(self, line: Line) -> None:
        self._line = line

    def buildProtocol(self, _address: object) -> StreamProtocol:
        return _Link(self._line)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._line.lost()


class NetworkLoad:
    """All lines of one network."""

    def __init__(self, plan: NetworkPlan, reactor: Any, *, now: Callable[[], datetime]) -> None:
        self.reactor = reactor
        self._plan = plan
        self._now = now
        self._chance = random.Random(plan.seed ^ os.getpid())
        self._speech = speech_of(plan.dialect, now)
        self._identities = {
            terminal_id: TerminalIdentity(
                terminal_id=terminal_id,
                merchant_id=plan.merchant_id,
                nii=plan.nii,
                mac_scheme=plan.mac_scheme,
                mac_key=Secret(bytes.fromhex(key)),
            )
            for terminal_id, key in plan.keys.items()
        }
        self._signers: dict[str, Signer] = {
            terminal_id: signer(plan.mac_scheme, identity.mac_key) for terminal_id, identity in self._identities.items()
        }
        self._terminal_ids = sorted(plan.keys)
        unfinished, outcomes = read_journal(Path(plan.journal))
        known = [int(stan) for _, stan in unfinished] + [int(each.sale.stan) for each in outcomes]
        self._stan = max(known, default=0)
        self._journal = os.open(plan.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._latencies = os.open(plan.latencies, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._free: deque[Line] = deque()
        self._lines = [Line(self) for _ in range(LINES)]
        self._linkless: deque[Line] = deque()
        self._host = (
            Host(reactor, plan.address, lambda: CalledLink(self._speech.wire, plan.dialect, self._take_link))
            if plan.is_host
            else None
        )
        self._waiting: deque[float] = deque()
        self._is_selling = False
        self._cut_seconds: float | None = None
        now_monotonic = monotonic()
        for line in self._lines:
            if unfinished:
                _, sale = unfinished.popitem()
                line.sell(sale, now_monotonic, self._dialogue(sale, was_sent=True))
            else:
                self._free.append(line)
        self._left = deque(unfinished.values())
        self._due_at = now_monotonic + LATE_START_SECONDS

    def start(self) -> None:
        """Connect and begin to sell."""
        for line in self._lines:
            self._link(line)
        if self._host is not None:
            self._host.open()
        self._is_selling = True
        self.reactor.callLater(LATE_START_SECONDS, self._sell_due)

    def relink(self, line: Line) -> None:
        """Get a line that lost its link another one."""
        self.reactor.callLater(0 if self._host else RELINK_SECONDS, self._link, line)

    def _link(self, line: Line) -> None:
        if self._host is None:
            self.reactor.connectTCP(*self._plan.address, _LinkFactory(line), timeout=5)
        else:
            self._linkless.append(line)

    def _take_link(self, link: CalledLink) -> Line | None:
        """Give a link that the switch opened and signed on to a line that has none."""
        if not self._linkless:
            return None
        line = self._linkless.popleft()
        line.opened(link)
        return line

    def give_way(self) -> None:
        """Let another process be the network's host."""
        assert self._host is not None
        self._host.close()
        for line in self._lines:
            line.reset()

    def come_back(self) -> None:
        """Be the network's host again."""
        assert self._host is not None
        self._host.open()

    def cut(self, interval_seconds: float | None) -> None:
        """Reset all lines again and again from now on, or no more."""
        was_cutting, self._cut_seconds = self._cut_seconds is not None, interval_seconds
        if interval_seconds is not None and not was_cutting:
            self._cut_now()

    def stop(self) -> None:
        """Begin no new sale; the process ends when all have an outcome."""
        self._is_selling = False
        self._waiting.clear()
        self._end_if_done()

    def ended(self, line: Line, sale: Sale, final: Final) -> None:
        """Write the outcome of a sale down, and begin the next one that is due."""
        now = monotonic()
        told = final.answer
        receipt = first_value(parse_sub_elements(told.get(63) or ""), "RC") or ""
        known = (sale.terminal_id, sale.stan, final.code, told.get(37) or "", told.get(15) or "", receipt)
        self._write(self._journal, f"end,{','.join(known)}")
        self._write(self._latencies, f"{line.due_at:.6f},{(now - line.due_at) * 1000:.3f},{final.code}")
        if self._left:
            open_sale = self._left.popleft()
            line.sell(open_sale, now, self._dialogue(open_sale, was_sent=True))
        elif self._waiting:
            self._begin(line, self._waiting.popleft())
        else:
            self._free.append(line)
            self._end_if_done()

    def _sell_due(self) -> None:
        if not self._is_selling:
            return
        now = monotonic()
        while self._due_at <= now:
            if self._free:
                self._begin(self._free.popleft(), self._due_at)
            else:
                self._waiting.append(self._due_at)
            self._due_at += 1 / self._plan.sales_per_second
        self.reactor.callLater(max(0.0, self._due_at - monotonic()), self._sell_due)

    def _begin(self, line: Line, due_at: float) -> None:
        self._stan += 1
        sale = Sale(
            stan=f"{self._stan:06}",
            terminal_id=self._terminal_ids[self._stan % len(self._terminal_ids)],
            transmitted_at=self._now().replace(microsecond=0),
            meter_number=self._chance.choice(self._plan.meters),
            paid_centavos=self._chance.choice(self._plan.paid_centavos),
        )
        asked = (
            sale.terminal_id,
            sale.stan,
            sale.transmitted_at.isoformat(),
            sale.meter_number,
            str(sale.paid_centavos),
        )
        self._write(self._journal, f"ask,{','.join(asked)}")
        line.sell(sale, due_at, self._dialogue(sale, was_sent=False))

    def _dialogue(self, sale: Sale, *, was_sent: bool) -> Dialogue:
        message = requests.recharge(
            self._identities[sale.terminal_id],
            Moment(stan=sale.stan, transmitted_at=sale.transmitted_at),
            meter_number=sale.meter_number,
            paid_centavos=Centavos(sale.paid_centavos),
        )
        terminal_signer = self._signers[sale.terminal_id]
        return Dialogue(message, terminal_signer, speech=self._speech, was_sent=was_sent, attempts_max=ATTEMPTS_MAX)

    def _write(self, file: int, line: str) -> None:
        os.write(file, line.encode("ascii") + b"\n")

    def _cut_now(self) -> None:
        if self._cut_seconds is None:
            return
        for line in self._lines:
            line.reset()
        self.reactor.callLater(self._cut_seconds, self._cut_now)

    def _end_if_done(self) -> None:
        if not self._is_selling and len(self._free) == len(self._lines):
            cast(Any, self.reactor).stop()


class Commands(LineReceiver):
    """Lines on standard input: the plan first, then ``cut SECONDS``, ``calm``, ``away``, ``back`` and ``stop``."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def __init__(self, reactor: IReactorTime, now: Callable[[], datetime]) -> None:
        self._reactor = reactor
        self._now = now
        self._load: NetworkLoad | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever started this is gone."""
        if cast(Any, self._reactor).running:
            cast(Any, self._reactor).stop()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - the name is Twisted's
        """Take one command."""
        if self._load is None:
            self._load = NetworkLoad(NetworkPlan(**json.loads(line)), self._reactor, now=self._now)
            self._load.start()
            return
        word, *arguments = line.decode("ascii").split()
        if word == "cut":
            self._load.cut(float(arguments[0]))
        elif word == "away":
            self._load.give_way()
        elif word == "back":
            self._load.come_back()
        elif word == "calm":
            self._load.cut(None)
        elif word == "stop":
            self._load.stop()


def main() -> None:
    """Run until told to stop."""
    from twisted.internet import reactor  # noqa: TID251 - the root of this process

    StandardIO(Commands(cast(Any, reactor), lambda: datetime.now(UTC)))  # noqa: TID251 - the root of this process
    cast(Any, reactor).run()


if __name__ == "__main__":
    main()
