"""What a network's message turned out to ask for. Use cases in the switch take these; they never look into a message themselves."""

from dataclasses import dataclass
from enum import Enum

from messages.iso_message import IsoMessage
from vending.order import Inquiry, ReversalOrder, SaleOrder


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


MoneyCall = InquiryCall | SaleCall | ReversalCall
"""The calls that must carry a MAC."""

Call = NetworkCall | MoneyCall
