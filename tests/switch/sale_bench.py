"""One network's exchange in memory: real dialect and codec, a clock of the test's, and a ledger and a module that answer as planned."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from acquirers.response_codes import ISO_1987
from config.acquirer import AcquirerSection, MacSection
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import splice_mac, split_mac, with_placeholder
from messages.tpdu import Tpdu, split_tpdu
from switch.in_flight import InFlight
from switch.listener import ConnectionContext
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.network import Shared, exchange_of
from switch.steps import Books
from tests.switch.fakes import HANG as HANG
from tests.switch.fakes import Fake as Fake
from tests.switch.fakes import Hang as Hang
from vending.deductions import Taken
from vending.engineering import KeyChangeRequest
from vending.money import Centavos, RateE4, Tenths
from vending.order import (
    AdviceOrder,
    AdviceResult,
    Advised,
    AnswerRecord,
    Conflict,
    Declined,
    Inquiry,
    InquiryAnswer,
    LastAnswerFound,
    LastAnswerInquiry,
    MeterAccount,
    OrderKind,
    Posted,
    Posting,
    Repeated,
    RequestKey,
    Reserved,
    ReservedSale,
    ReserveResult,
    ReversalOrder,
    ReversalResult,
    SaleOrder,
    TokenOrder,
    Unresolved,
    UnresolvedLook,
)
from vending.ports import MacKey, MacMismatch, MintRequest
from vending.quote import Quote, QuotedBlock
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import AltitudeBand, Service, UserClass
from vending.settlement import Compared, CutOver, CutOverOrder, DayTotals, OurTotals, agrees

NOW: Final = datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)
PIN: Final = "12345678901234567890"
TPDU: Final = Tpdu(destination="0003", source="0123")
METER_NUMBER: Final = "37000000007"
DEADLINE_SECONDS: Final = 12.0
BUSY_SECONDS_MAX: Final = 6.0
CODES: Final = {digits: code for code, digits in ISO_1987.items()}

METER: Final = MeterAccount(
    meter_id=7,
    meter_number=METER_NUMBER,
    pan="600727370000000074",
    register_id=3,
    tariff_index=1,
    encryption_algorithm=7,
    service=Service.ENERGY,
    user_class=UserClass.RESIDENTIAL,
    stratum=1,
    altitude=AltitudeBand.HIGH,
    account_number="0077000001",
    holder="MARÍA PEÑA",
    address="CL 5 # 3-20 SUR",
)
TAKEN: Final = Taken(
    id="mora-2026-03",
    kind="obligation",
    amount_centavos=Centavos(200_000),
    capital_centavos=Centavos(200_000),
    left_centavos=Centavos(5_800_000),
)
QUOTE: Final = Quote(
    paid_centavos=Centavos(2_000_000),
    carried_in_centavos=Centavos(0),
    units_tenths=Tenths(338),
    charged_centavos=Centavos(1_800_000),
    carried_out_centavos=Centavos(0),
    full_cost_centavos=Centavos(3_042_000),
    subsidy_centavos=Centavos(1_242_000),
    contribution_centavos=Centavos(0),
    voluntary=None,
    taken=(TAKEN,),
    blocks=(
        QuotedBlock(units_tenths=Tenths(230), rate_e4=RateE4(3_600_000), full_rate_e4=RateE4(9_000_000)),
        QuotedBlock(units_tenths=Tenths(108), rate_e4=RateE4(9_000_000), full_rate_e4=RateE4(9_000_000)),
    ),
    token_units_tenths=(Tenths(338),),
    month_to_date_tenths=Tenths(1838),
)
TOKEN_ORDER: Final = TokenOrder(tid=17_450_000, units_tenths=Tenths(338))


def identity(stan: str = "000005", time: str = "163030", terminal_id: str = "TERM0001") -> dict[int, str]:
    """Return the data elements that say which request this is; *time* is hhmmss in UTC."""
    return {7: f"1123{time}", 11: stan, 12: "113030", 13: "1123", 24: "003", 41: terminal_id, 42: "TIENDA LA ESQUI"}


def request(mti: str, fields: Mapping[int, str] | None = None, **who: str) -> IsoMessage:
    """Return a message with *fields* and an `identity`."""
    return IsoMessage(mti=mti, fields={**identity(**who), **(fields or {})})


def recharge(mti: str = "0200", *, meter: str = METER_NUMBER, paid: int = 2_000_000, **who: str) -> IsoMessage:
    """Return a request to recharge a meter."""
    return request(mti, {2: meter, 3: "500000", 4: f"{paid:012d}", 49: "170"}, **who)


def payment() -> IsoMessage:
    """Return a request to pay obligations without a token."""
    return request("0200", {2: METER_NUMBER, 3: "530000", 4: "000002000000", 49: "170"})


def inquiry() -> IsoMessage:
    """Return a request for the account behind a meter."""
    return request("0100", {2: METER_NUMBER, 3: "310000"})


def reversal(mti: str = "0400", *, stan: str = "000009") -> IsoMessage:
    """Return a request to undo the recharge with STAN 000005."""
    original = "0200" + "000005" + "1123163030" + "0" * 22
    return request(mti, {2: METER_NUMBER, 3: "500000", 4: "000002000000", 90: original}, stan=stan, time="163130")


def advice(mti: str = "0220", *, stan: str = "000020", **more: str) -> IsoMessage:
    """Return the word that the customer has what the recharge with STAN 000005 sold."""
    return request(mti, {90: "0200" + "000005" + "1123163030" + "0" * 22}, stan=stan, time="163040", **more)


def last_answer(*, original: str | None = None) -> IsoMessage:
    """Return the question for the terminal's last sale, or for the one that *original* (STAN and time) names."""
    named = {} if original is None else {90: "0200" + original + "0" * 22}
    return request("0100", {3: "380000", **named}, stan="000021", time="163200")


