"""A load of many datáfonos from one process: ``python -m pos.load``. Made to cost the machine little while it runs.

Requests are built and signed before the clock starts. While it runs an answer is only compared: the data elements it must carry back
stand in the same octets as in the request, so one comparison of slices and two octets of the code are enough. Every MAC is checked
after the clock has stopped, and the PINs are counted then.

It speaks to its parent over pipes: a plan comes in, "ready" goes out when all connections stand, the clock reading at which to start
comes in, a report goes out.
"""

import gc
import random
import resource
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from time import monotonic, process_time
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from messages.codec import DATAFONO
from messages.framing import Frame, FrameError, FrameReader, FrameStyle, write_frame
from messages.iso_message import DecodeError
from messages.mac import MacAbsent, split_mac
from messages.tpdu import TPDU_OCTETS, Tpdu
from pos import requests
from pos.dialogue import TERMINAL_ADDRESS
from pos.load_plan import LoadPlan, LoadReport, read_plan, write_report
from pos.mac import Signer, signer
from pos.requests import Moment
from pos.store import STAN_MAX, TerminalIdentity
from vending.ports import MacMismatch

DRAIN_SECONDS_MAX = 30.0
"""After the window every sale in flight gets this long to end; longer than the switch's own deadline, so only lost ones are left."""

IN_PROGRESS_PAUSE_SECONDS = 0.5
"""Before a sale that is in progress is asked for again."""

ANSWERS_KEPT_MAX = 500_000
"""Answers of one process that are kept for checking afterwards, about 300 MB; a longer run checks the first half million."""

_IN_PROGRESS = b"09"
_LENGTH_OCTETS = 2
_FIELDS_START = 10
"""MTI and primary bitmap stand before the first data element; neither message has a secondary bitmap."""

_REQUEST_TAIL_OCTETS = 8 + 15 + 3 + 8
"""Data elements 41, 42, 49 and 64 of a recharge; what stands before them comes back in the answer."""

_NII_OCTETS = 2
"""Data element 24, the last of what comes back; the settlement date (15) stands before it where an answer has one."""

_DATE_OCTETS = 2
_DATE_BIT = 0x02
"""Of data element 15, in the second octet of the bitmap."""


class Schedule(Protocol):
    """The clock and the end of the load, as a client sees them."""

    def now(self) -> float:
        """Return the monotonic clock's reading in seconds."""

    def is_over(self) -> bool:
        """Whether no new sale starts."""


class PreparedSale:
    """One signed request; its answer repeats ``echoed`` and, behind a settlement date if it has one, ``nii``."""

    __slots__ = ("echoed", "frame", "nii")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        body_start = _LENGTH_OCTETS + TPDU_OCTETS
        end = len(frame) - _REQUEST_TAIL_OCTETS
        self.echoed = frame[body_start + _FIELDS_START : end - _NII_OCTETS]
        self.nii = frame[end - _NII_OCTETS : end]


class Answer:
    """What a cheap look at an answer's octets tells."""

    __slots__ = ("body", "code", "is_echo_right")

    def __init__(self, frame: bytes, sale: PreparedSale) -> None:
        self.body = frame[TPDU_OCTETS:]
        has_fields = len(self.body) > _FIELDS_START
        date_at = _FIELDS_START + len(sale.echoed)
        nii_at = date_at + (_DATE_OCTETS if has_fields and self.body[3] & _DATE_BIT else 0)
        end = nii_at + _NII_OCTETS
        self.is_echo_right = (
            self.body[:2] == b"\x02\x10"
            and self.body[_FIELDS_START:date_at] == sale.echoed
            and self.body[nii_at:end] == sale.nii
        )
        # The bits of data elements 37 (12 octets) and 38 (6 octets), which stand before 39 where they are there.
        present = self.body[6] if has_fields else 0
        start = end + (12 if present & 0x08 else 0) + (6 if present & 0x04 else 0)
        self.code = self.body[start : start + 2]


class SaleSource:
    """Makes the requests of one terminal, ahead of time or when asked."""

    def __init__(
        self, identity: TerminalIdentity, plan: LoadPlan, chance: random.Random, transmitted_at: datetime
    ) -> None:
        self.identity = identity
        self.signer: Signer = signer(identity.mac_scheme, identity.mac_key)
        self._plan = plan
        self._chance = chance
        self._transmitted_at = transmitted_at
        self._tpdu = Tpdu(destination=identity.nii.rjust(4, "0"), source=TERMINAL_ADDRESS).octets
        self._stan = 0

    def __iter__(self) -> Iterator[PreparedSale]:
        while self._stan < STAN_MAX:
            self._stan += 1
            message = requests.recharge(
                self.identity,
                Moment(stan=f"{self._stan:06}", transmitted_at=self._transmitted_at),
                meter_number=self._chance.choice(self._plan.meters),
                paid_centavos=self._chance.choice(self._plan.paid_centavos),
            )
            octets = self._tpdu + requests.seal(message, self.signer)
            yield PreparedSale(write_frame(FrameStyle.BINARY_2, octets))

    def repeat_of(self, sale: PreparedSale) -> bytes:
        """Return the frame of the same sale as a repeat."""
        message = DATAFONO.decode(sale.frame[_LENGTH_OCTETS + TPDU_OCTETS :])
        octets = self._tpdu + requests.seal(requests.as_repeat(message), self.signer)
        return write_frame(FrameStyle.BINARY_2, octets)


