"""Seeded books on a real PostgreSQL: one database per test, cloned from the migrated template."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from sqlalchemy import Engine, create_engine, text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from tests.conftest import CLONE
from tests.ledger.books import Books

_numbers = count(1)


@pytest.fixture
def new_database(postgres_server: EmbeddedPostgres) -> Iterator[Callable[[], Engine]]:
    """Makes empty, migrated databases that live as long as the test."""
    administration = create_engine(postgres_server.dsn_of("postgres"), isolation_level="AUTOCOMMIT")
    made: list[tuple[str, Engine]] = []

    def make() -> Engine:
        name = f"ledger_{next(_numbers)}"
        with administration.connect() as connection:
            connection.execute(text(CLONE.format(name=name)))
        engine = open_engine(postgres_server.dsn_of(name))
        made.append((name, engine))
        return engine

    yield make
    for name, engine in made:
        engine.dispose()
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


@pytest.fixture
def books(new_database: Callable[[], Engine]) -> Books:
    """A seeded ledger of this test's own."""
    return Books(new_database())
