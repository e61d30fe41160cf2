"""The embedded server: start, stop, several at once, long paths, and what a database that goes away looks like."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from ledger.opening import open_chart
from ledger.resolve import unresolved
from ledger.upgrade import upgrade
from tests.ledger.books import NOW, Books, watch_statements
from tests.quick_disk import quick_directory
from torture.processes import children, orphans_adopted, reap, send_signal


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that nobody else may list."""
    with tempfile.TemporaryDirectory(prefix="eudora-embedded-", dir=quick_directory()) as name:
        yield Path(name)


def test_data_survives_a_restart_and_starting_twice_is_harmless(directory: Path) -> None:
    """`start` finds what is there: a running server, or only its data."""
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    try:
        EmbeddedPostgres(directory / "postgres").start()
        engine = open_engine(server.dsn)
        upgrade(engine)
        with engine.begin() as connection:
            open_chart(connection)
        engine.dispose()
        server.stop()
        assert not server.is_running()
        server.start()
        engine = open_engine(server.dsn)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM account")).scalar_one() > 10
            settings = {
                name: connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
            }
        engine.dispose()
        assert settings == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": ""}
    finally:
        server.stop()


def test_a_killed_postmaster_that_nobody_buried_is_not_taken_for_a_living_one(directory: Path) -> None:
    """In a container its zombie may stay for ever. It is seen as dead, and the next server starts beside it."""
    server = EmbeddedPostgres(directory / "postgres")
    with orphans_adopted():
        server.start()
        postmaster = int((server.directory / "postmaster.pid").read_text().split()[0])
        backends = children(postmaster)
        assert send_signal(postmaster, signal.SIGKILL)
        try:
            reap(backends, seconds=20)
            assert postmaster in children(os.getpid()), "its zombie is there"
            assert not server.is_running()
            server.start()
            assert server.is_running()
            engine = open_engine(server.dsn)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1
            engine.dispose()
        finally:
            server.stop()
            reap([postmaster], seconds=20)


def test_a_long_path_gets_a_short_socket_and_two_servers_run_beside_each_other(directory: Path) -> None:
    """A unix socket's path is limited to about a hundred octets, a state directory is not."""
    long = EmbeddedPostgres(directory / ("a" * 60) / ("b" * 60) / "postgres")
    short = EmbeddedPostgres(directory / "other")
    try:
        for server in (long, short):
            server.start()
            engine = open_engine(server.dsn)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1
            engine.dispose()
            # Whoever reaches the socket is in without a password, so nobody else may.
            assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700
        assert len(str(long.socket_directory)) < 100
    finally:
        long.stop()
        short.stop()


def test_directories_above_are_opened_for_passing_through_only(directory: Path) -> None:
    """Run as root, the server's own account may pass; nobody gets to list anything."""
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    server.stop()
    assert stat.S_IMODE(directory.stat().st_mode) & 0o066 == 0


def test_a_database_that_is_gone_is_told_from_one_that_comes_back(directory: Path) -> None:
    """While it is down nothing was taken; once it is back the same engine works again."""
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    engine = open_engine(server.dsn)
    try:
        upgrade(engine)
        books = Books(engine)
        sale = books.reserve_one(books.order())
        server.stop()
        with pytest.raises(LedgerUnavailable):
            books.reserve(books.order(6))
        with pytest.raises(LedgerUnavailable):
            unresolved(engine, reserved_before=NOW, limit=1)
        server.start()
        # Of the pooled connections each is found dead once.
        for _ in range(10):
            try:
                books.reserve(books.order(6))
                break
            except LedgerUnavailable:
                continue
        assert books.value("SELECT count(*) FROM sale WHERE id = :id", id=sale.sale_id) == 1
        assert books.check().agree
    finally:
        engine.dispose()
        server.stop()


def test_a_connection_lost_during_commit_is_an_unknown_outcome(books: Books) -> None:
    """The transaction may have happened, so the caller must ask again and not give up; asking again finds it."""
    from sqlalchemy import event

    order = books.order()
    cuts: list[int] = []

    def commit_and_cut(connection: object) -> None:
        if cuts:
            return
        cuts.append(1)
        raw = connection.connection.driver_connection  # type: ignore[attr-defined]
        raw.execute("COMMIT")
        raw.close()

    event.listen(books.engine, "commit", commit_and_cut)
    with pytest.raises(LedgerOutcomeUnknown):
        books.reserve(order)
    (again,) = books.reserve(order)
    assert type(again).__name__ == "Unresolved"
    assert books.check().agree


def test_a_session_that_is_ended_by_the_operator_means_nothing_was_done(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that loses its connection before COMMIT leaves nothing behind."""
    cuts: list[int] = []

    def cut(connection: psycopg.Connection[Any], _statement: str) -> None:
        if cuts:
            return
        cuts.append(1)
        pid = connection.info.backend_pid
        other = open_engine(str(books.engine.url.render_as_string(hide_password=False)))
        with other.connect() as operator:
            operator.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        other.dispose()

    watch_statements(monkeypatch, cut)
    with pytest.raises(LedgerUnavailable):
        books.reserve(books.order())
    assert books.value("SELECT count(*) FROM journal") == 0
    books.sell(books.order())
    assert books.check().agree
