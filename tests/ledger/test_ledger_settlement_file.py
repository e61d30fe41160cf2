"""The settlement file: what stands in it, that it never changes, and that it is the day's totals line by line."""

import hashlib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.network_look import look_at_networks
from ledger.settlement_file import DayNotClosed, SettlementDiffers, SettlementFile, write_settlement_file
from ledger.totals import our_totals
from messages.settlement_file import SettlementReader
from tests.ledger.books import INDEBTED, NOW, PLAIN, Books, void_of
from tests.ledger.test_ledger_network_terms import agree, terms
from tests.ledger.test_ledger_parking import park, reversal_of, reverse
from tests.ledger.test_ledger_settlement import MIDNIGHT, TODAY, TOMORROW, close, cut
from vending.parked import Parking
from vending.settlement import LookAtNetworks, NetworksSeen


def write(books: Books, directory: Path, day: Any = TODAY, **changes: Any) -> SettlementFile:
    """Write the file of the network that sells here."""
    return write_settlement_file(books.engine, "banco", day, directory, MIDNIGHT, **changes)


@pytest.fixture
def sold(books: Books) -> Books:
    """A closed day with a recharge, a payment, a parked sale and one that was voided; the day after it one is reversed."""
    agree(books, terms(TODAY, (0, 150, 20_000)))
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.payment(INDEBTED, 500_050))
    park(books, 6, 3_000_000)
    order = books.order(8, 1_000_000)
    books.sell(order)
    books.post(void_of(books.reserve_one(books.order(7))))
    assert reverse(books, reversal_of(books, order, received_at=MIDNIGHT)) == [Parking.PARKED]
    assert close(books, MIDNIGHT + timedelta(days=1)) == [TODAY, TOMORROW]
    return books


def test_a_file_says_what_was_sold_line_by_line(sold: Books, tmp_path: Path) -> None:
    """Header, sales and the day's own reversal in the order of receipts, the sums, and the digest of what stands before it."""
    made = write(sold, tmp_path)
    octets = made.path.read_bytes()
    lines = octets.decode("ascii").splitlines()
    receipts = sold.row("SELECT array_agg(id ORDER BY id) FROM sale WHERE state = 'posted'")[0]
    key = "T0000001,2026-08-14T10:30:00"
    assert lines[0] == "H,1,banco,2026-08-14,banco-20260814-v1"
    assert lines[1] == f"S,{receipts[0]},000001,000000000001,{key},2000000,50000,9500,1940500"
    assert lines[2] == f"P,{receipts[1]},000002,000000000002,{key},500050,27500,5225,467325"
    assert lines[3] == f"S,{receipts[2]},000003,000000000003,{key},3000000,65000,12350,2922650"
    assert lines[4] == f"R,{receipts[2]},000003,000000000003,{key},-3000000,-65000,-12350,-2922650"
    assert lines[5].startswith(f"S,{receipts[3]},")
    above = octets[: octets.rindex(b"T,")]
    assert lines[6] == f"T,5,4,6500050,1,3000000,112500,21375,3366175,{hashlib.sha256(above).hexdigest()}"
    assert len(lines) == 7
    assert hashlib.sha256(octets).hexdigest() == made.sha256
    assert made.path.stat().st_mode & 0o777 == 0o640


def test_it_agrees_with_what_is_answered_to_the_network(sold: Books, tmp_path: Path) -> None:
    """The 0520 of the day, the proof of the books, and the reader of the file say the same."""
    made = write(sold, tmp_path)
    with sold.engine.connect() as connection:
        totals = our_totals(connection, "banco", None, TODAY).totals
    assert (made.sums.sales, made.sums.sales_centavos) == (totals.sales.count, totals.sales.centavos)
    assert (made.sums.reversals, made.sums.reversals_centavos) == (totals.reversed.count, totals.reversed.centavos)
    with made.path.open("rb") as file:
        reader = SettlementReader(file)
        assert sum(line.paid_centavos for _, line in reader.lines()) == totals.net_centavos
    assert (reader.acquirer_id, reader.day) == ("banco", TODAY)
    assert sold.check().agree


def test_a_networks_first_file_is_of_its_first_day_in_business(sold: Books, tmp_path: Path) -> None:
    """That of its first sale; none is delivered, made or compared of the day before, where its row of closed days begins."""
    look = LookAtNetworks(at=MIDNIGHT + timedelta(days=1), directories=(("banco", str(tmp_path)),))
    assert look_at_networks(sold.engine, look).delivered == (("banco", TODAY), ("banco", TOMORROW))
    before = TODAY - timedelta(days=1)
    assert sold.value("SELECT min(settlement_date) FROM closed_day WHERE acquirer_code = 'banco'") == before
    with pytest.raises(DayNotClosed):
        write(sold, tmp_path, before)
    assert sold.check().agree


