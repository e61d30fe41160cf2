"""Two modules behind one port: one makes tokens, the other one makes MACs and keeps the keys of terminals and networks."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred, gatherResults

from hsm_client.observer import LinkState
from hsm_client.pool import SecurityModulePool
from hsm_client.prism import PrismModule


class ComposedModule:
    """A `vending.ports.SecurityModule` and `vending.session_key.SessionKeyModule`.

    Args:
        tokens: makes tokens and key changes.
        macs: everything else. It mints nothing, whatever it could.
    """

    def __init__(self, tokens: PrismModule, macs: SecurityModulePool) -> None:
        self._tokens = tokens
        self._macs = macs
        self.mint = tokens.mint
        self.change_key = tokens.change_key
        self.generate_mac = macs.generate_mac
        self.verify_mac = macs.verify_mac
        self.make_session_key = macs.make_session_key
        self.take_session_key = macs.take_session_key
        self.retire_key = macs.retire_key

    def start(self) -> None:
        """Connect all links of both and keep them connected."""
        self._tokens.start()
        self._macs.start()

    def stop(self) -> Deferred[None]:
        """Close all links of both; fires when nothing is left."""
        return gatherResults([self._tokens.stop(), self._macs.stop()]).addCallback(lambda _: None)

    @property
    def is_up(self) -> bool:
        """Whether a sale made now could be finished: it needs both."""
        return self._tokens.is_up and self._macs.is_up

    @property
    def states(self) -> Mapping[str, LinkState]:
        """Where each link stands, by name: those that make tokens first."""
        return {**self._tokens.states, **self._macs.states}
