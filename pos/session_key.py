"""The session key at the other end of a zone: what the host of a network keeps, and what it makes of a change of keys.

Terminals of one network share this file: the key is the network's, whichever of them asks for it.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acquirers.session_key import KeyOffer
from config.state_files import replace_durably
from messages.key_wrapping import KEY_OCTETS, check_value, unwrap, wrap
from pos.mac import Signer, signer
from vending.secret import Secret

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKeys:
    """What the network's end holds.

    Attributes:
        scheme: a name of `vending.ports.MacScheme`.
        zone_key: that both ends were given by people, 16 octets.
        key: that messages are signed with: the register's own until the first change.
        generation: of that key; 0 is the register's own.
        given: a key that was sent to the switch whose answer has not come; the same is sent again.
    """

    scheme: str
    zone_key: Secret[bytes]
    key: Secret[bytes]
    generation: int = 0
    given: Secret[bytes] | None = None

    @property
    def kcv(self) -> str:
        """Check value of the key that messages are signed with."""
        return check_value(self.scheme, self.key.reveal())


class SessionKeyFile:
    """`HostKeys` in a file of mode 0600 that is replaced durably.

    Every terminal reads it when it is switched on. Whoever changes the key does so within `exclusive`.
    """

    def __init__(self, path: Path, keys: HostKeys) -> None:
        self._path = path
        self.keys = keys

    @classmethod
    def open(cls, path: Path) -> "SessionKeyFile":
        """Read the file. Raises `OSError` or `ValueError`."""
        return cls(path, cls._read(path))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait until no other terminal changes the key, and read what the last one left; two changes at once would lose one key."""
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.keys = self._read(self._path)
            yield

    @staticmethod
    def _read(path: Path) -> HostKeys:
        document = json.loads(path.read_bytes())
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"{path}: of another version")
        given = document["given"]
        return HostKeys(
            scheme=document["scheme"],
            zone_key=_secret(document["zone_key"]),
            key=_secret(document["key"]),
            generation=document["generation"],
            given=_secret(given) if given else None,
        )

    @classmethod
    def create(cls, path: Path, keys: HostKeys) -> "SessionKeyFile":
        """Write a new file."""
        made = cls(path, keys)
        made.write(keys)
        return made

    def write(self, keys: HostKeys) -> None:
        """Keep *keys*; they are on disk when this returns."""
        document: dict[str, Any] = {
            "version": FORMAT_VERSION,
            "scheme": keys.scheme,
            "zone_key": keys.zone_key.reveal().hex(),
            "key": keys.key.reveal().hex(),
            "generation": keys.generation,
            "given": keys.given.reveal().hex() if keys.given else None,
        }
        replace_durably(self._path, json.dumps(document, indent=1).encode("ascii"))
        self.keys = keys

    @property
    def signer(self) -> Signer:
        """Signs with the key of now."""
        return signer(self.keys.scheme, self.keys.key)

    def give(self, random_octets: Callable[[int], bytes]) -> KeyOffer:
        """Return a new key for the switch, written down before it is sent; the same as long as no answer came."""
        keys = self.keys
        if keys.given is None:
            keys = replace(keys, given=Secret(random_octets(KEY_OCTETS)))
            self.write(keys)
        assert keys.given is not None
        return KeyOffer(
            generation=keys.generation + 1,
            kcv=check_value(keys.scheme, keys.given.reveal()),
            wrapped=wrap(keys.scheme, keys.zone_key, keys.given),
        )

    def accept(self, told: KeyOffer) -> None:
        """Take what the switch's answer says: its key, or that it has ours. From now on messages are signed with it.

        Raises:
            messages.key_wrapping.CannotUnwrap: the key is not what its check value says.
            ValueError: the answer speaks of a key that we did not send.
        """
        keys = self.keys
        if told.wrapped:
            key = unwrap(keys.scheme, keys.zone_key, told.wrapped, told.kcv)
        elif keys.given is not None and told.kcv == check_value(keys.scheme, keys.given.reveal()):
            key = keys.given
        else:
            raise ValueError("the answer is about another key")
        self.write(replace(keys, key=key, generation=told.generation, given=None))


def _secret(text: str) -> Secret[bytes]:
    return Secret(bytes.fromhex(text))
