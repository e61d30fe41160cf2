"""Links that the switch opens to a simulated network: the host answers sign-on and echo, and then its terminals sell over them."""

from collections.abc import Callable

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from acquirers.calls import NetworkRequest
from messages.framing import write_frame
from partner.exchange import Concentrator, PartnerLink
from partner.host import host_answer


class CalledLink(PartnerLink):
    """One of them; it carries sales from the sign-on until the sign-off.

    Args:
        concentrator: takes its frames.
        signs_on: whether the switch signs on; where it does not, the link carries sales from the beginning.
    """

    def __init__(self, concentrator: Concentrator, *, signs_on: bool) -> None:
        super().__init__(concentrator)
        self._host_of = concentrator
        self._signs_on = signs_on
        self._is_used = False

    def connectionMade(self) -> None:
        """Wait for the sign-on."""
        self.is_up = True
        if not self._signs_on:
            self._use()

    def frame_received(self, octets: bytes) -> None:
        """Answer what is asked of the host; everything else is an answer to a terminal."""
        said = host_answer(self._host_of.partner.wire, self._host_of.partner.dialect, octets)
        if said is None:
            super().frame_received(octets)
            return
        self.write(write_frame(self._host_of.partner.wire.frame_style, said.frame))
        if said.asked is NetworkRequest.SIGN_ON and not self._is_used:
            self._use()
        elif said.asked is NetworkRequest.SIGN_OFF and self in self._host_of.links:
            self._host_of.links.remove(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say that it is gone, if it ever was of use."""
        self.is_up = False
        if self._is_used:
            super().connectionLost(reason)

    def _use(self) -> None:
        self._is_used = True
        self._host_of.link_is_up(self)


class HostFactory(Factory):
    """Takes the links that the switch opens.

    Args:
        make: of each connection.
    """

    noisy = False

    def __init__(self, make: Callable[[], CalledLink]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> CalledLink:
        """Make it."""
        return self._make()
