"""A switch process that sends notices over a link in memory, and a ledger beside it that goes by the table."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from acquirers.registry import DIALECTS
from config.acquirer_notices import NoticesSection
from ledger.errors import LedgerUnavailable
from messages.codec import DATAFONO
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from switch.notice_desk import NoticeDesk
from switch.notice_lanes import NoticeLanes
from switch.seal import Seal
from tests.switch.sale_bench import TPDU, FakeModule, mac_key, mac_of, signed
from tests.switch.test_network_links import Pipe, Scene
from vending.money import Centavos
from vending.notice import (
    DeadLetter,
    LaneRound,
    LaneStatus,
    LateAnswer,
    Notice,
    NoticeItem,
    NoticeMoved,
    RoundDone,
    SettlementFacts,
    TellOutcome,
    TryEnded,
)
from vending.notice_life import OPEN, NoticeEvent, NoticeState, next_state
from vending.settlement import Sum

NOON = datetime(2026, 11, 23, 17, tzinfo=UTC)
TIMEOUT_SECONDS = 15.0
FACTS = SettlementFacts(
    terminal_id="TERM0001", day=date(2026, 11, 22), file_id="banco-20261122-v1", sha256="ab" * 32,
    sales=Sum(3, 6_000_000), reversals=Sum(), commission_centavos=Centavos(90_000), tax_centavos=Centavos(0),
)  # fmt: skip


@dataclass(slots=True)
class Row:
    """A notice as this ledger keeps it."""

    notice: Notice
    due_at: datetime
    state: NoticeState = NoticeState.WAITING


@dataclass(slots=True)
class Ledger:
    """The step of the ledger in memory: lanes with leases, rows that move by the table only."""

    now: Any
    rows: list[Row] = field(default_factory=list)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    told: list[NoticeItem] = field(default_factory=list)
    is_away: bool = False

    def submit(self, item: NoticeItem, *, deadline: float = inf) -> Deferred[Any]:
        """Do it at once, or fail."""
        if self.is_away:
            return fail(LedgerUnavailable("away"))
        if not isinstance(item, LaneRound):
            self.told.append(item)
        match item:
            case LaneRound():
                return succeed(self._look(item))
            case TryEnded():
                return succeed(self._end(item))
            case LateAnswer():
                names = (item.stan, item.transmitted_at)
                found = [row for row in self.rows if (row.notice.stan, row.notice.transmitted_at) == names]
                return succeed(self._move(found[0], item.event) if found else NoticeMoved(notice_id=None, state=None))
            case TellOutcome():
                return succeed(None)

    def _look(self, order: LaneRound) -> RoundDone:
        claimed, expired = [], []
        for lane in order.lanes:
            _, until = self.leases.get(lane.acquirer_id, ("", NOON))
            mine = [row for row in self.rows if row.notice.acquirer_id == lane.acquirer_id and row.state in OPEN]
            if until > self.now() or not mine:
                continue
            if mine[0].notice.tries >= lane.tries_max:
                mine[0].state = NoticeState.DEAD
                expired.append(
                    DeadLetter(
                        acquirer_id=lane.acquirer_id, notice_id=mine[0].notice.notice_id, reason="too_many_tries"
                    )
                )
                continue
            if lane.is_sendable and mine[0].due_at <= order.at:
                self._move(mine[0], NoticeEvent.CLAIMED)
                mine[0].notice = replace(mine[0].notice, claims=mine[0].notice.claims + 1)
                claimed.append(mine[0].notice)
                mine[0].notice = replace(mine[0].notice, tries=claimed[-1].tries + 1, failures=claimed[-1].tries + 1)
                self.leases[lane.acquirer_id] = order.holder, self.now() + timedelta(seconds=lane.lease_seconds)
        depth = sum(row.state in OPEN for row in self.rows)
        dead = sum(row.state is NoticeState.DEAD for row in self.rows)
        status = LaneStatus(acquirer_id="banco", depth=depth, oldest_at=NOON if depth else None, dead=dead)
        return RoundDone(claimed=tuple(claimed), expired=tuple(expired), lanes=(status,) if depth or dead else ())

    def _end(self, ended: TryEnded) -> NoticeMoved:
        row = self.rows[ended.notice_id - 1]
        if row.notice.claims != ended.claims:
            return NoticeMoved(notice_id=ended.notice_id, state=None)
        self.leases.pop(ended.acquirer_id)
        row.due_at = ended.due_at
        if ended.event is NoticeEvent.NOT_SENT:
            row.notice = replace(row.notice, tries=row.notice.tries - 1)
        return self._move(row, ended.event)

    @staticmethod
    def _move(row: Row, event: NoticeEvent) -> NoticeMoved:
        after = next_state(row.state, event)
        row.state = after or row.state
        return NoticeMoved(notice_id=row.notice.notice_id, state=after)


class Process(Scene):
    """A switch process with one link to the host of ``banco``, which gets notices."""

    def __init__(self, ledger: Ledger | None = None, holder: str = "one", **notices: Any) -> None:
        super().__init__(echo_interval_seconds=250)
        patient = {
            "backoff_min_seconds": 4,
            "backoff_max_seconds": 64,
            "tries_max": 5,
            "answer_timeout_seconds": TIMEOUT_SECONDS,
        }
        self.ledger = ledger or Ledger(self.now)
        self.module = FakeModule([])
        self.dialect = DIALECTS["datafono"]()
        self.seal = Seal(self.module, self.dialect, register_id=5, scheme="X9.19", is_diversified=True)
        section = self.links.section.model_copy(
            update={"notices": NoticesSection.model_validate({**patient, **notices})}
        )
        self.desk = NoticeDesk(
            section, Speaking(self), ways=self.links.ways, take_late=lambda answer: self.lanes.take_late(answer), clock=self.clock,
            now=self.now,
        )  # fmt: skip
        self.links.notices = self.desk
        self.links.adopt(section, self._serve, None)
        self.lanes = NoticeLanes(
            step=self.ledger, desks=lambda: {"banco": self.desk}, holder=holder, interval_seconds=2.0, random=lambda: 1.0,
            metrics=self.metrics, reactor=self.clock, now=self.now,
        )  # fmt: skip

    def now(self) -> datetime:
        """The time of day, which goes with the clock."""
        return NOON + timedelta(seconds=self.clock.seconds())

    def add(self, count: int = 1) -> None:
        """Notices that wait."""
        for _ in range(count):
            number = len(self.ledger.rows) + 1
            notice = Notice(
                notice_id=number, acquirer_id="banco", facts=FACTS, stan=f"{number:06}", transmitted_at=NOON, claims=0, tries=0
            )  # fmt: skip
            self.ledger.rows.append(Row(notice=notice, due_at=NOON))

    def begin(self) -> Pipe:
        """Bring the link up, then look."""
        pipe = self.up()
        self.lanes.start()
        return pipe

    def reply(self, pipe: Pipe, notice: IsoMessage, code: str = "00", *, key: str = "TERM0001") -> None:
        """The host answers with a MAC."""
        fields = {number: text for number, text in notice.fields.items() if number in (7, 11, 41)}
        answer = IsoMessage(mti=notice.answer_mti, fields={**fields, 39: code})
        body = signed(answer)
        if key != "TERM0001":
            body = body[:-8] + mac_of(mac_key(key), body[:-8])
        pipe.protocol.dataReceived(write_frame(FrameStyle.BINARY_2, TPDU.octets + body))

    @property
    def states(self) -> Any:
        """Where the notices stand."""
        return [row.state for row in self.ledger.rows]

    @property
    def link_states(self) -> Any:
        """Where the links stand."""
        return [link.state for link in self.links.links]

    def up(self) -> Pipe:
        """Bring one link up."""
        self.links.begin()
        (question,) = self.pipes[-1].asked()
        self.pipes[-1].answer(question, "00")
        return self.pipes[-1]

    def tries(self, outcome: str, mti: str = "0520", code: str = "") -> float:
        """How many tries came to it."""
        return self.counted("saf_tries_total", mti=mti, outcome=outcome, code=code)


@dataclass
class Speaking:
    """What an exchange is to a desk."""

    process: Process

    def __post_init__(self) -> None:
        self.dialect, self.seal = self.process.dialect, self.process.seal
        self.metrics = self.process.metrics.acquirer("banco")


def seen(pipe: Pipe) -> list[tuple[str, str]]:
    """MTI and STAN of each notice that left since the last look; every MAC is right."""
    return [(message.mti, message.text(11)) for message in notices(pipe)]


def notices(pipe: Pipe) -> list[IsoMessage]:
    """The same whole."""
    found = [message for message in pipe.asked() if message.mti[1] == "5"]
    for message in found:
        encoded = DATAFONO.encode(message)
        assert message.octets(128) == mac_of(mac_key(), encoded[:-8])
    return found
