"""Every hostile or broken link by name, against running processes: what it gets, what is counted, that nobody else notices.

After each case another terminal sells, and the money that is gone is the price of what was sold and nothing else.
"""

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli import context
from cli.system import RunningSystem
from messages.codec import DATAFONO
from messages.framing import FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.mac import with_placeholder
from messages.security_module import FrameReader, Identify, IdentifyReply, decode_reply, encode_request
from pos import requests
from security_module.layout import Layout
from tests.flows.conftest import Books, Monitor
from tests.flows.raw_terminal import TPDU, RawTerminal
from town.generate import DEMO_METER_NUMBER

PRICE_CENTAVOS = 1_000_000
SETTLE_SECONDS_MAX = 20.0
CLOSED = "closed"
NOTHING = "nothing"
AMOUNT = bytes.fromhex("000001000000")

Open = Callable[..., RawTerminal]


def _frame(body: bytes) -> bytes:
    return write_frame(FrameStyle.BINARY_2, TPDU + body)


def _sale(terminal: RawTerminal) -> IsoMessage:
    return terminal.recharge(DEMO_METER_NUMBER, PRICE_CENTAVOS)


def _echo(terminal: RawTerminal) -> bytes:
    return DATAFONO.encode(requests.network(terminal.identity, terminal.moment(), requests.ECHO))


def _told(body: bytes) -> str:
    answer = DATAFONO.decode(body)
    return f"{answer.mti} {answer.text(39)}"


def _end(terminal: RawTerminal) -> str:
    return CLOSED if terminal.read_event() is None else "something"


