"""Our field tables beside those of jPOS and moov, row by row: every difference is named here with its reason."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from messages.specs import datafono, loteria, recargas
from tests.interop.stock_tables import JPOS_1987, JPOS_1987_BINARY, JPOS_1993, MOOV_1987, Table

Rows = Mapping[str, Mapping[str, Any]]
DOCUMENTS = Path(__file__).parents[2] / "docs" / "wire"
_KINDS = {"n": "N", "x+n": "X", "ans": "C", "raw": "C"}
_LITERAL = {53: "LB", 55: "LLB", 96: "LLB"}
"""Elements of 1993 that are octets behind a length: as `raw` they are read the same."""

DIFFERENCES: Mapping[str, Mapping[int, str]] = {
    "jPOS 1987": {
        35: "digits there, characters here: the separator of a track is no digit",
        65: "one octet there; here the bit is refused, because 1987 has no third bitmap",
    },
    "jPOS 1993": {65: "8 octets there; here the bit is refused, because pyiso8583 reads a third bitmap by it"},
    "moov 1987": {44: "up to 99 there, up to 25 in the standard and here"},
}


def form(rows: Rows, number: int, table: Table) -> tuple[str, int] | None:
    """Return how one of our rows would be written in such a table; None: we have none."""
    row = rows.get(str(number))
    if row is None:
        return None
    if row["kind"] == "b":
        return "B", row["max_len"] // 2
    if row["kind"] == "raw" and table.get(number, ("",))[0] in ("LB", "LLB"):
        return _LITERAL[number], row["max_len"]
    return "L" * row["len_type"] + _KINDS[row["kind"]], row["max_len"]


@pytest.mark.parametrize(
    ("name", "table", "rows"),
    [
        ("jPOS 1987", JPOS_1987, recargas.SPEC),
        ("jPOS 1993", JPOS_1993, loteria.SPEC),
        ("moov 1987", MOOV_1987, recargas.SPEC),
    ],
)
def test_every_row_is_that_of_the_stock_table_or_its_difference_has_a_reason(
    name: str, table: Table, rows: Rows
) -> None:
    """A stock client packs as we read, but for the elements named above; none of them is one that we use."""
    differing = {number for number in table if form(rows, number, table) != table[number]}
    assert differing == set(DIFFERENCES[name])
    ours = {int(key) for key, row in rows.items() if key.isdigit() and "docs/wire" in row["source"]}
    assert not differing & ours


def test_every_row_of_datafono_is_that_of_the_stock_binary_table() -> None:
    """The same for the packing in octets: form and length of each element, on which side digits are filled, and lengths that count digits."""
    rows = datafono.SPEC
    differing = {
        number for number in JPOS_1987_BINARY if binary_form(rows.get(str(number))) != JPOS_1987_BINARY[number]
    }
    # 35: its separator is a digit of the octets there and a letter here; 65: refused here, because 1987 has no third bitmap.
    assert differing == {35, 65}
    assert not differing & {int(key) for key, row in rows.items() if key.isdigit() and "docs/wire" in row["source"]}
    for number, (kind, _) in JPOS_1987_BINARY.items():
        row = rows.get(str(number))
        if row is not None and kind.endswith("N"):
            assert (row["len_count"], "left_pad" in row, "right_pad" in row) == ("nibbles", kind == "N", kind == "LLN")
    assert {int(key) for key in rows if key.isdigit() and key != "1"} == set(JPOS_1987_BINARY) - {65}


def binary_form(row: Mapping[str, Any] | None) -> tuple[str, int] | None:
    """Return how a row of ``datafono`` would be written in such a table, by its notation and the octets of its length."""
    if row is None:
        return None
    match = re.fullmatch(r"(x\+n|n|z|an|ans|b)(\.*)([0-9]+)", str(row["notation"]))
    assert match is not None, row["notation"]
    kind, dots, size = match[1], len(match[2]), int(match[3])
    assert row["len_type"] == max(0, dots - 1)
    letter = {"x+n": "X", "n": "N", "z": "Z", "b": "B"}.get(kind, "C")
    length = size // 8 if kind == "b" else size + 1 if kind == "x+n" else size
    return "L" * dots + letter, length


@pytest.mark.parametrize(("page", "names"), [("recargas", ("jPOS 1987", "moov 1987")), ("loteria", ("jPOS 1993",))])
def test_the_pages_say_where_a_stock_table_differs(page: str, names: tuple[str, ...]) -> None:
    """Each element that differs is named behind the sentence on the stock table; for datafono they are those of jPOS in octets."""
    assert _named(page) == {number for name in names for number in DIFFERENCES[name]}
    assert _named("datafono") == {35, 65}


def _named(page: str) -> set[int]:
    text = (DOCUMENTS / f"{page}.md").read_text(encoding="utf-8")
    (words,) = re.findall(r"This is the stock.*?\n\n", text, re.DOTALL)
    return {int(number) for number in re.findall(r"\b(35|44|45|53|54|55|65|96|97)\b", words)}


def test_our_tables_have_no_row_that_jpos_does_not_have() -> None:
    """Together the tables cover the same elements."""
    for rows, table in ((recargas.SPEC, JPOS_1987), (loteria.SPEC, JPOS_1993)):
        assert {int(key) for key in rows if key.isdigit() and key != "1"} == set(table) - {65}
