"""The journal: every request once, by its key. New, the same again, or the same key with other content."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

from ledger import arrays
from vending.order import Conflict, Declined, Repeated, RequestKey, Unresolved
from vending.response_code import ResponseCode

REVERSED_BEFORE_IT_CAME = b""
"""The digest of a request that is known only because its reversal came first; no real digest equals it."""

REVERSED_AND_PARKED = b"\x00"
"""The digest of a sale whose money went back: its answer with the PINs stays stored and no repeat gets it; no real digest equals it."""

KEY_ARRAYS = (
    "CAST(:transmitted AS timestamptz[]), CAST(:stans AS text[]), CAST(:terminals AS text[]), CAST(:acquirers AS text[]), "
    "CAST(:classes AS text[])"
)
KEY_COLUMNS = "transmitted_at, stan, terminal_code, acquirer_code, message_class"
KEY_EQUAL = " AND ".join(f"j.{name} = o.{name}" for name in KEY_COLUMNS.split(", "))
_ONE_OF_KEY = f"""
    {KEY_EQUAL} AND j.transmitted_at BETWEEN CAST(:sent_first AS timestamptz) AND CAST(:sent_last AS timestamptz) LIMIT 1
"""

KEY_REACH = timedelta(days=732)
"""No key lies further from the moment of its reception. Its year is the one nearest to our clock; 29 February may be two years away."""

_WRITE = text(f"""
    INSERT INTO journal ({KEY_COLUMNS}, digest, rrn, request, code, sale_id, reverses_sale_id, received_at)
    SELECT * FROM unnest({KEY_ARRAYS}, CAST(:digests AS bytea[]), CAST(:rrns AS text[]), CAST(:requests AS bytea[]),
        CAST(:codes AS text[]), CAST(:sale_ids AS bigint[]), CAST(:reverses AS bigint[]), CAST(:received AS timestamptz[]))
    ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only

_CODES = {code.value: code for code in ResponseCode}


class Line(NamedTuple):
    """A journal row that is to be written. ``code`` is None while the outcome is open."""

    key: RequestKey
    digest: bytes
    rrn: str
    request: bytes
    code: ResponseCode | None
    sale_id: int | None
    reverses_sale_id: int | None
    received_at: Any


def row_of_key(columns: str) -> str:
    """Return what stands after JOIN or LEFT JOIN to find, as ``j``, *columns* of the row of each key ``o``.

    The bounds say nothing new: by them a prepared plan leaves the months alone that no key is in, before it opens their tables. But a
    planner that knows nothing yet of a new month takes a row between them for rare, and would read all that lie there, a whole year if
    one terminal's clock is wrong by that, to compare each with each key. The LIMIT leaves it one way: one look into the index for a key.
    """
    return f"LATERAL (SELECT {columns} FROM journal AS j WHERE {_ONE_OF_KEY}) AS j ON true"  # noqa: S608


def key_arrays(keys: Sequence[RequestKey]) -> dict[str, str]:
    """Return the values of `KEY_ARRAYS` and of the bounds in `row_of_key` for a statement."""
    sent = [key.transmitted_at for key in keys]
    return {
        "sent_first": min(sent).isoformat() if sent else "infinity",
        "sent_last": max(sent).isoformat() if sent else "-infinity",
        "transmitted": arrays.times(sent),
        "stans": arrays.texts([key.stan for key in keys]),
        "terminals": arrays.texts([key.terminal_id for key in keys]),
        "acquirers": arrays.texts([key.acquirer_id for key in keys]),
        "classes": arrays.texts([key.message_class for key in keys]),
    }


def write_statement(lines: Sequence[Line]) -> tuple[TextClause, dict[str, str]]:
    """Return the statement that writes journal rows. It touches fewer rows than there are lines when a key was taken meanwhile."""
    return _WRITE, {
        **key_arrays([line.key for line in lines]),
        "digests": arrays.octets([line.digest for line in lines]),
        "rrns": arrays.texts([line.rrn for line in lines]),
        "requests": arrays.octets([line.request for line in lines]),
        "codes": arrays.texts([None if line.code is None else line.code.value for line in lines]),
        "sale_ids": arrays.ints([line.sale_id for line in lines]),
        "reverses": arrays.ints([line.reverses_sale_id for line in lines]),
        "received": arrays.times([line.received_at for line in lines]),
    }


def write(connection: Connection, lines: Sequence[Line]) -> bool:
    """Write journal rows; return False when a key was taken meanwhile, and then the transaction is to be rolled back."""
    written = connection.execute(*write_statement(lines))
    return written.rowcount == len(lines)


def is_bar(row: Any) -> bool:
    """Whether a row of the journal (its ``digest``) is not a request, but keeps out one that was reversed before it came."""
    return bytes(row.digest) == REVERSED_BEFORE_IT_CAME


def code_named(name: str) -> ResponseCode:
    """Return the response code that the journal calls *name*."""
    return _CODES[name]


def answer_to_repeat(
    digest: bytes, *, known_digest: bytes, code: str | None, sale_id: int | None, answer: bytes | None
) -> Repeated | Unresolved | Declined | Conflict | None:
    """Return what a request gets whose key is in the journal already.

    Returns:
        None for a reversal whose outcome is open: it is to be looked at again.
    """
    if bytes(known_digest) != digest:
        return Conflict()
    if answer is not None:
        assert code is not None, "an answer is stored together with its code"
        return Repeated(answer=bytes(answer), code=_CODES[code])
    if code is not None:
        return Declined(code=_CODES[code], private_detail="declined before, the answer was not stored")
    return None if sale_id is None else Unresolved(sale_id=sale_id)