def network(code: str) -> IsoMessage:
    """Return a sign-on (001), sign-off (002) or echo (301)."""
    return request("0800", {70: code})


def reserved_sale(order: SaleOrder, sale_id: int = 1_000_122) -> ReservedSale:
    """Return the reservation of *order*; a payment has no tokens."""
    is_recharge = order.kind is OrderKind.RECHARGE
    return ReservedSale(
        sale_id=sale_id,
        key=order.key,
        request=order.request,
        kind=order.kind,
        rrn=order.rrn,
        paid_centavos=order.paid_centavos,
        meter=METER,
        quote=QUOTE if is_recharge else replace(QUOTE, units_tenths=Tenths(0), blocks=(), token_units_tenths=()),
        token_orders=(TOKEN_ORDER,) if is_recharge else (),
        reserved_at=NOW,
        local_date=date(2026, 11, 23),
        settlement_date=date(2026, 11, 23),
    )


class FakeLedger:
    """A journal in memory behind the four steps, with the three answers of the real one.

    Attributes:
        left_centavos: what the network may still sell, told with every sale; None: it is not known.
    """

    def __init__(self, events: list[str]) -> None:
        self.left_centavos: Centavos | None = None
        self.digests: dict[RequestKey, bytes] = {}
        self.sales: dict[RequestKey, ReservedSale] = {}
        self.answers: dict[RequestKey, Posted] = {}
        self.postings: list[Posting] = []
        self.reserve: Fake[SaleOrder, ReserveResult] = Fake("reserve", events, self._reserve)
        self.post: Fake[Posting, Posted] = Fake("post", events, self._post)
        self.inquire: Fake[Inquiry, InquiryAnswer] = Fake("inquire", events, self._inquire)
        self.find_original: Fake[ReversalOrder, ReversalResult] = Fake("find_original", events, self._find_original)
        self.advise: Fake[AdviceOrder, AdviceResult] = Fake("advise", events, self._advise)
        self.last_answer: Fake[LastAnswerInquiry, LastAnswerFound] = Fake("last_answer", events, self._last_answer)
        self.find_unresolved: Fake[UnresolvedLook, Sequence[ReservedSale]] = Fake(
            "find_unresolved", events, self._find_unresolved
        )
        self.settle: Fake[Any, Any] = Fake("settle", events, self._settle)

    def _find_unresolved(self, look: UnresolvedLook) -> Sequence[ReservedSale]:
        open_sales = [sale for key, sale in self.sales.items() if key not in self.answers]
        return [
            replace(sale, available_centavos=self.left_centavos)
            for sale in open_sales
            if look.sale_id in (None, sale.sale_id)
        ]

    def _settle(self, item: Any) -> Any:
        """Nothing was sold on any day."""
        if isinstance(item, CutOverOrder):
            return CutOver(code=ResponseCode.APPROVED, is_moved=True)
        known = self._known(item.key, item.digest)
        if known is not None:
            return known
        is_equal = agrees(item.theirs, DayTotals())
        code = ResponseCode.APPROVED if is_equal else ResponseCode.TOTALS_DIFFER
        return Compared(code=code, ours=OurTotals(totals=DayTotals()))

    def _known(self, key: RequestKey, digest: bytes) -> Repeated | Unresolved | Conflict | None:
        if self.digests.setdefault(key, digest) != digest:
            return Conflict()
        if key in self.answers:
            return Repeated(answer=self.answers[key].answer, code=self.answers[key].code)
        return Unresolved(sale_id=self.sales[key].sale_id) if key in self.sales else None

    def _reserve(self, order: SaleOrder) -> ReserveResult:
        known = self._known(order.key, order.digest)
        if known is not None:
            return known
        if order.refused is not None:
            return Declined(code=order.refused)
        sale = reserved_sale(order, 1_000_122 + len(self.sales))
        self.sales[order.key] = replace(sale, available_centavos=self.left_centavos)
        return Reserved(sale=self.sales[order.key])

    def _post(self, posting: Posting) -> Posted:
        self.postings.append(posting)
        key = posting.key if isinstance(posting, AnswerRecord) else posting.sale.key
        code = getattr(posting, "code", ResponseCode.APPROVED)
        return self.answers.setdefault(key, Posted(answer=posting.answer, code=code))

    @staticmethod
    def _inquire(asked: Inquiry) -> InquiryAnswer:
        return InquiryAnswer(code=ResponseCode.APPROVED, meter=METER, owed_centavos=Centavos(6_000_000))

    def _find_original(self, order: ReversalOrder) -> ReversalResult:
        known = self._known(order.key, order.digest)
        if known is not None:
            assert not isinstance(known, Unresolved)
            return known
        return Declined(code=ResponseCode.ORIGINAL_NOT_FOUND)

    def _advise(self, order: AdviceOrder) -> AdviceResult:
        known = self._known(order.key, order.digest)
        if known is not None:
            assert not isinstance(known, Unresolved)
            return known
        is_sold = order.original in self.answers and order.original in self.sales
        return Advised(code=ResponseCode.APPROVED if is_sold else ResponseCode.ORIGINAL_NOT_FOUND)

    @staticmethod
    def _last_answer(_asked: LastAnswerInquiry) -> LastAnswerFound:
        return LastAnswerFound(code=ResponseCode.ORIGINAL_NOT_FOUND)


