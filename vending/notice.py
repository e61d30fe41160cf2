"""Notices: what we tell networks of our own accord, in order, until they say that they have it. Their life is `vending.notice_life`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from vending.money import Centavos, Tenths
from vending.notice_life import NoticeEvent, NoticeState
from vending.order import OrderKind, RequestKey
from vending.response_code import ResponseCode
from vending.service import Service
from vending.settlement import Sum


class NoticeKind(Enum):
    """What a network can be told of; the value is the word in its configuration and in the ledger."""

    SETTLEMENT = "settlement"
    """A settlement day is closed and its file is in the network's directory."""
    OUTCOME = "outcome"
    """What became of a sale whose caller was told that it is in progress, or whose answer did not leave."""
    ADJUSTMENT = "adjustment"
    """Two people of the utility gave something back, or units, for a sale of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementFacts:
    """A closed day and its file; ``terminal_id`` speaks for the whole network."""

    terminal_id: str
    day: date
    file_id: str
    sha256: str
    sales: Sum
    reversals: Sum
    commission_centavos: Centavos
    tax_centavos: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleFacts:
    """A sale as its network knows it. A token is not among the facts: the network asks for it by a repeat or a last-answer inquiry."""

    key: RequestKey
    sale_id: int
    kind: OrderKind
    service: Service
    meter_number: str
    paid_centavos: Centavos
    rrn: str

    @property
    def terminal_id(self) -> str:
        """Whose sale it is."""
        return self.key.terminal_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFacts:
    """What became of a sale: ``APPROVED`` or the code by which it was given back."""

    sale: SaleFacts
    code: ResponseCode

    @property
    def terminal_id(self) -> str:
        """Whose sale it is."""
        return self.sale.terminal_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentFacts:
    """What two people gave for a sale: money or units, by the kind of the adjustment."""

    sale: SaleFacts
    adjustment_id: int
    adjustment_kind: str
    amount_centavos: Centavos
    units_tenths: Tenths

    @property
    def terminal_id(self) -> str:
        """Whose sale it is."""
        return self.sale.terminal_id


Facts = SettlementFacts | OutcomeFacts | AdjustmentFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice that is about to be sent.

    Attributes:
        stan: and ``transmitted_at``: given at the first try and the same in every further one, so that a network knows a repeat.
        claims: how often it was claimed; whoever reports on a claim that is not the last changes nothing by it.
        tries: how often it may have left before.
        failures: the same since a person last had it sent again: by it the wait grows.
    """

    notice_id: int
    acquirer_id: str
    facts: Facts
    stan: str
    transmitted_at: datetime
    claims: int
    tries: int
    failures: int = 0

    @property
    def is_repeat(self) -> bool:
        """Whether the network may have it already."""
        return self.tries > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One network's lane as its configuration has it.

    Attributes:
        is_sendable: whether this process could send on it now.
        age_seconds_max: and ``tries_max``: beyond either a notice becomes a dead letter.
        lease_seconds: for how long a claim keeps other processes off the lane.
    """

    acquirer_id: str
    is_sendable: bool
    age_seconds_max: float
    tries_max: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRound:
    """Look after the lanes: make dead letters, claim the head of each lane that can be sent on, and say how each stands."""

    at: datetime
    holder: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """How a lane stands: open notices, when the oldest of them came, dead letters."""

    acquirer_id: str
    depth: int
    oldest_at: datetime | None
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A notice that has just become one; ``reason`` is ``too_old``, ``too_many_tries`` or ``refused``."""

    acquirer_id: str
    notice_id: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDone:
    """The ledger's answer to a `LaneRound`."""

    claimed: tuple[Notice, ...]
    expired: tuple[DeadLetter, ...]
    lanes: tuple[LaneStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryEnded:
    """What came of one try; ``code`` is data element 39 of the answer, ``due_at`` when it may be tried again at the earliest."""

    notice_id: int
    acquirer_id: str
    claims: int
    holder: str
    event: NoticeEvent
    code: str | None
    at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LateAnswer:
    """An answer that no try waits for any more, by what every try of its notice carried."""

    acquirer_id: str
    stan: str
    transmitted_at: datetime
    event: NoticeEvent
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeMoved:
    """What a `TryEnded` or a `LateAnswer` did; ``state`` is None where it changed nothing, ``notice_id`` where nothing is known of it."""

    notice_id: int | None
    state: NoticeState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TellOutcome:
    """Have a network told what became of one sale: its caller got 09 while it was being posted."""

    key: RequestKey
    at: datetime


NoticeItem = LaneRound | TryEnded | LateAnswer | TellOutcome


def facts_as_json(facts: Facts) -> dict[str, object]:
    """Write what the ledger keeps of a notice; only what is not made by SQL comes through here."""
    assert isinstance(facts, SettlementFacts), "facts of a sale are read from its rows"
    return {
        "terminal": facts.terminal_id,
        "day": facts.day.isoformat(),
        "file": facts.file_id,
        "sha256": facts.sha256,
        "sales": [facts.sales.count, facts.sales.centavos],
        "reversals": [facts.reversals.count, facts.reversals.centavos],
        "commission": facts.commission_centavos,
        "tax": facts.tax_centavos,
    }


def facts_of(kind: NoticeKind, acquirer_id: str, stored: Mapping[str, object]) -> Facts:
    """Read them back."""
    values: Mapping[str, str] = {name: str(value) for name, value in stored.items()}
    if kind is NoticeKind.SETTLEMENT:
        return SettlementFacts(
            terminal_id=values["terminal"],
            day=date.fromisoformat(values["day"]),
            file_id=values["file"],
            sha256=values["sha256"],
            sales=_sum_of(stored["sales"]),
            reversals=_sum_of(stored["reversals"]),
            commission_centavos=Centavos(int(values["commission"])),
            tax_centavos=Centavos(int(values["tax"])),
        )
    sale = SaleFacts(
        key=RequestKey(
            acquirer_id=acquirer_id,
            terminal_id=values["terminal"],
            transmitted_at=datetime.fromisoformat(values["transmitted_at"]),
            stan=values["stan"],
            message_class=values["message_class"],
        ),
        sale_id=int(values["sale"]),
        kind=OrderKind(values["sale_kind"]),
        service=Service(int(values["service"])),
        meter_number=values["meter"],
        paid_centavos=Centavos(int(values["paid"])),
        rrn=values["rrn"],
    )
    if kind is NoticeKind.OUTCOME:
        return OutcomeFacts(sale=sale, code=ResponseCode(values["code"]))
    return AdjustmentFacts(
        sale=sale,
        adjustment_id=int(values["adjustment"]),
        adjustment_kind=values["adjustment_kind"],
        amount_centavos=Centavos(int(values["amount"])),
        units_tenths=Tenths(int(values["units"])),
    )


def _sum_of(stored: object) -> Sum:
    assert isinstance(stored, list)
    return Sum(int(stored[0]), int(stored[1]))
