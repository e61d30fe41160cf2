"""Who sells: networks and their terminals."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ledger.schema.columns import id_column, metadata

acquirer = Table(
    "acquirer",
    metadata,
    id_column(),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("commission_basis_points", Integer, nullable=False, server_default=text("0")),
    Column("float_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("commission_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("settlement_date", Date, nullable=False, server_default=text("'2000-01-01'")),
    CheckConstraint("status IN ('active', 'stopped')", name="status"),
    CheckConstraint("commission_basis_points BETWEEN 0 AND 10000", name="commission"),
    comment="A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall "
    "on after a cut-over ahead of the clock; the later of it and the clock's local day counts.",
)

terminal = Table(
    "terminal",
    metadata,
    id_column(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("merchant", Text, nullable=False, server_default=text("''")),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    UniqueConstraint("acquirer_id", "code"),
    CheckConstraint("status IN ('active', 'blocked')", name="status"),
    comment="A point of sale (datáfono, till) of an acquirer; code is data element 41.",
)
