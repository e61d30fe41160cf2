"""A terminal with a key for each message: DUKPT, TDES or AES.

It counts up before it sends, on disk, so that no key is used for two messages whatever happens. A real terminal keeps no initial key: it keeps the
keys of counters to come and forgets each one that it used. This one, which is for tests, derives them anew.
"""

import json
from pathlib import Path

from config.state_files import replace_durably
from messages.dukpt import KSN_OCTETS, message_keys, next_ksn
from pos.mac import Signer, signer
from vending.ports import MacMismatch
from vending.secret import Secret

FORMAT_VERSION = 1
ANSWERS_MAX = 8
"""Of so many messages an answer may still come; a late one to the first copy is as good as one to its repeat."""


class DukptSigner:
    """See `pos.mac.Signer`. The state is a file of mode 0600 that is replaced durably before each message."""

    def __init__(self, path: Path, initial_key: Secret[bytes], ksn: bytes) -> None:
        self._path = path
        self._initial_key = initial_key
        self.ksn = ksn
        """Of the last message; the counter is 0 before the first one."""
        self._request: Signer | None = None
        self._responses: list[Signer] = []

    @classmethod
    def open(cls, path: Path) -> "DukptSigner":
        """Read the file. Raises `OSError` or `ValueError`."""
        document = json.loads(path.read_bytes())
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"{path}: of another version")
        return cls(path, Secret(bytes.fromhex(document["initial_key"])), bytes.fromhex(document["ksn"]))

    @classmethod
    def create(cls, path: Path, initial_key: Secret[bytes], ksn: bytes) -> "DukptSigner":
        """Put an initial key of 16 octets and its KSN, of 10 octets or for AES 12, into a new terminal."""
        made = cls(path, initial_key, ksn)
        made._write(ksn)
        return made

    def advance(self) -> bytes:
        """Count up and return the KSN of the next message. Raises `messages.dukpt.KeysExhausted` at the end of a terminal's life."""
        ksn = next_ksn(self.ksn)
        self._write(ksn)
        keys = message_keys(self._initial_key, ksn)
        scheme = next(name for name, octets in KSN_OCTETS.items() if octets == len(ksn))
        self._request = signer(scheme, keys.request)
        self._responses = [*self._responses, signer(scheme, keys.response)][-ANSWERS_MAX:]
        return ksn

    def sign(self, data: bytes) -> bytes:
        """Return the MAC of the message that has the KSN which `advance` returned last; once for each."""
        assert self._request is not None, "a message has its KSN before it has its MAC"
        request, self._request = self._request, None
        return request.sign(data)

    def verify(self, data: bytes, mac: bytes) -> None:
        """Return if *mac* is right over an answer to one of the last messages, else raise `MacMismatch`."""
        for response in reversed(self._responses):
            try:
                response.verify(data, mac)
            except MacMismatch:
                continue
            return
        raise MacMismatch

    def _write(self, ksn: bytes) -> None:
        document = {
            "version": FORMAT_VERSION,
            "initial_key": self._initial_key.reveal().hex(),
            "ksn": ksn.hex(),
        }
        replace_durably(self._path, json.dumps(document, indent=1).encode("ascii"))
        self.ksn = ksn
