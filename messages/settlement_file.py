r"""The settlement file of a network for one settlement day: its layout, version 1, without any I/O.

Shape: ASCII lines ended by ``\n``, fields parted by commas and quoted as in RFC 4180 where they must be. A header ``H``, one line for
each sale or reversal that counts on the day in ascending order of receipts, a trailer ``T`` with counts, sums and the SHA-256 of every
octet before it. Money is whole centavos.

Source: docs/wire/settlement-file.md.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

LAYOUT_VERSION = 1

HEADER, TRAILER = "H", "T"

SALE_KINDS = {"recharge": "S", "payment": "P"}
"""The first field of a sale's line, by its kind."""

REVERSAL = "R"

KINDS = (*SALE_KINDS.values(), REVERSAL)

LINE_OCTETS_MAX = 1024
"""A line is some hundred octets."""

LINES_MAX = 20_000_000

CENTAVOS_MAX = 10**15
"""No sum of a line is larger; what is, is no sum."""


class SettlementFileError(ValueError):
    """A file that cannot be read: the text says in which line and what is wrong."""


class SettlementLine(NamedTuple):
    """One sale or reversal. A reversal repeats its sale's receipt, STAN, RRN, terminal and time; its sums are negative."""

    kind: str
    """One of `KINDS`."""
    receipt: int | None
    stan: str
    rrn: str
    terminal_id: str
    local_time: str
    """Transmission time of the sale (element 7) on Colombian clocks, ``2026-08-14T10:30:00``."""
    paid_centavos: int
    commission_centavos: int | None
    tax_centavos: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementSums:
    """What the trailer says. Reversals have a positive sum of their own; commission, tax and net have them taken off."""

    sales: int = 0
    sales_centavos: int = 0
    reversals: int = 0
    reversals_centavos: int = 0
    commission_centavos: int = 0
    tax_centavos: int = 0

    @property
    def lines(self) -> int:
        """Between header and trailer."""
        return self.sales + self.reversals

    @property
    def net_centavos(self) -> int:
        """What the network owes for the day, its commission and the tax on it taken off."""
        return self.sales_centavos - self.reversals_centavos - self.commission_centavos - self.tax_centavos


def file_id(acquirer_id: str, day: date) -> str:
    """Return the id of a file, which is its name as well.

    >>> file_id("datafonos", date(2026, 8, 14))
    'datafonos-20260814-v1'
    """
    return f"{acquirer_id}-{day:%Y%m%d}-v{LAYOUT_VERSION}"


def header_line(acquirer_id: str, day: date) -> bytes:
    r"""Return the first line.

    >>> header_line("datafonos", date(2026, 8, 14))
    b'H,1,datafonos,2026-08-14,datafonos-20260814-v1\n'
    """
    return f"{HEADER},{LAYOUT_VERSION},{acquirer_id},{day.isoformat()},{file_id(acquirer_id, day)}\n".encode("ascii")


def trailer_line(sums: SettlementSums, sha256: str) -> bytes:
    """Return the last line; *sha256* is of all octets before it, in small hexadecimal digits."""
    numbers = (
        sums.lines,
        sums.sales,
        sums.sales_centavos,
        sums.reversals,
        sums.reversals_centavos,
        sums.commission_centavos,
        sums.tax_centavos,
        sums.net_centavos,
    )
    return f"{TRAILER},{','.join(map(str, numbers))},{sha256}\n".encode("ascii")


class SettlementReader:
    """Reads a file of this layout line by line and proves it at its end.

    Args:
        blocks: the octets of the file, line by line as a binary file gives them.

    Attributes:
        acquirer_id: and ``day``: of the header, known once the first line was asked for.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self.acquirer_id = ""
        self.day = date.min

    def lines(self) -> Iterator[tuple[int, SettlementLine]]:
        """Give the number of each line (the header is 1) and what it says.

        Raises:
            SettlementFileError: on the first line that is wrong; or at the end, when the trailer is missing or says another thing.
        """
        digest = hashlib.sha256()
        counted = [0] * 6
        number = 0
        is_ended = False
        for number, octets in enumerate(self._blocks, 1):
            if is_ended:
                raise SettlementFileError(f"line {number}: behind the trailer")
            cells = _cells(number, octets)
            if number == 1:
                self._take_header(cells)
            elif cells[0] == TRAILER:
                sums = SettlementSums(
                    sales=counted[0],
                    sales_centavos=counted[1],
                    reversals=counted[2],
                    reversals_centavos=counted[3],
                    commission_centavos=counted[4],
                    tax_centavos=counted[5],
                )
                if octets != trailer_line(sums, digest.hexdigest()):
                    raise SettlementFileError(f"line {number}: the trailer does not fit the lines above it")
                is_ended = True
            else:
                line = _line(number, cells)
                _count(counted, line)
                yield number, line
            digest.update(octets)
        if not is_ended:
            raise SettlementFileError(f"line {number}: the trailer is missing")

    def _take_header(self, cells: list[str]) -> None:
        if len(cells) != 5 or cells[0] != HEADER:
            raise SettlementFileError("line 1: no header of a settlement file")
        if cells[1] != str(LAYOUT_VERSION):
            raise SettlementFileError(f"line 1: layout {cells[1]!r} is not known")
        self.acquirer_id = cells[2]
        try:
            self.day = date.fromisoformat(cells[3])
        except ValueError as error:
            raise SettlementFileError(f"line 1: {cells[3]!r} is no day") from error


def _cells(number: int, octets: bytes) -> list[str]:
    if len(octets) > LINE_OCTETS_MAX or number > LINES_MAX:
        raise SettlementFileError(f"line {number}: too long, or one too many")
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError as error:
        raise SettlementFileError(f"line {number}: not ASCII") from error
    if '"' not in text:
        return text.rstrip("\n").split(",")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise SettlementFileError(f"line {number}: {error}") from error
    return rows[0]


def _line(number: int, cells: list[str]) -> SettlementLine:
    if len(cells) != 10 or cells[0] not in KINDS:
        raise SettlementFileError(f"line {number}: neither a sale, a reversal nor the trailer")
    receipt = integer(number, "receipt", cells[1])
    paid, commission, tax, net = (integer(number, "sum", cell) for cell in cells[6:])
    if net != paid - commission - tax:
        raise SettlementFileError(f"line {number}: the net is not what is left of the amount")
    if (paid < 0) != (cells[0] == REVERSAL):
        raise SettlementFileError(f"line {number}: only reversals are below zero")
    return SettlementLine(cells[0], receipt, cells[2], cells[3], cells[4], cells[5], paid, commission, tax)


def integer(number: int, name: str, cell: str) -> int:
    """Read a whole number of a line.

    Raises:
        SettlementFileError: it is none, or larger than any sum.
    """
    digits = cell.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18 or int(digits) > CENTAVOS_MAX:
        raise SettlementFileError(f"line {number}: {cell!r} is no {name}")
    return int(cell)


def _count(counted: list[int], line: SettlementLine) -> None:
    at = 2 if line.kind == REVERSAL else 0
    counted[at] += 1
    counted[at + 1] += abs(line.paid_centavos)
    counted[4] += line.commission_centavos or 0
    counted[5] += line.tax_centavos or 0