def _reset(link: socket.socket) -> None:
    """Close with a reset."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def _with_field_48(message: IsoMessage, length: bytes) -> bytes:
    """Return an 0200 whose data element 48 has these octets as its length and two octets of value."""
    octets = bytearray(DATAFONO.encode(message.with_fields({48: "VO"}).without_fields(49, 64)))
    octets[-4:-2] = length
    return bytes(octets)


def same_sale_twice(open_terminal: Open) -> str:
    """The same octets on the same link and on another one."""
    first, second = open_terminal(), open_terminal()
    body = first.seal(_sale(first))
    answer = first.ask_raw(body)
    assert first.ask_raw(body) == second.ask_raw(body) == answer
    return _told(answer)


def repeat_before_its_original(open_terminal: Open) -> str:
    """The network turned the two round."""
    terminal = open_terminal()
    message = _sale(terminal)
    answer = terminal.ask_raw(terminal.seal(requests.as_repeat(message)))
    assert terminal.ask_raw(terminal.seal(message)) == answer
    return _told(answer)


def two_terminals_of_one_id(open_terminal: Open) -> str:
    """A copied terminal sells beside the true one; each gets its own answers."""
    one, other = open_terminal(), open_terminal()
    first, second = _sale(one), _sale(other)
    one.send_body(one.seal(first))
    other.send_body(other.seal(second))
    answers = DATAFONO.decode(one.read_body()), DATAFONO.decode(other.read_body())
    assert [answer.text(11) for answer in answers] == [first.text(11), second.text(11)]
    return " ".join(f"{answer.mti} {answer.text(39)}" for answer in answers)


def keep_alive(open_terminal: Open) -> str:
    """One frame of length zero."""
    terminal = open_terminal()
    terminal.send_octets(b"\x00\x00")
    terminal.read_keep_alive()
    return _told(terminal.ask_raw(_echo(terminal)))


def keep_alive_storm(open_terminal: Open) -> str:
    """Twenty thousand of them; one comes back, then the answer."""
    terminal = open_terminal()
    terminal.send_octets(b"\x00\x00" * 20_000)
    terminal.read_keep_alive()
    return _told(terminal.ask_raw(_echo(terminal)))


def garbage_body(open_terminal: Open) -> str:
    """A frame of ours around octets that are no message; the link lives."""
    terminal = open_terminal()
    told = _told(terminal.ask_raw(b"\xff" * 60))
    assert _told(terminal.ask_raw(_echo(terminal))) == "0810 00"
    return told


def length_999_and_short_data(open_terminal: Open) -> str:
    """Data element 48 announces 999 octets and two follow; what stood before it comes back."""
    return _format_error(open_terminal(), lambda terminal, message: _with_field_48(message, b"\x09\x99"))


def plus_80_as_a_length(open_terminal: Open) -> str:
    """The length of data element 48 is the characters of a sign and a digit."""
    return _format_error(open_terminal(), lambda terminal, message: _with_field_48(message, b"+8"))


def trailing_octets(open_terminal: Open) -> str:
    """Something follows the MAC."""
    return _format_error(open_terminal(), lambda terminal, message: terminal.seal(message) + b"\x00\x00")


def letters_in_the_amount(open_terminal: Open) -> str:
    """Nibbles above nine in data element 4."""
    terminal = open_terminal()
    body = terminal.seal(_sale(terminal)).replace(AMOUNT, bytes.fromhex("00000ABCDEF0"), 1)
    answer = DATAFONO.decode(terminal.ask_raw(body))
    assert (answer.text(2), 64 in answer) == (DEMO_METER_NUMBER, False)
    return f"{answer.mti} {answer.text(39)}"


def _format_error(terminal: RawTerminal, spoil: Callable[[RawTerminal, IsoMessage], bytes]) -> str:
    message = _sale(terminal)
    answer = DATAFONO.decode(terminal.ask_raw(spoil(terminal, message)))
    for number in (7, 11, 12, 13, 41, 42):
        assert answer.get(number) == message.get(number), number
    assert 64 not in answer
    assert _told(terminal.ask_raw(_echo(terminal))) == "0810 00", "the link lives"
    return f"{answer.mti} {answer.text(39)}"


def answer_sent_to_us(open_terminal: Open) -> str:
    """A 0210 is rejected once, and the rejection that comes back is not answered."""
    terminal = open_terminal()
    stray = IsoMessage(mti="0210", fields={**_sale(terminal).fields, 39: "00"})
    rejection = terminal.ask_raw(DATAFONO.encode(with_placeholder(stray)))
    terminal.send_body(rejection)
    assert _told(terminal.ask_raw(_echo(terminal))) == "0810 00", "nothing came in between"
    return _told(rejection)


def _octets_then_end(octets: bytes) -> Callable[[Open], str]:
    def act(open_terminal: Open) -> str:
        terminal = open_terminal()
        terminal.send_octets(octets)
        return _end(terminal)

    return act


def request_then_length_65535(open_terminal: Open) -> str:
    """What was whole before the nonsense is still answered."""
    terminal = open_terminal()
    terminal.send_octets(_frame(_echo(terminal)) + b"\xff\xff")
    told = _told(terminal.read_body())
    return f"{told} {_end(terminal)}"


def fin_after_the_request(open_terminal: Open) -> str:
    """The terminal ends its half at once; the answer arrives."""
    terminal = open_terminal()
    terminal.send_body(terminal.seal(_sale(terminal)))
    terminal.socket.shutdown(socket.SHUT_WR)
    told = _told(terminal.read_body())
    return f"{told} {_end(terminal)}"


def fin_in_the_middle_of_a_frame(open_terminal: Open) -> str:
    """Half a request, then the end: nothing was asked."""
    terminal = open_terminal()
    terminal.send_octets(_frame(terminal.seal(_sale(terminal)))[:60])
    terminal.socket.shutdown(socket.SHUT_WR)
    return _end(terminal)


def rst_in_the_middle_of_a_frame(open_terminal: Open) -> str:
    """Half a request, then a reset."""
    terminal = open_terminal()
    terminal.send_octets(_frame(terminal.seal(_sale(terminal)))[:60])
    time.sleep(0.1)
    _reset(terminal.socket)
    return NOTHING


def rst_after_the_request(open_terminal: Open) -> str:
    """The sale is made, its answer has nowhere to go, and the repeat on a new link gets it."""
    terminal = open_terminal()
    message = _sale(terminal)
    terminal.send_body(terminal.seal(message))
    _reset(terminal.socket)
    return _told(open_terminal().ask_raw(terminal.seal(requests.as_repeat(message))))


def six_hundred_idle_links(open_terminal: Open) -> str:
    """They hold nobody up (the stock pool of a known switch ends at 512)."""
    terminal = open_terminal("T0000002")
    with ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(socket.create_connection(terminal.address, 5))
        return _told(terminal.ask_raw(terminal.seal(_sale(terminal))))


def octet_by_octet(open_terminal: Open) -> str:
    """A slow line that ends its frame in time is served."""
    terminal = open_terminal()
    terminal.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in _frame(terminal.seal(_sale(terminal))):
        terminal.send_octets(bytes([octet]))
        time.sleep(0.002)
    return _told(terminal.read_body())


def octet_by_octet_for_ever(open_terminal: Open) -> str:
    """Octets that keep coming do not keep a frame alive past its time."""
    terminal = open_terminal()
    with contextlib.suppress(OSError):
        for octet in _frame(terminal.seal(_sale(terminal)))[:60]:
            terminal.send_octets(bytes([octet]))
            time.sleep(0.04)
    return _end(terminal)


def many_frames_in_one_write(open_terminal: Open) -> str:
    """Four sales among two hundred echoes, in one write: every one is answered once."""
    terminal = open_terminal()
    bodies = [_echo(terminal) for _ in range(200)]
    for place in (0, 50, 100, 200):
        bodies.insert(place, terminal.seal(_sale(terminal)))
    terminal.send_octets(b"".join(map(_frame, bodies)))
    answers = [DATAFONO.decode(terminal.read_body()) for _ in bodies]
    assert {(answer.mti, answer.text(11)) for answer in answers} == {
        (DATAFONO.decode(body).answer_mti, DATAFONO.decode(body).text(11)) for body in bodies
    }
    return " ".join(sorted({f"{answer.mti} {answer.text(39)}" for answer in answers}))


def reader_that_never_reads(open_terminal: Open) -> str:
    """It asks and asks and takes no answer: soon it is not read either, and costs a bounded piece of memory."""
    terminal = open_terminal()
    other = open_terminal("T0000002")
    terminal.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    heap = _frame(_echo(terminal)) * 2000
    terminal.socket.setblocking(False)
    quiet_until = time.monotonic() + SETTLE_SECONDS_MAX
    blocked = 0
    while blocked < 20:
        assert time.monotonic() < quiet_until, "it is read for ever"
        try:
            terminal.socket.send(heap)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            time.sleep(0.02)
    told = _told(other.ask_raw(_echo(other)))
    _reset(terminal.socket)
    return told


@dataclass(frozen=True)
class Case:
    """What somebody does, what he gets, which metric says so, and how many sales it makes."""

    act: Callable[[Open], str]
    gets: str
    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    sales: int = 0
    name: str = ""


def _closed(reason: str) -> tuple[str, Mapping[str, str]]:
    return "eudora_connections_closed_total", {"reason": reason}


FORMAT = ("eudora_frames_refused_total", {"reason": "format"})
SOLD = ("eudora_requests_total", {"mti": "0200", "code": "approved"})
TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(40)
CASES = [
    Case(same_sale_twice, "0210 00", "eudora_replays_answered_total", sales=1),
    Case(repeat_before_its_original, "0210 00", "eudora_replays_answered_total", sales=1),
    Case(two_terminals_of_one_id, "0210 00 0210 00", *SOLD, sales=2),
    Case(keep_alive, "0810 00", "eudora_keep_alives_total", {"outcome": "answered"}),
    Case(keep_alive_storm, "0810 00", "eudora_keep_alives_total", {"outcome": "ignored"}),
    Case(garbage_body, "0620 30", *FORMAT),
    Case(length_999_and_short_data, "0210 30", *FORMAT),
    Case(plus_80_as_a_length, "0210 30", *FORMAT),
    Case(trailing_octets, "0210 30", *FORMAT),
    Case(letters_in_the_amount, "0210 30", *FORMAT),
    Case(answer_sent_to_us, "0620 40", "eudora_requests_total", {"mti": "other", "code": "unsupported_message"}),
    Case(_octets_then_end(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), CLOSED, *_closed("http_probe"), name="http_get"),
    Case(_octets_then_end(TLS_HELLO), CLOSED, *_closed("tls_probe"), name="tls_hello"),
    Case(_octets_then_end(b"\xff\xff"), CLOSED, *_closed("frame_too_long"), name="length_65535"),
    Case(_octets_then_end(b"\x00\x05" + b"\x11" * 5), CLOSED, *_closed("by_answer"), name="no_tpdu"),
    Case(_octets_then_end(b"\x00\x40" + b"\x60" * 10), CLOSED, *_closed("frame_timeout"), name="half_a_frame"),
    Case(request_then_length_65535, f"0810 00 {CLOSED}", *_closed("frame_too_long")),
    Case(fin_after_the_request, f"0210 00 {CLOSED}", *_closed("peer_closed"), sales=1),
    Case(fin_in_the_middle_of_a_frame, CLOSED, *_closed("peer_closed")),
    Case(rst_in_the_middle_of_a_frame, NOTHING, *_closed("peer_lost")),
    Case(rst_after_the_request, "0210 00", *_closed("peer_lost"), sales=1),
    Case(six_hundred_idle_links, "0210 00", "eudora_connections_opened_total", sales=1),
    Case(octet_by_octet, "0210 00", *SOLD, sales=1),
    Case(octet_by_octet_for_ever, CLOSED, *_closed("frame_timeout")),
    Case(many_frames_in_one_write, "0210 00 0810 00", *SOLD, sales=4),
    Case(reader_that_never_reads, "0810 00", *_closed("peer_lost")),
]


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _resident_kilobytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name or case.act.__name__)
def test_a_hostile_link_gets_its_due_and_nobody_else_notices(
    case: Case, system: RunningSystem, open_terminal: Open, books: Books, monitor: Monitor
) -> None:
    """The documented answer or end, one count by its name, a bounded cost, and the next terminal sells."""
    witness = open_terminal("T0000003")
    # A switch that has just started on a machine full of work may have to be asked more than once.
    _until(lambda: witness.ask(_sale(witness)).text(39) == "00", "it does not sell")
    before, resident = books.float_centavos(), _resident_kilobytes(system.switch.pid)
    counted, faults = monitor.sample(case.metric, **case.labels), monitor.sample("eudora_serve_failures_total")
    assert case.act(open_terminal) == case.gets
    _until(lambda: monitor.sample(case.metric, **case.labels) > counted, f"{case.metric} {case.labels} did not move")
    other = open_terminal("T0000003")
    assert other.ask(_sale(other)).text(39) == "00"
    assert before - books.float_centavos() == PRICE_CENTAVOS * (case.sales + 1)
    assert books.value("SELECT count(*) FROM sale WHERE state = 'reserved'") == 0
    assert monitor.sample("eudora_serve_failures_total") == faults
    assert _resident_kilobytes(system.switch.pid) - resident < 64 * 1024


def test_the_books_agree_after_all_of_it(open_terminal: Open, books: Books) -> None:
    """Whatever was sent to the port, every sale has its token, every token its sale, and the sums are right."""
    assert open_terminal().socket.fileno() >= 0
    assert books.differences() == []


def _module_link(stack: ExitStack, address: tuple[str, int], client: str | None) -> ssl.SSLSocket:
    layout = Layout(context.module_directory())
    settings = ssl.create_default_context(cafile=str(layout.authority))
    if client is not None:
        settings.load_cert_chain(str(layout.client(client)))
    plain = stack.enter_context(socket.create_connection(address, timeout=10))
    return stack.enter_context(settings.wrap_socket(plain, server_hostname="security-module"))


def _ended(link: socket.socket) -> bool:
    try:
        return link.recv(4096) == b""
    except (ConnectionResetError, ssl.SSLError):
        return True


def plain_text_on_the_module_port(stack: ExitStack, address: tuple[str, int]) -> bool:
    """No TLS at all."""
    link = stack.enter_context(socket.create_connection(address, timeout=10))
    link.sendall(os.urandom(1) + b"GET / HTTP/1.1\r\n\r\n")
    data = link.recv(4096)  # a TLS alert, perhaps
    return data == b"" or _ended(link)


def no_certificate(stack: ExitStack, address: tuple[str, int]) -> bool:
    """A handshake without a client certificate: in TLS 1.3 the refusal comes with the first read."""
    link = _module_link(stack, address, None)
    with contextlib.suppress(OSError):
        link.sendall(encode_request(1, Identify()))
    return _ended(link)


def garbage_after_the_handshake(stack: ExitStack, address: tuple[str, int]) -> bool:
    """A known client that does not speak the protocol gets what it asked for before, and then the end."""
    link = _module_link(stack, address, "switch")
    link.sendall(encode_request(7, Identify()) + b"\xff" * 100)
    data = link.recv(65536)
    ((correlation_id, reply),) = [decode_reply(body) for body in FrameReader().receive(data)]
    assert (correlation_id, type(reply)) == (7, IdentifyReply)
    return _ended(link)


def half_a_frame_to_the_module(stack: ExitStack, address: tuple[str, int]) -> bool:
    """Half a request, then silence: it waits and holds nobody up, and the other half is still understood."""
    link = _module_link(stack, address, "switch")
    frame = encode_request(9, Identify())
    link.sendall(frame[:9])
    link.settimeout(0.3)
    with pytest.raises(TimeoutError):
        link.recv(100)
    link.settimeout(10)
    link.sendall(frame[9:])
    ((correlation_id, _),) = [decode_reply(body) for body in FrameReader().receive(link.recv(65536))]
    return correlation_id == 9


@pytest.mark.parametrize(
    "act",
    [plain_text_on_the_module_port, no_certificate, garbage_after_the_handshake, half_a_frame_to_the_module],
    ids=lambda act: act.__name__,
)
def test_a_hostile_link_to_the_security_module_holds_up_no_sale(
    act: Callable[[ExitStack, tuple[str, int]], bool], system: RunningSystem, open_terminal: Open, books: Books
) -> None:
    """The module ends what is not its protocol, and mints for its switch before, while and after."""
    before = books.float_centavos()
    terminal = open_terminal()
    with ExitStack() as stack:
        assert act(stack, system.module_address)
        assert terminal.ask(_sale(terminal)).text(39) == "00"
    assert terminal.ask(_sale(terminal)).text(39) == "00"
    assert before - books.float_centavos() == 2 * PRICE_CENTAVOS
    log = Path(system.security_module.log_file).read_text()
    assert "Traceback" not in log
    assert "Unhandled" not in log
