"""Sees a revocation while the module runs: ends the links of its client, lets it in no more, and writes that into the audit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from security_module.clients import read_revocations
from security_module.sealed_store import StoreError
from security_module.server import Links

LOOK_SECONDS = 1.0
"""How long a revoked client may go on at most; a look costs some microseconds."""

_log = structlog.get_logger()


class RevocationWatch:
    """Looks at the file of revocations again and again."""

    def __init__(self, path: Path, links: Links) -> None:
        self._path = path
        self._links = links
        self._seen: tuple[int, int, int] | None = None
        self._recorded: set[str] = set(links.revoked)

    def look(self) -> "Deferred[Any]":
        """Act on what is new in the file; fires when it is in the audit. What could not be written is written at a later look."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return succeed(None)
        except OSError as error:
            # Not out of here: the loop that looks would end with it.
            _log.error("client.revocations_unreadable", error=str(error))
            return succeed(None)
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._seen:
            return succeed(None)
        try:
            asked = read_revocations(self._path)
        except (StoreError, OSError) as error:
            self._seen = seen
            _log.error("client.revocations_unreadable", error=str(error))
            return succeed(None)
        # Out first, written afterwards: while the disk is slow or full he is out already.
        self._links.revoke({each.spki_sha256 for each in asked})
        new = [each for each in asked if each.spki_sha256 not in self._recorded]
        for each in new:
            _log.warning("client.revoked", client=each.name, role=each.role, spki_sha256=each.spki_sha256)
        written = self._links.module.commits.run(lambda log: log.revoke([asdict(each) for each in new]))

        def recorded(_: Any) -> None:
            self._seen = seen
            self._recorded.update(each.spki_sha256 for each in new)

        return written.addCallbacks(recorded, self._not_recorded)

    @staticmethod
    def _not_recorded(failure: Failure) -> None:
        _log.error("audit.not_recorded", act="client_revoked", error=repr(failure.value))
