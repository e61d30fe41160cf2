"""Sending what a terminal stored while it had no line: payments and delivery advices, several to a message, as often as it takes.

A record ends only with a final answer of its own. Everything else leaves it stored, to be sent again: the network knows it by its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from messages.codec import DATAFONO
from messages.record_list import fits
from pos.answers import AnswerMalformed, RecordTold, read_records_told
from pos.client import Outcome
from pos.dialogue import APPROVED, IN_PROGRESS, Final, tells_of_records
from pos.requests import as_record
from pos.speech import Speech
from pos.store import ExchangeKind, StoredExchange
from pos.tally import Sold, sold_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """One stored request, and what the network told of it; None: nothing yet."""

    exchange: StoredExchange
    told: RecordTold | None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.told is not None and self.told.code != IN_PROGRESS

    @property
    def sold(self) -> Sold | None:
        """What it adds to its settlement day; None where nothing stands."""
        if self.told is None or self.told.code != APPROVED or self.exchange.kind is not ExchangeKind.SALE:
            return None
        return sold_on(DATAFONO.decode(self.exchange.request), self.told.day, self.exchange.transmitted_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """All that was stored, and why it ended early (None: it did not)."""

    records: tuple[Uploaded, ...]
    failure: Outcome | None = None


@dataclass(slots=True, kw_only=True)
class Batch:
    """What goes into one message: stored requests, and the same as records."""

    exchanges: list[StoredExchange] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)


def in_batches(stored: Sequence[StoredExchange], speech: Speech) -> list[Batch]:
    """Cut what is stored into pieces that go into one message each, in order."""
    batches: list[Batch] = []
    for exchange in stored:
        record = as_record(exchange.request, speech)
        if not batches or not fits([*batches[-1].records, record]):
            batches.append(Batch())
        batches[-1].exchanges.append(exchange)
        batches[-1].records.append(record)
    return batches


def match(exchanges: Sequence[StoredExchange], outcome: Outcome) -> list[Uploaded]:
    """Put beside each record what an answer tells of it; an answer that is about other records tells nothing."""
    told = _told(outcome)
    if len(told) != len(exchanges):
        return [Uploaded(exchange=exchange, told=None) for exchange in exchanges]
    return [
        Uploaded(exchange=exchange, told=each if _is_about(exchange, each) else None)
        for exchange, each in zip(exchanges, told, strict=True)
    ]


def _told(outcome: Outcome) -> tuple[RecordTold, ...]:
    if not isinstance(outcome, Final) or not tells_of_records(outcome.answer):
        return ()
    try:
        return read_records_told(outcome.answer)
    except AnswerMalformed:
        return ()


def _is_about(exchange: StoredExchange, told: RecordTold) -> bool:
    message = DATAFONO.decode(exchange.request)
    key = (message.message_class, message.text(11), message.text(7))
    return key == (told.message_class, told.stan, told.transmission_time)
