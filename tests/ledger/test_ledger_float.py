"""The float is exact: in order of arrival, never oversold, whatever sells at the same time."""

import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from ledger.database import open_engine
from ledger.post import post
from ledger.reserve import Reserver
from ledger.tariffs import load_tariffs
from tests.ledger.books import POLICY, Books, post_of, reserved_of, void_of
from vending.money import Centavos
from vending.order import Busy, Declined, Reserved, ReserveResult
from vending.response_code import ResponseCode


def test_orders_take_from_the_float_as_they_arrive(new_database: Callable[[], Engine]) -> None:
    """What does not fit is declined; a smaller order behind it still fits; a void makes room again."""
    books = Books(new_database(), deposit=Centavos(5_000_000))
    results = books.reserve(
        *[books.order(meter, paid) for meter, paid in ((1, 3_000_000), (6, 2_500_000), (7, 2_000_000))]
    )
    assert [type(result) for result in results] == [Reserved, Declined, Reserved]
    assert isinstance(results[1], Declined)
    assert results[1].code is ResponseCode.FLOAT_SHORT
    # What is told is what stood behind each sale, and for the refused one what did not suffice.
    assert [sale.available_centavos for sale in reserved_of(results)] == [2_000_000, 0]
    assert results[1].available_centavos == 2_000_000
    assert books.float_row().pending_centavos == 5_000_000
    (short,) = books.reserve(books.order(8, 100_000))
    assert isinstance(short, Declined)
    books.post(void_of(reserved_of(results)[0]), post_of(reserved_of(results)[1]))
    books.sell(books.order(8, 3_000_000))
    assert tuple(books.float_row()) == (0, 0)
    assert books.check().agree


def test_a_credit_line_is_sold_too_but_not_beyond(new_database: Callable[[], Engine]) -> None:
    """A network without a deposit sells up to its line."""
    books = Books(new_database(), deposit=Centavos(1))
    books.execute("UPDATE account SET credit_line_centavos = 2000000 WHERE code = 'float:banco'")
    books.sell(books.order(1, 2_000_001))
    (short,) = books.reserve(books.order(6, 100_000))
    assert isinstance(short, Declined)
    assert short.code is ResponseCode.FLOAT_SHORT
    assert books.check().agree


def test_a_float_short_comes_before_a_missing_tariff(new_database: Callable[[], Engine]) -> None:
    """Both apply, and the one that stands first is answered."""
    books = Books(new_database(), deposit=Centavos(100_000))
    (result,) = books.reserve(books.order(5, 200_000))
    assert isinstance(result, Declined)
    assert result.code is ResponseCode.FLOAT_SHORT


def test_threads_on_one_float_and_colliding_meters(new_database: Callable[[], Engine]) -> None:
    """Six sellers with different and equal meters empty one float to the last order that fits, and not one peso further."""
    deposit, paid, meters = 30_000_000, 1_000_000, 12
    books = Books(new_database(), meters=meters, deposit=Centavos(deposit))
    seen: Counter[str] = Counter()
    failures: list[BaseException] = []
    lock = threading.Lock()

    def sell(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(12):
                with lock:
                    orders = [
                        books.order(meter, paid)
                        for meter in chance.choices([1, 6, 7, 8, 9, 10, 11, 12], k=chance.randint(1, 6))
                    ]
                results = books.reserve(*orders)
                sales = reserved_of(results)
                ended = [post_of(sale) if chance.random() < 0.8 else void_of(sale) for sale in sales]
                books.post(*ended)
                with lock:
                    seen.update(type(result).__name__ for result in results)
                    seen.update(type(end).__name__ for end in ended)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is reported by the test
            failures.append(error)

    threads = [threading.Thread(target=sell, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen["Declined"] > 0
    assert seen["Busy"] > 0
    assert seen["SalePost"] * paid == deposit
    assert tuple(books.float_row()) == (0, 0)
    assert books.check().agree


def test_the_balance_told_with_a_sale_is_exact_whoever_sells_at_the_same_time(
    new_database: Callable[[], Engine],
) -> None:
    """Sellers in threads, in batches of three: the balances of all sales are the deposit less 1, 2, 3, ... prices, each once."""
    deposit, paid, meters = 60_000_000, 1_000_000, 13
    books = Books(new_database(), meters=meters, deposit=Centavos(deposit))
    batches = [[books.order(meter, paid) for meter in group] for group in ((1, 6, 7), (8, 9, 10), (11, 12, 13))]
    told: list[int | None] = []

    def sell(number: int) -> None:
        sales = reserved_of(books.reserve(*batches[number]))
        told.extend(sale.available_centavos for sale in sales)

    threads = [threading.Thread(target=sell, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each or 0 for each in told) == [deposit - count * paid for count in range(9, 0, -1)]


def test_the_same_key_from_several_threads_is_one_sale(books: Books) -> None:
    """A repeat that another process receives at the same moment never sells a second time."""
    orders = [books.order(meter) for meter in (1, 6, 7)]
    results: list[object] = []

    def reserve() -> None:
        results.extend(books.reserve(*orders))

    threads = [threading.Thread(target=reserve) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([result for result in results if isinstance(result, Reserved)]) == 3
    assert not [result for result in results if isinstance(result, Declined | Busy)]
    assert books.value("SELECT count(*) FROM sale") == 3
    assert books.check().agree


@pytest.mark.parametrize("short_centavos", [0, 1_500_000])
def test_two_switches_on_one_float_never_oversell_nor_refuse_while_there_is_enough(
    new_database: Callable[[], Engine], short_centavos: int
) -> None:
    """Two sets of ledger workers, as two switch processes have them, sell one float to its last sale; only what is missing is refused."""
    paid, rounds, meters = 100_000, 40, 12
    demand = 2 * rounds * meters // 2 * paid
    # Each set sells on meters of its own, so that nothing but the float can refuse.
    books = Books(new_database(), meters=meters, deposit=Centavos(demand - short_centavos))
    books.execute("UPDATE meter SET status = 'active'")
    books.execute("UPDATE meter SET stratum = 1, service = 0")
    dsn = books.engine.url.render_as_string(hide_password=False)
    results: list[ReserveResult] = []
    failures: list[BaseException] = []
    lock = threading.Lock()

    def sell(own: range) -> None:
        try:
            reserving, posting = open_engine(dsn, pool_size=1), open_engine(dsn, pool_size=1)
            reserver = Reserver(reserving, load_tariffs(reserving), POLICY)
            for _ in range(rounds):
                with lock:
                    orders = [books.order(meter, paid) for meter in own]
                found = reserver.reserve(orders)
                post(posting, [post_of(sale) for sale in reserved_of(found)])
                with lock:
                    results.extend(found)
            reserving.dispose()
            posting.dispose()
        except BaseException as error:  # noqa: BLE001 - a thread's failure is reported by the test
            failures.append(error)

    threads = [threading.Thread(target=sell, args=(own,)) for own in (range(1, 7), range(7, 13))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    declined = [result for result in results if isinstance(result, Declined)]
    assert {result.code for result in declined} <= {ResponseCode.FLOAT_SHORT}
    assert len(declined) * paid == short_centavos
    assert len(reserved_of(results)) + len(declined) == demand // paid
    assert tuple(books.float_row()) == (0, 0)
    assert books.check().agree
