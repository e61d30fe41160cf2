"""Months leave for files: the proof agrees before, between and after, and who asks for their sales gets no wrong answer."""

import gzip
import json
import stat
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cli import context
from cli.ledger import ledger
from ledger import archive as archive_module
from ledger import opening
from ledger.archive import MONTHS_KEPT, ArchiveRefused, archive
from ledger.archive_file import ArchiveDamaged, digest_of, verify
from ledger.day_close import close_days
from ledger.day_report import day_report
from ledger.errors import LedgerUnavailable
from ledger.last_answer import find_last_answers
from ledger.months import JOURNAL, POSTING, make_months
from ledger.reversal import find_originals
from ledger.undelivered import read_undelivered, write_undelivered
from tests.ledger.books import INDEBTED, PLAIN, Books, post_of, void_of
from tests.ledger.test_ledger_adjustments import REFUND, approve, propose
from tests.ledger.test_ledger_months import months_of
from vending.money import Centavos
from vending.order import Declined, Repeated, SaleOrder, UndeliveredAnswer
from vending.response_code import ResponseCode
from vending.settlement import CloseDays

OLD = datetime(2022, 3, 14, 15, 30, tzinfo=UTC)
"""A month that may leave whenever these tests run."""
BEFORE = date(2022, 5, 1)
MARCH, APRIL = date(2022, 3, 1), date(2022, 4, 1)


@pytest.fixture
def books(books: Books) -> Books:
    """Books whose tariffs reach back far enough."""
    books.execute("UPDATE tariff_version SET valid_from = '2020-01-01'")
    books.load_tariffs()
    return books


def at(order: SaleOrder, moment: datetime) -> SaleOrder:
    """An order as it came at *moment*."""
    return replace(order, key=replace(order.key, transmitted_at=moment), received_at=moment)


def of_second_terminal(order: SaleOrder) -> SaleOrder:
    """An order of a terminal that sells nothing else."""
    return replace(order, key=replace(order.key, terminal_id="T0000002"))


def old_sales(books: Books) -> list[SaleOrder]:
    """Sales of March and April 2022 on closed days, one of them void, and one of now."""
    orders = [
        at(of_second_terminal(books.order(INDEBTED)), OLD),
        at(books.order(6), OLD + timedelta(days=1)),
        at(books.order(PLAIN), OLD + timedelta(days=31)),
    ]
    for order in orders[:2]:
        books.sell(order)
    books.post(void_of(books.reserve_one(orders[2])))
    books.sell(at(books.order(INDEBTED), OLD + timedelta(days=32)))
    close_days(books.engine, CloseDays(at=OLD + timedelta(days=60)))
    books.sell(books.order(INDEBTED))
    return orders


def leave(books: Books, directory: Path, before: date = BEFORE) -> list[Path]:
    """Archive everything before a month; return the files."""
    return [month.path for month in archive(books.engine, before=before, directory=directory)]


def assert_agrees(books: Books) -> None:
    """The whole proof."""
    assert books.check().differences == ()


# Archives


def test_months_leave_and_everything_still_agrees(books: Books, tmp_path: Path) -> None:
    """Files that only their owner reads, the books in balance, the months gone."""
    old_sales(books)
    balances = books.value("SELECT json_agg(a ORDER BY id)::text FROM account AS a")
    postings = books.value("SELECT count(*) FROM posting WHERE posted_on < '2022-05-01'")
    files = leave(books, tmp_path / "new")
    assert [path.name for path in files] == [
        "journal-2022-03-1.csv.gz",
        "journal-2022-04-1.csv.gz",
        "posting-2022-03-1.csv.gz",
        "posting-2022-04-1.csv.gz",
    ]
    manifests = [verify(path) for path in files]
    assert [manifest.subject_count for manifest in manifests] == [2, 2, 2, 1]
    assert sum(manifest.row_count for manifest in manifests[2:]) == postings
    for path in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not {"2022_03", "2022_04"} & {*months_of(books, "journal"), *months_of(books, "posting")}
    assert books.value("SELECT count(*) FROM posting WHERE posted_on < '2022-05-01'") == 0
    assert books.value("SELECT json_agg(a ORDER BY id)::text FROM account AS a") == balances
    assert_agrees(books)
    assert leave(books, tmp_path / "new") == []


