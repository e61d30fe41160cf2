"""A security module with test keys in this process, whose mints are written at once."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from security_module.ceremony import init
from security_module.main import assemble
from security_module.mint_log import Decision, MintLog
from security_module.roles import Role
from security_module.session import Session

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _at_once(work: Callable[[], list[Decision]]) -> "Deferred[list[Decision]]":
    return succeed(work())


class MemoryModule:
    """The whole module but its sockets and its disk."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="eudora-fuzz-") as directory:
            keys = init(Path(directory) / "module", seed_test_keys=True, now=datetime(2026, 1, 1, tzinfo=UTC))
        self._log = MintLog(Path(":memory:"), keys.vending, lambda: NOW)
        self._links = assemble(keys, self._log, Clock(), _at_once, lambda: NOW)

    def session(self, role: Role) -> Session:
        """Begin a conversation with a client of this role."""
        return Session(self._links.module, role, lambda _: None)

    def close(self) -> None:
        """Close the log of mints."""
        self._log.close()