def mac_of(key: MacKey, data: bytes) -> bytes:
    """Return the MAC of the fake module, which depends on everything that the real one depends on."""
    return hashlib.sha256(repr(key).encode() + data).digest()[:8]


class FakeModule:
    """A security module in memory. The time that its callers still had is kept, call by call."""

    def __init__(self, events: list[str]) -> None:
        self.mint_timeouts: list[float | None] = []
        self.verify_timeouts: list[float | None] = []
        self.key_changing: Fake[KeyChangeRequest, Sequence[Secret[str]]] = Fake("key change", events, self._change_key)
        self.minting: Fake[MintRequest, Sequence[Secret[str]]] = Fake("mint", events, self._mint)
        self.signing: Fake[tuple[MacKey, bytes], bytes] = Fake("sign", events, lambda asked: mac_of(*asked))
        self.verifying: Fake[tuple[MacKey, bytes, bytes], None] = Fake("verify", events, self._verify)

    @staticmethod
    def _mint(asked: MintRequest) -> Sequence[Secret[str]]:
        return [Secret(f"{int(PIN) + position:020d}") for position in range(len(asked.tokens))]

    @staticmethod
    def _change_key(asked: KeyChangeRequest) -> Sequence[Secret[str]]:
        return [Secret(f"{7 * 10**19 + asked.request_id * 10 + section:020d}") for section in range(asked.sections)]

    @staticmethod
    def _verify(asked: tuple[MacKey, bytes, bytes]) -> None:
        key, data, mac = asked
        if mac != mac_of(key, data):
            raise MacMismatch

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Deferred[Sequence[Secret[str]]]:
        """See `vending.ports.SecurityModule`."""
        self.mint_timeouts.append(timeout_seconds)
        return self.minting.submit(request)

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Deferred[Sequence[Secret[str]]]:
        """See `vending.ports.SecurityModule`."""
        return self.key_changing.submit(request)

    def generate_mac(self, key: MacKey, data: bytes) -> Deferred[bytes]:
        """See `vending.ports.SecurityModule`."""
        return self.signing.submit((key, data))

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """See `vending.ports.SecurityModule`."""
        self.verify_timeouts.append(timeout_seconds)
        return self.verifying.submit((key, data, mac))


