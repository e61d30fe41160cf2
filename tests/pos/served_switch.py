"""The scripted network of `tests.pos.fake_switch` behind a real listening socket."""

import contextlib
import socket
import threading
from collections.abc import Callable

from messages.framing import Frame, FrameReader, FrameStyle
from tests.pos.fake_switch import FakeSwitch

Deliver = Callable[[socket.socket, bytes], bool]
"""Gives an answer to a link; False: close the link."""


def whole(link: socket.socket, octets: bytes) -> bool:
    link.sendall(octets)
    return True


class Served:
    """A `FakeSwitch` behind a listening socket, one link after the other."""

    def __init__(self, switch: FakeSwitch, deliver: Deliver) -> None:
        self.switch = switch
        self.links = 0
        self._deliver = deliver
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop_listening(self) -> None:
        # Closing a socket does not wake the thread that waits in accept; shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.stop_listening()
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.links += 1
            with link:
                self._serve_link(link)

    def _serve_link(self, link: socket.socket) -> None:
        reader = FrameReader(FrameStyle.BINARY_2)
        while True:
            try:
                data = link.recv(4096)
            except OSError:
                return
            if not data:
                return
            for event in reader.receive(data):
                assert isinstance(event, Frame)
                octets = self.switch.serve(event.octets)
                if octets and not self._deliver(link, octets):
                    return
