"""Session keys of networks, sealed by the security module."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.schema import UniqueConstraint

from ledger.schema.columns import id_column, metadata, time_column

session_key = Table(
    "session_key",
    metadata,
    id_column(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("kcv", Text, nullable=False),
    time_column("offered_at"),
    time_column("changed_at"),
    time_column("honoured_until", nullable=True),
    UniqueConstraint("acquirer_id", "generation"),
    CheckConstraint("generation >= 0", name="generation"),
    CheckConstraint("origin IN ('ours', 'theirs', 'static')", name="origin"),
    CheckConstraint("state IN ('offered', 'in_force', 'retired', 'dropped')", name="state"),
    CheckConstraint("(state = 'retired') = (honoured_until IS NOT NULL)", name="honoured_until"),
    Index("uq_session_key_in_force", "acquirer_id", unique=True, postgresql_where=text("state = 'in_force'")),
    Index("uq_session_key_offered", "acquirer_id", "origin", unique=True, postgresql_where=text("state = 'offered'")),
    comment="MAC keys that a network and we changed over the line. token = the key, sealed by the security module and useless without it; "
    "wrapped = as it goes over the line; generation 0 = the key of the register, once it was retired.",
)
