"""``eudora network`` and ``eudora settle``: what they print and how they end."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import context, signing
from cli.network_money import COMMANDS
from cli.settle import settle
from tests.ledger.books import PLAIN, Books
from tests.ledger.test_ledger_settlement import MIDNIGHT, TODAY, close
from vending.calendar import local_date

DAY = TODAY.isoformat()


@pytest.fixture
def sold(books: Books, monkeypatch: pytest.MonkeyPatch) -> Books:
    """Books with a closed day of two sales, as the commands see them."""
    books.sell(books.order(PLAIN, 2_000_000))
    books.sell(books.order(6, 3_000_000))
    close(books, MIDNIGHT)
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    return books


def network(name: str, *words: str, language: str = "en") -> Result:
    """One command of `eudora network`."""
    (command,) = [each for each in COMMANDS if each.name == name]
    return CliRunner().invoke(command, [*words, "--language", language])


def settled(*words: str) -> Result:
    """One command of `eudora settle`."""
    return CliRunner().invoke(settle, list(words))


def test_a_deposit_takes_two_people(sold: Books) -> None:
    """Registered by one, refused from the same, confirmed by another; then it is in the list and in the float."""
    words = ("register", "banco", "--amount", "1.000.000", "--reference", "TRX-9", "--evidence", "extracto")
    registered = network("deposit", *words, "--user", "ana")
    assert registered.exit_code == 0
    assert "registered  " in registered.stdout
    assert "$ 1.000.000  TRX-9  ana / -" in registered.stdout
    again = network("deposit", *words, "--user", "ana", language="es")
    assert (again.exit_code, "ya está registrada (reference_used" in again.stderr) == (1, True)
    same = network("deposit", "confirm", "1", "--user", "Ana")
    assert (same.exit_code, "(same_person)" in same.stderr) == (1, True)
    assert network("deposit", "confirm", "1", "--user", "luz").exit_code == 0
    assert "confirmada" in network("deposit", "list", "--state", "confirmed", language="es").stdout
    less = (
        "register",
        "banco",
        "--amount",
        "1.000",
        "--less",
        "--reference",
        "C-1",
        "--evidence",
        "error",
        "--user",
        "ana",
    )
    correction = network("deposit", *less, "--corrects", "1").stdout
    assert "-$ 1.000  C-1" in correction
    assert "corrects 1" in correction
    assert "rejected" in network("deposit", "reject", correction.split()[0], "--user", "luz").stdout
    assert network("deposit", "register", "banco", "--amount", "x", "--user", "ana").exit_code == 2
    assert sold.check().agree


def test_the_statement_is_a_table_or_csv(sold: Books) -> None:
    """Pesos for people, centavos for programs; a network that is not there is said so."""
    page = network("statement", "banco", "--from", DAY, "--to", DAY, language="es").stdout.splitlines()
    assert page[1].startswith("Saldo inicial: $ 0;")
    assert page[-1] == "Saldo final: $ 99.950.000; comisiones con IVA por pagar: $ 750"
    assert "$ 50.000" in page[3]
    csv = network("statement", "banco", "--from", DAY, "--to", DAY, "--csv").stdout.splitlines()
    assert csv[2] == f"{DAY},2,5000000,0,0,10000000000,0,75000,0,0,9995000000,75000"
    assert csv[-1] == "closing,,,,,,,,,,9995000000,75000"
    assert "nadie" in network("statement", "nadie").stderr


def test_terms_and_warnings_are_set_and_shown(sold: Books) -> None:
    """A day that has begun is refused; the float below its warning says so."""
    day = (local_date(signing.now()) + timedelta(days=3)).isoformat()
    words = ("terms", "banco", "--from", day, "--tier", "0:150:0", "--tier", "50000:100:200", "--tax", "1900")
    assert network(*words).exit_code == 2
    shown = network(*words, "--user", "ana").stdout.splitlines()
    assert shown[1:] == [
        f"{day}  from $ 0: 1,50 %, fixed $ 0, tax 19,00 %",
        f"{day}  from $ 50.000: 1,00 %, fixed $ 200, tax 19,00 %",
    ]
    assert network("terms", "banco", "--from", "2026-01-01", "--tier", "0:1:0", "--user", "ana").exit_code == 1
    assert network("terms", "banco", "--from", day, "--tier", "5:1:0", "--user", "ana").exit_code == 2
    assert network("terms", "banco", "--from", day, "--tier", "5:1", "--user", "ana").exit_code == 2
    assert network("warn", "banco", "--below", "100.000.000").exit_code == 0
    floats = network("floats", language="es").stdout.splitlines()
    assert floats[0].startswith("banco")
    assert floats[0].endswith("BAJO")
    assert not floats[1].endswith("BAJO")
    assert network("warn", "nadie").exit_code == 1


def test_a_file_is_made_compared_and_decided(sold: Books, tmp_path: Path) -> None:
    """The exit code is 0 only without a difference; what differs is listed until somebody decides."""
    assert settled("file", "banco", "--day", "2026-08-20", "--to", str(tmp_path)).exit_code == 1
    made = settled("file", "banco", "--day", DAY, "--to", str(tmp_path))
    assert made.exit_code == 0
    path = tmp_path / "banco-20260814-v1.csv"
    assert made.stdout.startswith(f"{path}  2  ")
    language = ("--language", "en")
    equal = settled("reconcile", str(path), "--user", "ana", *language)
    assert (equal.exit_code, equal.stdout) == (0, f"banco {DAY}: ours 2, theirs 2, matched 2, differences 0\n")
    theirs, mapping = tmp_path / "red.csv", tmp_path / "red.toml"
    receipt = sold.value("SELECT min(id) FROM sale")
    theirs.write_text(f"recibo,valor\n{receipt},19000\n")
    mapping.write_text('decimal = ""\nthousands = ""\ncolumns = {receipt = "recibo", amount = "valor"}\n')
    words = ("reconcile", str(theirs), "--user", "ana", "--mapping", str(mapping), *language)
    assert settled(*words).exit_code == 2
    differs = settled(*words, "--network", "banco", "--day", DAY)
    assert differs.exit_code == 1
    assert "amounts differ" in differs.stdout
    assert "ours $ 20.000 / $ 300 / $ 0  theirs $ 190 / - / -" in differs.stdout
    assert len(settled("list", *language).stdout.splitlines()) == 2
    decided = settled("decide", "1", "--as", "ours-stands", "--by", "luz", "--why", "dígitos de menos", *language)
    assert "ours stands (luz: dígitos de menos)" in decided.stdout
    assert len(settled("list", "--network", "banco", *language).stdout.splitlines()) == 1
    assert settled("decide", "1", "--as", "no-action", "--by", "luz", "--why", "x", *language).exit_code == 1
    assert settled("decide", "1", "--as", "no-action", "--by", "luz", "--why", " ", *language).exit_code == 2
    mapping.write_text("columns = 5\n")
    assert settled(*words, "--network", "banco", "--day", DAY).exit_code == 1
