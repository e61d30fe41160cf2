"""A network is told of its settled day through real processes: the host is silent, the switch is killed, the host refuses, a person retries."""

import contextlib
import json
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import context
from cli.main import main
from cli.system import RunningSystem, running_system
from messages.codec import DATAFONO
from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered
from messages.subfields import first_value, parse_sub_elements
from messages.tpdu import TPDU_OCTETS, turn_tpdu
from pos import requests
from pos.mac import Signer, signer
from security_module.terminal_keys import export_terminal_key
from tests.flows.command import eudora
from tests.flows.conftest import MAC_REGISTER, SPEAKER, Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from tests.flows.test_flow_adjustments import propose
from tests.flows.test_flow_totals import FREE_METER, PAID_CENTAVOS, sell
from vending.settlement import settlement_day

SOON_SECONDS = 60.0


class Host:
    """A network's host: takes connections, approves sign-ons and echoes, and does with a notice what the test says.

    Attributes:
        notices: each that came, in order; every MAC was right.
        answer_with: data element 39 for a notice; None: it is silent.
    """

    def __init__(self) -> None:
        self.notices: list[IsoMessage] = []
        self.answer_with: str | None = None
        self.signer_of: Callable[[str], Signer] | None = None
        self.has_key = threading.Event()
        self.failures: list[BaseException] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._listening.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Take no more."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        reader = FrameReader(FrameStyle.BINARY_2, 4096)
        with link:
            while True:
                try:
                    data = link.recv(4096)
                except OSError:
                    return
                if not data:
                    return
                for event in reader.receive(data):
                    if isinstance(event, Frame):
                        try:
                            answer = self._answer(event.octets)
                        except BaseException as error:  # noqa: BLE001 - the test shows it
                            self.failures.append(error)
                            return
                        if answer is not None:
                            with contextlib.suppress(OSError):
                                link.sendall(write_frame(FrameStyle.BINARY_2, turn_tpdu(event.octets)[0] + answer))

    def _answer(self, frame: bytes) -> bytes | None:
        body = frame[TPDU_OCTETS:]
        message = DATAFONO.decode(body)
        fields = {number: text for number, text in message.fields.items() if number in (7, 11, 41, 70)}
        if message.mti == "0800":
            # Not signed on before it has its key: it could verify nothing that it is told.
            self.has_key.wait(SOON_SECONDS)
            return DATAFONO.encode(IsoMessage(mti="0810", fields={**fields, 39: "00"}))
        assert self.signer_of is not None
        signer_of_it = self.signer_of(message.text(41))
        signer_of_it.verify(covered(body), body[-8:])
        self.notices.append(message)
        code = self.answer_with
        if code is None:
            return None
        return requests.seal(IsoMessage(mti=message.answer_mti, fields={**fields, 39: code}), signer_of_it)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """The network's host."""
    made = Host()
    yield made
    made.close()


@pytest.fixture(scope="module")
def system(host: Host) -> Iterator[RunningSystem]:
    """A system of this module's own, whose network has a host and is told of its settled days."""
    network = "EUDORA_ACQUIRERS__DATAFONOS__"
    environment = {
        f"{network}ROLE": "both",
        f"{network}LINKS__HOSTS": json.dumps([host.address]),
        f"{network}LINKS__BACKOFF_MAX_SECONDS": "0.5",
        f"{network}NOTICES__KINDS": json.dumps(["settlement", "outcome", "adjustment"]),
        f"{network}NOTICES__ANSWER_TIMEOUT_SECONDS": "1",
        f"{network}NOTICES__BACKOFF_MIN_SECONDS": "0.2",
        f"{network}NOTICES__BACKOFF_MAX_SECONDS": "0.5",
        f"{network}NETWORK_TERMINALS": json.dumps([SPEAKER]),
        f"{network}SETTLEMENT_DIRECTORY": ".",
        "EUDORA_SWITCH__CLOSE_DAYS_INTERVAL_SECONDS": "0.5",
        "EUDORA_SWITCH__NOTICES_INTERVAL_SECONDS": "0.2",
    }
    with (
        tempfile.TemporaryDirectory(prefix="eudora-notices-") as home,
        running_system(Path(home), on_free_ports=True, terminals=260, environment=environment) as running,
    ):
        mac = context.settings().acquirers[context.ACQUIRER_ID].mac
        host.signer_of = lambda terminal_id: signer(
            mac.scheme, export_terminal_key(context.module_keys(), MAC_REGISTER, terminal_id)
        )
        host.has_key.set()
        yield running


