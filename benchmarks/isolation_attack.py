"""What `benchmarks.isolation` does to one network's port: ``python -m benchmarks.isolation_attack ATTACK DIALECT SECONDS HOST PORT [host] [elsewhere]``.

With ``host`` it is the network's host, which the switch calls there. With ``elsewhere`` it has a machine of its own, as in earnest: here
that is, only the processor time that nobody else wants.

It makes what it will send, prints a line, and waits for one on its standard input. The attack goes on as fast as it can for so many seconds;
then it prints one JSON object: how many octets and connections it got through.
"""

import json
import os
import random
import selectors
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, process_time

from benchmarks.isolation_account import give_way
from messages.framing import write_frame, write_keep_alive
from messages.iso_message import IsoMessage
from messages.tpdu import Tpdu
from messages.wire import WIRES, Wire
from pos import requests
from pos.mac import signer
from pos.requests import Moment
from pos.speech import speech_of
from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.ports import MacScheme
from vending.secret import Secret

CONNECTIONS = 16
HELD_CONNECTIONS = 400
"""Below what one address may have."""

BLOB_OCTETS = 1 << 18
ACCEPT_SECONDS = 0.005
"""As a host: how long the next link of the switch is waited for in one go."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

IDENTITY = TerminalIdentity(
    terminal_id="X0000001",
    merchant_id="NADIE".ljust(15),
    nii="001",
    mac_scheme=MacScheme.X9_19,
    mac_key=Secret(bytes(range(16))),
)
"""A terminal that nobody knows, with a key of its own: all its MACs are wrong."""


class Attack:
    """One attack on one dialect's port."""

    def __init__(
        self,
        dialect: str,
        address: tuple[str, int],
        seconds: float,
        now: Callable[[], datetime],
        *,
        is_host: bool = False,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.octets = self.connections = self.octets_read = 0
        self._wire: Wire = WIRES[dialect]
        self._speech = speech_of(dialect, now)
        self._address = address
        self._seconds = seconds
        self._until = 0.0
        self._is_host = is_host
        self._ready = ready
        self._now = now
        self._random = random.Random(1)
        self._listening: socket.socket | None = None

    # Blobs.

    def _frame(self, body: bytes) -> bytes:
        return write_frame(self._wire.frame_style, body)

    def _message(self, message: IsoMessage) -> bytes:
        octets = requests.seal(message, signer(IDENTITY.mac_scheme, IDENTITY.mac_key), self._speech)
        return self._frame((Tpdu(destination="0001", source="0002").octets if self._wire.has_tpdu else b"") + octets)

    def _repeated(self, make: Callable[[int], bytes], different: int = 1000) -> bytes:
        pieces = [make(number) for number in range(1, different + 1)]
        whole = b"".join(pieces)
        return whole * max(1, BLOB_OCTETS // len(whole))

    def _moment(self, number: int) -> Moment:
        return Moment(stan=f"{number:06}", transmitted_at=self._now())

    def _echoes(self) -> bytes:
        return self._repeated(
            lambda number: self._message(requests.network(IDENTITY, self._moment(number), requests.ECHO))
        )

    def _false_sales(self) -> bytes:
        return self._repeated(
            lambda number: self._message(
                requests.recharge(
                    IDENTITY, self._moment(number), meter_number="37000000002", paid_centavos=Centavos(2_000_000)
                )
            )
        )

    def _noise_frames(self) -> bytes:
        return self._repeated(lambda _: self._frame(self._random.randbytes(self._random.randrange(20, 300))))

    def _length(self, octets: int) -> bytes:
        return octets.to_bytes(2, "big") if self._wire.frame_style.prefix_octets == 2 else b"%04d" % min(octets, 9999)

    # Attacks.

    def noise(self) -> None:
        """Octets without sense; each connection ends at the first length that cannot be."""
        self._flood(os.urandom(BLOB_OCTETS))

    def noise_frames(self) -> None:
        """Whole frames of random octets."""
        self._flood(self._noise_frames())

    def keep_alives(self) -> None:
        """Frames of length zero."""
        self._flood(write_keep_alive(self._wire.frame_style) * (BLOB_OCTETS // 4))

    def echoes(self) -> None:
        """Valid echoes, whose answers are read."""
        self._flood(self._echoes())

    def false_sales(self) -> None:
        """Valid recharges of a terminal that nobody knows, with wrong MACs."""
        self._flood(self._false_sales())

    def reads_nothing(self) -> None:
        """Valid echoes, whose answers are never read."""
        self._flood(self._echoes(), is_reading=False)

    def octet_by_octet(self) -> None:
        """Valid echoes on many connections, one octet at a time."""
        self._flood(self._echoes(), connections=HELD_CONNECTIONS // 2, octets_per_write=1)

    def half_frames(self) -> None:
        """The beginning of a frame and silence; the oldest connection is cut for a new one."""
        self._storm(self._length(500) + bytes(20), held=HELD_CONNECTIONS)

    def huge_lengths(self) -> None:
        """A length that no frame may have."""
        self._storm(self._length(0xFFFF) + bytes(20), held=8)

    def connections_storm(self) -> None:
        """Connections that are cut at once."""
        self._storm(b"", held=0)

    # How.

    def _begin(self) -> None:
        """Everything is at hand: wait until the attack is to begin."""
        self._ready()
        if self._is_host:
            self._listening = socket.create_server(self._address, backlog=128)
        self._until = monotonic() + self._seconds

    def _flood(
        self,
        blob: bytes,
        *,
        connections: int = CONNECTIONS,
        is_reading: bool = True,
        octets_per_write: int = BLOB_OCTETS,
    ) -> None:
        self._begin()
        selector = selectors.DefaultSelector()
        events = selectors.EVENT_WRITE | (selectors.EVENT_READ if is_reading else 0)
        at: dict[socket.socket, int] = {}
        while monotonic() < self._until:
            while len(at) < connections:
                link = self._connect()
                if link is None:
                    break
                at[link] = 0
                selector.register(link, events)
            for key, ready in selector.select(0.01):
                link = key.fileobj  # type: ignore[assignment]
                assert isinstance(link, socket.socket)
                try:
                    if ready & selectors.EVENT_READ:
                        read = len(link.recv(1 << 18))
                        self.octets_read += read
                        if not read:
                            raise ConnectionResetError
                    if ready & selectors.EVENT_WRITE:
                        start = at[link]
                        sent = link.send(memoryview(blob)[start : start + octets_per_write])
                        self.octets += sent
                        at[link] = (start + sent) % len(blob)
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(link)
                    del at[link]
                    link.close()

    def _storm(self, first_octets: bytes, *, held: int) -> None:
        self._begin()
        links: deque[socket.socket] = deque()
        while monotonic() < self._until:
            link = self._connect()
            if link is None:
                continue
            try:
                if first_octets:
                    self.octets += link.send(first_octets)
            except OSError:
                pass
            links.append(link)
            while len(links) > held:
                links.popleft().close()

    def _connect(self) -> socket.socket | None:
        return self._call() if self._listening is None else self._accept(self._listening)

    def _accept(self, listening: socket.socket) -> socket.socket | None:
        listening.settimeout(ACCEPT_SECONDS)
        try:
            link, _ = listening.accept()
        except OSError:
            return None
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        link.setblocking(False)
        self.connections += 1
        return link

    def _call(self) -> socket.socket | None:
        link = socket.socket()
        try:
            link.settimeout(0.5)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            link.connect(self._address)
            link.setblocking(False)
        except OSError:
            link.close()
            return None
        self.connections += 1
        return link


ATTACKS: dict[str, Callable[[Attack], None]] = {
    each.__name__: each
    for each in (
        Attack.noise,
        Attack.noise_frames,
        Attack.half_frames,
        Attack.huge_lengths,
        Attack.connections_storm,
        Attack.keep_alives,
        Attack.echoes,
        Attack.false_sales,
        Attack.reads_nothing,
        Attack.octet_by_octet,
    )
}
"""By name, as they are run."""


def main() -> None:
    """Run one attack."""
    name, dialect, seconds, host, port, *role = sys.argv[1:]

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        if "elsewhere" in role:
            give_way()

    attack = Attack(
        dialect,
        (host, int(port)),
        float(seconds),
        lambda: datetime.now(UTC),  # noqa: TID251 - the root of this process
        is_host="host" in role,
        ready=ready,
    )
    ATTACKS[name](attack)
    print(
        json.dumps(
            {
                "octets": attack.octets,
                "octets_read": attack.octets_read,
                "connections": attack.connections,
                "processor_seconds": round(process_time(), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
