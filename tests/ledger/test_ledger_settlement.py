"""Settlement days on a real database: cut-over, totals, and snapshots that no sale slips past."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from ledger.database import open_engine
from ledger.day_close import close_days, cut_over
from ledger.resolve import look
from ledger.reversal import find_originals
from ledger.totals import compare_totals
from tests.ledger.books import INDEBTED, NOW, PLAIN, Books, post_of, reserved_of, void_of, watch_statements
from vending.money import Centavos
from vending.order import AnswerRecord, Conflict, Repeated, RequestKey, UnresolvedLook
from vending.parked import ParkingLimits
from vending.response_code import ResponseCode
from vending.settlement import (
    CloseDays,
    Compared,
    CutOver,
    CutOverOrder,
    DayTotals,
    OurTotals,
    Sum,
    TheirTotals,
    TotalsOrder,
)

TODAY = date(2026, 8, 14)
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
LIMITS = ParkingLimits(sale_centavos_max=Centavos(5_000_000), terminal_day_centavos_max=Centavos(9_000_000))
MIDNIGHT = datetime(2026, 8, 15, 5, 0, 1, tzinfo=UTC)
"""One second of TOMORROW, in Bogotá."""


@pytest.fixture
def other(books: Books) -> Iterator[Engine]:
    """Connections of another process."""
    engine = open_engine(books.engine.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def cut(books: Books, closing: date = TODAY, at: datetime = NOW, **changes: Any) -> CutOver:
    """Ask for the cut-over of a day."""
    order = CutOverOrder(acquirer_id="banco", terminal_id="T0000001", closing=closing, received_at=at)
    return cut_over(books.engine, replace(order, **changes))


def close(books: Books, at: datetime = MIDNIGHT, acquirer: str = "banco") -> list[date]:
    """Close what is over; return the days of one network that were closed."""
    found = close_days(books.engine, CloseDays(at=at), polls_max=10)
    return [day for code, day in found.closed if code == acquirer]


def totals_order(stan: str = "000900", day: date = TODAY, **changes: Any) -> TotalsOrder:
    """A request of terminal T0000001 that says that nothing was sold."""
    key = RequestKey(acquirer_id="banco", terminal_id="T0000001", transmitted_at=NOW, stan=stan, message_class="0500")
    order = TotalsOrder(
        key=key,
        digest=b"totals" + stan.encode(),
        terminal_id="T0000001",
        settlement_date=day,
        theirs=TheirTotals(sales=Sum(), reversed=Sum()),
        rrn=stan,
        request=b"0500",
        received_at=NOW,
    )
    return replace(order, **changes)


def compare(books: Books, order: TotalsOrder) -> Any:
    """Compare one."""
    return compare_totals(books.engine, [order])[0]


def settlement_date(books: Books, code: str = "banco") -> date:
    """Of a network."""
    found: date = books.value("SELECT settlement_date FROM acquirer WHERE code = :code", code=code)
    return found


# Cut-over.


def test_a_cut_over_moves_the_day_once_however_often_it_is_asked_for(books: Books) -> None:
    """The day that is named is closed; sales reserved before stand on it, and those after on the next one."""
    before = books.reserve_one(books.order(PLAIN))
    assert cut(books) == CutOver(code=ResponseCode.APPROVED, is_moved=True)
    assert cut(books) == CutOver(code=ResponseCode.APPROVED, is_moved=False)
    after = books.reserve_one(books.order(6))
    assert (before.settlement_date, after.settlement_date) == (TODAY, TOMORROW)
    assert after.local_date == TODAY
    assert settlement_date(books) == TOMORROW
    assert settlement_date(books, "parado") == date(2000, 1, 1)
    books.post(post_of(before), post_of(after))
    dates = books.value("SELECT array_agg(settlement_date ORDER BY id) FROM sale")
    assert dates == [TODAY, TOMORROW]


@pytest.mark.parametrize(
    ("closing", "code"),
    [(YESTERDAY, ResponseCode.APPROVED), (TOMORROW, ResponseCode.FORMAT_ERROR)],
)
def test_only_the_present_day_can_be_closed(books: Books, closing: date, code: ResponseCode) -> None:
    """One that is past is closed already, by the clock; one that has not begun is refused, also after a cut-over."""
    assert cut(books, closing) == CutOver(code=code)
    assert settlement_date(books) == date(2000, 1, 1)
    cut(books)
    assert cut(books, closing) == CutOver(code=code)
    assert settlement_date(books) == TOMORROW


def test_a_cut_over_needs_a_terminal_of_the_network_that_may_work(books: Books) -> None:
    """Neither a stranger nor a blocked one moves anything."""
    assert cut(books, terminal_id="T9999999").code is ResponseCode.TERMINAL_UNKNOWN
    assert cut(books, terminal_id="T0000009").code is ResponseCode.TERMINAL_BLOCKED
    assert settlement_date(books) == date(2000, 1, 1)


def test_a_cut_over_waits_for_no_sale_and_no_sale_for_it(
    books: Books, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sales only read the row that moves: a cut-over in the middle of a reservation goes through, and so does the reservation."""
    results: list[CutOver] = []

    def tell(_connection: psycopg.Connection[Any], statement: str) -> None:
        if "INSERT INTO sale" in statement and not results:
            order = CutOverOrder(acquirer_id="banco", terminal_id="T0000001", closing=TODAY, received_at=NOW)
            results.append(cut_over(other, order))

    watch_statements(monkeypatch, tell)
    sale = books.reserve_one(books.order(PLAIN))
    assert results == [CutOver(code=ResponseCode.APPROVED, is_moved=True)]
    assert sale.settlement_date == TODAY
    assert books.reserve_one(books.order(6)).settlement_date == TOMORROW


