"""What the steps of a compiled plan have in common, and the steps for characters of a fixed length, which every dialect packs alike.

A step reads or writes one data element, or a run of neighbours. Reading goes over the end of a cut message without looking, as slices
allow: the plan compares the sum of all lengths with the length of the message once, at the end.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

Row = Mapping[str, Any]
ReadStep = Callable[[bytes, int, list[str]], int]
"""Takes the message, where to read and the values so far; adds its own and returns where it ended."""

WriteStep = Callable[[tuple[str, ...]], bytes]
"""Takes all values and returns the octets of its own."""


class NotSureError(Exception):
    """Not for the compiled codec: the reference decides."""


def refuse() -> bytes:
    """Give up, as an expression."""
    raise NotSureError


def all_of(cuts: list[slice]) -> Callable[[str], tuple[str, ...]]:
    """Return what cuts a text into all the pieces; an itemgetter of one piece would not give a tuple."""
    if len(cuts) == 1:
        only = cuts[0]
        return lambda text: (text[only],)
    return itemgetter(*cuts)


def read_chars(rows: list[Row]) -> ReadStep:
    """Read a run of characters."""
    cuts, octets = [], 0
    for row in rows:
        cuts.append(slice(octets, octets + row["max_len"]))
        octets += row["max_len"]
    cut = all_of(cuts)

    def read(data: bytes, at: int, values: list[str]) -> int:
        end = at + octets
        text = data[at:end].decode("latin-1")
        if not text.isprintable():
            raise NotSureError
        values += cut(text)
        return end

    return read


def write_chars(rows: list[Row], first: int, stop: int) -> WriteStep:
    """Write a run of characters."""
    lengths = [row["max_len"] for row in rows]

    def write(values: tuple[str, ...]) -> bytes:
        run = values[first:stop]
        text = "".join(run)
        if list(map(len, run)) != lengths or not text.isprintable():
            raise NotSureError
        return text.encode("latin-1")

    return write
