"""``eudora adjust``: what it prints and how it ends, with a module that is there or not."""

from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli import context
from cli.adjust import OPEN_EXIT_CODE, adjust
from cli.approve import approve
from cli.signing import now
from messages.security_module import MintReply, Request
from security_module.approvals import approved_by
from security_module.registers import Approver
from security_module.roles import Role
from tests.ledger.books import PLAIN, Books, number_of
from vending.ports import MintRequest
from vending.secret import Secret

METER = number_of(PLAIN)
IN_FOURS = "1234 5678 9012 3456 7890"


class FakeModule:
    """Answers a mint with one token, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[int] = []
        self.requests: list[MintRequest] = []

    def ask(self, role: Role, request: Request) -> MintReply:
        assert role is Role.SWITCH
        assert isinstance(request, MintRequest)
        self.asked.append(request.request_id)
        self.requests.append(request)
        if self.is_away:
            raise click.ClickException("the security module does not answer")
        return MintReply(tokens=[Secret("12345678901234567890")])


@pytest.fixture
def module(books: Books, monkeypatch: pytest.MonkeyPatch) -> FakeModule:
    """The module that the command line asks, beside these books."""
    fake = FakeModule()
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    monkeypatch.setattr(context, "ask_module", fake.ask)
    return fake


def run(*words: str, language: str = "en") -> Result:
    """One command."""
    arguments: Sequence[str] = [*words, "--language", language]
    return CliRunner().invoke(adjust, arguments)


def test_a_credit_is_proposed_listed_approved_and_shown(module: FakeModule, books: Books) -> None:
    """The whole way of money, in both languages."""
    words = (
        "propose",
        "--kind",
        "credit",
        "--meter",
        METER,
        "--amount",
        "20.000",
        "--evidence",
        "case 17",
        "--user",
        "ana",
    )
    proposed = run(*words)
    assert proposed.exit_code == 0
    assert "$ 20.000" in proposed.output
    assert "Adjustment   1: Credit for the next purchase, proposed" in proposed.output
    assert "propuesto" in run("list", "--state", "proposed", language="es").output
    same = run("approve", "1", "--user", "Ana", language="es")
    assert same.exit_code == 1
    assert "quien propone no decide (same_person)" in same.output
    approved = run("approve", "1", "--user", "luz", language="es")
    assert approved.exit_code == 0
    assert "Abono a la próxima compra, aprobado" in approved.output
    assert run("show", "1", language="es").output == approved.output
    assert run("list", "--state", "proposed").output == ""
    assert module.asked == []
    assert books.value("SELECT remainder_centavos FROM meter WHERE id = 1") == 2_000_000


def test_a_token_is_minted_when_it_is_approved_and_only_shown_where_asked(module: FakeModule, books: Books) -> None:
    """In fours; a list does not show it; approving again shows it again without asking the module."""
    run("propose", "--kind", "free-token", "--meter", METER, "--units", "49,1", "--evidence", "x", "--user", "ana")
    approved = run("approve", "1", "--user", "luz")
    assert approved.exit_code == 0
    assert IN_FOURS in approved.output
    assert "49,1 kWh" in approved.output
    assert IN_FOURS in run("show", "1").output
    assert IN_FOURS in run("approve", "1", "--user", "luz").output
    listed = run("list").output
    assert "Free token" in listed
    assert IN_FOURS not in listed
    assert len(module.asked) == 1
    assert books.check().agree


@pytest.mark.parametrize("words", [("finish",), ("finish", "1"), ("approve", "1", "--user", "luz")])
def test_a_token_stays_open_until_the_module_answers(module: FakeModule, books: Books, words: tuple[str, ...]) -> None:
    """Exit code 3, and the next attempt, whichever, asks by the same id."""
    run("propose", "--kind", "free-token", "--meter", METER, "--units", "5", "--evidence", "x", "--user", "ana")
    module.is_away = True
    approved = run("approve", "1", "--user", "luz")
    assert approved.exit_code == OPEN_EXIT_CODE
    assert "open: eudora adjust finish" in approved.output
    assert "does not answer" in approved.output
    assert run(*words).exit_code == OPEN_EXIT_CODE
    module.is_away = False
    finished = run(*words)
    assert finished.exit_code == 0
    assert IN_FOURS in finished.output
    assert len(module.asked) == 3
    assert len(set(module.asked)) == 1
    assert run("finish").output == ""
    assert books.check().agree


def test_what_is_refused_says_why(module: FakeModule, books: Books) -> None:
    """In the language asked for, with the stable name of the reason, and nothing is written."""
    base = ("propose", "--meter", METER, "--evidence", "x", "--user", "ana")
    cases = [
        (("--kind", "credit"), "amount_invalid"),
        (("--kind", "free-token"), "units_invalid"),
        (("--kind", "refund", "--amount", "100"), "sale_missing"),
        (("--kind", "refund", "--amount", "100", "--sale", "999"), "sale_unknown"),
        (("--kind", "credit", "--amount", "100", "--evidence", "  "), "evidence_missing"),
        (("--kind", "credit", "--amount", "100", "--user", "ana rojas"), "user_invalid"),
        (("--kind", "credit", "--amount", "100", "--meter", "1"), "meter_unknown"),
    ]
    for words, reason in cases:
        result = run(*base, *words)
        assert (result.exit_code, f"({reason}" in result.output) == (1, True), result.output
    assert run("approve", "7", "--user", "luz").exit_code == 1
    assert run("reject", "7", "--user", "luz").exit_code == 1
    for units in ("1,23", "-1", "x", ",5", ""):
        assert run(*base, "--kind", "free-token", "--units", units).exit_code == 2
    assert run(*base, "--kind", "credit", "--amount", "0").exit_code == 2
    assert books.value("SELECT count(*) FROM adjustment") == 0
    assert module.asked == []


def test_a_rejection_is_shown(module: FakeModule) -> None:
    """And the adjustment cannot be approved afterwards."""
    run("propose", "--kind", "credit", "--meter", METER, "--amount", "100", "--evidence", "x", "--user", "ana")
    assert "rejected" in run("reject", "1", "--user", "luz").output
    assert "already_decided" in run("approve", "1", "--user", "eva").output
    assert module.asked == []


def test_two_people_sign_for_an_open_token(module: FakeModule, books: Books, tmp_path: Path) -> None:
    """Each with a key file of his own; what is signed is shown, and both signatures go to the module with the request."""
    module.is_away = True
    words = (
        "propose",
        "--kind",
        "free-token",
        "--meter",
        METER,
        "--units",
        "2",
        "--evidence",
        "case 1",
        "--user",
        "ana",
    )
    assert run(*words).exit_code == 0
    assert run("approve", "1", "--user", "luz").exit_code == OPEN_EXIT_CODE
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a long passphrase\n")
    approvers, files = {}, []
    for name in ("ana", "luz"):
        key, file = tmp_path / f"{name}.pem", tmp_path / f"{name}.approval"
        common = ("--output", str(key), "--passphrase-file", str(passphrase))
        made = CliRunner().invoke(approve, ["new-key", *common])
        public_key = made.output.strip()
        approvers[public_key] = Approver(name=name, public_key=public_key)
        assert CliRunner().invoke(approve, ["new-key", *common]).exit_code == 1
        signed = CliRunner().invoke(
            approve,
            ["adjustment", "1", "--key", str(key), "--output", str(file), "--passphrase-file", str(passphrase)],
        )
        assert signed.exit_code == 0, signed.output
        assert "kind=credit/0\namount=20\n" in signed.output
        files += ["--approval", str(file)]
    module.is_away = False
    assert run("finish", *files).exit_code == 2
    finished = run("finish", "1", *files)
    assert finished.exit_code == 0
    assert IN_FOURS in finished.output
    request = module.requests[-1]
    assert approved_by(request, approvers, now()) == ("ana", "luz")
    again = CliRunner().invoke(
        approve,
        ["adjustment", "1", "--key", str(tmp_path / "ana.pem"), "--output", "x", "--passphrase-file", str(passphrase)],
    )
    assert "no token that is still to be made" in again.output
