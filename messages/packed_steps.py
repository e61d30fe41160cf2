"""Steps of a compiled plan for values packed as ``datafono`` packs them: two digits to an octet, lengths in BCD, octets as they are."""

from typing import Final

from messages.codec_steps import NotSureError, ReadStep, Row, WriteStep, all_of, refuse

_NOT_BCD = 1_000_000
_BCD: Final = [int(f"{octet:02x}") if f"{octet:02x}".isdecimal() else _NOT_BCD for octet in range(256)]
"""The number in an octet of BCD; above every length limit where it is none."""

_BCD_OCTETS: Final = [bytes.fromhex(f"{number:02d}") for number in range(100)]


def read_digits(rows: list[Row]) -> ReadStep:
    """Read a run of fixed digits: all their octets become hex at once and are cut by one itemgetter."""
    cuts, fillers, at = [], [], 0
    for row in rows:
        if row["max_len"] & 1:
            fillers.append(at)
            at += 1
        cuts.append(slice(at, at + row["max_len"]))
        at += row["max_len"]
    octets, cut = at // 2, all_of(cuts)

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        text = data[at:end].hex()
        if not text.isdecimal():
            raise NotSureError
        for filler in fillers:
            if text[filler] != "0":
                raise NotSureError
        values += cut(text)
        return end

    return read


def read_digits_var(rows: list[Row]) -> ReadStep:
    """Read digits behind their number, or a track."""
    (row,) = rows
    digits_max, is_track = row["max_len"], row["kind"] == "z"

    def read(data: bytes, at: int, values: list[str]) -> int:
        count = _BCD[data[at]]
        if count > digits_max:
            raise NotSureError
        end = at + 1 + (count + 1) // 2
        text = data[at + 1 : end].hex()
        if is_track:
            text = text.upper()
        if count and not (text.replace("D", "0") if is_track else text).isdecimal():
            raise NotSureError
        if count & 1:
            if text[-1] != "0":
                raise NotSureError
            text = text[:-1]
        values.append(text)
        return end

    return read


def read_chars_var(rows: list[Row]) -> ReadStep:
    """Read characters behind their number."""
    (row,) = rows
    octets_max, is_raw, is_long = row["max_len"], row["kind"] == "raw", row["len_type"] == 2

    def read(data: bytes, at: int, values: list[str]) -> int:
        length = _BCD[data[at]]
        at += 1
        if is_long:
            length = length * 100 + _BCD[data[at]]
            at += 1
        if length > octets_max:
            raise NotSureError
        text = data[at : at + length].decode("latin-1")
        if not (is_raw or text.isprintable()):
            raise NotSureError
        values.append(text)
        return at + length

    return read


def read_binary(rows: list[Row]) -> ReadStep:
    """Read octets as they are."""
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        values.append(data[at:end].hex().upper())
        return end

    return read


def read_signed(rows: list[Row]) -> ReadStep:
    """Read C or D and digits."""
    (row,) = rows
    octets: int = row["max_len"]

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        digits = data[at + 1 : end].hex()
        if data[at] not in b"CD" or not digits.isdecimal():
            raise NotSureError
        values.append(chr(data[at]) + digits)
        return end

    return read


def write_digits(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write a run of fixed digits."""
    lengths = [row["max_len"] for row in rows]
    template = "".join("0%s" if length & 1 else "%s" for length in lengths)

    def write(values: tuple[str, ...]) -> bytes:
        run = values[first:stop]
        return _octets_of_digits(template % run) if list(map(len, run)) == lengths else refuse()

    return write


def write_digits_var(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write digits behind their number; a track is left to the reference."""
    (row,) = rows
    digits_max, is_track = row["max_len"], row["kind"] == "z"

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        count = len(value)
        if not 0 < count <= digits_max or is_track:
            raise NotSureError
        return _BCD_OCTETS[count] + _octets_of_digits(value + "0" if count & 1 else value)

    return write


def write_chars_var(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write characters behind their number."""
    (row,) = rows
    octets_max, is_raw, is_long = row["max_len"], row["kind"] == "raw", row["len_type"] == 2

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        length = len(value)
        if length > octets_max or not (is_raw or value.isprintable()):
            raise NotSureError
        hundreds, rest = divmod(length, 100)
        prefix = _BCD_OCTETS[hundreds] + _BCD_OCTETS[rest] if is_long else _BCD_OCTETS[rest]
        return prefix + value.encode("latin-1")

    return write


def write_binary(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write octets as they are."""
    (row,) = rows
    octets_wanted = row["max_len"]

    def write(values: tuple[str, ...]) -> bytes:
        octets = bytes.fromhex(values[first])
        # The way back tells lower case and spaces, which fromhex takes.
        return octets if len(octets) == octets_wanted and octets.hex().upper() == values[first] else refuse()

    return write


def write_signed(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write C or D and digits."""
    (row,) = rows
    digits = 2 * (row["max_len"] - 1)

    def write(values: tuple[str, ...]) -> bytes:
        value = values[first]
        if len(value) != digits + 1 or value[0] not in "CD":
            raise NotSureError
        return value[0].encode("ascii") + _octets_of_digits(value[1:])

    return write


def _octets_of_digits(digits: str) -> bytes:
    return bytes.fromhex(digits) if digits.isdecimal() and digits.isascii() else refuse()
