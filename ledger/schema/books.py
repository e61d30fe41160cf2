"""The books: accounts, entries, postings."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from ledger.schema.columns import centavos_column, metadata, time_column

account = Table(
    "account",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("acquirer_code", Text),
    centavos_column("balance_centavos"),
    centavos_column("pending_centavos"),
    centavos_column("credit_line_centavos"),
    CheckConstraint("kind IN ('asset', 'liability', 'revenue', 'expense', 'equity')", name="kind"),
    CheckConstraint("pending_centavos >= 0", name="pending"),
    CheckConstraint("credit_line_centavos >= 0", name="credit_line"),
    comment="Chart of accounts. balance = sum of its postings (debit positive); pending = sum of the reserved sales of a float; "
    "a float covers a sale while credit_line - balance - pending >= paid.",
    postgresql_with={"fillfactor": 20},
)

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("sale_id", BigInteger),
    time_column("posted_at"),
    Column("local_date", Date, nullable=False),
    Column("memo", Text, nullable=False, server_default=text("''")),
    CheckConstraint("kind IN ('sale', 'opening', 'deposit', 'billing', 'adjustment', 'parking')", name="kind"),
    # The few entries that no sale made, for the statements of networks.
    Index("ix_entry_rare", "local_date", postgresql_where=text("kind IN ('deposit', 'billing', 'adjustment')")),
    comment="One event in the books; append-only. The entry of a sale has the id of the sale.",
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("meter_id", BigInteger),
    Column("obligation_id", BigInteger),
    Column("part", Text),
    PrimaryKeyConstraint("entry_id", "line", "posted_on"),
    CheckConstraint("amount_centavos <> 0", name="amount"),
    CheckConstraint("part IN ('capital', 'interest')", name="part"),
    Index(None, "obligation_id", postgresql_where=text("obligation_id IS NOT NULL")),
    comment="Append-only. Signed centavos, debit positive; the lines of an entry sum to zero. On a control account meter_id or "
    "obligation_id with part says whose line it is. posted_on = local_date of the entry.",
    postgresql_partition_by="RANGE (posted_on)",
)
