"""Settlement days: what was sold, closed and compared."""

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from ledger.schema.columns import centavos_column, id_column, metadata, time_column

day_total = Table(
    "day_total",
    metadata,
    Column("settlement_date", Date, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sales", BigInteger, nullable=False),
    Column("paid_centavos", BigInteger, nullable=False),
    Column("commission_centavos", BigInteger, nullable=False),
    centavos_column("commission_tax_centavos"),
    time_column("closed_at"),
    PrimaryKeyConstraint("settlement_date", "acquirer_code", "terminal_code", "kind"),
    comment="What a terminal sold on a settlement day, by kind (recharge, payment, and reversal: what was given back), "
    "written once after the day closed and never changed.",
)

closed_day = Table(
    "closed_day",
    metadata,
    Column("settlement_date", Date, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    time_column("closed_at"),
    PrimaryKeyConstraint("settlement_date", "acquirer_code"),
    comment="A settlement day of an acquirer whose totals are written; also a day without any sale.",
)

reconciliation = Table(
    "reconciliation",
    metadata,
    id_column(),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text),
    Column("settlement_date", Date, nullable=False),
    Column("theirs", JSONB, nullable=False),
    Column("ours", JSONB, nullable=False),
    Column("agrees", Boolean, nullable=False),
    time_column("asked_at"),
    Index(None, "settlement_date", "acquirer_code"),
    comment="Totals that a terminal (or, without one, a whole network) sent for a settlement day, beside ours.",
)
