"""What each version of the standard says in its own way; everything else of an adapter is the same for all (`acquirers.iso1987`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from acquirers.calls import Call, NetworkRequest
from acquirers.notices import Verdicts
from messages.iso_message import IsoMessage
from vending.notice import Notice
from vending.order import InquiryAnswer, LastAnswerFound, RequestKey, ReservedSale
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.settlement import Compared, TotalsOrder

Fields = dict[int, str]


class ReadCall(Protocol):
    """Maps one decoded message; raises `vending.response_code.Refusal`."""

    def __call__(self, message: IsoMessage, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
        """Map *message*, which was decoded from *body*."""


class MakeAnswer(Protocol):
    """Makes an answer with the caller's own fields and a code; None for what must not be answered."""

    def __call__(self, message: IsoMessage | None, code: ResponseCode, more: Fields | None = None) -> IsoMessage | None:
        """Answer *message* (None: not even its MTI was read) with *code* and *more* data elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of ISO 8583 as our networks speak it.

    Attributes:
        read_call: from a message to what it asks for.
        answer: from a code to a message.
        sale_fields: data elements of a sale that stands.
        inquiry_fields: of an inquiry.
        last_answer_fields: of what became of an earlier sale.
        totals_fields: of our totals of a day.
        cut_over_fields: of a day that is closed.
        request_key: the journal key of the request that an answer belongs to.
        batch_mtis: messages that carry a batch; none where this version has none.
        network_request: what we ask a network's host on a link that we opened, by kind, STAN and time.
        notice: what we tell a network of our own accord.
        verdicts: what its answer to that says.
    """

    read_call: ReadCall
    answer: MakeAnswer
    sale_fields: Callable[[IsoMessage, ReservedSale, Sequence[Secret[str]]], Fields]
    inquiry_fields: Callable[[InquiryAnswer], Fields]
    last_answer_fields: Callable[[IsoMessage, LastAnswerFound], Fields]
    totals_fields: Callable[[IsoMessage, TotalsOrder, Compared], Fields]
    cut_over_fields: Callable[[IsoMessage], Fields]
    request_key: Callable[[IsoMessage, str, datetime], RequestKey]
    batch_mtis: frozenset[str]
    network_request: Callable[[NetworkRequest, str, datetime], IsoMessage]
    notice: Callable[[Notice], IsoMessage]
    verdicts: Verdicts
