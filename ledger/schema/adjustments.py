"""Money and tokens given outside a sale."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ledger.schema.columns import id_column, metadata, time_column

adjustment = Table(
    "adjustment",
    metadata,
    id_column(),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'proposed'")),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("sale_id", BigInteger),
    Column("amount_centavos", BigInteger, nullable=False, server_default=text("0")),
    Column("units_tenths", BigInteger, nullable=False, server_default=text("0")),
    Column("evidence", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    time_column("proposed_at"),
    Column("decided_by", Text),
    time_column("decided_at", nullable=True),
    Column("entry_id", BigInteger),
    Column("value", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint(
        "kind IN ('refund', 'credit', 'free_token', 'replacement_token', 'power_limit', 'phase_unbalance', 'clear_credit', "
        "'clear_tamper', 'meter_test')",
        name="kind",
    ),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
    CheckConstraint("decided_by IS NULL OR lower(btrim(decided_by)) <> lower(btrim(proposed_by))", name="two_people"),
    CheckConstraint("(state = 'proposed') = (decided_by IS NULL)", name="decided"),
    CheckConstraint("btrim(evidence) <> ''", name="evidence"),
    CheckConstraint("(amount_centavos > 0) = (kind IN ('refund', 'credit'))", name="money"),
    CheckConstraint("(units_tenths > 0) = (kind IN ('free_token', 'replacement_token'))", name="amounts"),
    CheckConstraint("sale_id IS NOT NULL OR kind NOT IN ('refund', 'replacement_token')", name="sale"),
    CheckConstraint("(entry_id IS NOT NULL) = (state = 'approved' AND kind IN ('refund', 'credit'))", name="entry"),
    Index(None, "sale_id", postgresql_where=text("sale_id IS NOT NULL")),
    comment="Money, units or an engineer's token given outside a sale: proposed by one person with evidence, approved or rejected by "
    "another. sale_id = the sale it is about; entry_id = the compensating entry; value = what an engineer's token says. Tokens move no money.",
)

adjustment_token = Table(
    "adjustment_token",
    metadata,
    Column("adjustment_id", BigInteger, ForeignKey("adjustment.id"), primary_key=True, autoincrement=False),
    Column("mint_id", BigInteger, nullable=False, unique=True),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("register_id", BigInteger, nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("tid", BigInteger),
    Column("units_tenths", BigInteger, nullable=False),
    time_column("reserved_at"),
    Column("digits", Text),
    time_column("minted_at", nullable=True),
    UniqueConstraint("meter_id", "tid"),
    CheckConstraint("(digits IS NULL) = (minted_at IS NULL) AND length(digits) = 20", name="digits"),
    comment="The token of an approved adjustment. The security module is asked by mint_id; digits (a secret) are missing until it answered. "
    "A meter test has no tid.",
)
