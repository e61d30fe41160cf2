"""Which schema a database has, and refusing to work on another one. What changes it is `ledger.upgrade`."""

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.errors import SchemaTooNew, SchemaTooOld
from ledger.schema import SCHEMA_VERSION


def require_schema(engine: Engine) -> None:
    """Return if the database has exactly the schema of this program.

    Every worker asks when it starts, so it is one question to the database; the migrations are not read.

    Raises:
        SchemaTooNew: it was migrated by a newer program.
        SchemaTooOld: `upgrade` is needed first.
        LedgerUnavailable: the database cannot be reached.
    """
    current = transact(engine, lambda connection, _attempt: version(connection))
    if current == SCHEMA_VERSION:
        return
    # Versions are numbers of four digits that only grow.
    if current is not None and current > SCHEMA_VERSION:
        raise too_new(current)
    raise SchemaTooOld(f"the database has schema {current or 'none'}, this program needs {SCHEMA_VERSION}")


def version(connection: Connection) -> str | None:
    """Return the version of the schema in the database, None when it is empty."""
    # Not to_regclass: it may answer out of its cache what was true before another program upgraded.
    if not connection.scalar(
        text("SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'alembic_version' AND pg_table_is_visible(oid))")
    ):
        return None
    current = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if current is None else str(current)


def too_new(current: str) -> SchemaTooNew:
    """Return the refusal of a database that a newer program has migrated."""
    return SchemaTooNew(f"the database has schema {current}, this program knows up to {SCHEMA_VERSION}")
