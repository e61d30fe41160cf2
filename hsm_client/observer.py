"""What a link tells whoever counts: the owner of the pool hands an observer in and makes metrics or log lines of it."""

from enum import Enum
from typing import Protocol


class LinkState(Enum):
    """Where a link stands. Only the table in ``hsm_client.link_states`` moves a link from one to another."""

    DOWN = "down"
    """Not started, or stopped."""
    CONNECTING = "connecting"
    """A connection is being opened."""
    IDENTIFYING = "identifying"
    """Connected; the module has not yet answered who it is, which also proves the TLS handshake."""
    UP = "up"
    """The module answered: requests may be sent."""
    BACKING_OFF = "backing_off"
    """Waiting before the next attempt."""
    CLOSING = "closing"
    """Told to stop; the connection or the attempt has not ended yet."""


class LinkObserver(Protocol):
    """Told of everything on a link that an operator wants to see. Must not raise, and must be quick.

    *link* is the name the link was configured with.
    """

    def link_changed(self, link: str, old: LinkState, new: LinkState) -> None:
        """The link went from *old* to *new*."""

    def connection_failed(self, link: str, reason: str) -> None:
        """An attempt failed, or a connection ended that was not told to; *reason* holds no secret."""

    def reconnect_scheduled(self, link: str, failures: int, delay_seconds: float) -> None:
        """The next attempt comes after *delay_seconds*; *failures* attempts in a row have failed."""

    def request_timed_out(self, link: str) -> None:
        """A request was written and got no answer in its time."""

    def reply_late(self, link: str) -> None:
        """An answer came after its request had been given up; it was dropped."""

    def request_retried(self, link: str) -> None:
        """A request that had gone wrong elsewhere, or here before, was sent again on this link."""


class SilentObserver:
    """A `LinkObserver` that does nothing."""

    def link_changed(self, link: str, old: LinkState, new: LinkState) -> None:
        """Do nothing."""

    def connection_failed(self, link: str, reason: str) -> None:
        """Do nothing."""

    def reconnect_scheduled(self, link: str, failures: int, delay_seconds: float) -> None:
        """Do nothing."""

    def request_timed_out(self, link: str) -> None:
        """Do nothing."""

    def reply_late(self, link: str) -> None:
        """Do nothing."""

    def request_retried(self, link: str) -> None:
        """Do nothing."""
