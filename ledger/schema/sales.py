"""Sales, their tokens, and what became of them afterwards."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.schema.columns import centavos_column, id_column, metadata, time_column

sale = Table(
    "sale",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    time_column("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("rrn", Text, nullable=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("register_id", BigInteger, nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("float_account_id", BigInteger, nullable=False),
    Column("commission_account_id", BigInteger, nullable=False),
    Column("local_date", Date, nullable=False),
    Column("settlement_date", Date, nullable=False),
    time_column("reserved_at"),
    time_column("ended_at", nullable=True),
    Column("paid_centavos", BigInteger, nullable=False),
    Column("commission_centavos", BigInteger, nullable=False),
    centavos_column("commission_tax_centavos"),
    Column("carried_in_centavos", BigInteger, nullable=False),
    Column("carried_out_centavos", BigInteger, nullable=False),
    Column("units_tenths", BigInteger, nullable=False),
    Column("charged_centavos", BigInteger, nullable=False),
    Column("full_cost_centavos", BigInteger, nullable=False),
    Column("subsidy_centavos", BigInteger, nullable=False),
    Column("contribution_centavos", BigInteger, nullable=False),
    Column("month_to_date_tenths", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    centavos_column("claimed_centavos"),
    CheckConstraint("state IN ('reserved', 'posted', 'void')", name="state"),
    CheckConstraint("kind IN ('recharge', 'payment')", name="kind"),
    CheckConstraint("paid_centavos > 0", name="paid"),
    Index("ix_sale_reserved", "reserved_at", postgresql_where=text("state = 'reserved'")),
    Index(None, "meter_id", "id"),
    Index(None, "terminal_code", "id"),
    # Sales are appended day by day, so block ranges find a day, and next to nothing is written for a sale.
    Index(None, "settlement_date", postgresql_using="brin"),
    comment="A recharge or payment from its reservation on, with the whole quote: numbers in columns, lines (deductions taken, "
    "blocks, tokens) as JSON, so that the ticket can be made again. reserved -> posted | void. claimed = the part of paid that went for "
    "parked tokens; the quote is of the rest.",
)

token = Table(
    "token",
    metadata,
    Column("sale_id", BigInteger, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("tid", BigInteger, nullable=False),
    Column("units_tenths", BigInteger, nullable=False),
    Column("digits", Text),
    PrimaryKeyConstraint("sale_id", "position"),
    UniqueConstraint("meter_id", "tid"),
    CheckConstraint("length(digits) = 20", name="digits"),
    comment="A credit token and its identifier. digits (a secret) are there exactly when the sale is posted; the identifier of a "
    "void sale stays used.",
    postgresql_with={"fillfactor": 60},
)

parked_token = Table(
    "parked_token",
    metadata,
    Column("sale_id", BigInteger, primary_key=True, autoincrement=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("paid_centavos", BigInteger, nullable=False),
    time_column("parked_at"),
    Column("local_date", Date, nullable=False),
    Column("settlement_date", Date, nullable=False),
    Column("claimed_by_sale_id", BigInteger),
    time_column("claimed_at", nullable=True),
    CheckConstraint("paid_centavos > 0", name="paid"),
    CheckConstraint("claimed_at IS NULL OR claimed_by_sale_id IS NOT NULL", name="claimed"),
    Index(None, "meter_id", "sale_id", postgresql_where=text("claimed_by_sale_id IS NULL")),
    Index(None, "claimed_by_sale_id", postgresql_where=text("claimed_by_sale_id IS NOT NULL")),
    Index(None, "terminal_code", "local_date"),
    comment="A posted sale that was reversed: its money went back, its tokens wait for the next recharge on the meter. local_date and "
    "settlement_date are of the reversal. claimed_by_sale_id = the reserved or posted sale that hands them out; claimed_at = when that "
    "one was posted.",
)

confirmation = Table(
    "confirmation",
    metadata,
    Column("sale_id", BigInteger, primary_key=True, autoincrement=False),
    time_column("confirmed_at"),
    comment="A sale whose terminal said that the customer has his token; the first advice counts.",
)

reprint = Table(
    "reprint",
    metadata,
    id_column(),
    Column("sale_id", BigInteger, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    time_column("printed_at"),
    Index(None, "sale_id"),
    comment="Each time the digits of a sale were handed out again on a last-answer inquiry; the ticket says COPIA.",
)

outbox = Table(
    "outbox",
    metadata,
    id_column(),
    Column("sale_id", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    time_column("created_at"),
    time_column("done_at", nullable=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Index("ix_outbox_open", "id", postgresql_where=text("done_at IS NULL")),
    comment="What still has to leave because of a posted sale (meter delivery, SMS); written in the transaction that posts it.",
)
