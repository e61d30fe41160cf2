"""What networks may still sell: the expression for it, and reading it beside what they asked for answers that are not of the sale itself."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import TextClause, text

from ledger import arrays
from vending.money import Centavos

AVAILABLE = "f.credit_line_centavos - f.balance_centavos - f.pending_centavos"
"""Of the row ``f`` of a float's account: its deposits or credit line, less what was sold and what is reserved."""

_READ = text(f"""
    SELECT a.code, {AVAILABLE} AS available_centavos
    FROM acquirer AS a JOIN account AS f ON f.id = a.float_account_id WHERE a.code = ANY (CAST(:codes AS text[]))
""")  # noqa: S608 - constants only


def available_statement(acquirer_ids: Iterable[str]) -> tuple[TextClause, dict[str, str]]:
    """Return the statement that reads the floats of these networks; nothing is locked."""
    return _READ, {"codes": arrays.texts(sorted(set(acquirer_ids)))}


def available_of(rows: Iterable[Any]) -> dict[str, Centavos]:
    """Return what each network may still sell from the statement's rows; one that does not exist is not in it."""
    return {row.code: Centavos(row.available_centavos) for row in rows}
