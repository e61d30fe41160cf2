"""The schema: migrations make what the code expects, and programs and databases of different age do not meet."""

from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect, text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.errors import LedgerUnavailable, SchemaTooNew, SchemaTooOld
from ledger.schema import SCHEMA_VERSION, metadata
from ledger.schema_version import require_schema, version
from ledger.upgrade import upgrade


def test_the_migrations_make_exactly_the_metadata(new_database: Callable[[], Engine]) -> None:
    """No table, column, type, default, index or constraint is in one and not in the other."""
    with new_database().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_check_constraints_and_comments_are_migrated_too(new_database: Callable[[], Engine]) -> None:
    """What the comparison above does not look at."""
    inspector = inspect(new_database())
    for table in metadata.tables.values():
        expected = {str(constraint.name) for constraint in table.constraints if isinstance(constraint, CheckConstraint)}
        assert {check["name"] for check in inspector.get_check_constraints(table.name)} == expected
        assert inspector.get_table_comment(table.name)["text"] == table.comment
        assert table.comment is not None


def test_upgrade_twice_is_upgrade_once(new_database: Callable[[], Engine]) -> None:
    """Every start of the program may call it."""
    engine = new_database()
    upgrade(engine)
    require_schema(engine)
    with engine.connect() as connection:
        assert version(connection) == SCHEMA_VERSION


def test_an_old_program_refuses_a_newer_database(new_database: Callable[[], Engine]) -> None:
    """It would write rows that the newer program misunderstands."""
    engine = new_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew):
        upgrade(engine)
    with pytest.raises(SchemaTooNew):
        require_schema(engine)


def test_an_empty_database_is_refused_until_it_is_upgraded(postgres_server: EmbeddedPostgres) -> None:
    """A forgotten upgrade is named instead of ending in a missing table."""
    engine = open_engine(postgres_server.dsn_of("postgres"))
    with pytest.raises(SchemaTooOld):
        require_schema(engine)
    engine.dispose()


def test_several_programs_upgrade_at_once(postgres_server: EmbeddedPostgres) -> None:
    """All of them start together after an update; one migrates and the others wait."""
    from concurrent.futures import ThreadPoolExecutor

    administration = open_engine(postgres_server.dsn_of("postgres"))
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE upgraded_at_once"))
    engine = open_engine(postgres_server.dsn_of("upgraded_at_once"))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _number: upgrade(engine), range(3)))
    require_schema(engine)
    engine.dispose()
    administration.dispose()


def test_a_migration_can_be_taken_back(postgres_server: EmbeddedPostgres) -> None:
    """Down to nothing and up again."""
    from alembic import command

    from ledger.upgrade import alembic_config

    administration = open_engine(postgres_server.dsn_of("postgres"))
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE taken_back"))
    engine = open_engine(postgres_server.dsn_of("taken_back"))
    upgrade(engine)
    with engine.begin() as connection:
        config = alembic_config(connection)
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    upgrade(engine)
    require_schema(engine)
    engine.dispose()
    administration.dispose()


def test_a_database_that_is_away_is_no_verdict_on_its_schema() -> None:
    """Asking for the schema while the server is gone says that the ledger is unavailable, as every other question does."""
    engine = open_engine("postgresql+psycopg://postgres@/eudora?host=/nowhere")
    with pytest.raises(LedgerUnavailable):
        require_schema(engine)
    engine.dispose()
