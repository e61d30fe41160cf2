"""What the tables share: the metadata with its naming rules, the sequences, and columns that stand in many tables."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Sequence, text

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

ledger_id = Sequence("ledger_id", metadata=metadata, data_type=BigInteger)
"""Ids of sales and entries. They share one sequence so that the entry that posts a sale carries the sale's own id."""

account_id = Sequence("account_id", metadata=metadata, data_type=BigInteger, start=1000)
"""Ids of accounts that belong to acquirers; the fixed ones are in `ledger.chart`."""


def id_column() -> Column[int]:
    """A number that the database gives."""
    return Column("id", BigInteger, Identity(), primary_key=True)


def centavos_column(name: str) -> Column[int]:
    """A sum that begins at zero."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def time_column(name: str, *, nullable: bool = False) -> Column[object]:
    """A moment."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
