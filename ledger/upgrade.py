"""Bringing a database to the schema this program needs."""

from contextlib import suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from ledger.errors import LedgerUnavailable
from ledger.months import ensure_months
from ledger.schema_version import too_new, version

UPGRADE_LOCK = 0x6575646F7261
"""Advisory lock: of several programs that start at once one upgrades and the others wait."""


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing, all of them or none; then make the months around now that are missing.

    Raises:
        SchemaTooNew: the database knows a version that this program does not.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
        _refuse_newer(connection)
        command.upgrade(alembic_config(connection), "head")
    # Where a long reader is in the way the switch makes them within its next minutes; no start must fail for that.
    with suppress(LedgerUnavailable):
        ensure_months(engine)


def alembic_config(connection: Connection) -> Config:
    """Return what Alembic's commands need to work on *connection*, in its transaction."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _refuse_newer(connection: Connection) -> None:
    current = version(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise too_new(current)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
