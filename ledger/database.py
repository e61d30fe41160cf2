"""Opening the database, running one transaction, and the one place where its errors get our names."""

from collections.abc import Callable
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, TimeoutError

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable

POOL_SIZE = 4
"""Writers of one process; two gave the most sales per second, more only queue for the hot rows."""

POOL_OVERFLOW = 4
CONNECTION_LIFE_SECONDS = 300
"""Plans live as long as their connection; one that was made while a table held a handful of rows must not live for ever."""

CONNECT_TIMEOUT_SECONDS = 5
POOL_WAIT_SECONDS = 5
STATEMENT_TIMEOUT_MILLISECONDS = 20_000
"""A batch takes milliseconds; what takes this long waits for a lock whose owner is gone."""

ATTEMPTS_MAX = 12
"""A batch that lost a deadlock or a race for a journal key is run again this often; each time somebody else got on."""

_RETRYABLE_STATES = frozenset({"40001", "40P01"})

Result = TypeVar("Result")


class Retry(Exception):
    """Raised inside a transaction: what it read is out of date, roll back and run it again."""


def open_engine(dsn: str, *, pool_size: int = POOL_SIZE) -> Engine:
    """Open a pool of connections; nothing connects before the first use.

    Args:
        dsn: SQLAlchemy URL, or a plain ``postgresql://`` one.
        pool_size: connections kept open.
    """
    url = dsn.replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=CONNECTION_LIFE_SECONDS,
        # An error's text would carry PINs into a log otherwise.
        hide_parameters=True,
        # Times are aware and the plan of a batch must not depend on its size: one generic plan, made once, with indexes.
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "prepare_threshold": 1,
            "options": (
                f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS} "
                "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
                "-c jit=off"
            ),
        },
    )


def transact(engine: Engine, work: Callable[[Connection, int], Result]) -> Result:
    """Run *work* in one transaction and commit it; run it again when it lost a race.

    Args:
        engine: from `open_engine`.
        work: gets the connection and the number of the attempt, from 0. It may raise `Retry`.

    Raises:
        LedgerUnavailable: nothing was done.
        LedgerOutcomeUnknown: the connection was lost during COMMIT.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            return _once(engine, work, attempt)
        except Retry:
            continue
        except (DBAPIError, psycopg.Error) as error:
            if not _is_lost_race(error):
                raise
    raise LedgerUnavailable(f"a batch lost every one of {ATTEMPTS_MAX} races")


def allow_scans(connection: Connection) -> None:
    """Let the planner read whole tables in this transaction: for work over everything, not for a sale."""
    for name in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
        connection.execute(text(f"SET LOCAL {name} = on"))
    connection.execute(text("SET LOCAL plan_cache_mode = auto"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))


def _once(engine: Engine, work: Callable[[Connection, int], Result], attempt: int) -> Result:
    is_committing = False
    try:
        with engine.connect() as connection:
            result = work(connection, attempt)
            is_committing = True
            connection.commit()
            return result
    except TimeoutError as error:
        raise LedgerUnavailable("no connection became free") from error
    except (DBAPIError, psycopg.Error) as error:
        if _is_lost_race(error):
            raise
        if not _is_failure_of_server(error):
            raise
        if is_committing:
            raise LedgerOutcomeUnknown("connection lost while committing") from error
        raise LedgerUnavailable(str(_original(error))) from error


def _original(error: DBAPIError | psycopg.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _state_of(error: DBAPIError | psycopg.Error) -> str | None:
    original = _original(error)
    return original.sqlstate if isinstance(original, psycopg.Error) else None


def _is_lost_race(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the same again may succeed: somebody else was first, or the month of a row got its table while the row was under way."""
    if _state_of(error) in _RETRYABLE_STATES:
        return True
    original = _original(error)
    # A violated CHECK has a name, the bounds of a partition have none.
    return isinstance(original, psycopg.errors.CheckViolation) and original.diag.constraint_name is None


def _is_failure_of_server(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the server is gone or refuses work, as opposed to a statement of ours being wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = _state_of(error)
    if state is None:
        return isinstance(_original(error), psycopg.OperationalError | psycopg.InterfaceError)
    # 08 connection, 53 no resources (disk full, connections), 57 operator intervention, 58 system error, 25 read-only.
    return state[:2] in {"08", "53", "57", "58", "25"} or state == "55P03"
