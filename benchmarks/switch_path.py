"""What one sale costs the switch's reactor thread, in processor time, without network, database and security module.

    .venv/bin/python -m benchmarks.switch_path [--rounds 20]

Prints one JSON object, in microseconds, each the median and the best of the rounds:

``sale``: from the octets of a request's frame to those of its answer, everything outside answering at once;
``module_request``: one request to the security module over a link in memory and back; a sale needs three.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from math import inf
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from config.acquirer import AcquirerSection, MacSection
from hsm_client.pool import SecurityModulePool
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import with_placeholder
from messages.security_module import (
    GenerateMac,
    Identify,
    IdentifyReply,
    MacReply,
    MacVerified,
    MintReply,
    Reply,
    decode_request,
    encode_reply,
)
from switch.exchange import Exchange
from switch.in_flight import InFlight
from switch.listener import ConnectionContext
from switch.log import configure
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.network import Shared, exchange_of
from switch.steps import Books
from vending.engineering import KeyChangeRequest
from vending.money import Centavos, RateE4, Tenths
from vending.order import MeterAccount, Posted, Posting, Reserved, ReservedSale, SaleOrder, TokenOrder
from vending.ports import MacKey, MacScheme, MintRequest
from vending.quote import Quote, QuotedBlock, Taken
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import AltitudeBand, Service, UserClass

Item = TypeVar("Item")
Result = TypeVar("Result")

SALES_PER_ROUND = 500
REQUESTS_PER_TURN = 8
"""Requests to the module that leave in one write: about what a busy switch gathers in a turn of its reactor."""

NOW: Final = datetime(2026, 11, 23, 22, 9, 56, tzinfo=UTC)
KEY: Final = MacKey(register_id=10, scheme=MacScheme.X9_19, diversifier="T0000001")
METER: Final = MeterAccount(
    meter_id=1,
    meter_number="37000000002",
    pan="600727370000000020",
    register_id=1,
    tariff_index=1,
    encryption_algorithm=11,
    service=Service.ENERGY,
    user_class=UserClass.RESIDENTIAL,
    stratum=1,
    altitude=AltitudeBand.LOW,
    account_number="100000001",
    holder="María Peñaloza Núñez",
    address="Calle 7 # 3-21, Barrio La Ñapa",
)
QUOTE: Final = Quote(
    paid_centavos=Centavos(2_000_000),
    carried_in_centavos=Centavos(0),
    units_tenths=Tenths(491),
    charged_centavos=Centavos(1_799_913),
    carried_out_centavos=Centavos(87),
    full_cost_centavos=Centavos(4_326_715),
    subsidy_centavos=Centavos(2_526_802),
    contribution_centavos=Centavos(0),
    voluntary=None,
    taken=(
        Taken(
            id="mora-2026-08",
            kind="obligation",
            amount_centavos=Centavos(200_000),
            interest_centavos=Centavos(67_500),
            capital_centavos=Centavos(132_500),
            left_centavos=Centavos(4_367_500),
        ),
    ),
    blocks=(QuotedBlock(units_tenths=Tenths(491), rate_e4=RateE4(3_665_811), full_rate_e4=RateE4(8_812_047)),),
    token_units_tenths=(Tenths(491),),
    month_to_date_tenths=Tenths(491),
)
MINT: Final = MintRequest(
    request_id=1,
    register_id=1,
    pan=METER.pan,
    tariff_index=1,
    encryption_algorithm=11,
    subclass=0,
    tokens=((14_450_000, Tenths(491)),),
)


class InstantStep:
    """A step of the ledger that answers at once."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def submit(self, item: Any, *, deadline: float = inf) -> Deferred[Any]:
        """Answer *item*."""
        return succeed(self._answer(item))


class InstantModule:
    """A security module that answers at once and finds every MAC right."""

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Deferred[Sequence[Secret[str]]]:
        """Mint one token."""
        return succeed([Secret("22949747858701310582")])

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Deferred[Sequence[Secret[str]]]:
        """Change no key: no meter here is behind."""
        return succeed([Secret("22949747858701310582")] * request.sections)

    def generate_mac(self, key: MacKey, data: bytes) -> Deferred[bytes]:
        """Make a MAC."""
        return succeed(b"12345678")

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """Find it right."""
        return succeed(None)


def reserve(order: SaleOrder) -> Reserved:
    """Reserve as the ledger does, without a ledger."""
    sale = ReservedSale(
        sale_id=1_000_122,
        key=order.key,
        request=order.request,
        kind=order.kind,
        rrn=order.rrn,
        paid_centavos=order.paid_centavos,
        meter=METER,
        quote=QUOTE,
        token_orders=(TokenOrder(tid=14_450_000, units_tenths=Tenths(491)),),
        reserved_at=order.received_at,
        local_date=date(2026, 11, 23),
        settlement_date=date(2026, 11, 23),
    )
    return Reserved(sale=sale)


def post(posting: Posting) -> Posted:
    """Post as the ledger does, without a ledger."""
    return Posted(answer=posting.answer, code=ResponseCode.APPROVED)


