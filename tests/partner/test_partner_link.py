"""The certification's own link: frames over plain and encrypted sockets, and what comes instead of one."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trustme

from messages.framing import KEEP_ALIVE, FrameStyle, write_frame, write_keep_alive
from partner.link import Nothing, open_link

SOON_SECONDS = 5.0
STYLE = FrameStyle.DIGITS_4


@contextmanager
def _served(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """A port that does *answer* with its one connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with taken if tls is None else tls.wrap_socket(taken, server_side=True) as link:
                answer(link)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()
        thread.join(SOON_SECONDS)


def _echo(link: socket.socket) -> None:
    link.sendall(link.recv(4096))


def test_a_frame_goes_out_and_comes_back_in_pieces() -> None:
    """Wherever the stream is cut, one frame is one frame; a keep-alive before it is passed over."""

    def answer(link: socket.socket) -> None:
        octets = write_keep_alive(STYLE) + link.recv(4096)
        link.sendall(octets[:7])
        link.sendall(octets[7:])

    with _served(answer) as address:
        link = open_link(address, STYLE)
        link.send(b"1804")
        assert link.read_frame(SOON_SECONDS) == b"1804"
        assert link.read_frame(SOON_SECONDS) is Nothing.CLOSED
        link.close()


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (b"HTTP/1.1 400", Nothing.NO_FRAME),
        (write_keep_alive(STYLE), KEEP_ALIVE),
        (b"", Nothing.CLOSED),
        (write_frame(STYLE, b"1814")[:5], Nothing.CLOSED),
    ],
)
def test_what_is_no_frame_is_told_apart(octets: bytes, found: object) -> None:
    """Garbage, a keep-alive, an end, and half a frame before the end."""
    with _served(lambda link: link.sendall(octets)) as address:
        link = open_link(address, STYLE)
        assert link.read(SOON_SECONDS) == found
        link.close()


def test_silence_ends_the_wait() -> None:
    """A port that says nothing costs the time that was given, and no more."""
    is_over = threading.Event()
    with _served(lambda _: (is_over.wait(SOON_SECONDS), None)[1]) as address:
        link = open_link(address, STYLE)
        assert link.read(0.05) is Nothing.SILENCE
        is_over.set()
        link.close()


def test_an_encrypted_port_is_called_by_its_certificate() -> None:
    """With the authority that signed it; without, there is no link."""
    authority = trustme.CA()
    serving, calling = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(calling)
    with _served(_echo, serving) as address:
        link = open_link(address, STYLE, calling)
        link.send(b"1804")
        assert link.read_frame(SOON_SECONDS) == b"1804"
        link.close()
