"""The journal and the postings by month, and what archived months leave behind.

Revision ID: 0003
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JOURNAL_COMMENT = "Every authenticated request once, by its key, with the answer that was made for it. sale_id = the sale it reserved; reverses_sale_id = the sale that a reversal asked to undo. code is null until the outcome is known. An empty digest marks a request that was reversed before it came."
_POSTING_COMMENT = "Append-only. Signed centavos, debit positive; the lines of an entry sum to zero. On a control account meter_id or obligation_id with part says whose line it is."
_POSTING_COMMENT_BY_MONTH = f"{_POSTING_COMMENT} posted_on = local_date of the entry."
_FILLFACTOR = {"journal": 30, "posting": 100}


def upgrade() -> None:
    """Make both tables anew, by month, and copy what is there; every row or none."""
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute("SET LOCAL enable_hashjoin = on")
    op.execute("CREATE SCHEMA partitions")
    for table in ("journal", "posting"):
        # Out of the way with its indexes, whose names are needed again.
        op.execute(f"ALTER TABLE {table} SET SCHEMA partitions")
    _make_journal(postgresql_partition_by="RANGE (transmitted_at)")
    _make_posting(
        sa.Column("posted_on", sa.Date(), nullable=False),
        key=("entry_id", "line", "posted_on"),
        comment=_POSTING_COMMENT_BY_MONTH,
        postgresql_partition_by="RANGE (posted_on)",
    )
    _make_months(
        "journal",
        "SELECT DISTINCT date_trunc('month', transmitted_at AT TIME ZONE 'UTC')::date FROM partitions.journal",
    )
    _make_months("posting", "SELECT DISTINCT date_trunc('month', local_date)::date FROM entry")
    journal = ", ".join(_JOURNAL_COLUMNS)
    _copy("journal", journal, f"{journal} FROM partitions.journal")
    _copy(
        "posting",
        "entry_id, line, posted_on, account_id, amount_centavos, meter_id, obligation_id, part",
        "p.entry_id, p.line, e.local_date, p.account_id, p.amount_centavos, p.meter_id, p.obligation_id, p.part FROM partitions.posting AS p JOIN entry AS e ON e.id = p.entry_id",
    )
    _make_archive_tables()


def downgrade() -> None:
    """Put everything back into one table each; not when months have left the database."""
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM archived_month")):
        raise RuntimeError("months were archived: the schema before this one cannot prove balances without them")
    op.execute("SET LOCAL statement_timeout = 0")
    op.drop_table("archived_posting_sum")
    op.drop_table("archived_month")
    for table in ("journal", "posting"):
        op.execute(f"ALTER TABLE {table} SET SCHEMA partitions")
    _make_journal(postgresql_with={"fillfactor": _FILLFACTOR["journal"]})
    _make_posting(key=("entry_id", "line"), comment=_POSTING_COMMENT)
    journal = ", ".join(_JOURNAL_COLUMNS)
    _copy("journal", journal, f"{journal} FROM partitions.journal")
    posting = "entry_id, line, account_id, amount_centavos, meter_id, obligation_id, part"
    _copy("posting", posting, f"{posting} FROM partitions.posting")
    op.execute("DROP SCHEMA partitions")


_JOURNAL_COLUMNS = (
    "transmitted_at",
    "stan",
    "terminal_code",
    "acquirer_code",
    "message_class",
    "digest",
    "rrn",
    "request",
    "code",
    "sale_id",
    "reverses_sale_id",
    "answer",
    "received_at",
    "answered_at",
)


def _make_journal(**options: Any) -> None:
    op.create_table(
        "journal",
        sa.Column("transmitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stan", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("message_class", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("rrn", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("sale_id", sa.BigInteger(), nullable=True),
        sa.Column("reverses_sale_id", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(
            "transmitted_at", "stan", "terminal_code", "acquirer_code", "message_class", name=op.f("pk_journal")
        ),
        comment=_JOURNAL_COMMENT,
        **options,
    )
    op.create_index(
        op.f("ix_journal_reverses_sale_id"),
        "journal",
        ["reverses_sale_id"],
        postgresql_where=sa.text("reverses_sale_id IS NOT NULL"),
    )


def _make_posting(*day: sa.Column[date], key: tuple[str, ...], comment: str, **options: Any) -> None:
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        # Here, between a small and a large column, a date takes no room: the row would be padded.
        *day,
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=True),
        sa.Column("obligation_id", sa.BigInteger(), nullable=True),
        sa.Column("part", sa.Text(), nullable=True),
        sa.CheckConstraint("part IN ('capital', 'interest')", name=op.f("ck_posting_part")),
        sa.CheckConstraint("amount_centavos <> 0", name=op.f("ck_posting_amount")),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_posting")),
        comment=comment,
        **options,
    )
    op.create_index(
        op.f("ix_posting_obligation_id"),
        "posting",
        ["obligation_id"],
        postgresql_where=sa.text("obligation_id IS NOT NULL"),
    )


def _make_months(table: str, months: str) -> None:
    """One partition for each month that has rows, and one for all that has no month of its own."""
    options = f"WITH (fillfactor = {_FILLFACTOR[table]})"
    op.execute(f"CREATE TABLE partitions.{table}_default PARTITION OF {table} DEFAULT {options}")
    found: Iterable[date] = op.get_bind().scalars(sa.text(months)).all()
    for month in sorted(found):
        following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        zone = " 00:00:00+00" if table == "journal" else ""
        op.execute(
            f"CREATE TABLE partitions.{table}_{month:%Y_%m} PARTITION OF {table}"
            f" FOR VALUES FROM ('{month}{zone}') TO ('{following}{zone}') {options}"
        )


def _copy(table: str, columns: str, source: str) -> None:
    """Copy a table that was moved out of the way, and drop it once every row has arrived."""
    connection = op.get_bind()
    before = connection.scalar(sa.text(f"SELECT count(*) FROM partitions.{table}"))  # noqa: S608 - constants only
    copied = connection.execute(sa.text(f"INSERT INTO {table} ({columns}) SELECT {source}")).rowcount
    if copied != before:
        raise RuntimeError(f"{table} has {before} rows and {copied} could be copied: run `eudora ledger check`")
    op.execute(f"DROP TABLE partitions.{table}")


def _make_archive_tables() -> None:
    op.create_table(
        "archived_month",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("subject_count", sa.BigInteger(), nullable=False),
        sa.Column("debit_centavos", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("table_name IN ('journal', 'posting')", name=op.f("ck_archived_month_table_name")),
        sa.CheckConstraint("extract(day FROM month) = 1", name=op.f("ck_archived_month_month")),
        sa.PrimaryKeyConstraint("table_name", "month", "number", name=op.f("pk_archived_month")),
        comment="A month of a table that left the database for a file with this digest. number = 1, or more where rows of the month came later. subject_count = sales of its journal rows, or entries of its postings.",
    )
    op.create_table(
        "archived_posting_sum",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("obligation_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "meter_id", "obligation_id", "part", name=op.f("pk_archived_posting_sum")
        ),
        comment="What all archived postings sum to, so that balances stay provable. 0 and '' where a posting has no meter, obligation or part.",
    )
