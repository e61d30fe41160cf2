"""The statement of a network: days, balances, and the proof that they meet; with the worked example of the documents."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ledger.statement import StatementDiffers, read_statement
from tests.ledger.books import INDEBTED, Books
from tests.ledger.test_ledger_deposits import confirmed
from tests.ledger.test_ledger_network_terms import agree, terms
from tests.ledger.test_ledger_parking import park, reversal_of, reverse
from tests.ledger.test_ledger_settlement import TODAY, TOMORROW, close, cut
from vending.money import Centavos
from vending.parked import Parking

DOCUMENT = Path(__file__).parents[2] / "docs" / "networks-money.md"


@pytest.mark.parametrize("is_closed", [False, True])
def test_days_add_up_from_the_opening_to_the_closing_balance(books: Books, is_closed: bool) -> None:
    """Whether the days are closed or still open; a day before the first one is in the opening balance."""
    agree(books, terms(TODAY, (0, 150, 0)))
    books.sell(books.order(1, 2_000_000))
    reversed_later = books.order(6, 1_000_000)
    books.sell(reversed_later)
    confirmed(books, amount_centavos=Centavos(700_000))
    cut(books)
    books.sell(books.payment(INDEBTED, 500_000))
    park(books, 8, 3_000_000)
    assert reverse(books, reversal_of(books, reversed_later)) == [Parking.PARKED]
    books.reserve_one(books.order(9))
    if is_closed:
        close(books)
    both = read_statement(books.engine, "banco", TODAY, TOMORROW)
    first, second = both.days
    assert (first.day, first.sales, first.sales_centavos, first.reversals) == (TODAY, 2, 3_000_000, 0)
    assert first.deposits_centavos == 10_000_000_000 + 700_000
    assert (first.commission_centavos, first.tax_centavos) == (45_000, 8_550)
    assert (second.sales, second.sales_centavos, second.reversals_centavos) == (2, 3_500_000, 4_000_000)
    assert second.commission_centavos == 7_500 + 45_000 - 45_000 - 15_000
    assert both.opening_float_centavos == 0
    assert both.closing_float_centavos == -books.float_row().balance_centavos
    earned = books.value("SELECT -balance_centavos FROM account WHERE code = 'commission:banco'")
    assert both.closing_earned_centavos == earned
    tail = read_statement(books.engine, "banco", TOMORROW, TOMORROW + timedelta(days=5))
    assert tail.days == (second,)
    assert tail.opening_float_centavos == first.float_centavos
    assert tail.closing_float_centavos == both.closing_float_centavos
    assert tail.total == replace(second, day=TOMORROW + timedelta(days=5))


def test_a_statement_that_does_not_meet_the_books_is_none(books: Books) -> None:
    """Whichever side is wrong; nor is there one of an unknown network."""
    books.sell(books.order())
    books.execute("UPDATE account SET balance_centavos = balance_centavos - 1 WHERE code = 'commission:banco'")
    with pytest.raises(StatementDiffers, match="1 centavos"):
        read_statement(books.engine, "banco", TODAY, TODAY)
    with pytest.raises(LookupError, match="nadie"):
        read_statement(books.engine, "nadie", TODAY, TODAY)


def test_a_network_that_never_sold_has_an_empty_statement(books: Books) -> None:
    """From zero to zero."""
    found = read_statement(books.engine, "parado", date(2026, 1, 1), TODAY)
    assert (found.days, found.opening_float_centavos, found.closing_earned_centavos) == ((), 0, 0)


def test_the_worked_example_of_the_document(new_database: Callable[[], Engine]) -> None:
    """Each column of its table is what the accounts really do."""
    rows = re.findall(
        r"^\| `([a-z:-]+)` \|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 7
    books = Books(new_database(), deposit=Centavos(100_000_000))
    agree(books, terms(TODAY, (0, 150, 20_000)))

    def balances() -> dict[str, int]:
        return {
            code: books.value("SELECT balance_centavos FROM account WHERE code = :code", code=code) for code, *_ in rows
        }

    steps = [dict.fromkeys(balances(), 0), balances()]
    order = books.order(1, 2_000_000)
    books.sell(order)
    steps.append(balances())
    assert reverse(books, reversal_of(books, order)) == [Parking.PARKED]
    steps.append(balances())
    for column in range(3):
        shown = {code: _centavos(cells[column]) for code, *cells in rows}
        moved = {code: steps[column + 1][code] - steps[column][code] for code in shown}
        if column == 0:
            # The opening entries of the test town's debts are not part of the example.
            moved = {code: centavos if code in ("bank", "float:banco") else 0 for code, centavos in moved.items()}
        assert moved == shown
    assert books.check().agree


def _centavos(cell: str) -> int:
    """Read ``-595,00`` pesos; an empty cell is nothing."""
    digits = cell.strip().replace(".", "").replace(",", "")
    return int(digits) if digits else 0
