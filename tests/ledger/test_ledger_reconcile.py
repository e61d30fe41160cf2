"""A network's file against the books: every kind of difference, both layouts, once per file, and decisions of people."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.reconcile import (
    Difference,
    DifferenceRefused,
    Run,
    TheirFile,
    compare_file,
    decide,
    differences_of,
    open_differences,
)
from ledger.settlement_file import DayNotClosed
from messages.partner_csv import ColumnMapping
from messages.settlement_file import SettlementFileError
from tests.ledger.books import INDEBTED, NOW, PLAIN, Books
from tests.ledger.test_ledger_network_terms import agree, terms
from tests.ledger.test_ledger_parking import park
from tests.ledger.test_ledger_settlement import MIDNIGHT, TODAY, TOMORROW, close
from tests.ledger.test_ledger_settlement_file import write

MAPPING = ColumnMapping(
    columns={
        "receipt": "recibo",
        "terminal": "datafono",
        "stan": "traza",
        "rrn": "rrn",
        "kind": "tipo",
        "amount": "valor",
        "commission": "comision",
    },
    kinds={"VENTA": "S", "PAGO": "P", "REVERSO": "R"},
    delimiter=";",
)
HEADINGS = "tipo;recibo;datafono;traza;rrn;valor;comision"


@pytest.fixture
def sold(books: Books) -> Books:
    """A closed day: three sales, of which one is a payment, and one of them reversed."""
    agree(books, terms(TODAY, (0, 150, 0)))
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.payment(INDEBTED, 500_000))
    park(books, 6, 3_000_000)
    assert close(books) == [TODAY]
    return books


def compare(books: Books, path: Path, **changes: Any) -> Run:
    """Compare a file in our layout."""
    return compare_file(books.engine, replace(TheirFile(path=path), **changes), user="ana", at=MIDNIGHT)


def compare_csv(books: Books, directory: Path, *rows: str, mapping: ColumnMapping = MAPPING) -> Run:
    """Compare a file in the network's own layout."""
    path = directory / "red.csv"
    path.write_text("\n".join([HEADINGS, *rows, ""]), encoding="utf-8")
    return compare(books, path, mapping=mapping, acquirer_id="banco", day=TODAY)


def told(books: Books, run: Run) -> list[tuple[Any, ...]]:
    """What differed, without ids."""
    return sorted(
        (each.kind, each.line_kind, each.stan, each.their_line, each.ours[0], each.theirs[0])
        for each in differences_of(books.engine, run.run_id)
    )


def test_our_own_file_comes_back_without_a_difference(sold: Books, tmp_path: Path) -> None:
    """And the same file again is the same run."""
    path = write(sold, tmp_path).path
    run = compare(sold, path)
    assert (run.our_lines, run.their_lines, run.matched, run.differences, run.is_repeat) == (4, 4, 4, 0, False)
    assert compare(sold, path, acquirer_id="banco", day=TODAY) == replace(run, is_repeat=True)
    assert sold.value("SELECT count(*) FROM settlement_run") == 1
    assert sold.check().agree


def test_every_kind_of_difference_is_found(sold: Books, tmp_path: Path) -> None:
    """A line that they lack, one that we lack, one with another amount, one with another commission, one twice."""
    first, second, third = sold.row("SELECT array_agg(id ORDER BY id) FROM sale")[0]
    run = compare_csv(
        sold,
        tmp_path,
        f"VENTA;{first};;;;20.000,01;300",
        f"PAGO;{second};T0000001;000002;x;5.000;75,1",
        "VENTA;;T0000001;000003;000000000003;30.000;",
        "VENTA;;T0000001;000003;000000000003;30.000;",
        "VENTA;;T0000002;000003;000000000003;30.000;",
        "VENTA;999999;;;;1.000;",
    )
    assert (run.our_lines, run.their_lines, run.matched, run.differences) == (4, 6, 1, 6)
    assert told(sold, run) == [
        ("amounts_differ", "P", "000002", 3, 500_000, 500_000),
        ("amounts_differ", "S", "000001", 2, 2_000_000, 2_000_001),
        ("duplicate", "S", "000003", 5, None, 3_000_000),
        ("ours_only", "R", "000003", None, -3_000_000, None),
        ("theirs_only", "S", "", 7, None, 100_000),
        ("theirs_only", "S", "000003", 6, None, 3_000_000),
    ]
    assert sold.check().agree
    assert sold.value("SELECT count(*) FROM entry WHERE kind = 'adjustment'") == 0
    assert third not in (each.receipt for each in differences_of(sold.engine, run.run_id) if each.kind == "duplicate")


