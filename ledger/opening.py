"""Filling an empty ledger: the chart of accounts, acquirers and their deposits, and the opening entries.

The order: `open_chart`, then rows of the master tables in bulk (``ledger.schema``: key_register, account_holder, meter, obligation,
tariff_version, terminal), `add_acquirer`, `deposit`, and `post_opening` once at the end, which writes the entries that make the
books agree with the obligations and remainders that were loaded. `analyze` afterwards, so that plans are made for what is there.
"""

from collections.abc import Iterable
from datetime import date, datetime

from sqlalchemy import Connection, Engine, text

from ledger import schema
from ledger.arrays import texts
from ledger.chart import Account, AccountKind, code_of, kind_of
from ledger.database import allow_scans
from ledger.entries import write_entry
from ledger.rules import deposit_lines
from vending.calendar import local_date
from vending.money import BasisPoints, Centavos

NO_MONEY = Centavos(0)
NO_COMMISSION = BasisPoints(0)

FIRST_DAY = date(2000, 1, 1)
"""The first terms of a network are valid for every sale."""

_UNOPENED_OBLIGATIONS = text("""
    INSERT INTO posting (entry_id, line, posted_on, account_id, amount_centavos, obligation_id, part)
    SELECT nextval('ledger_id'), 1, :on, CASE WHEN part.name = 'interest' THEN :interest
        ELSE CASE kind WHEN 'charge' THEN :charge WHEN 'emergency' THEN :emergency ELSE :obligation END END, part.amount, id, part.name
    FROM obligation, LATERAL (VALUES ('capital', capital_centavos), ('interest', interest_centavos)) AS part (name, amount)
    WHERE part.amount <> 0 AND NOT EXISTS (SELECT 1 FROM posting WHERE obligation_id = obligation.id)
        AND NOT EXISTS (SELECT 1 FROM archived_posting_sum WHERE obligation_id = obligation.id)
    RETURNING entry_id, account_id, amount_centavos
""")

_UNOPENED_REMAINDERS = text("""
    INSERT INTO posting (entry_id, line, posted_on, account_id, amount_centavos, meter_id)
    SELECT nextval('ledger_id'), 1, :on, :remainders, -remainder_centavos, id
    FROM meter
    WHERE remainder_centavos <> 0 AND NOT EXISTS (SELECT 1 FROM posting WHERE meter_id = meter.id)
        AND NOT EXISTS (SELECT 1 FROM archived_posting_sum WHERE meter_id = meter.id)
    RETURNING entry_id, account_id, amount_centavos
""")

_TERMINALS = text("""
    INSERT INTO terminal (acquirer_id, code, merchant, status)
    SELECT :acquirer_id, new.code, new.merchant, new.status
    FROM unnest(CAST(:codes AS text[]), CAST(:merchants AS text[]), CAST(:statuses AS text[])) AS new (code, merchant, status)
""")

_AGAINST = """
    WITH opened AS ({insert}), entries AS (
        INSERT INTO entry (id, kind, posted_at, local_date, memo)
        SELECT entry_id, 'opening', :at, :on, '' FROM opened
    ), against AS (
        INSERT INTO posting (entry_id, line, posted_on, account_id, amount_centavos)
        SELECT entry_id, 2, :on, CASE WHEN account_id = :charge THEN :third_party ELSE :equity END, -amount_centavos FROM opened
        RETURNING account_id, amount_centavos
    )
    UPDATE account SET balance_centavos = balance_centavos + moved.total
    FROM (
        SELECT account_id, sum(amount_centavos) AS total
        FROM (SELECT account_id, amount_centavos FROM opened UNION ALL SELECT account_id, amount_centavos FROM against) AS lines
        GROUP BY account_id
    ) AS moved
    WHERE account.id = moved.account_id
"""


def open_chart(connection: Connection) -> None:
    """Write the fixed accounts that are missing."""
    connection.execute(
        text("INSERT INTO account (id, code, kind) VALUES (:id, :code, :kind) ON CONFLICT (id) DO NOTHING"),
        [{"id": account.value, "code": code_of(account), "kind": kind_of(account).value} for account in Account],
    )


