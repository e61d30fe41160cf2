"""``eudora pos`` as a user types it: arguments, exit status, what is printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import context
from cli.pos import pos
from pos.store import TerminalStore
from tests.pos.fake_switch import IDENTITY, PIN, FakeSwitch, approve, decline, silent, told
from tests.pos.served_switch import Served, whole

METER = "37000000002"


class Counter:
    """A shop with one terminal and a scripted switch."""

    def __init__(self) -> None:
        self.switch = FakeSwitch([approve])
        self.served = Served(self.switch, whole)

    def type(self, *arguments: str) -> Result:
        return CliRunner().invoke(pos, arguments)

    def script(self, *behaviours: object) -> None:
        self.switch.script[:] = behaviours  # type: ignore[assignment]


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    directory = tmp_path / "pos"
    TerminalStore.create(directory, IDENTITY)
    shop = Counter()
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path))
    monkeypatch.setattr(context, "terminal", lambda terminal_id, _network: TerminalStore.open(directory, terminal_id))
    monkeypatch.setattr(context, "switch_address", lambda _network="": shop.served.address)
    yield shop
    shop.served.close()


def test_sell_prints_the_ticket_and_last_its_copy(counter: Counter) -> None:
    """Approved is 0; the copy has the same digits and says that it is one."""
    sold = counter.type("sell", "--meter", METER, "--amount", "20.000")
    assert sold.exit_code == 0, sold.output
    assert "1234 5678 9012 3456 7890" in sold.output
    assert "COPIA" not in sold.output
    copy = counter.type("last", "--language", "en", "--narrow")
    assert copy.exit_code == 0
    assert "COPY 1" in copy.output
    assert "1234 5678 9012 3456 7890" in copy.output
    assert max(map(len, copy.output.splitlines())) <= 32
    assert [request.mti for request in counter.switch.requests] == ["0200", "0220", "0100"]
    sale, advice, question = counter.switch.requests
    assert advice.text(90) == question.text(90) == "0200" + sale.text(11) + sale.text(7) + "0" * 22
    assert counter.switch.requests[0].text(4) == "000002000000"


def test_declined_is_1_and_unknown_is_3(counter: Counter) -> None:
    """An unknown outcome blocks the next sale, also with 3, until it is known."""
    counter.script(decline("51"))
    assert counter.type("sell", "--meter", METER, "--amount", "20000").exit_code == 1
    counter.script(silent)
    unknown = counter.type("sell", "--meter", METER, "--amount", "20000", "--timeout", "0.1")
    assert (unknown.exit_code, "SIN RESPUESTA FINAL" in unknown.output) == (3, True)
    sent = len(counter.switch.requests)
    blocked = counter.type("sell", "--meter", METER, "--amount", "20000")
    assert (blocked.exit_code, "eudora pos last" in blocked.output) == (3, True)
    assert len(counter.switch.requests) == sent
    counter.script(approve)
    assert PIN[:4] in counter.type("last").output
    assert counter.type("sell", "--meter", METER, "--amount", "20000").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("sell", "--meter", METER, "--amount", "20k"),
        ("sell", "--meter", METER, "--amount", "20.5"),
        ("sell", "--meter", METER, "--amount", "0"),
        ("sell", "--meter", METER),
        ("sell", "--meter", "37A", "--amount", "20000"),
        ("sell", "--meter", METER, "--amount", "1000", "--voluntary", "mora:2000"),
        ("sell", "--meter", METER, "--amount", "1000", "--voluntary", "mora"),
        ("sell", "--meter", METER, "--amount", "1000", "--address", "localhost"),
        ("sell", "--meter", METER, "--amount", "1000", "--address", "localhost:99999"),
        ("sell", "--meter", METER, "--amount", "1000", "--language", "fr"),
        ("pay", "--meter", METER, "--amount", "-5"),
        ("inquire", "--amount", "5"),
    ],
)
def test_wrong_use_is_2_and_sends_nothing(counter: Counter, arguments: tuple[str, ...]) -> None:
    """What cannot be understood is told and never guessed at."""
    result = counter.type(*arguments)
    assert (result.exit_code, counter.switch.requests) == (2, [])
    assert "Error" in result.output


def test_the_other_commands_reach_the_switch(counter: Counter) -> None:
    """Payment, inquiry, voluntary part, reversal, echo and sign-on each send what they are named for."""
    assert counter.type("pay", "--meter", METER, "--amount", "1000", "--obligation", "mora-1").exit_code == 0
    assert counter.type("inquire", "--meter", METER, "--amount", "1000").exit_code == 0
    assert counter.type("sell", "--meter", METER, "--amount", "9000", "--voluntary", "mora:1:1.000").exit_code == 0
    counter.script(decline("00"))
    undone = counter.type("reverse")
    assert (undone.exit_code, "ANULADA" in undone.output) == (0, True)
    assert counter.type("last").exit_code == 1
    assert counter.type("echo").exit_code == 0
    assert counter.type("sign-on", "--address", "{}:{}".format(*counter.served.address)).exit_code == 0
    sent = [(request.mti, request.get(3), request.get(48), request.get(70)) for request in counter.switch.requests]
    assert sent == [
        ("0200", "530000", "OB006mora-1", None),
        ("0220", None, None, None),
        ("0100", "310000", None, None),
        ("0200", "500000", "VO006mora:1VA006100000", None),
        ("0220", None, None, None),
        ("0400", "500000", None, None),
        ("0800", None, None, "301"),
        ("0800", None, None, "001"),
    ]


def test_a_switch_that_is_down_is_said_and_nothing_is_open(counter: Counter) -> None:
    """Nothing left, so the terminal can sell again at once."""
    counter.served.close()
    down = counter.type("sell", "--meter", METER, "--amount", "20000", "--timeout", "0.1")
    assert (down.exit_code, "No se envió" in down.output) == (1, True)
    assert counter.type("last").exit_code == 1


def test_payments_without_a_line_are_stored_and_uploaded(counter: Counter) -> None:
    """Nothing is sent until the upload, which says of each payment what became of it, with the exit status of the worst."""
    taken = counter.type("pay", "--meter", METER, "--amount", "5.000", "--offline")
    assert (taken.exit_code, taken.output.count("PENDIENTE DE CONFIRMAR")) == (0, 2)
    english = counter.type("pay", "--meter", METER, "--amount", "7000", "--offline", "--language", "en", "--narrow")
    assert (english.exit_code, english.output.count("NOT CONFIRMED YET")) == (0, 2)
    assert max(map(len, english.output.splitlines())) <= 32
    assert counter.switch.requests == []
    counter.script(told("00", "09"))
    part = counter.type("upload")
    assert (part.exit_code, "recibo 1000" in part.output, "por enviar 1" in part.output) == (3, True, True)
    counter.script(told("78"))
    rest = counter.type("upload")
    assert (rest.exit_code, "Devuelva el dinero" in rest.output) == (1, True)
    assert counter.type("upload").exit_code == 0
    for words in (("pay", "--meter", METER, "--amount", "5000", "--offline"), ("upload",)):
        refused = counter.type(*words, "--dialect", "loteria", "--terminal", IDENTITY.terminal_id)
        assert (refused.exit_code, "batch upload" in refused.output) == (2, True)
    assert [request.mti for request in counter.switch.requests] == ["0320", "0320"]
