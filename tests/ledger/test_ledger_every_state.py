"""Every cell of `vending.standing`: a real ledger is brought into each standing by messages, and then the event happens."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine

from ledger.advice import confirm
from ledger.day_close import close_days
from ledger.last_answer import find_last_answers
from ledger.post import post
from ledger.resolve import look
from ledger.reversal import find_originals
from switch.stages import Stages
from switch.steps import Books as Steps
from tests.ledger.books import Books, number_of
from tests.switch.sale_bench import NOW, Bench, Fake, request
from vending.order import ReservedSale, UnresolvedLook
from vending.ports import MintRequest, ModuleOutcomeUnknown, ModuleRefused
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.settlement import CloseDays
from vending.standing import Happening, Standing, outcome

TERMINAL = "T0000001"
SECOND_STAN_FROM = 500_000
"""Reversals, advices and later recharges have STANs from here."""

FIRST_METER = 6
"""From here on they are plain."""

PAID, PAID_FOR_PARKED, TOO_LITTLE, OTHER = 2_000_000, 4_000_000, 1_000, 2_100_000


class LedgerBench(Bench):
    """One network's exchange over a real ledger."""

    def __init__(self, books: Books, reversal_policy: str) -> None:
        self.books = books
        super().__init__(reversal_policy=reversal_policy, parked_terminal_day_centavos_max=10**9)
        self.module.minting = Fake("mint", self.events, _digits_of_its_own)

    def _books(self) -> Steps:
        engine = self.books.engine

        def step(name: str, run: Callable[[Engine, Sequence[Any]], Sequence[Any]]) -> Fake[Any, Any]:
            return Fake(name, self.events, lambda item: run(engine, [item])[0])

        return Steps(
            reserve=Fake("reserve", self.events, lambda order: self.books.reserve(order)[0]),
            post=step("post", post),
            inquire=self.ledger.inquire,
            find_original=step("find_original", find_originals),
            advise=step("advise", confirm),
            last_answer=step("last_answer", find_last_answers),
            find_unresolved=step("find_unresolved", look),
        )


def _digits_of_its_own(asked: MintRequest) -> Sequence[Secret[str]]:
    return [Secret(f"{asked.request_id:018}{position:02}") for position in range(len(asked.tokens))]


class OneRecharge:
    """A recharge on a meter of its own, and what can happen to it."""

    _stans = count(1)

    def __init__(self, books: Books, meter: int) -> None:
        self.books = books
        self.meter = meter
        self.stan = f"{next(self._stans):06}"
        self._later = count(SECOND_STAN_FROM + 100 * meter)
        self.stands, self.parked = LedgerBench(books, "stands"), LedgerBench(books, "parked")
        self.paid = PAID

    def sell(self, paid: int | None = None, mti: str = "0200") -> ResponseCode:
        """Ask for the recharge, first or again."""
        return self._ask(self.stands, mti, paid or self.paid, stan=self.stan)

    def sell_later(self) -> ResponseCode:
        """Ask for another recharge on the same meter, which hands out first what is parked."""
        return self._ask(self.stands, "0200", PAID_FOR_PARKED, stan=self._next_stan())

    def about(self, mti: str, bench: LedgerBench | None = None, **fields: str) -> ResponseCode:
        """Send a message whose data element 90 names the recharge."""
        named = {90: f"0200{self.stan}1123163030".ljust(42, "0")}
        more = {int(number[1:]): value for number, value in fields.items()}
        message = request(mti, {**named, **more}, stan=self._next_stan(), terminal_id=TERMINAL)
        return (bench or self.stands).send(message).code

    def module(self, does: Exception | None) -> None:
        """Plan what the module does with the next mint."""
        if does is not None:
            self.stands.module.minting.plan(does)

    def resolve(self, does: Exception | None) -> None:
        """Let the resolver take up what is reserved on this meter; the module *does*."""
        engine, before = self.books.engine, self.stands.now + timedelta(hours=1)
        (found,) = look(engine, [UnresolvedLook(reserved_before=before, sales_max=100)])
        for sale in found:
            if sale.meter.meter_id == self.meter:
                self.module(does)
                self._finish(sale)

    def standing(self) -> Standing:
        """How the books stand towards the recharge."""
        row = self.books.row(
            """
            SELECT j.code, s.state, p.sale_id IS NOT NULL AS is_parked, p.claimed_by_sale_id, p.claimed_at,
                EXISTS (SELECT FROM confirmation AS c WHERE c.sale_id = s.id) OR EXISTS (SELECT FROM reprint AS r WHERE r.sale_id = s.id)
                OR EXISTS (SELECT FROM journal AS v WHERE v.reverses_sale_id = s.id) AS is_with_customer
            FROM (SELECT CAST(:stan AS text) AS stan) AS asked
            LEFT JOIN journal AS j ON j.stan = asked.stan AND j.message_class = '0200'
            LEFT JOIN sale AS s ON s.id = j.sale_id LEFT JOIN parked_token AS p ON p.sale_id = s.id
            """,
            stan=self.stan,
        )
        if row.is_parked:
            if row.claimed_by_sale_id is None:
                return Standing.PARKED
            return Standing.PROMISED if row.claimed_at is None else Standing.CLAIMED
        if row.state == "posted":
            return Standing.WITH_CUSTOMER if row.is_with_customer else Standing.POSTED
        if row.state is not None:
            return Standing(row.state)
        if row.code is None:
            return Standing.UNKNOWN
        return Standing.BARRED if row.code == ResponseCode.ORIGINAL_NOT_FOUND.value else Standing.DECLINED

    def _ask(self, bench: LedgerBench, mti: str, paid: int, *, stan: str) -> ResponseCode:
        fields = {2: number_of(self.meter), 3: "500000", 4: f"{paid:012d}", 49: "170"}
        return bench.send(request(mti, fields, stan=stan, terminal_id=TERMINAL)).code

    def _next_stan(self) -> str:
        return f"{next(self._later):06}"

    def _finish(self, sale: ReservedSale) -> None:
        finishing = self.stands.recharge.resolve(sale, Stages(self.stands.exchange.metrics, self.stands.clock.seconds))
        try:
            finishing.send(None)
        except (StopIteration, Refusal):
            return
        raise AssertionError("everything here answers at once")