def add_acquirer(
    connection: Connection,
    *,
    code: str,
    name: str,
    credit_line_centavos: Centavos = NO_MONEY,
    commission_basis_points: BasisPoints = NO_COMMISSION,
    commission_tax_basis_points: BasisPoints = NO_COMMISSION,
    set_by: str = "opening",
    set_at: datetime | None = None,
) -> int:
    """Write an acquirer with its float and commission accounts; return the acquirer's id.

    Args:
        connection: in a transaction.
        code: as `vending.order.RequestKey.acquirer_id`.
        name: for people.
        credit_line_centavos: what it may sell beyond its deposits.
        commission_basis_points: of everything it sells, as its first terms.
        commission_tax_basis_points: of its commission.
        set_by: who says so.
        set_at: when, aware; None: the transaction's own time.
    """
    account_ids = [
        connection.execute(
            text(
                "INSERT INTO account (id, code, kind, acquirer_code, credit_line_centavos) "
                "VALUES (nextval('account_id'), :account, :kind, :code, :line) RETURNING id"
            ),
            {"account": f"{role}:{code}", "kind": AccountKind.LIABILITY.value, "code": code, "line": line},
        ).scalar_one()
        for role, line in (("float", credit_line_centavos), ("commission", 0))
    ]
    inserted = schema.acquirer.insert().values(
        code=code,
        name=name,
        float_account_id=account_ids[0],
        commission_account_id=account_ids[1],
    )
    acquirer_id: int = connection.execute(inserted.returning(schema.acquirer.c.id)).scalar_one()
    connection.execute(
        schema.commission_terms.insert().values(
            acquirer_id=acquirer_id,
            valid_from=FIRST_DAY,
            share_basis_points=commission_basis_points,
            tax_basis_points=commission_tax_basis_points,
            set_by=set_by,
            set_at=text("now()") if set_at is None else set_at,
        )
    )
    return acquirer_id


def add_terminals(connection: Connection, acquirer_id: int, terminals: Iterable[tuple[str, str, bool]]) -> None:
    """Write terminals of an acquirer.

    Args:
        connection: in a transaction.
        acquirer_id: from `add_acquirer`.
        terminals: data element 41, the merchant, and whether it is blocked.
    """
    new = list(terminals)
    connection.execute(
        _TERMINALS,
        {
            "acquirer_id": acquirer_id,
            "codes": texts(code for code, _, _ in new),
            "merchants": texts(merchant for _, merchant, _ in new),
            "statuses": texts("blocked" if is_blocked else "active" for _, _, is_blocked in new),
        },
    )


def deposit(
    connection: Connection, *, acquirer_code: str, amount_centavos: Centavos, at: datetime, memo: str = ""
) -> int:
    """Book money that an acquirer paid in for its float; return the entry's id.

    Args:
        connection: in a transaction.
        acquirer_code: whose float.
        amount_centavos: more than zero.
        at: aware.
        memo: for people, for example the bank's reference.
    """
    assert amount_centavos > 0, "a deposit is money"
    float_account: int = connection.execute(
        text("SELECT float_account_id FROM acquirer WHERE code = :code"), {"code": acquirer_code}
    ).scalar_one()
    return write_entry(
        connection, kind="deposit", at=at, memo=memo, lines=deposit_lines(float_account, amount_centavos)
    )


def post_opening(connection: Connection, at: datetime) -> None:
    """Write an opening entry for every obligation and remainder that has no posting yet.

    Charges stand against the third party they are collected for, everything else against opening equity. Running it again
    writes nothing.
    """
    allow_scans(connection)
    values = {
        "at": at,
        "on": local_date(at),
        "charge": Account.THIRD_PARTY_RECEIVABLE.value,
        "third_party": Account.THIRD_PARTY_PAYABLE.value,
        "equity": Account.OPENING_EQUITY.value,
    }
    connection.execute(
        text(_AGAINST.format(insert=_UNOPENED_OBLIGATIONS.text)),
        {
            **values,
            "interest": Account.OBLIGATION_INTEREST_RECEIVABLE.value,
            "emergency": Account.EMERGENCY_RECEIVABLE.value,
            "obligation": Account.OBLIGATION_CAPITAL_RECEIVABLE.value,
        },
    )
    connection.execute(
        text(_AGAINST.format(insert=_UNOPENED_REMAINDERS.text)),
        {**values, "remainders": Account.CUSTOMER_REMAINDERS.value},
    )


_FILLED = text(
    "SELECT quote_ident(schemaname) || '.' || quote_ident(relname) FROM pg_stat_user_tables WHERE n_live_tup > 0 ORDER BY relname"
)


def analyze(engine: Engine) -> None:
    """Let the planner look at the tables that hold something; to be run after a bulk load.

    Not at the empty ones: once told that a table is empty the planner would read it whole instead of using its index, and a prepared
    plan stays so while the table grows.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        for table in connection.scalars(_FILLED).all():
            connection.execute(text(f"VACUUM ANALYZE {table}"))
