"""A small ledger for tests: two networks, a few meters with debts, and shorthands to sell."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from ledger import opening, schema
from ledger.check import CheckReport, check
from ledger.post import post
from ledger.reserve import Reserver
from ledger.tariffs import load_tariffs
from vending.money import BasisPoints, Centavos
from vending.order import (
    AdviceOrder,
    AnswerRecord,
    LastAnswerInquiry,
    OrderKind,
    Posted,
    RequestKey,
    Reserved,
    ReservedSale,
    ReserveResult,
    ReversalOrder,
    SaleOrder,
    SalePost,
    SaleVoid,
)
from vending.policy import SalePolicy
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import Service

NOW = datetime(2026, 8, 14, 15, 30, tzinfo=UTC)
POLICY = SalePolicy(
    minimum_paid_centavos=Centavos(100_000),
    maximum_paid_centavos=Centavos(50_000_000),
    cap_basis_points=BasisPoints(4000),
)
BLOCKS = [
    {"up_to": 1730, "rate": 3_600_000, "full_rate": 9_000_000},
    {"up_to": None, "rate": 9_000_000, "full_rate": 9_000_000},
]
DEPOSIT = Centavos(10_000_000_000)
PLAIN, INDEBTED, BLOCKED, WATER, TARIFFLESS = 1, 2, 3, 4, 5
"""Meters by what is special about them; `number_of` gives their numbers. Those from 6 up are plain too."""


def number_of(meter: int) -> str:
    """The number of a meter of the test town."""
    return f"{meter:011}"


class Books:
    """A seeded ledger and what tests do with it."""

    def __init__(self, engine: Engine, *, meters: int = 12, deposit: Centavos = DEPOSIT) -> None:
        self.engine = engine
        self._stans = count(1)
        self._seed(meters, deposit)
        self.load_tariffs()

    def load_tariffs(self) -> None:
        """Sell by the tariffs that are in the table now."""
        self.reserver = Reserver(self.engine, load_tariffs(self.engine), POLICY)

    def order(self, meter: int | str = PLAIN, paid: int = 2_000_000, **changes: Any) -> SaleOrder:
        """A recharge with a key of its own."""
        stan = next(self._stans)
        key = RequestKey(
            acquirer_id="banco",
            terminal_id="T0000001",
            transmitted_at=NOW + timedelta(seconds=stan // 1_000_000),
            stan=f"{stan % 1_000_000:06}",
            message_class="0200",
        )
        order = SaleOrder(
            key=key,
            digest=stan.to_bytes(32, "big"),
            kind=OrderKind.RECHARGE,
            service=None,
            meter_number=meter if isinstance(meter, str) else number_of(meter),
            paid_centavos=Centavos(paid),
            rrn=f"{stan:012}",
            request=b"request %d" % stan,
            received_at=NOW,
        )
        return replace(order, **changes)

    def payment(self, meter: int, paid: int, obligation: str | None = None) -> SaleOrder:
        """A payment to obligations."""
        return self.order(meter, paid, kind=OrderKind.PAYMENT, voluntary_obligation=obligation)

    def reversal(self, original: SaleOrder, **changes: Any) -> ReversalOrder:
        """A reversal of *original*, with its STAN and time, as terminals send it."""
        order = ReversalOrder(
            key=replace(original.key, message_class="0400"),
            digest=b"reversal of " + original.digest,
            original=original.key,
            paid_centavos=original.paid_centavos,
            rrn=original.rrn,
            request=b"reversal",
            received_at=NOW,
        )
        return replace(order, **changes)

    def advice(self, original: SaleOrder, **changes: Any) -> AdviceOrder:
        """The word that the customer has what *original* sold, under a STAN of its own."""
        key = replace(original.key, message_class="0220", stan=f"{next(self._stans) % 1_000_000:06}")
        order = AdviceOrder(
            key=key,
            digest=b"advice of " + original.digest,
            original=original.key,
            rrn=original.rrn,
            request=b"advice",
            received_at=NOW,
        )
        return replace(order, **changes)

    def last_answer(self, original: SaleOrder | None = None, **changes: Any) -> LastAnswerInquiry:
        """The question for the last sale of the terminal that sells here, or for *original*."""
        inquiry = LastAnswerInquiry(
            acquirer_id="banco",
            terminal_id="T0000001",
            original=None if original is None else replace(original.key, **changes),
            asked_at=NOW,
        )
        return replace(inquiry, **changes)

    def reserve(self, *orders: SaleOrder) -> list[ReserveResult]:
        """Reserve a batch."""
        return self.reserver.reserve(orders)

    def reserve_one(self, order: SaleOrder) -> ReservedSale:
        """Reserve an order that must succeed."""
        (result,) = self.reserve(order)
        assert isinstance(result, Reserved), result
        return result.sale

    def post(self, *postings: SalePost | SaleVoid | AnswerRecord) -> list[Posted]:
        """Post a batch."""
        return post(self.engine, postings)

    def sell(self, order: SaleOrder) -> ReservedSale:
        """Reserve and post."""
        sale = self.reserve_one(order)
        self.post(post_of(sale))
        return sale

    def check(self, **arguments: Any) -> CheckReport:
        """The proof."""
        return check(self.engine, arguments.get("counters"), arguments.get("module_days"), arguments.get("several"))

    def row(self, statement: str, **values: Any) -> Any:
        """The only row of a query."""
        with self.engine.connect() as connection:
            return connection.execute(text(statement), values).one()

    def value(self, statement: str, **values: Any) -> Any:
        """The only value of a query."""
        return self.row(statement, **values)[0]

    def execute(self, statement: str, **values: Any) -> None:
        """Change something, whatever the ledger thinks of it."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def float_row(self, code: str = "banco") -> Any:
        """Balance and pending of an acquirer's float."""
        return self.row(
            "SELECT balance_centavos, pending_centavos FROM account WHERE code = :code", code=f"float:{code}"
        )

    def _seed(self, meters: int, deposit: Centavos) -> None:
        with self.engine.begin() as connection:
            opening.open_chart(connection)
            for code in ("banco", "parado"):
                acquirer = opening.add_acquirer(
                    connection, code=code, name=code, commission_basis_points=BasisPoints(150)
                )
                for terminal, status in (("T0000001", "active"), ("T0000002", "active"), ("T0000009", "blocked")):
                    connection.execute(
                        schema.terminal.insert().values(acquirer_id=acquirer, code=terminal, status=status)
                    )
            connection.execute(text("UPDATE acquirer SET status = 'stopped' WHERE code = 'parado'"))
            connection.execute(schema.key_register.insert().values(id=1, base_year=2014))
            connection.execute(
                schema.account_holder.insert(),
                [
                    {"id": n, "account_number": f"C{n}", "name": f"María Ñúñez {n}", "address": f'Calle "{n}" \\ 3'}
                    for n in range(1, meters + 1)
                ],
            )
            connection.execute(schema.meter.insert(), [_meter(n) for n in range(1, meters + 1)])
            connection.execute(schema.obligation.insert(), _debts())
            for service in (0, 1):
                connection.execute(
                    schema.tariff_version.insert().values(
                        service=service,
                        user_class="residential",
                        stratum=1,
                        altitude="low",
                        valid_from=date(2026, 1, 1),
                        publication="test",
                        blocks=BLOCKS,
                    )
                )
            opening.deposit(connection, acquirer_code="banco", amount_centavos=deposit, at=NOW)
            opening.post_opening(connection, NOW)


