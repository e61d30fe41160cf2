"""The field table of dialect ``recargas``: the elements of ``datafono`` in characters, ISO 8583:1987.

`SPEC` is a pyiso8583 specification dictionary. Its packing is that of the stock "iso87ascii" field table (jPOS: `ISO87APackager`), which
has the elements and sizes of the stock binary table; so it is made from the rows of `messages.specs.datafono`, and a size can never
differ between the two. The extra keys of a row are explained there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from messages.specs import datafono
from messages.specs.ascii_rows import FieldRow, ascii_row, head_rows

_STOCK = "ISO 8583:1987; packing of the stock iso87ascii field table"
_OURS = _STOCK + "; meaning in docs/wire/recargas.md"
_TRACK = _STOCK + "; the separator is a character like others, = or D"


def _in_characters(row: FieldRow) -> FieldRow:
    """Pack one element of ``datafono`` in characters: as many as it has digits or characters, two for each octet."""
    kind, size = row["kind"], row["max_len"]
    if kind == "b":
        size *= 2
    elif kind == "x+n":
        size = 1 + 2 * (size - 1)
    source = _OURS if "docs/wire/datafono.md" in row["source"] else _STOCK
    if kind == "z":
        kind, source = "ans", _TRACK
    return ascii_row(
        kind,
        size,
        row["desc"],
        source,
        notation=row["notation"],
        is_variable=bool(row["len_type"]),
        is_masked=row["is_masked"],
    )


SPEC: Final[Mapping[str, FieldRow]] = MappingProxyType(
    {
        **head_rows(_STOCK),
        **{key: _in_characters(row) for key, row in datafono.SPEC.items() if key.isdigit() and key != "1"},
    }
)
"""The dialect ``recargas``. Read only."""
