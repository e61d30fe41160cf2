"""Inquiries, and finding sales whose outcome is open."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.inquire import inquire
from ledger.resolve import look, unresolved
from ledger.tariffs import load_tariffs
from tests.ledger.books import (
    BLOCKED,
    INDEBTED,
    NOW,
    POLICY,
    TARIFFLESS,
    WATER,
    Books,
    number_of,
    post_of,
    void_of,
)
from vending.money import Centavos
from vending.order import Inquiry, UnresolvedLook
from vending.response_code import ResponseCode
from vending.service import Service

INQUIRY = Inquiry(
    acquirer_id="banco",
    terminal_id="T0000001",
    meter_number=number_of(INDEBTED),
    service=None,
    trial_paid_centavos=Centavos(2_000_000),
    asked_at=NOW,
)


def test_an_inquiry_shows_the_account_and_a_trial_that_equals_the_sale(books: Books) -> None:
    """What the customer is told is what he then gets, to the centavo; and asking moves nothing."""
    (answer,) = inquire(books.engine, load_tariffs(books.engine), POLICY, [INQUIRY])
    assert answer.code is ResponseCode.APPROVED
    assert answer.owed_centavos == 300_000 + 200_000 + 6_250_000 + 900_000
    assert answer.overdue_centavos == 500_000
    assert (answer.minimum_paid_centavos, answer.maximum_paid_centavos) == (100_000, 50_000_000)
    sale = books.reserve_one(books.order(INDEBTED))
    assert answer.trial == sale.quote
    assert answer.meter == sale.meter


@pytest.mark.parametrize(
    ("changes", "code", "has_meter"),
    [
        ({"terminal_id": "nobody"}, ResponseCode.TERMINAL_UNKNOWN, False),
        ({"terminal_id": "T0000009"}, ResponseCode.TERMINAL_BLOCKED, False),
        ({"acquirer_id": "parado"}, ResponseCode.ACQUIRER_STOPPED, False),
        ({"meter_number": "9"}, ResponseCode.METER_UNKNOWN, False),
        ({"meter_number": number_of(BLOCKED)}, ResponseCode.METER_BLOCKED, False),
        ({"meter_number": number_of(WATER), "service": Service.GAS}, ResponseCode.WRONG_SERVICE, False),
        ({"trial_paid_centavos": 1}, ResponseCode.AMOUNT_BELOW_MINIMUM, True),
        ({"meter_number": number_of(TARIFFLESS)}, ResponseCode.TARIFF_MISSING, True),
        ({"trial_paid_centavos": None}, ResponseCode.APPROVED, True),
    ],
)
def test_inquiries_are_refused_as_sales_are(
    books: Books, changes: dict[str, Any], code: ResponseCode, has_meter: bool
) -> None:
    """A trial that is refused still shows the account."""
    asked = [replace(INQUIRY, **changes), INQUIRY]
    answers = inquire(books.engine, load_tariffs(books.engine), POLICY, asked)
    assert (answers[0].code, answers[0].meter is not None) == (code, has_meter)
    assert answers[0].trial is None
    assert answers[1].code is ResponseCode.APPROVED


def test_an_open_sale_is_found_as_it_was_reserved(books: Books) -> None:
    """After a crash the sale can be finished: same quote, same tokens, same key reference, the request as it came."""
    order = books.order(INDEBTED)
    sale = books.reserve_one(order)
    books.execute("UPDATE meter SET tariff_index = 2 WHERE id = :id", id=INDEBTED)
    assert unresolved(books.engine, reserved_before=NOW + timedelta(seconds=1), limit=10) == [sale]
    assert unresolved(books.engine, reserved_before=NOW, limit=10) == []


def test_a_sale_from_before_the_clock_was_set_back_is_unresolved(books: Books) -> None:
    """It lies in the future of the clock; waiting for the clock to come there again would hold its meter for hours."""
    sale = books.reserve_one(books.order())
    assert unresolved(books.engine, reserved_before=NOW - timedelta(minutes=5), limit=10) == []
    assert unresolved(books.engine, reserved_before=NOW - timedelta(hours=3), limit=10) == [sale]


def test_the_oldest_open_sales_come_first_and_only_open_ones(books: Books) -> None:
    """A portion is bounded, and what is posted or void is not found."""
    sales = [
        books.reserve_one(replace(books.order(meter), received_at=NOW - timedelta(minutes=meter)))
        for meter in (6, 7, 8, 9)
    ]
    books.post(post_of(sales[3]), void_of(sales[1]))
    found = unresolved(books.engine, reserved_before=NOW, limit=10)
    assert found == [sales[2], sales[0]]
    assert unresolved(books.engine, reserved_before=NOW, limit=1) == [sales[2]]


def test_a_payment_and_a_sale_with_a_voluntary_part_are_found_whole(books: Books) -> None:
    """Sales without tokens, and with every kind of line, survive the way into the database and back."""
    payment = books.reserve_one(books.payment(INDEBTED, 300_000, "reclamo"))
    assert unresolved(books.engine, reserved_before=NOW + timedelta(seconds=1), limit=1) == [payment]
    books.post(post_of(payment))
    order = replace(books.order(INDEBTED), voluntary_obligation="reclamo", voluntary_centavos=Centavos(5_000))
    sale = books.reserve_one(order)
    assert sale.quote.voluntary is not None
    assert unresolved(books.engine, reserved_before=NOW + timedelta(seconds=1), limit=1) == [sale]


def test_looks_for_one_sale_and_for_all_are_answered_together(books: Books) -> None:
    """By its id a sale is found as it was reserved, whatever its age; one with an outcome or without a row is not."""
    young, sold = books.reserve_one(books.order(6)), books.sell(books.order(7))
    looks = [
        UnresolvedLook(sale_id=young.sale_id),
        UnresolvedLook(sale_id=sold.sale_id),
        UnresolvedLook(sale_id=999_999_999),
        UnresolvedLook(reserved_before=NOW, sales_max=10),
        UnresolvedLook(reserved_before=NOW + timedelta(seconds=1), sales_max=10),
    ]
    assert look(books.engine, looks) == [[young], [], [], [], [young]]
    assert look(books.engine, looks[:1]) == [[young]]
    assert look(books.engine, []) == []
