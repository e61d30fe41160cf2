"""A network's own CSV of what it sold, read by a declared mapping of its columns, without any I/O.

The mapping is data: which column is which, how sums are written, and what the network calls a reversal. What a network does not send stays
unknown (None) and is not compared.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from messages.settlement_file import (
    KINDS,
    LINE_OCTETS_MAX,
    LINES_MAX,
    REVERSAL,
    SALE_KINDS,
    SettlementFileError,
    SettlementLine,
    integer,
)

COLUMNS = frozenset(
    {"receipt", "stan", "rrn", "terminal", "local_time", "kind", "amount", "commission", "tax"},
)
"""What a mapping may name; ``amount`` is needed, and ``receipt`` or all of terminal, stan and rrn."""

CENTAVO_DIGITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """How one network writes its file.

    Attributes:
        columns: by our name (`COLUMNS`) the heading of theirs.
        kinds: by their word in the column of kinds ours (`KINDS`); without such a column a sum below zero is a reversal.
        delimiter: between fields.
        encoding: ``utf-8`` or ``latin-1``.
        decimal: sign before the centavos; empty where sums are whole centavos already.
        thousands: sign between thousands; empty for none.

    Raises:
        ValueError: the mapping could not tell one sale from another, or names what is not known.
    """

    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = ","
    thousands: str = "."

    def __post_init__(self) -> None:
        """Refuse a mapping that cannot work."""
        unknown = set(self.columns) - COLUMNS
        if unknown:
            raise ValueError(f"no such column: {', '.join(sorted(unknown))}")
        if "amount" not in self.columns or not (
            "receipt" in self.columns or {"terminal", "stan", "rrn"} <= set(self.columns)
        ):
            raise ValueError("a mapping names amount, and receipt or all of terminal, stan and rrn")
        if set(self.kinds.values()) - set(KINDS) or bool(self.kinds) != ("kind" in self.columns):
            raise ValueError(f"kinds are {', '.join(KINDS)}, given where there is a column for them")
        if len(self.delimiter) != 1 or self.encoding not in ("utf-8", "latin-1"):
            raise ValueError("a delimiter is one character, an encoding utf-8 or latin-1")
        if len(self.decimal) > 1 or len(self.thousands) > 1 or (self.decimal and self.decimal == self.thousands):
            raise ValueError("decimal and thousands are two different signs, or empty")

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> "ColumnMapping":
        """Return the mapping that a TOML table declares.

        Raises:
            ValueError: it is not a mapping, or one that cannot work.
        """
        try:
            return cls(**table)
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def read_partner_lines(blocks: Iterable[bytes], mapping: ColumnMapping) -> Iterator[tuple[int, SettlementLine]]:
    """Give the number of each line (the headings are 1) and what it says.

    Args:
        blocks: the octets of the file, line by line; a quoted field may not hold a line end.
        mapping: how it is written.

    Raises:
        SettlementFileError: on the first line that is wrong.
    """
    where: dict[str, int] = {}
    for number, octets in enumerate(blocks, 1):
        if len(octets) > LINE_OCTETS_MAX or number > LINES_MAX:
            raise SettlementFileError(f"line {number}: too long, or one too many")
        try:
            (cells,) = csv.reader([octets.decode(mapping.encoding)], delimiter=mapping.delimiter, strict=True)
        except UnicodeDecodeError as error:
            raise SettlementFileError(f"line {number}: not {mapping.encoding}") from error
        except (csv.Error, ValueError) as error:
            raise SettlementFileError(f"line {number}: {error}") from error
        if number == 1:
            where = _positions(cells, mapping)
        elif cells:
            if max(where.values()) >= len(cells):
                raise SettlementFileError(f"line {number}: {len(cells)} fields are too few")
            yield number, _line(number, {name: cells[position].strip() for name, position in where.items()}, mapping)
    if not where:
        raise SettlementFileError("line 1: the headings are missing")


def _positions(cells: list[str], mapping: ColumnMapping) -> dict[str, int]:
    headings = [cell.strip().removeprefix("\ufeff") for cell in cells]
    missing = sorted(set(mapping.columns.values()) - set(headings))
    if missing:
        raise SettlementFileError(f"line 1: no heading {', '.join(missing)}")
    return {name: headings.index(heading) for name, heading in mapping.columns.items()}


def _line(number: int, cells: Mapping[str, str], mapping: ColumnMapping) -> SettlementLine:
    paid = _centavos(number, cells["amount"], mapping)
    if "kind" in cells:
        if cells["kind"] not in mapping.kinds:
            raise SettlementFileError(f"line {number}: {cells['kind']!r} is no kind")
        kind = mapping.kinds[cells["kind"]]
    else:
        kind = REVERSAL if paid < 0 else SALE_KINDS["recharge"]
    sign = -1 if kind == REVERSAL else 1
    commission, tax = (
        sign * abs(_centavos(number, cells[name], mapping)) if cells.get(name) else None
        for name in ("commission", "tax")
    )
    receipt = integer(number, "receipt", cells["receipt"]) if cells.get("receipt") else None
    if receipt is None and not (cells.get("terminal") and cells.get("stan") and cells.get("rrn")):
        raise SettlementFileError(f"line {number}: neither a receipt nor terminal, STAN and RRN")
    return SettlementLine(
        kind,
        receipt,
        cells.get("stan", ""),
        cells.get("rrn", ""),
        cells.get("terminal", ""),
        cells.get("local_time", ""),
        sign * abs(paid),
        commission,
        tax,
    )


def _centavos(number: int, cell: str, mapping: ColumnMapping) -> int:
    """Read a sum as the network writes it; more than two decimals are an error, never a rounding."""
    plain = cell.replace(mapping.thousands, "") if mapping.thousands else cell
    if not mapping.decimal:
        return integer(number, "sum", plain)
    pesos, _, centavos = plain.partition(mapping.decimal)
    if len(centavos) > CENTAVO_DIGITS or not (centavos or "0").isdigit():
        raise SettlementFileError(f"line {number}: {cell!r} is no sum")
    return integer(number, "sum", pesos + centavos.ljust(CENTAVO_DIGITS, "0"))
