"""What a network's message turned out to ask for. Use cases in the switch take these; they never look into a message themselves."""

from dataclasses import dataclass, field
from enum import Enum

from acquirers.session_key import KeyOffer
from messages.iso_message import IsoMessage
from vending.order import AdviceOrder, Inquiry, LastAnswerInquiry, ReversalOrder, SaleOrder
from vending.response_code import Refusal, ResponseCode
from vending.settlement import CutOverOrder, TotalsOrder


class NetworkRequest(Enum):
    """What an 0800 asks for."""

    SIGN_ON = "sign_on"
    SIGN_OFF = "sign_off"
    ECHO = "echo"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCall:
    """Sign-on, sign-off or echo; carries no MAC and moves no money."""

    message: IsoMessage
    request: NetworkRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryCall:
    """Who is behind a meter and what would a sum buy; ``terminal_id`` names the MAC key."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    inquiry: Inquiry


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleCall:
    """A recharge, or a payment without a token."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    order: SaleOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalCall:
    """Undo an earlier sale."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    order: ReversalOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceCall:
    """The customer has his token."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    order: AdviceOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerCall:
    """What became of the terminal's last sale, or of the one it names."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    inquiry: LastAnswerInquiry


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsCall:
    """Compare the totals of a settlement day."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    order: TotalsOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOverCall:
    """Close the network's settlement day; unlike other network management it carries a MAC."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    order: CutOverOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeyCall:
    """Change the network's session key; ``given`` is the key that it gives us, None: it asks for one. Carries a MAC."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    given: KeyOffer | None


RecordCall = SaleCall | ReversalCall | AdviceCall
"""What a batch may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record of a batch that cannot be done; ``message`` is as much of it as was understood, None: not even its MTI."""

    message: IsoMessage | None
    refusal: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """Requests that the terminal stored while it had no line, each with a key of its own; only the whole carries a MAC."""

    message: IsoMessage
    body: bytes
    terminal_id: str
    records: tuple[RecordCall | RefusedRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What became of one record: its code, and the answer that is stored for it (None: none is)."""

    message: IsoMessage | None
    code: ResponseCode
    answer: bytes | None = field(default=None, repr=False)


BusinessCall = (
    InquiryCall | SaleCall | ReversalCall | AdviceCall | LastAnswerCall | TotalsCall | CutOverCall | BatchCall
)
"""The calls for the books."""

MoneyCall = BusinessCall | SessionKeyCall
"""The calls that must carry a MAC."""

Call = NetworkCall | MoneyCall
