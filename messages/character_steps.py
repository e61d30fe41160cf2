"""Steps of a compiled plan for values in characters: digits and lengths in ASCII, octets as hex characters."""

from typing import Final

from messages.codec_steps import NotSureError, ReadStep, Row, WriteStep, all_of, refuse
from messages.iso8583_codec import HEX_CHARACTERS

_UPPER_HEX: Final = frozenset(b"0123456789ABCDEF")


def read_digits(rows: list[Row]) -> ReadStep:
    """Read a run of fixed digits."""
    cuts, octets = [], 0
    for row in rows:
        cuts.append(slice(octets, octets + row["max_len"]))
        octets += row["max_len"]
    cut = all_of(cuts)

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        digits = data[at:end]
        if not digits.isdigit():
            raise NotSureError
        values += cut(digits.decode("ascii"))
        return end

    return read


def read_var(rows: list[Row]) -> ReadStep:
    """Read digits or characters behind their number."""
    (row,) = rows
    octets_max: int = row["max_len"]
    prefix_octets: int = row["len_type"]
    kind: str = row["kind"]
    is_digits, is_raw = kind == "n", kind == "raw"

    def read(data: bytes, at: int, values: list[str]) -> int:
        start = at + prefix_octets
        prefix = data[at:start]
        if not prefix.isdigit():
            raise NotSureError
        length = int(prefix)
        if length > octets_max:
            raise NotSureError
        end = start + length
        octets = data[start:end]
        text = octets.decode("latin-1")
        if is_digits:
            if length and not octets.isdigit():
                raise NotSureError
        elif not (is_raw or text.isprintable()):
            raise NotSureError
        values.append(text)
        return end

    return read


def read_hex(rows: list[Row]) -> ReadStep:
    """Read octets in hex of either case."""
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        written = data[at:end]
        if not HEX_CHARACTERS.issuperset(written):
            raise NotSureError
        values.append(written.decode("ascii").upper())
        return end

    return read


def read_signed(rows: list[Row]) -> ReadStep:
    """Read C or D and digits."""
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        if data[at] not in b"CD" or not data[at + 1 : end].isdigit():
            raise NotSureError
        values.append(data[at:end].decode("ascii"))
        return end

    return read


def write_digits(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write a run of fixed digits."""
    lengths = [row["max_len"] for row in rows]

    def write(values: tuple[str, ...]) -> bytes:
        run = values[first:stop]
        octets = "".join(run).encode("ascii", "replace")
        return octets if list(map(len, run)) == lengths and octets.isdigit() else refuse()

    return write


def write_var(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write digits or characters behind their number."""
    (row,) = rows
    octets_max, kind, width = row["max_len"], row["kind"], row["len_type"]
    is_digits, is_raw = kind == "n", kind == "raw"

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        if len(value) > octets_max or not (is_digits or is_raw or value.isprintable()):
            raise NotSureError
        octets = value.encode("latin-1")
        if is_digits and value and not octets.isdigit():
            raise NotSureError
        return b"%0*d%b" % (width, len(value), octets)

    return write


def write_hex(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write octets in upper-case hex."""
    (row,) = rows
    size = row["max_len"]

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        octets = value.encode("ascii")
        return octets if len(octets) == size and _UPPER_HEX.issuperset(octets) else refuse()

    return write


def write_signed(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write C or D and digits."""
    (row,) = rows
    size = row["max_len"]

    def write(values: tuple[str, ...]) -> bytes:
        octets = values[first].encode("ascii")
        return octets if len(octets) == size and octets[0] in b"CD" and octets[1:].isdigit() else refuse()

    return write