class Sent:
    """A request on its way, and what came back. ``frames`` is empty as long as nothing did."""

    def __init__(self) -> None:
        self.frames: list[bytes | None] = []

    @property
    def is_answered(self) -> bool:
        """Whether serving has ended."""
        return bool(self.frames)

    @property
    def body(self) -> bytes:
        """The answer without its TPDU."""
        (frame,) = self.frames
        assert frame is not None
        tpdu, body = split_tpdu(frame)
        assert tpdu == TPDU.swapped()
        return body

    @property
    def message(self) -> IsoMessage:
        """The answer, decoded."""
        return DATAFONO.decode(self.body)

    @property
    def code(self) -> ResponseCode:
        """What it says."""
        return CODES[self.message.text(39)]

    @property
    def is_signed(self) -> bool:
        """Whether it has a MAC, which must then be right."""
        message = self.message
        if 64 not in message and 128 not in message:
            return False
        sealed = split_mac(message, self.body)
        assert sealed.mac == mac_of(mac_key(message.text(41).rstrip()), sealed.covered)
        return True


def mac_key(terminal_id: str = "TERM0001") -> MacKey:
    """Return the key of one terminal of the bench's network."""
    return MacKey(register_id=5, scheme="X9.19", diversifier=terminal_id)


def signed(message: IsoMessage) -> bytes:
    """Encode *message* with its terminal's MAC."""
    encoded = DATAFONO.encode(with_placeholder(message))
    return splice_mac(encoded, mac_of(mac_key(message.text(41).rstrip()), encoded[:-8]))


class Bench:
    """One network, ``banco``. ``events`` has everything that happened outside, and each answer that left, in order."""

    def __init__(self, **changes: Any) -> None:
        self.events: list[str] = []
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.ledger = FakeLedger(self.events)
        self.module = FakeModule(self.events)
        self.in_flight = InFlight()
        self.context = self.connect()
        self.now = NOW
        self.section = AcquirerSection.model_validate(
            {
                "id": "banco",
                "listen_port": 0,
                "mac": MacSection(register_id=5),
                "answer_deadline_seconds": DEADLINE_SECONDS,
                **changes,
            }
        )
        self.shared = Shared(
            module=self.module,
            books=self._books(),
            settle=self.ledger.settle,
            in_flight=self.in_flight,
            meters=MeterQueue(),
            metrics=self.metrics,
            reactor=self.clock,
            now=lambda: self.now,
            monotonic=self.clock.seconds,
        )
        self.exchange = exchange_of(self.section, self.shared)
        self.recharge = self.exchange.recharge

    def _books(self) -> Books:
        ledger = self.ledger
        return Books(
            reserve=ledger.reserve,
            post=ledger.post,
            inquire=ledger.inquire,
            find_original=ledger.find_original,
            advise=ledger.advise,
            last_answer=ledger.last_answer,
            find_unresolved=ledger.find_unresolved,
        )

    @staticmethod
    def connect() -> ConnectionContext:
        """Return a new connection."""
        return ConnectionContext(acquirer_id="banco", peer="192.0.2.1:5000", connection_id=1)

    def send(self, message: IsoMessage, context: ConnectionContext | None = None) -> Sent:
        """Send *message* with its MAC, or without one where it needs none."""
        has_mac = message.mti[1] not in "68" or message.get(70) == "201"
        body = signed(message) if has_mac else DATAFONO.encode(message)
        return self.send_octets(TPDU.octets + body, context)

    def send_octets(self, frame: bytes, context: ConnectionContext | None = None) -> Sent:
        """Send a frame as it is."""
        sent = Sent()

        def left(answer: bytes | None) -> None:
            self.events.append("answer left")
            sent.frames.append(answer)

        serving: Deferred[bytes | None] = ensureDeferred(self.exchange.serve(context or self.context, frame))
        serving.addCallback(left)
        return sent

    def wait(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass in small steps."""
        self.clock.pump([step] * round(seconds / step))

    def value(self, name: str, **labels: str) -> float:
        """Return a metric of this network."""
        found = self.registry.get_sample_value(f"eudora_{name}", {"acquirer": "banco", **labels})
        return found if found is not None else 0.0
