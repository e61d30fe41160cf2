"""The life of a sale, as one table. Nothing else decides what may follow what.

Being sold, being confirmed by the terminal, being delivered to the meter and being parked are lifecycles that run beside each other: a
token can be paid and not delivered, or delivered and never confirmed, so they never share a status.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar


class SaleState(Enum):
    """Where the money and the token of a sale stand."""

    RECEIVED = "received"
    """Admitted and its MAC verified; nothing is taken."""
    DECLINED = "declined"
    """Refused before anything was taken; its answer is kept."""
    RESERVED = "reserved"
    """Durable: money, token identifiers and the meter are set aside. A sale of unknown outcome is here."""
    MINTED = "minted"
    """The token exists and is known to this process only; it is not durable here."""
    POSTED = "posted"
    """Durable: postings, token and the answer. Only now may the answer leave."""
    VOID = "void"
    """Given back; no token left or can leave."""


class ConfirmationState(Enum):
    """Whether the terminal said that the customer has his token."""

    AWAITED = "awaited"
    CONFIRMED = "confirmed"


class DeliveryState(Enum):
    """Whether the token reached the meter over the network."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"


class ParkingState(Enum):
    """Where the token of a reversed sale waits, where the network's policy is to park it."""

    WITH_CUSTOMER = "with customer"
    """Handed out with its own sale; most tokens stay here for ever."""
    PARKED = "parked"
    """The money went back; the token waits on its meter."""
    PROMISED = "promised"
    """Bound to a later sale on the meter that is reserved."""
    CLAIMED = "claimed"
    """Paid for and handed out by that later sale."""


class SaleEvent(Enum):
    """What can happen to a sale."""

    DECLINE = "decline"
    RESERVE = "reserve"
    TOKENS_MINTED = "tokens minted"
    OUTCOME_UNKNOWN = "outcome unknown"
    MODULE_REFUSED = "module refused"
    REVERSED = "reversed"
    PROCESS_LOST = "process lost"
    POST = "post"
    ADVICE = "advice"
    METER_ACCEPTED = "meter accepted"
    METER_REJECTED = "meter rejected"
    METER_SILENT = "meter silent"
    PARK = "park"
    CLAIM_RESERVED = "claim reserved"
    CLAIM_POSTED = "claim posted"
    CLAIM_VOID = "claim void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One row of the table; ``why`` is for the reader."""

    before: SaleState | ConfirmationState | DeliveryState | ParkingState
    event: SaleEvent
    after: SaleState | ConfirmationState | DeliveryState | ParkingState
    why: str


class TransitionNotAllowed(Exception):
    """The table has no such row; always a bug of the caller, never an answer to a customer."""


def _row(
    before: SaleState | ConfirmationState | DeliveryState | ParkingState,
    event: SaleEvent,
    after: SaleState | ConfirmationState | DeliveryState | ParkingState,
    why: str,
) -> Transition:
    return Transition(before=before, event=event, after=after, why=why)


