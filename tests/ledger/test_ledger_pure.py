"""The parts that need no database: posting rules, array literals, the quote's lines, the chart."""

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

from ledger import arrays
from ledger.chart import FIRST_ACQUIRER_ACCOUNT, Account, code_of, kind_of
from ledger.embedded import EmbeddedPostgres
from ledger.quote_lines import lines_as_json, quote_of
from ledger.rules import parking_lines, sale_lines
from vending.commission import commission_of
from vending.deductions import Charge, Deduction, Emergency, Obligation
from vending.money import BasisPoints, Centavos, RateE4, Tenths
from vending.quote import Quote, QuoteInput, Voluntary, quote
from vending.response_code import Refusal
from vending.service import Service
from vending.tariff import Tariff, TariffBlock

MONEY = st.integers(min_value=0, max_value=10**9).map(Centavos)
COMMISSIONS = st.tuples(st.integers(0, 10_000), st.integers(0, 10**8), st.integers(0, 10_000))
"""Share, fixed sum and tax of a commission."""
OWED = st.integers(min_value=1, max_value=10**8).map(Centavos)
RATE = st.integers(min_value=1, max_value=10**8).map(RateE4)
DUE = st.just(date(2026, 1, 1))


def _deductions() -> st.SearchStrategy[list[Deduction]]:
    one: st.SearchStrategy[Deduction] = st.one_of(
        st.builds(Charge, id=st.just("c"), priority=st.just(1), due=DUE, owed_centavos=OWED, full_centavos=MONEY),
        st.builds(Emergency, id=st.just("e"), priority=st.just(2), due=DUE, owed_centavos=OWED),
        st.builds(
            Obligation,
            id=st.just("o"),
            priority=st.just(3),
            due=DUE,
            capital_centavos=OWED,
            interest_centavos=MONEY,
            share_basis_points=st.integers(0, 10_000).map(BasisPoints),
        ),
    )
    return st.lists(one, max_size=3, unique_by=lambda deduction: deduction.id)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    """Quotes of every kind: subsidised, contributing, with debts, with and without units."""
    deductions = draw(_deductions())
    named = [deduction.id for deduction in deductions if isinstance(deduction, Obligation)]
    voluntary = None
    if named and draw(st.sampled_from([True, False])):
        voluntary = Voluntary(obligation=named[0], amount_centavos=draw(OWED))
    limit = draw(st.integers(1, 5000))
    blocks: tuple[TariffBlock, ...] = (
        TariffBlock(up_to_tenths=Tenths(limit), rate_e4=draw(RATE), full_rate_e4=draw(RATE)),
        TariffBlock(up_to_tenths=None, rate_e4=draw(RATE), full_rate_e4=draw(RATE)),
    )
    question = QuoteInput(
        paid_centavos=draw(OWED),
        carried_in_centavos=draw(MONEY),
        tariff=Tariff(blocks=blocks),
        deductions=deductions,
        voluntary=voluntary,
    )
    while True:
        try:
            return quote(question)
        except Refusal:
            blocks = (TariffBlock(up_to_tenths=None, rate_e4=RateE4(1000), full_rate_e4=RateE4(1)),)
            question = QuoteInput(paid_centavos=Centavos(1000), tariff=Tariff(blocks=blocks))


@given(quote=quotes(), service=st.sampled_from(Service), terms=COMMISSIONS)
def test_the_lines_of_every_sale_sum_to_zero(quote: Quote, service: Service, terms: tuple[int, int, int]) -> None:
    """No centavo appears or vanishes between the accounts, and no line says nothing."""
    commission = commission_of(quote.paid_centavos, *terms)
    lines = sale_lines(quote, service, float_account_id=1000, commission_account_id=1001, commission=commission)
    assert sum(line.amount_centavos for line in lines) == 0
    assert all(line.amount_centavos for line in lines)
    by_account: dict[int, int] = {}
    for line in lines:
        by_account[line.account_id] = by_account.get(line.account_id, 0) + line.amount_centavos
    assert by_account.get(1000, 0) == quote.paid_centavos
    assert by_account.get(1001, 0) == -(commission.centavos + commission.tax_centavos)
    assert by_account.get(Account.COMMISSION_TAX, 0) == commission.tax_centavos
    assert by_account.get(Account.SUBSIDIES_RECEIVABLE, 0) == quote.subsidy_centavos
    assert by_account.get(Account.CONTRIBUTIONS_PAYABLE, 0) == -quote.contribution_centavos
    assert by_account.get(Account.CUSTOMER_REMAINDERS, 0) == quote.carried_in_centavos - quote.carried_out_centavos


