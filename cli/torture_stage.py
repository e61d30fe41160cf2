"""The running system as the torturer breaks it: processes that are killed and come back on their addresses."""

import contextlib
import os
import random
import socket
import time
from signal import SIGKILL

import psycopg

from cli import context
from cli.system import RunningSystem, start_switch
from ledger.embedded import EmbeddedPostgres, EmbeddedPostgresError
from torture.processes import children, reap, send_signal

ANSWER_DEADLINE_SECONDS = 3

POSTGRES_START_SECONDS_MAX = 90.0

_PORTS = range(10_000, 32_000)
"""Below the ports that the system gives to outgoing connections: while a killed process is away nobody else may get its port."""


class RealStage:
    """See `torture.faults.Stage`."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system
        self._postgres = EmbeddedPostgres(context.settings().database.directory)
        self._postgres_pid = self._read_postgres_pid()

    @property
    def switch_pid(self) -> int:
        """See `Stage`."""
        return self._system.switch.pid

    @property
    def module_pid(self) -> int:
        """See `Stage`."""
        return self._system.security_module.pid

    @property
    def postgres_pid(self) -> int:
        """See `Stage`."""
        return self._postgres_pid

    def move_to_fixed_ports(self) -> None:
        """Start security module and switch again where they can come back to after every kill."""
        self._system.switch.stop()
        self._system.security_module.stop()
        self._system.security_module = context.start_security_module(f"127.0.0.1:{_free_port()}")
        run = self._system.security_module.run
        self._system.module_address = (str(run["host"]), int(run["port"]))
        self._system.switch = start_switch(
            self._system.module_address, port=_free_port(), metrics_port=0, environment=self._system.environment
        )

    def move_server_log(self) -> None:
        """Let PostgreSQL log outside its own disk, so that it can still say what happened when that is full."""
        log = self._postgres.directory / "server.log"
        moved = context.log_file("postgres")
        owner = self._postgres.directory.stat()
        context.engine().dispose()
        self._postgres.stop()
        moved.write_bytes(log.read_bytes())
        os.chown(moved, owner.st_uid, owner.st_gid)
        log.unlink()
        log.symlink_to(moved)
        self.start_postgres()

    def kill_switch(self) -> None:
        """See `Stage`."""
        workers = children(self.switch_pid)
        self._system.switch.kill()
        # They end by themselves; one that is stopped stays, and is reaped when everything ends.
        reap(workers, seconds=0.2)

    def start_switch(self) -> None:
        """See `Stage`."""
        self._system.restart_switch()

    def kill_module(self) -> None:
        """See `Stage`."""
        self._system.security_module.kill()

    def start_module(self) -> None:
        """See `Stage`."""
        host, port = self._system.module_address
        self._system.security_module = context.start_security_module(f"{host}:{port}")

    def kill_postgres(self, *, with_backends: bool) -> None:
        """See `Stage`."""
        pids = [self._postgres_pid, *children(self._postgres_pid)]
        for pid in pids if with_backends else pids[:1]:
            send_signal(pid, SIGKILL)
        reap(pids, seconds=5.0)

    def start_postgres(self) -> None:
        """See `Stage`."""
        deadline = time.monotonic() + POSTGRES_START_SECONDS_MAX
        while True:
            # Whether it ended by itself, after a panic: a zombie would be taken for a living one.
            reap([self._postgres_pid], seconds=0.05)
            try:
                self._postgres.start()
                break
            except EmbeddedPostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self._postgres_pid = self._read_postgres_pid()

    def use_up_wal(self) -> None:
        """See `Stage`."""
        dsn = self._postgres.dsn.replace("+psycopg", "")
        with contextlib.suppress(psycopg.Error), psycopg.connect(dsn, connect_timeout=1, autocommit=True) as connection:
            connection.execute("SET statement_timeout = '1s'")
            connection.execute("SELECT pg_switch_wal()")

    def _read_postgres_pid(self) -> int:
        return int((self._postgres.directory / "postmaster.pid").read_text().split()[0])


def postgres_panics() -> int:
    """Return how often PostgreSQL ended by its own decision, as far as its log tells."""
    log = context.settings().database.directory / "server.log"
    return log.read_text(errors="replace").count("PANIC:")


def _free_port() -> int:
    for port in random.SystemRandom().sample(_PORTS, 50):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
