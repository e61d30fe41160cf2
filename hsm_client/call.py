"""One call of the port, from the first attempt to its end: what a lost, late or refused attempt means for it.

Two kinds. An *effect-free* call (MACs, questions) may be asked anywhere as often as wanted; it is asked twice at most, and a call that
got no answer is as good as one never made. A *mint* call leaves a token behind, but minting is idempotent under its request id: it is
asked again, under the same id, until there is an answer or the time is over, and then the outcome is honestly unknown.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from hsm_client.link import Link
from messages.security_module import KeyChangeReply, MintReply, Refused, Reply, Request, Status
from vending.engineering import KeyChangeRequest
from vending.ports import (
    MacMismatch,
    MintRequest,
    ModuleOutcomeUnknown,
    ModuleRefused,
    ModuleUnavailable,
)
from vending.secret import Secret

T = TypeVar("T")

WRITES_MAX = 2
"""An effect-free call is written twice at most: a third module would be asked no sooner than the caller's time is over."""

_SAYS_NOTHING = frozenset({Status.CLOCK_IN_DOUBT, Status.OVERLOADED, Status.STOPPING, Status.INTERNAL_ERROR})
"""Statuses that are about the module, not about the request: another module may well do it."""


class Dispatcher(Protocol):
    """What a call needs of its pool."""

    def place(self, call: "Call[T]", avoid: Sequence[Link], *, is_last: bool) -> Link | None:
        """Send the call on the best link not in *avoid*; None if there is none, or no time.

        With *is_last* the attempt gets all the time that is left, since nothing will follow it.
        """

    @property
    def has_one_module(self) -> bool:
        """Whether there is no other module that may have been asked before."""

    def wait(self, call: "MintCall") -> bool:
        """Call `MintCall.resume` when a link comes up or the time is over; False if it cannot."""


class Call(Generic[T]):
    """An effect-free call under way. It is the `hsm_client.link.Waiter` of its attempts.

    Args:
        pool: places it.
        request: what is asked.
        read: takes the result out of the answer.
        deadline_seconds: on the pool's clock.
    """

    __slots__ = ("_link", "_pool", "_read", "_tried", "_writes", "attempts", "deadline_seconds", "request", "result")

    def __init__(self, pool: Dispatcher, request: Request, read: Callable[[Reply], T], deadline_seconds: float) -> None:
        self.request = request
        self.deadline_seconds = deadline_seconds
        self.result: Deferred[T] = Deferred()
        self.attempts = 0
        """How often it was placed; the pool counts."""
        self._pool = pool
        self._read = read
        self._link: Link | None = None
        self._tried: tuple[Link, ...] = ()
        self._writes = 0

    def start(self) -> None:
        """Make the first attempt."""
        self._link = self._pool.place(self, (), is_last=False)
        if self._link is None:
            self._fail(ModuleUnavailable("no link can take it"))

    def answered(self, reply: Reply) -> None:
        """Give the result, or what the refusal means."""
        if self.result.called:
            return  # cancelled: nobody wants it any more
        if type(reply) is Refused:
            self._refused(reply.status)
        else:
            self.result.callback(self._read(reply))

    def unwritten(self) -> None:
        """Try elsewhere at once; this attempt does not count."""
        self._elsewhere("the link was lost")

    def lost(self) -> None:
        """Try elsewhere, once."""
        self._writes += 1
        self._elsewhere("the link was lost")

    def expired(self) -> None:
        """Try elsewhere, once."""
        self._writes += 1
        self._elsewhere("no answer in time")

    def _refused(self, status: Status) -> None:
        if status in _SAYS_NOTHING:
            self._writes += 1
            self._elsewhere(f"{status.code} {status.meaning}")
        elif status is Status.MAC_MISMATCH:
            self._fail(MacMismatch())
        else:
            self._fail(ModuleRefused(status.code, status.meaning))

    def _elsewhere(self, reason: str) -> None:
        assert self._link is not None
        if self.result.called:
            return  # cancelled: nobody wants it any more
        self._tried += (self._link,)
        self._link = None
        if self._writes < WRITES_MAX:
            self._link = self._pool.place(self, self._tried, is_last=self._writes == WRITES_MAX - 1)
        if self._link is None:
            self._fail(ModuleUnavailable(reason))

    def _fail(self, error: Exception) -> None:
        if not self.result.called:
            self.result.errback(error)


def _read_tokens(reply: Reply) -> Sequence[Secret[str]]:
    assert isinstance(reply, MintReply | KeyChangeReply)
    return reply.tokens


class MintCall(Call[Sequence[Secret[str]]]):
    """A mint call under way, or one for the tokens of a key change, which is idempotent likewise.

    Args:
        pool: places it.
        request: what is to be minted; asked under its own id every time.
        deadline_seconds: on the pool's clock.
        attempts_max: see `hsm_client.limits.PoolLimits.mint_attempts_max`.
    """

    __slots__ = ("_attempts_max", "_may_be_minted", "_unknown_on")

    def __init__(
        self, pool: Dispatcher, request: MintRequest | KeyChangeRequest, deadline_seconds: float, attempts_max: int
    ) -> None:
        super().__init__(pool, request, _read_tokens, deadline_seconds)
        self._attempts_max = attempts_max
        self._may_be_minted = request.may_be_minted
        self._unknown_on: tuple[Link, ...] = ()

    def unwritten(self) -> None:
        """Try any other link at once."""
        self._again("the link was lost")

    def lost(self) -> None:
        """It may have been minted: ask again by the same id."""
        self._note_unknown()
        self._again("the link was lost")

    def expired(self) -> None:
        """It may have been minted: ask again by the same id."""
        self._note_unknown()
        self._again("no answer in time")

    def resume(self) -> None:
        """From the pool: a link came up, or the time is over."""
        self._again("no link came up in time")

    def _refused(self, status: Status) -> None:
        link = self._link
        assert link is not None
        if status.is_refusal:
            # A module that keeps its own books knows nothing of what another one may have minted just before.
            asked_before = self._may_be_minted and not self._pool.has_one_module
            if asked_before or any(unknown_on is not link for unknown_on in self._unknown_on):
                self._fail(ModuleOutcomeUnknown(f"refused here, unknown elsewhere: {status.code} {status.meaning}"))
            else:
                self._fail(ModuleRefused(status.code, status.meaning))
            return
        if status is Status.INTERNAL_ERROR:
            self._note_unknown()
        self._tried += (link,)
        if not self._try(self._tried):
            self._end(f"{status.code} {status.meaning}")

    def _note_unknown(self) -> None:
        assert self._link is not None
        self._unknown_on += (self._link,)

    def _again(self, reason: str) -> None:
        if self.result.called:
            return  # cancelled: nobody wants it any more
        last, self._link = self._link, None
        if self._try(self._tried if last is None else (*self._tried, last)):
            return
        # Without another link, one that failed or declined before is asked again, but only where the answer is owed.
        if self._unknown_on and (self._try(()) or (self._has_attempts and self._pool.wait(self))):
            return
        self._end(reason)

    def _try(self, avoid: Sequence[Link]) -> bool:
        if not self._has_attempts:
            return False
        self._link = self._pool.place(self, avoid, is_last=self.attempts + 1 >= self._attempts_max)
        return self._link is not None

    @property
    def _has_attempts(self) -> bool:
        return self.attempts < self._attempts_max

    def _end(self, reason: str) -> None:
        self._fail(ModuleOutcomeUnknown(reason) if self._unknown_on else ModuleUnavailable(reason))
