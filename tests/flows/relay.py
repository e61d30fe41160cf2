"""A relay before a server: it passes octets on both ways, until it is told that answers get lost."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Relay:
    """One listening port before one server.

    Args:
        target: the server.
        loses_answers: asked before each piece of an answer is passed on; once it says so no answer leaves any more.
    """

    def __init__(self, target: tuple[str, int], loses_answers: Callable[[], bool]) -> None:
        self._target = target
        self._loses_answers = loses_answers
        self.has_lost = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where to connect."""
        return "{}:{}".format(*self._listener.getsockname())

    def close(self) -> None:
        """Cut everything."""
        for each in (self._listener, *self._open):
            _cut(each)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(asking)
            try:
                answering = socket.create_connection(self._target)
            except OSError:
                asking.close()
                continue
            self._open.append(answering)
            for source, sink, is_answer in ((asking, answering, False), (answering, asking, True)):
                threading.Thread(target=self._pass_on, args=(source, sink, is_answer), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_answer and (self.has_lost.is_set() or self._loses_answers()):
                    self.has_lost.set()
                    continue
                sink.sendall(data)
        except OSError:
            pass
        finally:
            _cut(sink)


def _cut(each: socket.socket) -> None:
    """Wake whoever waits on it in another thread."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
