"""Stands for a switch process under a supervisor: ``python supervised_child.py DESCRIPTOR NUMBER PORT DIRECTORY``.

It gets its listening socket, says how it is, and greets whoever connects with its number. What the file ``<number>`` in the directory
says decides how it behaves: ``dies`` at the start, ``module_lost`` instead of ready, ``deaf`` to SIGTERM.
"""

import contextlib
import json
import select
import signal
import socket
import sys
from pathlib import Path


def main(descriptor: int, number: str, port: int, directory: Path) -> None:
    """Serve until SIGTERM."""
    manner = (directory / number).read_text() if (directory / number).exists() else ""
    if manner == "dies":
        sys.exit(3)
    # Signals are looked at between connections: one that was accepted is greeted.
    waker, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGTERM, signal.SIG_IGN if manner == "deaf" else lambda *_: None)
    signal.signal(signal.SIGHUP, lambda *_: (directory / f"applied-{number}").touch())
    link = socket.socket(fileno=descriptor)
    address = ["banco", "127.0.0.1", port]
    link.sendall(json.dumps({"open": [address]}).encode() + b"\n")
    line, handed, _, _ = socket.recv_fds(link, 65536, 8)
    (why,) = json.loads(line)["opened"]
    if why is not None:
        sys.exit(f"no socket: {why}")
    listening = socket.socket(fileno=handed[0])
    state = {
        "status": "module_lost" if manner == "module_lost" else "ready",
        "acquirers": {"banco": "{}:{}".format(*listening.getsockname())},
        "metrics": f"here:{number}",
    }
    for said in ({"serve": [address]}, {"state": state}):
        link.sendall(json.dumps(said).encode() + b"\n")
    while True:
        ready, _, _ = select.select([listening, waker], [], [])
        if waker in ready and signal.SIGTERM in waker.recv(64):
            return
        with contextlib.suppress(BlockingIOError):
            connection, _ = listening.accept()
            connection.sendall(number.encode())
            connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
