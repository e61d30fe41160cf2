"""PostgreSQL's own benchmark is run on the server that the sales ran on, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cli import pgbench
from cli.pgbench import DATABASE, PgbenchError, run_pgbench
from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(tmp_path / "postgres")
    embedded.start()
    yield embedded
    embedded.stop()


def test_tpc_b_runs_in_a_database_of_its_own_and_drops_it(server: EmbeddedPostgres) -> None:
    """A rate comes out, and a gigabyte does not stay; a failure is said in pgbench's own words."""
    rate = run_pgbench(server.dsn, clients=1, seconds=1)
    assert rate is not None
    assert rate > 1
    engine = open_engine(server.dsn)
    with engine.connect() as connection:
        names = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
    engine.dispose()
    assert DATABASE not in names
    with pytest.raises(PgbenchError, match="must be in range"):
        run_pgbench(server.dsn, clients=1, seconds=0)


def test_without_pgbench_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel is not installed the result is null and not an error."""

    def missing(_: str) -> Path:
        raise EmbeddedPostgresError("not installed")

    monkeypatch.setattr(pgbench, "program", missing)
    assert run_pgbench("postgresql+psycopg://nobody@/nothing", clients=1, seconds=1) is None
