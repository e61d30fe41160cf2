"""The settlement file's layout and the networks' own CSV: what is read, and that whatever is wrong is named with its line."""

import contextlib
import hashlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.partner_csv import ColumnMapping, read_partner_lines
from messages.settlement_file import (
    SettlementFileError,
    SettlementLine,
    SettlementReader,
    SettlementSums,
    header_line,
    trailer_line,
)

SALE = b"S,7,000001,000000000001,T0000001,2026-08-14T10:30:00,2000000,30000,5700,1964300\n"
REVERSAL = b"R,7,000001,000000000001,T0000001,2026-08-14T10:30:00,-2000000,-30000,-5700,-1964300\n"
SUMS = SettlementSums(
    sales=2,
    sales_centavos=4_000_000,
    reversals=1,
    reversals_centavos=2_000_000,
    commission_centavos=30_000,
    tax_centavos=5_700,
)


def whole(*lines: bytes, sums: SettlementSums = SUMS) -> list[bytes]:
    """A file with a trailer that fits its digest."""
    above = [header_line("banco", date(2026, 8, 14)), *lines]
    return [*above, trailer_line(sums, hashlib.sha256(b"".join(above)).hexdigest())]


def test_a_file_is_read_line_by_line() -> None:
    """Numbers as in an editor; the header says whose it is."""
    reader = SettlementReader(whole(SALE, SALE.replace(b"S,7", b"S,8"), REVERSAL))
    lines = list(reader.lines())
    assert [(number, line.kind, line.receipt, line.paid_centavos) for number, line in lines] == [
        (2, "S", 7, 2_000_000),
        (3, "S", 8, 2_000_000),
        (4, "R", 7, -2_000_000),
    ]
    assert (reader.acquirer_id, reader.day) == ("banco", date(2026, 8, 14))
    assert SUMS.net_centavos == 1_964_300


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([], "line 0: the trailer is missing"),
        ([SALE], "line 1: no header"),
        ([b"H,2,banco,2026-08-14,x\n"], "line 1: layout '2'"),
        ([b"H,1,banco,2026-13-14,x\n"], "line 1: '2026-13-14' is no day"),
        (whole(SALE)[:-1], "line 2: the trailer is missing"),
        (whole(SALE), "line 3: the trailer does not fit"),
        ([*whole(sums=SettlementSums()), SALE], "line 3: behind the trailer"),
        (whole(SALE.replace(b"1964300", b"1964301")), "line 2: the net"),
        (whole(SALE.replace(b"S,", b"Q,")), "line 2: neither"),
        (whole(SALE.replace(b",30000,", b",3e4,")), "line 2: '3e4' is no sum"),
        (whole(REVERSAL.replace(b"R,", b"S,")), "line 2: only reversals"),
        (whole(SALE.replace(b"T0000001", b"T\xf1")), "line 2: not ASCII"),
        (whole(SALE.replace(b"T0000001", b'"T"0')), "line 2: "),
        (whole(b"S," * 600), "line 2: too long"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(lines: list[bytes], what: str) -> None:
    """So that whoever made the file can find it."""
    with pytest.raises(SettlementFileError) as error:
        list(SettlementReader(lines).lines())
    assert str(error.value).startswith(what)


def test_a_terminal_with_a_comma_is_quoted() -> None:
    """As RFC 4180 and PostgreSQL have it."""
    lines = whole(
        SALE.replace(b"T0000001", b'"T,1"'),
        sums=SettlementSums(sales=1, sales_centavos=2_000_000, commission_centavos=30_000, tax_centavos=5_700),
    )
    ((_, line),) = SettlementReader(lines).lines()
    assert line.terminal_id == "T,1"


@given(lines=st.lists(st.binary(max_size=60) | st.sampled_from(whole(SALE, REVERSAL))))
def test_no_octets_do_anything_but_fail_cleanly(lines: list[bytes]) -> None:
    """A file from outside is read or refused, never a crash; so is one in the network's own layout."""
    for reading in (SettlementReader(lines).lines(), read_partner_lines(lines, mapping())):
        with contextlib.suppress(SettlementFileError):
            assert all(isinstance(line, SettlementLine) for _, line in reading)


def mapping(**changes: Any) -> ColumnMapping:
    """The mapping of a network that writes pesos as people do."""
    values: dict[str, Any] = {"columns": {"receipt": "recibo", "amount": "valor", "tax": "iva"}, "delimiter": ";"}
    return ColumnMapping(**{**values, **changes})


@pytest.mark.parametrize(
    ("cell", "changes", "centavos"),
    [
        ("20.000", {}, 2_000_000),
        ("20.000,5", {}, 2_000_050),
        ("-1.234,56", {}, -123_456),
        ("20,000.05", {"decimal": ".", "thousands": ","}, 2_000_005),
        ("2000000", {"decimal": "", "thousands": ""}, 2_000_000),
    ],
)
def test_sums_are_read_as_the_mapping_says(cell: str, changes: dict[str, Any], centavos: int) -> None:
    """Pesos with or without decimals, or centavos; below zero without a column of kinds is a reversal."""
    ((number, line),) = read_partner_lines(
        [b"\xef\xbb\xbfrecibo;valor;iva\n", f"5;{cell};\n".encode()], mapping(**changes)
    )
    kind = "R" if centavos < 0 else "S"
    assert (number, line) == (2, SettlementLine(kind, 5, "", "", "", "", centavos, None, None))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("5;20.000,123;", "line 2: '20.000,123' is no sum"),
        ("5;20 000;", "line 2"),
        ("x;20.000;", "line 2: 'x' is no receipt"),
        (";20.000;", "line 2: neither a receipt"),
        ("5;20.000", "line 2: 2 fields"),
        ('5;"20;', "line 2"),
        ("5;20.000;" + "9" * 19, "line 2"),
    ],
)
def test_what_is_wrong_in_their_own_csv_is_named_too(row: str, what: str) -> None:
    """Never rounded, never guessed."""
    with pytest.raises(SettlementFileError) as error:
        list(read_partner_lines([b"recibo;valor;iva\n", row.encode()], mapping()))
    assert str(error.value).startswith(what)


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": {"amount": "valor"}},
        {"columns": {"receipt": "recibo"}},
        {"columns": {"receipt": "a", "amount": "b", "color": "c"}},
        {"kinds": {"X": "S"}},
        {"columns": {"receipt": "a", "amount": "b", "kind": "c"}},
        {"columns": {"receipt": "a", "amount": "b", "kind": "c"}, "kinds": {"X": "Z"}},
        {"delimiter": ";;"},
        {"encoding": "utf-16"},
        {"decimal": ",", "thousands": ","},
        {"colour": 1},
        {"columns": 5},
    ],
)
def test_a_mapping_that_cannot_work_is_none(changes: dict[str, Any]) -> None:
    """It is refused before the file is read."""
    with pytest.raises(ValueError, match=r"."):
        ColumnMapping.of_table({"columns": {"receipt": "recibo", "amount": "valor"}, **changes})
