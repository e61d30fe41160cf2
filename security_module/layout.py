"""Where things lie in the module's directory. Nothing of it belongs in a repository or a backup that others read."""

from dataclasses import dataclass
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
    def mint_log(self) -> Path:
        """Request ids, counters and audit chain."""
        return self.directory / "mint.sqlite3"

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