def test_a_receipt_twice_is_a_duplicate_and_a_reversal_is_not_its_sale(sold: Books, tmp_path: Path) -> None:
    """By receipt too the second line stands twice; sale and reversal of one receipt are two lines."""
    receipt = sold.value("SELECT id FROM sale WHERE stan = '000003'")
    run = compare_csv(sold, tmp_path, *[f"{kind};{receipt};;;;30.000;" for kind in ("VENTA", "REVERSO", "REVERSO")])
    assert (run.matched, run.differences) == (2, 3)
    assert [each[:4] for each in told(sold, run) if each[0] == "duplicate"] == [("duplicate", "R", "", 4)]


def test_lines_that_look_alike_are_paired_one_by_one(sold: Books, tmp_path: Path) -> None:
    """Two sales of ours with one STAN and RRN are two lines of theirs; a third is one too many."""
    sold.execute("UPDATE sale SET stan = '000001', rrn = '000000000001', paid_centavos = 2000000, kind = 'recharge'")
    row = "VENTA;;T0000001;000001;000000000001;20.000;"
    run = compare_csv(sold, tmp_path, row, row, row, row, mapping=MAPPING)
    assert [each[0] for each in told(sold, run)] == ["duplicate", "ours_only"]


def test_a_difference_is_decided_once_by_a_person(sold: Books, tmp_path: Path) -> None:
    """It leaves the open list; deciding the same again is nothing new, another way is refused; no money moves."""
    run = compare_csv(sold, tmp_path)
    found: list[Difference] = open_differences(sold.engine, "banco")
    assert len(found) == run.differences == 4
    assert open_differences(sold.engine, "parado") == []
    first = found[0].difference_id
    decided = decide(sold.engine, first, "ours_stands", user="luz", why=" su archivo llegó vacío ", at=NOW)
    assert (decided.decision, decided.decided_by, decided.why) == ("ours_stands", "luz", "su archivo llegó vacío")
    assert decide(sold.engine, first, "ours_stands", user="luz", why="otra vez", at=NOW) == decided
    for decision, user in (("theirs_stands", "luz"), ("ours_stands", "ana")):
        with pytest.raises(DifferenceRefused, match="luz"):
            decide(sold.engine, first, decision, user=user, why="x", at=NOW)
    with pytest.raises(DifferenceRefused, match="999"):
        decide(sold.engine, 999, "no_action", user="luz", why="x", at=NOW)
    assert len(open_differences(sold.engine)) == 3


@pytest.mark.parametrize("changes", [{"acquirer_id": "parado"}, {"day": TOMORROW}])
def test_a_file_of_another_network_or_day_is_refused(sold: Books, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whoever mixes up two files is told."""
    with pytest.raises(SettlementFileError, match="it is of banco on 2026-08-14"):
        compare(sold, write(sold, tmp_path).path, **changes)
    assert sold.value("SELECT count(*) FROM settlement_run") == 0


def test_a_broken_file_or_an_open_day_writes_nothing(sold: Books, tmp_path: Path) -> None:
    """A file cut in the middle, one for a day that may change, and one that nobody says the day of."""
    path = write(sold, tmp_path).path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(SettlementFileError, match="trailer"):
        compare(sold, path)
    late = TheirFile(path=path, mapping=MAPPING, acquirer_id="banco", day=date(2026, 8, 20))
    path.write_text(HEADINGS + "\n")
    with pytest.raises(DayNotClosed):
        compare_file(sold.engine, late, user="ana", at=MIDNIGHT + timedelta(days=1))
    with pytest.raises(SettlementFileError, match="whose"):
        compare_file(sold.engine, replace(late, day=None), user="ana", at=MIDNIGHT)
    path.write_text(HEADINGS + "\nVENTA;;T0\\N;000003;1;30.000;\n")
    with pytest.raises(SettlementFileError, match="line 2"):
        compare_file(sold.engine, replace(late, day=TODAY), user="ana", at=MIDNIGHT)
    assert sold.value("SELECT count(*) FROM settlement_run") == 0
