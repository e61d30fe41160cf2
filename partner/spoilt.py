"""A signer whose MACs are wrong, for requests that must be refused."""

from pos.mac import Signer


class SpoiltSigner:
    """Signs with one bit changed.

    Args:
        signer: the terminal's own.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, data: bytes) -> bytes:
        """See `pos.mac.Signer`."""
        right = self._signer.sign(data)
        return bytes((right[0] ^ 1,)) + right[1:]

    def verify(self, data: bytes, mac: bytes) -> None:
        """See `pos.mac.Signer`; answers are judged as ever."""
        self._signer.verify(data, mac)
