"""A network and its terminals are registered in a ledger that is in use."""

from datetime import UTC, datetime

import pytest

from ledger.new_network import (
    NetworkKnown,
    NetworkMissing,
    TerminalMissing,
    add_network,
    read_terminals,
    register_terminals,
    set_terminal_blocked,
)
from tests.ledger.books import Books
from vending.money import BasisPoints, Centavos

AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


def _add(books: Books, network_id: str = "sorteos") -> None:
    add_network(
        books.engine,
        network_id,
        name="Sorteos del Valle",
        credit_line_centavos=Centavos(500_000),
        commission_basis_points=BasisPoints(150),
        commission_tax_basis_points=BasisPoints(1900),
        user="ana",
        at=AT,
    )


def test_a_network_is_registered_once_with_its_accounts_and_terms(books: Books) -> None:
    """Its float holds nothing but its credit line, its terms are the first ones, and the books agree; the second time is refused."""
    _add(books)
    with pytest.raises(NetworkKnown):
        _add(books)
    line = "SELECT credit_line_centavos FROM account JOIN acquirer ON float_account_id = account.id WHERE acquirer.code = 'sorteos'"
    assert books.value(line) == 500_000
    terms = "SELECT set_by FROM commission_terms t JOIN acquirer a ON a.id = t.acquirer_id WHERE a.code = 'sorteos'"
    assert books.value(terms) == "ana"
    assert books.value("SELECT count(*) FROM acquirer WHERE code = 'sorteos'") == 1
    assert books.check().agree


def test_terminals_are_registered_once_and_blocked_one_by_one(books: Books) -> None:
    """A list that overlaps adds what is new; a block is seen and taken back."""
    _add(books)
    assert register_terminals(books.engine, "sorteos", ["V1", "V2", "V1"], "Agencia") == ["V1", "V2"]
    assert register_terminals(books.engine, "sorteos", ["V2", "V3"], "Agencia") == ["V3"]
    set_terminal_blocked(books.engine, "sorteos", "V2", is_blocked=True)
    statuses = {code: status for code, _, status in read_terminals(books.engine, "sorteos")}
    assert statuses == {"V1": "active", "V2": "blocked", "V3": "active"}
    set_terminal_blocked(books.engine, "sorteos", "V2", is_blocked=False)
    assert {status for _, _, status in read_terminals(books.engine, "sorteos")} == {"active"}


def test_what_is_not_there_is_said(books: Books) -> None:
    """A misspelt network or terminal changes nothing."""
    with pytest.raises(NetworkMissing):
        register_terminals(books.engine, "sorteo", ["V1"], "")
    _add(books)
    with pytest.raises(TerminalMissing):
        set_terminal_blocked(books.engine, "sorteos", "V9", is_blocked=True)
    assert read_terminals(books.engine, "sorteos") == []
