"""What tests of several packages share: a real PostgreSQL, one server for the session and a fresh database for each module."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.upgrade import upgrade
from tests.quick_disk import quick_directory

TEMPLATE = "eudora_template"
CLONE = f"CREATE DATABASE {{name}} TEMPLATE {TEMPLATE} STRATEGY file_copy"
"""Copied as files, so that the log does not grow by a database for each test."""

RANDOM_SEEDS_VARIABLE = "EUDORA_SIMULATION_SEEDS"
"""Seeds of the simulation that nobody chose, with spaces between; set it to see a run again."""
RANDOM_SEEDS = 2

_LONGEST_FIRST = ("flows", "ledger", "simulation")
_numbers = count(1)


def pytest_configure() -> None:
    """Draw the seeds once, for all processes that share the work: they inherit the environment."""
    os.environ.setdefault(
        RANDOM_SEEDS_VARIABLE, " ".join(str(secrets.randbelow(1_000_000_000)) for _ in range(RANDOM_SEEDS))
    )


def pytest_report_header() -> str:
    """Print the seeds of every run, also of one that passes."""
    return f"simulation, seeds that nobody chose: {RANDOM_SEEDS_VARIABLE}={os.environ[RANDOM_SEEDS_VARIABLE]!r}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest begin first: where several processes share the work, none is left with it alone at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A server with an empty, migrated template database.

    Not below pytest's directories: it closes them to other accounts, and run as root PostgreSQL has an account of its own.
    """
    with tempfile.TemporaryDirectory(prefix="eudora-tests-", dir=quick_directory()) as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            _write_without_waiting(server)
            _run(server, f"CREATE DATABASE {TEMPLATE}")
            engine = open_engine(server.dsn_of(TEMPLATE))
            upgrade(engine)
            engine.dispose()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def postgres(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The DSN of a database of this module's own, with the ledger's tables and nothing in them."""
    name = f"eudora_{next(_numbers)}"
    _run(postgres_server, CLONE.format(name=name))
    yield postgres_server.dsn_of(name)
    _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _write_without_waiting(server: EmbeddedPostgres) -> None:
    """Nobody cuts the power of this server, and a database for each test would spend most of its time on the disk.

    That answers stand on a flushed commit is tested on servers as they are shipped: tests/flows/test_flow_group_commit.py.
    """
    _run(server, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")


def _run(server: EmbeddedPostgres, *statements: str) -> None:
    engine = create_engine(server.dsn_of("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
