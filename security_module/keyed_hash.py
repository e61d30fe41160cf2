"""HMAC-SHA256 under a key that is set up once: every sale waits for two of these, and setting up is half of each."""

import hmac

from vending.secret import Secret


class KeyedHash:
    """Digests messages under one key; the key is not in its ``repr``."""

    __slots__ = ("_keyed",)

    def __init__(self, key: Secret[bytes]) -> None:
        """Set up under *key*, of any length."""
        self._keyed = hmac.new(key.reveal(), digestmod="sha256")

    def digest(self, message: bytes) -> bytes:
        """Return 32 octets: what `hmac.digest` gives for the same key and *message*."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.digest()

    def __repr__(self) -> str:
        return "KeyedHash(***)"
