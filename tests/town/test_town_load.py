"""Loading the town into a real PostgreSQL."""

import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cli import context
from cli.seed import seed_command
from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.tariffs import load_tariffs
from ledger.upgrade import upgrade
from town.generate import DEMO_METER_NUMBER, generate
from town.load import TownAlreadyLoaded, load_into
from vending.calendar import local_date
from vending.deductions import Charge, Obligation
from vending.tariff import TariffBook

AT = datetime(2026, 8, 15, 3, 0, tzinfo=UTC)
"""Ten in the evening of the 14th in the town."""

TOWN = generate(seed=7, day=local_date(AT))

LOAD_SECONDS_MAX = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of its own.

    Not below pytest's directory: run as root the server has another account, and any other pytest that starts closes that
    directory to it.
    """
    with tempfile.TemporaryDirectory(prefix="eudora-town-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def empty_ledger(dsn: str) -> Iterator[Engine]:
    """Yield an engine on that database, with the tables and nothing in them."""
    opened = open_engine(dsn)
    try:
        upgrade(opened)
        yield opened
    finally:
        opened.dispose()


@pytest.fixture(scope="module")
def engine(server: EmbeddedPostgres) -> Iterator[Engine]:
    """An empty ledger that all tests of this file share, from the loading on."""
    with empty_ledger(server.dsn) as opened:
        yield opened


@pytest.fixture
def second(server: EmbeddedPostgres, engine: Engine) -> Iterator[Engine]:
    """An empty ledger for one test, on the same server."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS second"))
        connection.execute(text("CREATE DATABASE second"))
    with empty_ledger(server.dsn_of("second")) as opened:
        yield opened


@pytest.fixture(scope="module")
def loaded(engine: Engine) -> Engine:
    """The ledger with the town in it."""
    begun = time.perf_counter()
    report = load_into(engine, TOWN, at=AT)
    assert time.perf_counter() - begun < LOAD_SECONDS_MAX
    assert (report.meters, report.terminals, report.tariffs) == (2_000, 320, 120)
    assert report.holders == len(TOWN.holders)
    assert report.obligations == sum(len(meter.deductions) for meter in TOWN.meters)
    return engine


def value(engine: Engine, statement: str) -> object:
    """Return the one value of a query."""
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar_one()


def test_the_books_are_in_balance(loaded: Engine) -> None:
    """Every opening entry sums to zero and every account's balance is the sum of its postings."""
    entries = "SELECT count(*) FROM (SELECT 1 FROM posting GROUP BY entry_id HAVING sum(amount_centavos) <> 0) AS t"
    assert value(loaded, entries) == 0
    balances = """
        SELECT count(*) FROM account
        WHERE balance_centavos <> (SELECT coalesce(sum(amount_centavos), 0) FROM posting WHERE account_id = account.id)
    """
    assert value(loaded, balances) == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("bank", sum(network.deposit_centavos for network in (TOWN.network, *TOWN.other_networks))),
        ("float:recargas", -TOWN.other_networks[0].deposit_centavos),
        ("float:loteria", -TOWN.other_networks[1].deposit_centavos),
        ("float:datafonos", -TOWN.network.deposit_centavos),
        ("customer-remainders", -sum(meter.remainder_centavos for meter in TOWN.meters)),
        (
            "third-party-receivable",
            sum(item.owed_centavos for meter in TOWN.meters for item in meter.deductions if item.kind == "charge"),
        ),
        (
            "emergency-receivable",
            sum(item.owed_centavos for meter in TOWN.meters for item in meter.deductions if item.kind == "emergency"),
        ),
    ],
)
def test_the_accounts_hold_what_the_town_owes(loaded: Engine, code: str, expected: int) -> None:
    """What people owe and what the network paid in stands in the accounts, to the centavo."""
    assert value(loaded, f"SELECT balance_centavos FROM account WHERE code = '{code}'") == expected


