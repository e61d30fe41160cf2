"""Requests once for ever, and answers that never left."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from ledger.schema.columns import id_column, metadata, time_column

journal = Table(
    "journal",
    metadata,
    time_column("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rrn", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("code", Text),
    Column("sale_id", BigInteger),
    Column("reverses_sale_id", BigInteger),
    Column("answer", LargeBinary),
    time_column("received_at"),
    time_column("answered_at", nullable=True),
    PrimaryKeyConstraint("transmitted_at", "stan", "terminal_code", "acquirer_code", "message_class"),
    Index(None, "reverses_sale_id", postgresql_where=text("reverses_sale_id IS NOT NULL")),
    comment="Every authenticated request once, by its key, with the answer that was made for it. sale_id = the sale it reserved; "
    "reverses_sale_id = the sale that a reversal asked to undo. code is null until the outcome is known. An empty digest marks a "
    "request that was reversed before it came.",
    # One table for each month; how those are stored is in `ledger.months`.
    postgresql_partition_by="RANGE (transmitted_at)",
)

undelivered_answer = Table(
    "undelivered_answer",
    metadata,
    id_column(),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    time_column("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("noticed_at"),
    Index(None, "terminal_code", "noticed_at"),
    comment="An answer that was committed and did not leave because its connection was gone; the terminal's repeat gets it.",
)