def post_of(sale: ReservedSale, answer: bytes = b"approved") -> SalePost:
    """What posts a sale, with digits that no other token has."""
    tokens = [Secret(f"{sale.sale_id:018}{position:02}") for position in range(len(sale.token_orders))]
    return SalePost(sale=sale, tokens=tokens, answer=answer)


def void_of(sale: ReservedSale, answer: bytes = b"refused") -> SaleVoid:
    """What voids a sale."""
    return SaleVoid(sale=sale, code=ResponseCode.MODULE_REFUSED, answer=answer)


def reserved_of(results: Sequence[ReserveResult]) -> list[ReservedSale]:
    """The sales among the results of a batch."""
    return [result.sale for result in results if isinstance(result, Reserved)]


def _meter(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "meter_number": number_of(number),
        "pan": f"6007270{number:011}",
        "holder_id": number,
        "register_id": 1,
        "tariff_index": 1,
        "encryption_algorithm": 7 if number % 2 else 11,
        "service": Service.WATER.value if number == WATER else Service.ENERGY.value,
        "user_class": "residential",
        "stratum": 6 if number == TARIFFLESS else 1,
        "altitude": "low",
        "status": "blocked" if number == BLOCKED else "active",
        "remainder_centavos": 123 if number == INDEBTED else 0,
    }


def _debts() -> list[dict[str, Any]]:
    nothing = {
        "interest_centavos": 0,
        "full_centavos": 0,
        "instalment_due_centavos": 0,
        "share_basis_points": 0,
        "disputed": False,
    }
    debts: list[dict[str, Any]] = [
        {"code": "aseo", "kind": "charge", "priority": 10, "capital_centavos": 300_000, "full_centavos": 450_000},
        {"code": "precarga", "kind": "emergency", "priority": 20, "capital_centavos": 200_000},
        {
            "code": "mora",
            "kind": "obligation",
            "priority": 30,
            "capital_centavos": 6_000_000,
            "interest_centavos": 250_000,
            "share_basis_points": 1000,
            "instalment_due_centavos": 40_000,
        },
        {"code": "reclamo", "kind": "obligation", "priority": 40, "capital_centavos": 900_000, "disputed": True},
    ]
    return [{**nothing, "meter_id": INDEBTED, "due": date(2026, 3, 31), **debt} for debt in debts]


def watch_statements(monkeypatch: pytest.MonkeyPatch, tell: Callable[[psycopg.Connection[Any], str], None]) -> None:
    """Tell of every statement just before it is executed, whichever way it goes to the server; what *tell* executes is not told."""
    execute = psycopg.Cursor.execute
    telling: list[int] = []

    def watched(cursor: psycopg.Cursor[Any], query: Any, *arguments: Any, **named: Any) -> Any:
        if not telling:
            telling.append(1)
            try:
                tell(cursor.connection, query if isinstance(query, str) else str(query))
            finally:
                telling.clear()
        return execute(cursor, query, *arguments, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", watched)
