"""Section ``database``: where the money of record lives."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from config.section import HomePath, Seconds, SecretText, Section
from vending.secret import Secret

_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def _is_postgresql(dsn: Secret[str]) -> Secret[str]:
    if not dsn.reveal().startswith(_SCHEMES):
        raise ValueError("a PostgreSQL address is needed, it starts with postgresql://")
    return dsn


class DatabaseSection(Section):
    """PostgreSQL 15 or later, by address, or the embedded one where no address is given.

    Attributes:
        dsn: ``postgresql://user:password@host/name``; a secret, so best given as the file ``database__dsn`` of the secrets directory.
        directory: data directory of the embedded server; not used with a ``dsn``.
        writers: connections of one switch process that write sales, each with its worker thread. Two gave the best throughput
            measured on one machine; more only wait for each other at the float of a busy network.
        readers: connections for inquiries and the resolver, kept apart so that reading never waits behind a batch of sales.
        connect_timeout_seconds: how long opening a connection may take.
        statement_timeout_seconds: the server cancels a statement after this; a batch takes milliseconds.
    """

    dsn: Annotated[SecretText, AfterValidator(_is_postgresql)] | None = None
    directory: HomePath = Path("postgres")
    writers: int = Field(default=2, ge=1, le=16)
    readers: int = Field(default=1, ge=1, le=16)
    connect_timeout_seconds: Seconds = 5.0
    statement_timeout_seconds: Seconds = 10.0