SILENT = ModuleOutcomeUnknown("no answer in time")
REFUSES = ModuleRefused("07", "vending inhibited")


def _bring(recharge: OneRecharge, standing: Standing) -> None:
    """Bring a recharge into a standing by messages only."""
    match standing:
        case Standing.UNKNOWN:
            return
        case Standing.BARRED:
            recharge.about("0400")
        case Standing.DECLINED:
            recharge.paid = TOO_LITTLE
            recharge.sell()
        case Standing.RESERVED | Standing.VOID:
            recharge.module(SILENT if standing is Standing.RESERVED else REFUSES)
            recharge.sell()
        case Standing.POSTED | Standing.WITH_CUSTOMER:
            recharge.sell()
            if standing is Standing.WITH_CUSTOMER:
                recharge.about("0220")
        case Standing.PARKED | Standing.PROMISED | Standing.CLAIMED:
            recharge.sell()
            recharge.about("0400", recharge.parked)
            if standing is not Standing.PARKED:
                recharge.module(SILENT if standing is Standing.PROMISED else None)
                recharge.sell_later()


def _happen(recharge: OneRecharge, happening: Happening) -> ResponseCode | None:
    match happening:
        case Happening.SAME_AGAIN:
            return recharge.sell(mti="0201")
        case Happening.OTHER_CONTENT:
            return recharge.sell(OTHER)
        case Happening.REVERSAL_STANDS:
            return recharge.about("0400")
        case Happening.REVERSAL_PARKED:
            return recharge.about("0420", recharge.parked)
        case Happening.ADVICE:
            return recharge.about("0220")
        case Happening.LAST_ANSWER:
            return recharge.about("0100", _3="380000")
        case Happening.MODULE_TOKENS:
            recharge.resolve(None)
        case Happening.MODULE_REFUSES:
            recharge.resolve(REFUSES)
        case Happening.MODULE_SILENT:
            recharge.resolve(SILENT)
        case Happening.DAY_CLOSED:
            close_days(recharge.books.engine, CloseDays(at=NOW + timedelta(days=2)))
    return None


@pytest.mark.parametrize("standing", Standing)
def test_every_event_in_every_standing(new_database: Callable[[], Engine], standing: Standing) -> None:
    """What each event answers and what it leaves is what the table says, and the books agree after all of them."""
    books = Books(new_database(), meters=FIRST_METER + len(Happening))
    wrong = []
    # The day is closed last: afterwards the others would fall on the next one.
    for meter, happening in enumerate(Happening, FIRST_METER):
        recharge = OneRecharge(books, meter)
        _bring(recharge, standing)
        assert recharge.standing() is standing
        code = _happen(recharge, happening)
        expected = outcome(standing, happening)
        if (recharge.standing(), code) != expected:
            wrong.append(f"{happening.value}: {recharge.standing().value}, {code}; the table says {expected}")
    assert not wrong
    assert books.check().differences == ()


def test_a_closed_day_is_closed(books: Books) -> None:
    """The last event of the table really closes the day of what was sold, so its column says something."""
    recharge = OneRecharge(books, FIRST_METER)
    _bring(recharge, Standing.POSTED)
    _happen(recharge, Happening.DAY_CLOSED)
    assert books.value("SELECT sum(sales) FROM day_total") == 1
