"""What a virtual terminal saw of each request, and what the books and the meters say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a request one request, within one network; ``message_class`` is 0200 or 0400, also of a repeat."""

    terminal_id: str
    transmitted_at: datetime
    stan: str
    message_class: str

    def __str__(self) -> str:
        return f"{self.message_class} {self.terminal_id} {self.stan} {self.transmitted_at:%H:%M:%S}"


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as its terminal saw it.

    Attributes:
        key: of the request.
        original: of a reversal, the sale that it asks to undo.
        code: data element 39 of the final answer, None as long as there is none.
        answer: the octets of the final answer, without length and TPDU.
        pins: that it brought, 20 digits each.
        attempts: how often it was sent.
        in_progress: how often the answer was "in progress".
        other_answers: final answers to the same request that were not the same octets.
    """

    key: RequestKey
    original: RequestKey | None = None
    code: str | None = None
    answer: bytes | None = field(default=None, repr=False)
    pins: tuple[str, ...] = field(default=(), repr=False)
    attempts: int = 0
    in_progress: int = 0
    other_answers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """What the journal holds of a request."""

    code: str | None
    answer: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedSale:
    """A sale in the books; ``digits`` of its tokens in order, None where they are missing."""

    sale_id: int
    key: RequestKey
    state: str
    digits: tuple[str | None, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything that is on disk when all is over.

    Attributes:
        journal: by request.
        sales: all of them.
        minted: the ids under which the security modules minted.
    """

    journal: Mapping[RequestKey, StoredAnswer]
    sales: tuple[BookedSale, ...]
    minted: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEntry:
    """A PIN typed into its meter twice, and what the meter said each time."""

    meter_number: str
    sale_id: int
    first: str
    second: str
