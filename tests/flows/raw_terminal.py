"""A terminal that can also misbehave: it sends whatever octets a test wants over one real connection."""

import itertools
import secrets
import socket
import time
from datetime import UTC, datetime
from typing import Any

from messages.codec import DATAFONO
from messages.framing import Frame, FrameReader, FrameStyle, KeepAlive, write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered
from pos import requests
from pos.dialogue import IN_PROGRESS
from pos.mac import Signer, signer
from pos.requests import Moment
from pos.store import TerminalIdentity

TPDU = bytes.fromhex("6000010002")
TPDU_SWAPPED = bytes.fromhex("6000020001")

PATIENCE_SECONDS = 30.0

_stans = itertools.count(secrets.randbelow(900_000) + 1)


class RawTerminal:
    """One connection. Every request has a new STAN; answers are read frame by frame."""

    def __init__(self, address: tuple[str, int], identity: TerminalIdentity) -> None:
        self.identity = identity
        self.signer: Signer = signer(identity.mac_scheme, identity.mac_key)
        self.address = address
        self.socket = socket.create_connection(address, 5)
        self.socket.settimeout(20)
        self._reader = FrameReader(FrameStyle.BINARY_2, 4096)
        self._events: list[Any] = []

    def close(self) -> None:
        self.socket.close()

    def moment(self) -> Moment:
        return Moment(stan=f"{next(_stans):06d}", transmitted_at=datetime.now(UTC))  # noqa: TID251

    def recharge(self, meter_number: str, centavos: int) -> IsoMessage:
        return requests.recharge(self.identity, self.moment(), meter_number=meter_number, paid_centavos=centavos)  # type: ignore[arg-type]

    def seal(self, message: IsoMessage) -> bytes:
        return requests.seal(message, self.signer)

    def send_body(self, body: bytes) -> None:
        self.socket.sendall(write_frame(FrameStyle.BINARY_2, TPDU + body))

    def send_octets(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def read_event(self) -> Any:
        """Return the next frame or keep-alive; None when the other end closed."""
        while not self._events:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._events += self._reader.receive(data)
        return self._events.pop(0)

    def read_body(self) -> bytes:
        """Return the next answer without its TPDU, which must be ours, swapped."""
        event = self.read_event()
        assert isinstance(event, Frame), event
        assert event.octets[:5] == TPDU_SWAPPED
        return event.octets[5:]

    def read_keep_alive(self) -> None:
        assert isinstance(self.read_event(), KeepAlive)

    def ask(self, message: IsoMessage) -> IsoMessage:
        """Send a signed request and return its answer, whose MAC must be right.

        Like a datáfono it repeats what is not final: on a busy machine a module or a deadline is late without anything being broken.
        """
        answer = self.ask_body(self.seal(message))
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while answer.get(39) == IN_PROGRESS and time.monotonic() < give_up_at:
            time.sleep(0.2)
            answer = self.ask_body(self.seal(requests.as_repeat(message)))
        return answer

    def ask_body(self, body: bytes) -> IsoMessage:
        self.send_body(body)
        answer = self.read_body()
        decoded = DATAFONO.decode(answer)
        if 64 in decoded or 128 in decoded:
            self.signer.verify(covered(answer), answer[-8:])
        return decoded

    def ask_raw(self, body: bytes) -> bytes:
        """Send octets and return the answer's octets."""
        self.send_body(body)
        return self.read_body()
