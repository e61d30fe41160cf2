"""The switch's end of its ledger workers: starts them, sends batches, and starts them again when they die."""

import socket
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorSocket, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.ledger_worker import READY, WorkerSettings
from switch.log import Event, log
from switch.worker_codec import Outcome, dump, load
from switch.worker_process import WorkerProcess, start_worker

ANSWER_OCTETS_MAX = 64 * 1024 * 1024
"""A batch of the largest size with the largest answers takes a few; beyond it something is broken."""

RESTART_SECONDS = 0.5
"""A worker that cannot live is not started more often than this."""


class Reactor(IReactorTime, IReactorSocket):
    """What a link needs of a reactor."""


class _WorkerProtocol(Int32StringReceiver):
    """Moves frames; one answer for each batch, in the order they were sent."""

    MAX_LENGTH = ANSWER_OCTETS_MAX

    def __init__(self, link: "WorkerLink") -> None:
        self._link = link

    def connectionMade(self) -> None:
        """Nothing to say yet."""

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self.sendString(frame)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:  # noqa: N802 - the name is Twisted's
        """Take an answer."""
        self._link.answered(string)

    def connectionLost(self, reason: Failure = ConnectionDone) -> None:  # type: ignore[assignment]
        """The worker is gone."""
        self._link.lost()


class WorkerLink:
    """One worker process, for one step or for a few rare ones.

    Args:
        name: of the step, or of what those it serves have in common.
        settings: what the worker is told first.
    """

    def __init__(self, name: str, settings: WorkerSettings, *, reactor: Reactor) -> None:
        self._name = name
        self._settings = settings
        self._reactor = reactor
        self._protocol: _WorkerProtocol | None = None
        self._child: WorkerProcess | None = None
        self._waiting: list[Deferred[Sequence[Outcome]]] = []
        self._is_wanted = False

    def start(self) -> None:
        """Start the process."""
        self._is_wanted = True
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = start_worker(theirs)
        protocol = _WorkerProtocol(self)
        factory = Factory.forProtocol(lambda: protocol)
        factory.noisy = False
        with ours:
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, cast(Any, factory))
        self._protocol = protocol
        protocol.send(dump(self._settings))

    def when_ready(self) -> Deferred[Sequence[Outcome]]:
        """Fire when the process has opened its database, or has found that it cannot."""
        return self.send([], READY)

    def stop(self) -> None:
        """Close the link; the process ends by itself when it sees that, after its present batch."""
        self._is_wanted = False
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.loseConnection()

    def send(self, items: Sequence[Any], step: str | None = None) -> Deferred[Sequence[Outcome]]:
        """Run a batch of the link's own step, or of *step*; an outcome for each item.

        Fails with `LedgerUnavailable` or `LedgerOutcomeUnknown` as a whole.
        """
        answer: Deferred[Sequence[Outcome]] = Deferred()
        if self._protocol is None:
            answer.errback(LedgerUnavailable(f"the {self._name} worker is being started"))
            return answer
        self._waiting.append(answer)
        self._protocol.send(dump((step or self._name, list(items))))
        return answer

    def answered(self, data: bytes) -> None:
        """An answer came: it is for the batch that was sent first."""
        self._waiting.pop(0).callback(load(data))

    def lost(self) -> None:
        """The process is gone, and with it what is known of its batches."""
        self._protocol = None
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.errback(LedgerOutcomeUnknown(f"the {self._name} worker ended in the middle of a batch"))
        if self._is_wanted:
            log.error(Event.WORKER_LOST, step=self._name, batches=len(waiting))
            self._reactor.callLater(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self._is_wanted:
            if self._child is not None:
                # Its end of the link closes a moment before it is a process that ended.
                self._child.poll()
            self.start()