def exchange() -> Exchange:
    """Put one network together as `switch.main` does."""
    section = AcquirerSection(id="datafonos", listen_port=1, mac=MacSection(register_id=10))
    never: InstantStep = InstantStep(lambda _: None)
    books = Books(
        reserve=InstantStep(reserve),
        post=InstantStep(post),
        inquire=never,
        find_original=never,
        advise=never,
        last_answer=never,
        find_unresolved=never,
    )
    shared = Shared(
        module=InstantModule(),
        books=books,
        settle=never,
        in_flight=InFlight(),
        meters=MeterQueue(),
        metrics=Metrics(),
        reactor=Clock(),
        now=lambda: NOW,
        monotonic=time.perf_counter,
    )
    return exchange_of(section, shared)


def request_frame() -> bytes:
    """Return a recharge of 20 000 pesos as it comes from a terminal, without its length."""
    fields = {
        2: METER.meter_number,
        3: "500000",
        4: "000002000000",
        7: "1123220956",
        11: "000001",
        12: "170956",
        13: "1123",
        24: "001",
        41: "T0000001",
        42: "TIENDA0000001  ",
        49: "170",
    }
    return bytes.fromhex("6000010002") + DATAFONO.encode(with_placeholder(IsoMessage(mti="0200", fields=fields)))


def sales() -> Callable[[], None]:
    """Return what makes one sale."""
    serving, frame = exchange(), request_frame()
    context = ConnectionContext(acquirer_id="datafonos", peer="", connection_id=1)

    def sell() -> None:
        answers: list[bytes | None] = []
        ensureDeferred(serving.serve(context, frame)).addCallback(answers.append)
        assert answers[0] is not None
        assert len(answers[0]) > 100

    return sell


@implementer(IStreamClientEndpoint)
class ModuleInMemory:
    """Leads to itself: a transport that answers the frames of one write by one read, from replies made before."""

    def __init__(self) -> None:
        self._replies: dict[bytes, bytes] = {}
        self._protocol: Any = None
        self._output: list[bytes] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect at once."""
        self._protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        self._protocol.makeConnection(self)
        return succeed(self._protocol)

    def write(self, data: bytes) -> None:
        """Take requests; their replies wait for `answer`."""
        at = 0
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            kind = data[at + 13 : at + 15]
            if kind not in self._replies:
                self._replies[kind] = encode_reply(0, _reply(data[at + 4 : end]))
            reply = self._replies[kind]
            self._output.append(reply[:5] + data[at + 5 : at + 13] + reply[13:])
            at = end

    def answer(self) -> None:
        """Give all that waits to the client."""
        data = b"".join(self._output)
        self._output.clear()
        self._protocol.dataReceived(data)


def _reply(body: bytes) -> Reply:
    match decode_request(body)[1]:
        case Identify():
            return IdentifyReply(module_id="memory", role="switch", clock_unix_milliseconds=0, check_values=())
        case MintRequest():
            return MintReply(tokens=(Secret("22949747858701310582"),))
        case GenerateMac():
            return MacReply(mac=bytes(8))
        case _:
            return MacVerified()


def module_requests() -> Callable[[], None]:
    """Return what makes `REQUESTS_PER_TURN` verifications, signatures and mints each, and gives them their answers."""
    clock, module = Clock(), ModuleInMemory()
    pool = SecurityModulePool([("memory", module)], clock=clock, random=lambda: 0.5)
    pool.start()
    clock.advance(0)
    module.answer()
    assert pool.is_up
    data = request_frame()

    def ask() -> None:
        results: list[object] = []
        for _ in range(REQUESTS_PER_TURN):
            for call in (pool.verify_mac(KEY, data, bytes(8)), pool.mint(MINT), pool.generate_mac(KEY, data)):
                call.addCallback(results.append)
        clock.advance(0)
        module.answer()
        assert len(results) == 3 * REQUESTS_PER_TURN

    return ask


def measure(run: Callable[[], None], *, repeats: int, rounds: int, units_per_run: int) -> dict[str, float]:
    """Return the median and the best of *rounds*, in microseconds of processor time per unit."""
    taken = []
    for _ in range(rounds + 1):  # the first one fills caches
        begun = time.process_time()
        for _ in range(repeats):
            run()
        taken.append((time.process_time() - begun) / (repeats * units_per_run) * 1e6)
    return {"median": round(statistics.median(taken[1:]), 2), "best": round(min(taken), 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        configure(nowhere, is_bridging_twisted=False)
        sale = measure(sales(), repeats=SALES_PER_ROUND, rounds=rounds, units_per_run=1)
    per_turn = 3 * REQUESTS_PER_TURN
    request = measure(
        module_requests(), repeats=SALES_PER_ROUND // REQUESTS_PER_TURN, rounds=rounds, units_per_run=per_turn
    )
    print(json.dumps({"sale": sale, "module_request": request}, indent=1))


if __name__ == "__main__":
    main()