def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen."""
    give_up_at = time.monotonic() + SOON_SECONDS
    while not is_true():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


def saf(*arguments: str) -> Result:
    """Run `eudora saf`."""
    result = CliRunner().invoke(main, ["saf", *arguments])
    assert result.exception is None, result.output
    return result


def listed(*arguments: str) -> list[dict[str, Any]]:
    """What `eudora saf list --json` shows."""
    return [json.loads(line) for line in saf("list", "--json", *arguments).output.splitlines()]


def test_a_settled_day_is_told_at_least_once_and_every_further_time_as_a_repeat(
    system: RunningSystem, host: Host, books: Books, monitor: Monitor, open_terminal: Callable[..., RawTerminal]
) -> None:
    """Silent, killed in between, refused, retried by a person, accepted: whatever happens, one STAN and one first copy of each."""
    terminal, speaker = open_terminal("T0000010"), open_terminal(SPEAKER)
    day = sell(terminal, books)
    answer = speaker.ask(requests.cut_over(speaker.identity, speaker.moment(), day))
    assert answer.text(39) == "00"
    until(lambda: len(host.notices) >= 1, "the first copy")
    system.switch.kill()
    copies = len(host.notices)
    host.answer_with = "30"
    system.restart_switch()
    until(lambda: len(host.notices) > copies, "a repeat after the restart")
    # Its first settled day is that of its first sale, and no empty one before it.
    until(lambda: len(listed("--dead")) == 1, "a dead letter")
    letters = listed("--dead")
    assert {(each["network"], each["kind"], each["code"], each["reason"]) for each in letters} == {
        (context.ACQUIRER_ID, "settlement", "30", "refused")
    }
    until(lambda: monitor.sample("eudora_saf_dead_letters", acquirer=context.ACQUIRER_ID) == 1, "the metric of it")
    copies = len(host.notices)
    time.sleep(1)
    assert len(host.notices) == copies, "nobody sends a dead letter"
    host.answer_with = "00"
    for letter in letters:
        retried = saf("retry", str(letter["id"]), "--user", "ana", "--why", "su servidor ya lo acepta")
        assert "retry by ana: su servidor ya lo acepta" in retried.output
    until(lambda: books.value("SELECT count(*) FROM network_notice WHERE state = 'accepted'") == 1, "its acceptance")
    assert listed() == []
    assert host.failures == []
    for letter in letters:
        copies_of = [notice for notice in host.notices if notice.text(11) == letter["stan"]]
        assert [notice.mti for notice in copies_of] == ["0520"] + ["0521"] * (len(copies_of) - 1)
        assert len(copies_of) > 1
        assert len({notice.text(7) for notice in copies_of}) == 1
    told = host.notices[-1]
    elements = parse_sub_elements(told.text(48))
    path = context.home() / f"{first_value(elements, 'FI')}.csv"
    assert first_value(elements, "FH") == sha256(path.read_bytes()).hexdigest()
    assert settlement_day(told.text(15), datetime.now(UTC)) == day  # noqa: TID251 - as a network does
    assert told.number(88) == PAID_CENTAVOS
    for name in ("eudora_saf_dead_letters", "eudora_saf_depth", "eudora_saf_oldest_seconds"):
        until(lambda name=name: monitor.sample(name, acquirer=context.ACQUIRER_ID) == 0, f"{name} at nothing")  # type: ignore[misc]


def told_of(host: Host, kind: str, mti: str) -> IsoMessage:
    """Wait for the notice of a kind; it is the last that came."""

    def found() -> list[IsoMessage]:
        return [
            each
            for each in host.notices
            if each.mti == mti and first_value(parse_sub_elements(each.text(48)), "NK") == kind
        ]

    until(lambda: bool(found()), f"{mti} {kind}")
    return found()[-1]


def sell_to_nobody(terminal: RawTerminal, number: str) -> IsoMessage:
    """Have a sale end whose terminal is gone: the connection is cut while the meter is held."""
    message = terminal.recharge(number, PAID_CENTAVOS)
    with context.engine().begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM meter WHERE meter_number = %s FOR UPDATE", (number,))
        terminal.send_body(terminal.seal(message))
        time.sleep(0.3)
        terminal.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        terminal.socket.close()
    return message


def test_sales_that_end_without_their_terminal_are_told_as_they_ended(
    system: RunningSystem, host: Host, books: Books, open_terminal: Callable[..., RawTerminal]
) -> None:
    """The connection is gone before the answer: an 0220 of the sale that stands, an 0420 of the one that the security module refused."""
    host.answer_with = "00"
    sold = sell_to_nobody(open_terminal("T0000011"), books.meter(FREE_METER))
    told = told_of(host, "outcome", "0220")
    sale_id = books.value("SELECT id FROM sale WHERE stan = :stan AND terminal_code = 'T0000011'", stan=sold.text(11))
    assert first_value(parse_sub_elements(told.text(48)), "NR") == str(sale_id)
    assert (told.text(39), told.number(4), told.text(41)) == ("00", PAID_CENTAVOS, "T0000011")
    assert told.text(90).startswith("0200" + sold.text(11) + sold.text(7))
    # A key that the module does not have: it refuses, and the money is given back.
    number = books.meter(FREE_METER)
    with context.engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO key_register (id, base_year, description) VALUES (9099, 2014, 'nowhere')"
        )
        connection.exec_driver_sql("UPDATE meter SET register_id = 9099 WHERE meter_number = %s", (number,))
    refused = sell_to_nobody(open_terminal("T0000012"), number)
    told = told_of(host, "outcome", "0420")
    assert (told.text(41), told.text(90)[4:20]) == ("T0000012", refused.text(11) + refused.text(7))
    assert told.text(39) != "00"
    with context.engine().begin() as connection:
        connection.exec_driver_sql(
            "UPDATE meter SET register_id = (SELECT min(id) FROM key_register) WHERE meter_number = %s", (number,)
        )
    assert host.failures == []
    assert books.differences() == []


def test_an_adjustment_of_a_networks_sale_is_told_to_it(
    system: RunningSystem,
    host: Host,
    books: Books,
    open_terminal: Callable[..., RawTerminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two people give money back from a command line of their own: the network gets an 0220 with what and how much, and accepts it."""
    host.answer_with = "00"
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    terminal = open_terminal("T0000013")
    sell(terminal, books)
    sale_id = books.value("SELECT max(id) FROM sale WHERE terminal_code = 'T0000013'")
    adjustment = propose("--kind", "refund", "--sale", str(sale_id), "--amount", "15.000")
    approved = eudora("adjust", "approve", adjustment, "--user", "luz")
    assert approved.exit_code == 0, approved.stderr
    elements = parse_sub_elements(told_of(host, "adjustment", "0220").text(48))
    told = {tag: first_value(elements, tag) for tag in ("NR", "AN", "AK", "AM")}
    assert told == {"NR": str(sale_id), "AN": adjustment, "AK": "refund", "AM": "1500000"}
    state = "SELECT state FROM network_notice WHERE kind = 'adjustment'"
    until(lambda: books.value(state) == "accepted", "its acceptance")
    assert host.failures == []
