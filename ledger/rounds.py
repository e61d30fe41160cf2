"""Several statements in one round trip to the server.

A small batch spends most of its time on the way: each statement waits for its answer, and so does the BEGIN in front. Statements that do
not need each other's results go together here, in the order given, in psycopg's pipeline mode.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_compiled: dict[TextClause, str] = {}


class Answer(NamedTuple):
    """What one statement gave: its rows (empty where it returns none) and how many rows it touched."""

    rows: Sequence[Any]
    rowcount: int


def together(connection: Connection, *statements: tuple[TextClause, Mapping[str, object]]) -> list[Answer]:
    """Execute statements one after the other in one round trip; an answer for each, in their order.

    Args:
        connection: in a transaction or about to begin one; a constant number of distinct statements is kept compiled.
        statements: with their values by name.

    Raises:
        psycopg.Error: of the first statement that failed; none of those behind it was executed.
    """
    if not connection.in_transaction():
        connection.begin()
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    cursors = []
    with raw.pipeline():
        for statement, values in statements:
            cursor = raw.cursor(row_factory=namedtuple_row)
            cursor.execute(_text_of(statement), values)
            cursors.append(cursor)
    answers = []
    for cursor in cursors:
        rows: Sequence[Any] = cursor.fetchall() if cursor.description is not None else ()
        answers.append(Answer(rows, cursor.rowcount))
        cursor.close()
    return answers


def _text_of(statement: TextClause) -> str:
    """The statement as psycopg takes it."""
    found = _compiled.get(statement)
    if found is None:
        found = _compiled[statement] = str(statement.compile(dialect=_DIALECT))
    return found
