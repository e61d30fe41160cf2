"""Requests that are being worked on: a repeat that arrives meanwhile waits for the first instead of starting anew."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred

from switch.answered import Answered
from vending.order import RequestKey
from vending.response_code import Refusal, ResponseCode

REPEATS_WAITING_MAX = 8
"""Per request. A terminal repeats after its timer, a few times; more is a fault."""


@dataclass(slots=True)
class _Entry:
    digest: bytes
    repeats: list[Deferred[Answered]] = field(default_factory=list)


class InFlight:
    """The table of requests that have begun and not ended, by their key."""

    def __init__(self) -> None:
        self._entries: dict[RequestKey, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: RequestKey) -> bool:
        return key in self._entries

    def has_sale_of(self, acquirer_id: str, terminal_id: str) -> bool:
        """Whether a sale of this terminal is being worked on; looks through the whole table."""
        return any(
            (key.acquirer_id, key.terminal_id, key.message_class) == (acquirer_id, terminal_id, "0200")
            for key in self._entries
        )

    async def once(self, key: RequestKey, digest: bytes, work: Callable[[], Awaitable[Answered]]) -> Answered:
        """Do *work* for a request, or wait for the one that is doing it; whatever comes of it, the request has ended afterwards.

        Raises:
            Refusal: as `begin` and *work* do.
        """
        first = self.begin(key, digest)
        if first is not None:
            return await first
        answered: Answered | None = None
        try:
            answered = await work()
            return answered
        finally:
            self.end(key, answered)

    def begin(self, key: RequestKey, digest: bytes) -> Awaitable[Answered] | None:
        """Begin a request (None), or, when the same is in flight, return what will be its answer.

        Raises:
            Refusal: `DUPLICATE_CONFLICT` when the key is in flight with other content; `IN_PROGRESS` past the limit of repeats, because
                the first may yet be sold and nobody may be told that nothing was taken.
        """
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(digest)
            return None
        if entry.digest != digest:
            raise Refusal(ResponseCode.DUPLICATE_CONFLICT, "in flight with other content")
        if len(entry.repeats) >= REPEATS_WAITING_MAX:
            raise Refusal(ResponseCode.IN_PROGRESS, "too many repeats of one request")
        repeat: Deferred[Answered] = Deferred()
        entry.repeats.append(repeat)
        return repeat

    def end(self, key: RequestKey, answered: Answered | None) -> None:
        """End a request; its repeats get the same answer (None: the outcome is unknown, they are told so)."""
        entry = self._entries.pop(key)
        for repeat in entry.repeats:
            if answered is None:
                repeat.errback(
                    Refusal(ResponseCode.IN_PROGRESS, "the first of this request ended without a known outcome")
                )
            else:
                repeat.callback(replace(answered, is_repeat=True))
