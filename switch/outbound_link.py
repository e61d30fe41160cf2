"""One link that we open to a network's host, and keep open.

What a link does when is the table of `acquirers.link_states`; how octets become frames is `switch.listener`. This file joins the two with
an endpoint and a clock, and pairs what we ask with its answers. What the host asks over the link is served as on any connection.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from acquirers.calls import NetworkRequest
from acquirers.host_link import HostAnswer, pairing_of
from acquirers.link_states import LinkState, new_link_machine
from config.acquirer_links import LinksSection
from config.section import Endpoint
from hsm_client.limits import LinkLimits, backoff_seconds
from messages.tpdu import Tpdu
from switch.connection import CloseReason
from switch.listener import AcquirerConnection, ConnectionContext
from switch.log import Event, log

if TYPE_CHECKING:
    from switch.network_links import NetworkLinks


class LinkFactory(Factory):
    """Makes the connection of one attempt."""

    noisy = False

    def __init__(self, link: "OutboundLink") -> None:
        self._link = link

    def buildProtocol(self, addr: IAddress | None) -> AcquirerConnection:
        """Make it."""
        return self._link.new_connection()


class OutboundLink:
    """A link to one of a network's hosts; `acquirers.link_states.LinkActions`.

    Args:
        links: whose it is.
        number: from 0; says with which host it begins.
        endpoint_of: how to reach a host.
        random: draws evenly from [0, 1), for the jitter.
    """

    def __init__(
        self,
        links: "NetworkLinks",
        number: int,
        *,
        section: LinksSection,
        endpoint_of: Callable[[Endpoint], IStreamClientEndpoint],
        random: Callable[[], float],
    ) -> None:
        self.state = LinkState.DOWN
        self._links = links
        self._section = section
        self._endpoint_of = endpoint_of
        self._random = random
        self._number = number
        self._host_position = number
        self._failures = 0
        self._machine = new_link_machine(self)
        self._attempt: Deferred[object] | None = None
        self._connection: AcquirerConnection | None = None
        self._is_secured = False
        self._unsaid: bytes | None = None
        self._heard_at_seconds = 0.0
        self._up_since_seconds: float | None = None
        self._asked: tuple[NetworkRequest, tuple[str, str, str]] | None = None
        self._answer_call: IDelayedCall | None = None
        self._echo_call: IDelayedCall | None = None
        self._retry_call: IDelayedCall | None = None
        links.metrics.link_moved(None, self.state.value)

    @property
    def host(self) -> Endpoint:
        """The host that it is with, or that is next."""
        hosts = self._section.hosts
        return hosts[self._host_position % len(hosts)]

    @property
    def way(self) -> AcquirerConnection | None:
        """Its connection while something may be said on it of our own accord."""
        return self._connection if self.state is LinkState.SIGNED_ON and self._is_secured else None

    def start(self) -> None:
        """Connect, and stay connected."""
        self._machine.start()

    def stop(self) -> None:
        """Sign off, answer what is in work, end."""
        self._machine.stop()

    # --- news of the connection -------------------------------------------------------------------------------------------

    def new_connection(self) -> AcquirerConnection:
        """From the endpoint: it has a transport."""
        self._is_secured = self._links.tls is None
        self._unsaid = None
        self._connection = self._links.new_connection(self)
        return self._connection

    def secured(self) -> None:
        """From the connection: the TLS handshake is done."""
        self._is_secured = True
        if self._unsaid is not None and self._connection is not None:
            self._connection.say(self._unsaid)
            self._unsaid = None

    def connection_lost(self, connection: AcquirerConnection, reason: CloseReason) -> None:
        """From the connection: it is gone."""
        if connection is not self._connection:
            return
        self._connection = None
        self._forget()
        if self.state is not LinkState.DRAINING:
            self._failed(reason.value)
        self._machine.lost()

    def take(self, context: ConnectionContext, body: bytes) -> bool:
        """Look at a message that came; True: it is an answer and there is nothing to serve."""
        self._heard_at_seconds = self._links.clock.seconds()
        answer = self._links.dialect.host_answer(body)
        if answer is None:
            return False
        asked = self._asked
        is_paired = asked is not None and asked[1] == answer.pairing
        self._links.metrics.host_answered(is_paired=is_paired)
        if asked is None or not is_paired:
            if self._links.admits_line(Event.NETWORK_LINK_ANSWER_UNPAIRED.value):
                log.info(Event.NETWORK_LINK_ANSWER_UNPAIRED, **self._fields(), stan=answer.pairing[1], code=answer.code)
        else:
            self._forget()
            self._answered(context, asked[0], answer)
        return True

    def _answered(self, context: ConnectionContext, request: NetworkRequest, answer: HostAnswer) -> None:
        if request is NetworkRequest.ECHO:
            self.keep_asking()  # whatever it says, it lives
        elif request is NetworkRequest.SIGN_ON and answer.is_approved:
            # We chose this host and it knows us, so what comes over the link is taken as from a terminal that signed on.
            context.is_signed_on = context.is_proven = True
            self._machine.approved()
        elif request is NetworkRequest.SIGN_ON:
            self._failed("refused")
            log.warning(Event.NETWORK_LINK_FAILED, **self._fields(), reason="sign-on refused", code=answer.code)
            self._machine.refused()

    # --- actions of the table ---------------------------------------------------------------------------------------------

    def entered(self, state: LinkState) -> None:
        """See `acquirers.link_states.LinkActions`."""
        before, self.state = self.state, state
        self._links.metrics.link_moved(before.value, state.value)
        if before is LinkState.SIGNED_ON and self._up_since_seconds is not None:
            if self._links.clock.seconds() - self._up_since_seconds >= self._section.stable_after_seconds:
                self._failures = 0
            self._up_since_seconds = None
        log.info(Event.NETWORK_LINK_CHANGED, **self._fields(), before=before.value, state=state.value)

    def open_attempt(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        attempt: Deferred[object] = maybeDeferred(self._endpoint_of(self.host).connect, LinkFactory(self))
        self._attempt = attempt
        attempt.addTimeout(self._section.connect_timeout_seconds, self._links.clock)
        attempt.addCallbacks(lambda _: self._machine.connected(), self._attempt_failed)

    def _attempt_failed(self, failure: Failure) -> None:
        if self.state is not LinkState.DRAINING:
            self._failed("unreachable")
            log.warning(Event.NETWORK_LINK_FAILED, **self._fields(), reason=failure.getErrorMessage())
        self._machine.attempt_failed()

    def sign_on(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        if self._section.signs_on:
            self._ask(NetworkRequest.SIGN_ON)
        else:
            self._machine.approved()

    def keep_asking(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        now = self._links.clock.seconds()
        if self._up_since_seconds is None:
            self._up_since_seconds = self._heard_at_seconds = now
        due_seconds = self._heard_at_seconds + self._section.echo_interval_seconds - now
        self._echo_call = self._links.clock.callLater(max(0.0, due_seconds), self._echo_if_idle)

    def _echo_if_idle(self) -> None:
        self._echo_call = None
        idle_seconds = self._links.clock.seconds() - self._heard_at_seconds
        if idle_seconds < self._section.echo_interval_seconds:
            self.keep_asking()
        else:
            self._ask(NetworkRequest.ECHO)

    def schedule_retry(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        limits = LinkLimits(
            backoff_base_seconds=self._section.backoff_min_seconds,
            backoff_max_seconds=self._section.backoff_max_seconds,
        )
        delay_seconds = backoff_seconds(self._failures, limits, self._random)
        self._failures += 1
        self._host_position += 1
        self._retry_call = self._links.clock.callLater(delay_seconds, self._machine.retry_due)

    def cancel_retry(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        assert self._retry_call is not None
        self._retry_call.cancel()
        self.announce_end()

    def cancel_attempt(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        assert self._attempt is not None
        self._attempt.cancel()

    def sign_off(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        self._forget()
        if self._section.signs_on:
            self._ask(NetworkRequest.SIGN_OFF)
        self.drain()

    def drain(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        if self._connection is not None:
            self._connection.drain()

    def cut(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        self._forget()
        if self._connection is not None:
            self._connection.cut(CloseReason.HOST_FAILED)

    def announce_end(self) -> None:
        """See `acquirers.link_states.LinkActions`."""
        self._links.link_ended(self)

    def stay(self) -> None:
        """See `acquirers.link_states.LinkActions`."""

    # --- inside -----------------------------------------------------------------------------------------------------------

    def _ask(self, request: NetworkRequest) -> None:
        connection = self._connection
        if connection is None:
            return  # lost within the same turn; the table is told next
        links = self._links
        message = links.dialect.network_request(request, stan=links.next_stan(), now=links.now())
        self._asked = request, pairing_of(message)
        self._answer_call = links.clock.callLater(self._section.answer_timeout_seconds, self._unanswered)
        prefix = (
            Tpdu(destination=self._section.tpdu_destination, source="0000").octets if links.section.has_tpdu else b""
        )
        frame = prefix + links.dialect.encode(message)
        if self._is_secured:
            connection.say(frame)
        else:
            # Written during the handshake it would wait in TLS, which stops our reading until it left: both would wait for ever.
            self._unsaid = frame

    def _unanswered(self) -> None:
        self._answer_call = None
        self._forget()
        if self.state is not LinkState.DRAINING:
            self._failed("unanswered")
            log.warning(Event.NETWORK_LINK_FAILED, **self._fields(), reason="no answer in time")
        self._machine.unanswered()

    def _forget(self) -> None:
        """Wait for nothing more; an answer that still comes is a late one."""
        self._asked = None
        for call in (self._answer_call, self._echo_call):
            if call is not None:
                call.cancel()
        self._answer_call = self._echo_call = None

    def _failed(self, reason: str) -> None:
        self._links.metrics.link_failed(reason)

    def _fields(self) -> dict[str, object]:
        return {"acquirer_id": self._links.section.id, "link": self._number, "host": str(self.host)}
