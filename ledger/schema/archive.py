"""What months leave behind that were archived: the digest of their file, and the sums of their postings."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, PrimaryKeyConstraint, SmallInteger, Table, Text

from ledger.schema.columns import metadata, time_column

archived_month = Table(
    "archived_month",
    metadata,
    Column("table_name", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("number", SmallInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("subject_count", BigInteger, nullable=False),
    Column("debit_centavos", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    time_column("archived_at"),
    PrimaryKeyConstraint("table_name", "month", "number"),
    CheckConstraint("table_name IN ('journal', 'posting')", name="table_name"),
    CheckConstraint("extract(day FROM month) = 1", name="month"),
    comment="A month of a table that left the database for a file with this digest. number = 1, or more where rows of the month came "
    "later. subject_count = sales of its journal rows, or entries of its postings.",
)

archived_posting_sum = Table(
    "archived_posting_sum",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("obligation_id", BigInteger, nullable=False),
    Column("part", Text, nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "meter_id", "obligation_id", "part"),
    comment="What all archived postings sum to, so that balances stay provable. 0 and '' where a posting has no meter, obligation or part.",
)
