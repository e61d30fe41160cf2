"""Modules with test keys: in memory, and as real processes."""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messages.security_module import FrameReader, Reply, Request, decode_reply, encode_request
from security_module.ceremony import init
from security_module.layout import Layout
from security_module.registers import ModuleKeys

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class SyncClient:
    """A blocking client: one request, one reply, for tests that drive a real process."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.connection = connection
        self._reader = FrameReader()
        self._next = 0

    def ask(self, request: Request) -> Reply:
        """Send one request and wait for its reply."""
        self._next += 1
        self.connection.sendall(encode_request(self._next, request))
        ((correlation_id, reply),) = self.read(1)
        assert correlation_id == self._next
        return reply

    def read(self, count: int) -> list[tuple[int, Reply]]:
        """Wait for *count* replies."""
        replies: list[tuple[int, Reply]] = []
        while len(replies) < count:
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionResetError
            replies.extend(decode_reply(body) for body in self._reader.receive(data))
        return replies


class ModuleProcess:
    """A security module in a process of its own."""

    def __init__(self, directory: Path, scratch: Path) -> None:
        self.directory = directory
        self.log = scratch / "module.log"
        self._run_file = scratch / "run.json"
        self._run_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            arguments = ["security-module", "run", "--directory", str(directory), "--listen", "127.0.0.1:0"]
            self.child = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments, "--run-file", str(self._run_file)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._run_file.exists():
            assert self.child.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.port: int = json.loads(self._run_file.read_text())["port"]

    def context(self, client: Path | None) -> ssl.SSLContext:
        """Make a client context that trusts this module and shows *client*."""
        context = ssl.create_default_context(cafile=str(Layout(self.directory).authority))
        if client is not None:
            context.load_cert_chain(str(client))
        return context

    def connect(self, stack: ExitStack, client: Path | None) -> SyncClient:
        """Open a link; closed with *stack*."""
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=10))
        wrapped = self.context(client).wrap_socket(plain, server_hostname="security-module")
        return SyncClient(stack.enter_context(wrapped))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(20)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModuleKeys]:
    """One made module that tests copy."""
    directory = tmp_path_factory.mktemp("template") / "module"
    return directory, init(directory, seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def keys(template: tuple[Path, ModuleKeys]) -> ModuleKeys:
    """The keys of the made module."""
    return template[1]


@pytest.fixture
def directory(template: tuple[Path, ModuleKeys], tmp_path: Path) -> Path:
    """A copy of the made module's directory."""
    copy = tmp_path / "module"
    shutil.copytree(template[0], copy)
    return copy


@pytest.fixture
def start_module(tmp_path: Path) -> Iterator[Callable[[Path], ModuleProcess]]:
    """Start modules; all are killed at the end."""
    started: list[ModuleProcess] = []

    def start(directory: Path) -> ModuleProcess:
        scratch = tmp_path / f"run{len(started)}"
        scratch.mkdir()
        started.append(ModuleProcess(directory, scratch))
        return started[-1]

    yield start
    for module in started:
        module.end(signal.SIGKILL)
