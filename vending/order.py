"""What is asked of the vending core and what came of it: the frozen objects that travel between the packages.

An order is what a network's adapter made of a message. A reservation is what the ledger answered. Nothing here knows ISO 8583,
SQL or a socket.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from vending.key_change import KeyChange
from vending.money import Centavos, Tenths
from vending.parked import ParkedSale, Parking, ParkingLimits
from vending.quote import Quote
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import AltitudeBand, Service, UserClass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a request one request, for ever.

    ``transmitted_at`` is data element 7 with its year found; ``message_class`` is the MTI without its repeat and origin digit
    ("0200" for 0200 and 0201), because a reversal may carry the STAN and time of its original.
    """

    acquirer_id: str
    terminal_id: str
    transmitted_at: datetime
    stan: str
    message_class: str


class OrderKind(Enum):
    """What the customer wants."""

    RECHARGE = "recharge"
    """Money for units: a token."""
    PAYMENT = "payment"
    """Money for obligations only: no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleOrder:
    """One recharge or payment, as admitted.

    Attributes:
        key: see `RequestKey`.
        digest: SHA-256 over the business fields, to tell a repeat from another request under the same key.
        kind: recharge or payment.
        service: what the request says it buys; None accepts whatever the meter measures.
        meter_number: digits as typed, 11 or 13 of them.
        paid_centavos: the money handed over.
        voluntary_obligation: id of the obligation for a voluntary payment, or of the one to pay; None: oldest first.
        voluntary_centavos: how much of ``paid_centavos`` goes there (recharge only).
        rrn: retrieval reference number, the caller's own or ours.
        request: the message as received, without framing and TPDU: from it the answer can be built again after a crash.
        received_at: our clock, aware, UTC.
        refused: why its network may not make this sale; a new request is declined with it, a repeat finds its first answer.
        services: what its network may sell; None: any.
    """

    key: RequestKey
    digest: bytes
    kind: OrderKind
    service: Service | None
    meter_number: str
    paid_centavos: Centavos
    voluntary_obligation: str | None = None
    voluntary_centavos: Centavos = Centavos(0)
    rrn: str
    request: bytes
    received_at: datetime
    refused: ResponseCode | None = None
    services: frozenset[Service] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAccount:
    """The meter, its key reference and the account behind it, as the ticket and the token need them."""

    meter_id: int
    meter_number: str
    pan: str
    register_id: int
    tariff_index: int
    encryption_algorithm: int
    service: Service
    user_class: UserClass
    stratum: int
    altitude: AltitudeBand
    account_number: str
    holder: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """One token to be minted: its identifier (minutes since the register's base date) and its units."""

    tid: int
    units_tenths: Tenths


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedSale:
    """A sale that is reserved: money and token identifiers are set aside and nobody else can take them.

    ``request`` and ``key`` come back so that a sale found after a crash can be answered as if it had just arrived.
    ``local_date`` decides month and tariff; ``settlement_date`` is the day on whose totals the sale stands, fixed here for ever.
    ``claimed`` are the parked sales that it hands out first: their money is part of ``paid_centavos``, and the quote is of the rest.
    ``key_change`` is what its meter takes before its own tokens, which are minted under the key of ``meter``, the new one.
    ``available_centavos`` is what its network might still sell when this sale had been taken; of a sale that is read back, at that moment.
    """

    sale_id: int
    key: RequestKey
    request: bytes
    kind: OrderKind
    rrn: str
    paid_centavos: Centavos
    meter: MeterAccount
    quote: Quote
    token_orders: Sequence[TokenOrder]
    reserved_at: datetime
    local_date: date
    settlement_date: date
    claimed: Sequence[ParkedSale] = ()
    key_change: KeyChange | None = None
    # A fact of the moment and not of the sale: the same sale read back is equal with another.
    available_centavos: Centavos | None = field(default=None, compare=False)

    @property
    def claimed_centavos(self) -> Centavos:
        """What the parked sales cost that this one hands out."""
        return Centavos(sum(sale.paid_centavos for sale in self.claimed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The ledger's answer: new, reserved, mint it."""

    sale: ReservedSale


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """The ledger's answer: refused, written in the journal, nothing taken; the stored answer is still to be made.

    ``available_centavos`` is what the network may still sell; None where it may not ask, or the request is told again.
    """

    code: ResponseCode
    private_detail: str = ""
    available_centavos: Centavos | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The ledger's answer: seen before and answered; ``answer`` is what was sent then, byte for byte."""

    answer: bytes = field(repr=False)
    code: ResponseCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """The ledger's answer: seen before, reserved, outcome not known yet."""

    sale_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The ledger's answer: another sale holds the meter; nothing was written, ask again or refuse."""

    meter_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """The ledger's answer: the key is known with other content; refused, and the journal keeps the first."""


ReserveResult = Reserved | Declined | Repeated | Unresolved | Busy | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class SalePost:
    """A sale whose tokens exist: post it together with its answer (which holds the PINs and is masked).

    ``is_told``: its caller does not wait any more, and its network wants to be told what became of it.
    """

    sale: ReservedSale
    tokens: Sequence[Secret[str]]
    answer: bytes = field(repr=False)
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleVoid:
    """A sale that the security module refused: give everything back and keep its answer. ``is_told`` as in `SalePost`."""

    sale: ReservedSale
    code: ResponseCode
    answer: bytes = field(repr=False)
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """The answer of a request that moved no money (a decline, a reversal), to be stored before it leaves."""

    key: RequestKey
    code: ResponseCode
    answer: bytes = field(repr=False)


Posting = SalePost | SaleVoid | AnswerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What is durable now. ``answer`` is what must be sent: ours, or the one that was stored first."""

    answer: bytes = field(repr=False)
    code: ResponseCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Who is behind this meter, what does he owe, and what would ``trial_paid_centavos`` buy (None: no trial)."""

    acquirer_id: str
    terminal_id: str
    meter_number: str
    service: Service | None
    trial_paid_centavos: Centavos | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryAnswer:
    """The account, its debts and limits, and the trial quote. ``code`` is the trial's refusal or approved.

    ``available_centavos`` is what the network may still sell; None where it may not ask.
    """

    code: ResponseCode
    meter: MeterAccount | None = None
    owed_centavos: Centavos = Centavos(0)
    overdue_centavos: Centavos = Centavos(0)
    minimum_paid_centavos: Centavos = Centavos(0)
    maximum_paid_centavos: Centavos = Centavos(0)
    month_to_date_tenths: Tenths = Tenths(0)
    trial: Quote | None = None
    available_centavos: Centavos | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalOrder:
    """A 0400 or 0420: undo the request whose key is ``original`` (data element 90, or the reversal's own fields).

    ``parking`` says how much may be parked; None: the network's policy is that a sale stands.
    """

    key: RequestKey
    digest: bytes
    original: RequestKey
    paid_centavos: Centavos | None
    rrn: str
    request: bytes
    received_at: datetime
    parking: ParkingLimits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalFound:
    """What the ledger knows of a reversal's original.

    ``sale`` is None when the original was declined or voided. ``is_posted`` tells a token that exists from one that may.
    ``tokens`` are there only when posted. ``parking`` says whether they are kept and the money is back. ``available_centavos`` is what
    the network may still sell behind this reversal.
    """

    code: ResponseCode | None
    sale: ReservedSale | None
    is_posted: bool
    tokens: Sequence[Secret[str]]
    original_request: bytes
    parking: Parking = Parking.NOT_ASKED
    available_centavos: Centavos | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeliveredAnswer:
    """An answer that was ready for the request with this key and did not leave; ``reason`` is a word of the switch's.

    ``is_told``: its network wants to be told what became of the sale.
    """

    key: RequestKey
    reason: str
    noticed_at: datetime
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedLook:
    """A look for sales that are reserved and have no outcome: one by its id, or the oldest ones.

    Attributes:
        sale_id: the one; None: all that were reserved before a moment.
        reserved_before: the moment, aware.
        sales_max: so many of them at most, the oldest first.
    """

    sale_id: int | None = None
    reserved_before: datetime | None = None
    sales_max: int = 1


ReversalResult = OriginalFound | Declined | Repeated | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceOrder:
    """A 0220: the customer has what the request whose key is ``original`` sold (data element 90, or the advice's own fields)."""

    key: RequestKey
    digest: bytes
    original: RequestKey
    rrn: str
    request: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """The ledger's answer to an advice: journaled, and the sale confirmed if ``code`` approves; the stored answer is still to be made.

    ``available_centavos`` is what the network may still sell.
    """

    code: ResponseCode
    private_detail: str = ""
    available_centavos: Centavos | None = field(default=None, compare=False)


AdviceResult = Advised | Repeated | Unresolved | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerInquiry:
    """What became of this terminal's last sale, or of the request whose key is ``original``; it is always the terminal's own."""

    acquirer_id: str
    terminal_id: str
    original: RequestKey | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerFound:
    """What the ledger tells of a terminal's sale.

    ``code`` says whether it can tell: approved; `IN_PROGRESS` while the sale is open; `ORIGINAL_NOT_FOUND`; or why this terminal is
    told nothing. The rest is there when it is approved: ``original_code`` is what the original was answered, and where it was sold
    ``sale`` and ``tokens`` are handed out once more, for the ``reprint_count``-th time, which is durable. ``available_centavos`` is what
    the network may still sell now; None where the terminal may not ask.
    """

    code: ResponseCode
    original: RequestKey | None = None
    original_code: ResponseCode | None = None
    rrn: str = ""
    sale: ReservedSale | None = None
    tokens: Sequence[Secret[str]] = ()
    reprint_count: int = 0
    available_centavos: Centavos | None = field(default=None, compare=False)
