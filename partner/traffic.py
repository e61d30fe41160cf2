"""The traffic of a network: its terminals sell, pay, ask, reverse and confirm over a few links, and compare their totals at the end."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from partner.exchange import ATTEMPTS_MAX, Chances, Concentrator
from partner.network import PESO, Partner
from partner.run_tally import RunTally
from partner.setting import UNKNOWN_METER
from partner.sold import added, counted, read_totals
from partner.spoilt import SpoiltSigner
from pos import requests
from pos.answers import AnswerMalformed, read_pins
from pos.dialogue import APPROVED, Dialogue
from pos.dialogue import Final as FinalAnswer
from pos.mac import Signer, signer
from pos.requests import Moment
from pos.store import TerminalIdentity
from pos.tally import Sold, Tally, given_back
from vending.calendar import local_date
from vending.money import Centavos
from vending.settlement import DayTotals

TICK_SECONDS: Final = 0.02
END_SECONDS_MAX: Final = 90.0
"""After the traffic every request gets this long to end."""

STAN_MAX: Final = 999_999

_WEIGHTS: Final = {"recharge": 70, "payment": 6, "inquiry": 10, "last answer": 5, "reversal": 4, "advice": 5}
"""In a hundred turns; what needs an earlier sale is a recharge where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """What is done.

    Attributes:
        terminals: which sell.
        meters: numbers that recharges choose from.
        owing: numbers that payments choose from; empty: no payments.
        rate: requests a second.
        seconds: for how long.
        first_stan: the trace number before the first, of every terminal.
    """

    terminals: Sequence[TerminalIdentity] = field(repr=False)
    meters: Sequence[str] = field(repr=False)
    owing: Sequence[str] = field(repr=False)
    rate: float
    seconds: float
    first_stan: int


@dataclass(slots=True, kw_only=True)
class _Shop:
    """One terminal, and the last sale it made."""

    identity: TerminalIdentity
    signer: Signer
    stan: int
    is_busy: bool = False
    last: IsoMessage | None = None
    last_sold: Sold | None = None


