"""One connection of a network, without its socket: octets in, frames to serve and octets to send out.

Nothing here knows Twisted. Whoever owns a socket tells this object what happened and when (``now``, seconds of a monotonic clock) and
then looks at what it wants: `Connection.take_frames`, `Connection.take_output`, `Connection.is_reading`, `Connection.farewell` and
`Connection.deadline`.

The states, and the only table that changes them, stand in `_NEXT`::

    OPEN ──finish──▶ FINISHING ──answered──▶ CLOSING ──lost──▶ CLOSED
      └──────────────────┴────────cut───────────▲
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from messages.framing import Frame, FrameError, FrameEvent, FrameReader, FrameStyle, write_frame, write_keep_alive

FRAMES_MAX = 1 << 16
"""No read of a socket holds more."""


class CloseReason(Enum):
    """Why a connection ended; the value is the label of the metric and the word in the log."""

    PEER_CLOSED = "peer_closed"
    """The peer ended its half and got every answer it was owed."""
    PEER_LOST = "peer_lost"
    """The connection broke under us."""
    IDLE = "idle"
    """Nothing was asked for too long."""
    FRAME_TIMEOUT = "frame_timeout"
    """A begun frame did not end in time: a half-dead link, or somebody who holds connections open octet by octet."""
    FRAME_TOO_LONG = "frame_too_long"
    FRAME_MALFORMED = "frame_malformed"
    TLS_REFUSED = "tls_refused"
    """The handshake failed: no certificate, one of somebody else, an old protocol, or no TLS at all."""
    HTTP_PROBE = "http_probe"
    TLS_PROBE = "tls_probe"
    SEND_STALLED = "send_stalled"
    """The peer asks and does not take its answers."""
    CLOSE_TIMEOUT = "close_timeout"
    """The peer did not let a closing connection end."""
    BY_ANSWER = "by_answer"
    """The one who serves asked for the end after its answer."""
    HOST_FAILED = "host_failed"
    """A host that we called did not answer in time, or does not want us."""
    DRAINED = "drained"
    """This process is going down."""
    DRAIN_TIMEOUT = "drain_timeout"
    """This process went down before every answer was ready."""


class Farewell(Enum):
    """How the owner of the socket must end it."""

    STAY = auto()
    LINGER = auto()
    """Send what is left, end our half, throw away what still comes until the peer ends its half. Closing at once while requests
    lie unread makes the system send a reset, which can take the last answers away from the peer."""
    CLOSE = auto()
    """Send what is left and close."""
    CUT = auto()
    """Close now; what is not sent is lost."""


class _State(Enum):
    OPEN = auto()
    """Reads, serves, answers."""
    FINISHING = auto()
    """Reads no more; answers what it has begun."""
    CLOSING = auto()
    """Owes nothing, or gives up; waits for the socket to end."""
    CLOSED = auto()


class _Turn(Enum):
    FINISH = auto()
    ANSWERED = auto()
    CUT = auto()
    LOST = auto()


_NEXT: Mapping[tuple[_State, _Turn], _State] = {
    (_State.OPEN, _Turn.FINISH): _State.FINISHING,
    (_State.OPEN, _Turn.CUT): _State.CLOSING,
    (_State.OPEN, _Turn.LOST): _State.CLOSED,
    (_State.FINISHING, _Turn.FINISH): _State.FINISHING,
    (_State.FINISHING, _Turn.ANSWERED): _State.CLOSING,
    (_State.FINISHING, _Turn.CUT): _State.CLOSING,
    (_State.FINISHING, _Turn.LOST): _State.CLOSED,
    (_State.CLOSING, _Turn.FINISH): _State.CLOSING,
    (_State.CLOSING, _Turn.CUT): _State.CLOSING,
    (_State.CLOSING, _Turn.LOST): _State.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The limits of one connection; `config.acquirer.AcquirerSection` says what each is for."""

    frame_octets_max: int
    in_flight_max: int
    frame_timeout_seconds: float
    keep_alive_interval_seconds: float
    idle_timeout_seconds: float
    close_timeout_seconds: float
    send_timeout_seconds: float


