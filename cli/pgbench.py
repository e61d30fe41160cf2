"""PostgreSQL's own benchmark, beside ours: TPC-B on the same server, in a database of its own."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from ledger.embedded import EmbeddedPostgresError, program

DATABASE = "eudora_pgbench"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_INITIALISE_SECONDS_MAX = 600
_THREADS_MAX = 4


class PgbenchError(Exception):
    """It is there and failed; the text is what it said."""


def find_pgbench() -> Path | None:
    """Return the program that belongs to the embedded server, None where it is not installed."""
    try:
        path = program("pgbench")
    except EmbeddedPostgresError:
        return None
    return path if path.is_file() else None


def run_pgbench(dsn: str, *, clients: int, seconds: int) -> float | None:
    """Run TPC-B with its default settings, scale = clients, after making its tables.

    Args:
        dsn: SQLAlchemy URL of any database of the server.
        clients: sessions at once.
        seconds: how long.

    Returns:
        Transactions per second, or None where pgbench is not installed.

    Raises:
        PgbenchError: it failed.
    """
    path = find_pgbench()
    if path is None:
        return None
    server = make_url(dsn)
    with _database(server) as url:
        environment = _libpq_environment(url)
        _run(path, ["-i", "-q", "-s", str(clients)], environment, _INITIALISE_SECONDS_MAX)
        threads = min(_THREADS_MAX, os.cpu_count() or 1, clients)
        said = _run(path, ["-c", str(clients), "-j", str(threads), "-T", str(seconds)], environment, seconds + 120)
    found = _TPS.search(said)
    if found is None:
        raise PgbenchError(f"no result in: {said}")
    return float(found[1])


@contextmanager
def _database(server: URL) -> Iterator[URL]:
    """Make the benchmark's database and drop it in the end, so that its gigabyte does not stay."""
    conninfo = server.set(drivername="postgresql").render_as_string(hide_password=False)
    name = sql.Identifier(DATABASE)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield server.set(database=DATABASE)
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def _libpq_environment(url: URL) -> dict[str, str]:
    host = url.query.get("host", url.host)
    given = {
        "PGHOST": host if isinstance(host, str) else None,
        "PGPORT": str(url.port) if url.port else None,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    }
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def _run(path: Path, arguments: list[str], environment: dict[str, str], seconds_max: int) -> str:
    done = subprocess.run(  # noqa: S603 - our own program and arguments
        [str(path), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode != 0:
        raise PgbenchError(done.stderr.strip()[-2000:])
    return done.stdout
