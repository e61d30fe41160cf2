"""One question to the security module from a command line: connect, ask, close. Processes that ask all day use `hsm_client`."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from messages.security_module import FrameReader, Refused, Reply, Request, decode_reply, encode_request
from security_module.layout import Layout
from security_module.roles import Role

TIMEOUT_SECONDS = 10.0
"""For connecting and for the answer; a person is waiting."""

_READ_OCTETS = 65_536


class ModuleCallError(Exception):
    """The module could not be asked, or refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom we trust and who we are: PEM files, and the name that the module's certificate must carry."""

    ca_file: Path
    client_pem: Path
    server_name: str


def ask(directory: Path, host: str, port: int, role: Role, request: Request) -> Reply:
    """Ask one question.

    Args:
        directory: of the module, for the certificate of *role*.
        host: where it listens.
        port: likewise.
        role: as whom to ask.
        request: what.

    Raises:
        ModuleCallError: no answer, or a refusal.
    """
    layout = Layout(directory)
    caller = Caller(ca_file=layout.authority, client_pem=layout.client(role.value), server_name="localhost")
    return ask_as(caller, host, port, request)


def ask_as(caller: Caller, host: str, port: int, request: Request) -> Reply:
    """Ask one question with given certificates; otherwise as `ask`."""
    try:
        tls = ssl.create_default_context(cafile=str(caller.ca_file))
        tls.load_cert_chain(str(caller.client_pem))
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as raw,
            tls.wrap_socket(raw, server_hostname=caller.server_name) as link,
        ):
            link.sendall(encode_request(1, request))
            reply = _read_reply(link)
    except (OSError, ssl.SSLError) as error:
        raise ModuleCallError(f"the security module at {host}:{port} does not answer: {error}") from error
    if isinstance(reply, Refused):
        raise ModuleCallError(f"the security module refused: {reply.status.meaning}")
    return reply


def _read_reply(link: ssl.SSLSocket) -> Reply:
    reader = FrameReader()
    while True:
        data = link.recv(_READ_OCTETS)
        if not data:
            raise ModuleCallError("the security module closed the link")
        for frame in reader.receive(data):
            return decode_reply(frame)[1]