def test_the_file_holds_the_rows_and_gives_them_back(books: Books, tmp_path: Path) -> None:
    """COPY reads what COPY wrote: nothing is lost on the way, NULL and empty text are told apart."""
    old_sales(books)
    wanted = books.value("SELECT json_agg(j ORDER BY stan)::text FROM journal AS j WHERE transmitted_at < '2022-04-01'")
    path = leave(books, tmp_path)[0]
    books.execute("CREATE TABLE restored (LIKE journal)")
    with books.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        with raw.cursor() as cursor, cursor.copy("COPY restored FROM STDIN (FORMAT csv, HEADER)") as into:
            into.write(gzip.decompress(path.read_bytes()))
        raw.commit()
    assert books.value("SELECT json_agg(j ORDER BY stan)::text FROM restored AS j") == wanted


def test_what_is_asked_of_an_archived_sale(books: Books, tmp_path: Path) -> None:
    """Its digits while it is the terminal's last, an adjustment, its day; not found to a reversal by its old key; never a wrong answer."""
    orders = old_sales(books)
    undelivered = UndeliveredAnswer(key=orders[1].key, reason="peer_lost", noticed_at=OLD)
    write_undelivered(books.engine, [undelivered])
    day = day_report(books.engine, OLD.date(), None)
    leave(books, tmp_path)
    last = books.last_answer(terminal_id="T0000002")
    (told,) = find_last_answers(books.engine, [last])
    assert (told.code, told.original_code, len(told.tokens)) == (ResponseCode.APPROVED, ResponseCode.APPROVED, 1)
    (named,) = find_last_answers(books.engine, [books.last_answer(orders[1])])
    assert named.code is ResponseCode.ORIGINAL_NOT_FOUND
    books.execute("UPDATE sale SET terminal_code = 'T0000002' WHERE state = 'void'")
    (void,) = find_last_answers(books.engine, [last])
    assert void.code is ResponseCode.ORIGINAL_NOT_FOUND
    (listed,) = read_undelivered(books.engine, since=OLD, terminal_id=None, limit=1)
    assert listed.code == "archived"
    (reversed_,) = find_originals(books.engine, [books.reversal(orders[1])])
    assert isinstance(reversed_, Declined)
    assert reversed_.code is ResponseCode.ORIGINAL_NOT_FOUND
    assert day_report(books.engine, OLD.date(), None) == day


def test_money_of_an_archived_sale_can_still_be_returned(books: Books, tmp_path: Path) -> None:
    """A customer complains about a sale of years ago."""
    old_sales(books)
    leave(books, tmp_path)
    adjustment = propose(
        books, REFUND, sale_id=books.value("SELECT min(id) FROM sale"), amount_centavos=Centavos(1_000)
    )
    approve(books, adjustment)
    assert_agrees(books)


def test_openings_that_are_archived_are_not_opened_again(books: Books, tmp_path: Path) -> None:
    """Running the opening again writes nothing, whatever has left."""
    books.execute(
        "UPDATE posting SET posted_on = '2022-03-02' FROM entry WHERE entry.id = entry_id AND kind = 'opening'"
    )
    books.execute("UPDATE entry SET local_date = '2022-03-02' WHERE kind = 'opening'")
    old_sales(books)
    leave(books, tmp_path)
    entries = books.value("SELECT count(*) FROM entry")
    with books.engine.begin() as connection:
        opening.post_opening(connection, OLD)
    assert books.value("SELECT count(*) FROM entry") == entries
    assert_agrees(books)


def test_rows_that_came_after_their_month_had_left_get_a_second_file(books: Books, tmp_path: Path) -> None:
    """A table of that month may come again, and leave again."""
    old_sales(books)
    leave(books, tmp_path)
    books.sell(at(books.order(7), OLD + timedelta(hours=1)))
    assert_agrees(books)
    assert [path.name for path in leave(books, tmp_path)] == ["journal-2022-03-2.csv.gz", "posting-2022-03-2.csv.gz"]
    assert_agrees(books)


