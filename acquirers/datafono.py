"""The adapter of dialect ``datafono``: bank-style POS terminals, ISO 8583:1987. Source: docs/wire/datafono.md."""

from collections.abc import Sequence
from datetime import datetime

from acquirers import datafono_answers as answers
from acquirers.calls import Call
from acquirers.datafono_requests import read_call
from acquirers.datafono_totals import SETTLEMENT_DATE, totals_fields
from acquirers.dialect import Unreadable
from messages.codec import DATAFONO, Codec
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MacAbsent, Sealed, split_mac, with_placeholder
from messages.transmission_time import read_transmission_time
from vending.order import InquiryAnswer, LastAnswerFound, RequestKey, ReservedSale
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.settlement import Compared, TotalsOrder

JOURNALED = frozenset("24")
"""Second MTI digit of what the journal keeps: sales, reversals and their advices."""


class DatafonoDialect:
    """See `acquirers.dialect.Dialect`."""

    def __init__(self, codec: Codec = DATAFONO) -> None:
        self._codec = codec

    def read(self, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
        """Decode and map one message."""
        try:
            message = self._codec.decode(body)
        except DecodeError as error:
            partial = None if error.mti is None else IsoMessage(mti=error.mti, fields=error.partial)
            raise Unreadable(partial, Refusal(ResponseCode.FORMAT_ERROR, str(error))) from error
        try:
            return read_call(message, body, acquirer_id=acquirer_id, now=now)
        except Refusal as refusal:
            raise Unreadable(message, refusal) from refusal

    def sealed(self, message: IsoMessage, body: bytes) -> Sealed:
        """Split what the MAC covers from the MAC."""
        try:
            return split_mac(message, body)
        except MacAbsent:
            raise Refusal(ResponseCode.MAC_MISMATCH, "no MAC") from None

    def decline(self, message: IsoMessage | None, code: ResponseCode) -> IsoMessage | None:
        """Refuse."""
        return answers.answer(message, code)

    def acknowledge(self, message: IsoMessage) -> IsoMessage:
        """Approve with nothing to say."""
        return _of_request(answers.answer(message, ResponseCode.APPROVED))

    def approve_sale(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """Hand the tokens out."""
        more = answers.sale_fields(message, sale, tokens)
        return _of_request(answers.answer(message, ResponseCode.APPROVED, more))

    def answer_inquiry(self, message: IsoMessage, answer: InquiryAnswer) -> IsoMessage:
        """Tell the account and the trial quote."""
        return _of_request(answers.answer(message, answer.code, answers.inquiry_fields(answer)))

    def answer_last(self, message: IsoMessage, found: LastAnswerFound) -> IsoMessage:
        """Tell what became of an earlier sale."""
        return _of_request(answers.answer(message, found.code, answers.last_answer_fields(message, found)))

    def answer_totals(self, message: IsoMessage, order: TotalsOrder, compared: Compared) -> IsoMessage:
        """Tell our totals."""
        return _of_request(answers.answer(message, compared.code, totals_fields(message, order, compared)))

    def acknowledge_cut_over(self, message: IsoMessage) -> IsoMessage:
        """Say that the day is closed."""
        more = {SETTLEMENT_DATE: message.text(SETTLEMENT_DATE)}
        return _of_request(answers.answer(message, ResponseCode.APPROVED, more))

    def decline_reversal(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """The sale stands, and here are its tokens."""
        more = answers.sale_fields(message, sale, tokens)
        return _of_request(answers.answer(message, ResponseCode.SALE_STANDS, more))

    def answered_key(self, answer: bytes, *, acquirer_id: str, now: datetime) -> RequestKey | None:
        """Read MTI, 7, 11 and 41 back. An answer without a MAC may be to somebody who only says that he is a terminal."""
        message = self._codec.decode(answer)
        if message.mti[1] not in JOURNALED or not {64, 128} & message.fields.keys():
            return None
        return RequestKey(
            acquirer_id=acquirer_id,
            terminal_id=message.text(41).rstrip(),
            transmitted_at=read_transmission_time(message.text(7), now),
            stan=message.text(11),
            message_class=f"{message.mti[:2]}{int(message.mti[2]) - 1}0",
        )

    def encode(self, answer: IsoMessage) -> bytes:
        """Write without a MAC."""
        return self._codec.encode(answer)

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write with a MAC of zeros at the end."""
        return self._codec.encode(with_placeholder(answer))


def _of_request(answer: IsoMessage | None) -> IsoMessage:
    assert answer is not None, "a served request always has an answer"
    return answer
