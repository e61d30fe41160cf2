"""A network is told of its settled day through real processes: the host is silent, the switch is killed, the host refuses, a person retries."""

import contextlib
import json
import socket
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
from tests.flows.conftest import MAC_REGISTER, SPEAKER, Books, Monitor
from tests.flows.raw_terminal import RawTerminal
from tests.flows.test_flow_totals import PAID_CENTAVOS, sell
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
        self.signer: Signer | None = None
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
        assert self.signer is not None
        self.signer.verify(covered(body), body[-8:])
        self.notices.append(message)
        code = self.answer_with
        if code is None:
            return None
        return requests.seal(IsoMessage(mti=message.answer_mti, fields={**fields, 39: code}), self.signer)


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
        f"{network}NOTICES__KINDS": json.dumps(["settlement"]),
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
        host.signer = signer(mac.scheme, export_terminal_key(context.module_keys(), MAC_REGISTER, SPEAKER))
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