@pytest.mark.parametrize("step", ["_write_file", "count", "write_manifest", "_count", "_NOTE"])
def test_a_run_that_is_killed_loses_nothing(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At each step in turn: the books agree, the rows are in the database, and the next run ends as if nothing had been."""
    old_sales(books)
    rows = books.value("SELECT count(*) FROM journal") + books.value("SELECT count(*) FROM posting")

    def killed(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            archive_module, step, text("SELECT 1 / 0 WHERE :month IS NOT NULL") if step == "_NOTE" else killed
        )
        with pytest.raises((KeyboardInterrupt, DBAPIError)):
            leave(books, tmp_path)
    assert books.value("SELECT count(*) FROM journal") + books.value("SELECT count(*) FROM posting") == rows
    assert_agrees(books)
    files = leave(books, tmp_path)
    assert len(files) == 4
    for path in files:
        verify(path)
    assert_agrees(books)


def test_half_a_file_of_a_killed_run_is_written_anew(books: Books, tmp_path: Path) -> None:
    """It has another name until all of it is on disk."""
    old_sales(books)
    part = tmp_path / "journal-2022-03-1.csv.gz.part"
    part.write_bytes(b"half")
    part.chmod(0o644)
    verify(leave(books, tmp_path)[0])
    assert not part.exists()


def test_a_file_of_somebody_else_is_not_overwritten(books: Books, tmp_path: Path) -> None:
    """Two ledgers into one directory."""
    old_sales(books)
    other = tmp_path / "journal-2022-03-1.csv.gz"
    other.write_bytes(b"other")
    with pytest.raises(ArchiveRefused, match="another directory"):
        leave(books, tmp_path)
    assert other.read_bytes() == b"other"
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_long_reader_ends_the_attempt_and_the_month_stays(books: Books, tmp_path: Path) -> None:
    """Sales must not wait behind it."""
    with books.engine.begin() as connection:
        for table in (JOURNAL, POSTING):
            make_months(connection, table, [MARCH, APRIL])
    old_sales(books)
    with books.engine.connect() as reader:
        reader.execute(text("LOCK TABLE journal IN ACCESS SHARE MODE"))
        with pytest.raises(LedgerUnavailable):
            leave(books, tmp_path)
    assert "2022_03" in months_of(books, "journal")
    assert len(leave(books, tmp_path)) == 4


# What must stay


def test_young_months_stay(books: Books, tmp_path: Path) -> None:
    """Copies of their requests may still come."""
    oldest = books.value(
        "SELECT CAST(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :n) AS date)",
        n=MONTHS_KEPT,
    )
    assert leave(books, tmp_path, oldest) == []
    with pytest.raises(ArchiveRefused, match="must stay"):
        leave(books, tmp_path, oldest + timedelta(days=31))


def test_a_month_with_an_open_sale_stays(books: Books, tmp_path: Path) -> None:
    """Its postings are still to be written."""
    old_sales(books)
    sale = books.reserve_one(at(books.order(8), OLD))
    with pytest.raises(ArchiveRefused, match="no outcome yet"):
        leave(books, tmp_path)
    books.post(post_of(sale))
    assert_agrees(books)


def test_a_month_with_an_open_day_stays(books: Books, tmp_path: Path) -> None:
    """Its totals are not written."""
    books.sell(at(books.order(), OLD))
    with pytest.raises(ArchiveRefused, match="not closed"):
        leave(books, tmp_path)


def test_an_old_month_with_young_requests_stays(books: Books, tmp_path: Path) -> None:
    """A terminal says 29 February in a year that has none; its repeat comes tomorrow."""
    order = books.order()
    now = books.value("SELECT now()")
    order = replace(
        order, key=replace(order.key, transmitted_at=datetime(2020, 2, 29, 12, tzinfo=UTC)), received_at=now
    )
    books.sell(order)
    with pytest.raises(ArchiveRefused, match="wrong by years"):
        leave(books, tmp_path)
    assert books.reserve(order) == [Repeated(answer=b"approved", code=ResponseCode.APPROVED)]


def test_a_ledger_that_does_not_agree_keeps_everything(books: Books, tmp_path: Path) -> None:
    """What leaves cannot be proved line by line any more."""
    old_sales(books)
    books.execute("UPDATE account SET balance_centavos = balance_centavos + 1 WHERE id = 400")
    with pytest.raises(ArchiveRefused, match="balances-equal-postings"):
        leave(books, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (
            "balances-equal-postings",
            "UPDATE archived_posting_sum SET amount_centavos = amount_centavos + 1 WHERE account_id = 400",
        ),
        (
            "obligations-equal-postings",
            "UPDATE archived_posting_sum SET amount_centavos = amount_centavos + 1 WHERE part = 'capital'",
        ),
        (
            "remainders-equal-postings",
            "UPDATE archived_posting_sum SET meter_id = 2 WHERE account_id = 400",
        ),
        ("archived-postings-sum-to-zero", "DELETE FROM archived_posting_sum WHERE account_id = 400"),
        (
            "archived-months-held-their-entries",
            "UPDATE archived_month SET subject_count = subject_count - 1 WHERE table_name = 'posting'",
        ),
        (
            "archived-months-held-their-sales",
            "UPDATE archived_month SET subject_count = subject_count - 1 WHERE table_name = 'journal'",
        ),
    ],
)
def test_a_wrong_sum_is_found_after_months_have_left(books: Books, tmp_path: Path, name: str, damage: str) -> None:
    """A centavo is enough here too."""
    old_sales(books)
    leave(books, tmp_path)
    books.execute(damage)
    assert name in {check.name for check in books.check().checks if not check.agree}


# Files


@pytest.mark.parametrize("damage", ["bit", "end", "manifest", "row"])
def test_a_damaged_file_is_found_without_a_database(books: Books, tmp_path: Path, damage: str) -> None:
    """A disk forgets."""
    old_sales(books)
    path = leave(books, tmp_path)[2]
    octets = bytearray(path.read_bytes())
    manifest = path.with_name("posting-2022-03-1.json")
    if damage == "bit":
        octets[len(octets) // 2] ^= 1
        path.write_bytes(octets)
    elif damage == "end":
        path.write_bytes(octets[:-9])
    elif damage == "manifest":
        manifest.unlink()
    else:
        lines = gzip.decompress(octets).splitlines(keepends=True)
        path.write_bytes(gzip.compress(b"".join(lines[:-1])))
        said = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(said | {"sha256": digest_of(path)}))
    with pytest.raises(ArchiveDamaged):
        verify(path)


def test_the_commands_of_an_auditor(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archive, verify, and find the sale that a customer complains about, without showing its PIN unless asked to."""
    orders = old_sales(books)
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(ledger, [str(each) for each in arguments])

    done = run("archive", "--before", "2022-05", "--to", str(tmp_path))
    assert done.exit_code == 0, done.output
    files = [json.loads(line)["file"] for line in done.stdout.splitlines()]
    assert len(files) == 4
    monkeypatch.setattr(context, "engine", lambda: pytest.fail("no database is asked"))
    assert json.loads(run("archive", "--verify", files[0]).stdout)["row_count"] == 2
    key = orders[0].key
    found = run("archived", files[0], "--terminal", key.terminal_id, "--stan", key.stan)
    row = json.loads(found.stdout)
    assert (row["code"], row["terminal_code"], "answer" in row) == ("approved", "T0000002", False)
    shown = json.loads(run("archived", files[0], "--sale", row["sale_id"], "--octets").stdout)
    assert bytes.fromhex(shown["answer"].removeprefix("\\x")) == b"approved"
    lines = [json.loads(line) for line in run("archived", files[2], "--sale", row["sale_id"]).stdout.splitlines()]
    assert sum(int(line["amount_centavos"]) for line in lines) == 0 < len(lines)
    assert run("archived", files[0], "--stan", "999999").exit_code == 1
    Path(files[0]).write_bytes(b"x")
    assert run("archive", "--verify", files[0]).exit_code == 1
    assert run("archived", files[0]).exit_code == 1
    for arguments in (["archive"], ["archive", "--verify", files[1], "--to", "x"]):
        assert run(*arguments).exit_code == 2


def test_the_command_says_why_a_month_stays(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence and without a traceback."""
    books.sell(at(books.order(), OLD))
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    told = CliRunner().invoke(ledger, ["archive", "--before", "2022-05", "--to", str(tmp_path)])
    assert told.exit_code == 1
    assert told.output.startswith("Error: 2022-03: 1 settlement days are not closed")
