"""Meters that change their key with a sale."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, SmallInteger, Table, Text

from ledger.schema.columns import metadata

sale_key_change = Table(
    "sale_key_change",
    metadata,
    Column("sale_id", BigInteger, primary_key=True, autoincrement=False),
    Column("mint_id", BigInteger, nullable=False, unique=True),
    Column("meter_id", BigInteger, nullable=False),
    Column("from_register_id", BigInteger, nullable=False),
    Column("from_tariff_index", SmallInteger, nullable=False),
    Column("to_register_id", BigInteger, nullable=False),
    Column("to_tariff_index", SmallInteger, nullable=False),
    Column("sections", SmallInteger, nullable=False),
    Column("is_rollover", Boolean, nullable=False),
    Column("digits", Text),
    CheckConstraint("sections BETWEEN 2 AND 4", name="sections"),
    CheckConstraint("length(digits) = 20 * sections", name="digits"),
    Index(None, "meter_id"),
    comment="The key change that a sale hands out before its credit. The security module is asked by mint_id. digits (a secret; 20 for "
    "each section, in the order of entry) are there exactly when the sale is posted, and only then has the meter's row the new key.",
)
