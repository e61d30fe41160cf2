"""``eudora engineer``: each command proposes what it says, and the keys of meters are put in a row."""

import pytest
from click.testing import CliRunner, Result

from cli import context
from cli.engineer import engineer
from ledger import adjustments
from messages.security_module import Request, VerifyToken, VerifyTokenReply
from security_module.roles import Role
from tests.ledger.books import PLAIN, Books, number_of
from vending.adjustment import AdjustmentKind
from vending.engineering import CLEAR_ALL

METER = number_of(PLAIN)


@pytest.fixture
def books(books: Books, monkeypatch: pytest.MonkeyPatch) -> Books:
    """The ledger that the command line finds."""
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    return books


def run(*words: str) -> Result:
    """One command."""
    return CliRunner().invoke(engineer, words)


@pytest.mark.parametrize(
    ("words", "kind", "value", "title"),
    [
        (("clear-tamper",), AdjustmentKind.CLEAR_TAMPER, 0, "PIN para borrar manipulación"),
        (("clear-credit",), AdjustmentKind.CLEAR_CREDIT, CLEAR_ALL, "PIN para borrar el crédito"),
        (("clear-credit", "--register", "0"), AdjustmentKind.CLEAR_CREDIT, 0, "PIN para borrar el crédito"),
        (("power-limit", "--watts", "3000"), AdjustmentKind.POWER_LIMIT, 3000, "3000 W"),
        (("phase-unbalance", "--watts", "500"), AdjustmentKind.PHASE_UNBALANCE, 500, "500 W"),
        (("test",), AdjustmentKind.METER_TEST, (1 << 36) - 1, "PIN de prueba del medidor"),
        (("test", "--number", "1", "--number", "4"), AdjustmentKind.METER_TEST, 0b1001, "0x9"),
    ],
)
def test_a_command_proposes_its_token(
    books: Books, words: tuple[str, ...], kind: AdjustmentKind, value: int, title: str
) -> None:
    """With its value and in Spanish; nothing is made before another user approves."""
    done = run(*words, "--meter", METER, "--evidence", "orden 5", "--user", "ana", "--language", "es")
    assert done.exit_code == 0, done.output
    assert title in done.output
    (proposed,) = adjustments.find(books.engine)
    assert (proposed.kind, proposed.value, proposed.token) == (kind, value, None)


def test_registers_and_indexes_are_put_in_a_row(books: Books) -> None:
    """The successor is known afterwards; a circle, an unknown register and an unknown meter are sentences, not faults."""
    assert run("successor", "1", "5", "--base-year", "2014").exit_code == 0
    assert books.value("SELECT successor_id FROM key_register WHERE id = 1") == 5
    circle = run("successor", "5", "1", "--base-year", "2014")
    assert (circle.exit_code, "circle" in circle.output) == (1, True)
    assert "knows no register 77" in run("successor", "77").output
    assert run("tariff-index", "--meter", METER, "9").exit_code == 0
    assert books.value("SELECT next_tariff_index FROM meter WHERE id = :id", id=PLAIN) == 9
    assert "there is no meter 99" in run("tariff-index", "--meter", "99", "9").output
    assert run("successor", "1").exit_code == 0
    assert books.value("SELECT successor_id FROM key_register WHERE id = 1") is None


def test_a_token_is_read_under_its_meters_key_or_another(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an engineer, with the register and index that are asked for."""
    asked: list[tuple[Role, Request]] = []

    def ask(role: Role, request: Request) -> VerifyTokenReply:
        asked.append((role, request))
        return VerifyTokenReply(token_class=2, subclass=5, tid=77, amount=0, words="clear tamper")

    monkeypatch.setattr(context, "ask_module", ask)
    assert run("verify", "--meter", METER, "1234 5678 9012 3456 7890").output == "2/5  TID 77  clear tamper\n"
    run("verify", "--meter", METER, "--register", "5", "--tariff-index", "7", "1" * 20)
    (role, first), (_, second) = asked
    assert isinstance(first, VerifyToken)
    assert isinstance(second, VerifyToken)
    assert (role, first.register_id, first.tariff_index, first.token.reveal()) == (
        Role.ENGINEER,
        1,
        1,
        "12345678901234567890",
    )
    assert (second.register_id, second.tariff_index) == (5, 7)