def test_without_a_sale_it_is_of_the_day_on_which_the_network_was_created(books: Books, tmp_path: Path) -> None:
    """Also where that day was cut over before midnight: its file is there, with nothing in it."""
    cut(books)
    assert close(books, NOW) == [TODAY]
    assert close(books, acquirer="parado") == [TODAY]
    look = LookAtNetworks(at=MIDNIGHT, directories=(("banco", str(tmp_path)), ("parado", str(tmp_path))))
    assert look_at_networks(books.engine, look).delivered == (("banco", TODAY), ("parado", TODAY))
    assert write(books, tmp_path).sums.sales == 0


def test_made_again_it_is_the_same_octet_for_octet(sold: Books, tmp_path: Path) -> None:
    """Also after the day's sales were reversed on a later day, and in another place."""
    first = write(sold, tmp_path).path.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    assert write(sold, other).path.read_bytes() == first
    assert write(sold, tmp_path, is_delivery=True).path.read_bytes() == first
    next_day = write(sold, tmp_path, TOMORROW)
    assert (next_day.sums.sales, next_day.sums.reversals, next_day.sums.net_centavos) == (0, 1, -958_350)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "banco-20260814-v1.csv",
        "banco-20260815-v1.csv",
    ]


def test_a_file_that_would_be_another_one_is_not_written(sold: Books, tmp_path: Path) -> None:
    """Neither when the lines do not make the totals, nor when they do and the file was another; the old one stays."""
    path = write(sold, tmp_path).path
    first = path.read_bytes()
    sold.execute("UPDATE sale SET rrn = 'x' WHERE stan = '000001'")
    with pytest.raises(SettlementDiffers, match="another file"):
        write(sold, tmp_path)
    sold.execute("UPDATE sale SET commission_centavos = commission_centavos + 1 WHERE stan = '000001'")
    with pytest.raises(SettlementDiffers, match="totals"):
        write(sold, tmp_path)
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_day_that_may_change_has_no_file(books: Books, tmp_path: Path) -> None:
    """Nor has an unknown network."""
    books.sell(books.order())
    with pytest.raises(DayNotClosed):
        write(books, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_look_delivers_each_day_once_and_tells_what_it_could_not_write(sold: Books, tmp_path: Path) -> None:
    """What a network fetched and moved away is not put there again; a missing directory is told, and later nothing is lost."""
    at = MIDNIGHT + timedelta(days=1)
    gone = look_at_networks(sold.engine, LookAtNetworks(at=at, directories=(("banco", str(tmp_path / "away")),)))
    assert (gone.delivered, [name for name, _ in gone.failed]) == ((), ["banco"])
    seen = look_at_networks(sold.engine, LookAtNetworks(at=at, directories=(("banco", str(tmp_path)),)))
    assert seen.delivered == tuple(("banco", day) for day in (TODAY, TOMORROW))
    assert {level.acquirer_id for level in seen.floats} == {"banco", "parado"}
    for path in tmp_path.iterdir():
        path.unlink()
    again = look_at_networks(sold.engine, LookAtNetworks(at=at, directories=(("banco", str(tmp_path)),)))
    assert (again.delivered, again.failed, list(tmp_path.iterdir())) == ((), (), [])
    assert look_at_networks(sold.engine, LookAtNetworks(at=NOW)).delivered == ()


def test_of_two_processes_that_look_at_once_one_delivers(
    sold: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one writes the files the other leaves them alone; it sees the floats all the same, and finds nothing left afterwards."""
    at = MIDNIGHT + timedelta(days=1)
    look = LookAtNetworks(at=at, directories=(("banco", str(tmp_path)),))
    is_writing, may_go_on = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **more: Any) -> SettlementFile:
        is_writing.set()
        assert may_go_on.wait(20)
        return write_settlement_file(*arguments, **more)

    monkeypatch.setattr("ledger.network_look.write_settlement_file", slowly)
    seen: list[NetworksSeen] = []
    first = threading.Thread(target=lambda: seen.append(look_at_networks(sold.engine, look)))
    first.start()
    try:
        assert is_writing.wait(20)
        monkeypatch.setattr("ledger.network_look.write_settlement_file", write_settlement_file)
        second = look_at_networks(sold.engine, look)
    finally:
        may_go_on.set()
        first.join(20)
    assert (second.delivered, second.failed, len(second.floats)) == ((), (), 2)
    assert len(seen[0].delivered) == 2
    assert look_at_networks(sold.engine, look).delivered == ()
