"""Deposits: two people, a bank's reference once, the entry, and corrections that never take what was sold."""

from datetime import timedelta
from typing import Any

import pytest

from ledger.deposits import Deposit, confirm, find, register, reject
from tests.ledger.books import DEPOSIT, NOW, Books
from tests.vending.test_vending_deposit import registration
from vending.deposit import DepositRefusal, DepositRefused, DepositState
from vending.money import Centavos

LATER = NOW + timedelta(hours=1)


def refusal_of(call: Any, *arguments: Any) -> DepositRefusal:
    """Why *call* is refused."""
    with pytest.raises(DepositRefused) as refused:
        call(*arguments)
    return refused.value.reason


def confirmed(books: Books, **changes: Any) -> Deposit:
    """A deposit that two people signed."""
    return confirm(books.engine, register(books.engine, registration(**changes), NOW).deposit_id, "luz", LATER)


def test_a_deposit_is_sold_only_after_another_person_confirmed_it(books: Books) -> None:
    """Registering moves nothing; confirming posts bank against float; confirming again is the same."""
    found = register(books.engine, registration(), NOW)
    assert (found.state, found.entry_id) == (DepositState.REGISTERED, None)
    assert books.float_row().balance_centavos == -DEPOSIT
    assert refusal_of(confirm, books.engine, found.deposit_id, "ANA", LATER) is DepositRefusal.SAME_PERSON
    done = confirm(books.engine, found.deposit_id, "luz", LATER)
    assert done.state is DepositState.CONFIRMED
    assert books.float_row().balance_centavos == -DEPOSIT - 1_000_000
    lines = books.row(
        "SELECT min(amount_centavos), max(amount_centavos), count(*) FROM posting WHERE entry_id = :id",
        id=done.entry_id,
    )
    assert tuple(lines) == (-1_000_000, 1_000_000, 2)
    assert confirm(books.engine, found.deposit_id, "luz", LATER) == done
    assert books.float_row().balance_centavos == -DEPOSIT - 1_000_000
    assert refusal_of(reject, books.engine, found.deposit_id, "luz", LATER) is DepositRefusal.ALREADY_DECIDED
    assert books.check().agree


def test_a_rejected_deposit_books_nothing_and_frees_its_reference(books: Books) -> None:
    """Whoever typed it wrong types it again."""
    first = register(books.engine, registration(), NOW)
    assert refusal_of(register, books.engine, registration(), NOW) is DepositRefusal.REFERENCE_USED
    assert reject(books.engine, first.deposit_id, "luz", LATER).state is DepositState.REJECTED
    assert reject(books.engine, first.deposit_id, "luz", LATER).entry_id is None
    second = confirmed(books, bank_reference="trx-1")
    assert refusal_of(register, books.engine, registration(), NOW) is DepositRefusal.REFERENCE_USED
    # Another network's bank may use the same number.
    register(books.engine, registration(acquirer_id="parado"), NOW)
    assert [each.deposit_id for each in find(books.engine, DepositState.CONFIRMED)] == [second.deposit_id]
    assert len(find(books.engine, acquirer_id="banco")) == 2
    assert books.check().agree


def test_a_correction_compensates_within_its_deposit_and_never_what_was_sold(books: Books) -> None:
    """A deposit typed ten times too large goes back; a second correction cannot go further; nor can one take sold money."""
    wrong = confirmed(books, amount_centavos=Centavos(1_000_000))
    correct: dict[str, Any] = {"corrects_deposit_id": wrong.deposit_id, "amount_centavos": Centavos(-900_000)}
    confirmed(books, bank_reference="C-1", **correct)
    assert books.float_row().balance_centavos == -DEPOSIT - 100_000
    above = registration(bank_reference="C-2", **correct)
    assert refusal_of(register, books.engine, above, NOW) is DepositRefusal.ABOVE_DEPOSIT
    last = register(
        books.engine, registration(bank_reference="C-2", **{**correct, "amount_centavos": Centavos(-100_000)}), NOW
    )
    books.execute("UPDATE account SET credit_line_centavos = 0")
    books.execute("UPDATE account SET pending_centavos = -balance_centavos - 50000 WHERE code = 'float:banco'")
    assert refusal_of(confirm, books.engine, last.deposit_id, "luz", LATER) is DepositRefusal.FLOAT_SOLD
    books.execute("UPDATE account SET pending_centavos = 0 WHERE code = 'float:banco'")
    confirm(books.engine, last.deposit_id, "luz", LATER)
    assert books.float_row().balance_centavos == -DEPOSIT
    of_correction = registration(bank_reference="C-3", **{**correct, "corrects_deposit_id": last.deposit_id})
    assert refusal_of(register, books.engine, of_correction, NOW) is DepositRefusal.CORRECTED_UNKNOWN
    assert books.check().agree


def test_unknown_networks_and_deposits_are_refused(books: Books) -> None:
    """By name, not by a fault."""
    unknown = registration(acquirer_id="nadie")
    assert refusal_of(register, books.engine, unknown, NOW) is DepositRefusal.NETWORK_UNKNOWN
    assert refusal_of(confirm, books.engine, 999, "luz", NOW) is DepositRefusal.DEPOSIT_UNKNOWN
    assert refusal_of(confirm, books.engine, 999, "luz y ana", NOW) is DepositRefusal.USER_INVALID
