"""The kill switch of a network: no new sale, everything else goes on, and it is kept who did it and why."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.last_answer import find_last_answers
from ledger.network_status import NetworkUnknown, read_networks, start_network, stop_network
from tests.ledger.books import NOW, Books
from vending.order import Declined, Repeated, Reserved, ReserveResult, SaleOrder
from vending.response_code import ResponseCode
from vending.service import Service

STOPPED = Declined(code=ResponseCode.ACQUIRER_STOPPED)


def _reserve(books: Books, order: SaleOrder) -> ReserveResult:
    (result,) = books.reserve(order)
    return result


def test_a_stopped_network_sells_nothing_new_until_it_is_started(books: Books) -> None:
    """The repeat of an older sale is answered, its last answer is told, and a decline stays declined."""
    order, refused = books.order(), books.order(6)
    sale = books.sell(order)
    assert stop_network(books.engine, "banco", user="ana", why="fraude", at=NOW)
    assert _reserve(books, refused) == STOPPED
    assert isinstance(_reserve(books, order), Repeated)
    (told,) = find_last_answers(books.engine, [books.last_answer(order)])
    assert (told.code, told.sale) == (ResponseCode.APPROVED, sale)
    assert start_network(books.engine, "banco", user="eva", why="aclarado", at=NOW)
    assert isinstance(_reserve(books, books.order(6)), Reserved)
    assert books.check().agree


def test_who_did_it_and_why_is_kept_and_shown(books: Books) -> None:
    """Done twice it is written once."""
    assert stop_network(books.engine, "banco", user="ana", why="fraude", at=NOW)
    assert not stop_network(books.engine, "banco", user="leo", why="otra vez", at=NOW)
    status = {each.id: each for each in read_networks(books.engine)}
    shown = status["banco"]
    assert (shown.is_stopped, shown.action, shown.ordered_by, shown.why) == (True, "stop", "ana", "fraude")
    assert shown.ordered_at == NOW
    assert shown.available_centavos > 0
    assert (status["parado"].is_stopped, status["parado"].ordered_by) == (True, None)
    assert books.value("SELECT count(*) FROM network_order") == 1
    assert start_network(books.engine, "banco", user="eva", why="aclarado", at=NOW)
    assert not start_network(books.engine, "banco", user="eva", why="aclarado", at=NOW)
    assert books.value("SELECT count(*) FROM network_order") == 2


@pytest.mark.parametrize("act", [stop_network, start_network])
def test_a_network_that_is_not_there_is_told(books: Books, act: Callable[..., bool]) -> None:
    """A misspelt id stops nobody, and the operator knows."""
    with pytest.raises(NetworkUnknown):
        act(books.engine, "bnco", user="ana", why="fraude", at=NOW)


def test_a_refusal_of_the_network_is_journaled_and_repeated(books: Books) -> None:
    """What was refused by hours or amount stays so for that request, and takes nothing."""
    order = replace(books.order(), refused=ResponseCode.OUTSIDE_HOURS)
    before = books.float_row()
    refused = _reserve(books, order)
    assert isinstance(refused, Declined)
    assert refused.code is ResponseCode.OUTSIDE_HOURS
    assert books.float_row() == before
    again = _reserve(books, replace(order, refused=None))
    assert isinstance(again, Declined)
    assert again.code is ResponseCode.OUTSIDE_HOURS


def test_a_request_that_names_no_service_is_judged_by_its_meter(books: Books) -> None:
    """Only the ledger knows what the meter measures."""
    order = replace(books.order(), service=None)
    water = replace(order, services=frozenset({Service.WATER}))
    refused = _reserve(books, water)
    assert isinstance(refused, Declined)
    assert refused.code is ResponseCode.NOT_PERMITTED
    other = replace(books.order(), service=None, services=frozenset({Service.ENERGY}))
    assert isinstance(_reserve(books, other), Reserved)
