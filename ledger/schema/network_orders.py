"""Who stopped or started a network, when and why."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text

from ledger.schema.columns import id_column, metadata, time_column

network_order = Table(
    "network_order",
    metadata,
    id_column(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    time_column("ordered_at"),
    # reset_key: the MAC key of its register was put in force again; it changes no status.
    CheckConstraint("action IN ('stop', 'start', 'reset_key')", name="action"),
    CheckConstraint("btrim(ordered_by) <> ''", name="ordered_by"),
    CheckConstraint("btrim(why) <> ''", name="why"),
    Index(None, "acquirer_id", "id"),
    comment="A network was stopped (it sells nothing new) or started again. The last row of a network says why its status is what it is.",
)
