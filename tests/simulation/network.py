"""The line between terminals and switches: ordered streams that break, and frames that concentrators lose, hold back or send twice."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from messages.framing import Frame as WholeFrame
from messages.framing import FrameReader, FrameStyle, write_frame
from switch.listener import AcquirerConnection
from tests.simulation.faults import CrashPoint
from tests.simulation.one_switch import OneSwitch
from tests.simulation.setting import Setting

LATE_SECONDS_MAX = 60.0
_ADDRESS = IPv4Address("TCP", "192.0.2.1", 5000)


class Owner(Protocol):
    """Who opened a link."""

    def received(self, link: "Link", data: bytes) -> None:
        """Octets came."""

    def lost(self, link: "Link") -> None:
        """The link is gone."""


class Nobody:
    """The owner of a link whose answers nobody reads."""

    def received(self, link: "Link", data: bytes) -> None:
        """See `Owner`."""

    def lost(self, link: "Link") -> None:
        """See `Owner`."""


class Link:
    """One connection; both its ends. The server's end is the transport of a real `AcquirerConnection`."""

    def __init__(self, network: "Network", switch: OneSwitch, owner: Owner, setting: Setting) -> None:
        self._network = network
        self._switch = switch
        self._owner = owner
        self._setting = setting
        self._is_open_here = True
        self._is_open_there = True
        self._up_at = 0.0
        self._down_at = 0.0
        self._answers = FrameReader(FrameStyle.BINARY_2)
        connection = switch.port.buildProtocol(None)
        assert connection is not None
        self._server: AcquirerConnection = connection
        connection.makeConnection(self)

    # The terminal's end.

    @property
    def is_open(self) -> bool:
        """Whether the terminal may still write."""
        return self._is_open_here

    def send(self, frame: bytes) -> None:
        """Write one frame, with its length; it arrives in order, in pieces."""
        cut = self._setting.random.randrange(1, len(frame))
        for piece in (frame[:cut], frame[cut:]) if self._setting.random.random() < 0.2 else (frame,):
            self._up_at = max(self._up_at, self._setting.clock.seconds() + self._setting.latency())
            self._at(self._up_at, self._arrive, piece)

    def hang_up(self) -> None:
        """The terminal closes its end."""
        if self._is_open_here:
            self._is_open_here = False
            self._at(self._up_at + 0.001, self._end_there, ConnectionDone())

    def cut(self, *, is_reset: bool) -> None:
        """The line breaks: both ends learn of it, with a reset or as an end of the stream, and what is under way is lost."""
        if is_reset:
            self._end_there(ConnectionLost())
        elif self._is_open_there and self._switch.process.is_alive:
            self._server.readConnectionLost()
        self._lose_here()

    def peer_died(self) -> None:
        """The switch is gone; what it had written may still arrive."""
        self._is_open_there = False
        is_drained = self._setting.random.random() < 0.5
        self._at(max(self._down_at, self._setting.clock.seconds()) + 0.001 if is_drained else 0, self._lose_here)

    # The switch's end, as a transport.

    def write(self, data: bytes) -> None:
        """Send answers."""
        if not self._is_open_there or not self._switch.process.is_alive:
            return
        for event in self._answers.receive(data):
            if isinstance(event, WholeFrame):
                self._network.carry(write_frame(FrameStyle.BINARY_2, event.octets), self._write_down)
        self._switch.process.dies_at(CrashPoint.ANSWER_WRITTEN)

    def getPeer(self) -> IPv4Address:  # noqa: N802 - the names are Twisted's
        """Return an address."""
        return _ADDRESS

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: N802
        """Nothing is ever slowed down."""

    def unregisterProducer(self) -> None:  # noqa: N802
        """Nothing is ever slowed down."""

    def pauseProducing(self) -> None:
        """What has arrived stays with the connection, which holds it itself."""

    def resumeProducing(self) -> None:
        """See `pauseProducing`."""

    def loseWriteConnection(self) -> None:  # noqa: N802
        """End the answers; the terminal hangs up when it sees that."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close after what is written."""
        self._at(max(self._down_at, self._setting.clock.seconds()), self._end_there, ConnectionDone())

    def abortConnection(self) -> None:
        """Close now."""
        self._at(0, self._end_there, ConnectionLost())

    # Inside.

    def _at(self, moment: float, call: Callable[..., None], *arguments: object) -> None:
        clock = self._setting.clock
        clock.callLater(max(0.0, moment - clock.seconds()), call, *arguments)

    def _arrive(self, piece: bytes) -> None:
        if self._is_open_there and self._switch.process.is_alive:
            self._server.dataReceived(piece)

    def _write_down(self, frame: bytes) -> None:
        self._down_at = max(self._down_at, self._setting.clock.seconds() + self._setting.latency())
        self._at(self._down_at, self._arrive_here, frame)

    def _arrive_here(self, frame: bytes) -> None:
        if self._is_open_here:
            self._owner.received(self, frame)

    def _end_there(self, reason: Exception) -> None:
        if self._is_open_there and self._switch.process.is_alive:
            self._is_open_there = False
            self._server.connectionLost(Failure(reason))
        self._network.forget(self)
        self._at(0, self._lose_here)

    def _lose_here(self) -> None:
        if self._is_open_here:
            self._is_open_here = False
            self._owner.lost(self)


