"""One link: a connection to one security module that heals itself.

What a link does when is the table of ``hsm_client.link_states``; how octets pair with answers is ``hsm_client.session``. This file
joins the two with an endpoint and a clock. The path of a request does not pass through the table: `Link.is_usable` is kept beside it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from hsm_client.connection import Connection, ConnectionFactory
from hsm_client.limits import LinkLimits, backoff_seconds
from hsm_client.link_states import new_link_machine
from hsm_client.observer import LinkObserver, LinkState
from hsm_client.session import ClientSession, ModuleWire, RemoteProtocolError, Wire

SWEEP_SECONDS_MIN = 0.01
"""Expired requests are looked for at most a hundred times a second: the search walks over all that is under way."""


class Waiter(Protocol):
    """Whoever sent a request. Exactly one of these is called, once."""

    def answered(self, reply: Any) -> None:
        """The module answered, perhaps by a refusal."""

    def unwritten(self) -> None:
        """The link was lost before the request was handed to a transport: the module certainly never saw it."""

    def lost(self) -> None:
        """The link was lost after that: the module may have seen it."""

    def expired(self) -> None:
        """No answer came in time: the module may have seen it. The answer will be dropped if it still comes."""


class Link:
    """A link to one module.

    Args:
        name: for the observer, the log and the operator.
        endpoint: how to connect; brings TLS with it (`hsm_client.tls.module_endpoint`).
        clock: the reactor, or a `task.Clock`.
        random: draws evenly from [0, 1), for the jitter.
        limits: see there.
        observer: is told what happens.
        wire: the module's language; None: our own module's. Not shared with another link.
        on_change: called without arguments whenever `is_usable` or `is_suspect` may have changed.
    """

    def __init__(
        self,
        *,
        name: str,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        random: Callable[[], float],
        limits: LinkLimits,
        observer: LinkObserver,
        on_change: Callable[[], None],
        wire: Wire | None = None,
    ) -> None:
        self.name = name
        self.state = LinkState.DOWN
        self.is_usable = False
        """Whether requests may be sent."""
        self.is_suspect = False
        """Whether a request was not answered in time and nothing at all was heard since."""
        self.identity: Any = None
        """Who the module said it is, last time it was asked."""
        self._wire: Wire = wire or ModuleWire()
        self._endpoint = endpoint
        self._clock = clock
        self._random = random
        self._limits = limits
        self._observer = observer
        self._on_change = on_change
        self._machine = new_link_machine(self)
        self._attempt: Deferred[object] | None = None
        self._is_attempting = False
        self._connection: Connection | None = None
        self._session = self._new_session()
        self._outgoing: list[bytes] = []
        self._first_unwritten_id = 1
        self._failures = 0
        self._up_since_seconds: float | None = None
        self._drop_reason = ""
        self._has_received = False
        self._probe_is_out = False
        self._sweep_due_seconds = 0.0
        self._sweep_call: IDelayedCall | None = None
        self._flush_call: IDelayedCall | None = None
        self._ping_call: IDelayedCall | None = None
        self._retry_call: IDelayedCall | None = None
        self._close_call: IDelayedCall | None = None
        self._stop_waiters: list[Deferred[None]] = []

    # --- for the owner ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and stay connected. After `stop`, not before its Deferred has fired."""
        self._machine.start()

    def stop(self) -> Deferred[None]:
        """Close and stay closed. What is under way is lost to its waiters. Fires when nothing of the link is left."""
        stopped: Deferred[None] = Deferred()
        self._stop_waiters.append(stopped)
        self._machine.stop()
        return stopped

    def send(self, request: Any, waiter: Waiter, timeout_seconds: float) -> None:
        """Send *request* on a usable link; all requests of one turn of the reactor leave in one write.

        Raises:
            hsm_client.session.InFlightLimitError: the link is full; nothing was sent, *waiter* will not be called.
            messages.security_module.LocalFieldError: likewise; the request cannot be said in this protocol.
        """
        assert self.is_usable, "the owner looks before it sends"
        self._submit(request, waiter, timeout_seconds)

    # --- actions of the table ---------------------------------------------------------------------------------------------

    def entered(self, state: LinkState) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        old, self.state = self.state, state
        self._set_usable(state is LinkState.UP and self._connection is not None)
        self._observer.link_changed(self.name, old, state)

    def open_attempt(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        self._is_attempting = True
        attempt: Deferred[object] = maybeDeferred(self._endpoint.connect, ConnectionFactory(self))
        attempt.addTimeout(self._limits.connect_timeout_seconds, self._clock)
        self._attempt = attempt
        attempt.addErrback(self._attempt_failed)

    def identify(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        self._probe(self._limits.identify_timeout_seconds)

    def serve(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        if self._connection is None:
            return  # lost within the same turn; the table is told next
        self._up_since_seconds = self._clock.seconds()
        self._ping_call = self._clock.callLater(self._limits.ping_interval_seconds, self._ping_if_quiet)

    def schedule_retry(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        delay_seconds = backoff_seconds(self._failures, self._limits, self._random)
        self._observer.reconnect_scheduled(self.name, self._failures, delay_seconds)
        self._retry_call = self._clock.callLater(delay_seconds, self._retry_now)

    def cancel_retry(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        assert self._retry_call is not None
        self._retry_call.cancel()
        self._retry_call = None

    def cancel_attempt(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        assert self._attempt is not None
        self._attempt.cancel()

    def close(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        connection = self._connection
        if connection is not None:
            self._flush()
            self._close_call = self._clock.callLater(self._limits.close_seconds_max, self._abort_close)
            connection.close()

    def announce_closed(self) -> None:
        """See `hsm_client.link_states.LinkActions`."""
        self._failures = 0
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # --- news of the attempt and the connection ---------------------------------------------------------------------------

    def _attempt_failed(self, failure: Failure) -> None:
        if not self._is_attempting:
            return  # the connection was made, and what becomes of it the connection tells
        self._is_attempting = False
        self._failures += 1
        if self.state is not LinkState.CLOSING:
            self._observer.connection_failed(self.name, failure.getErrorMessage() or type(failure.value).__name__)
        self._machine.attempt_failed()

    def connection_made(self, connection: Connection) -> None:
        """From the connection: start a session on it, unless the attempt was given up before."""
        if not self._is_attempting:
            connection.abort()
            return
        self._is_attempting = False
        self._connection = connection
        self._session = self._new_session()
        self._first_unwritten_id = 1
        self._drop_reason = ""
        self._has_received = self._probe_is_out = False
        self._machine.connected()

    def connection_received(self, connection: Connection, data: bytes) -> None:
        """From the connection: give the answers to those who wait."""
        if connection is not self._connection or self._drop_reason:
            return
        self._has_received = True
        if self.is_suspect:
            self._set_suspect(False)
        session = self._session
        try:
            for waiter, reply in session.receive(data):
                if waiter is not None:
                    waiter.answered(reply)
                else:
                    self._observer.reply_late(self.name)
                if session is not self._session:
                    return  # a waiter's reaction ended this connection
        except RemoteProtocolError as error:
            self._drop(f"protocol error: {error}")

    def connection_ended(self, connection: Connection, reason: str) -> None:
        """From the connection: tell the table, then everybody who waited, written and unwritten apart."""
        if connection is not self._connection:
            return
        self._connection = None
        self._set_usable(False)
        self._set_suspect(False)
        self._cancel_timers()
        self._outgoing.clear()
        session, self._session = self._session, self._new_session()
        self._count_failure()
        if self.state is not LinkState.CLOSING:
            self._observer.connection_failed(self.name, self._drop_reason or reason)
        self._machine.lost()
        for correlation_id, waiter in session.close():
            if correlation_id >= self._first_unwritten_id:
                waiter.unwritten()
            else:
                waiter.lost()

    def probed(self, reply: Any) -> None:
        """From the probe: the module answered who it is, or that it will not say."""
        self._probe_is_out = False
        refusal = self._wire.refusal(reply)
        if refusal is None:
            self.identity = self._wire.identity(reply) or self.identity
            if self.state is LinkState.IDENTIFYING:
                self._machine.identified()
        elif self.state is LinkState.IDENTIFYING:
            self._drop(f"not identified: {refusal}")

    def probe_expired(self) -> None:
        """From the probe: no answer."""
        self._drop("no answer to the identification" if self.state is LinkState.IDENTIFYING else "no answer to a ping")

    # --- inside -----------------------------------------------------------------------------------------------------------

    def _new_session(self) -> ClientSession[Waiter]:
        return ClientSession(
            in_flight_max=self._limits.in_flight_max, abandoned_max=self._limits.abandoned_max, wire=self._wire
        )

    def _submit(self, request: Any, waiter: Waiter, timeout_seconds: float, *, is_probe: bool = False) -> None:
        expires_at_seconds = self._clock.seconds() + timeout_seconds
        frame = self._session.send(request, waiter, expires_at_seconds=expires_at_seconds, is_probe=is_probe)
        self._outgoing.append(frame)
        if self._flush_call is None:
            self._flush_call = self._clock.callLater(0, self._flush_now)
        if self._sweep_call is None or expires_at_seconds < self._sweep_due_seconds:
            self._sweep_at(expires_at_seconds)

    def _flush_now(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        if self._outgoing and self._connection is not None:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            # From here on the requests count as written, even if the transport fails within the call.
            self._first_unwritten_id = self._session.next_id
            self._connection.write(data)

    def _sweep_at(self, due_seconds: float) -> None:
        if self._sweep_call is not None:
            self._sweep_call.cancel()
        self._sweep_due_seconds = due_seconds
        self._sweep_call = self._clock.callLater(max(0.0, due_seconds - self._clock.seconds()), self._sweep)

    def _sweep(self) -> None:
        """Give up what has expired. One timer serves all requests: one each would cost more than the request."""
        self._sweep_call = None
        session = self._session
        now_seconds = self._clock.seconds()
        expired = session.expire(now_seconds)
        following_seconds = session.next_expiry_seconds()
        if following_seconds is not None:
            self._sweep_at(max(following_seconds, now_seconds + SWEEP_SECONDS_MIN))
        for waiter in expired:
            if not isinstance(waiter, _Probe):
                self._observer.request_timed_out(self.name)
                self._suspect()
            waiter.expired()
        if session.is_stalled and session is self._session:
            self._drop("too many requests without an answer")

    def _suspect(self) -> None:
        if not self.is_suspect and self.is_usable:
            self._set_suspect(True)
            self._probe(self._limits.ping_timeout_seconds)

    def _probe(self, timeout_seconds: float) -> None:
        if not self._probe_is_out and self._connection is not None:
            self._probe_is_out = True
            request = self._wire.probe(is_first=self.state is LinkState.IDENTIFYING)
            self._submit(request, _Probe(self), timeout_seconds, is_probe=True)

    def _ping_if_quiet(self) -> None:
        self._ping_call = self._clock.callLater(self._limits.ping_interval_seconds, self._ping_if_quiet)
        if not self._has_received:
            self._probe(self._limits.ping_timeout_seconds)
        self._has_received = False

    def _retry_now(self) -> None:
        self._retry_call = None
        self._machine.retry_due()

    def _drop(self, reason: str) -> None:
        if self._connection is not None:
            self._drop_reason = self._drop_reason or reason
            self._set_usable(False)
            self._connection.abort()

    def _abort_close(self) -> None:
        self._close_call = None
        if self._connection is not None:
            self._connection.abort()

    def _count_failure(self) -> None:
        up_since_seconds, self._up_since_seconds = self._up_since_seconds, None
        was_stable = (
            up_since_seconds is not None
            and self._clock.seconds() - up_since_seconds >= self._limits.stable_after_seconds
        )
        self._failures = 0 if was_stable else self._failures + 1

    def _cancel_timers(self) -> None:
        for call in (self._sweep_call, self._flush_call, self._ping_call, self._close_call):
            if call is not None and call.active():
                call.cancel()
        self._sweep_call = self._flush_call = self._ping_call = self._close_call = None

    def _set_usable(self, is_usable: bool) -> None:
        if is_usable is not self.is_usable:
            self.is_usable = is_usable
            self._on_change()

    def _set_suspect(self, is_suspect: bool) -> None:
        if is_suspect is not self.is_suspect:
            self.is_suspect = is_suspect
            self._on_change()


class _Probe:
    """Waits for the answer to ``ID``."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def answered(self, reply: Any) -> None:
        self._link.probed(reply)

    def unwritten(self) -> None:
        """The link knows already that it is lost."""

    def lost(self) -> None:
        """The link knows already that it is lost."""

    def expired(self) -> None:
        self._link.probe_expired()