class Connection:
    """The state of one connection.

    Attributes:
        in_flight: frames handed out that have no answer yet.
        frames_received: whole frames that came, keep-alives not counted.
        frames_dropped: whole frames that came and were never handed out, because the connection ended first.
        keep_alives_answered: zero-length frames that got one back.
        keep_alives_ignored: those that did not, because one was answered within the interval.
        reason: why it ends, None while it does not.
    """

    def __init__(self, *, style: FrameStyle, limits: ConnectionLimits, now: float) -> None:
        self.in_flight = 0
        self.frames_received = 0
        self.frames_dropped = 0
        self.keep_alives_answered = 0
        self.keep_alives_ignored = 0
        self.reason: CloseReason | None = None
        self._style = style
        self._limits = limits
        self._reader = FrameReader(style, limits.frame_octets_max)
        self._state = _State.OPEN
        # Reading pauses while it is not empty, so it holds the frames of one read of the socket at most.
        self._waiting: deque[bytes] = deque()
        self._output = bytearray()
        self._is_cut = False
        self._is_peer_finished = False
        self._active_at = now
        self._frame_begun_at: float | None = None
        self._send_paused_at: float | None = None
        self._closing_at: float | None = None
        self._keep_alive_answered_at: float | None = None

    # What happened.

    def receive(self, data: bytes, now: float) -> None:
        """Take octets from the peer. After the end of reading they are thrown away."""
        if self._state is not _State.OPEN:
            return
        was_unfinished = self._reader.is_unfinished
        try:
            events = self._reader.receive(data)
        except FrameError as error:
            self._take(error.events, now)
            self._finish(self._name_fault(error), now)
            return
        if events:
            self._take(events, now)
        if not self._reader.is_unfinished:
            self._frame_begun_at = None
        elif events or not was_unfinished:
            # Only a new frame starts the timer: one octet now and then must not keep an old one alive.
            self._frame_begun_at = now

    def end_of_input(self, now: float) -> None:
        """The peer ended its half: what it asked before is still answered."""
        self._is_peer_finished = True
        self._finish(CloseReason.PEER_CLOSED, now)

    def answer(self, body: bytes | None, now: float, *, and_close: bool = False) -> bool:
        """Give the answer to one frame that was handed out.

        Args:
            body: the answer without its length; None: there is none.
            now: the time.
            and_close: end the connection after this and the other pending answers.

        Returns:
            Whether the answer is on its way; False: the connection is gone and the answer is undeliverable.

        Raises:
            ValueError: the answer is longer than a frame can be. The frame counts as answered by nothing.
        """
        assert self.in_flight > 0, "an answer without a frame"
        if self.in_flight >= self._limits.in_flight_max:
            self._restart_timers(now)
        self.in_flight -= 1
        self._active_at = now
        is_gone = self._is_cut or self._state is _State.CLOSED
        try:
            if body is not None and not is_gone:
                self._output += write_frame(self._style, body)
        finally:
            if and_close:
                self._finish(CloseReason.BY_ANSWER, now)
            self._end_if_answered(now)
        return body is None or not is_gone

    def say(self, body: bytes) -> bool:
        """Send a frame that answers nothing: a question of ours. Returns False where nothing is sent any more."""
        if self._is_cut or self._state is not _State.OPEN:
            return False
        self._output += write_frame(self._style, body)
        return True

    def pause_sending(self, now: float) -> None:
        """The socket's buffer is over its limit: stop reading, so that the peer cannot make it grow."""
        if self._send_paused_at is None:
            self._send_paused_at = now

    def resume_sending(self, now: float) -> None:
        """The socket's buffer is empty again."""
        self._send_paused_at = None
        self._restart_timers(now)

    def adopt(self, limits: ConnectionLimits) -> None:
        """Live by other limits from now on; only the longest frame stays what it was when the connection began."""
        self._limits = limits

    def drain(self, now: float) -> None:
        """Read no more; frames that nobody has begun to serve are dropped, answers in work still go out."""
        if self._state is _State.OPEN:
            self._drop_waiting()
        self._finish(CloseReason.DRAINED, now)

    def cut(self, reason: CloseReason, now: float) -> None:
        """Give up on what is still in work."""
        if self._state is _State.CLOSED or self._is_cut:
            return
        self._is_cut = True
        self.reason = reason
        self._turn(_Turn.CUT, now)
        self._drop_waiting()
        self._output.clear()

    def lose(self, reason: CloseReason) -> None:
        """The socket is gone; *reason* counts unless this side had one."""
        if self._state is _State.CLOSED:
            return
        self.reason = self.reason or reason
        self._turn(_Turn.LOST, 0.0)
        self._drop_waiting()
        self._output.clear()

    def tick(self, now: float) -> None:
        """Let time pass: to be called when `deadline` is reached; too early does nothing."""
        due = self._due()
        if due is None or now < due[0]:
            return
        reason = due[1]
        if reason in _CUTTING:
            self.cut(reason, now)
        else:
            self._finish(reason, now)

    # What is wanted.

    def take_frames(self, count_max: int = FRAMES_MAX) -> list[bytes]:
        """Return frames to serve now, at most *count_max* and as many as may be in work; each needs one `answer`."""
        if not self._waiting or self._is_cut or self._state is _State.CLOSED:
            return []
        count = max(0, min(len(self._waiting), self._limits.in_flight_max - self.in_flight, count_max))
        taken = [self._waiting.popleft() for _ in range(count)]
        self.in_flight += len(taken)
        return taken

    def take_output(self) -> bytes:
        """Return octets to send now: whole frames, any number of them."""
        output = bytes(self._output)
        self._output.clear()
        return output

    @property
    def is_reading(self) -> bool:
        """Whether the socket should be read: not while a limit is reached, and again to throw away the rest of a lingering peer."""
        if self._state is _State.OPEN:
            return self._send_paused_at is None and not self._waiting and self.in_flight < self._limits.in_flight_max
        return self.farewell is Farewell.LINGER

    @property
    def is_finishing(self) -> bool:
        """Whether no further frame will be taken."""
        return self._state is not _State.OPEN

    @property
    def farewell(self) -> Farewell:
        """How the socket must be ended now, if at all."""
        if self._state is not _State.CLOSING:
            return Farewell.STAY
        if self._is_cut:
            return Farewell.CUT
        return Farewell.CLOSE if self._is_peer_finished or self.reason is not CloseReason.DRAINED else Farewell.LINGER

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest, None: time changes nothing."""
        due = self._due()
        return due[0] if due else None

    # Inside.

    def _take(self, events: "list[FrameEvent] | tuple[FrameEvent, ...]", now: float) -> None:
        self._active_at = now
        for event in events:
            if isinstance(event, Frame):
                self.frames_received += 1
                self._waiting.append(event.octets)
            else:
                self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        last = self._keep_alive_answered_at
        if self._send_paused_at is not None or (
            last is not None and now - last < self._limits.keep_alive_interval_seconds
        ):
            self.keep_alives_ignored += 1
            return
        self._keep_alive_answered_at = now
        self.keep_alives_answered += 1
        self._output += write_keep_alive(self._style)

    def _name_fault(self, error: FrameError) -> CloseReason:
        if not self.frames_received and error.looks_like is not None:
            return CloseReason.HTTP_PROBE if error.looks_like == "http" else CloseReason.TLS_PROBE
        return _FAULTS.get(error.fault.value, CloseReason.FRAME_MALFORMED)

    def _finish(self, reason: CloseReason, now: float) -> None:
        if self._state is _State.CLOSED:
            return
        self.reason = self.reason or reason
        self._turn(_Turn.FINISH, now)
        self._frame_begun_at = None
        self._end_if_answered(now)

    def _end_if_answered(self, now: float) -> None:
        if self._state is _State.FINISHING and not self.in_flight and not self._waiting:
            self._turn(_Turn.ANSWERED, now)

    def _turn(self, turn: _Turn, now: float) -> None:
        self._state = _NEXT[self._state, turn]
        if self._state is _State.CLOSING and self._closing_at is None:
            self._closing_at = now

    def _drop_waiting(self) -> None:
        self.frames_dropped += len(self._waiting)
        self._waiting.clear()

    def _restart_timers(self, now: float) -> None:
        """Time that we spent not reading is not the peer's fault."""
        self._active_at = now
        if self._frame_begun_at is not None:
            self._frame_begun_at = now

    def _due(self) -> tuple[float, CloseReason] | None:
        """Return the next time-out and what it means."""
        limits = self._limits
        if self._state is _State.CLOSED or self._is_cut:
            return None
        if self._closing_at is not None:
            return self._closing_at + limits.close_timeout_seconds, CloseReason.CLOSE_TIMEOUT
        if self._send_paused_at is not None:
            return self._send_paused_at + limits.send_timeout_seconds, CloseReason.SEND_STALLED
        if self._state is not _State.OPEN or self._waiting or self.in_flight >= limits.in_flight_max:
            return None  # the answers in work have deadlines of their own
        if self._frame_begun_at is not None:
            return self._frame_begun_at + limits.frame_timeout_seconds, CloseReason.FRAME_TIMEOUT
        if self.in_flight:
            return None
        return self._active_at + limits.idle_timeout_seconds, CloseReason.IDLE


_CUTTING = frozenset({CloseReason.SEND_STALLED, CloseReason.CLOSE_TIMEOUT})

_FAULTS = {"too_long": CloseReason.FRAME_TOO_LONG, "not_digits": CloseReason.FRAME_MALFORMED}
