"""Three networks of three dialects on one switch at once: each sells, is refused, reverses and compares its totals, in its own words."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count

import pytest
from sqlalchemy import text

from acquirers.balance import write_balance
from cli import context
from cli.system import RunningSystem
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos import requests
from pos.client import PosClient, Timers
from pos.dialogue import Dialogue, Final
from pos.mac import signer
from pos.requests import Moment
from pos.speech import speech_of
from pos.store import TerminalIdentity
from security_module.terminal_keys import export_terminal_key
from tests.flows.conftest import Books
from vending.money import Centavos
from vending.ports import MacScheme
from vending.settlement import Sum

TERMINALS = {
    "datafono": ("datafonos", "T0000240", MacScheme.X9_19, 10),
    "recargas": ("recargas", "R0000007", MacScheme.X9_19, 10),
    "loteria": ("loteria", "L0000007", MacScheme.AES_CMAC, 11),
}
PAID = Centavos(2_000_000)
APPROVED, METER_UNKNOWN, SALE_STANDS, TOTALS_DIFFER = "00", "14", "21", "97"


def now() -> datetime:
    """The terminals' clock."""
    return datetime.now(UTC)  # noqa: TID251 - a real terminal on a real switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one network said to one terminal; codes are in the words of ``datafono``."""

    codes: tuple[str, ...]
    pins: tuple[str | None, ...]
    is_same_when_repeated: bool
    totals: str | None


class Customer:
    """One terminal of one network, and a meter to sell to.

    ``first_stan``: two visits within a second may not have one number for two requests.
    """

    def __init__(self, system: RunningSystem, dialect: str, meter_number: str, *, first_stan: int = 1) -> None:
        network, terminal_id, scheme, register = TERMINALS[dialect]
        key = export_terminal_key(context.module_keys(), register, terminal_id)
        self.identity = TerminalIdentity(
            terminal_id=terminal_id, merchant_id="TIENDA000000001", nii="001", mac_scheme=scheme, mac_key=key
        )
        self._signer = signer(scheme, key)
        self._speech = speech_of(dialect, now)
        self._address = system.network_address(network)
        self._meter = meter_number
        self._stans = count(first_stan)

    def ask(self, message: IsoMessage, *, was_sent: bool = False) -> Final:
        """Carry one request to its end; the answer is authentic."""
        client = PosClient(self._address, timers=Timers(), monotonic=lambda: now().timestamp(), sleep=lambda _: None)
        outcome = client.run(Dialogue(message, self._signer, speech=self._speech, was_sent=was_sent))
        assert isinstance(outcome, Final), outcome
        return outcome

    def moment(self) -> Moment:
        """A new request's number and time."""
        return Moment(stan=f"{next(self._stans):06d}", transmitted_at=now())

    def visit(self) -> Told:
        """Sell, repeat, ask again, ask for an unknown meter, reverse, and compare totals."""
        sale = requests.recharge(self.identity, self.moment(), meter_number=self._meter, paid_centavos=PAID)
        sold = self.ask(sale)
        again = self.ask(sale, was_sent=True)
        unknown = requests.recharge(self.identity, self.moment(), meter_number="12345678901", paid_centavos=PAID)
        answers = [
            self.ask(requests.network(self.identity, self.moment(), requests.ECHO)),
            sold,
            self.ask(requests.last_answer(self.identity, self.moment(), sale)),
            self.ask(unknown),
            self.ask(requests.reversal(self.identity, self.moment(), sale)),
            self.ask(requests.advice(self.identity, self.moment(), sale)),
            self.ask(self.totals(sold, Sum(1, PAID))),
            self.ask(self.totals(sold, Sum(2, PAID))),
        ]
        different = answers[-1].answer
        return Told(
            codes=tuple(answer.code for answer in answers),
            pins=tuple(answer.answer.get(62) for answer in answers),
            is_same_when_repeated=again.octets == sold.octets,
            totals=first_value(parse_sub_elements(different.text(48)), "DF"),
        )

    def totals(self, sold: Final, recharges: Sum) -> IsoMessage:
        month_day = sold.answer.text(15)
        today = now().date()
        day = date(today.year, int(month_day[:2]), int(month_day[2:]))
        return requests.terminal_totals(
            self.identity, self.moment(), day, recharges=recharges, payments=Sum(), reversals=Sum()
        )