# Snapshots.


def test_a_day_that_is_over_gets_its_totals_once(books: Books) -> None:
    """By terminal and kind, with the commission; a day without sales is closed too, and running again changes nothing."""
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.order(6, 3_000_000))
    books.sell(books.payment(INDEBTED, 500_000))
    books.post(void_of(books.reserve_one(books.order(7))))
    assert close(books, NOW) == []
    assert close(books) == [TODAY]
    sold = "SELECT settlement_date, terminal_code, sales, paid_centavos, commission_centavos FROM day_total WHERE kind = :kind"
    assert tuple(books.row(sold, kind="payment")) == (TODAY, "T0000001", 1, 500_000, 7_500)
    assert tuple(books.row(sold, kind="recharge")) == (TODAY, "T0000001", 2, 5_000_000, 75_000)
    assert close(books) == []
    assert close(books, MIDNIGHT + timedelta(days=2)) == [TOMORROW, TOMORROW + timedelta(days=1)]
    assert books.value("SELECT count(*) FROM closed_day WHERE acquirer_code = 'parado'") == 4
    assert books.value("SELECT count(*) FROM day_total") == 2
    assert books.check().agree


def test_a_cut_over_ahead_of_the_clock_closes_the_day_before_midnight(books: Books) -> None:
    """Its totals are written although the clock says it is still that day."""
    books.sell(books.order(PLAIN))
    cut(books)
    later = books.sell(books.order(6))
    assert close(books, NOW) == [TODAY]
    assert later.settlement_date == TOMORROW
    assert books.value("SELECT sum(sales) FROM day_total") == 1
    assert books.check().agree


def test_a_day_with_an_open_sale_stays_open_and_the_days_after_it_close(books: Books) -> None:
    """The sale is posted in the end, and only then its day is written, with it."""
    sale = books.reserve_one(books.order(PLAIN))
    at = MIDNIGHT + timedelta(days=1)
    found = close_days(books.engine, CloseDays(at=at))
    assert ("banco", TOMORROW) in found.closed
    assert found.left == (("banco", TODAY),)
    books.post(post_of(sale))
    assert close(books, at) == [TODAY]
    assert books.value("SELECT paid_centavos FROM day_total") == sale.paid_centavos
    assert books.check().agree


def test_a_sale_received_before_midnight_and_reserved_after_the_close_stands_on_the_next_day(books: Books) -> None:
    """It waited in a queue meanwhile; the snapshot of its local day is written and stays true."""
    close(books)
    sale = books.sell(books.order(PLAIN))
    assert (sale.local_date, sale.settlement_date) == (TODAY, TOMORROW)
    assert close(books, MIDNIGHT + timedelta(days=1)) == [TOMORROW]
    assert books.value("SELECT settlement_date FROM day_total") == TOMORROW
    assert books.check().agree


