"""The adapter of dialect ``datafono``: bank-style POS terminals, ISO 8583:1987. Source: docs/wire/datafono.md."""

from collections.abc import Sequence
from datetime import datetime

from acquirers import datafono_answers as answers
from acquirers.calls import Call
from acquirers.datafono_requests import read_call
from acquirers.dialect import Unreadable
from messages.codec import DATAFONO, Codec
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MacAbsent, Sealed, split_mac, with_placeholder
from vending.order import InquiryAnswer, ReservedSale
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret


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

    def decline_reversal(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """The sale stands, and here are its tokens."""
        more = answers.sale_fields(message, sale, tokens)
        return _of_request(answers.answer(message, ResponseCode.SALE_STANDS, more))

    def encode(self, answer: IsoMessage) -> bytes:
        """Write without a MAC."""
        return self._codec.encode(answer)

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write with a MAC of zeros at the end."""
        return self._codec.encode(with_placeholder(answer))


def _of_request(answer: IsoMessage | None) -> IsoMessage:
    assert answer is not None, "a served request always has an answer"
    return answer
