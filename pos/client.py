"""The datáfono's side of a TCP link: carries one dialogue over blocking sockets, with timers and a bounded number of links."""

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from pos.dialogue import Dialogue, Final, Pause, Relink, Send, Unknown, Wait

RECEIVE_OCTETS = 4096
"""More than one answer; what is longer comes in several pieces."""

UNSENT_ATTEMPTS_MAX = 2
"""As long as nothing has left, the person may as well be told at once; the second try is for a switch that is restarting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """How long the terminal is patient.

    Attributes:
        connect_seconds: to open a link.
        answer_seconds: for an answer before the request is repeated; longer than the switch's own deadline, so that its "in
            progress" arrives first.
        pause_seconds: between an "in progress", or a link that failed, and the next repeat; twice as long each time.
    """

    connect_seconds: float = 3.0
    answer_seconds: float = 15.0
    pause_seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """No link could be opened and not an octet left: nothing was asked, so nothing was done. ``reason`` is for the operator."""

    reason: str


Outcome = Final | Unknown | NotSent


class PosClient:
    """Speaks to one address."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        timers: Timers,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            address: host and port of the switch.
            timers: how long to wait.
            monotonic: the clock of the timers, seconds.
            sleep: how to let time pass.
        """
        self._address = address
        self._timers = timers
        self._monotonic = monotonic
        self._sleep = sleep
        self._link: socket.socket | None = None

    def run(self, dialogue: Dialogue) -> Outcome:
        """Carry *dialogue* to its end; the link is closed afterwards."""
        was_sent = False
        failure = ""
        pause_seconds = self._timers.pause_seconds
        step: Send | Unknown = dialogue.start()
        try:
            while isinstance(step, Send):
                try:
                    self._open(dialogue)
                    # A failed write may still have delivered the whole message.
                    was_sent = True
                    result = self._exchange(dialogue, step)
                except OSError as error:
                    self._close()
                    failure = error.strerror or str(error) or type(error).__name__
                    if not was_sent and dialogue.attempts >= UNSENT_ATTEMPTS_MAX:
                        return NotSent(reason=failure)
                    result = Pause()
                if isinstance(result, Final | Unknown):
                    return result
                if isinstance(result, Pause):
                    self._sleep(pause_seconds)
                    pause_seconds *= 2
                if isinstance(result, Relink):
                    self._close()
                step = dialogue.repeat(was_sent=was_sent)
        finally:
            self._close()
        return step

    def _exchange(self, dialogue: Dialogue, step: Send) -> Final | Unknown | Pause | Relink | Wait:
        """Send one message and read until something conclusive comes; `Wait` when the timer ended first."""
        assert self._link is not None
        deadline = self._monotonic() + self._timers.answer_seconds
        self._link.settimeout(self._timers.answer_seconds)
        self._link.sendall(step.octets)
        while True:
            left_seconds = deadline - self._monotonic()
            if left_seconds <= 0:
                return Wait()
            self._link.settimeout(left_seconds)
            try:
                data = self._link.recv(RECEIVE_OCTETS)
            except TimeoutError:
                return Wait()
            if not data:
                raise ConnectionResetError(None, "the network closed the link")
            result = dialogue.received(data)
            if not isinstance(result, Wait):
                assert not isinstance(result, Send)
                return result

    def _open(self, dialogue: Dialogue) -> None:
        if self._link is not None:
            return
        self._link = socket.create_connection(self._address, timeout=self._timers.connect_seconds)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialogue.link_opened()

    def _close(self) -> None:
        if self._link is not None:
            with closing(self._link):
                self._link = None