TABLE: tuple[Transition, ...] = (
    _row(SaleState.RECEIVED, SaleEvent.DECLINE, SaleState.DECLINED, "a check or the quote refused it"),
    _row(SaleState.RECEIVED, SaleEvent.RESERVE, SaleState.RESERVED, "commit 1"),
    _row(SaleState.RESERVED, SaleEvent.TOKENS_MINTED, SaleState.MINTED, "the security module answered"),
    _row(SaleState.RESERVED, SaleEvent.OUTCOME_UNKNOWN, SaleState.RESERVED, "asked again by the same id until known"),
    _row(SaleState.RESERVED, SaleEvent.PROCESS_LOST, SaleState.RESERVED, "found and finished after the restart"),
    _row(SaleState.RESERVED, SaleEvent.MODULE_REFUSED, SaleState.VOID, "no token exists or will under this id"),
    _row(SaleState.RESERVED, SaleEvent.POST, SaleState.POSTED, "commit 2 of a payment, which has no token"),
    _row(SaleState.MINTED, SaleEvent.POST, SaleState.POSTED, "commit 2"),
    _row(SaleState.MINTED, SaleEvent.PROCESS_LOST, SaleState.RESERVED, "asking again gives the same digits"),
    _row(SaleState.POSTED, SaleEvent.REVERSED, SaleState.POSTED, "the token exists: it stands, or is parked"),
    _row(ConfirmationState.AWAITED, SaleEvent.ADVICE, ConfirmationState.CONFIRMED, "the terminal printed it"),
    _row(ConfirmationState.CONFIRMED, SaleEvent.ADVICE, ConfirmationState.CONFIRMED, "a repeated advice"),
    _row(DeliveryState.QUEUED, SaleEvent.METER_ACCEPTED, DeliveryState.DELIVERED, "units credited"),
    _row(DeliveryState.QUEUED, SaleEvent.METER_REJECTED, DeliveryState.REJECTED, "the customer still has the digits"),
    _row(DeliveryState.QUEUED, SaleEvent.METER_SILENT, DeliveryState.UNREACHABLE, "the deadline passed"),
    _row(DeliveryState.UNREACHABLE, SaleEvent.METER_ACCEPTED, DeliveryState.DELIVERED, "a late answer, or keyed in"),
    _row(DeliveryState.DELIVERED, SaleEvent.METER_ACCEPTED, DeliveryState.DELIVERED, "delivering twice is harmless"),
    _row(ParkingState.WITH_CUSTOMER, SaleEvent.PARK, ParkingState.PARKED, "a reversal, within the caps"),
    _row(ParkingState.PARKED, SaleEvent.PARK, ParkingState.PARKED, "another reversal; no money moves again"),
    _row(
        ParkingState.PARKED, SaleEvent.CLAIM_RESERVED, ParkingState.PROMISED, "commit 1 of a recharge that pays for it"
    ),
    _row(ParkingState.PROMISED, SaleEvent.PARK, ParkingState.PROMISED, "another reversal; no money moves again"),
    _row(ParkingState.PROMISED, SaleEvent.CLAIM_VOID, ParkingState.PARKED, "that recharge was voided"),
    _row(ParkingState.PROMISED, SaleEvent.CLAIM_POSTED, ParkingState.CLAIMED, "commit 2 of that recharge"),
    _row(ParkingState.CLAIMED, SaleEvent.PARK, ParkingState.CLAIMED, "another reversal; no money moves again"),
)

_NEXT = {(row.before, row.event): row.after for row in TABLE}
if len(_NEXT) != len(TABLE):
    raise AssertionError("two rows of the table begin alike")

State = TypeVar("State", SaleState, ConfirmationState, DeliveryState, ParkingState)


def advance(state: State, event: SaleEvent) -> State:
    """Return the state that follows *state* when *event* happens.

    >>> advance(SaleState.MINTED, SaleEvent.POST)
    <SaleState.POSTED: 'posted'>

    Raises:
        TransitionNotAllowed: the table has no such row.
    """
    after = _NEXT.get((state, event))
    if after is None:
        raise TransitionNotAllowed(f"{type(state).__name__} {state.value}: {event.value}")
    if not isinstance(after, type(state)):
        raise AssertionError("a row of the table crosses from one lifecycle to another")
    return after


def render_markdown() -> str:
    """Return the table as Markdown, one table for each lifecycle, in the order of the code."""
    lines: list[str] = []
    for lifecycle, title in (
        (SaleState, "Sale"),
        (ConfirmationState, "Confirmation"),
        (DeliveryState, "Delivery"),
        (ParkingState, "Parking"),
    ):
        lines += [f"### {title}", "", "| state | event | next state | why |", "|---|---|---|---|"]
        lines += [
            f"| {row.before.value} | {row.event.value} | {row.after.value} | {row.why} |"
            for row in TABLE
            if isinstance(row.before, lifecycle)
        ]
        lines.append("")
    return "\n".join(lines)
