"""The adapter of every dialect of ISO 8583: what a network sends becomes a call, what came of it an answer.

How a dialect is packed is a `messages.wire.Wire`, how its version of the standard names things an `acquirers.version.Version`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from acquirers.calls import Call, NetworkRequest, RecordResult
from acquirers.dialect import Unreadable
from acquirers.host_link import HostAnswer, read_host_answer
from acquirers.iso1987_batch import read_batch, result_fields
from acquirers.notices import NoticeAnswer, read_notice_answer
from acquirers.session_key import KeyOffer, key_offer_fields
from acquirers.version import Version
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MacAbsent, MacForm, Sealed, split_mac, with_placeholder
from messages.wire import Wire
from vending.notice import Notice
from vending.order import InquiryAnswer, LastAnswerFound, RequestKey, ReservedSale
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.settlement import Compared, TotalsOrder

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)

JOURNALED = frozenset("24")
"""Second MTI digit of what the journal keeps: sales, reversals and their advices."""


class IsoDialect:
    """See `acquirers.dialect.Dialect`.

    Args:
        wire: how the messages are packed.
        version: what the version of the standard says in its own way.
    """

    def __init__(self, wire: Wire, version: Version) -> None:
        self._codec = wire.codec
        self._mac_form = wire.mac_form
        self._version = version

    @property
    def mac_form(self) -> MacForm:
        """See `acquirers.dialect.Dialect.mac_form`."""
        return self._mac_form

    def read(self, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
        """Decode and map one message."""
        return self._read(body, acquirer_id=acquirer_id, now=now)

    def _read(self, body: bytes, *, acquirer_id: str, now: datetime, is_record: bool = False) -> Call:
        """Map a message that came, or one that is a record of a batch: no batch is inside another."""
        try:
            message = self._codec.decode(body)
        except DecodeError as error:
            partly = None if error.mti is None else IsoMessage(mti=error.mti, fields=error.partial)
            raise Unreadable(partly, Refusal(ResponseCode.FORMAT_ERROR, str(error))) from error
        try:
            if message.mti in self._version.batch_mtis and not is_record:
                read = partial(self._read, acquirer_id=acquirer_id, now=now, is_record=True)
                return read_batch(message, body, read)
            return self._version.read_call(message, body, acquirer_id=acquirer_id, now=now)
        except Refusal as refusal:
            raise Unreadable(message, refusal) from refusal

    def sealed(self, message: IsoMessage, body: bytes) -> Sealed:
        """Split what the MAC covers from the MAC."""
        try:
            return split_mac(message, body, self._mac_form)
        except MacAbsent:
            raise Refusal(ResponseCode.MAC_MISMATCH, "no MAC") from None

    def decline(self, message: IsoMessage | None, code: ResponseCode) -> IsoMessage | None:
        """Refuse."""
        return self._version.answer(message, code)

    def acknowledge(self, message: IsoMessage) -> IsoMessage:
        """Approve with nothing to say."""
        return _of_request(self._version.answer(message, ResponseCode.APPROVED))

    def approve_sale(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """Hand the tokens out."""
        more = self._version.sale_fields(message, sale, tokens)
        return _of_request(self._version.answer(message, ResponseCode.APPROVED, more))

    def answer_inquiry(self, message: IsoMessage, answer: InquiryAnswer) -> IsoMessage:
        """Tell the account and the trial quote."""
        return _of_request(self._version.answer(message, answer.code, self._version.inquiry_fields(answer)))

    def answer_last(self, message: IsoMessage, found: LastAnswerFound) -> IsoMessage:
        """Tell what became of an earlier sale."""
        return _of_request(self._version.answer(message, found.code, self._version.last_answer_fields(message, found)))

    def answer_totals(self, message: IsoMessage, order: TotalsOrder, compared: Compared) -> IsoMessage:
        """Tell our totals."""
        return _of_request(
            self._version.answer(message, compared.code, self._version.totals_fields(message, order, compared))
        )

    def acknowledge_cut_over(self, message: IsoMessage) -> IsoMessage:
        """Say that the day is closed."""
        more = self._version.cut_over_fields(message)
        return _of_request(self._version.answer(message, ResponseCode.APPROVED, more))

    def answer_session_key(self, message: IsoMessage, offer: KeyOffer) -> IsoMessage:
        """Hand out a session key, or say which one was taken."""
        return _of_request(self._version.answer(message, ResponseCode.APPROVED, key_offer_fields(message, offer)))

    def answer_batch(self, message: IsoMessage, code: ResponseCode, results: Sequence[RecordResult]) -> IsoMessage:
        """Tell what became of each record."""
        return _of_request(self._version.answer(message, code, result_fields(results, self._codec.decode)))

    def decline_reversal(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """The sale stands, and here are its tokens."""
        more = self._version.sale_fields(message, sale, tokens)
        return _of_request(self._version.answer(message, ResponseCode.SALE_STANDS, more))

    def sealed_answer(self, answer: bytes) -> Sealed | None:
        """Split an answer from its MAC."""
        try:
            return split_mac(self._codec.decode(answer), answer, self._mac_form)
        except MacAbsent:
            return None

    def network_request(self, request: NetworkRequest, *, stan: str, now: datetime) -> IsoMessage:
        """Ask a host."""
        return self._version.network_request(request, stan, now)

    def host_answer(self, body: bytes) -> HostAnswer | None:
        """Read its answer. What it approves is spelled as we would have approved the same."""
        if not self._is_answer(body):
            return None  # a request, which is decoded where it is served
        try:
            message = self._codec.decode(body)
        except DecodeError:
            return None
        asked = self._version.network_request(NetworkRequest.ECHO, "000000", _ANY_TIME)
        return read_host_answer(message, self.acknowledge(asked).text(39))

    def _is_answer(self, body: bytes) -> bool:
        """Whether the third digit of the MTI is odd; nothing is decoded for it."""
        return len(body) >= 4 and bool((body[1] >> 4 if self._mac_form is MacForm.OCTETS else body[2]) & 1)

    def notice(self, notice: Notice) -> IsoMessage:
        """Tell of it."""
        return self._version.notice(notice)

    def notice_answer(self, body: bytes) -> NoticeAnswer | None:
        """Read what a network says to it."""
        if not self._is_answer(body):
            return None
        try:
            return read_notice_answer(self._codec.decode(body), self._version.verdicts)
        except DecodeError:
            return None

    def answered_key(self, answer: bytes, *, acquirer_id: str, now: datetime) -> RequestKey | None:
        """Read the elements of the key back. An answer without a MAC may be to somebody who only says that he is a terminal."""
        message = self._codec.decode(answer)
        if message.mti[1] not in JOURNALED or not {64, 128} & message.fields.keys():
            return None
        return self._version.request_key(message, acquirer_id, now)

    def encode(self, answer: IsoMessage) -> bytes:
        """Write without a MAC."""
        return self._codec.encode(answer)

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write with a MAC of zeros at the end."""
        return self._codec.encode(with_placeholder(answer))


def _of_request(answer: IsoMessage | None) -> IsoMessage:
    assert answer is not None, "a served request always has an answer"
    return answer
