"""Rows of a field table whose every octet is a character: digits in ASCII, lengths in ASCII digits, octets as hex characters.

The keys of a row that pyiso8583 does not look at are those of `messages.specs.datafono`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

FieldRow = Mapping[str, Any]

_CHARACTER_KINDS = frozenset({"ans", "raw"})
_LL_MAX = 99


def ascii_row(
    kind: str, size: int, desc: str, source: str, *, notation: str, is_variable: bool = False, is_masked: bool = False
) -> FieldRow:
    """Make one row.

    Args:
        kind: what a value may be: ``n``, ``x+n``, ``ans``, ``raw`` or ``b``.
        size: characters on the wire, without a length; the most there may be where the length varies.
        desc: its name in the standard and what it means here.
        source: where the row comes from.
        notation: as the standard writes it.
        is_variable: whether a length of two digits (up to 99) or three stands in front.
        is_masked: whether the value is secret.
    """
    prefix_octets = (2 if size <= _LL_MAX else 3) if is_variable else 0
    return MappingProxyType(
        {
            "data_enc": "latin-1" if kind in _CHARACTER_KINDS else "ascii",
            "len_enc": "ascii",
            "len_type": prefix_octets,
            "max_len": size,
            "desc": desc,
            "notation": notation,
            "kind": kind,
            "is_masked": is_masked,
            "source": source,
        }
    )


def head_rows(source: str) -> dict[str, FieldRow]:
    """Return the rows of header (none), MTI and bitmaps."""
    return {
        "h": ascii_row("ans", 0, "Message header: none", source, notation="ans0"),
        "t": ascii_row("n", 4, "Message type indicator", source, notation="n4"),
        "p": ascii_row("b", 16, "Bitmap, primary", source, notation="b64"),
        "1": ascii_row("b", 16, "Bitmap, secondary", source, notation="b64"),
    }
