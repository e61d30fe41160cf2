"""What tests of several packages share: a real PostgreSQL, one server for the session and a fresh database for each module."""

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.upgrade import upgrade

TEMPLATE = "eudora_template"
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A server with an empty, migrated template database.

    Not below pytest's directories: it closes them to other accounts, and run as root PostgreSQL has an account of its own.
    """
    with tempfile.TemporaryDirectory(prefix="eudora-tests-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
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
    _run(postgres_server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgres_server.dsn_of(name)
    _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _run(server: EmbeddedPostgres, statement: str) -> None:
    engine = create_engine(server.dsn_of("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