@pytest.fixture(scope="module")
def told(system: RunningSystem) -> dict[str, Told]:
    """What each network was told, all of them at once."""
    with context.engine().connect() as connection:
        found = connection.execute(
            text(
                "SELECT meter_number FROM meter m WHERE status = 'active' AND service = 1 AND NOT EXISTS"
                " (SELECT 1 FROM sale WHERE meter_id = m.id) ORDER BY id LIMIT 3 OFFSET 300"
            )
        ).scalars()
        customers = {
            dialect: Customer(system, dialect, number) for dialect, number in zip(TERMINALS, found, strict=True)
        }
    with ThreadPoolExecutor(len(customers)) as threads:
        visits = {dialect: threads.submit(customer.visit) for dialect, customer in customers.items()}
        return {dialect: visit.result(60) for dialect, visit in visits.items()}


@pytest.mark.parametrize("dialect", TERMINALS)
def test_each_network_sells_in_its_own_dialect(dialect: str, told: dict[str, Told]) -> None:
    """The same visit has the same outcome: sold once, its PIN again on every question, the reversal declined, the totals compared."""
    seen = told[dialect]
    pin = seen.pins[1]
    assert pin is not None
    assert len(pin) == 20
    assert seen.codes == (
        *(APPROVED, APPROVED, APPROVED, METER_UNKNOWN),
        *(SALE_STANDS, APPROVED, APPROVED, TOTALS_DIFFER),
    )
    assert seen.pins == (None, pin, pin, None, pin, None, None, None)
    assert seen.is_same_when_repeated
    assert seen.totals == "-1;0"


def test_the_books_agree_and_know_one_sale_of_each(told: dict[str, Told], books: Books) -> None:
    """Three networks, three sales, three floats: each paid for its own, and the ledger check finds nothing."""
    assert len({seen.pins[1] for seen in told.values()}) == len(TERMINALS)
    for network, terminal_id, _, _ in TERMINALS.values():
        sales = "SELECT count(*) FROM sale WHERE state = 'posted' AND acquirer_code = :network AND terminal_code = :terminal"
        assert books.value(sales, network=network, terminal=terminal_id) == 1
        classes = "SELECT string_agg(DISTINCT message_class, ' ') FROM journal WHERE terminal_code = :terminal"
        assert books.value(classes, terminal=terminal_id) == "0200 0220 0400 0500"
    assert books.differences() == []


def test_networks_that_asked_for_it_are_told_their_balance(system: RunningSystem, books: Books) -> None:
    """54 of every answer about money is what the float still covers, by the books; a network that did not ask is told nothing."""
    meter = str(
        books.value(
            "SELECT meter_number FROM meter AS m WHERE status = 'active' AND service = 1 AND NOT EXISTS"
            " (SELECT 1 FROM sale WHERE meter_id = m.id) ORDER BY id LIMIT 1 OFFSET 305"
        )
    )
    for dialect in TERMINALS:
        customer = Customer(system, dialect, meter, first_stan=501)
        sale = requests.recharge(customer.identity, customer.moment(), meter_number=meter, paid_centavos=PAID)
        inquiry = requests.inquiry(customer.identity, customer.moment(), meter_number=meter, trial_centavos=None)
        sold = customer.ask(sale)
        assert sold.code == APPROVED
        others = [
            inquiry,
            requests.last_answer(customer.identity, customer.moment(), sale),
            requests.reversal(customer.identity, customer.moment(), sale),
            requests.advice(customer.identity, customer.moment(), sale),
            customer.totals(sold, Sum(9, PAID)),
            requests.recharge(customer.identity, customer.moment(), meter_number="12345678901", paid_centavos=PAID),
        ]
        told = [sold, *map(customer.ask, others)]
        assert [each.code for each in told] == [
            *(APPROVED, APPROVED, APPROVED, SALE_STANDS, APPROVED, TOTALS_DIFFER, METER_UNKNOWN)
        ]
        left = books.value(
            "SELECT f.credit_line_centavos - f.balance_centavos - f.pending_centavos FROM acquirer AS a"
            " JOIN account AS f ON f.id = a.float_account_id WHERE a.code = :network",
            network=TERMINALS[dialect][0],
        )
        wanted = None if dialect == "datafono" else write_balance(left)
        assert {each.answer.get(54) for each in told} == {wanted}, dialect
