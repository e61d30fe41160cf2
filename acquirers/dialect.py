"""What every network's adapter offers the switch: messages in, calls out; outcomes in, answers out. Adapters are pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from acquirers.calls import Call, NetworkRequest, RecordResult
from acquirers.host_link import HostAnswer
from acquirers.notices import NoticeAnswer
from acquirers.session_key import KeyOffer
from messages.iso_message import IsoMessage
from messages.mac import MacForm, Sealed
from vending.notice import Notice
from vending.order import InquiryAnswer, LastAnswerFound, RequestKey, ReservedSale
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.settlement import Compared, TotalsOrder


class Unreadable(Exception):
    """A message that could not be decoded, or that asks for something which this port does not serve.

    Attributes:
        message: as much of it as was understood, so that the answer can carry the caller's own fields; None: not even the MTI.
        refusal: what to answer.
    """

    def __init__(self, message: IsoMessage | None, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.message = message
        self.refusal = refusal


class Dialect(Protocol):
    """One kind of network."""

    @property
    def mac_form(self) -> MacForm:
        """How a MAC stands at the end of its messages."""

    def read(self, body: bytes, *, acquirer_id: str, now: datetime) -> Call:
        """Decode and map one message (without framing and TPDU). Raises `Unreadable`."""

    def sealed(self, message: IsoMessage, body: bytes) -> Sealed:
        """Return what the MAC covers and the MAC. Raises `Refusal` (``MAC_MISMATCH``) when there is none."""

    def decline(self, message: IsoMessage | None, code: ResponseCode) -> IsoMessage | None:
        """Make the answer that refuses *message*; None: this must not be answered (a rejection of ours came back)."""

    def acknowledge(self, message: IsoMessage) -> IsoMessage:
        """Make the plain approval of a network management message or of a reversal that had nothing to undo."""

    def approve_sale(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """Make the answer that hands the tokens out."""

    def answer_inquiry(self, message: IsoMessage, answer: InquiryAnswer) -> IsoMessage:
        """Make the answer with the account and the trial quote."""

    def answer_last(self, message: IsoMessage, found: LastAnswerFound) -> IsoMessage:
        """Make the answer that tells what became of an earlier sale, with its tokens where it was sold."""

    def answer_totals(self, message: IsoMessage, order: TotalsOrder, compared: Compared) -> IsoMessage:
        """Make the answer with our totals of a settlement day."""

    def acknowledge_cut_over(self, message: IsoMessage) -> IsoMessage:
        """Make the answer that says the day is closed to new sales."""

    def answer_session_key(self, message: IsoMessage, offer: KeyOffer) -> IsoMessage:
        """Make the answer that hands out a session key, or says which one was taken."""

    def answer_batch(self, message: IsoMessage, code: ResponseCode, results: Sequence[RecordResult]) -> IsoMessage:
        """Make the answer to a batch upload: *code* for the whole, and what became of each record, in their order."""

    def decline_reversal(self, message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> IsoMessage:
        """Make the answer that says the sale stands, with its tokens."""

    def sealed_answer(self, answer: bytes) -> Sealed | None:
        """Split an encoded answer of ours; None: it has no MAC."""

    def network_request(self, request: NetworkRequest, *, stan: str, now: datetime) -> IsoMessage:
        """Make what we ask a network's host on a link that we opened; *stan* is 6 digits."""

    def host_answer(self, body: bytes) -> HostAnswer | None:
        """Read what came on such a link as an answer; None: it is none."""

    def notice(self, notice: Notice) -> IsoMessage:
        """Make what we tell a network of our own accord, without its MAC."""

    def notice_answer(self, body: bytes) -> NoticeAnswer | None:
        """Read what came as an answer to that; None: it is none."""

    def answered_key(self, answer: bytes, *, acquirer_id: str, now: datetime) -> RequestKey | None:
        """Return which request an encoded answer of ours belongs to; None unless it is signed and the request is in the journal."""

    def encode(self, answer: IsoMessage) -> bytes:
        """Write an answer without a MAC."""

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write an answer with a MAC of zeros at its end, in the form of `mac_form`."""
