"""The last answer of a terminal: its own sales only, the same digits, each time counted before they can leave."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ledger.last_answer import find_last_answers
from ledger.reversal import find_originals
from tests.ledger.books import BLOCKED, INDEBTED, Books, post_of, void_of
from vending.money import Centavos
from vending.order import LastAnswerFound, OriginalFound
from vending.parked import Parking, ParkingLimits
from vending.response_code import ResponseCode

LIMITS = ParkingLimits(sale_centavos_max=Centavos(5_000_000), terminal_day_centavos_max=Centavos(100_000_000))
NOT_FOUND = LastAnswerFound(code=ResponseCode.ORIGINAL_NOT_FOUND)


def test_the_last_sale_comes_with_its_digits_and_is_counted(books: Books) -> None:
    """Not an earlier one; each time is one row more, and the number goes up."""
    books.sell(books.order())
    order = books.order(INDEBTED)
    sale = books.sell(order)
    for number in (1, 2, 3):
        (found,) = find_last_answers(books.engine, [books.last_answer()])
        assert found == LastAnswerFound(
            code=ResponseCode.APPROVED,
            original=order.key,
            original_code=ResponseCode.APPROVED,
            rrn=order.rrn,
            sale=sale,
            tokens=tuple(post_of(sale).tokens),
            reprint_count=number,
        )
        assert books.value("SELECT count(*) FROM reprint WHERE sale_id = :id", id=sale.sale_id) == number
    row = books.row("SELECT acquirer_code, terminal_code, printed_at FROM reprint LIMIT 1")
    assert tuple(row) == ("banco", "T0000001", books.last_answer().asked_at)
    assert books.check().agree


def test_a_named_sale_is_found_by_its_key(books: Books) -> None:
    """An earlier one, too."""
    order = books.order()
    sale = books.sell(order)
    books.sell(books.order(6))
    (found,) = find_last_answers(books.engine, [books.last_answer(order)])
    assert (found.sale, found.original, found.reprint_count) == (sale, order.key, 1)


def test_an_open_sale_is_in_progress(books: Books) -> None:
    """As the last one and by name; nothing is counted."""
    order = books.order()
    books.reserve_one(order)
    found = find_last_answers(books.engine, [books.last_answer(), books.last_answer(order)])
    assert found == [LastAnswerFound(code=ResponseCode.IN_PROGRESS)] * 2
    assert books.value("SELECT count(*) FROM reprint") == 0


def test_declined_and_void_are_told_by_their_code(books: Books) -> None:
    """A request that never reserved anything is found by name; a void sale also as the last one. Neither has digits."""
    declined, voided = books.order(BLOCKED), books.order()
    books.reserve(declined)
    books.post(void_of(books.reserve_one(voided)))
    found = find_last_answers(
        books.engine, [books.last_answer(declined), books.last_answer(voided), books.last_answer()]
    )
    assert [(each.code, each.original, each.original_code, each.sale, each.tokens) for each in found] == [
        (ResponseCode.APPROVED, declined.key, ResponseCode.METER_BLOCKED, None, ()),
        (ResponseCode.APPROVED, voided.key, ResponseCode.MODULE_REFUSED, None, ()),
        (ResponseCode.APPROVED, voided.key, ResponseCode.MODULE_REFUSED, None, ()),
    ]
    assert books.value("SELECT count(*) FROM reprint") == 0


def test_nothing_known_is_not_found(books: Books) -> None:
    """A terminal that never sold, a request that never came, one that was barred before it came."""
    unknown, barred = books.order(), books.order()
    find_originals(books.engine, [books.reversal(barred)])
    assert (
        find_last_answers(books.engine, [books.last_answer(), books.last_answer(unknown), books.last_answer(barred)])
        == [NOT_FOUND] * 3
    )


def test_a_terminal_sees_only_its_own(books: Books) -> None:
    """Neither the last sale nor a named one of a neighbour, nor of a terminal of the same name in another network."""
    order = books.order()
    books.sell(order)
    books.execute("UPDATE acquirer SET status = 'active' WHERE code = 'parado'")
    changes: list[dict[str, Any]] = [{"terminal_id": "T0000002"}, {"acquirer_id": "parado"}]
    for change in changes:
        last = books.last_answer(**change)
        named = books.last_answer(order, **change)
        assert find_last_answers(books.engine, [last, named]) == [NOT_FOUND] * 2
    assert books.value("SELECT count(*) FROM reprint") == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"terminal_id": "T0000009"}, ResponseCode.TERMINAL_BLOCKED),
        ({"terminal_id": "T7777777"}, ResponseCode.TERMINAL_UNKNOWN),
        ({"acquirer_id": "nadie"}, ResponseCode.TERMINAL_UNKNOWN),
    ],
)
def test_who_is_not_served_is_told_nothing(books: Books, change: dict[str, Any], code: ResponseCode) -> None:
    """A blocked terminal may be a stolen one."""
    order = books.order()
    books.sell(order)
    books.execute("UPDATE sale SET terminal_code = 'T0000009'")
    books.execute("UPDATE journal SET terminal_code = 'T0000009'")
    assert find_last_answers(books.engine, [books.last_answer(**change)]) == [LastAnswerFound(code=code)]
    assert books.value("SELECT count(*) FROM reprint") == 0


def test_twins_within_a_batch_have_numbers_of_their_own(books: Books) -> None:
    """Each is a ticket more, in the order they came."""
    order = books.order()
    books.sell(order)
    found = find_last_answers(books.engine, [books.last_answer(), books.last_answer(order), books.last_answer()])
    assert [each.reprint_count for each in found] == [1, 2, 3]


def test_copies_asked_for_at_once_have_numbers_of_their_own(books: Books) -> None:
    """Two switch processes never print the same number."""
    books.sell(books.order())
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(find_last_answers, books.engine, [books.last_answer()]) for _ in range(24)]
        numbers = [each.result()[0].reprint_count for each in asked]
    assert sorted(numbers) == list(range(1, 25))


def test_an_empty_batch_is_nothing(books: Books) -> None:
    """No statement at all."""
    assert find_last_answers(books.engine, []) == []


def test_a_parked_sale_shows_no_digits(books: Books) -> None:
    """Its money went back and its token is kept for the next sale on the meter: shown here, it would be energy for nothing."""
    order = books.order()
    books.sell(order)
    find_originals(books.engine, [books.reversal(order, parking=LIMITS)])
    assert find_last_answers(books.engine, [books.last_answer(), books.last_answer(order)]) == [NOT_FOUND] * 2
    assert books.value("SELECT count(*) FROM reprint") == 0
    claiming = books.sell(books.order())
    (found,) = find_last_answers(books.engine, [books.last_answer()])
    assert found.sale == claiming
    assert len(claiming.claimed) == 1
    assert books.check().agree


def test_digits_that_leave_and_a_reversal_that_parks_exclude_each_other(books: Books) -> None:
    """Asked for at once, a sale is either shown and stands, or is parked and not shown."""
    for _ in range(12):
        order = books.order()
        sale = books.sell(order)
        with ThreadPoolExecutor(2) as pool:
            told = pool.submit(find_last_answers, books.engine, [books.last_answer(order)])
            reversed_ = pool.submit(find_originals, books.engine, [books.reversal(order, parking=LIMITS)])
            (found,), (original,) = told.result(), reversed_.result()
        assert isinstance(original, OriginalFound)
        assert (found.sale is not None) is (original.parking is not Parking.PARKED), (sale, found, original.parking)
