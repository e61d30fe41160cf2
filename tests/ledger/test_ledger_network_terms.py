"""What a network earns over time: terms begin on a settlement day, and no sale is counted anew; the float and its warning."""

from datetime import timedelta
from typing import Any

import pytest

from ledger.network_terms import TermsRefused, read_floats, read_terms, set_terms, warn_below
from tests.ledger.books import NOW, Books
from tests.ledger.test_ledger_parking import park
from tests.ledger.test_ledger_settlement import TODAY, TOMORROW, cut
from vending.commission import CommissionTerms, CommissionTier
from vending.money import BasisPoints, Centavos

BEFORE = NOW - timedelta(days=3)
_EARNED = "SELECT commission_centavos, commission_tax_centavos FROM sale WHERE id = :id"


def terms(day: Any, *tiers: tuple[int, int, int], tax: int = 1900) -> CommissionTerms:
    """A version in one line: (from, share, fixed)."""
    return CommissionTerms(
        valid_from=day,
        tiers=[
            CommissionTier(
                from_paid_centavos=Centavos(start),
                share_basis_points=BasisPoints(share),
                fixed_centavos=Centavos(fixed),
            )
            for start, share, fixed in tiers
        ],
        tax_basis_points=BasisPoints(tax),
    )


def agree(books: Books, version: CommissionTerms, at: Any = BEFORE) -> None:
    """Set a version for the network that sells here."""
    set_terms(books.engine, "banco", version, user="ana", at=at)


def test_a_sale_earns_by_the_tier_of_its_settlement_day(books: Books) -> None:
    """Old terms until the day, the tier by the amount, the tax beside it; a cut-over begins the day before the clock does."""
    agree(books, terms(TODAY, (0, 150, 0), (3_000_000, 100, 20_000)))
    agree(books, terms(TOMORROW, (0, 0, 7), tax=0))
    small, large = books.sell(books.order(1, 2_000_000)), books.sell(books.order(6, 3_000_000))
    cut(books)
    later = books.sell(books.order(7, 2_000_000))
    assert [tuple(books.row(_EARNED, id=sale.sale_id)) for sale in (small, large, later)] == [
        (30_000, 5_700),
        (50_000, 9_500),
        (7, 0),
    ]
    account = "SELECT balance_centavos FROM account WHERE code = :code"
    assert books.value(account, code="commission:banco") == -(35_700 + 59_500 + 7)
    assert books.value(account, code="commission-tax") == 15_200
    assert books.value(account, code="commission-cost") == 80_007
    assert books.check().agree


def test_a_parked_sale_gives_commission_and_tax_back(books: Books) -> None:
    """To the centavo, whatever the terms are by then."""
    agree(books, terms(TODAY, (0, 150, 333)))
    park(books, paid=2_000_033)
    for code in ("commission:banco", "commission-tax", "commission-cost"):
        assert books.value("SELECT balance_centavos FROM account WHERE code = :code", code=code) == 0
    assert books.check().agree


def test_terms_are_set_ahead_and_replaced_only_until_they_begin(books: Books) -> None:
    """Not for a day that has begun, by the clock or by a cut-over, nor within the hour before it."""
    agree(books, terms(TOMORROW, (0, 1, 0), (500, 2, 0)), at=NOW)
    agree(books, terms(TOMORROW, (0, 3, 0)), at=NOW)
    assert [(each.valid_from, len(each.tiers)) for each in read_terms(books.engine, "banco")][1:] == [(TOMORROW, 1)]
    for day in (TODAY, TODAY - timedelta(days=1)):
        with pytest.raises(TermsRefused):
            agree(books, terms(day, (0, 1, 0)), at=NOW)
    with pytest.raises(TermsRefused):
        agree(books, terms(TOMORROW, (0, 4, 0)), at=NOW + timedelta(hours=13, minutes=0))
    cut(books)
    with pytest.raises(TermsRefused):
        agree(books, terms(TOMORROW, (0, 4, 0)), at=NOW)
    with pytest.raises(TermsRefused, match="nadie"):
        set_terms(books.engine, "nadie", terms(TOMORROW, (0, 1, 0)), user="ana", at=NOW)
    assert read_terms(books.engine, "nadie") == []


def test_a_network_without_terms_earns_nothing(books: Books) -> None:
    """Nobody agreed on anything."""
    books.execute("DELETE FROM commission_terms")
    assert tuple(books.row(_EARNED, id=books.sell(books.order()).sale_id)) == (0, 0)
    assert books.check().agree


def test_a_float_is_low_below_its_warning_level(books: Books) -> None:
    """Sales under way count; at the level it is not low yet."""
    warn_below(books.engine, "banco", Centavos(10_000_000_000 - 2_000_000))
    books.reserve_one(books.order(1, 2_000_000))
    found = {each.acquirer_id: each for each in read_floats(books.engine)}
    assert (found["banco"].available_centavos, found["banco"].is_low) == (9_998_000_000, False)
    books.reserve_one(books.order(6, 100_000))
    (banco,) = [each for each in read_floats(books.engine) if each.acquirer_id == "banco"]
    assert (banco.pending_centavos, banco.is_low, banco.is_active) == (2_100_000, True, True)
    assert (found["parado"].is_low, found["parado"].is_active) == (False, False)
    with pytest.raises(TermsRefused):
        warn_below(books.engine, "nadie", Centavos(1))