class Network:
    """All links, and what happens to frames on them.

    Attributes:
        switches: those that run now.
        copies: requests of which more than one copy was sent by the line itself, by their octets.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.switches: list[OneSwitch] = []
        self.copied: set[bytes] = set()
        self._links: dict[Link, OneSwitch] = {}

    def connect(self, owner: Owner) -> Link | None:
        """Open a link to some switch; None when none runs."""
        if not self.switches:
            return None
        switch = self._setting.random.choice(self.switches)
        link = Link(self, switch, owner, self._setting)
        self._links[link] = switch
        return link

    def send(self, link: Link, frame: bytes) -> None:
        """Carry a terminal's frame, as well as the line does."""
        weather, setting = self._setting.weather, self._setting

        def deliver(octets: bytes) -> None:
            way = link if link.is_open else self.connect(Nobody())
            if way is not None:
                way.send(octets)

        before = setting.faults["frame late"] + setting.faults["frame twice"]
        self.carry(frame, deliver)
        if setting.faults["frame late"] + setting.faults["frame twice"] != before:
            self.copied.add(frame)
        if setting.happens(weather.link_cut, "link cut"):
            setting.clock.callLater(setting.random.expovariate(100), self._cut, link)

    def carry(self, frame: bytes, deliver: Callable[[bytes], None]) -> None:
        """Hand a frame on: at once, late, twice or never."""
        weather, setting = self._setting.weather, self._setting
        if setting.happens(weather.frame_lost, "frame lost"):
            return
        if setting.happens(weather.frame_late, "frame late"):
            setting.clock.callLater(setting.random.uniform(0.01, LATE_SECONDS_MAX), deliver, frame)
        else:
            deliver(frame)
        if setting.happens(weather.frame_twice, "frame twice"):
            setting.clock.callLater(setting.random.choice((0.0, 0.01, 1.0, 20.0)), deliver, frame)

    def died(self, switch: OneSwitch) -> None:
        """A switch is gone, and its ends of all links."""
        self.switches.remove(switch)
        for link in [link for link, its in self._links.items() if its is switch]:
            self.forget(link)
            link.peer_died()

    def forget(self, link: Link) -> None:
        """A link has ended."""
        self._links.pop(link, None)

    def cut_all(self) -> None:
        """Break every link."""
        for link in list(self._links):
            self._cut(link)

    def _cut(self, link: Link) -> None:
        link.cut(is_reset=self._setting.random.random() < 0.5)
