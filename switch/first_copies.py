"""What became of the first copies of requests, for as long as the line may deliver second ones of the same frame.

A refusal for a reason of the moment (the meter is busy, the database away) is not in the journal, and for the terminal it is final. Two
things must not happen to a second copy that a concentrator made or held back:

- its first was refused and it is sold, because the moment has passed: the customer was told no. A plain copy is told the same again.
- its first was or may have been sold and it is refused, because the moment has come: the terminal would take that for its answer.
  It gets the answer that is not final.

A repeat (0201) says that its terminal does not know. It is served, and what the first was told counts no more.

The memory is one process's: see docs/exactly-once.md for what that leaves open.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode

REFUSED_SECONDS = 1800.0
"""Longer than a frame can be on its way: a TCP end of Linux sends the same octets for 924 seconds at most (``tcp_retries2``)."""

SERVED_SECONDS = 60.0
"""Four times as long as a terminal waits for the answer to its first copy. Later it has sent a repeat, and takes no such refusal."""

COPIES_MAX = 65_536
"""Of each of the two kinds: some 40 MiB at most; half an hour of 36 refusals a second, a minute of 1 000 sales a second. Beyond it the
oldest go, whose copies are the least likely still to come."""


@dataclass(frozen=True, slots=True)
class _Told:
    digest: bytes
    code: ResponseCode
    until: float


class FirstCopies:
    """What became of the first copies of one network's requests in this process.

    Args:
        monotonic: a clock in seconds that never steps.
        forgotten: called for each that had to go before its time.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        forgotten: Callable[[], None],
        *,
        copies_max: int = COPIES_MAX,
    ) -> None:
        self._monotonic = monotonic
        self._forgotten = forgotten
        self._copies_max = copies_max
        # Both in the order in which they were written, which is the order in which they end.
        self._refused: dict[RequestKey, _Told] = {}
        self._served_until: dict[RequestKey, float] = {}

    def __len__(self) -> int:
        return len(self._refused) + len(self._served_until)

    def meet(self, key: RequestKey, digest: bytes, *, is_repeat: bool) -> None:
        """Let a request pass whose MAC was right, or tell it what its first copy was told.

        Raises:
            Refusal: that refusal again. Other content under the same key passes: the journal knows what to say to it.
        """
        told = self._refused.get(key)
        if told is None or told.digest != digest:
            return
        if is_repeat:
            del self._refused[key]
        elif told.until > self._monotonic():
            raise Refusal(told.code, "a copy of what was refused before")

    def serve(self, key: RequestKey) -> None:
        """Note that a request has an answer, or has none yet: it may have been sold."""
        now = self._monotonic()
        served = self._served_until
        while served and next(iter(served.values())) <= now:
            del served[next(iter(served))]
        served.pop(key, None)
        if len(served) >= self._copies_max:
            del served[next(iter(served))]
            self._forgotten()
        served[key] = now + SERVED_SECONDS

    def refuse(self, key: RequestKey, digest: bytes, refusal: Refusal) -> Refusal:
        """Return what a plain copy may be told instead of *refusal*, whose reason is of the moment; note it if that is the same."""
        now = self._monotonic()
        if self._served_until.get(key, now) > now:
            return Refusal(ResponseCode.IN_PROGRESS, f"served before, {refusal.code.value}: {refusal.private_detail}")
        refused = self._refused
        while refused and next(iter(refused.values())).until <= now:
            del refused[next(iter(refused))]
        if key not in refused:
            if len(refused) >= self._copies_max:
                del refused[next(iter(refused))]
                self._forgotten()
            refused[key] = _Told(digest, refusal.code, now + REFUSED_SECONDS)
        return refusal