def test_obligations_are_as_generated(loaded: Engine) -> None:
    """Terms, states and dates of the debts survive the way into the table."""
    with loaded.connect() as connection:
        rows = connection.execute(
            text("SELECT meter_number, obligation.* FROM obligation JOIN meter ON meter.id = meter_id")
        ).all()
    found = {(row.meter_number, row.code): row for row in rows}
    for meter in TOWN.meters:
        for item in meter.deductions:
            row = found.pop((meter.meter_number, item.id))
            assert (row.kind, row.priority, row.due) == (item.kind, item.priority, item.due)
            assert row.capital_centavos + row.interest_centavos == item.owed_centavos
            if isinstance(item, Obligation):
                assert row.instalment_due_centavos == item.instalment_due_centavos
                assert row.share_basis_points == item.share_basis_points
                assert row.share_overdue_basis_points == item.share_overdue_basis_points
                assert (row.overdue, row.disputed) == (item.is_overdue, item.is_disputed)
                assert row.minimum_centavos == item.minimum_centavos
            if isinstance(item, Charge):
                assert row.full_centavos == item.full_centavos
    assert not found


def test_meters_are_as_generated(loaded: Engine) -> None:
    """Each meter has its key reference, tariff and holder."""
    with loaded.connect() as connection:
        rows = connection.execute(
            text("SELECT meter.*, account_number, name FROM meter JOIN account_holder ON account_holder.id = holder_id")
        ).all()
    found = {row.meter_number: row for row in rows}
    names = {holder.account_number: holder.name for holder in TOWN.holders}
    for meter in TOWN.meters:
        row = found[meter.meter_number]
        assert (row.pan, row.account_number, row.name) == (
            meter.pan,
            meter.account_number,
            names[meter.account_number],
        )
        assert (row.register_id, row.encryption_algorithm) == (
            meter.key_register.register_id,
            meter.key_register.encryption_algorithm,
        )
        assert (row.service, row.user_class, row.stratum, row.altitude) == (
            meter.service.value,
            meter.user_class.value,
            meter.stratum,
            meter.altitude.value,
        )
        assert (row.status == "blocked") == meter.is_blocked
        assert row.remainder_centavos == meter.remainder_centavos


def test_tariffs_come_back_as_published(loaded: Engine) -> None:
    """The tariffs that the ledger reads are the ones that the town published."""
    order = TariffBook(TOWN.tariffs).versions
    read = load_tariffs(loaded).versions
    assert sorted(read, key=repr) == sorted(order, key=repr)


def test_a_second_load_is_refused_and_writes_nothing(loaded: Engine) -> None:
    """A ledger in use is never overwritten or doubled, also not by another town."""
    counts = "SELECT (SELECT count(*) FROM posting) + (SELECT count(*) FROM account_holder) + (SELECT count(*) FROM acquirer)"
    before = value(loaded, counts)
    with pytest.raises(TownAlreadyLoaded):
        load_into(loaded, generate(seed=8, meters=10, day=TOWN.day), at=AT)
    assert value(loaded, counts) == before


def test_two_loads_at_once_write_one_town(second: Engine) -> None:
    """Whoever comes second waits for the first and is refused."""
    towns = [generate(seed=seed, meters=50, terminals=5, day=TOWN.day) for seed in (1, 2)]

    def load(number: int) -> bool:
        try:
            load_into(second, towns[number], at=AT)
        except TownAlreadyLoaded:
            return False
        return True

    with ThreadPoolExecutor(max_workers=2) as threads:
        assert sorted(threads.map(load, range(2))) == [False, True]
    assert value(second, "SELECT count(*) FROM meter") == 50


def test_the_command_loads_once(second: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """``eudora seed`` prints what it wrote and the first meter's number; again, it refuses and says so."""
    monkeypatch.setattr(context, "engine", lambda: second)
    arguments = ["--meters", "30", "--seed", "5", "--terminals", "4"]
    result = CliRunner().invoke(seed_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["meters"], printed["terminals"], printed["first_meter"]) == (30, 4, DEMO_METER_NUMBER)
    assert value(second, f"SELECT count(*) FROM meter WHERE meter_number = '{DEMO_METER_NUMBER}'") == 1
    again = CliRunner().invoke(seed_command, arguments, catch_exceptions=False)
    assert again.exit_code == 1
    assert "nothing was written" in again.output