class Traffic:
    """One run.

    Args:
        partner: the network.
        plan: what is done.
        concentrator: carries it.
        reactor: the clock of the pace.
        now: the terminals' clock, aware.
        chances: what is made wrong.
        chance: of all choices.
    """

    def __init__(
        self,
        partner: Partner,
        plan: TrafficPlan,
        concentrator: Concentrator,
        reactor: IReactorTime,
        *,
        now: Callable[[], datetime],
        chances: Chances,
        chance: random.Random,
    ) -> None:
        self._partner = partner
        self._plan = plan
        self._concentrator = concentrator
        self._tally: RunTally = concentrator.tally
        self._reactor = reactor
        self._now = now
        self._chances = chances
        self._chance = chance
        self._shops = [
            _Shop(identity=each, signer=signer(each.mac_scheme, each.mac_key), stan=plan.first_stan)
            for each in plan.terminals
        ]
        self._due = 0.0

    async def run(self) -> None:
        """Do all of it: sign on, learn the totals before, sell, wait for the rest, compare, sign off."""
        await self._network("sign-on", requests.SIGN_ON)
        today = local_date(self._now())
        for shop in self._shops:
            # After a cut-over today's sales stand on tomorrow.
            for day in (today, today + timedelta(days=1)):
                await self._learn(shop, day)
        await self._sell()
        give_up_at = self._reactor.seconds() + END_SECONDS_MAX
        while self._concentrator.in_flight and self._reactor.seconds() < give_up_at:
            await self._pause(TICK_SECONDS)
        for day in self._tally.days:
            await self._compare(day)
        await self._network("echo", requests.ECHO)
        await self._network("sign-off", requests.SIGN_OFF)

    async def _sell(self) -> None:
        ends_at = self._reactor.seconds() + self._plan.seconds
        echo_at = self._reactor.seconds()
        while self._reactor.seconds() < ends_at:
            if self._reactor.seconds() >= echo_at:
                echo_at += 10.0
                await self._network("echo", requests.ECHO)
            self._due += self._plan.rate * TICK_SECONDS
            while self._due >= 1:
                self._due -= 1
                self._turn()
            await self._pause(TICK_SECONDS)

    def _pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)

    def _turn(self) -> None:
        """One request of a terminal that has none under way; none where all are busy."""
        idle = [shop for shop in self._shops if not shop.is_busy]
        if not idle:
            return
        shop = self._chance.choice(idle)
        if self._chance.random() < self._chances.errors:
            self._wrong(shop)
            return
        kind = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if kind in {"last answer", "reversal", "advice"} and shop.last is None:
            kind = "recharge"
        if kind == "payment" and not (self._plan.owing and "payment" in self._partner.kinds):
            kind = "inquiry"
        if kind == "recharge" and "recharge" not in self._partner.kinds:
            kind = "inquiry"
        self._start(kind, shop, self._message(kind, shop))

    def _message(self, kind: str, shop: _Shop) -> IsoMessage:
        identity, moment = shop.identity, self._moment(shop)
        number = self._chance.choice(self._plan.meters)
        if kind == "payment":
            owing = self._chance.choice(self._plan.owing)
            return requests.payment(identity, moment, meter_number=owing, paid_centavos=self._partner.minimum_centavos)
        if kind == "inquiry":
            return requests.inquiry(identity, moment, meter_number=number, trial_centavos=None)
        if kind == "recharge" or shop.last is None:
            return requests.recharge(identity, moment, meter_number=number, paid_centavos=self._amount())
        if kind == "last answer":
            return requests.last_answer(identity, moment, shop.last)
        return (requests.reversal if kind == "reversal" else requests.advice)(identity, moment, shop.last)

    def _amount(self) -> Centavos:
        times = self._chance.choice((1, 1, 2, 5))
        return Centavos(min(self._partner.usual_centavos * times, self._partner.maximum_centavos))

    def _wrong(self, shop: _Shop) -> None:
        """A wish that must be refused: an unknown meter, too little money, or a MAC that is wrong."""
        identity, moment = shop.identity, self._moment(shop)
        kind = self._chance.choice(("unknown meter", "too little", "wrong MAC"))
        if "recharge" not in self._partner.kinds:
            kind = "wrong MAC"
        number = UNKNOWN_METER if kind == "unknown meter" else self._chance.choice(self._plan.meters)
        least = Centavos(max(self._partner.minimum_centavos - PESO, 1))
        message = requests.recharge(
            identity, moment, meter_number=number, paid_centavos=least if kind == "too little" else self._amount()
        )
        if kind != "wrong MAC":
            self._start(kind, shop, message)
            return
        self._concentrator.throw_spoilt(
            message, requests.seal(message, SpoiltSigner(shop.signer), self._partner.speech)
        )

    def _start(self, kind: str, shop: _Shop, message: IsoMessage) -> None:
        shop.is_busy = True
        Deferred.fromCoroutine(self._visit(kind, shop, message)).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self._tally.fault("fault_of_ours", f"{failure.type.__name__} in the simulation itself: {failure.value}")

    async def _visit(self, kind: str, shop: _Shop, message: IsoMessage) -> None:
        try:
            final = await self._ask(kind, shop, message)
            if final is not None:
                self._learn_from(kind, shop, message, final)
        finally:
            shop.is_busy = False

    def _ask(
        self, kind: str, shop: _Shop, message: IsoMessage, *, is_plain: bool = False
    ) -> Deferred[FinalAnswer | None]:
        dialogue = Dialogue(message, shop.signer, speech=self._partner.speech, attempts_max=ATTEMPTS_MAX)
        return self._concentrator.ask(kind, message, dialogue, is_plain=is_plain)

    def _learn_from(self, kind: str, shop: _Shop, message: IsoMessage, final: FinalAnswer) -> None:
        terminal_id = shop.identity.terminal_id
        if kind == "reversal" and final.code == APPROVED and shop.last is not None:
            if shop.last_sold is not None:
                self._tally.sold(terminal_id, given_back(shop.last_sold))
            self._tally.forget_pins(_name(shop.last))
            shop.last = shop.last_sold = None
            return
        about = message if kind == "recharge" else shop.last
        try:
            pins = [pin.reveal() for pin in read_pins(final.answer)]
        except AnswerMalformed as error:
            self._tally.fault("pins", f"{_name(message)}: {error}")
            return
        if about is not None:
            self._tally.pins(_name(about), pins)
        if kind in {"recharge", "payment"} and final.code == APPROVED:
            for found in counted(message, (), final.answer, self._now()):
                self._tally.sold(terminal_id, found)
                if kind == "recharge":
                    shop.last, shop.last_sold = message, found
        if kind == "recharge" and final.code == APPROVED and not pins:
            self._tally.fault("pins", f"{_name(message)}: approved without a PIN")

    async def _network(self, kind: str, code: str) -> None:
        shop = self._shops[0]
        await self._ask(kind, shop, requests.network(shop.identity, self._moment(shop), code), is_plain=True)

    async def _learn(self, shop: _Shop, day: date) -> None:
        """What the books say before: totals of nothing are compared with them."""
        final = await self._ask("totals before", shop, self._totals(shop, day, DayTotals()), is_plain=True)
        if final is not None:
            self._tally.before[shop.identity.terminal_id, day] = read_totals(final.answer)

    async def _compare(self, day: date) -> None:
        """Each terminal's own count, and the whole network's, against the books."""
        for shop in self._shops:
            terminal_id = shop.identity.terminal_id
            tally = self._tally.tallies.get(terminal_id, Tally())
            mine = added(self._tally.before.get((terminal_id, day), DayTotals()), tally.of(day))
            await self._compare_one("totals", shop, self._totals(shop, day, mine))
        speaker = next((shop for shop in self._shops if shop.identity.terminal_id in self._partner.speakers), None)
        if speaker is None:
            return
        told = await self._ask(
            "network totals", speaker, self._network_totals(speaker, day, DayTotals()), is_plain=True
        )
        if told is None:
            return
        ours = read_totals(told.answer)
        sold = DayTotals()
        for tally in self._tally.tallies.values():
            sold = added(sold, tally.of(day))
        if ours.sales.count < sold.sales.count or ours.sales.centavos < sold.sales.centavos:
            self._tally.fault("totals_differ", f"{day}: the books have {ours.sales}, the terminals sold {sold.sales}")

    async def _compare_one(self, kind: str, shop: _Shop, message: IsoMessage) -> None:
        final = await self._ask(kind, shop, message, is_plain=True)
        if final is not None and not final.is_approved:
            difference = first_value(parse_sub_elements(final.answer.get(48) or ""), "DF")
            self._tally.fault("totals_differ", f"{shop.identity.terminal_id}: the books differ by {difference}")

    def _totals(self, shop: _Shop, day: date, totals: DayTotals) -> IsoMessage:
        return requests.terminal_totals(
            shop.identity,
            self._moment(shop),
            day,
            recharges=totals.recharges,
            payments=totals.payments,
            reversals=totals.reversed,
        )

    def _network_totals(self, shop: _Shop, day: date, totals: DayTotals) -> IsoMessage:
        return IsoMessage(mti="0520", fields=self._totals(shop, day, totals).fields)

    def _moment(self, shop: _Shop) -> Moment:
        shop.stan = shop.stan % STAN_MAX + 1
        return Moment(stan=f"{shop.stan:06}", transmitted_at=self._now().replace(microsecond=0))


def _name(message: IsoMessage) -> str:
    return f"{message.text(41).rstrip()} {message.text(11)} {message.text(7)}"
