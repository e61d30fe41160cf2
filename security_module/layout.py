"""Where things lie in the module's directory. Nothing of it belongs in a repository or a backup that others read."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The files below one directory."""

    directory: Path

    @property
    def store(self) -> Path:
        """The sealed keys."""
        return self.directory / "keys.sealed"

    @property
    def passphrase(self) -> Path:
        """Opens the store; in production it lies elsewhere (a systemd credential)."""
        return self.directory / "passphrase"

    @property
    def change_lock(self) -> Path:
        """Held by whoever changes the store; not by the process that runs, which reads it once."""
        return self.directory / "change.lock"

    def protocol(self, at: datetime) -> Path:
        """The printed record of what was done to the keys at *at*; nothing in it is secret."""
        return self.directory / f"protocol-{at:%Y%m%dT%H%M%SZ}.txt"

    @property
    def mint_log(self) -> Path:
        """Request ids, counters and audit chain."""
        return self.directory / "mint.sqlite3"

    @property
    def audit_public_key(self) -> Path:
        """What verifies the audit; written at each start, not secret. Who verifies keeps a copy of his own."""
        return self.directory / "audit-public.pem"

    @property
    def revocations(self) -> Path:
        """Clients whose certificates are worth nothing any more; not secret. What stood in it once stays in the mint log."""
        return self.directory / "revoked-clients.json"

    @property
    def lock(self) -> Path:
        """Held by the one process that runs here."""
        return self.directory / "lock"

    @property
    def tls(self) -> Path:
        """Certificates."""
        return self.directory / "tls"

    @property
    def authority(self) -> Path:
        """What server and clients trust."""
        return self.tls / "ca.pem"

    @property
    def server(self) -> Path:
        """Certificate and private key of the server, in one file."""
        return self.tls / "server.pem"

    def client(self, name: str) -> Path:
        """Certificate and private key of one client, in one file."""
        return self.tls / "clients" / f"{name}.pem"