def test_a_day_is_not_closed_while_a_transaction_may_still_put_a_sale_on_it(
    books: Books, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservation that has read the date, and stops just before it writes, holds the close up; afterwards its sale is in the snapshot."""
    has_read, may_write = Event(), Event()
    reserving: list[int] = []

    def tell(connection: psycopg.Connection[Any], statement: str) -> None:
        if "INSERT INTO sale" in statement and not reserving:
            reserving.append(connection.info.backend_pid)
            has_read.set()
            assert may_write.wait(20)

    watch_statements(monkeypatch, tell)
    thread = Thread(target=books.reserve, args=(books.order(PLAIN),))
    thread.start()
    assert has_read.wait(20)
    while_open = close_days(other, CloseDays(at=MIDNIGHT), polls_max=10)
    may_write.set()
    thread.join(20)
    assert while_open.closed == ()
    assert books.value("SELECT settlement_date FROM sale") == TODAY
    still_reserved = close_days(other, CloseDays(at=MIDNIGHT))
    assert still_reserved.left == (("banco", TODAY),)
    monkeypatch.undo()
    (sale,) = _reserved(books)
    books.post(post_of(sale))
    assert close_days(other, CloseDays(at=MIDNIGHT)).closed == (("banco", TODAY),)
    assert books.value("SELECT sum(sales) FROM day_total") == 1
    assert books.check().agree


def _reserved(books: Books) -> list[Any]:
    (found,) = look(books.engine, [UnresolvedLook(reserved_before=NOW + timedelta(days=1), sales_max=16)])
    return list(found)


def test_sales_go_on_while_days_are_cut_over_and_closed(new_database: Callable[[], Engine]) -> None:
    """Two sellers and two closers at once, through three days: no sale is on a closed day and not in its snapshot."""
    books = Books(new_database(), meters=40)
    engines = [open_engine(books.engine.url.render_as_string(hide_password=False)) for _ in range(2)]
    clock = [NOW]
    ended = Event()
    faults: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            while not ended.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - told by the test
            faults.append(error)

    def seller(meters: list[int]) -> Callable[[], None]:
        def sell() -> None:
            orders = [books.order(meter, 100_000, received_at=clock[0]) for meter in meters]
            books.post(*[post_of(sale) for sale in reserved_of(books.reserve(*orders))])

        return sell

    def closer(engine: Engine) -> Callable[[], None]:
        def shut() -> None:
            close_days(engine, CloseDays(at=clock[0]))

        return shut

    meters = list(range(6, 40))
    workers = [seller(meters[:17]), seller(meters[17:]), *map(closer, engines)]
    threads = [Thread(target=run, args=(work,)) for work in workers]
    for thread in threads:
        thread.start()
    for _ in range(3):
        Event().wait(0.4)
        cut(books, clock[0].date(), clock[0])
        Event().wait(0.2)
        clock[0] += timedelta(days=1)
    Event().wait(0.4)
    ended.set()
    for thread in threads:
        thread.join(30)
    for engine in engines:
        engine.dispose()
    assert faults == []
    close(books, clock[0])
    assert books.value("SELECT count(DISTINCT settlement_date) FROM day_total") == 3
    assert books.value("SELECT count(*) FROM sale WHERE state = 'posted'") > 100
    report = books.check()
    assert report.agree, report.differences


# Totals.


def test_totals_that_agree_are_approved_and_kept(books: Books) -> None:
    """Recharges and payments apart; another day, another terminal and what was voided are not in them."""
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.payment(INDEBTED, 500_000))
    books.post(void_of(books.reserve_one(books.order(6))))
    order = books.order(7)
    books.sell(replace(order, key=replace(order.key, terminal_id="T0000002")))
    cut(books)
    books.sell(books.order(8))
    theirs = TheirTotals(sales=Sum(2, 2_500_000), reversed=Sum(), by_kind=(Sum(1, 2_000_000), Sum(1, 500_000)))
    found = compare(books, totals_order(theirs=theirs))
    ours = OurTotals(totals=DayTotals(recharges=Sum(1, 2_000_000), payments=Sum(1, 500_000)))
    assert found == Compared(code=ResponseCode.APPROVED, ours=ours)
    everybody = compare(books, totals_order("000901", terminal_id=None))
    assert everybody.code is ResponseCode.TOTALS_DIFFER
    assert everybody.ours.totals.recharges == Sum(2, 4_000_000)
    rows = books.row("SELECT array_agg(agrees ORDER BY id), array_agg(terminal_code ORDER BY id) FROM reconciliation")
    assert tuple(rows) == ([True, False], ["T0000001", None])
    assert books.value("SELECT ours -> 'recharge' ->> 'centavos' FROM reconciliation ORDER BY id LIMIT 1") == "2000000"


def test_totals_of_a_closed_day_are_those_of_its_snapshot(books: Books) -> None:
    """The same numbers before and after it closed, and it says so."""
    books.sell(books.order(PLAIN))
    before = compare(books, totals_order("000901"))
    close(books)
    for scope in ("T0000001", None):
        after = compare(books, totals_order(f"00091{scope is None:d}", terminal_id=scope))
        assert after.ours == replace(before.ours, is_closed=True)


def test_a_reversal_that_gave_money_back_stands_on_its_own_day(books: Books) -> None:
    """The sale stays on its day; what was given back is in the totals of the day on which that happened."""
    order = books.order(PLAIN, 2_000_000)
    sale = books.sell(order)
    cut(books)
    reversal = replace(
        books.reversal(order), key=replace(order.key, stan="900001", message_class="0400"), parking=LIMITS
    )
    find_originals(books.engine, [reversal])
    expected = {
        TODAY: DayTotals(recharges=Sum(1, sale.paid_centavos)),
        TOMORROW: DayTotals(reversed=Sum(1, sale.paid_centavos)),
    }
    for is_closed in (False, True):
        for day, totals in expected.items():
            found = compare(books, totals_order(f"00{is_closed:d}{day:%d}0", day))
            assert found.ours == OurTotals(totals=totals, is_closed=is_closed)
        close(books, MIDNIGHT + timedelta(days=1))
    assert books.check().agree


def test_open_sales_are_told_apart(books: Books) -> None:
    """They are in no sum but their own, so that who asks knows what may still be added."""
    books.reserve_one(books.order(PLAIN, 2_000_000))
    found = compare(books, totals_order())
    assert found.code is ResponseCode.APPROVED
    assert (found.ours.totals, found.ours.open) == (DayTotals(), Sum(1, 2_000_000))


def test_a_repeat_gets_the_stored_answer_and_other_totals_under_one_key_are_a_conflict(books: Books) -> None:
    """Until an answer is stored the comparison is made anew."""
    order = totals_order()
    first = compare(books, order)
    assert compare(books, order) == first
    books.post(AnswerRecord(key=order.key, code=first.code, answer=b"0510"))
    assert compare(books, order) == Repeated(answer=b"0510", code=ResponseCode.APPROVED)
    assert isinstance(compare(books, replace(order, digest=b"other")), Conflict)
    assert books.check().agree


def test_a_terminal_that_nobody_knows_is_told_so(books: Books) -> None:
    """And nothing of ours."""
    order = totals_order()
    found = compare(books, replace(order, key=replace(order.key, terminal_id="T9999999"), terminal_id="T9999999"))
    assert found.code is ResponseCode.TERMINAL_UNKNOWN
    assert books.value("SELECT count(*) FROM reconciliation") == 0


def test_a_day_is_found_by_block_ranges(books: Books) -> None:
    """Reading a network's day touches the days' own blocks and not the whole table."""
    with books.engine.connect() as connection:
        plan = connection.scalars(
            text(
                "EXPLAIN SELECT count(*) FROM sale WHERE settlement_date = '2026-08-14' AND acquirer_code = 'banco' AND state <> 'void'"
            )
        ).all()
    assert any("ix_sale_settlement_date" in line for line in plan), plan


def test_a_network_with_an_hour_of_its_own_changes_its_day_then(books: Books) -> None:
    """Before its time nothing happens; from then on its sales stand on tomorrow, the day behind is closed, and midnight adds nothing."""
    six = time(18, 0)
    zone = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    before, after = zone + timedelta(hours=22, minutes=59), zone + timedelta(hours=23)  # 17:59 and 18:00 in Bogota
    tomorrow = TODAY + timedelta(days=1)
    close_days(books.engine, CloseDays(at=before, cut_overs=(("banco", six),)))
    assert books.value("SELECT settlement_date FROM acquirer WHERE code = 'banco'") == TODAY
    found = [close_days(books.engine, CloseDays(at=after, cut_overs=(("banco", six),))) for _ in range(2)]
    assert books.value("SELECT settlement_date FROM acquirer WHERE code = 'banco'") == tomorrow
    assert ("banco", TODAY) not in found[-1].left
    assert (
        books.value(
            "SELECT count(*) FROM closed_day WHERE acquirer_code = 'banco' AND settlement_date = :day", day=TODAY
        )
        == 1
    )
    (sale,) = reserved_of(books.reserve(books.order(1, received_at=after)))
    assert sale.settlement_date == tomorrow
    close_days(books.engine, CloseDays(at=MIDNIGHT, cut_overs=(("banco", six),)))
    assert books.value("SELECT settlement_date FROM acquirer WHERE code = 'banco'") == tomorrow