@given(quote=quotes(), claimed=MONEY, terms=COMMISSIONS)
def test_a_claim_and_a_parking_balance(quote: Quote, claimed: int, terms: tuple[int, int, int]) -> None:
    """A claiming sale pays the parked account what the parking put there, and its network for everything; both sum to zero."""
    paid = quote.paid_centavos + claimed
    commission = commission_of(paid, *terms)
    accounts = {"float_account_id": 1000, "commission_account_id": 1001}
    sold = sale_lines(quote, Service.ENERGY, claimed_centavos=claimed, commission=commission, **accounts)
    parked = parking_lines(paid_centavos=claimed, commission=commission, **accounts)
    for lines in (sold, parked):
        assert sum(line.amount_centavos for line in lines) == 0
        assert all(line.amount_centavos for line in lines)
    assert sum(line.amount_centavos for line in sold if line.account_id == 1000) == paid
    assert sum(line.amount_centavos for line in [*sold, *parked] if line.account_id == Account.PARKED_TOKENS) == 0
    assert sum(line.amount_centavos for line in parked if line.account_id == 1000) == -claimed


@given(quote=quotes(), claimed=MONEY)
def test_a_quote_survives_its_row(quote: Quote, claimed: int) -> None:
    """What is read back prints the same ticket; the row's paid money has what was claimed in it."""
    row: Any = SimpleNamespace(
        paid_centavos=quote.paid_centavos + claimed,
        claimed_centavos=claimed,
        **{
            name: getattr(quote, name)
            for name in (
                *("carried_in_centavos", "carried_out_centavos", "units_tenths", "charged_centavos"),
                *("full_cost_centavos", "subsidy_centavos", "contribution_centavos", "month_to_date_tenths"),
            )
        },
        lines=json.loads(lines_as_json(quote)),
    )
    assert quote_of(row) == quote


def test_the_chart_has_a_kind_for_every_account_below_the_acquirers() -> None:
    """Numbers decide kinds, so a new account in a wrong range is noticed."""
    assert {kind_of(account).value for account in Account} == {"asset", "liability", "revenue", "expense", "equity"}
    assert all(account.value < FIRST_ACQUIRER_ACCOUNT for account in Account)
    assert len({code_of(account) for account in Account}) == len(Account)


@pytest.fixture(scope="module")
def engine(postgres_server: EmbeddedPostgres) -> Any:
    """A database to read literals with."""
    engine = create_engine(postgres_server.dsn_of("postgres"))
    yield engine
    engine.dispose()


# PostgreSQL's text cannot hold a zero character, nor half of a surrogate pair.
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), max_size=8)


@given(values=TEXTS)
def test_text_arrays_arrive_as_they_are(engine: Engine, values: list[str | None]) -> None:
    """Quotes, backslashes, braces, commas, NULL as a word and empty texts included."""
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT CAST(:values AS text[])"), {"values": arrays.texts(values)}
        ).scalar_one()
    assert found == values


@given(
    values=st.lists(st.none() | st.binary(max_size=40), max_size=8),
    numbers=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
)
def test_octet_and_integer_arrays_arrive_as_they_are(
    engine: Engine, values: list[bytes | None], numbers: list[int | None]
) -> None:
    """Every octet and the whole range of bigint."""
    with engine.connect() as connection:
        found, found_numbers = connection.execute(
            text("SELECT CAST(:values AS bytea[]), CAST(:numbers AS bigint[])"),
            {"values": arrays.octets(values), "numbers": arrays.ints(numbers)},
        ).one()
    assert [None if value is None else bytes(value) for value in found] == values
    assert found_numbers == numbers


@given(
    moments=st.lists(
        st.integers(0, 10**16).map(
            lambda microseconds: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
        )
    )
)
def test_times_arrive_to_the_microsecond(engine: Engine, moments: list[datetime]) -> None:
    """A journal key is compared for equality, so nothing may be rounded."""
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT CAST(:values AS timestamptz[])"), {"values": arrays.times(moments)}
        ).scalar_one()
    assert found == moments