class Tally:
    """Counts what the clients of this process saw; nothing is in the window before it is opened."""

    def __init__(self) -> None:
        self._window_start = self._window_end = 0.0
        self.latencies_ms: list[float] = []
        self.codes: Counter[bytes] = Counter()
        self.total_codes: Counter[bytes] = Counter()
        self.in_progress = 0
        self.links_lost = 0
        self.mismatched = 0
        self.late_prepared = 0
        self.kept = 0

    def open_window(self, start: float, end: float) -> None:
        """Say between which readings of the clock answers count."""
        self._window_start, self._window_end = start, end

    def count(self, code: bytes, due_at: float, answered_at: float) -> None:
        """Take one final answer."""
        self.total_codes[code] += 1
        if self._window_start <= answered_at < self._window_end:
            self.codes[code] += 1
            self.latencies_ms.append((answered_at - due_at) * 1000)


class LoadClient(StreamProtocol):
    """One datáfono on one connection, one sale at a time."""

    def __init__(
        self,
        source: SaleSource,
        prepared: list[PreparedSale],
        tally: Tally,
        schedule: Schedule,
        reactor: IReactorTime,
        *,
        interval_seconds: float | None,
        when_idle: Callable[[], None],
    ) -> None:
        """Prepare; ``prepared`` is used from its end. ``when_idle`` is told when nothing is in flight and nothing more will be."""
        self.source = source
        self.bodies: list[bytes] = []
        self.sale: PreparedSale | None = None
        self._prepared = prepared
        self._more = iter(source)
        self._tally = tally
        self._schedule = schedule
        self._reactor = reactor
        self._interval_seconds = interval_seconds
        self._when_idle = when_idle
        self._reader = FrameReader(FrameStyle.BINARY_2)
        self._due_at = 0.0

    def prepare(self, count: int) -> None:
        """Build that many requests ahead."""
        self._prepared.extend(islice(self._more, count))
        self._prepared.reverse()

    def begin(self, due_at: float) -> None:
        """Start the sale that is due at that reading of the clock, or go idle when the load is over."""
        if self._schedule.is_over():
            self.sale = None
            self._when_idle()
            return
        self._due_at = due_at
        if self._prepared:
            self.sale = self._prepared.pop()
        else:
            self._tally.late_prepared += 1
            self.sale = next(self._more)
        self._write(self.sale.frame)

    def dataReceived(self, data: bytes) -> None:
        """Take an answer, count it, and sell again."""
        try:
            events = self._reader.receive(data)
        except FrameError:
            cast("Any", self.transport).abortConnection()
            return
        for event in events:
            if isinstance(event, Frame) and self.sale is not None:
                self._answered(Answer(event.octets, self.sale), self.sale)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count a link that ended while it was needed."""
        if self.sale is not None or not self._schedule.is_over():
            self._tally.links_lost += 1

    def _answered(self, answer: Answer, sale: PreparedSale) -> None:
        now = self._schedule.now()
        if not answer.is_echo_right:
            self._tally.mismatched += 1
            return
        if answer.code == _IN_PROGRESS:
            self._tally.in_progress += 1
            self._reactor.callLater(IN_PROGRESS_PAUSE_SECONDS, self._write, self.source.repeat_of(sale))
            return
        if self._tally.kept < ANSWERS_KEPT_MAX:
            self._tally.kept += 1
            self.bodies.append(answer.body)
        self._tally.count(answer.code, self._due_at, now)
        self.sale = None
        if self._interval_seconds is None:
            self.begin(now)
            return
        # Paced: a sale is due when it is due, however long the one before it took.
        due_at = self._due_at + self._interval_seconds
        self._reactor.callLater(max(0.0, due_at - now), self.begin, due_at)

    def _write(self, octets: bytes) -> None:
        cast("ITransport", self.transport).write(octets)


class Load:
    """All clients of this process, from the plan to the report."""

    def __init__(self, plan: LoadPlan, reactor: Any, *, utc_now: datetime) -> None:
        """Prepare every client and its requests; no connection yet.

        Args:
            plan: what to do.
            reactor: adopts the connections and runs them.
            utc_now: goes into the requests as their time.
        """
        self._plan = plan
        self._reactor = reactor
        self._end_at = float("inf")
        self._cpu_at: list[float] = []
        self._busy = len(plan.terminals)
        self._tally = Tally()
        chance = random.Random(plan.seed)  # noqa: S311 - choices of a load, no secret
        self._interval_seconds = interval = (
            None if plan.sales_per_second is None else len(plan.terminals) / plan.sales_per_second
        )
        self._clients: list[LoadClient] = []
        for identity in plan.terminals:
            source = SaleSource(identity, plan, chance, utc_now)
            client = LoadClient(
                source, [], self._tally, self, reactor, interval_seconds=interval, when_idle=self._client_idle
            )
            client.prepare(plan.prepared_sales // len(plan.terminals))
            self._clients.append(client)

    def now(self) -> float:
        """See `Schedule.now`."""
        return monotonic()

    def is_over(self) -> bool:
        """See `Schedule.is_over`."""
        return monotonic() >= self._end_at

    def connect(self) -> None:
        """Open all connections, one after the other.

        Raises:
            OSError: the switch takes no more.
        """
        for client in self._clients:
            link = socket.create_connection((self._plan.host, self._plan.port), timeout=10.0)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setblocking(False)
            self._reactor.adoptStreamConnection(link.fileno(), link.family, _Once(client))
            link.close()

    def run(self, start_at: float) -> LoadReport:
        """Run from that reading of the monotonic clock until the drain ends, then check and count.

        Args:
            start_at: reading of the monotonic clock, in the near future, the same for all processes.
        """
        window_start = start_at + self._plan.warm_up_seconds
        self._end_at = window_start + self._plan.window_seconds
        self._tally.open_window(window_start, self._end_at)
        for number, client in enumerate(self._clients):
            # Paced clients are spread over their interval, so that they do not all sell in the same instant.
            offset = (self._interval_seconds or 0.0) * number / len(self._clients)
            self._at(start_at + offset, client.begin, start_at + offset)
        for moment in (window_start, self._end_at):
            self._at(moment, lambda: self._cpu_at.append(process_time()))
        self._at(self._end_at + DRAIN_SECONDS_MAX, self._stop)
        gc.collect()
        gc.freeze()
        gc.disable()
        self._reactor.run()
        gc.enable()
        return self._report()

    def _at(self, moment: float, call: Callable[..., Any], *arguments: object) -> None:
        self._reactor.callLater(max(0.0, moment - monotonic()), call, *arguments)

    def _client_idle(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _report(self) -> LoadReport:
        tally = self._tally
        checked, wrong = 0, 0
        pins: list[str] = []
        for client in self._clients:
            for body in client.bodies:
                checked += 1
                try:
                    pins.extend(_checked_pins(body, client.source.signer))
                except (DecodeError, MacAbsent, MacMismatch):
                    wrong += 1
        return LoadReport(
            latencies_ms=tally.latencies_ms,
            codes={code.decode("latin-1"): count for code, count in tally.codes.items()},
            total_codes={code.decode("latin-1"): count for code, count in tally.total_codes.items()},
            in_progress=tally.in_progress,
            unanswered=sum(1 for client in self._clients if client.sale is not None),
            links_lost=tally.links_lost,
            mismatched=tally.mismatched,
            macs_checked=checked,
            macs_wrong=wrong,
            pins=len(pins),
            pins_distinct=len(set(pins)),
            late_prepared=tally.late_prepared,
            cpu_seconds=self._cpu_at[-1] - self._cpu_at[0] if len(self._cpu_at) > 1 else 0.0,
        )


class _Once(ClientFactory):
    """Gives one connection its client."""

    noisy = False

    def __init__(self, client: LoadClient) -> None:
        self._client = client

    def buildProtocol(self, _address: object) -> LoadClient:
        """Return the client."""
        return self._client


def _checked_pins(body: bytes, terminal_signer: Signer) -> list[str]:
    message = DATAFONO.decode(body)
    sealed = split_mac(message, body)
    terminal_signer.verify(sealed.covered, sealed.mac)
    digits = message.get(62) or ""
    return [digits[start : start + 20] for start in range(0, len(digits), 20)]


def main() -> None:
    """Run the plan that comes on standard input."""
    from twisted.internet import reactor  # noqa: TID251 - the root of this process

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    plan = read_plan(sys.stdin.readline())
    load = Load(plan, reactor, utc_now=datetime.now(UTC).replace(microsecond=0))  # noqa: TID251 - the root of this process
    load.connect()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    report = load.run(float(sys.stdin.readline()))
    sys.stdout.write(write_report(report) + "\n")


if __name__ == "__main__":
    main()
